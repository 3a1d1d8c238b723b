"""How well scores rank ordered classes, such as benign < likely benign < ... < pathogenic.

- **c-index**: of two variants of different classes, the chance that the one of the higher class has
  the higher score, ties counting one half (Harrell et al. 1982). With two classes it is the AUROC;
  2 c - 1 is Somers' D of the score given the class (Somers 1962).
- **AUROC of each split**: classes from k on against all below.
- **Kendall's tau-b** and **Spearman** with the places of the classes as numbers.

Within strata, c-index, splits and Kendall count pairs of variants of one stratum only; Spearman is
the mean of the values within each, weighted by its number of variants. All are computed anew on
every replicate, of whole clusters drawn within strata of their classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.ordered_kernels import ClassOrder, ClassSums, sum_classes
from phylotools.evaluate.replicate_lanes import LANES
from phylotools.evaluate.resampling import (
    MIN_CLUSTERS_FOR_INTERVAL,
    Clusters,
    Figures,
    Floats,
    Seed,
    clusters_with,
    figures,
    measure_once,
    number_clusters,
    resample,
)
from phylotools.evaluate.strata_order import (
    correlation_ratio,
    mean_within,
    number_strata,
    order_within,
    refuse_missing,
)

C_INDEX, KENDALL, SPEARMAN = _WHOLE = ("c_index", "kendall", "spearman")


def split_name(k: int) -> str:
    """Name of the measure of classes from `k` on against those below, k from 1."""
    return f"auroc_from_{k}"


@dataclass(frozen=True)
class OrderedComparison:
    """Scores on ordered classes.

    Attributes
    ----------
    n_of_class : tuple of int
        Variants of each class, the lowest first.
    n_clusters_of_class : tuple of int
        Clusters that hold at least one such variant.
    n_strata : int
    metrics : tuple of Figures
        In the order of the scores: ``c_index``, ``kendall``, ``spearman``, and `split_name` of
        every class but the lowest.
    """

    n_of_class: tuple[int, ...]
    n_clusters_of_class: tuple[int, ...]
    n_strata: int
    metrics: tuple[Figures, ...]


def compare_ordered(
    scores: Floats,
    classes: NDArray[np.integer],
    clusters: NDArray[np.int64],
    *,
    n_classes: int,
    strata: NDArray[np.integer] | None = None,
    replicates: int = 2000,
    seed: Seed = 1,
) -> OrderedComparison:
    """Compare scores by how they rank ordered classes, with paired bootstrap intervals.

    Parameters
    ----------
    scores : float64[K, M]
        Turned so that high values point to high classes. Infinities are ordinary values.
    classes : int[M]
        Place of each variant's class, from 0.
    clusters : int64[M]
        What is drawn whole.
    n_classes : int
        At most 255.
    strata : int[M], optional
        Equal for variants of one stratum: compare within strata.
    replicates : int
        Bootstrap replicates; 0 for none. A measure has an interval where both sides that it tells
        apart (for c-index and correlations, two classes at least) lie in five clusters or more.
    seed : int or list of int

    Raises
    ------
    ValueError
        If a score is NaN, or a class is not below `n_classes`.
    """
    refuse_missing(scores)
    places = classes.astype(np.int64)
    if len(places) and not 0 <= places.min() <= places.max() < n_classes <= 255:
        raise ValueError("a class is not among those that are ordered")
    numbered = number_clusters(clusters, places)
    of_stratum, bounds = number_strata(strata, len(places))
    orders = []
    for row in scores:
        rows, ends, _ = order_within(row, of_stratum)
        of_class = places[rows].astype(np.uint8)
        orders.append(ClassOrder(numbered.of[rows], of_class, ends, bounds))

    def measure(weights: NDArray[np.uint8], found: Floats) -> None:
        for k, order in enumerate(orders):
            found[:, k] = _measures(order, n_classes, weights)

    names = (*_WHOLE, *map(split_name, range(1, n_classes)))
    shape = (len(scores), len(names))
    n_of_class = tuple(np.bincount(places, minlength=n_classes).tolist())
    n_clusters = tuple(clusters_with(numbered, places == k) for k in range(n_classes))
    drawn = resample(numbered, measure, shape, replicates=replicates, seed=seed)
    drawn[:, :, ~_has_interval(numbered, places, n_clusters)] = math.nan
    values = measure_once(numbered, measure, shape)
    return OrderedComparison(n_of_class, n_clusters, len(bounds) - 1, figures(names, values, drawn))


def _has_interval(
    numbered: Clusters, classes: NDArray[np.int64], n_clusters: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Which measures are told apart by clusters enough: bool[3 + n_classes - 1]."""
    second = sorted(n_clusters)[-2] if len(n_clusters) > 1 else 0
    splits = [
        min(clusters_with(numbered, classes >= k), clusters_with(numbered, classes < k))
        for k in range(1, len(n_clusters))
    ]
    return np.array([second] * len(_WHOLE) + splits) >= MIN_CLUSTERS_FOR_INTERVAL


def _measures(order: ClassOrder, n: int, weights: NDArray[np.uint8]) -> Floats:
    """Measures of one score: float64[LANES, 3 + n - 1]."""
    n_strata = len(order.bounds) - 1
    sums = ClassSums(
        np.empty((n * n, LANES)),
        np.empty((n * n, LANES)),
        np.empty((2, LANES)),
        np.empty((4 * n_strata, LANES)),
    )
    sum_classes(order, n, weights, sums)
    twice_wins, pairs = (each.reshape(n, n, LANES) for each in (sums.wins, sums.pairs))
    found = np.full((LANES, len(_WHOLE) + n - 1), math.nan)
    all_wins, all_pairs = twice_wins.sum(axis=(0, 1)) / 2, pairs.sum(axis=(0, 1))
    np.divide(all_wins, all_pairs, out=found[:, 0], where=all_pairs > 0)
    # Concordant less discordant, from both sides of a pair.
    difference = 2 * (2 * all_wins - all_pairs)
    of_scores, of_classes = sums.differing
    found[:, 1] = correlation_ratio(difference, np.sqrt(of_scores) * np.sqrt(of_classes))
    total, products, score_squares, class_squares = sums.ranks.reshape(-1, 4, LANES).swapaxes(0, 1)
    size = np.sqrt(np.maximum(score_squares, 0)) * np.sqrt(np.maximum(class_squares, 0)) / 3
    found[:, 2] = mean_within(total, correlation_ratio(products, size))
    for k in range(1, n):
        wins, of_split = (each[:k, k:].sum(axis=(0, 1)) for each in (twice_wins / 2, pairs))
        np.divide(wins, of_split, out=found[:, 2 + k], where=of_split > 0)
    return found
