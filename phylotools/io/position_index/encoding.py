"""Notes on a whole file -> the bytes of its index, tabix or CSI (SAM specification, CSIv1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.io.bgzf import compress_blocks
from phylotools.io.files import BGZF_EOF
from phylotools.io.indexes import CSI, TBI
from phylotools.io.position_index.builder import MIN_SHIFT, ContigPart, IndexPart
from phylotools.io.position_index.chunks import (
    Bins,
    bin_numbers,
    first_bin,
    levels_of,
    make_bins,
    ranges,
)
from phylotools.io.position_index.lines import LineKind

_TBI_DEPTH = 5
#: Positions that a tabix index can hold.
_LONGEST_TBI = 1 << MIN_SHIFT + 3 * _TBI_DEPTH
#: What htslib takes for tables that declare no contig, the least for VCF that does, and the most.
_CSI_DEPTH, _LEAST_CSI_DEPTH, _MOST_CSI_DEPTH = 8, 6, 9
#: That htslib adds to the longest contig.
_CSI_ROOM = 256


@dataclass(frozen=True)
class EncodedIndex:
    """An index: what is added to the name of its file, and its bytes."""

    suffix: str
    data: bytes


def encode_index(part: IndexPart, *, longest_contig: int = 0) -> EncodedIndex:
    """The index of a file.

    Parameters
    ----------
    part : IndexPart
        Of the whole file.
    longest_contig : int
        In bases. From 2^29 on, or where lines reach so far, the index is CSI.

    Raises
    ------
    ValueError
        If there can be none; says why.
    """
    is_csi = longest_contig >= _LONGEST_TBI or part.highest_end > _LONGEST_TBI
    return EncodedIndex(CSI if is_csi else TBI, index_bytes(part, is_csi=is_csi))


def index_bytes(part: IndexPart, *, is_csi: bool) -> bytes:
    """The bytes of an index, BGZF.

    Raises
    ------
    ValueError
        If there can be none; says why.
    """
    if part.problem is not None:
        raise ValueError(part.problem)
    depth = _csi_depth(part) if is_csi else _TBI_DEPTH
    if part.highest_end > 1 << MIN_SHIFT + 3 * depth:
        raise ValueError(f"a line ends at {part.highest_end}, which is too high for an index")
    names = b"".join(contig.name + b"\0" for contig in part.contigs)
    meta = part.kind.tabix_columns() + struct.pack("<i", len(names)) + names
    if is_csi:
        head = b"CSI\1" + struct.pack("<3i", MIN_SHIFT, depth, len(meta)) + meta
        head += struct.pack("<i", len(part.contigs))
    else:
        head = b"TBI\1" + struct.pack("<i", len(part.contigs)) + meta
    bodies = _contigs(part, depth, is_csi=is_csi)
    no_coordinate = struct.pack("<Q", 0)
    return compress_blocks(b"".join([head, *bodies, no_coordinate])) + BGZF_EOF


def _csi_depth(part: IndexPart) -> int:
    """Levels of bins, as many as htslib makes."""
    longest = part.longest_declared
    if not part.contigs:
        return _LEAST_CSI_DEPTH
    if part.kind is not LineKind.VCF or not longest:
        return _CSI_DEPTH
    depth = _LEAST_CSI_DEPTH
    while longest + _CSI_ROOM > 1 << MIN_SHIFT + 3 * depth:
        depth += 1
    if depth > _MOST_CSI_DEPTH:
        raise ValueError(f"a contig is said to have {longest} bases, too many for an index")
    return depth


def _contigs(part: IndexPart, depth: int, *, is_csi: bool) -> list[bytes]:
    """What the index has of each contig."""
    places = _Places(part.blocks)
    firsts = [int(contig.runs[0, 1]) for contig in part.contigs]
    ends = [*firsts, part.n_text_bytes][1:]
    bodies = []
    for contig, end in zip(part.contigs, ends, strict=True):
        bounds = places.of(np.append(contig.runs[:, 1], end))
        runs = np.stack([bounds[:-1], bounds[1:]], axis=1)
        bins = make_bins(bin_numbers(contig.runs[:, 0], depth), runs, contig.n_lines, depth)
        windows = places.of(contig.windows[:, 1])
        if is_csi:
            bodies.append(_csi_bins(bins, contig, windows, depth))
        else:
            bodies.append(_bins(bins, None) + _linear_index(contig, windows))
    return bodies


class _Places:
    """Virtual offsets (a block's place in the file << 16, and the offset in its text)."""

    def __init__(self, blocks: NDArray[np.uint16]) -> None:
        sizes = blocks.astype(np.int64)
        self._text = np.concatenate([[0], np.cumsum(sizes[:, 0])])
        self._file = np.concatenate([[0], np.cumsum(sizes[:, 1] + 1)])

    def of(self, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places of offsets in the text: where one block ends, the beginning of the next."""
        block = np.searchsorted(self._text, offsets, side="left")
        block -= self._text[block] != offsets
        return self._file[block] << 16 | (offsets - self._text[block])


def _window_places(
    contig: ContigPart, places: NDArray[np.int64], wanted: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Where the first line begins that reaches a window, or, where none does, a later one."""
    return places[np.searchsorted(contig.windows[:, 0], wanted)]


def _csi_bins(bins: Bins, contig: ContigPart, places: NDArray[np.int64], depth: int) -> bytes:
    """Bins with the place of the first line that reaches the first window of each."""
    levels = levels_of(bins.numbers, depth)
    first = np.array([first_bin(level) for level in range(depth + 2)])
    bottom = (bins.numbers - first[levels]) << 3 * np.maximum(depth - levels, 0)
    is_known = (levels <= depth) & (bottom <= contig.windows[-1, 0])
    loffs = np.zeros(len(bottom), dtype=np.int64)
    loffs[is_known] = _window_places(contig, places, bottom[is_known])
    return _bins(bins, loffs)


def _bins(bins: Bins, loffs: NDArray[np.int64] | None) -> bytes:
    """Number of bins, and each: its number, its first place if CSI, its chunks."""
    head = 2 if loffs is None else 4
    sizes = head + 4 * bins.n_chunks
    begins = np.cumsum(sizes) - sizes
    words = np.empty(int(sizes.sum()), dtype="<u4")
    words[begins] = bins.numbers
    if loffs is not None:
        words[begins + 1], words[begins + 2] = loffs & 0xFFFFFFFF, loffs >> 32
    words[begins + head - 1] = bins.n_chunks
    at = ranges(begins + head, 4 * bins.n_chunks)
    words[at] = bins.chunks.astype("<i8").view("<u4").ravel()
    return struct.pack("<i", len(bins.numbers)) + words.tobytes()


def _linear_index(contig: ContigPart, places: NDArray[np.int64]) -> bytes:
    n_windows = int(contig.windows[-1, 0]) + 1
    values = _window_places(contig, places, np.arange(n_windows))
    return struct.pack("<i", n_windows) + values.astype("<u8").tobytes()
