"""What lies close to something on another side of a split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_NONE = -1
#: Positions between contigs, in coordinates that go through all of them.
_CONTIG_BITS = 42


def neighbours_across(
    contig: NDArray[np.integer],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    side: NDArray[np.integer],
    distance: int,
) -> NDArray[np.int64]:
    """For each interval one of another side that is close to it; int64 [N], -1 where none is.

    Parameters
    ----------
    contig : int array [N]
    start, end : int64 array [N]
        0-based, half-open.
    side : int array [N]
        Few different ones: time grows with their number.
    distance : int
        Two intervals are close where fewer positions than this lie between them; with 0, where
        they share a position.
    """
    order = np.lexsort((start, contig))
    offset = contig[order].astype(np.int64) << _CONTIG_BITS
    starts, ends, sides = start[order] + offset, end[order] + offset, side[order]
    found = np.full(len(order), _NONE, dtype=np.int64)
    far = np.int64(1) << 62
    for each in np.unique(sides):
        others = sides != each
        own = np.flatnonzero(~others)
        # The furthest end of others that begin before, and the first others that begin after.
        reach = np.where(others, ends, -far)
        furthest = np.maximum.accumulate(reach)
        is_new = np.append(True, reach[1:] > furthest[:-1])
        before = np.maximum.accumulate(np.where(is_new, np.arange(len(order)), 0))
        places = np.where(others, np.arange(len(order)), len(order))
        after = np.minimum.accumulate(places[::-1])[::-1]
        next_starts = np.append(starts, far)[after]
        has_before = starts[own] - furthest[own] < distance
        has_after = next_starts[own] - ends[own] < distance
        partner = np.where(
            has_before, before[own], np.append(np.arange(len(order)), _NONE)[after[own]]
        )
        found[own] = np.where(has_before | has_after, partner, _NONE)
    result = np.full(len(order), _NONE, dtype=np.int64)
    result[order] = np.where(found == _NONE, _NONE, order[found])
    return result
