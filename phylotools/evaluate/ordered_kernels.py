"""Ordered classes in bootstrap replicates; compiled loops over sixteen replicates at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from phylotools.compiling import compile_entries
from phylotools.evaluate import replicate_lanes
from phylotools.evaluate.replicate_lanes import (
    AHEAD,
    LANES,
    as_sums,
    load,
    load_counts,
    no_counts,
    no_sums,
    prefetch,
    store,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ClassOrder(NamedTuple):
    """M variants by stratum, then by ascending score.

    Attributes
    ----------
    clusters : int32[M]
    classes : uint8[M]
        Place of each variant's class, from 0.
    ends_tie : bool[M]
        Whether the next variant has another score, or is of another stratum.
    bounds : int64[n_strata + 1]
        Where the variants of each stratum begin and end.
    """

    clusters: NDArray[np.int32]
    classes: NDArray[np.uint8]
    ends_tie: NDArray[np.bool_]
    bounds: NDArray[np.int64]


class ClassSums(NamedTuple):
    """Sums over replicates of which measures of N ordered classes are made.

    Attributes
    ----------
    wins : float64[N * N, LANES]
        Row a N + b, a < b: twice the pairs of a stratum in which the variant of class b has the
        higher score, ties counting one half.
    pairs : float64[N * N, LANES]
        Pairs of a stratum of these classes.
    differing : float64[2, LANES]
        Ordered pairs of a stratum with different scores, and with different classes.
    ranks : float64[4 n_strata, LANES]
        Four rows a stratum: variants; products of doubled, centred ranks of scores and classes;
        sums of squares of those of scores, and of classes.
    """

    wins: NDArray[np.float64]
    pairs: NDArray[np.float64]
    differing: NDArray[np.float64]
    ranks: NDArray[np.float64]


def _sum_classes(order: ClassOrder, n: int, weights: NDArray[np.uint8], found: ClassSums) -> None:
    """Count pairs and sum ranks where each variant counts as often as its cluster.

    Parameters
    ----------
    order : ClassOrder
    n : int
        Classes.
    weights : uint8[n_clusters, LANES]
    found : ClassSums, written
    """
    found.wins[:] = 0.0
    found.pairs[:] = 0.0
    counts = np.empty((n, LANES), dtype=np.int32)
    counts_before = np.empty((n, LANES), dtype=np.int32)
    rank_sums = np.empty((n, LANES))
    of_scores = of_classes = no_sums()
    last = len(order.clusters) - 1
    for stratum in range(len(order.bounds) - 1):
        counts[:] = 0
        counts_before[:] = 0
        rank_sums[:] = 0.0
        before = size = no_counts()
        squares = cubes = no_sums()
        lowest = n
        highest = -1
        for i in range(order.bounds[stratum], order.bounds[stratum + 1]):
            prefetch(weights, order.clusters[min(i + AHEAD, last)])
            weight = load_counts(weights, order.clusters[i])
            own = np.int64(order.classes[i])
            lowest = min(lowest, int(own))
            highest = max(highest, int(own))
            size = size + weight
            store(counts, own, load(counts, own) + weight)
            if not order.ends_tie[i]:
                continue
            rank = as_sums(before + before + size)
            for k in range(lowest, highest + 1):
                new = as_sums(load(counts, k) - load(counts_before, k))
                store(rank_sums, k, load(rank_sums, k) + new * rank)
                for lower in range(k):
                    below = as_sums(load(counts, lower) + load(counts_before, lower))
                    row = lower * n + k
                    store(found.wins, row, load(found.wins, row) + new * below)
            for k in range(lowest, highest + 1):
                store(counts_before, k, load(counts, k))
            before = before + size
            tied = as_sums(size)
            squares = squares + tied * tied
            cubes = cubes + tied * tied * tied
            size = no_counts()
            lowest = n
            highest = -1
        total = as_sums(before)
        of_scores = of_scores + total * total - squares
        of_classes = of_classes + total * total
        class_cubes = products = no_sums()
        lower_classes = no_counts()
        for k in range(n):
            count = load(counts, k)
            own_total = as_sums(count)
            of_classes = of_classes - own_total * own_total
            class_cubes = class_cubes + own_total * own_total * own_total
            class_rank = as_sums(lower_classes + lower_classes + count - before)
            products = products + (load(rank_sums, k) - own_total * total) * class_rank
            lower_classes = lower_classes + count
            for lower in range(k):
                row = lower * n + k
                both = own_total * as_sums(load(counts, lower))
                store(found.pairs, row, load(found.pairs, row) + both)
        cube = total * total * total
        store(found.ranks, 4 * stratum, total)
        store(found.ranks, 4 * stratum + 1, products)
        store(found.ranks, 4 * stratum + 2, cube - cubes)
        store(found.ranks, 4 * stratum + 3, cube - class_cubes)
    store(found.differing, 0, of_scores)
    store(found.differing, 1, of_classes)


(sum_classes,) = compile_entries([Path(__file__), Path(replicate_lanes.__file__)], _sum_classes)
