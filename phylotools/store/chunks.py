"""Chunks of a column store as bytes, and back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from phylotools.store import schema

#: zarr's own implementation, so that what is written here is what zarr reads. It lets go of the
#: interpreter's lock, so that threads gain.
_ZSTD = Zstd(level=schema.ZSTD_LEVEL, checksum=True)
_MAGIC = b"\x28\xb5\x2f\xfd"
_DICTIONARY_BYTES = (0, 1, 2, 4)
_SIZE_BYTES = (0, 2, 4, 8)


class DamagedError(ValueError):
    """Bytes of a store that cannot be what was written."""


@dataclass(frozen=True, eq=False)
class StoredChunk:
    """A chunk as it will stand in a store, and what the arrays beside `bases` need of it.

    Attributes
    ----------
    contig : int
        Index of the contig.
    index : int
        The chunk covers the positions from ``index * CHUNK_LENGTH`` of the contig.
    blob : bytes
        What `encode_chunk` made.
    digest : bytes
        What `chunk_digest` made, of the same bases.
    reference : uint8 array [CHUNK_LENGTH]
        The reference species' row; NO_BLOCK where no block lies and beyond the contig's end.
    depth : uint16 array [CHUNK_LENGTH]
        Species with A, C, G or T.
    """

    contig: int
    index: int
    blob: bytes
    digest: bytes
    reference: NDArray[np.uint8]
    depth: NDArray[np.uint16]


def encode_chunk(bases: NDArray[np.uint8]) -> bytes:
    """Compress a chunk of `bases`.

    Parameters
    ----------
    bases : uint8 array [S, CHUNK_LENGTH]
        Species-major and contiguous.

    Returns
    -------
    bytes
        A Zstandard frame with its checksum: an inner chunk of the array, without its transpose.
    """
    assert bases.shape[1] == schema.CHUNK_LENGTH
    assert bases.flags.c_contiguous
    return encode_values(bases)


def decode_chunk(blob: bytes, out: NDArray[np.uint8]) -> None:
    """Decompress what `encode_chunk` made.

    Parameters
    ----------
    blob : bytes
    out : uint8 array [S, CHUNK_LENGTH]
        Contiguous; overwritten.

    Raises
    ------
    DamagedError
        If the bytes are damaged, or hold a chunk of another size. `out` is then undefined.
    """
    decode_values(blob, out)


def chunk_digest(bases: NDArray[np.uint8]) -> bytes:
    """SHA-256 of a chunk's bytes, which does not depend on how they are compressed.

    Parameters
    ----------
    bases : uint8 array [S, CHUNK_LENGTH]
        Species-major and contiguous.

    Returns
    -------
    bytes
        32 of them.
    """
    return hashlib.sha256(bases.data).digest()


class ArrayDigest:
    """SHA-256 of an array, from those of its windows of CHUNK_LENGTH positions, in order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, index: int, digest: bytes) -> None:
        """Take in the digest of the window that begins at position ``index * CHUNK_LENGTH``."""
        self._hash.update(index.to_bytes(8, "little") + digest)

    def add_values(self, index: int, values: NDArray[Any]) -> None:
        """Take in a window of an array with one value per position."""
        little = values.astype(values.dtype.newbyteorder("<"), copy=False)
        self.add(index, hashlib.sha256(np.ascontiguousarray(little).data).digest())

    def hexadecimal(self) -> str:
        """The digest as text."""
        return self._hash.hexdigest()


def intervals_digest(intervals: NDArray[np.int64]) -> str:
    """SHA-256 of intervals, as text."""
    data = np.ascontiguousarray(intervals, dtype="<i8").tobytes()
    return hashlib.sha256(data).hexdigest()


def encode_values(values: NDArray[Any]) -> bytes:
    """Compress a contiguous array of little-endian values, in row order."""
    return bytes(_ZSTD.encode(values))


def decode_values(blob: bytes, out: NDArray[Any]) -> None:
    """Decompress into a contiguous array that must be filled exactly.

    Raises
    ------
    DamagedError
        If the bytes are damaged, or hold another number of values.
    """
    # The decoder alone never writes beyond `out`, but a shorter frame would leave its end stale.
    size = _content_size(blob)
    if size is not None and size != out.nbytes:
        raise DamagedError(f"a chunk of {size} bytes instead of {out.nbytes}")
    try:
        _ZSTD.decode(blob, out=out)
    except (RuntimeError, ValueError) as error:
        raise DamagedError(str(error)) from error


def _content_size(blob: bytes) -> int | None:
    """Bytes that a frame says it holds (RFC 8878, section 3.1.1.1); None if it does not say."""
    if blob[:4] != _MAGIC or len(blob) < 6:
        raise DamagedError("no Zstandard frame")
    descriptor = blob[4]
    is_single = descriptor >> 5 & 1
    n_bytes = _SIZE_BYTES[descriptor >> 6] or is_single
    start = 6 - is_single + _DICTIONARY_BYTES[descriptor & 3]
    if n_bytes == 0:
        return None
    size = int.from_bytes(blob[start : start + n_bytes], "little")
    return size + 256 if n_bytes == 2 else size
