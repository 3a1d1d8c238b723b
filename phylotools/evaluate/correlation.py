"""How well scores agree with labels that are numbers: correlations, and their intervals.

- **Spearman**: Pearson's correlation of ranks, ties sharing their mean rank (Spearman 1904).
- **Kendall's tau-b** (Kendall 1945): (C - D) / sqrt(P_x P_y), of C concordant and D discordant
  pairs, P_x pairs with different scores and P_y with different labels.
- **Pearson**: product-moment correlation. Not there where a score or a label is infinite.

Within strata, Spearman and Pearson are the means of the values within each, weighted by its number
of variants, without strata in which scores or labels do not vary; Kendall counts pairs of variants
of one stratum only, as the AUROC within strata does.

Intervals are from bootstrap replicates of whole clusters. Spearman and Pearson are computed anew
on each. So is Kendall up to `EXACT_KENDALL` variants, or `FEW_CLUSTERS` clusters. Beyond, C - D of
a replicate is its first-order (Hajek) projection, the sum over variants of how many partners each
is concordant and discordant with, while P_x and P_y are exact: one pass instead of M log M steps.
What it leaves out is of the order of 1 / clusters beside 1 / sqrt(clusters) (Serfling 1980, chapter
5.3).
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.correlation_kernels import (
    LabelOrder,
    LabelRanks,
    ScoreOrder,
    concordance_of_each,
    count_concordance,
    rank_labels,
    rank_scores,
    sum_moments,
)
from phylotools.evaluate.replicate_lanes import LANES
from phylotools.evaluate.resampling import (
    MIN_CLUSTERS_FOR_INTERVAL,
    Figures,
    Floats,
    Seed,
    figures,
    measure_once,
    number_in_order,
    resample,
)
from phylotools.evaluate.strata_order import (
    correlation_ratio,
    mean_within,
    number_strata,
    order_within,
    refuse_missing,
)

#: The measures of `compare_correlations`.
SPEARMAN, KENDALL, PEARSON = MEASURES = ("spearman", "kendall", "pearson")
#: Up to so many variants, or so few clusters, Kendall's pairs are counted in every replicate.
EXACT_KENDALL, FEW_CLUSTERS = 100_000, 200
# A sum of squares below this share of what it was computed from is rounding error.
_ROUNDING = 1e-13


@dataclass(frozen=True)
class Correlations:
    """Correlations of several scores with one label.

    Attributes
    ----------
    n, n_clusters, n_strata : int
        Variants, clusters and strata; one stratum where none were given.
    metrics : tuple of Figures
        In the order of the scores; measures `MEASURES`.
    kendall_is_projected : bool
        Whether the interval of Kendall's tau-b is from the projection.
    """

    n: int
    n_clusters: int
    n_strata: int
    metrics: tuple[Figures, ...]
    kendall_is_projected: bool


def compare_correlations(
    scores: Floats,
    labels: Floats,
    clusters: NDArray[np.int64],
    *,
    strata: NDArray[np.integer] | None = None,
    replicates: int = 2000,
    seed: Seed = 1,
) -> Correlations:
    """Correlate scores with labels, with paired bootstrap intervals.

    Parameters
    ----------
    scores : float64[K, M]
        K scores of M variants, turned so that high values point to high labels. Infinities are
        ordinary values to ranks; NaN is refused.
    labels : float64[M]
    clusters : int64[M]
        What is drawn whole: any number per cluster, equal for variants of one.
    strata : int[M], optional
        Equal for variants of one stratum: correlate within strata.
    replicates : int
        Bootstrap replicates; 0 for none.
    seed : int or list of int

    Returns
    -------
    Correlations

    Raises
    ------
    ValueError
        If a score or a label is NaN.
    """
    ordered = _Ordered(scores, labels, clusters, strata)
    numbered = ordered.clusters
    if len(numbered) < MIN_CLUSTERS_FOR_INTERVAL:
        replicates = 0
    is_projected = len(labels) > EXACT_KENDALL and len(numbered) > FEW_CLUSTERS
    shape = (len(scores), len(MEASURES))
    values = measure_once(numbered, ordered.measure, shape)
    if is_projected:
        ordered.use_projection()
    drawn = resample(
        numbered,
        ordered.measure,
        shape,
        replicates=replicates,
        seed=seed,
        # Ranks of labels, and the tree of scores and its leaves.
        bytes_a_block=(4 if is_projected else 12) * LANES * len(labels),
    )
    return Correlations(
        len(labels),
        len(numbered),
        len(ordered.labels.bounds) - 1,
        figures(MEASURES, values, drawn, tuple(map(ordered.notes, range(len(scores))))),
        is_projected,
    )


class _Ordered:
    """Scores and labels in their orders, from which any replicate is computed."""

    def __init__(
        self,
        scores: Floats,
        labels: Floats,
        clusters: NDArray[np.int64],
        strata: NDArray[np.integer] | None,
    ) -> None:
        refuse_missing(scores, labels)
        self._strata, bounds = number_strata(strata, len(labels))
        self.sizes = np.diff(bounds)
        self._by_label, ends, ties = order_within(labels, self._strata, clusters)
        self.clusters = number_in_order(clusters, self._by_label)
        self.labels = LabelOrder(self.clusters.of[self._by_label], ends, bounds)
        self._n_ties = int(np.count_nonzero(ends))
        self._label_values = self._centred(labels)
        self._scores = [self._of_score(row, ties) for row in scores]
        self._of_thread = threading.local()

    def _of_score(self, scores: Floats, label_ties: NDArray[np.int32]) -> _OrderedScore:
        rows, ends, codes = order_within(scores, self._strata)
        order = ScoreOrder(self.clusters.of[rows], ends, label_ties[rows], np.zeros(0))
        return _OrderedScore(
            order,
            rows,
            codes[self._by_label],
            int(np.count_nonzero(ends)),
            self._centred(scores),
            np.zeros(len(self.sizes)),
        )

    def _centred(self, values: Floats) -> Floats | None:
        """In the order of labels; None where one is infinite."""
        if not np.isfinite(values).all():
            return None
        return _centred(values, self._strata)[self._by_label]

    def use_projection(self) -> None:
        """Compute Kendall's numerator by its projection from here on."""
        # In the order of strata, all partners in other strata are concordant.
        beyond = len(self._strata) - self.sizes[self._strata]
        for k, score in enumerate(self._scores):
            of_each = np.empty(len(beyond))
            of_each[self._by_label] = concordance_of_each(
                self.labels.ends_tie, score.codes, score.n_codes
            )
            of_each -= beyond
            self._scores[k] = replace(
                score,
                order=score.order._replace(concordance=of_each[score.rows]),
                concordance=np.bincount(self._strata, of_each).astype(np.float64),
            )

    def notes(self, score: int) -> dict[str, str]:
        """Why a measure of a score is missing."""
        if self._label_values is None:
            return {PEARSON: "a label is infinite"}
        if self._scores[score].values is None:
            return {PEARSON: "a score is infinite"}
        return {}

    def measure(self, weights: NDArray[np.uint8], found: Floats) -> None:
        """Spearman, Kendall and Pearson of every score: float64[LANES, K, 3], written."""
        if not hasattr(self._of_thread, "ranks"):
            self._of_thread.ranks = np.empty((self._n_ties, LANES), dtype=np.int32)
        n_strata = len(self.sizes)
        ranks = LabelRanks(
            self._of_thread.ranks,
            np.empty((n_strata, LANES), dtype=np.int32),
            np.empty((n_strata, LANES)),
            np.empty((n_strata, LANES)),
        )
        rank_labels(self.labels, weights, ranks)
        for k, score in enumerate(self._scores):
            sums = np.empty((4 * n_strata, LANES))
            rank_scores(score.order, self.labels.bounds, ranks, weights, sums)
            by_stratum = sums.reshape(n_strata, 4, LANES).swapaxes(0, 1)
            found[:, k, 0] = _spearman(ranks, by_stratum)
            found[:, k, 1] = self._kendall(score, ranks, by_stratum, weights)
            found[:, k, 2] = self._pearson(score, weights)

    def _kendall(
        self, score: _OrderedScore, ranks: LabelRanks, sums: Floats, weights: NDArray[np.uint8]
    ) -> Floats:
        """Pairs of all strata together; float64[LANES]."""
        n = ranks.totals.astype(np.float64)
        _, squares, _, concordance = sums
        if len(score.order.concordance):
            ratio = n / self.sizes[:, None]
            of_all = score.concordance[:, None]
            difference = (ratio * (2 * concordance - ratio * of_all)).sum(axis=0)
        else:
            counted = np.empty((1, LANES))
            count_concordance(self.labels, score.codes, score.n_codes, weights, counted)
            # In the order of strata, every pair across two of them is concordant.
            across = n.sum(axis=0) ** 2 - (n**2).sum(axis=0)
            difference = 2 * counted[0] - across
        of_scores = (n * n - squares).sum(axis=0)
        of_labels = (n * n - ranks.squares).sum(axis=0)
        return correlation_ratio(difference, np.sqrt(of_scores) * np.sqrt(of_labels))

    def _pearson(self, score: _OrderedScore, weights: NDArray[np.uint8]) -> Floats:
        """Mean of the values within strata; float64[LANES]."""
        if score.values is None or self._label_values is None:
            return np.full(LANES, math.nan)
        sums = np.empty((6 * len(self.sizes), LANES))
        sum_moments(self.labels, score.values, self._label_values, weights, sums)
        n, x, y, xx, yy, xy = sums.reshape(-1, 6, LANES).swapaxes(0, 1)
        per_variant = 1 / np.maximum(n, 1)
        of_scores = xx - x * x * per_variant
        of_labels = yy - y * y * per_variant
        # Below that a sum of squares is rounding error of what it was computed from.
        varies = (of_scores > _ROUNDING * xx) & (of_labels > _ROUNDING * yy)
        size = np.where(varies, np.sqrt(np.abs(of_scores)) * np.sqrt(np.abs(of_labels)), 0.0)
        return mean_within(n, correlation_ratio(xy - x * y * per_variant, size))


@dataclass(frozen=True)
class _OrderedScore:
    """One score: its order, and what else is computed of it once.

    Attributes
    ----------
    order : ScoreOrder
    rows : int64[M]
        The variants in this order.
    codes : int32[M]
        In the order of labels, place of the score among the `n_codes` distinct ones.
    n_codes : int
    values : float64[M] or None
        In the order of labels, less the means of strata; None where one is infinite.
    concordance : float64[n_strata]
        Concordant less discordant pairs, each counted from both sides, where it is projected.
    """

    order: ScoreOrder
    rows: NDArray[np.int64]
    codes: NDArray[np.int32]
    n_codes: int
    values: Floats | None
    concordance: Floats


def _spearman(ranks: LabelRanks, sums: Floats) -> Floats:
    """Mean of the values within strata; float64[LANES]."""
    n = ranks.totals.astype(np.float64)
    products, _, cubes, _ = sums
    # Sums of squares of doubled, centred ranks.
    of_scores = (n * n * n - cubes) / 3
    of_labels = (n * n * n - ranks.cubes) / 3
    return mean_within(n, correlation_ratio(products, np.sqrt(of_scores) * np.sqrt(of_labels)))


def _centred(values: Floats, strata: NDArray[np.int64]) -> Floats:
    """Less the means of strata, and scaled, so that no square leaves the range of numbers.

    Values that do not vary become exactly 0.
    """
    if not len(values):
        return values
    scaled = values / (np.abs(values).max() or 1.0)
    sizes = np.bincount(strata)
    centred = scaled - (np.bincount(strata, scaled) / sizes)[strata]
    # A second pass takes out what rounding left of the mean.
    centred -= (np.bincount(strata, centred) / sizes)[strata]
    lowest = np.full(len(sizes), math.inf)
    highest = np.full(len(sizes), -math.inf)
    np.minimum.at(lowest, strata, values)
    np.maximum.at(highest, strata, values)
    centred[(lowest == highest)[strata]] = 0.0
    spread = np.sqrt(np.bincount(strata, centred**2) / sizes)
    result: Floats = centred / np.where(spread > 0, spread, 1.0)[strata]
    return result
