"""How well scores tell two classes apart: AUROC, AUPRC, and intervals from resampled sites."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Below this many sites of either class a percentile interval would understate the uncertainty.
MIN_SITES_FOR_INTERVAL = 5
#: Percentiles of a 95 % interval.
INTERVAL = (2.5, 97.5)
# Elements of one block of replicates: large enough to amortise numpy's overhead on small sets,
# small enough to stay in the cache hierarchy, so that the time is linear in variants x replicates.
_BLOCK_ELEMENTS = 1 << 18

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval; NaN stands for what cannot be estimated."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class ScoreMetrics:
    """One score on one set of variants.

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
    """Several scores on the same variants.

    Attributes
    ----------
    n_positive, n_negative : int
        Variants.
    n_positive_sites, n_negative_sites : int
        Sites that carry at least one such variant; a site may count in both.
    metrics : tuple of ScoreMetrics
        In the order of the scores.
    """

    n_positive: int
    n_negative: int
    n_positive_sites: int
    n_negative_sites: int
    metrics: tuple[ScoreMetrics, ...]

    @property
    def prevalence(self) -> float:
        """Fraction of positives: the AUPRC of a score that knows nothing."""
        total = self.n_positive + self.n_negative
        return self.n_positive / total if total else math.nan


@dataclass(frozen=True)
class Ranking:
    """Variants in descending order of a score, with the end of each group of equal scores.

    Attributes
    ----------
    order : int64[M]
        Indices of the variants, best first.
    ends : int64[G]
        Position in `order` of the last member of each tie group.
    """

    order: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, scores: Floats) -> Ranking:
        """Rank scores of shape [M]; infinities are ordinary values, NaN is refused."""
        if np.isnan(scores).any():
            raise ValueError("a missing score cannot be ranked")
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        ends = np.flatnonzero(ordered[1:] != ordered[:-1])
        return cls(order, np.append(ends, len(scores) - 1))


def cumulative_counts(
    ranking: Ranking, positive: NDArray[np.bool_], weights: Floats | None = None
) -> tuple[Floats, Floats]:
    """True and false positives at each distinct threshold, the strictest first.

    Parameters
    ----------
    ranking : Ranking
        Of M variants in G tie groups.
    positive : bool[M]
    weights : float64[..., M], optional
        How often each variant counts; ones by default.

    Returns
    -------
    true_positives, false_positives : float64[..., G]
    """
    if weights is None:
        weights = np.ones(len(positive))
    ordered = weights[..., ranking.order]
    ordered_positive = ordered * positive[ranking.order]
    called = np.cumsum(ordered, axis=-1)[..., ranking.ends]
    true_positives = np.cumsum(ordered_positive, axis=-1)[..., ranking.ends]
    return true_positives, called - true_positives


def auroc(true_positives: Floats, false_positives: Floats) -> Floats:
    """Area under the ROC curve; a tie counts one half (the Mann-Whitney statistic over n1 n0).

    Parameters
    ----------
    true_positives, false_positives : float64[..., G]
        From `cumulative_counts`.

    Returns
    -------
    float64[...]
        NaN where there is no positive or no negative.
    """
    before = _shifted(true_positives)
    step = np.diff(false_positives, axis=-1, prepend=0.0)
    area = np.sum(step * (before + true_positives), axis=-1) / 2
    return _ratio(area, true_positives[..., -1] * false_positives[..., -1])


def auprc(true_positives: Floats, false_positives: Floats) -> Floats:
    """Average precision: sum over thresholds of (step in recall) x precision, no interpolation.

    Parameters
    ----------
    true_positives, false_positives : float64[..., G]

    Returns
    -------
    float64[...]
        NaN where there is no positive or no negative.
    """
    precision = _ratio(true_positives, true_positives + false_positives, empty=0.0)
    step = np.diff(true_positives, axis=-1, prepend=0.0)
    area = np.sum(step * precision, axis=-1)
    value = _ratio(area, true_positives[..., -1])
    return np.where(false_positives[..., -1] > 0, value, math.nan)


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
    _, sites = np.unique(sites, return_inverse=True)
    n_positive = int(np.count_nonzero(positive))
    n_negative = len(positive) - n_positive
    site_counts = len(np.unique(sites[positive])), len(np.unique(sites[~positive]))
    if not n_positive or not n_negative:
        nothing = Estimate(math.nan)
        difference = Estimate(math.nan)
        metrics = [ScoreMetrics(nothing, nothing)] + [
            ScoreMetrics(nothing, nothing, difference, difference) for _ in scores[1:]
        ]
        return Comparison(n_positive, n_negative, *site_counts, tuple(metrics[: len(scores)]))
    rankings = [Ranking.of(row) for row in scores]
    values = _areas(rankings, positive, None)
    drawn: Floats | None = None
    if replicates and min(site_counts) >= MIN_SITES_FOR_INTERVAL:
        blocks = [
            _areas(rankings, positive, weights[:, sites])
            for weights in site_weights(positive, sites, replicates, seed)
        ]
        drawn = np.concatenate(blocks, axis=-1)
    return Comparison(n_positive, n_negative, *site_counts, _estimates(values, drawn))


def site_weights(
    positive: NDArray[np.bool_],
    sites: NDArray[np.int64],
    replicates: int,
    seed: int | list[int],
) -> Iterator[Floats]:
    """Bootstrap weights of sites, in blocks of replicates that fit in memory.

    Parameters
    ----------
    positive : bool[M]
    sites : int64[M]
        Site of each variant, 0 to n_sites - 1.
    replicates : int
    seed : int or list of int

    Yields
    ------
    float64[block, n_sites]
        How often each site was drawn; sums to the stratum's size within each stratum.
    """
    n_sites = int(sites.max()) + 1
    stratum = np.zeros(n_sites, dtype=np.int64)
    np.bitwise_or.at(stratum, sites, np.where(positive, 1, 2))
    members = [np.flatnonzero(stratum == kind) for kind in (1, 2, 3)]
    # One stream per stratum: what is drawn does not depend on how replicates fall into blocks.
    generators = np.random.default_rng(seed).spawn(len(members))
    block = max(1, _BLOCK_ELEMENTS // max(len(sites), n_sites))
    for begin in range(0, replicates, block):
        size = min(block, replicates - begin)
        weights = np.zeros((size, n_sites))
        for group, generator in zip(members, generators, strict=True):
            if len(group):
                draws = generator.integers(0, len(group), size=(size, len(group)))
                draws += np.arange(size)[:, None] * len(group)
                counts = np.bincount(draws.ravel(), minlength=size * len(group))
                weights[:, group] = counts.reshape(size, len(group))
        yield weights


def _areas(rankings: list[Ranking], positive: NDArray[np.bool_], weights: Floats | None) -> Floats:
    """AUROC and AUPRC of every score, [2, K] or, with weights [R, M], [2, K, R]."""
    counts = [cumulative_counts(ranking, positive, weights) for ranking in rankings]
    return np.array([[auroc(*pair) for pair in counts], [auprc(*pair) for pair in counts]])


def _estimates(values: Floats, drawn: Floats | None) -> tuple[ScoreMetrics, ...]:
    """Turn areas [2, K] and their replicates [2, K, R] into estimates and paired differences."""

    def estimate(measure: int, score: int, minus: int | None) -> Estimate:
        value = values[measure, score]
        sample = None if drawn is None else drawn[measure, score]
        if minus is not None:
            value = value - values[measure, minus]
            sample = None if drawn is None else sample - drawn[measure, minus]
        if sample is None:
            return Estimate(float(value))
        low, high = np.percentile(sample, INTERVAL)
        return Estimate(float(value), float(low), float(high))

    return tuple(
        ScoreMetrics(
            estimate(0, score, None),
            estimate(1, score, None),
            estimate(0, score, 0) if score else None,
            estimate(1, score, 0) if score else None,
        )
        for score in range(values.shape[1])
    )


def _shifted(cumulative: Floats) -> Floats:
    """What had accumulated before each threshold."""
    before = np.zeros_like(cumulative)
    before[..., 1:] = cumulative[..., :-1]
    return before


def _ratio(numerator: Floats, denominator: Floats, empty: float = math.nan) -> Floats:
    """Quotient, and `empty` where the denominator is zero."""
    numerator = np.asarray(numerator, dtype=np.float64)
    out = np.full(np.broadcast_shapes(numerator.shape, np.shape(denominator)), empty)
    return np.divide(numerator, denominator, out=out, where=np.asarray(denominator) > 0)
