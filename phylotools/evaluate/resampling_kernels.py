"""Bootstrap draws of whole clusters; compiled loops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phylotools.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

# SplitMix64 (Steele, Lea and Flood 2014): one stream a replicate, whatever thread draws it.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_LOW_HALF = np.uint64(0xFFFFFFFF)
# Random numbers that are made before the first of them is used: two loops that a processor can run
# far ahead in, where one would wait for memory at every draw (2 ms for a million draws, not 6).
_AT_ONCE = 1024
# Clusters whose counts are laid beside each other while they are in the core's cache.
_TILE = 512


@compiled
def _draw(state: np.uint64, size: np.uint64) -> np.uint64:
    """A random number below 2 ** 32 times `size`; its high half is a draw, if it is not refused."""
    mixed = (state ^ (state >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(32)) * size


@compiled
def draw_clusters(seed: np.uint64, bounds: NDArray[np.int64], weights: NDArray[np.uint8]) -> None:
    """Draw as many clusters as there are, with replacement, within each stratum.

    Parameters
    ----------
    seed : uint64
    bounds : int64[n_strata + 1]
        Clusters of stratum k are those from ``bounds[k]`` to ``bounds[k + 1]``; fewer than 2 ** 32.
    weights : uint8[n_clusters], written
        How often each cluster was drawn. 255 is never reached: a cluster is drawn once on average,
        and no more often than its stratum has clusters.
    """
    weights[:] = 0
    drawn = np.empty(_AT_ONCE, dtype=np.uint32)
    state = seed
    for k in range(len(bounds) - 1):
        first = np.uint64(bounds[k])
        n_clusters = bounds[k + 1] - bounds[k]
        size = np.uint64(n_clusters)
        # Lemire 2019: the high half of a product is uniform once few low halves are refused.
        refused = (_LOW_HALF - size + np.uint64(1)) % size if n_clusters else np.uint64(0)
        for begin in range(0, n_clusters, _AT_ONCE):
            n = min(_AT_ONCE, n_clusters - begin)
            lowest = _LOW_HALF
            for i in range(n):
                product = _draw(state + np.uint64(i + 1) * _STEP, size)
                drawn[i] = product >> np.uint64(32)
                lowest = min(lowest, product & _LOW_HALF)
            if lowest >= refused:
                state += np.uint64(n) * _STEP
            else:
                i = 0
                while i < n:
                    state += _STEP
                    product = _draw(state, size)
                    if product & _LOW_HALF >= refused:
                        drawn[i] = product >> np.uint64(32)
                        i += 1
            for i in range(n):
                weights[first + np.uint64(drawn[i])] += np.uint8(1)


@compiled
def draw_replicates(
    seeds: NDArray[np.uint64],
    bounds: NDArray[np.int64],
    drawn: NDArray[np.uint8],
    weights: NDArray[np.uint8],
) -> None:
    """Draw several replicates, those of one cluster beside each other.

    Parameters
    ----------
    seeds : uint64[B]
        One for each replicate.
    bounds : int64[n_strata + 1]
        As for `draw_clusters`.
    drawn : uint8[B, n_clusters], written
        As `weights`, transposed.
    weights : uint8[n_clusters, LANES], written
        How often each cluster was drawn; 0 in the lanes beyond B.
    """
    n_clusters = bounds[-1]
    for replicate in range(len(seeds)):
        draw_clusters(seeds[replicate], bounds, drawn[replicate])
    for begin in range(0, n_clusters, _TILE):
        end = min(begin + _TILE, n_clusters)
        weights[begin:end, len(seeds) :] = 0
        for replicate in range(len(seeds)):
            for cluster in range(begin, end):
                weights[cluster, replicate] = drawn[replicate, cluster]
