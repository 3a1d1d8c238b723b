"""Likelihood ratios as strengths of clinical evidence, of a score's range by local windows.

The ACMG/AMP criteria for variants (Richards et al. 2015) as odds (Tavtigian et al. 2018): with the
odds O of very strong evidence, strong is O^(1/2), moderate O^(1/4) and supporting O^(1/8), and O is
what makes "likely pathogenic" (O^(3/4), one strong and one moderate criterion) a posterior
probability of 0.9: O = (9 (1 - prior) / prior)^(4/3). At a prior of 0.10 these are 350, 18.7, 4.33
and 2.08. Evidence for "benign" is the reciprocal.

How a score reaches them is found as by Pejaver et al. (2022): the likelihood ratio in a window
around a score, wide enough to hold a number of variants, and its one-sided 95 % bound. A score
reaches a strength where it and all more extreme ones are bounded by it. The share of positives
among the variants drops out of a likelihood ratio; the prior decides what a strength asks for.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.area_kernels import RankedVariants
from phylotools.evaluate.replicate_lanes import LANES
from phylotools.evaluate.resampling import Floats
from phylotools.evaluate.threshold_kernels import count_at

#: Strengths of evidence, the weakest first, as powers of the odds of very strong evidence.
STRENGTHS = {"supporting": 1 / 8, "moderate": 1 / 4, "strong": 1 / 2, "very strong": 1.0}
PATHOGENIC, BENIGN = "pathogenic", "benign"
#: Variants that a window holds at least, as Pejaver et al. (2022) have it.
WINDOW = 100
#: Percentile of the one-sided 95 % bound.
_BOUND = 5
_MOST_CENTRES = 200


def very_strong_odds(prior: float) -> float:
    """Odds of very strong evidence for a prior probability of being pathogenic."""
    return (9 * (1 - prior) / prior) ** (4 / 3)


def required_ratios(prior: float) -> dict[str, float]:
    """Likelihood ratio that each strength asks for, the weakest first.

    Raises
    ------
    ValueError
        If the prior is not between 0 and 0.9, from where nothing needs evidence.
    """
    if not 0 < prior < 0.9:
        raise ValueError("the prior probability must lie between 0 and 0.9")
    return {name: very_strong_odds(prior) ** power for name, power in STRENGTHS.items()}


def strength_of(low: float, high: float, prior: float) -> tuple[str, str] | None:
    """Direction and strength of evidence that an interval of a likelihood ratio reaches.

    Returns
    -------
    tuple of str, or None
        `PATHOGENIC` or `BENIGN`, and a name of `STRENGTHS`.
    """
    reached = None
    for name, ratio in required_ratios(prior).items():
        if low >= ratio:
            reached = PATHOGENIC, name
        elif high <= 1 / ratio:
            reached = BENIGN, name
    return reached


@dataclass(frozen=True)
class EvidenceInterval:
    """Scores that reach a strength of evidence.

    Attributes
    ----------
    direction : str
        `PATHOGENIC`: scores from `threshold` on; `BENIGN`: scores up to it.
    strength : str
    ratio : float
        The likelihood ratio that it asks for.
    threshold : float
        NaN where no score reaches it.
    n_positive, n_negative : int
        Variants there.
    crossfit_ratio : float
        Likelihood ratio of held-out variants there, with thresholds that were found without them;
        NaN where none is there. One half is added to both counts where one is 0.
    """

    direction: str
    strength: str
    ratio: float
    threshold: float
    n_positive: int
    n_negative: int
    crossfit_ratio: float = math.nan


@dataclass(frozen=True)
class LocalEvidence:
    """Likelihood ratios along the range of a score.

    Attributes
    ----------
    prior : float
    window : int
        Variants that a window holds at least.
    centres, ratios, low, high : float64[J]
        Scores, rising; the likelihood ratio around each, and its one-sided 95 % bounds.
    n_positive, n_negative : int64[J]
        Variants in the window.
    intervals : tuple of EvidenceInterval
    """

    prior: float
    window: int
    centres: Floats
    ratios: Floats
    low: Floats
    high: Floats
    n_positive: NDArray[np.int64]
    n_negative: NDArray[np.int64]
    intervals: tuple[EvidenceInterval, ...]


class Windows:
    """Windows along one score, and the likelihood ratios in them in replicates."""

    def __init__(self, scores: Floats, ranked: RankedVariants, window: int) -> None:
        rising = np.sort(scores)
        self.centres, self._first, self._end = _windows(rising, window)
        self._ranked = ranked
        n = len(scores)
        # The ranking descends.
        self._cuts = np.unique(np.concatenate([n - self._end, n - self._first, [n]]))
        self._upper = np.searchsorted(self._cuts, n - self._end)
        self._lower = np.searchsorted(self._cuts, n - self._first)

    @property
    def width(self) -> int:
        """Numbers of one replicate."""
        return len(self.centres)

    def counts(self, weights: NDArray[np.uint8]) -> tuple[Floats, Floats, Floats, Floats]:
        """Positives and negatives in windows, [J, LANES], and altogether, [LANES]."""
        found = np.empty((2 * len(self._cuts), LANES), dtype=np.int32)
        count_at(self._ranked, self._cuts.astype(np.int64), weights, found)
        hits, misses = found[0::2].astype(np.float64), found[1::2].astype(np.float64)
        return (
            hits[self._lower] - hits[self._upper],
            misses[self._lower] - misses[self._upper],
            hits[-1],
            misses[-1],
        )

    def measure(self, weights: NDArray[np.uint8]) -> Floats:
        """Likelihood ratios: float64[LANES, J]."""
        return likelihood_ratio(*self.counts(weights)).T


def likelihood_ratio(
    hits: Floats, misses: Floats, positives: Floats, negatives: Floats
) -> NDArray[np.float64]:
    """Share of the positives over share of the negatives.

    Where one of both is 0, one half is added to each (Haldane 1956, Anscombe 1956).
    """
    zero = (hits == 0) | (misses == 0)
    add = np.where(zero, 0.5, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Floats = ((hits + add) / (positives + 2 * add)) / (
            (misses + add) / (negatives + 2 * add)
        )
    return ratio


def _windows(rising: Floats, window: int) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Centres, and where the windows around them begin and end among rising scores.

    A window is the narrowest, equally far to both sides, that holds `window` scores; at the ends of
    the range only one side has any.
    """
    finite = np.unique(rising[np.isfinite(rising)])
    nothing = np.zeros(0, dtype=np.int64)
    if len(rising) < window or not len(finite):
        return np.zeros(0), nothing, nothing
    places = np.linspace(0, len(rising) - 1, min(_MOST_CENTRES, len(rising))).astype(np.int64)
    chosen = rising[places]
    centres = np.unique(chosen[np.isfinite(chosen)])
    first, end = np.empty((2, len(centres)), dtype=np.int64)
    for k, centre in enumerate(centres.tolist()):
        place = int(np.searchsorted(rising, centre))
        starts = np.arange(max(0, place - window), min(place, len(rising) - window) + 1)
        far = np.maximum(centre - rising[starts], rising[starts + window - 1] - centre)
        reach = float(far.min())
        first[k] = bisect.bisect_left(rising, -reach, key=lambda score: score - centre)
        end[k] = bisect.bisect_right(rising, reach, key=lambda score: score - centre)
    return centres, first, end


def bounds_of(ratios: Floats, drawn: Floats) -> tuple[Floats, Floats]:
    """One-sided 95 % bounds of ratios [J] by their replicates [R, J]; NaN without replicates."""
    if not len(drawn):
        return np.full(len(ratios), math.nan), np.full(len(ratios), math.nan)
    low, high = np.percentile(drawn, (_BOUND, 100 - _BOUND), axis=0)
    return low, high


def reached_thresholds(
    centres: Floats, low: Floats, high: Floats, prior: float
) -> dict[tuple[str, str], float]:
    """Thresholds of each direction and strength; NaN where no score reaches it."""
    thresholds = {}
    for name, ratio in required_ratios(prior).items():
        # NaN compares false: without bounds nothing is reached.
        from_here = np.logical_and.accumulate((low >= ratio)[::-1])[::-1]
        up_to_here = np.logical_and.accumulate(high <= 1 / ratio)
        thresholds[PATHOGENIC, name] = (
            float(centres[np.argmax(from_here)]) if from_here.any() else math.nan
        )
        thresholds[BENIGN, name] = (
            float(centres[np.count_nonzero(up_to_here) - 1]) if up_to_here.any() else math.nan
        )
    return thresholds


def reaches(scores: Floats, direction: str, threshold: float) -> NDArray[np.bool_]:
    """Which scores a threshold holds; none where it is NaN."""
    held: NDArray[np.bool_] = (
        scores >= threshold if direction == PATHOGENIC else scores <= threshold
    )
    return held
