"""How well scores tell two classes apart: AUROC, AUPRC, and intervals from resampled clusters."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.area_kernels import (
    RankedVariants,
    weighted_areas,
    weighted_areas_within,
)
from phylotools.evaluate.resampling import (
    INTERVAL,
    MIN_CLUSTERS_FOR_INTERVAL,
    Clusters,
    Estimate,
    Floats,
    Measure,
    Seed,
    clusters_with,
    estimate,
    measure_once,
    number_clusters,
    resample,
)
from phylotools.evaluate.strata_order import refuse_missing

__all__ = [
    "INTERVAL",
    "MIN_CLUSTERS_FOR_INTERVAL",
    "Comparison",
    "Estimate",
    "RankedVariants",
    "ScoreMetrics",
    "compare_scores",
    "compare_within",
    "rank_variants",
    "rank_within",
]


@dataclass(frozen=True)
class ScoreMetrics:
    """AUROC and AUPRC of one score on one set of variants.

    Attributes
    ----------
    auroc, auprc : Estimate
    auroc_difference, auprc_difference : Estimate or None
        Minus those of the first score, paired; None for the first score itself.
    """

    auroc: Estimate
    auprc: Estimate
    auroc_difference: Estimate | None = None
    auprc_difference: Estimate | None = None


@dataclass(frozen=True)
class Comparison:
    """Metrics of several scores on the same variants.

    Attributes
    ----------
    n_positive, n_negative : int
        Variants.
    n_positive_sites, n_negative_sites : int
        Sites that carry at least one such variant; a site may count in both.
    metrics : tuple of ScoreMetrics
        In the order of the scores.
    baselines : dict of str to ScoreMetrics
        Of rankings that know no score, by what they rank by.
    """

    n_positive: int
    n_negative: int
    n_positive_sites: int
    n_negative_sites: int
    metrics: tuple[ScoreMetrics, ...]
    baselines: dict[str, ScoreMetrics] = field(default_factory=dict)

    @property
    def prevalence(self) -> float:
        """Fraction of positives: the AUPRC of a random score."""
        total = self.n_positive + self.n_negative
        return self.n_positive / total if total else math.nan


def rank_variants(
    scores: Floats, positive: NDArray[np.bool_], clusters: NDArray[np.integer]
) -> RankedVariants:
    """Sort variants by descending score.

    Parameters
    ----------
    scores : float64[M]
        Infinities are ordinary values.
    positive : bool[M]
    clusters : int[M]
        0 to n_clusters - 1.

    Raises
    ------
    ValueError
        If a score is NaN.
    """
    refuse_missing(scores)
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends_tie = np.append(ordered[1:] != ordered[:-1], len(scores) > 0)[: len(scores)]
    return RankedVariants(clusters[order].astype(np.int32), positive[order], ends_tie)


def rank_within(
    scores: Floats,
    positive: NDArray[np.bool_],
    clusters: NDArray[np.integer],
    strata: NDArray[np.integer],
) -> tuple[RankedVariants, NDArray[np.bool_]]:
    """Sort variants by stratum, then by descending score.

    Returns
    -------
    ranked : RankedVariants
    ends_stratum : bool[M]
        Whether the next variant is of another stratum.

    Raises
    ------
    ValueError
        If a score is NaN.
    """
    refuse_missing(scores)
    order = np.lexsort((-scores, strata))
    ordered, of = scores[order], strata[order]
    ends_stratum = np.append(of[1:] != of[:-1], True)[: len(order)]
    ends_tie = np.append(ordered[1:] != ordered[:-1], True)[: len(order)] | ends_stratum
    ranked = RankedVariants(clusters[order].astype(np.int32), positive[order], ends_tie)
    return ranked, ends_stratum


def compare_scores(
    scores: Floats,
    positive: NDArray[np.bool_],
    clusters: NDArray[np.int64],
    *,
    replicates: int = 2000,
    seed: Seed = 1,
) -> Comparison:
    """Compare scores on the same variants, with paired bootstrap intervals.

    Alternatives at one site share their sequence context and their column, so whole clusters are
    drawn, with replacement, within three strata (clusters with positives only, negatives only, and
    both): every replicate keeps the design of the set, and every score sees the same replicates.

    Parameters
    ----------
    scores : float64[K, M]
        K scores of M variants, turned so that high values point to the positive class.
        Infinities are ordinary values; NaN is refused.
    positive : bool[M]
    clusters : int64[M]
        What is drawn whole: any number per cluster, equal for variants of one.
    replicates : int
        Bootstrap replicates; 0 for none.
    seed : int or list of int

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If a score is NaN.
    """
    numbered = number_clusters(clusters, positive.astype(np.int64))
    rankings = [rank_variants(row, positive, numbered.of) for row in scores]

    def areas(weights: NDArray[np.uint8], found: Floats) -> None:
        for k, ranking in enumerate(rankings):
            found[:, k] = weighted_areas(ranking, weights)

    return _compared(areas, len(scores), positive, numbered, replicates, seed)


def compare_within(
    scores: Floats,
    positive: NDArray[np.bool_],
    clusters: NDArray[np.int64],
    strata: NDArray[np.int64],
    *,
    replicates: int = 2000,
    seed: Seed = 1,
) -> Comparison:
    """Compare scores by how they rank variants of the same stratum.

    The AUROC is over pairs of a positive and a negative of one stratum, the mean of those within
    strata weighted by their numbers of such pairs: what strata differ in cannot help it. There is
    no AUPRC.

    Parameters
    ----------
    scores, positive, clusters, replicates, seed
        As for `compare_scores`.
    strata : int64[M]
        Equal for variants of one stratum.
    """
    numbered = number_clusters(clusters, positive.astype(np.int64))
    rankings = [rank_within(row, positive, numbered.of, strata) for row in scores]

    def areas(weights: NDArray[np.uint8], found: Floats) -> None:
        found[:, :, 1] = math.nan
        for k, (ranking, ends_stratum) in enumerate(rankings):
            found[:, k, 0] = weighted_areas_within(ranking, ends_stratum, weights)

    return _compared(areas, len(scores), positive, numbered, replicates, seed)


def _compared(
    areas: Measure,
    n_scores: int,
    positive: NDArray[np.bool_],
    numbered: Clusters,
    replicates: int,
    seed: Seed,
) -> Comparison:
    """Areas of all scores, [K, 2], with intervals where there are clusters enough."""
    with_either = clusters_with(numbered, positive), clusters_with(numbered, ~positive)
    if min(with_either) < MIN_CLUSTERS_FOR_INTERVAL:
        replicates = 0
    shape = (n_scores, 2)
    values = measure_once(numbered, areas, shape)
    drawn = resample(numbered, areas, shape, replicates=replicates, seed=seed)
    n_positive = int(np.count_nonzero(positive))
    return Comparison(
        n_positive, len(positive) - n_positive, *with_either, _estimates(values, drawn)
    )


def _estimates(areas: Floats, drawn: Floats) -> tuple[ScoreMetrics, ...]:
    """Turn areas [K, 2] and their replicates [R, K, 2] into estimates and paired differences."""

    def one(measure: int, score: int) -> Estimate:
        return estimate(areas[score, measure], drawn[:, score, measure])

    def minus_first(measure: int, score: int) -> Estimate | None:
        if not score:
            return None
        value = areas[score, measure] - areas[0, measure]
        return estimate(value, drawn[:, score, measure] - drawn[:, 0, measure])

    return tuple(
        ScoreMetrics(one(0, k), one(1, k), minus_first(0, k), minus_first(1, k))
        for k in range(len(areas))
    )
