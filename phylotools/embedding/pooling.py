"""From the embeddings of bases to one vector a region, tile by tile."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

#: How the bases of a region become a vector; `none` keeps every base.
POOLINGS = ("mean", "max", "centre", "none")


class Pool(ABC):
    """Pools many overlapping intervals at once, a tile at a time."""

    @abstractmethod
    def part(
        self, tile: NDArray[np.float32], begin: NDArray[np.int64], end: NDArray[np.int64]
    ) -> NDArray[np.generic]:
        """What a tile adds to intervals.

        Parameters
        ----------
        tile : float32 array [L, C]
        begin, end : int64 array [K]
            Intervals within the tile, not empty.

        Returns
        -------
        array [K, C]
        """

    @abstractmethod
    def merge(self, old: NDArray[np.generic], new: NDArray[np.generic]) -> NDArray[np.generic]:
        """Two parts of the same intervals together."""

    @abstractmethod
    def finish(self, parts: NDArray[np.generic], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors, float32 [K, C], of intervals all of whose parts were merged."""


class MeanPool(Pool):
    """The mean over the bases, summed in float64 tile by tile."""

    def part(
        self, tile: NDArray[np.float32], begin: NDArray[np.int64], end: NDArray[np.int64]
    ) -> NDArray[np.generic]:
        sums = np.zeros((len(tile) + 1, tile.shape[1]))
        np.cumsum(tile, axis=0, dtype=np.float64, out=sums[1:])
        return sums[end] - sums[begin]

    def merge(self, old: NDArray[np.generic], new: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.add(old, new)

    def finish(self, parts: NDArray[np.generic], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.divide(parts, lengths[:, None]).astype(np.float32)


class MaxPool(Pool):
    """The largest value of each channel."""

    def part(
        self, tile: NDArray[np.float32], begin: NDArray[np.int64], end: NDArray[np.int64]
    ) -> NDArray[np.generic]:
        # Any interval is covered by two of its largest power of two.
        levels = np.frexp((end - begin).astype(np.float64))[1] - 1
        result = np.empty((len(begin), tile.shape[1]), dtype=np.float32)
        best = tile
        for level in range(int(levels.max()) + 1):
            if level:
                half = 1 << (level - 1)
                best = np.maximum(best[:-half], best[half:])
            chosen = np.flatnonzero(levels == level)
            result[chosen] = np.maximum(best[begin[chosen]], best[end[chosen] - (1 << level)])
        return result

    def merge(self, old: NDArray[np.generic], new: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.maximum(old, new)

    def finish(self, parts: NDArray[np.generic], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        return parts.astype(np.float32)


def centres(
    start: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The middle base of each region; of an even number of bases the middle two.

    Whose mean is taken: so both strands have the same centre.
    """
    return (start + end - 1) // 2, (start + end) // 2 + 1
