"""Runs of columns cut into windows of one length, without an object a window.

A run is a row (contig, start, end) of an int64 array [K, 3]: positions to be used, in the order of
contigs and positions, no two of them touching. Its columns are numbered through all rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.compiling import compiled

#: Ways to tile a segment whose windows are counted beforehand.
N_PHASES = 8


@dataclass(frozen=True)
class Windows:
    """Windows of one length; every column falls into exactly one.

    Attributes
    ----------
    width : int
        Positions of each.
    start : int64 array [N]
        First position, which may lie before the contig.
    run : int64 array [N]
        Index of the first run in the window.
    first_column : int64 array [N + 1]
        The columns of window n are those from entry n to entry n + 1.
    """

    width: int
    start: NDArray[np.int64]
    run: NDArray[np.int64]
    first_column: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start)


def tile(runs: NDArray[np.int64], phase: NDArray[np.int64] | int, width: int) -> Windows:
    """Cut runs into windows.

    Parameters
    ----------
    runs : int64 array [K, 3]
    phase : int64 array [K] or int
        Positions, below `width`, by which the first window of each run begins before it, unless
        another window reaches so far: with other phases a column meets other neighbours.
    width : int
        Length of a window.
    """
    phases = np.broadcast_to(np.asarray(phase, dtype=np.int64), (len(runs),))
    n = count_windows(runs, phases, width)
    windows = Windows(
        width,
        np.empty(n, dtype=np.int64),
        np.empty(n, dtype=np.int64),
        np.empty(n + 1, dtype=np.int64),
    )
    _tile(runs, phases, width, windows.start, windows.run, windows.first_column)
    return windows


def regular_phase(number: int, width: int) -> int:
    """One of the `N_PHASES` phases, spread over a window."""
    return number * width // N_PHASES


def n_columns(runs: NDArray[np.int64]) -> int:
    """Columns in all runs."""
    return int((runs[:, 2] - runs[:, 1]).sum())


def join_touching(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same columns, with runs joined that were cut where another begins."""
    if not len(runs):
        return runs
    is_apart = (runs[1:, 0] != runs[:-1, 0]) | (runs[1:, 1] != runs[:-1, 2])
    first = np.flatnonzero(np.append(True, is_apart))
    last = np.append(first[1:] - 1, len(runs) - 1)
    return np.stack([runs[first, 0], runs[first, 1], runs[last, 2]], axis=1)


@compiled
def count_windows(runs, phase, width):  # type: ignore[no-untyped-def]
    """Number of windows that `tile` makes; phase int64 [K]."""
    contig, reached, n = -1, 0, 0
    for k in range(len(runs)):
        if runs[k, 0] != contig:
            contig, reached = runs[k, 0], -width
        first = max(reached, runs[k, 1] - phase[k])
        if first < runs[k, 2]:
            more = (runs[k, 2] - first + width - 1) // width
            n += more
            reached = first + more * width
    return n


@compiled
def _tile(runs, phase, width, start, run, first_column):  # type: ignore[no-untyped-def]
    contig, reached, n, before = -1, 0, 0, 0
    for k in range(len(runs)):
        if runs[k, 0] != contig:
            contig, reached = runs[k, 0], -width
        begin = max(reached, runs[k, 1] - phase[k])
        while begin < runs[k, 2]:
            start[n], run[n] = begin, k
            first_column[n] = before + max(begin - runs[k, 1], 0)
            n += 1
            begin += width
            reached = begin
        before += runs[k, 2] - runs[k, 1]
    first_column[n] = before


@compiled
def fill_sites(runs, run, start, site):  # type: ignore[no-untyped-def]
    """Offsets from `start` of the columns of a window whose first run is `run`; site int64 [C]."""
    position = max(start, runs[run, 1])
    for c in range(len(site)):
        if position >= runs[run, 2]:
            run += 1
            position = runs[run, 1]
        site[c] = position - start
        position += 1


@compiled
def copy_columns(bases, begin, runs, mask, out):  # type: ignore[no-untyped-def]
    """Copy the rows of `bases` [L, S], the first at position `begin`, that lie in `runs`.

    Bits outside `mask` are cleared. `out` is uint8 [C, S]; the number of rows copied is returned.
    """
    n = 0
    end = begin + len(bases)
    for k in range(len(runs)):
        for position in range(max(runs[k, 1], begin), min(runs[k, 2], end)):
            for s in range(bases.shape[1]):
                out[n, s] = bases[position - begin, s] & mask
            n += 1
    return n
