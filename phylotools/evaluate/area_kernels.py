"""AUROC and AUPRC of ranked variants in bootstrap replicates; compiled loops."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from phylotools.compiling import compile_entries
from phylotools.evaluate import replicate_lanes
from phylotools.evaluate.replicate_lanes import (
    AHEAD,
    LANES,
    as_sums,
    at_least_one,
    kept_where,
    load_counts,
    no_counts,
    no_sums,
    prefetch,
    store,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RankedVariants(NamedTuple):
    """M variants in descending order of a score.

    Attributes
    ----------
    clusters : int32[M]
        Cluster of each variant.
    positive : bool[M]
    ends_tie : bool[M]
        Whether the next variant has another score.
    """

    clusters: NDArray[np.int32]
    positive: NDArray[np.bool_]
    ends_tie: NDArray[np.bool_]


def _weighted_sums(
    ranked: RankedVariants, weights: NDArray[np.uint8], sums: NDArray[np.float64]
) -> None:
    hits = misses = hits_before = misses_before = no_counts()
    twice_area = precision = no_sums()
    is_hit = False
    last = len(ranked.clusters) - 1
    for i in range(last + 1):
        prefetch(weights, ranked.clusters[min(i + AHEAD, last)])
        weight = load_counts(weights, ranked.clusters[i])
        if ranked.positive[i]:
            hits = hits + weight
            is_hit = True
        else:
            misses = misses + weight
        if ranked.ends_tie[i]:
            new_misses = as_sums(misses - misses_before)
            twice_area = twice_area + new_misses * as_sums(hits + hits_before)
            if is_hit:
                share = as_sums(hits) / as_sums(at_least_one(hits + misses))
                precision = precision + as_sums(hits - hits_before) * share
                is_hit = False
            hits_before, misses_before = hits, misses
    store(sums, 0, twice_area)
    store(sums, 1, precision)
    store(sums, 2, as_sums(hits))
    store(sums, 3, as_sums(misses))


def _weighted_sums_within(
    ranked: RankedVariants,
    ends_stratum: NDArray[np.bool_],
    weights: NDArray[np.uint8],
    sums: NDArray[np.float64],
) -> None:
    hits = misses = hits_before = misses_before = no_counts()
    twice_area = n_pairs = no_sums()
    last = len(ranked.clusters) - 1
    for i in range(last + 1):
        prefetch(weights, ranked.clusters[min(i + AHEAD, last)])
        weight = load_counts(weights, ranked.clusters[i])
        if ranked.positive[i]:
            hits = hits + weight
        else:
            misses = misses + weight
        if ranked.ends_tie[i]:
            new_misses = as_sums(misses - misses_before)
            twice_area = twice_area + new_misses * as_sums(hits + hits_before)
            hits_before, misses_before = hits, misses
        if ends_stratum[i]:
            n_pairs = n_pairs + as_sums(hits) * as_sums(misses)
            hits = misses = hits_before = misses_before = no_counts()
    store(sums, 0, twice_area)
    store(sums, 1, n_pairs)


def _precision_sums(
    ranked: RankedVariants,
    ends_stratum: NDArray[np.bool_],
    weights: NDArray[np.uint8],
    sums: NDArray[np.float64],
) -> None:
    hits = misses = hits_before = no_counts()
    precision = no_sums()
    precisions = of_hits = areas = of_variants = no_sums()
    is_hit = False
    last = len(ranked.clusters) - 1
    for i in range(last + 1):
        prefetch(weights, ranked.clusters[min(i + AHEAD, last)])
        weight = load_counts(weights, ranked.clusters[i])
        if ranked.positive[i]:
            hits = hits + weight
            is_hit = True
        else:
            misses = misses + weight
        if is_hit and ranked.ends_tie[i]:
            share = as_sums(hits) / as_sums(at_least_one(hits + misses))
            precision = precision + as_sums(hits - hits_before) * share
            hits_before = hits
            is_hit = False
        if ends_stratum[i]:
            n = as_sums(hits + misses)
            area = n * (precision / as_sums(at_least_one(hits)))
            precisions = precisions + kept_where(hits, kept_where(misses, precision))
            of_hits = of_hits + kept_where(misses, as_sums(hits))
            areas = areas + kept_where(hits, kept_where(misses, area))
            of_variants = of_variants + kept_where(hits, kept_where(misses, n))
            hits = misses = hits_before = no_counts()
            precision = no_sums()
            is_hit = False
    store(sums, 0, precisions)
    store(sums, 1, of_hits)
    store(sums, 2, areas)
    store(sums, 3, of_variants)


_sums, _sums_within, _precisions = compile_entries(
    [Path(__file__), Path(replicate_lanes.__file__)],
    _weighted_sums,
    _weighted_sums_within,
    _precision_sums,
)


def weighted_areas(ranked: RankedVariants, weights: NDArray[np.uint8]) -> NDArray[np.float64]:
    """AUROC and AUPRC where each variant counts as often as its cluster.

    Parameters
    ----------
    ranked : RankedVariants
    weights : uint8[n_clusters, LANES]
        How often each cluster counts, in so many replicates.

    Returns
    -------
    float64[LANES, 2]
        A tie counts one half in the AUROC (the Mann-Whitney statistic over n1 n0); the AUPRC is
        the average precision, the sum over thresholds of (step in recall) x precision. NaN where
        there is no positive or no negative.
    """
    sums = np.empty((4, LANES))
    _sums(ranked, weights, sums)
    twice_area, precision, hits, misses = sums
    areas = np.full((LANES, 2), np.nan)
    has_both = hits * misses > 0
    np.divide(twice_area / 2, hits * misses, out=areas[:, 0], where=has_both)
    np.divide(precision, hits, out=areas[:, 1], where=has_both)
    return areas


def weighted_areas_within(
    ranked: RankedVariants, ends_stratum: NDArray[np.bool_], weights: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """AUROC over pairs of the same stratum, where each variant counts as often as its cluster.

    Parameters
    ----------
    ranked : RankedVariants
        Stratum by stratum; a tie ends with its stratum at the latest.
    ends_stratum : bool[M]
        Whether the next variant is of another stratum.
    weights : uint8[n_clusters, LANES]
        How often each cluster counts, in so many replicates.

    Returns
    -------
    float64[LANES]
        The chance that a positive ranks above a negative of its stratum, ties counting one half;
        NaN where no stratum has both.
    """
    sums = np.empty((2, LANES))
    _sums_within(ranked, ends_stratum, weights, sums)
    twice_area, n_pairs = sums
    areas = np.full(LANES, np.nan)
    np.divide(twice_area / 2, n_pairs, out=areas, where=n_pairs > 0)
    return areas


def weighted_precisions_within(
    ranked: RankedVariants, ends_stratum: NDArray[np.bool_], weights: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Means over strata of the AUPRC within each, where each variant counts as its cluster does.

    Parameters
    ----------
    ranked, ends_stratum, weights
        As for `weighted_areas_within`.

    Returns
    -------
    float64[LANES, 2]
        Over the strata with a positive and a negative: weighted by their positives, and weighted
        by their variants. NaN where there is none.
    """
    sums = np.empty((4, LANES))
    _precisions(ranked, ends_stratum, weights, sums)
    means = np.full((LANES, 2), np.nan)
    np.divide(sums[0], sums[1], out=means[:, 0], where=sums[1] > 0)
    np.divide(sums[2], sums[3], out=means[:, 1], where=sums[3] > 0)
    return means
