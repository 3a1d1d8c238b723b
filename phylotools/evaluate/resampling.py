"""Bootstrap of clusters: the one place that draws them and makes intervals of the replicates.

Variants at one site, of one gene, contig or matched group are not independent, so clusters are
drawn whole, with replacement (Davison and Hinkley 1997, chapter 3.8; Field and Welsh 2007), and a
replicate is a count for each cluster. Every score sees the same replicates, so differences between
scores are paired. Intervals are the 2.5th and 97.5th percentiles.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.replicate_lanes import LANES
from phylotools.evaluate.resampling_kernels import draw_replicates
from phylotools.threads import get_threads, map_in_threads

#: Below this many clusters a percentile interval would understate the uncertainty.
MIN_CLUSTERS_FOR_INTERVAL = 5
#: Percentiles of a 95 % interval.
INTERVAL = (2.5, 97.5)
# Memory that the blocks of all threads may take together.
_MEMORY = 2 << 30

Floats = NDArray[np.float64]
Seed = int | list[int]
#: Given uint8[n_clusters, LANES], how often each cluster counts in each of so many replicates, it
#: writes the measures of these replicates, float64[LANES, ...].
Measure = Callable[[NDArray[np.uint8], Floats], None]


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval; NaN stands for what cannot be estimated."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Figures:
    """What one score reaches.

    Attributes
    ----------
    estimates : dict of str to Estimate
        By the name of the measure.
    differences : dict of str to Estimate
        Minus those of the first score, from the same replicates; empty for the first score itself.
    notes : dict of str to str
        Name of a measure that could not be computed -> why.
    """

    estimates: dict[str, Estimate]
    differences: dict[str, Estimate]
    notes: dict[str, str]


@dataclass(frozen=True)
class Clusters:
    """Clusters of M variants, numbered so that those of one stratum stand together.

    Attributes
    ----------
    of : int32[M]
        Cluster of each variant, from 0.
    bounds : int64[n_strata + 1]
        Where the clusters of each stratum begin and end.
    """

    of: NDArray[np.int32]
    bounds: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.bounds[-1])


def number_clusters(
    clusters: NDArray[np.int64], classes: NDArray[np.integer] | None = None
) -> Clusters:
    """Number clusters from 0, those of one stratum together.

    Parameters
    ----------
    clusters : int64[M]
        Any number per cluster.
    classes : int[M], optional
        Class of each variant, from 0. Clusters that hold one class only are a stratum for each
        class, the highest first, and all others are one more, so that every replicate keeps the
        design of the set. Without them there is one stratum.

    Returns
    -------
    Clusters
    """
    distinct, of = np.unique(clusters, return_inverse=True)
    of = of.reshape(-1)
    if classes is None:
        return Clusters(of.astype(np.int32), np.array([0, len(distinct)], dtype=np.int64))
    n_classes = int(classes.max(initial=1)) + 1
    lowest = np.full(len(distinct), n_classes, dtype=np.int64)
    highest = np.full(len(distinct), -1, dtype=np.int64)
    np.minimum.at(lowest, of, classes)
    np.maximum.at(highest, of, classes)
    stratum = np.where(lowest == highest, n_classes - 1 - highest, n_classes)
    place = np.empty(len(distinct), dtype=np.int64)
    place[np.argsort(stratum, kind="stable")] = np.arange(len(distinct))
    bounds = np.concatenate([[0], np.cumsum(np.bincount(stratum, minlength=n_classes + 1))])
    return Clusters(place[of].astype(np.int32), bounds)


def number_in_order(clusters: NDArray[np.int64], rows: NDArray[np.int64]) -> Clusters:
    """Number clusters from 0, in the order in which some order of the variants first meets them.

    One stratum. What passes over the variants in this order reads the counts of clusters one after
    the other, not from anywhere in memory.
    """
    distinct, of = np.unique(clusters, return_inverse=True)
    of = of.reshape(-1)
    first = np.full(len(distinct), len(rows), dtype=np.int64)
    np.minimum.at(first, of[rows], np.arange(len(rows)))
    place = np.empty(len(distinct), dtype=np.int64)
    place[np.argsort(first)] = np.arange(len(distinct))
    return Clusters(place[of].astype(np.int32), np.array([0, len(distinct)], dtype=np.int64))


def clusters_with(clusters: Clusters, chosen: NDArray[np.bool_]) -> int:
    """Number of clusters that hold at least one of the chosen variants."""
    return int(np.count_nonzero(np.bincount(clusters.of[chosen], minlength=1)))


def resample(
    clusters: Clusters,
    measure: Measure,
    shape: tuple[int, ...],
    *,
    replicates: int,
    seed: Seed,
    bytes_a_block: int = 0,
) -> Floats:
    """Compute a measure on bootstrap replicates, in threads.

    Parameters
    ----------
    clusters : Clusters
    measure : Measure
        Writes float64[LANES, *shape], without the interpreter's lock to gain from threads.
    shape : tuple of int
        Of the measure of one replicate.
    replicates : int
    seed : int or list of int
        The numbers depend on it and on nothing that other scores or threads do.
    bytes_a_block : int
        Memory that `measure` takes while it runs; bounds the number of threads.

    Returns
    -------
    float64[replicates, *shape]
    """
    seeds = np.random.SeedSequence(seed).generate_state(replicates, np.uint64).astype(np.uint64)
    found = np.empty((replicates, *shape))
    of_thread = threading.local()

    def run_block(begin: int) -> None:
        if not hasattr(of_thread, "weights"):
            # Fresh memory costs as much as the draws themselves.
            of_thread.drawn = np.empty((LANES, len(clusters)), dtype=np.uint8)
            of_thread.weights = np.empty((len(clusters), LANES), dtype=np.uint8)
        block = slice(begin, begin + LANES)
        draw_replicates(seeds[block], clusters.bounds, of_thread.drawn, of_thread.weights)
        measures = np.empty((LANES, *shape))
        measure(of_thread.weights, measures)
        found[block] = measures[: len(seeds[block])]

    needed = 2 * LANES * len(clusters) + bytes_a_block
    threads = min(get_threads(), max(1, _MEMORY // max(needed, 1)))
    map_in_threads(run_block, range(0, replicates, LANES), threads)
    return found


def measure_once(
    clusters: Clusters,
    measure: Measure,
    shape: tuple[int, ...],
) -> Floats:
    """Compute a measure where every cluster counts once; float64[*shape]."""
    values = np.empty((LANES, *shape))
    measure(np.ones((len(clusters), LANES), dtype=np.uint8), values)
    return values[0]


def deal_folds(clusters: Clusters, n_folds: int, seed: Seed) -> NDArray[np.int64]:
    """Deal clusters out to folds, evenly within each stratum.

    Returns
    -------
    int64[M]
        Fold of each variant, from 0.
    """
    generator = np.random.default_rng(seed)
    fold_of = np.empty(len(clusters), dtype=np.int64)
    begun = 0
    for first, end in zip(clusters.bounds[:-1], clusters.bounds[1:], strict=True):
        places = first + generator.permutation(end - first)
        fold_of[places] = (begun + np.arange(end - first)) % n_folds
        begun += end - first
    return fold_of[clusters.of]


def estimate(value: float, sample: Floats) -> Estimate:
    """Make an estimate of a value and its replicates.

    Replicates that have no value, as a correlation where a draw left no two different labels, are
    left aside; where they are more than half, or the value itself is NaN, there is no interval.
    """
    if math.isnan(value) or not len(sample):
        return Estimate(float(value))
    known = sample[~np.isnan(sample)]
    if 2 * len(known) <= len(sample):
        return Estimate(float(value))
    low, high = np.percentile(known, INTERVAL)
    return Estimate(float(value), float(low), float(high))


def figures(
    names: tuple[str, ...],
    values: Floats,
    drawn: Floats,
    notes: tuple[dict[str, str], ...] | None = None,
) -> tuple[Figures, ...]:
    """Turn measures of K scores and their replicates into estimates and paired differences.

    Parameters
    ----------
    names : tuple of str, length N
        Of the measures.
    values : float64[K, N]
    drawn : float64[R, K, N]
    notes : tuple of dict, length K, optional
    """
    return tuple(
        Figures(
            {
                name: estimate(values[k, n], drawn[:, k, n])
                for n, name in enumerate(names)
            },
            {
                name: estimate(values[k, n] - values[0, n], drawn[:, k, n] - drawn[:, 0, n])
                for n, name in enumerate(names)
                if k
            },
            notes[k] if notes is not None else {},
        )
        for k in range(len(values))
    )  # fmt: skip
