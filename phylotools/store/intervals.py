"""Runs of covered positions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def merge_intervals(intervals: NDArray[np.int64]) -> NDArray[np.int64]:
    """Union of intervals: sorted, disjoint, touching ones joined.

    Parameters
    ----------
    intervals : int64 array [K, 2]
        Start and end of each.

    Returns
    -------
    int64 array [M, 2]
    """
    if not len(intervals):
        return intervals.reshape(0, 2)
    ordered = intervals[np.argsort(intervals[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, 1])
    first = np.flatnonzero(np.append(True, ordered[1:, 0] > reach[:-1]))
    last = np.append(first[1:] - 1, len(ordered) - 1)
    return np.stack([ordered[first, 0], reach[last]], axis=1)


def runs_of(flags: NDArray[np.bool_], start: int = 0) -> NDArray[np.int64]:
    """Start and end of every run of true values; int64 [K, 2].

    Parameters
    ----------
    flags : bool array [L]
    start : int
        Position of the first.
    """
    bordered = np.zeros(len(flags) + 2, dtype=bool)
    bordered[1:-1] = flags
    edges = np.flatnonzero(bordered[1:] != bordered[:-1])
    return edges.reshape(-1, 2).astype(np.int64) + start


def cut_intervals(intervals: NDArray[np.int64], at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut sorted, disjoint intervals at positions; int64 [M, 2].

    Parameters
    ----------
    intervals : int64 array [K, 2]
    at : int64 array
        Rising. An interval that holds such a position and the one before it becomes two.
    """
    first, last = intervals[:, 0], intervals[:, 1]
    # Inside: more intervals have begun before the position than have ended up to it.
    began = np.searchsorted(first, at, side="left")
    is_inside = began > np.searchsorted(last, at, side="right")
    cuts = np.repeat(at[is_inside], 2)
    return np.sort(np.concatenate([intervals.ravel(), cuts])).reshape(-1, 2)


def windows_of(intervals: NDArray[np.int64], length: int, window: int) -> Iterator[tuple[int, int]]:
    """Windows at multiples of `window` that overlap an interval: (start, end), in order.

    Parameters
    ----------
    intervals : int64 array [K, 2]
        Sorted and disjoint.
    length : int
        The last window is cut here.
    window : int
    """
    previous = -1
    for start, end in intervals.tolist():
        first = max(start // window, previous + 1)
        previous = max(previous, (end - 1) // window)
        for index in range(first, previous + 1):
            yield index * window, min((index + 1) * window, length)
