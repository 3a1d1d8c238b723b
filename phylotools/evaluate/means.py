"""Means of values over variants, with intervals from resampled clusters."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.replicate_lanes import LANES
from phylotools.evaluate.resampling import (
    MIN_CLUSTERS_FOR_INTERVAL,
    Estimate,
    Floats,
    Seed,
    estimate,
    measure_once,
    number_clusters,
    resample,
)
from phylotools.evaluate.threshold_kernels import sum_values


def mean_values(
    values: Floats, clusters: NDArray[np.int64], *, replicates: int, seed: Seed
) -> tuple[Estimate, ...]:
    """Means of values, float64[V, M]; NaN where one is infinite, or there is none.

    Parameters
    ----------
    values : float64[V, M]
    clusters : int64[M]
        What is drawn whole; fewer than five give no interval.
    replicates : int
    seed : int or list of int
    """
    if not values.shape[1]:
        return (Estimate(math.nan),) * len(values)
    numbered = number_clusters(clusters)
    if len(numbered) < MIN_CLUSTERS_FOR_INTERVAL:
        replicates = 0
    is_finite = np.array([bool(np.isfinite(row).all()) for row in values])
    finite = np.ascontiguousarray(np.where(is_finite[:, None], values, 0.0))

    def measure(weights: NDArray[np.uint8], found: Floats) -> None:
        sums = np.empty((len(values) + 1, LANES))
        sum_values(numbered.of, finite, weights, sums)
        found[:] = (sums[:-1] / np.maximum(sums[-1], 1)).T

    shape = (len(values),)
    means = measure_once(numbered, measure, shape)
    means[~is_finite] = math.nan
    drawn = resample(numbered, measure, shape, replicates=replicates, seed=seed)
    return tuple(estimate(mean, sample) for mean, sample in zip(means, drawn.T, strict=True))
