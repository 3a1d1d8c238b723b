"""Lines of a bgzip table or VCF near some positions, led there by its index.

For files of a whole genome's variants: what is read grows with the positions asked for.
"""

from __future__ import annotations

import logging
import os
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.bgzf import block_size, inflated, read_blocks
from phylotools.io.contigs import resolve_contigs
from phylotools.io.files import BGZF_EOF, NO_END_MARKER, open_regular, truncated
from phylotools.io.indexes import POSITION_INDEXES
from phylotools.io.vcf.index import Layout, PositionIndex, difference, read_index
from phylotools.io.vcf.records import LineBlock

logger = logging.getLogger("phylotools")

#: Smaller files are read as a whole: that takes a second or two.
SMALLEST_FILE = 32 << 20
#: Larger parts of a file are not worth the leaps.
_LARGEST_SHARE = 0.6
#: Bases before a position where a longer spelling of the same variant may begin.
_LONGEST_PREFIX = 100
#: Chunks of a file that lie closer are read as one.
_GAP = 1 << 16
_BLOCK_BYTES = 1 << 20
#: Of bgzip: the most bytes of a block, those of a usual one, and those of its header.
_LONGEST_BLOCK, _USUAL_BLOCK, _HEADER = 1 << 16, 1 << 14, 18
#: Where blocks of a range are searched: its most bytes and positions, its fewest blocks.
_LARGEST_SEARCHED, _MOST_SEARCHED, _FEWEST_BLOCKS = 2 << 20, 1000, 4
#: Positions that lie so close are mostly in one block.
_NEAR = 300
_FAR = 1 << 60


def lines_near(
    path: str, positions: Callable[[], Mapping[str, NDArray[np.int64]]]
) -> Iterator[LineBlock] | None:
    """Lines of the records near some positions, and others between them.

    Parameters
    ----------
    path : str
    positions : callable
        Contig, however it is spelled -> int64 array, 0-based, rising.

    Returns
    -------
    iterator of LineBlock or None
        None where the file is better read from its beginning: it is small or has no index, the
        index is of another file, or most of it is wanted.

    Raises
    ------
    InputError
        Here or while lines are read, if the file is truncated or damaged.
    """
    index = _open_index(path)
    if index is None:
        return None
    ranges = _ranges(index, positions())
    n_bytes = sum(each.n_bytes for each in ranges)
    if n_bytes > _LARGEST_SHARE * os.path.getsize(path):
        return None
    logger.info("%s: %s of it are read, by its index", path, f"{n_bytes / 1e6:,.0f} MB")
    return _lines(path, ranges, index.layout)


def _open_index(path: str) -> PositionIndex | None:
    """The index of a large bgzip file of text, if it is that of this file."""
    if path == "-" or not os.path.isfile(path) or os.path.getsize(path) < SMALLEST_FILE:
        return None
    index_path = next((path + end for end in POSITION_INDEXES if os.path.exists(path + end)), None)
    if index_path is None:
        logger.info("%s has no index and is read as a whole", path)
        return None
    with open_regular(path) as handle:
        if not handle.read(18).startswith(b"\x1f\x8b\x08\x04"):
            return None
        handle.seek(-len(BGZF_EOF), os.SEEK_END)
        if handle.read() != BGZF_EOF:
            raise truncated(path, NO_END_MARKER)
    index = read_index(index_path)
    if index is not None and index.names is None:
        return None  # of a BCF
    reason = "it is damaged" if index is None else difference(path, index, ())
    if reason is None:
        return index
    logger.warning(
        "%s is not the index of %s (%s): the whole file is read; make it anew with tabix",
        index_path,
        path,
        reason,
    )
    return None


class _Range(NamedTuple):
    """Records of one contig that lie together: virtual offsets, and what is wanted of them."""

    begin: int
    end: int
    wanted: NDArray[np.int64]

    @property
    def is_searched(self) -> bool:
        """Whether its blocks are searched for the positions."""
        n_bytes = (self.end >> 16) - (self.begin >> 16)
        return n_bytes <= _LARGEST_SEARCHED and len(self.wanted) <= _MOST_SEARCHED

    @property
    def n_bytes(self) -> int:
        """About how much of the file is inflated for it."""
        n_bytes = (self.end >> 16) - (self.begin >> 16) + _USUAL_BLOCK
        if not self.is_searched:
            return n_bytes
        n_groups = 1 + int((np.diff(self.wanted) > _NEAR).sum())
        # A group has its block and the next one; some more are looked at on the way.
        return min(n_bytes, (2 * n_groups + 3) * _USUAL_BLOCK)


def _ranges(index: PositionIndex, positions: Mapping[str, NDArray[np.int64]]) -> list[_Range]:
    """Where the wanted records lie, in the order of the file."""
    names = [name.decode("utf-8", "replace") for name in index.names or ()]
    merged: list[_Range] = []
    for contig, name in resolve_contigs(positions, names).items():
        wanted = positions[contig]
        chunks = sorted(index.chunks[names.index(name)], key=lambda chunk: chunk.begin)
        starts = np.array([chunk.start for chunk in chunks], dtype=np.int64)
        stops = np.array([chunk.stop for chunk in chunks], dtype=np.int64)
        first = np.searchsorted(wanted, starts)
        last = np.searchsorted(wanted, stops + _LONGEST_PREFIX)
        bounds: list[list[int]] = []
        for number in np.flatnonzero(first < last).tolist():
            chunk, low, high = chunks[number], int(first[number]), int(last[number])
            if bounds and chunk.begin >> 16 <= (bounds[-1][1] >> 16) + _GAP:
                _, end, least, most = bounds[-1]
                bounds[-1][1:] = [max(end, chunk.end), min(least, low), max(most, high)]
            else:
                bounds.append([chunk.begin, chunk.end, low, high])
        merged += [_Range(begin, end, wanted[low:high]) for begin, end, low, high in bounds]
    return sorted(merged, key=lambda each: each.begin)


def _lines(path: str, ranges: list[_Range], layout: Layout) -> Iterator[LineBlock]:
    parts: list[bytes] = []
    size = 0
    with open_regular(path) as handle:
        for each in ranges:
            try:
                for text in _texts(handle, path, each, layout):
                    parts.append(text)
                    size += len(text)
                    if size >= _BLOCK_BYTES:
                        whole = b"".join(parts)
                        cut = whole.rfind(b"\n") + 1
                        if cut:
                            yield LineBlock(whole[:cut], 0)
                            parts, size = [whole[cut:]], len(whole) - cut
            except (struct.error, ValueError, IndexError) as error:
                raise InputError(
                    "the compressed file or its index is damaged",
                    path=path,
                    remedy="copy it again, then make the index anew",
                ) from error
            if size and not parts[-1].endswith(b"\n"):
                parts.append(b"\n")  # the last line of the file
    if size:
        yield LineBlock(b"".join(parts), 0)


def _texts(handle: BinaryIO, path: str, each: _Range, layout: Layout) -> Iterator[bytes]:
    """Text of a range; of a large one with few positions, of the blocks that they lie in."""
    begin, end = each.begin >> 16, each.end >> 16
    if each.is_searched:
        searched = _Searched(handle, path, each, layout)
        if len(searched) >= _FEWEST_BLOCKS:
            yield from searched.texts(each.wanted)
            return
    for at, text in read_blocks(handle, begin, path):
        if at > end or (at == end and not each.end & 0xFFFF):
            break
        stop = each.end & 0xFFFF if at == end else None
        yield text[each.begin & 0xFFFF if at == begin else 0 : stop]


class _Searched:
    """Blocks of a range whose positions rise, of which only some are inflated."""

    def __init__(self, handle: BinaryIO, path: str, each: _Range, layout: Layout) -> None:
        begin, end = each.begin >> 16, each.end >> 16
        handle.seek(begin)
        data = handle.read(end - begin + (_LONGEST_BLOCK if each.end & 0xFFFF else 0))
        self._path = path
        self._layout = layout
        self._blocks: list[bytes] = []
        at = 0
        while at < end - begin or (at == end - begin and each.end & 0xFFFF):
            size = block_size(data[at : at + _HEADER])
            if size is None:
                raise truncated(path)
            self._blocks.append(data[at : at + size])
            at += size
        self._begin = each.begin & 0xFFFF
        self._end = each.end & 0xFFFF if at > end - begin else None
        self._known: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._blocks)

    def texts(self, wanted: NDArray[np.int64]) -> Iterator[bytes]:
        """Whole lines, all those at these positions among them."""
        is_needed = [False] * len(self)
        numbers = range(1, len(self))
        for position in wanted.tolist():
            # Rows of one position may lie in several blocks; the last one ends in the next.
            low = bisect_left(numbers, position - _LONGEST_PREFIX, key=self._first_position)
            high = bisect_right(numbers, position, lo=low, key=self._first_position)
            is_needed[low : high + 2] = [True] * len(is_needed[low : high + 2])
        number = 0
        while number < len(self):
            if not is_needed[number]:
                number += 1
                continue
            stop = number
            while stop < len(self) and is_needed[stop]:
                stop += 1
            text = b"".join(map(self._text, range(number, stop)))
            begin = 0 if number == 0 else text.find(b"\n") + 1
            end = len(text) if stop == len(self) else text.rfind(b"\n") + 1
            yield text[begin:end]
            number = stop

    def _text(self, number: int) -> bytes:
        if number not in self._known:
            text = inflated(self._blocks[number], self._path)
            stop = self._end if number == len(self) - 1 else None
            self._known[number] = text[self._begin if number == 0 else 0 : stop]
        return self._known[number]

    def _first_position(self, number: int) -> int:
        """0-based position of the first line that begins in a block, or in those behind it."""
        line = b""
        for at in range(number, len(self)):
            text = self._text(at)
            if not line:
                text = text[text.find(b"\n") + 1 :] if b"\n" in text else b""
            line += text
            if b"\n" in line:
                break
        if not line:
            return _FAR
        columns = line.partition(b"\n")[0].split(b"\t", self._layout.position + 1)
        return int(columns[self._layout.position]) - (not self._layout.is_zero_based)
