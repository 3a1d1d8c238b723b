"""AUROC and AUPRC of ranked variants, and of bootstrap replicates; compiled loops."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from phylotools.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

# SplitMix64 (Steele, Lea and Flood 2014): one stream a replicate, whatever thread draws it.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_LOW_HALF = np.uint64(0xFFFFFFFF)


class RankedVariants(NamedTuple):
    """M variants in descending order of a score.

    Attributes
    ----------
    sites : int32[M]
        Site of each variant.
    positive : bool[M]
    ends_tie : bool[M]
        Whether the next variant has another score.
    """

    sites: NDArray[np.int32]
    positive: NDArray[np.bool_]
    ends_tie: NDArray[np.bool_]


@compiled
def weighted_areas(ranked: RankedVariants, weights: NDArray[np.uint8]) -> tuple[float, float]:
    """AUROC and AUPRC where each variant counts as often as its site.

    Parameters
    ----------
    ranked : RankedVariants
    weights : uint8[n_sites]

    Returns
    -------
    auroc, auprc : float
        A tie counts one half in the AUROC (the Mann-Whitney statistic over n1 n0); the AUPRC is
        the average precision, the sum over thresholds of (step in recall) x precision. NaN where
        there is no positive or no negative.
    """
    hits = 0
    misses = 0
    hits_before = 0
    misses_before = 0
    twice_area = 0
    precision = 0.0
    for i in range(len(ranked.sites)):
        weight = np.int64(weights[ranked.sites[i]])
        hit = weight * ranked.positive[i]
        hits += hit
        misses += weight - hit
        # Without a branch: whether a tie ends here cannot be foretold.
        ends = np.int64(ranked.ends_tie[i])
        new_hits = (hits - hits_before) * ends
        new_misses = (misses - misses_before) * ends
        twice_area += new_misses * (hits + hits_before)
        precision += new_hits * (hits / max(hits + misses, 1))
        hits_before += new_hits
        misses_before += new_misses
    if hits == 0 or misses == 0:
        return math.nan, math.nan
    return twice_area / 2 / (hits * misses), precision / hits


@compiled
def weighted_area_within(
    ranked: RankedVariants, ends_stratum: NDArray[np.bool_], weights: NDArray[np.uint8]
) -> float:
    """AUROC over pairs of the same stratum, where each variant counts as often as its site.

    Parameters
    ----------
    ranked : RankedVariants
        Stratum by stratum; a tie ends with its stratum at the latest.
    ends_stratum : bool[M]
        Whether the next variant is of another stratum.
    weights : uint8[n_sites]

    Returns
    -------
    float
        The chance that a positive ranks above a negative of its stratum, ties counting one half;
        NaN where no stratum has both.
    """
    hits = 0
    misses = 0
    hits_before = 0
    misses_before = 0
    twice_area = 0.0
    n_pairs = 0.0
    for i in range(len(ranked.sites)):
        weight = np.int64(weights[ranked.sites[i]])
        hit = weight * ranked.positive[i]
        hits += hit
        misses += weight - hit
        if ranked.ends_tie[i]:
            twice_area += float(misses - misses_before) * float(hits + hits_before)
            hits_before, misses_before = hits, misses
        if ends_stratum[i]:
            n_pairs += float(hits) * float(misses)
            hits = misses = hits_before = misses_before = 0
    return twice_area / 2 / n_pairs if n_pairs else math.nan


@compiled
def draw_sites(seed: np.uint64, bounds: NDArray[np.int64], weights: NDArray[np.uint8]) -> None:
    """Draw as many sites as there are, with replacement, within each stratum.

    Parameters
    ----------
    seed : uint64
    bounds : int64[n_strata + 1]
        Sites of stratum k are those from ``bounds[k]`` to ``bounds[k + 1]``; fewer than 2 ** 32.
    weights : uint8[n_sites], written
        How often each site was drawn. 255 is never reached: a site is drawn once on average, and
        no more often than its stratum has sites.
    """
    weights[:] = 0
    state = seed
    for k in range(len(bounds) - 1):
        first = bounds[k]
        size = np.uint64(bounds[k + 1] - first)
        for _ in range(bounds[k + 1] - first):
            # Lemire 2019: the high half of a product is uniform once few low halves are refused.
            while True:
                state += _STEP
                mixed = (state ^ (state >> np.uint64(30))) * _MIX_1
                mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
                product = ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(32)) * size
                low = product & _LOW_HALF
                if low >= size or low >= (_LOW_HALF - size + np.uint64(1)) % size:
                    break
            weights[first + np.int64(product >> np.uint64(32))] += 1


@compiled
def resampled_areas(
    rankings: tuple[RankedVariants, ...],
    seeds: NDArray[np.uint64],
    bounds: NDArray[np.int64],
    areas: NDArray[np.float64],
) -> None:
    """AUROC and AUPRC of every score in bootstrap replicates, which draw whole sites.

    Parameters
    ----------
    rankings : tuple of RankedVariants, length K
        Of the same variants, one for each score.
    seeds : uint64[R]
        One for each replicate; every score sees the same draw.
    bounds : int64[n_strata + 1]
        As for `draw_sites`.
    areas : float64[R, K, 2], written
    """
    weights = np.empty(bounds[-1], dtype=np.uint8)
    for replicate in range(len(seeds)):
        draw_sites(seeds[replicate], bounds, weights)
        for k in range(len(rankings)):
            areas[replicate, k] = weighted_areas(rankings[k], weights)


@compiled
def resampled_areas_within(
    rankings: tuple[RankedVariants, ...],
    ends_stratum: NDArray[np.bool_],
    seeds: NDArray[np.uint64],
    bounds: NDArray[np.int64],
    areas: NDArray[np.float64],
) -> None:
    """`weighted_area_within` of every score in bootstrap replicates, which draw whole sites.

    Parameters
    ----------
    rankings : tuple of RankedVariants, length K
        Of the same variants, one for each score.
    ends_stratum : bool[M]
    seeds : uint64[R]
        One for each replicate; every score sees the same draw.
    bounds : int64[n_strata + 1]
        As for `draw_sites`.
    areas : float64[R, K], written
    """
    weights = np.empty(bounds[-1], dtype=np.uint8)
    for replicate in range(len(seeds)):
        draw_sites(seeds[replicate], bounds, weights)
        for k in range(len(rankings)):
            areas[replicate, k] = weighted_area_within(rankings[k], ends_stratum, weights)
