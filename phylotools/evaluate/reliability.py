"""Scores as probabilities: a map fitted to other variants, and how reliable what it says is.

The map is isotonic (Zadrozny and Elkan 2002) or logistic (Platt 1999, with his targets). Every
variant gets the probability of a map that was fitted without its fold; folds never tear a cluster,
so the figures are of variants that the map has not seen. Probabilities are at the share of
positives of the set, not of a clinic.

- **Brier score**: mean of (probability - label)^2; beside it that of a forecast that says the share
  of positives for every variant.
- **Reliability table**: variants in ten bins of equal numbers by probability; the mean probability
  and the share of positives in each.
- **Expected calibration error**: mean over bins of the distance of both, weighted by variants. Some
  error remains by chance alone, the more the fewer variants.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.area_kernels import RankedVariants
from phylotools.evaluate.metrics import rank_variants
from phylotools.evaluate.replicate_lanes import LANES
from phylotools.evaluate.resampling import Clusters, Estimate, Floats, estimate
from phylotools.evaluate.threshold_kernels import count_at, monotone, sum_values

#: Maps by name.
ISOTONIC, LOGISTIC = MAPS = ("isotonic", "logistic")
_N_BINS = 10
_NEWTON_STEPS = 100

Map = Callable[[Floats], Floats]


@dataclass(frozen=True)
class ReliabilityBin:
    """Variants of nearly the same probability.

    Attributes
    ----------
    n : int
    mean_probability : float
    share_positive : Estimate
    """

    n: int
    mean_probability: float
    share_positive: Estimate


@dataclass(frozen=True)
class Reliability:
    """How reliable probabilities of one map are, on variants that it has not seen.

    Attributes
    ----------
    method : str
        A name of `MAPS`.
    bins : tuple of ReliabilityBin
        By rising probability.
    expected_error : float
    brier : Estimate
    brier_of_share : float
        Of a forecast that knows only the share of positives.
    probabilities : float64[M]
    """

    method: str
    bins: tuple[ReliabilityBin, ...]
    expected_error: float
    brier: Estimate
    brier_of_share: float
    probabilities: Floats


def fit_isotonic(scores: Floats, positive: NDArray[np.bool_]) -> Map:
    """The monotone map nearest to the labels, linear between the scores it was fitted to."""
    distinct, of, counts = np.unique(scores, return_inverse=True, return_counts=True)
    shares = np.bincount(of.reshape(-1), positive) / counts
    fitted = monotone(shares, counts.astype(np.float64))
    return lambda values: np.interp(values, distinct, fitted)


def fit_logistic(scores: Floats, positive: NDArray[np.bool_]) -> Map:
    """The logistic map of highest likelihood, with Platt's targets, which keep it finite."""
    centre, spread = scores.mean(), scores.std() or 1.0
    x = (scores - centre) / spread
    n_positive = np.count_nonzero(positive)
    targets = np.where(positive, (n_positive + 1) / (n_positive + 2), 1 / (len(x) - n_positive + 2))
    # Convex, so that Newton's steps, halved where they go too far, end at the one minimum.
    a, b = 0.0, math.log((n_positive + 1) / (len(x) - n_positive + 1))
    loss = _log_loss(a * x + b, targets)
    for _ in range(_NEWTON_STEPS):
        p = _logistic(a * x + b)
        residual, curvature = p - targets, np.maximum(p * (1 - p), 1e-12)
        gradient = np.array([residual @ x, residual.sum()])
        hessian = np.array(
            [[curvature @ (x * x), curvature @ x], [curvature @ x, curvature.sum()]]
        ) + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-6:
            new = _log_loss((a - size * step[0]) * x + b - size * step[1], targets)
            if new <= loss:
                break
            size /= 2
        a, b = a - size * step[0], b - size * step[1]
        gained, loss = loss - new, new
        if abs(gained) <= 1e-12 * abs(loss):
            break
    return lambda values: _logistic(a * (values - centre) / spread + b)


def _logistic(values: Floats) -> Floats:
    found: Floats = 1 / (1 + np.exp(-np.clip(values, -700, 700)))
    return found


def _log_loss(values: Floats, targets: Floats) -> float:
    return float((np.logaddexp(0, values) - targets * values).sum())


def without_infinities(scores: Floats) -> Floats:
    """Infinite scores moved a tenth of the range past the finite ones, so that maps have values."""
    finite = scores[np.isfinite(scores)]
    if len(finite) == len(scores):
        return scores
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    margin = (high - low) / 10 or 1.0
    return np.clip(scores, low - margin, high + margin)


def held_out_probabilities(
    scores: Floats, positive: NDArray[np.bool_], folds: NDArray[np.int64], method: str
) -> Floats:
    """Probability of each variant by a map that was fitted to the other folds.

    NaN where the other folds do not hold both labels.
    """
    fit = {ISOTONIC: fit_isotonic, LOGISTIC: fit_logistic}[method]
    scores = without_infinities(scores)
    found = np.full(len(scores), math.nan)
    for fold in np.unique(folds):
        own = folds == fold
        if 0 < np.count_nonzero(positive[~own]) < np.count_nonzero(~own):
            found[own] = fit(scores[~own], positive[~own])(scores[own])
    return found


class ReliabilityMeasures:
    """Brier score and shares of positives in bins, in replicates."""

    def __init__(
        self, probabilities: Floats, positive: NDArray[np.bool_], clusters: Clusters, method: str
    ) -> None:
        self._method = method
        self._probabilities = probabilities
        self._positive = positive
        self._clusters = clusters.of
        ranked: RankedVariants = rank_variants(probabilities, positive, clusters.of)
        n = len(positive)
        # Bins by rank, from the highest probability on; equal ones may fall into two bins.
        self._cuts = np.unique(np.linspace(0, n, min(_N_BINS, n) + 1).astype(np.int64))[1:]
        self._ranked = ranked
        self._error = ((probabilities - positive) ** 2)[None]

    @property
    def width(self) -> int:
        """Numbers of one replicate."""
        return 1 + len(self._cuts)

    def measure(self, weights: NDArray[np.uint8]) -> Floats:
        """Brier score, then shares of positives from the highest bin on: float64[LANES, width]."""
        sums = np.empty((2, LANES))
        sum_values(self._clusters, self._error, weights, sums)
        counts = np.empty((2 * len(self._cuts), LANES), dtype=np.int32)
        count_at(self._ranked, self._cuts, weights, counts)
        hits, misses = (np.diff(counts[k::2], axis=0, prepend=0) for k in (0, 1))
        found = np.full((LANES, self.width), math.nan)
        np.divide(sums[0], sums[1], out=found[:, 0], where=sums[1] > 0)
        total = hits + misses
        np.divide(hits.T, total.T, out=found[:, 1:], where=total.T > 0)
        return found

    def finish(self, values: Floats, drawn: Floats) -> Reliability:
        """Make the table of the values, [width], and their replicates, [R, width]."""
        falling = np.sort(self._probabilities)[::-1]
        begins = np.concatenate([[0], self._cuts[:-1]])
        bins = []
        error = 0.0
        for k, (first, end) in enumerate(zip(begins, self._cuts, strict=True)):
            mean = float(falling[first:end].mean())
            bins.append(
                ReliabilityBin(int(end - first), mean, estimate(values[1 + k], drawn[:, 1 + k]))
            )
            error += abs(mean - values[1 + k]) * (end - first)
        share = float(self._positive.mean())
        return Reliability(
            self._method,
            tuple(bins[::-1]),
            error / len(falling),
            estimate(values[0], drawn[:, 0]),
            share * (1 - share),
            self._probabilities,
        )
