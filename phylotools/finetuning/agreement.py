"""How well scores agree with labels that are numbers, with intervals from resampled groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.comparison import OVERALL
from phylotools.evaluate.metrics import INTERVAL, MIN_SITES_FOR_INTERVAL, Estimate
from phylotools.evaluate.report import estimate_columns

Floats = NDArray[np.float64]
#: Fewer items of a class have no correlation worth a name.
_FEWEST = 5


@dataclass(frozen=True)
class Agreement:
    """One score on some items.

    Attributes
    ----------
    name, score : str
        The class, or `OVERALL`; the score.
    n_items, n_groups : int
    spearman, pearson : Estimate
    difference : Estimate or None
        Of Spearman's correlation, minus that of the first score, paired.
    """

    name: str
    score: str
    n_items: int
    n_groups: int
    spearman: Estimate
    pearson: Estimate
    difference: Estimate | None


def agreements(
    scores: Mapping[str, Floats],
    labels: Floats,
    clusters: NDArray[np.int64],
    classes: NDArray[np.int32],
    class_names: tuple[str, ...],
    *,
    replicates: int,
    seed: int,
) -> list[Agreement]:
    """Correlations of scores with labels, over all items and in each class.

    Parameters
    ----------
    scores : mapping of str to float64 array [N]
        The one that others are compared with first.
    labels : float64 array [N]
    clusters : int64 array [N]
        What is resampled whole.
    classes : int32 array [N]
        Indices into `class_names`.
    class_names : tuple of str
    replicates, seed : int
    """
    found = _on(OVERALL, scores, labels, clusters, replicates, seed)
    if len(class_names) > 1:
        for number, name in enumerate(class_names):
            rows = np.flatnonzero(classes == number)
            if len(rows) >= _FEWEST:
                own = {key: values[rows] for key, values in scores.items()}
                found += _on(name, own, labels[rows], clusters[rows], replicates, seed)
    return found


def _on(
    name: str,
    scores: Mapping[str, Floats],
    labels: Floats,
    clusters: NDArray[np.int64],
    replicates: int,
    seed: int,
) -> list[Agreement]:
    distinct, of = np.unique(clusters, return_inverse=True)
    members = np.split(np.argsort(of, kind="stable"), np.cumsum(np.bincount(of))[:-1])
    if len(distinct) < MIN_SITES_FOR_INTERVAL:
        replicates = 0
    rng = np.random.default_rng(seed)
    values = list(scores.values())
    drawn = np.empty((replicates, len(values), 2))
    for k in range(replicates):
        rows = np.concatenate([members[c] for c in rng.integers(len(members), size=len(members))])
        drawn[k] = [_correlations(each[rows], labels[rows]) for each in values]
    point = np.array([_correlations(each, labels) for each in values])

    def estimate(value: float, sample: Floats) -> Estimate:
        sample = sample[np.isfinite(sample)]
        low, high = np.percentile(sample, INTERVAL) if len(sample) else (math.nan, math.nan)
        return Estimate(float(value), float(low), float(high))

    return [
        Agreement(
            name,
            score,
            len(labels),
            len(distinct),
            estimate(point[k, 0], drawn[:, k, 0]),
            estimate(point[k, 1], drawn[:, k, 1]),
            estimate(point[k, 0] - point[0, 0], drawn[:, k, 0] - drawn[:, 0, 0]) if k else None,
        )
        for k, score in enumerate(scores)
    ]


def _correlations(scores: Floats, labels: Floats) -> tuple[float, float]:
    """Spearman's and Pearson's; NaN where one of both does not vary."""
    return _pearson(mean_ranks(scores), mean_ranks(labels)), _pearson(scores, labels)


def _pearson(one: Floats, other: Floats) -> float:
    a, b = one - one.mean(), other - other.mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 0 else math.nan


def mean_ranks(values: Floats) -> Floats:
    """Ranks from 1, those of equal values averaged."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[place.ravel()]
    return ranks


def agreement_records(found: list[Agreement]) -> list[dict[str, Any]]:
    """One dictionary a row of the table."""
    return [
        {
            "level": "overall" if each.name == OVERALL else "class",
            "class": each.name,
            "score": each.score,
            "n": each.n_items,
            "n_groups": each.n_groups,
            **estimate_columns("spearman", each.spearman),
            **estimate_columns("pearson", each.pearson),
            **estimate_columns("spearman_difference", each.difference),
        }
        for each in found
    ]
