"""Rank and product-moment correlations in bootstrap replicates; compiled loops.

Variants stand in fixed orders, sorted once; a replicate is a count for each cluster, so the ranks
of its variants are running sums and nothing is sorted again. All ranks are doubled, which keeps
them whole where ties share one. Sixteen replicates are computed together (`replicate_lanes`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from phylotools.compiling import compile_entries, compiled
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
    spread,
    store,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


class LabelOrder(NamedTuple):
    """M variants by stratum, then by ascending label.

    Attributes
    ----------
    clusters : int32[M]
    ends_tie : bool[M]
        Whether the next variant has another label, or is of another stratum.
    bounds : int64[n_strata + 1]
        Where the variants of each stratum begin and end.
    """

    clusters: NDArray[np.int32]
    ends_tie: NDArray[np.bool_]
    bounds: NDArray[np.int64]


class LabelRanks(NamedTuple):
    """Labels of replicates as ranks.

    Attributes
    ----------
    ranks : int32[n_ties, LANES]
        Twice the rank within its stratum, less one, of each run of equal labels.
    totals : int32[n_strata, LANES]
        Variants drawn.
    squares, cubes : float64[n_strata, LANES]
        Sums of the sizes of runs of equal labels, squared and cubed.
    """

    ranks: NDArray[np.int32]
    totals: NDArray[np.int32]
    squares: NDArray[np.float64]
    cubes: NDArray[np.float64]


class ScoreOrder(NamedTuple):
    """M variants by stratum, then by ascending score.

    Attributes
    ----------
    clusters : int32[M]
    ends_tie : bool[M]
        Whether the next variant has another score, or is of another stratum.
    label_ties : int32[M]
        Which run of equal labels each is of.
    concordance : float64[M]
        Concordant less discordant partners of each in its stratum where all count once; of length
        0 where it is not needed.
    """

    clusters: NDArray[np.int32]
    ends_tie: NDArray[np.bool_]
    label_ties: NDArray[np.int32]
    concordance: NDArray[np.float64]


def _rank_labels(order: LabelOrder, weights: NDArray[np.uint8], found: LabelRanks) -> None:
    """Rank the labels where each variant counts as often as its cluster.

    Parameters
    ----------
    order : LabelOrder
    weights : uint8[n_clusters, LANES]
    found : LabelRanks, written
    """
    tie = 0
    last = len(order.clusters) - 1
    for stratum in range(len(order.bounds) - 1):
        before = size = no_counts()
        squares = cubes = no_sums()
        for i in range(order.bounds[stratum], order.bounds[stratum + 1]):
            prefetch(weights, order.clusters[min(i + AHEAD, last)])
            size = size + load_counts(weights, order.clusters[i])
            if order.ends_tie[i]:
                store(found.ranks, tie, before + before + size)
                before = before + size
                n = as_sums(size)
                squares = squares + n * n
                cubes = cubes + n * n * n
                size = no_counts()
                tie += 1
        store(found.totals, stratum, before)
        store(found.squares, stratum, squares)
        store(found.cubes, stratum, cubes)


def _rank_scores(
    order: ScoreOrder,
    bounds: NDArray[np.int64],
    labels: LabelRanks,
    weights: NDArray[np.uint8],
    found: NDArray[np.float64],
) -> None:
    """Sums over the variants of each stratum, of which rank correlations are made.

    Parameters
    ----------
    order : ScoreOrder
    bounds : int64[n_strata + 1]
    labels : LabelRanks
        Of the same replicates.
    weights : uint8[n_clusters, LANES]
    found : float64[4 n_strata, LANES], written
        Four rows a stratum: products of doubled, centred ranks; sizes of runs of equal scores,
        squared, and cubed; `ScoreOrder.concordance` (0 without it).
    """
    is_projected = len(order.concordance) > 0
    last = len(order.clusters) - 1
    for stratum in range(len(bounds) - 1):
        total = load(labels.totals, stratum)
        before = size = no_counts()
        rank_sum = products = squares = cubes = concordance = no_sums()
        for i in range(bounds[stratum], bounds[stratum + 1]):
            ahead = min(i + AHEAD, last)
            prefetch(weights, order.clusters[ahead])
            prefetch(labels.ranks, order.label_ties[ahead])
            weight = load_counts(weights, order.clusters[i])
            rank = load(labels.ranks, order.label_ties[i])
            size = size + weight
            rank_sum = rank_sum + as_sums(weight) * as_sums(rank - total)
            if is_projected:
                concordance = concordance + as_sums(weight) * spread(order.concordance[i])
            if order.ends_tie[i]:
                products = products + rank_sum * as_sums(before + before + size - total)
                before = before + size
                n = as_sums(size)
                squares = squares + n * n
                cubes = cubes + n * n * n
                size = no_counts()
                rank_sum = no_sums()
        store(found, 4 * stratum, products)
        store(found, 4 * stratum + 1, squares)
        store(found, 4 * stratum + 2, cubes)
        store(found, 4 * stratum + 3, concordance)


def _sum_moments(
    order: LabelOrder,
    scores: NDArray[np.float64],
    labels: NDArray[np.float64],
    weights: NDArray[np.uint8],
    found: NDArray[np.float64],
) -> None:
    """Sums over the variants of each stratum, of which Pearson's correlation is made.

    Parameters
    ----------
    order : LabelOrder
    scores, labels : float64[M]
        In this order, less the means of their strata: sums of squares lose no digits.
    weights : uint8[n_clusters, LANES]
    found : float64[6 n_strata, LANES], written
        Six rows a stratum: variants, scores, labels, scores squared, labels squared, products.
    """
    last = len(order.clusters) - 1
    for stratum in range(len(order.bounds) - 1):
        total = no_counts()
        x = y = xx = yy = xy = no_sums()
        for i in range(order.bounds[stratum], order.bounds[stratum + 1]):
            prefetch(weights, order.clusters[min(i + AHEAD, last)])
            weight = load_counts(weights, order.clusters[i])
            total = total + weight
            n = as_sums(weight)
            score, label = scores[i], labels[i]
            x = x + n * spread(score)
            y = y + n * spread(label)
            xx = xx + n * spread(score * score)
            yy = yy + n * spread(label * label)
            xy = xy + n * spread(score * label)
        store(found, 6 * stratum, as_sums(total))
        store(found, 6 * stratum + 1, x)
        store(found, 6 * stratum + 2, y)
        store(found, 6 * stratum + 3, xx)
        store(found, 6 * stratum + 4, yy)
        store(found, 6 * stratum + 5, xy)


def _count_concordance(
    order: LabelOrder,
    codes: NDArray[np.int32],
    n_codes: int,
    weights: NDArray[np.uint8],
    found: NDArray[np.float64],
) -> None:
    """Concordant less discordant pairs, each variant counting as often as its cluster.

    Counts of the variants with lower labels stand in a Fenwick tree (Fenwick 1994) by score, so a
    replicate takes M log M steps.

    Parameters
    ----------
    order : LabelOrder
    codes : int32[M]
        Place of each variant's score among the distinct ones, in the order of labels.
    n_codes : int
    weights : uint8[n_clusters, LANES]
    found : float64[1, LANES], written
    """
    tree = np.zeros((n_codes + 1, LANES), dtype=np.int32)
    counts = np.zeros((n_codes, LANES), dtype=np.int32)
    seen = no_counts()
    sums = no_sums()
    first = 0
    for last in range(len(codes)):
        if not order.ends_tie[last]:
            continue
        for i in range(first, last + 1):
            code = np.int64(codes[i])
            below = no_counts()
            node = code
            while node > 0:
                below = below + load(tree, node)
                node &= node - 1
            above = seen - below - load(counts, code)
            weight = load_counts(weights, order.clusters[i])
            sums = sums + as_sums(weight) * as_sums(below - above)
        for i in range(first, last + 1):
            code = np.int64(codes[i])
            weight = load_counts(weights, order.clusters[i])
            node = code + 1
            while node <= n_codes:
                store(tree, node, load(tree, node) + weight)
                node += node & -node
            store(counts, code, load(counts, code) + weight)
            seen = seen + weight
        first = last + 1
    store(found, 0, sums)


@compiled
def concordance_of_each(
    ends_tie: NDArray[np.bool_], codes: NDArray[np.int32], n_codes: int
) -> NDArray[np.int64]:
    """Concordant less discordant partners of each variant.

    Parameters
    ----------
    ends_tie : bool[M]
        As in `LabelOrder`.
    codes : int32[M]
        Place of each variant's score among the distinct ones, in the order of labels.
    n_codes : int

    Returns
    -------
    int64[M]
        In the order of labels.
    """
    found = np.zeros(len(codes), dtype=np.int64)
    last = len(codes) - 1
    for direction in (1, -1):
        # Ascending labels first, then descending.
        tree = np.zeros(n_codes + 1, dtype=np.int64)
        counts = np.zeros(n_codes, dtype=np.int64)
        seen = 0
        first = 0
        for step in range(len(codes)):
            if step < last and not ends_tie[step if direction == 1 else last - 1 - step]:
                continue
            for k in range(first, step + 1):
                i = k if direction == 1 else last - k
                below = 0
                node = np.int64(codes[i])
                while node > 0:
                    below += tree[node]
                    node &= node - 1
                found[i] += direction * (2 * below + counts[codes[i]] - seen)
            for k in range(first, step + 1):
                i = k if direction == 1 else last - k
                node = np.int64(codes[i]) + 1
                while node <= n_codes:
                    tree[node] += 1
                    node += node & -node
                counts[codes[i]] += 1
                seen += 1
            first = step + 1
    return found


rank_labels, rank_scores, sum_moments, count_concordance = compile_entries(
    [Path(__file__), Path(replicate_lanes.__file__)],
    _rank_labels,
    _rank_scores,
    _sum_moments,
    _count_concordance,
)
