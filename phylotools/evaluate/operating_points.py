"""Thresholds of a score: what they call, miss and falsely call, and their likelihood ratios.

For a specificity of 0.90, 0.95 and 0.99 the lowest threshold that keeps it, and for a sensitivity
of as much the highest threshold that reaches it; variants at the threshold or above are called.
Sensitivity = called positives / positives, specificity = negatives not called / negatives;
likelihood ratios sensitivity / (1 - specificity) and (1 - sensitivity) / specificity.

- Intervals at the threshold are from resampled clusters with the threshold as it is. `attained`,
  the other of the two rates at a given one, has the threshold chosen anew in each replicate.
- Where a cell of the table of called and not called variants is 0, resampling cannot vary it. Then
  one half is added to every cell for the likelihood ratios (Haldane 1956, Anscombe 1956), their
  interval is that of their logarithms (Simel, Samsa and Matchar 1991), and a rate of 0 or 1 has the
  interval of Wilson (1927); both count clusters where those are fewer than variants.
- A threshold that was chosen on the very variants it is judged on looks better than it is. The
  cross-fitted rates choose it on four fifths of the clusters and count on the other fifth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.area_kernels import RankedVariants
from phylotools.evaluate.replicate_lanes import LANES
from phylotools.evaluate.resampling import Estimate, Floats, estimate
from phylotools.evaluate.threshold_kernels import choose_cuts, count_at

SPECIFICITY, SENSITIVITY = "specificity", "sensitivity"
#: The operating points: what is kept, and how much of it.
TARGETS = tuple((kind, rate) for kind in (SPECIFICITY, SENSITIVITY) for rate in (0.90, 0.95, 0.99))
_NORMAL_97_5 = 1.959963984540054
# Rates such as 0.9 are no binary fractions.
_SLACK = 1e-9


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and what it does.

    Attributes
    ----------
    kind : str
        What is kept, `SPECIFICITY` or `SENSITIVITY`.
    rate : float
        How much of it.
    threshold : Estimate
        Of the turned score; infinite where no variant may be called. Its interval is of thresholds
        chosen anew in each replicate.
    called_positive, missed_positive, called_negative, passed_negative : int
        Variants.
    sensitivity, specificity, positive_ratio, negative_ratio : Estimate
        At the threshold.
    attained : Estimate
        Sensitivity at the specificity that is kept, or the reverse, with the threshold chosen anew
        in each replicate.
    crossfit_sensitivity, crossfit_specificity : float
        Of variants whose fold did not choose the threshold; NaN with fewer than five clusters.
    evidence_above, evidence_below : tuple of str or None
        Direction and strength of evidence that being called, or not called, is: that of the less
        telling end of the likelihood ratio's interval.
    """

    kind: str
    rate: float
    threshold: Estimate
    called_positive: int
    missed_positive: int
    called_negative: int
    passed_negative: int
    sensitivity: Estimate
    specificity: Estimate
    positive_ratio: Estimate
    negative_ratio: Estimate
    attained: Estimate
    crossfit_sensitivity: float
    crossfit_specificity: float
    evidence_above: tuple[str, str] | None
    evidence_below: tuple[str, str] | None


class PointMeasures:
    """Operating points of one score in replicates: six numbers each.

    The rate that is attained, and the place of the threshold, chosen anew; sensitivity, specificity
    and both likelihood ratios at the threshold of all variants.
    """

    def __init__(self, ranked: RankedVariants) -> None:
        self._ranked = ranked
        ones = np.ones((int(ranked.clusters.max(initial=0)) + 1, LANES), dtype=np.uint8)
        self._cuts = self._chosen(ones, *self._totals(ones))[1][:, 0] + 1
        #: Positives and negatives that are called, of each target.
        self.called = self._counts(ones)[:, :, 0]

    @property
    def width(self) -> int:
        """Numbers of one replicate."""
        return 6 * len(TARGETS)

    def _totals(self, weights: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        counts = np.empty((2, LANES), dtype=np.int32)
        count_at(self._ranked, np.array([len(self._ranked.clusters)]), weights, counts)
        return counts[0].astype(np.float64), counts[1].astype(np.float64)

    def _chosen(
        self, weights: NDArray[np.uint8], positives: Floats, negatives: Floats
    ) -> tuple[Floats, NDArray[np.int32]]:
        """Variants of the other label that are called, and the place of the last called."""
        rates = {kind: [r for k, r in TARGETS if k == kind] for kind in (SPECIFICITY, SENSITIVITY)}
        allowed = [np.floor((1 - rate) * negatives + _SLACK) for rate in rates[SPECIFICITY]]
        needed = [np.ceil(rate * positives - _SLACK) for rate in rates[SENSITIVITY]]
        found = np.empty((2 * len(TARGETS), LANES), dtype=np.int32)
        choose_cuts(
            self._ranked,
            np.stack(allowed).astype(np.int32),
            np.stack(needed).astype(np.int32),
            weights,
            found,
        )
        return found[0::2].astype(np.float64), found[1::2]

    def _counts(self, weights: NDArray[np.uint8]) -> Floats:
        """Called positives and negatives, [n_targets, 2, LANES]."""
        distinct, of = np.unique(self._cuts, return_inverse=True)
        counts = np.empty((2 * len(distinct), LANES), dtype=np.int32)
        count_at(self._ranked, distinct.astype(np.int64), weights, counts)
        both: Floats = counts.reshape(-1, 2, LANES)[of.reshape(-1)].astype(np.float64)
        return both

    def measure(self, weights: NDArray[np.uint8]) -> Floats:
        """float64[LANES, width]"""
        positives, negatives = self._totals(weights)
        other, places = self._chosen(weights, positives, negatives)
        counts = self._counts(weights)
        found = np.empty((LANES, len(TARGETS), 6))
        # Lanes beyond the last replicate hold nothing.
        positives, negatives = np.maximum(positives, 1), np.maximum(negatives, 1)
        for k, (kind, _) in enumerate(TARGETS):
            is_kept = kind == SPECIFICITY
            found[:, k, 0] = other[k] / positives if is_kept else 1 - other[k] / negatives
            found[:, k, 1] = places[k]
            hits, false = counts[k]
            table = np.stack([hits, positives - hits, false, negatives - false])
            found[:, k, 2] = hits / positives
            found[:, k, 3] = 1 - false / negatives
            found[:, k, 4:] = _ratios(table).T
        return found.reshape(LANES, -1)


def _ratios(table: Floats) -> Floats:
    """Positive and negative likelihood ratio of a table [4, ...]: called, missed, false, passed."""
    called, missed, false, passed = table + 0.5 * (table == 0).any(axis=0)
    sensitivity, specificity = called / (called + missed), passed / (false + passed)
    return np.stack([sensitivity / (1 - specificity), (1 - sensitivity) / specificity])


def estimate_rate(
    value: float, sample: Floats, table: Floats, part: int, n_clusters: tuple[int, int]
) -> Estimate:
    """Estimate one of sensitivity, specificity and the two ratios.

    Parameters
    ----------
    value : float
    sample : float64[R]
    table : float64[4]
        Called and missed positives, falsely called and passed negatives.
    part : int
        0 sensitivity, 1 specificity, 2 positive ratio, 3 negative ratio.
    n_clusters : tuple of int
        Of positives, of negatives.
    """
    if not len(sample):
        return Estimate(float(value))
    # Clusters, where they are fewer, are what there is of independent variants.
    shares = [
        min(1.0, n / max(table[2 * k : 2 * k + 2].sum(), 1)) for k, n in enumerate(n_clusters)
    ]
    if part < 2:
        pair = table[2 * part : 2 * part + 2]
        return estimate(value, sample) if pair.all() else _wilson(value, n_clusters[part])
    if table.all():
        return estimate(value, sample)
    scaled = table * np.repeat(shares, 2) + 0.5
    numerator, denominator = (0, 2) if part == 2 else (1, 3)
    variance = (
        1 / scaled[numerator]
        - 1 / (scaled[0] + scaled[1])
        + 1 / scaled[denominator]
        - 1 / (scaled[2] + scaled[3])
    )
    factor = math.exp(_NORMAL_97_5 * math.sqrt(max(variance, 0.0)))
    return Estimate(float(value), float(value / factor), float(value * factor))


def _wilson(rate: float, n: int) -> Estimate:
    """Wilson's interval (1927) of a rate of n."""
    z2 = _NORMAL_97_5**2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_97_5 * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Estimate(float(rate), max(0.0, centre - half), min(1.0, centre + half))


def choose_threshold(scores: Floats, positive: NDArray[np.bool_], kind: str, rate: float) -> float:
    """The threshold of an operating point: variants at it or above are called.

    The lowest that keeps a specificity, or the highest that reaches a sensitivity; infinite where
    no variant may be called.
    """
    order = np.argsort(-scores, kind="stable")
    falling, hits = scores[order], positive[order]
    ends = np.append(falling[1:] != falling[:-1], True)[: len(falling)]
    if kind == SPECIFICITY:
        misses = np.cumsum(~hits)
        allowed = math.floor((1 - rate) * np.count_nonzero(~positive) + _SLACK)
        kept = falling[ends & (misses <= allowed)]
        return float(kept[-1]) if len(kept) else math.inf
    needed = math.ceil(rate * np.count_nonzero(positive) - _SLACK)
    kept = falling[ends & (np.cumsum(hits) >= needed)]
    return float(kept[0]) if len(kept) else -math.inf
