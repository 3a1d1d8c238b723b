"""Numbers along a contig as the compressed blocks of a bigWig.

The layout is that of Kent et al., Bioinformatics 26:2204 (2010), supplement.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from deflate import zlib_compress
from numpy.typing import NDArray

from phylotools.io.bigwig.index import BLOCK

#: Contig, start, end, step, span, kind, reserved, number of items.
BLOCK_HEAD = struct.Struct("<IIIIIBBH")
#: Kinds of blocks: positions with their values, values alone.
SINGLE, RUN = 2, 3
PAIR = np.dtype([("start", "<u4"), ("value", "<f4")])
#: Values of a block: 16 KiB before compression, the least that a browser reads at once.
BLOCK_VALUES = 4096
#: Bytes of a block before compression: header and pairs of position and value.
LARGEST_BLOCK = BLOCK_HEAD.size + PAIR.itemsize * BLOCK_VALUES
#: Runs of positions longer than this on average are written as steps without their positions.
_LONG_RUN = 8
#: Positions that a summary of the finest zoom level covers.
FINEST = 32

#: Summary of the values between two positions.
CELL = np.dtype(
    [
        ("contig", "<u4"),
        ("start", "<u4"),
        ("end", "<u4"),
        ("n", "<u4"),
        ("min", "<f4"),
        ("max", "<f4"),
        ("sum", "<f4"),
        ("sum_squares", "<f4"),
    ]
)


@dataclass(frozen=True, eq=False)
class SignalBlocks:
    """Values of positions of one contig, ready to be copied into a bigWig.

    Attributes
    ----------
    blocks : array of `BLOCK`
        Offsets count from the start of `data`.
    cells : array of `CELL`
        Summaries of at most 32 positions each.
    totals : float64 array [5]
        Number of values, least, greatest, sum, sum of squares.
    data : bytes
        The compressed blocks, one after the other.
    """

    blocks: NDArray[np.void]
    cells: NDArray[np.void]
    totals: NDArray[np.float64]
    data: bytes


def encode_signal(
    contig: int, positions: NDArray[np.int64], values: NDArray[np.floating[Any]]
) -> SignalBlocks | None:
    """Compress values of positions of one contig.

    Parameters
    ----------
    contig : int
        Its number: its place among the contigs of the file.
    positions : int64 array [K]
        0-based, rising.
    values : float array [K]
        Kept as float32; those that are not finite are left out.

    Returns
    -------
    SignalBlocks or None
        None if no value is left.

    Raises
    ------
    ValueError
        If the positions do not rise.
    """
    known = np.isfinite(values)
    if not known.all():
        positions, values = positions[known], values[known]
    if not len(positions):
        return None
    values = np.ascontiguousarray(values, dtype="<f4")
    steps = np.diff(positions)
    if (steps <= 0).any():
        raise ValueError("positions are not in the order of the track")
    breaks = np.flatnonzero(steps > 1) + 1
    if len(positions) < _LONG_RUN * (len(breaks) + 1):
        parts = _single_positions(positions, values)
    else:
        parts = _runs(positions, values, [0, *breaks.tolist(), len(positions)])
    blocks, data = _blocks(contig, parts)
    wide = values.astype(np.float64)
    totals = np.array([len(wide), wide.min(), wide.max(), wide.sum(), np.square(wide).sum()])
    return SignalBlocks(blocks, _cells(contig, positions, wide), totals, data)


#: Start, end, kind and items of a block.
_Part = tuple[int, int, int, NDArray[Any]]


def _runs(
    positions: NDArray[np.int64], values: NDArray[np.float32], bounds: list[int]
) -> Iterator[_Part]:
    """Blocks of neighbouring positions: the values alone."""
    for begin, end in itertools.pairwise(bounds):
        for first in range(begin, end, BLOCK_VALUES):
            items = values[first : min(first + BLOCK_VALUES, end)]
            start = int(positions[first])
            yield start, start + len(items), RUN, items


def _single_positions(positions: NDArray[np.int64], values: NDArray[np.float32]) -> Iterator[_Part]:
    """Blocks of positions far between: each with its value."""
    pairs = np.empty(len(positions), dtype=PAIR)
    pairs["start"], pairs["value"] = positions, values
    for first in range(0, len(pairs), BLOCK_VALUES):
        items = pairs[first : first + BLOCK_VALUES]
        yield int(items["start"][0]), int(items["start"][-1]) + 1, SINGLE, items


def _blocks(contig: int, parts: Iterator[_Part]) -> tuple[NDArray[np.void], bytes]:
    entries, written, offset = [], [], 0
    for start, end, kind, items in parts:
        step = 1 if kind == RUN else 0
        head = BLOCK_HEAD.pack(contig, start, end, step, 1, kind, 0, len(items))
        block = compressed(head + items.tobytes())
        entries.append((contig, start, contig, end, offset, len(block)))
        written.append(block)
        offset += len(block)
    return np.array(entries, dtype=BLOCK), b"".join(written)


def _cells(
    contig: int, positions: NDArray[np.int64], values: NDArray[np.float64]
) -> NDArray[np.void]:
    """Summaries of values by the finest grid."""
    grid = positions // FINEST
    firsts = np.concatenate([[0], np.flatnonzero(np.diff(grid)) + 1])
    cells = np.empty(len(firsts), dtype=CELL)
    cells["contig"] = contig
    cells["start"] = positions[firsts]
    cells["end"] = positions[np.append(firsts[1:], len(positions)) - 1] + 1
    cells["n"] = np.diff(np.append(firsts, len(positions)))
    cells["min"] = np.minimum.reduceat(values, firsts)
    cells["max"] = np.maximum.reduceat(values, firsts)
    cells["sum"] = narrowed(np.add.reduceat(values, firsts))
    cells["sum_squares"] = narrowed(np.add.reduceat(np.square(values), firsts))
    return cells


def compressed(data: bytes) -> bytes:
    """A block as the format wants it; numbers hardly compress better at higher levels."""
    # Not ISA-L: it does not always make the same bytes of the same small block.
    return bytes(zlib_compress(data, 1))


def narrowed(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """As float32; what that cannot hold becomes the largest that it can."""
    largest = np.finfo(np.float32).max
    return np.clip(values, -largest, largest).astype(np.float32)
