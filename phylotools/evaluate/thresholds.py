"""What a score says about one variant: thresholds, strengths of evidence, probabilities.

The parts are told in `operating_points`, `evidence` and `reliability`; here they see the same
replicates and the same folds. Whatever is chosen on the variants that it is judged on (a threshold,
a map to probabilities) stands beside its cross-fitted figure, of variants that had no part in the
choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate import evidence
from phylotools.evaluate.evidence import EvidenceInterval, LocalEvidence, Windows
from phylotools.evaluate.metrics import rank_variants
from phylotools.evaluate.operating_points import (
    TARGETS,
    OperatingPoint,
    PointMeasures,
    choose_threshold,
    estimate_rate,
)
from phylotools.evaluate.reliability import (
    MAPS,
    Reliability,
    ReliabilityMeasures,
    held_out_probabilities,
)
from phylotools.evaluate.replicate_lanes import LANES
from phylotools.evaluate.resampling import (
    INTERVAL,
    MIN_CLUSTERS_FOR_INTERVAL,
    Clusters,
    Estimate,
    Floats,
    clusters_with,
    deal_folds,
    estimate,
    measure_once,
    number_clusters,
    resample,
)
from phylotools.evaluate.strata_order import refuse_missing

#: Folds of cross-fitted figures.
N_FOLDS = 5
# Tavtigian et al. (2018).
_PRIOR = 0.10


@dataclass(frozen=True)
class Thresholds:
    """What one score says about one variant.

    Attributes
    ----------
    points : tuple of OperatingPoint
        In the order of `TARGETS`; empty where a label is missing.
    local : LocalEvidence
    reliability : tuple of Reliability
        Of each map; empty where folds have one label only.
    """

    points: tuple[OperatingPoint, ...]
    local: LocalEvidence
    reliability: tuple[Reliability, ...]


def judge_thresholds(
    scores: Floats,
    positive: NDArray[np.bool_],
    clusters: NDArray[np.int64],
    *,
    prior: float = _PRIOR,
    window: int = evidence.WINDOW,
    replicates: int = 2000,
    seed: int = 1,
) -> tuple[Thresholds, ...]:
    """Find thresholds, likelihood ratios and probabilities of each score.

    Parameters
    ----------
    scores : float64[K, M]
        Turned so that high values point to the positive class. Infinities are ordinary values.
    positive : bool[M]
    clusters : int64[M]
        What is drawn whole.
    prior : float
        Probability that a variant is pathogenic before its score is known; the strengths of
        evidence depend on it.
    window : int
        Variants that a window of local likelihood ratios holds at least.
    replicates : int
        Bootstrap replicates; 0 for none.
    seed : int

    Returns
    -------
    tuple of Thresholds, length K

    Raises
    ------
    ValueError
        If a score is NaN, or the prior is not between 0 and 0.9.
    """
    refuse_missing(scores)
    evidence.required_ratios(prior)
    numbered = number_clusters(clusters, positive.astype(np.int64))
    enough = min(clusters_with(numbered, positive), clusters_with(numbered, ~positive))
    has_folds = enough >= MIN_CLUSTERS_FOR_INTERVAL
    folds = deal_folds(numbered, N_FOLDS, [seed, 1]) if has_folds else None
    judges = [_Judge(row, positive, numbered, folds, prior, window) for row in scores]
    if not enough:
        return tuple(judge.nothing() for judge in judges)
    ends = np.concatenate([[0], np.cumsum([judge.width for judge in judges])]).astype(int)

    def measure(weights: NDArray[np.uint8], found: Floats) -> None:
        for k, judge in enumerate(judges):
            found[:, ends[k] : ends[k + 1]] = judge.measure(weights)

    shape = (int(ends[-1]),)
    values = measure_once(numbered, measure, shape)
    n = replicates if has_folds else 0
    drawn = resample(numbered, measure, shape, replicates=n, seed=seed)
    return tuple(
        judge.finish(values[ends[k] : ends[k + 1]], drawn[:, ends[k] : ends[k + 1]], seed)
        for k, judge in enumerate(judges)
    )


class _Judge:
    """One score and all that is measured of it in replicates."""

    def __init__(
        self,
        scores: Floats,
        positive: NDArray[np.bool_],
        clusters: Clusters,
        folds: NDArray[np.int64] | None,
        prior: float,
        window: int,
    ) -> None:
        self._scores, self._positive, self._clusters = scores, positive, clusters
        self._folds, self._prior, self._window = folds, prior, window
        self._ranked = rank_variants(scores, positive, clusters.of)
        self._falling = np.sort(scores)[::-1]
        self._points = PointMeasures(self._ranked)
        self._windows = Windows(scores, self._ranked, window)
        self._reliability = []
        for method in MAPS:
            if folds is None:
                break
            probabilities = held_out_probabilities(scores, positive, folds, method)
            if not np.isnan(probabilities).any():
                part = ReliabilityMeasures(probabilities, positive, clusters, method)
                self._reliability.append(part)
        self._parts: list[PointMeasures | Windows | ReliabilityMeasures] = [
            self._points,
            self._windows,
            *self._reliability,
        ]

    @property
    def width(self) -> int:
        return sum(part.width for part in self._parts)

    def measure(self, weights: NDArray[np.uint8]) -> Floats:
        return np.concatenate([part.measure(weights) for part in self._parts], axis=1)

    def nothing(self) -> Thresholds:
        """Where a label is missing."""
        empty, none = np.zeros(0), np.zeros(0, dtype=np.int64)
        local = LocalEvidence(self._prior, self._window, empty, empty, empty, empty, none, none, ())
        return Thresholds((), local, ())

    def finish(self, values: Floats, drawn: Floats, seed: int) -> Thresholds:
        ends = np.cumsum([part.width for part in self._parts])[:-1]
        of_values = np.split(values, ends)
        of_drawn = np.split(drawn, ends, axis=1)
        points = tuple(self._point(k, of_values[0], of_drawn[0]) for k in range(len(TARGETS)))
        local = self._local(of_values[1], of_drawn[1], seed)
        reliability = tuple(
            part.finish(of_values[2 + k], of_drawn[2 + k])
            for k, part in enumerate(self._reliability)
        )
        return Thresholds(points, local, reliability)

    def _point(self, k: int, values: Floats, drawn: Floats) -> OperatingPoint:
        kind, rate = TARGETS[k]
        n_positive = int(np.count_nonzero(self._positive))
        n_negative = len(self._positive) - n_positive
        called, false = (int(n) for n in self._points.called[k])
        table = np.array([called, n_positive - called, false, n_negative - false], dtype=float)
        place, own = int(values[6 * k + 1]), slice(6 * k + 2, 6 * k + 6)
        sensitivity, specificity, above, below = (
            estimate_rate(value, sample, table, part, self._n_clusters())
            for part, (value, sample) in enumerate(zip(values[own], drawn[:, own].T, strict=True))
        )
        crossfit = self._crossfit(kind, rate)
        return OperatingPoint(
            kind,
            rate,
            self._threshold(place, drawn[:, 6 * k + 1]),
            called,
            n_positive - called,
            false,
            n_negative - false,
            sensitivity,
            specificity,
            above,
            below,
            estimate(values[6 * k], drawn[:, 6 * k]),
            *crossfit,
            evidence.strength_of(above.low, above.high, self._prior),
            evidence.strength_of(below.low, below.high, self._prior),
        )

    def _n_clusters(self) -> tuple[int, int]:
        return (
            clusters_with(self._clusters, self._positive),
            clusters_with(self._clusters, ~self._positive),
        )

    def _threshold(self, place: int, drawn: Floats) -> Estimate:
        scores = np.append(self._falling, math.inf)
        if not len(drawn):
            return Estimate(float(scores[place]))
        # An infinite one has no mean with its neighbour.
        low, high = np.percentile(scores[drawn.astype(int)], INTERVAL, method="nearest")
        return Estimate(float(scores[place]), float(low), float(high))

    def _crossfit(self, kind: str, rate: float) -> tuple[float, float]:
        """Sensitivity and specificity with thresholds that other folds chose."""
        if self._folds is None:
            return math.nan, math.nan
        called = np.zeros(len(self._scores), dtype=np.bool_)
        for fold in range(N_FOLDS):
            own = self._folds == fold
            threshold = choose_threshold(self._scores[~own], self._positive[~own], kind, rate)
            called[own] = self._scores[own] >= threshold
        return float(called[self._positive].mean()), float((~called[~self._positive]).mean())

    def _local(self, ratios: Floats, drawn: Floats, seed: int) -> LocalEvidence:
        ones = np.ones((len(self._clusters), LANES), dtype=np.uint8)
        hits, misses, *_ = self._windows.counts(ones)
        low, high = evidence.bounds_of(ratios, drawn)
        centres = self._windows.centres
        found = LocalEvidence(
            self._prior,
            self._window,
            centres,
            ratios,
            low,
            high,
            hits[:, 0].astype(np.int64),
            misses[:, 0].astype(np.int64),
            (),
        )
        return replace(found, intervals=self._intervals(found, len(drawn), seed))

    def _intervals(
        self, local: LocalEvidence, replicates: int, seed: int
    ) -> tuple[EvidenceInterval, ...]:
        thresholds = evidence.reached_thresholds(local.centres, local.low, local.high, self._prior)
        held_out = self._held_out(set(thresholds), replicates, seed)
        ratios = evidence.required_ratios(self._prior)
        n_positive = np.count_nonzero(self._positive)
        intervals = []
        for (direction, strength), threshold in thresholds.items():
            held = evidence.reaches(self._scores, direction, threshold)
            ratio = ratios[strength] if direction == evidence.PATHOGENIC else 1 / ratios[strength]
            counted = held_out[direction, strength]
            crossfit = math.nan
            if counted.any():
                crossfit = float(
                    evidence.likelihood_ratio(
                        *(np.array(float(n)) for n in (
                            np.count_nonzero(counted & self._positive),
                            np.count_nonzero(counted & ~self._positive),
                            n_positive,
                            len(counted) - n_positive,
                        ))
                    )
                )  # fmt: skip
            intervals.append(
                EvidenceInterval(
                    direction,
                    strength,
                    ratio,
                    threshold,
                    int(np.count_nonzero(held & self._positive)),
                    int(np.count_nonzero(held & ~self._positive)),
                    crossfit,
                )
            )
        return tuple(intervals)

    def _held_out(
        self, keys: set[tuple[str, str]], replicates: int, seed: int
    ) -> dict[tuple[str, str], NDArray[np.bool_]]:
        """Which variants reach a strength by thresholds that other folds gave."""
        found = {key: np.zeros(len(self._scores), dtype=np.bool_) for key in keys}
        if self._folds is None or not replicates:
            return found
        for fold in range(N_FOLDS):
            own = self._folds == fold
            scores, positive = self._scores[~own], self._positive[~own]
            numbered = number_clusters(
                self._clusters.of[~own].astype(np.int64), positive.astype(np.int64)
            )
            windows = Windows(scores, rank_variants(scores, positive, numbered.of), self._window)

            def measure(
                weights: NDArray[np.uint8], ratios: Floats, windows: Windows = windows
            ) -> None:
                ratios[:] = windows.measure(weights)

            shape = (windows.width,)
            drawn = resample(
                numbered, measure, shape, replicates=max(replicates // 5, 1), seed=[seed, fold]
            )
            low, high = evidence.bounds_of(measure_once(numbered, measure, shape), drawn)
            thresholds = evidence.reached_thresholds(windows.centres, low, high, self._prior)
            for (direction, strength), threshold in thresholds.items():
                held = evidence.reaches(self._scores[own], direction, threshold)
                found[direction, strength][own] = held
        return found
