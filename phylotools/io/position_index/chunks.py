"""Runs of lines -> the bins of a contig and the chunks of the file in each, as htslib has them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.io.position_index.hash_order import hash_order

#: Bins whose lines span fewer bytes of the file are merged with the one above them.
_SMALL = 1 << 16


@dataclass(frozen=True)
class Bins:
    """Bins of a contig, in the order of the file.

    Attributes
    ----------
    numbers : int64 array [K]
        With that of the pseudo-bin that holds totals.
    n_chunks : int64 array [K]
    chunks : int64 array [C, 2]
        Virtual offsets of begin and end, bin by bin.
    """

    numbers: NDArray[np.int64]
    n_chunks: NDArray[np.int64]
    chunks: NDArray[np.int64]


def first_bin(level: int) -> int:
    """Number of the first bin of a level; there are eight times as many on each as above it."""
    return ((1 << 3 * level) - 1) // 7


def bin_numbers(bins: NDArray[np.int64], depth: int) -> NDArray[np.int64]:
    """Numbers of bins in an index of some depth; see `ContigPart.runs`."""
    first = np.array([first_bin(depth - height) for height in range(depth + 1)])
    return first[bins & 31] + (bins >> 5)


def levels_of(numbers: NDArray[np.int64], depth: int) -> NDArray[np.int64]:
    """Level of each bin: 0 is the whole contig, `depth` the smallest ones."""
    first = np.array([first_bin(level) for level in range(depth + 2)])
    return np.searchsorted(first, numbers, side="right") - 1


def make_bins(
    run_bins: NDArray[np.int64],
    run_chunks: NDArray[np.int64],
    n_lines: int,
    depth: int,
) -> Bins:
    """Bins of a contig, small ones merged with those above them.

    Parameters
    ----------
    run_bins : int64 array [R]
        Bin of each run of lines, in the order of the file.
    run_chunks : int64 array [R, 2]
        Virtual offsets.
    n_lines : int
    depth : int
    """
    numbers, first_run, bin_of_run = np.unique(run_bins, return_index=True, return_inverse=True)
    target = _merged(numbers, run_chunks, bin_of_run, depth)[bin_of_run]
    order = np.lexsort((run_chunks[:, 0], target))
    target, chunks = target[order], run_chunks[order]
    # Chunks of a bin that meet in a block of the file are one.
    is_first = np.ones(len(chunks), dtype=bool)
    is_first[1:] = (target[1:] != target[:-1]) | (chunks[1:, 0] >> 16 > chunks[:-1, 1] >> 16)
    starts = np.flatnonzero(is_first)
    merged = chunks[starts]
    merged[:, 1] = chunks[np.append(starts[1:], len(chunks)) - 1, 1]
    counts = np.bincount(target[starts], minlength=len(numbers))

    put_in = np.argsort(first_run)
    pseudo = first_bin(depth + 1) + 1
    order = hash_order(np.append(numbers[put_in], pseudo))
    rows = np.append(put_in, len(numbers))[order]
    counts = np.append(counts, 2)
    totals = [[run_chunks[0, 0], run_chunks[-1, 1]], [n_lines, 0]]
    merged = np.concatenate([merged, np.array(totals, dtype=np.int64)])
    rows = rows[counts[rows] > 0]
    begins = np.cumsum(counts) - counts
    return Bins(
        np.append(numbers, pseudo)[rows],
        counts[rows],
        merged[ranges(begins[rows], counts[rows])],
    )


def ranges(begins: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Consecutive numbers from each begin on, one range behind the other."""
    before = np.cumsum(counts) - counts
    return np.arange(int(counts.sum())) + np.repeat(begins - before, counts)


def _merged(
    numbers: NDArray[np.int64],
    chunks: NDArray[np.int64],
    bin_of_run: NDArray[np.int64],
    depth: int,
) -> NDArray[np.int64]:
    """Row of the bin that the lines of each bin end up in: its own, or one above it."""
    first, last = np.full(len(numbers), np.iinfo(np.int64).max), np.zeros(len(numbers), np.int64)
    np.minimum.at(first, bin_of_run, chunks[:, 0])
    np.maximum.at(last, bin_of_run, chunks[:, 1])
    levels = levels_of(numbers, depth)
    target = np.arange(len(numbers))
    for level in range(depth, 0, -1):
        rows = np.flatnonzero(levels == level)
        parents = (numbers[rows] - 1) >> 3
        above = np.searchsorted(numbers, parents)
        goes = (numbers[np.minimum(above, len(numbers) - 1)] == parents) & (
            (last[rows] >> 16) - (first[rows] >> 16) < _SMALL
        )
        rows, above = rows[goes], above[goes]
        np.minimum.at(first, above, first[rows])
        np.maximum.at(last, above, last[rows])
        target[rows] = above
    # Bins are in the order of their numbers: those above come first.
    for level in range(1, depth + 1):
        rows = np.flatnonzero(levels == level)
        target[rows] = target[target[rows]]
    return target
