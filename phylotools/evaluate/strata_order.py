"""Variants in the order of their values, stratum by stratum, and means over strata."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.resampling import Floats


def refuse_missing(scores: Floats, labels: Floats | None = None) -> None:
    """Raise ValueError where a score or a label is NaN."""
    if np.isnan(scores).any():
        raise ValueError("a missing score cannot be ranked")
    if labels is not None and np.isnan(labels).any():
        raise ValueError("a missing label cannot be ranked")


def number_strata(
    strata: NDArray[np.integer] | None, n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number strata from 0.

    Returns
    -------
    of : int64[M]
        Stratum of each of `n` variants; 0 for all where there are none.
    bounds : int64[n_strata + 1]
        Where those of each stratum begin and end, in an order by stratum.
    """
    given = np.zeros(n, dtype=np.int64) if strata is None else strata
    of = np.unique(given, return_inverse=True)[1].reshape(-1)
    return of, np.concatenate([[0], np.cumsum(np.bincount(of))]).astype(np.int64)


def correlation_ratio(product: Floats, size: Floats) -> Floats:
    """A correlation; NaN where scores or labels do not vary, and never past 1 by rounding."""
    nothing = np.full(product.shape, math.nan)
    return np.clip(np.divide(product, size, out=nothing, where=size > 0), -1, 1)


def mean_within(n: Floats, values: Floats) -> Floats:
    """Mean over strata, [n_strata, LANES] -> [LANES], of the values that there are."""
    if len(values) == 1:
        return values[0]
    weights = np.where(np.isnan(values), 0.0, n)
    total = weights.sum(axis=0)
    mean = np.full(values.shape[1], math.nan)
    return np.divide(
        (weights * np.nan_to_num(values)).sum(axis=0), total, out=mean, where=total > 0
    )


def order_within(
    values: Floats, strata: NDArray[np.int64], ties: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int32]]:
    """Sort variants by stratum, then by ascending value, then by `ties` or as they stand.

    Returns
    -------
    rows : int64[M]
    ends_tie : bool[M]
        In this order: whether the next has another value or stratum.
    codes : int32[M]
        Of each variant as given: which run of equal values of its stratum it is in.
    """
    rows = np.lexsort((values, strata) if ties is None else (ties, values, strata))
    ordered, of = values[rows], strata[rows]
    ends = np.ones(len(rows), dtype=np.bool_)
    ends[:-1] = (ordered[1:] != ordered[:-1]) | (of[1:] != of[:-1])
    codes = np.empty(len(rows), dtype=np.int32)
    codes[rows] = np.cumsum(ends) - ends
    return rows, ends, codes


def mean_ranks(values: Floats) -> Floats:
    """Ranks from 1, those of equal values averaged."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[places.reshape(-1)]
    return ranks
