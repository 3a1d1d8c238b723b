"""Counts above thresholds in bootstrap replicates, and monotone regression; compiled loops."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from phylotools.compiling import compile_entries, compiled
from phylotools.evaluate import replicate_lanes
from phylotools.evaluate.area_kernels import RankedVariants
from phylotools.evaluate.replicate_lanes import (
    AHEAD,
    as_sums,
    load,
    load_counts,
    no_counts,
    no_sums,
    prefetch,
    spread,
    spread_count,
    store,
    where_at_most,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _count_at(
    ranked: RankedVariants,
    cuts: NDArray[np.int64],
    weights: NDArray[np.uint8],
    found: NDArray[np.int32],
) -> None:
    """Count positives and negatives among the first variants of a ranking.

    Parameters
    ----------
    ranked : RankedVariants
    cuts : int64[N]
        Rising: among how many.
    weights : uint8[n_clusters, LANES]
    found : int32[2 N, LANES], written
        Positives, then negatives, of each cut.
    """
    hits = misses = no_counts()
    last = len(ranked.clusters) - 1
    done = 0
    for n in range(len(cuts)):
        for i in range(done, cuts[n]):
            prefetch(weights, ranked.clusters[min(i + AHEAD, last)])
            weight = load_counts(weights, ranked.clusters[i])
            if ranked.positive[i]:
                hits = hits + weight
            else:
                misses = misses + weight
        done = max(done, cuts[n])
        store(found, 2 * n, hits)
        store(found, 2 * n + 1, misses)


def _choose_cuts(
    ranked: RankedVariants,
    allowed: NDArray[np.int32],
    needed: NDArray[np.int32],
    weights: NDArray[np.uint8],
    found: NDArray[np.int32],
) -> None:
    """Choose thresholds anew in each replicate.

    Parameters
    ----------
    ranked : RankedVariants
    allowed : int32[T, LANES]
        As few as so many negatives are to be called positive.
    needed : int32[U, LANES]
        At least so many positives are to be.
    weights : uint8[n_clusters, LANES]
    found : int32[2 (T + U), LANES], written
        Of each: the positives called (of `allowed`) or the negatives called (of `needed`), and the
        place in the ranking of the last that is called; -1 where none is.
    """
    n_allowed, n_needed = len(allowed), len(needed)
    found[:] = 0
    found[1::2] = -1
    hits = misses = hits_before = no_counts()
    one = spread_count(1)
    last = len(ranked.clusters) - 1
    for i in range(last + 1):
        prefetch(weights, ranked.clusters[min(i + AHEAD, last)])
        weight = load_counts(weights, ranked.clusters[i])
        if ranked.positive[i]:
            hits = hits + weight
        else:
            misses = misses + weight
        if not ranked.ends_tie[i]:
            continue
        place = spread_count(i)
        for t in range(n_allowed):
            limit = load(allowed, t)
            store(found, 2 * t, where_at_most(misses, limit, hits, load(found, 2 * t)))
            store(found, 2 * t + 1, where_at_most(misses, limit, place, load(found, 2 * t + 1)))
        for u in range(n_needed):
            row = 2 * (n_allowed + u)
            need = load(needed, u)
            # Where it is the first threshold that reaches them.
            called = where_at_most(hits_before, need - one, misses, load(found, row))
            store(found, row, where_at_most(need, hits, called, load(found, row)))
            at = where_at_most(hits_before, need - one, place, load(found, row + 1))
            store(found, row + 1, where_at_most(need, hits, at, load(found, row + 1)))
        hits_before = hits


def _sum_values(
    clusters: NDArray[np.int32],
    values: NDArray[np.float64],
    weights: NDArray[np.uint8],
    found: NDArray[np.float64],
) -> None:
    """Sum values, each variant counting as often as its cluster.

    Parameters
    ----------
    clusters : int32[M]
    values : float64[V, M]
    weights : uint8[n_clusters, LANES]
    found : float64[V + 1, LANES], written
        The sums, and the number of variants drawn.
    """
    n_values = len(values)
    total = no_counts()
    for v in range(n_values):
        store(found, v, no_sums())
    last = len(clusters) - 1
    for i in range(last + 1):
        prefetch(weights, clusters[min(i + AHEAD, last)])
        weight = load_counts(weights, clusters[i])
        total = total + weight
        for v in range(n_values):
            store(found, v, load(found, v) + as_sums(weight) * spread(values[v, i]))
    store(found, n_values, as_sums(total))


count_at, choose_cuts, sum_values = compile_entries(
    [Path(__file__), Path(replicate_lanes.__file__)], _count_at, _choose_cuts, _sum_values
)


@compiled
def monotone(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rising sequence nearest to values, by pooling adjacent violators (Barlow et al. 1972).

    Parameters
    ----------
    values, weights : float64[N]
        Weights above 0.

    Returns
    -------
    float64[N]
    """
    n = len(values)
    means = np.empty(n)
    sizes = np.empty(n)
    counts = np.empty(n, dtype=np.int64)
    n_pools = 0
    for i in range(n):
        mean, size, count = values[i], weights[i], 1
        while n_pools > 0 and means[n_pools - 1] >= mean:
            n_pools -= 1
            total = sizes[n_pools] + size
            mean = (means[n_pools] * sizes[n_pools] + mean * size) / total
            size = total
            count += counts[n_pools]
        means[n_pools], sizes[n_pools], counts[n_pools] = mean, size, count
        n_pools += 1
    found = np.empty(n)
    done = 0
    for pool in range(n_pools):
        found[done : done + counts[pool]] = means[pool]
        done += counts[pool]
    return found
