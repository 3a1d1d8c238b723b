"""How well scores tell two classes apart: AUROC, AUPRC, and intervals from resampled sites."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.area_kernels import (
    RankedVariants,
    resampled_areas,
    resampled_areas_within,
    weighted_area_within,
    weighted_areas,
)
from phylotools.threads import map_in_threads

#: Below this many sites of either class a percentile interval would understate the uncertainty.
MIN_SITES_FOR_INTERVAL = 5
#: Percentiles of a 95 % interval.
INTERVAL = (2.5, 97.5)
# Replicates that a thread draws at once.
_BLOCK = 16

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval; NaN stands for what cannot be estimated."""

    value: float
    low: float = math.nan
    high: float = math.nan


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
    scores: Floats, positive: NDArray[np.bool_], sites: NDArray[np.int64]
) -> RankedVariants:
    """Sort variants by descending score.

    Parameters
    ----------
    scores : float64[M]
        Infinities are ordinary values.
    positive : bool[M]
    sites : int64[M]
        0 to n_sites - 1.

    Raises
    ------
    ValueError
        If a score is NaN.
    """
    if np.isnan(scores).any():
        raise ValueError("a missing score cannot be ranked")
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends_tie = np.append(ordered[1:] != ordered[:-1], len(scores) > 0)[: len(scores)]
    return RankedVariants(sites[order].astype(np.int32), positive[order], ends_tie)


def compare_scores(
    scores: Floats,
    positive: NDArray[np.bool_],
    sites: NDArray[np.int64],
    *,
    replicates: int = 2000,
    seed: int | list[int] = 1,
) -> Comparison:
    """Compare scores on the same variants, with paired bootstrap intervals.

    Alternatives at one site share their sequence context and their column, so whole sites are
    drawn, with replacement, within three strata (sites with positives only, negatives only, and
    both): every replicate keeps the design of the set, and every score sees the same replicates.

    Parameters
    ----------
    scores : float64[K, M]
        K scores of M variants, turned so that high values point to the positive class.
        Infinities are ordinary values; NaN is refused.
    positive : bool[M]
    sites : int64[M]
        Any number per site, equal for variants at one site.
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
    sites, bounds = _by_stratum(positive, sites)
    n_positive = int(np.count_nonzero(positive))
    n_negative = len(positive) - n_positive
    only_positive, only_negative, both = np.diff(bounds).tolist()
    site_counts = only_positive + both, only_negative + both
    rankings = tuple(rank_variants(row, positive, sites) for row in scores)
    once = np.ones(bounds[-1], dtype=np.uint8)
    areas = np.array([weighted_areas(ranking, once) for ranking in rankings])
    if min(site_counts) < MIN_SITES_FOR_INTERVAL:
        replicates = 0
    drawn = _resample(rankings, bounds, replicates, seed)
    return Comparison(n_positive, n_negative, *site_counts, _estimates(areas, drawn))


def compare_within(
    scores: Floats,
    positive: NDArray[np.bool_],
    sites: NDArray[np.int64],
    strata: NDArray[np.int64],
    *,
    replicates: int = 2000,
    seed: int | list[int] = 1,
) -> Comparison:
    """Compare scores by how they rank variants of the same stratum.

    The AUROC is over pairs of a positive and a negative of one stratum, the mean of those within
    strata weighted by their numbers of such pairs: what strata differ in cannot help it. There is
    no AUPRC.

    Parameters
    ----------
    scores, positive, sites, replicates, seed
        As for `compare_scores`.
    strata : int64[M]
        Equal for variants of one stratum.
    """
    sites, bounds = _by_stratum(positive, sites)
    n_positive = int(np.count_nonzero(positive))
    only_positive, only_negative, both = np.diff(bounds).tolist()
    site_counts = only_positive + both, only_negative + both
    order = np.argsort(strata, kind="stable")
    ends = np.append(np.diff(strata[order]) != 0, len(order) > 0)[: len(order)]
    rankings = tuple(_rank_within(row, positive, sites, strata, ends) for row in scores)
    once = np.ones(bounds[-1], dtype=np.uint8)
    areas = np.array([weighted_area_within(ranking, ends, once) for ranking in rankings])
    if min(site_counts) < MIN_SITES_FOR_INTERVAL:
        replicates = 0
    seeds = np.random.SeedSequence(seed).generate_state(replicates, np.uint64).astype(np.uint64)
    drawn = np.empty((replicates, len(rankings)))

    def run_block(begin: int) -> None:
        block = slice(begin, begin + _BLOCK)
        resampled_areas_within(rankings, ends, seeds[block], bounds, drawn[block])

    map_in_threads(run_block, range(0, replicates, _BLOCK))
    nothing = np.full((*drawn.shape, 1), np.nan)
    metrics = _estimates(
        np.stack([areas, np.full_like(areas, np.nan)], axis=1),
        np.concatenate([drawn[..., None], nothing], axis=2),
    )
    return Comparison(n_positive, len(positive) - n_positive, *site_counts, metrics)


def _rank_within(
    scores: Floats,
    positive: NDArray[np.bool_],
    sites: NDArray[np.int64],
    strata: NDArray[np.int64],
    ends_stratum: NDArray[np.bool_],
) -> RankedVariants:
    """Sort variants by stratum, then by descending score."""
    order = np.lexsort((-scores, strata))
    ordered = scores[order]
    ends_tie = np.append(ordered[1:] != ordered[:-1], True)[: len(scores)] | ends_stratum
    return RankedVariants(sites[order].astype(np.int32), positive[order], ends_tie)


def _by_stratum(
    positive: NDArray[np.bool_], sites: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the sites from 0: those with positives only, negatives only, then both.

    Returns
    -------
    sites : int64[M]
        Of each variant.
    bounds : int64[4]
        Where the sites of each stratum begin and end.
    """
    distinct, sites = np.unique(sites, return_inverse=True)
    has_positive, has_negative = (
        np.bincount(sites[chosen], minlength=len(distinct)) > 0 for chosen in (positive, ~positive)
    )
    stratum = np.where(has_positive & has_negative, 2, np.where(has_positive, 0, 1))
    place = np.empty(len(distinct), dtype=np.int64)
    place[np.argsort(stratum, kind="stable")] = np.arange(len(distinct))
    bounds = np.concatenate([[0], np.cumsum(np.bincount(stratum, minlength=3))])
    return place[sites], bounds


def _resample(
    rankings: tuple[RankedVariants, ...],
    bounds: NDArray[np.int64],
    replicates: int,
    seed: int | list[int],
) -> Floats:
    """Areas of replicates, float64[R, K, 2]; the number of threads does not change them."""
    seeds = np.random.SeedSequence(seed).generate_state(replicates, np.uint64).astype(np.uint64)
    areas = np.empty((replicates, len(rankings), 2))

    def run_block(begin: int) -> None:
        block = slice(begin, begin + _BLOCK)
        resampled_areas(rankings, seeds[block], bounds, areas[block])

    map_in_threads(run_block, range(0, replicates, _BLOCK))
    return areas


def _estimates(areas: Floats, drawn: Floats) -> tuple[ScoreMetrics, ...]:
    """Turn areas [K, 2] and their replicates [R, K, 2] into estimates and paired differences."""

    def estimate(measure: int, score: int, minus: int | None = None) -> Estimate:
        value, sample = areas[score, measure], drawn[:, score, measure]
        if minus is not None:
            value, sample = value - areas[minus, measure], sample - drawn[:, minus, measure]
        if not len(sample):
            return Estimate(float(value))
        low, high = np.percentile(sample, INTERVAL)
        return Estimate(float(value), float(low), float(high))

    return tuple(
        ScoreMetrics(
            estimate(0, score),
            estimate(1, score),
            estimate(0, score, 0) if score else None,
            estimate(1, score, 0) if score else None,
        )
        for score in range(len(areas))
    )
