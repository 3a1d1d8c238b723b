from __future__ import annotations

import hashlib
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import Zstd

from phylotools.store import schema
from phylotools.store.chunks import (
    ArrayDigest,
    DamagedError,
    chunk_digest,
    decode_values,
    encode_values,
)


def random_chunk(n_species=5, seed=1):
    shape = (n_species, schema.CHUNK_LENGTH)
    return np.random.default_rng(seed).integers(0, 7, shape).astype(np.uint8)


def test_a_chunk_is_read_back_and_is_a_plain_frame():
    bases = random_chunk()
    blob = encode_values(bases)
    out = np.empty_like(bases)
    decode_values(blob, out)
    np.testing.assert_array_equal(out, bases)
    assert Zstd().decode(blob) == bases.tobytes()
    assert chunk_digest(bases) == hashlib.sha256(bases.tobytes()).digest()


@given(st.integers(0, 10**9), st.integers(0, 7), st.integers(1, 5))
def test_no_damage_is_read_as_a_chunk(place, bit, n_species):
    """One bit anywhere: an error, or the very same bases (a bit that decides nothing)."""
    bases = random_chunk(n_species) & np.uint8(3)
    blob = bytearray(encode_values(bases))
    blob[place % len(blob)] ^= 1 << bit
    out = np.empty_like(bases)
    try:
        decode_values(bytes(blob), out)
    except DamagedError:
        return
    np.testing.assert_array_equal(out, bases)


@given(st.binary(max_size=40), st.booleans())
def test_foreign_bytes_are_refused(data, is_frame):
    with pytest.raises(DamagedError):
        decode_values(b"\x28\xb5\x2f\xfd" * is_frame + data, random_chunk())


@pytest.mark.parametrize("n_species", [1, 4, 6, 5000])
def test_a_chunk_of_another_size_is_refused(n_species):
    blob = encode_values(random_chunk(n_species))
    with pytest.raises(DamagedError, match="instead of"):
        decode_values(blob, random_chunk())


def test_every_cut_of_a_chunk_is_refused():
    blob = encode_values(random_chunk(1))
    for size in range(len(blob)):
        with pytest.raises(DamagedError):
            decode_values(blob[:size], random_chunk(1))


@pytest.mark.parametrize("claimed", [None, 1 << 40, 5 * schema.CHUNK_LENGTH])
def test_a_bomb_takes_no_memory(claimed):
    """A frame of 400 blocks of 128 KiB each, of one repeated byte (RFC 8878, section 3.1.1.2)."""
    size = 128 << 10
    block = struct.pack("<I", (size << 3) | 2)[:3] + b"\0"
    last = struct.pack("<I", (size << 3) | 3)[:3] + b"\0"
    header = b"\x28\xb5\x2f\xfd"
    if claimed is None:
        header += bytes([0, 10 << 3])  # no size, a window of 1 MiB
    else:
        header += bytes([0xE0]) + claimed.to_bytes(8, "little")
    out = random_chunk()
    tracemalloc.start()
    with pytest.raises(DamagedError):
        decode_values(header + block * 400 + last, out)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_frames_without_a_size_are_read():
    """Other writers stream; the frame's own end decides then."""
    values = np.arange(7, dtype=np.uint8)
    raw = struct.pack("<I", (7 << 3) | 1)[:3] + values.tobytes()  # one block, not compressed
    frame = b"\x28\xb5\x2f\xfd" + bytes([0, 0]) + raw
    out = np.empty(7, dtype=np.uint8)
    decode_values(frame, out)
    np.testing.assert_array_equal(out, values)
    for wrong in (6, 8):
        with pytest.raises(DamagedError):
            decode_values(frame, np.empty(wrong, dtype=np.uint8))


@pytest.mark.parametrize("n_values", [1, 255, 256, 257, 65_791, 65_792, 65_793])
def test_every_form_of_the_size(n_values):
    values = np.arange(n_values, dtype="<f4")
    out = np.empty_like(values)
    decode_values(encode_values(values), out)
    np.testing.assert_array_equal(out, values)
    with pytest.raises(DamagedError, match="instead of"):
        decode_values(encode_values(values), np.empty(n_values + 1, dtype="<f4"))


def test_digest_of_an_array():
    made = ArrayDigest()
    made.add_values(3, np.array([1, 2], dtype=np.uint16))
    made.add(9, b"x" * 32)
    window = hashlib.sha256(b"\1\0\2\0").digest()
    plain = b"\3" + bytes(7) + window + b"\x09" + bytes(7) + b"x" * 32
    assert made.hexadecimal() == hashlib.sha256(plain).hexdigest()
