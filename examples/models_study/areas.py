"""AUROC of many scores on many subsets of variants, all from the same bootstrap draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.compiling import compiled
from phylotools.evaluate.metrics import INTERVAL, Estimate, rank_variants

#: A subset with fewer variants of either kind is left out.
FEWEST = 5
WITHIN_TYPES = "within types"


class Comparison(NamedTuple):
    """M variants, some of which should rank above the others.

    Attributes
    ----------
    name : str
    rows : int64 array [M]
        Of the labels.
    positive : bool array [M]
    """

    name: str
    rows: NDArray[np.int64]
    positive: NDArray[np.bool_]


class Area(NamedTuple):
    """AUROC of one score on one subset.

    Attributes
    ----------
    comparison, subset, score : str
    n_positive, n_negative : int
    auroc : Estimate
    difference : Estimate
        From the first score.
    """

    comparison: str
    subset: str
    score: str
    n_positive: int
    n_negative: int
    auroc: Estimate
    difference: Estimate


@compiled
def ranked_pairs(clusters, positive, ends_tie, n_clusters):  # type: ignore[no-untyped-def]
    """Pairs of a positive and a negative in the right order, by the clusters that they are from.

    Of variants in descending order; a tie counts one half. Returns float64 [clusters, clusters],
    by the positive's cluster and the negative's.
    """
    pairs = np.zeros((n_clusters, n_clusters))
    above = np.zeros(n_clusters)
    tied_positive = np.zeros(n_clusters)
    tied_negative = np.zeros(n_clusters)
    for row in range(len(clusters)):
        if positive[row]:
            tied_positive[clusters[row]] += 1
        else:
            tied_negative[clusters[row]] += 1
        if ends_tie[row]:
            for j in range(n_clusters):
                if tied_negative[j] > 0:
                    for i in range(n_clusters):
                        pairs[i, j] += tied_negative[j] * (above[i] + tied_positive[i] / 2)
                    tied_negative[j] = 0
            above += tied_positive
            tied_positive[:] = 0
    return pairs


class Draws:
    """How often each cluster of variants, a gene or a stretch, is in each bootstrap replicate.

    With so few clusters the AUROC of a replicate is a quadratic form of these numbers: a thousand
    cost no more than one.

    Parameters
    ----------
    clusters : int array [M]
        Of every variant; clusters are drawn whole, as many as there are.
    replicates : int
    seed : int
    """

    def __init__(self, clusters: NDArray[np.int64], replicates: int, seed: int = 1) -> None:
        names, self.of_variant = np.unique(clusters, return_inverse=True)
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=replicates)
        self.weights = np.concatenate([np.ones((1, len(names))), drawn])

    def areas(
        self, tolerance: NDArray[np.float64], rows: NDArray[np.int64], positive: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """AUROC of a score that is low at positives: first of the set, then of the replicates."""
        n_clusters = self.weights.shape[1]
        of_variant = self.of_variant[rows]
        ranked = rank_variants(-tolerance, positive, of_variant)
        pairs = ranked_pairs(ranked.clusters, ranked.positive, ranked.ends_tie, n_clusters)
        counts = [
            self.weights @ np.bincount(of_variant[chosen], minlength=n_clusters)
            for chosen in (positive, ~positive)
        ]
        right = ((self.weights @ pairs) * self.weights).sum(axis=1)
        with np.errstate(invalid="ignore"):
            return right / (counts[0] * counts[1])


def subsets(
    comparison: Comparison, types: NDArray[np.str_], transition: NDArray[np.bool_],
    cpg: NDArray[np.bool_],
) -> Iterator[tuple[str, NDArray[np.bool_]]]:  # fmt: skip
    """Names of subsets, and which variants of a comparison are in them; types come last."""
    own, is_transition, is_cpg = (
        values[comparison.rows] for values in (types, transition, cpg)
    )  # fmt: skip
    yield "all", np.ones(len(own), bool)
    yield "transitions", is_transition
    yield "transversions", ~is_transition
    yield "CpG transitions", is_transition & is_cpg
    for name in np.unique(own):
        yield str(name), own == name


def measure(
    comparison: Comparison,
    scores: dict[str, NDArray[np.float64]],
    parts: list[tuple[str, NDArray[np.bool_]]],
    draws: Draws,
) -> Iterator[Area]:
    """AUROC of every score on every subset, and their mean within types of change.

    Parameters
    ----------
    comparison : Comparison
    scores : dict of str to float64 array
        Of every label, low at what is not tolerated.
    parts : list
        Of `subsets`.
    draws : Draws
    """
    first: dict[str, NDArray[np.float64]] = {}
    for name, values in scores.items():
        for subset, counts, found in areas_of(comparison, values, parts, draws):
            area = (comparison.name, subset, name, *counts)
            yield Area(*area, *_estimates(found, first.setdefault(subset, found)))


def areas_of(
    comparison: Comparison,
    values: NDArray[np.float64],
    parts: list[tuple[str, NDArray[np.bool_]]],
    draws: Draws,
) -> Iterator[tuple[str, tuple[int, int], NDArray[np.float64]]]:
    """Subset, positives and negatives, and AUROC of the set and of every replicate.

    Last comes the mean within types of change. Parameters as for `measure`, of one score.
    """
    within, weights, counts = [], [], np.zeros(2, int)
    for subset, chosen in parts:
        rows, positive = comparison.rows[chosen], comparison.positive[chosen]
        n_positive, n_negative = int(positive.sum()), int((~positive).sum())
        if min(n_positive, n_negative) < FEWEST:
            continue
        found = draws.areas(values[rows], rows, positive)
        if ">" in subset:
            within.append(found)
            weights.append(n_positive)
            counts += (n_positive, n_negative)
        yield subset, (n_positive, n_negative), found
    if within:
        # A replicate that lacks a type says nothing of it.
        mean = np.ma.average(np.ma.masked_invalid(within), axis=0, weights=weights)
        yield WITHIN_TYPES, (int(counts[0]), int(counts[1])), mean.filled(np.nan)


def _estimates(found: NDArray[np.float64], first: NDArray[np.float64]) -> tuple[Estimate, Estimate]:
    return _estimate(found), _estimate(found - first)


def _estimate(found: NDArray[np.float64]) -> Estimate:
    low, high = np.nanpercentile(found[1:], INTERVAL)
    return Estimate(float(found[0]), float(low), float(high))
