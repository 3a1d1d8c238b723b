"""Chunks of a column store: compressed, checked, and turned into alignment columns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from phylotools.compiling import compiled
from phylotools.store import schema

#: zarr's own implementation, so that what is written here is what zarr reads. It lets go of the
#: interpreter's lock, so that threads gain.
_ZSTD = Zstd(level=schema.ZSTD_LEVEL, checksum=True)
_MAGIC = b"\x28\xb5\x2f\xfd"
_DICTIONARY_BYTES = (0, 1, 2, 4)
_SIZE_BYTES = (0, 2, 4, 8)
#: Words of 8 positions turned together; their columns stay in the second-level cache.
_WORDS = 16
#: Bits by which bytes move, and the bits of those that do.
_EXCHANGES = (
    (np.uint64(8), np.uint64(0x00FF00FF00FF00FF)),
    (np.uint64(16), np.uint64(0x0000FFFF0000FFFF)),
    (np.uint64(32), np.uint64(0x00000000FFFFFFFF)),
)


class DamagedError(ValueError):
    """Raised for bytes that cannot be what was written to a store."""


@dataclass(frozen=True, eq=False)
class StoredChunk:
    """A compressed chunk of `bases`, with its reference row and depths for the other arrays.

    Attributes
    ----------
    contig : int
        Index of the contig.
    index : int
        The chunk covers the positions from ``index * CHUNK_LENGTH`` of the contig.
    blob : bytes
        What `encode_values` made of `bases`, uint8 [S, CHUNK_LENGTH], species-major.
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


def chunk_digest(bases: NDArray[np.uint8]) -> bytes:
    """SHA-256 of a chunk of `bases`, contiguous [S, CHUNK_LENGTH], however it is compressed."""
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
    """Compress a contiguous array of little-endian values, in row order.

    Returns
    -------
    bytes
        A Zstandard frame with its checksum. Of `bases` [S, CHUNK_LENGTH], species-major, it is an
        inner chunk of the array as it stands in a shard.
    """
    assert values.flags.c_contiguous
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


def columns_of(chunk: NDArray[np.uint8], first: int, out: NDArray[np.uint8]) -> None:
    """Copy positions of a chunk as columns.

    Squares of 8 species by 8 positions are turned within eight registers, for which bytes must
    come in little-endian order. Measured at 53, 447 and 671 species: 3.6, 4.8 and 4.4 GB/s;
    numpy's copy 1.9, 1.1 and 1.0; tiles copied byte by byte 1.8, 1.6 and 1.7.

    Parameters
    ----------
    chunk : uint8 array [S, C]
        Contiguous; C is a multiple of 8.
    first : int
        Position in the chunk of the first column.
    out : uint8 array [L, S]
        Filled with positions `first` to ``first + L``.
    """
    _turn(chunk.view(np.uint64), first, out)


@compiled
def _turn(words: NDArray[np.uint64], first: int, out: NDArray[np.uint8]) -> None:
    n_columns, n_species = out.shape
    end = first + n_columns
    # Rows are filled up to whole words, which the rows of `out` need not be.
    turned = np.empty((8 * _WORDS, (n_species + 7) // 8), np.uint64)
    columns = turned.view(np.uint8)
    whole = n_species // 8
    for begin in range(first >> 3, (end + 7) >> 3, _WORDS):
        stop = min(begin + _WORDS, (end + 7) >> 3)
        for group in range(whole):
            _turn_squares(words, begin, stop, turned, group)
        for species in range(8 * whole, n_species):
            for word in range(begin, stop):
                eight = words[species, word]
                for position in range(8):
                    columns[8 * (word - begin) + position, species] = np.uint8(eight)
                    eight >>= np.uint64(8)
        for column in range(max(8 * begin, first), min(8 * stop, end)):
            for species in range(n_species):
                out[column - first, species] = columns[column - 8 * begin, species]


@compiled
def _turn_squares(
    words: NDArray[np.uint64], begin: int, stop: int, turned: NDArray[np.uint64], group: int
) -> None:
    """Squares of 8 by 8 bytes, side by side: their quarters change places at three sizes."""
    by_1, mask_1 = _EXCHANGES[0]
    by_2, mask_2 = _EXCHANGES[1]
    by_4, mask_4 = _EXCHANGES[2]
    first = 8 * group
    for word in range(begin, stop):
        a, b = words[first, word], words[first + 1, word]
        c, d = words[first + 2, word], words[first + 3, word]
        e, f = words[first + 4, word], words[first + 5, word]
        g, h = words[first + 6, word], words[first + 7, word]
        a, b = _exchange(a, b, by_1, mask_1)
        c, d = _exchange(c, d, by_1, mask_1)
        e, f = _exchange(e, f, by_1, mask_1)
        g, h = _exchange(g, h, by_1, mask_1)
        a, c = _exchange(a, c, by_2, mask_2)
        b, d = _exchange(b, d, by_2, mask_2)
        e, g = _exchange(e, g, by_2, mask_2)
        f, h = _exchange(f, h, by_2, mask_2)
        a, e = _exchange(a, e, by_4, mask_4)
        b, f = _exchange(b, f, by_4, mask_4)
        c, g = _exchange(c, g, by_4, mask_4)
        d, h = _exchange(d, h, by_4, mask_4)
        row = 8 * (word - begin)
        turned[row, group], turned[row + 1, group] = a, b
        turned[row + 2, group], turned[row + 3, group] = c, d
        turned[row + 4, group], turned[row + 5, group] = e, f
        turned[row + 6, group], turned[row + 7, group] = g, h


@compiled
def _exchange(
    low: np.uint64, high: np.uint64, by: np.uint64, mask: np.uint64
) -> tuple[np.uint64, np.uint64]:
    """Exchange the upper parts of one word with the lower parts of another."""
    differs = ((low >> by) ^ high) & mask
    return low ^ (differs << by), high ^ differs
