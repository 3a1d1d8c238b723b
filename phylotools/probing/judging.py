"""What predictions are worth on held-out samples, with intervals from resampled whole groups.

Resampled are contigs, or samples where there are few contigs: neighbouring cells are not
independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.area_kernels import RankedVariants, weighted_areas
from phylotools.evaluate.metrics import rank_variants
from phylotools.evaluate.resampling import (
    MIN_CLUSTERS_FOR_INTERVAL,
    Clusters,
    Estimate,
    Floats,
    Measure,
    estimate,
    measure_once,
    number_clusters,
    resample,
)

#: Steps of all replicates together: beyond, fewer replicates are drawn.
_MOST_STEPS = 40_000_000_000
_FEWEST_REPLICATES = 200


@dataclass(frozen=True)
class Groups:
    """What is resampled whole.

    Attributes
    ----------
    clusters : Clusters
        Of the judged cells.
    what : str
        ``contigs`` or ``samples``.
    """

    clusters: Clusters
    what: str

    @property
    def n(self) -> int:
        return len(self.clusters)

    @property
    def have_intervals(self) -> bool:
        """Whether there are enough of them for an interval."""
        return self.n >= MIN_CLUSTERS_FOR_INTERVAL

    def measured(
        self, measure: Measure, shape: tuple[int, ...], replicates: int, seed: int
    ) -> tuple[Floats, Floats]:
        """A measure of all groups, float64 [*shape], and of replicates, float64 [R, *shape]."""
        if not self.have_intervals:
            replicates = 0
        drawn = resample(self.clusters, measure, shape, replicates=replicates, seed=seed)
        return measure_once(self.clusters, measure, shape), drawn


@dataclass(frozen=True)
class Verdict:
    """What one kind of predictions is worth.

    Attributes
    ----------
    name : str
    value : Estimate
    difference : Estimate or None
        Of the first kind from this one, paired; None for the first.
    parts : dict of str to Estimate
        By class (F1, the harmonic mean of recall and precision) or label; those that cannot be
        judged are NaN.
    recall, precision : dict of str to float
        By class; empty of labels.
    """

    name: str
    value: Estimate
    difference: Estimate | None
    parts: dict[str, Estimate]
    recall: dict[str, float]
    precision: dict[str, float]


def groups_of(contigs: NDArray[np.int64], samples: NDArray[np.int64]) -> Groups:
    """Contigs where there are enough of them, else samples.

    Parameters
    ----------
    contigs, samples : int64 array [C]
        Of each judged cell.
    """
    found = Groups(number_clusters(contigs), "contigs")
    return found if found.have_intervals else Groups(number_clusters(samples), "samples")


def matthews(confusion: NDArray[np.number]) -> NDArray[np.float64]:
    """Matthews' correlation coefficient of K classes (Gorodkin 2004).

    Parameters
    ----------
    confusion : array [..., K, K]
        Cells of each class (rows) that were said to be of each (columns).

    Returns
    -------
    float64 array [...]
        0 where all is of one class, or all said to be of one.
    """
    table = np.asarray(confusion, dtype=np.float64)
    total = table.sum(axis=(-2, -1))
    right = np.trace(table, axis1=-2, axis2=-1)
    true, said = table.sum(axis=-1), table.sum(axis=-2)
    covariance = right * total - (true * said).sum(axis=-1)
    spread = (total**2 - (true**2).sum(axis=-1)) * (total**2 - (said**2).sum(axis=-1))
    found: NDArray[np.float64] = np.where(
        spread > 0, covariance / np.sqrt(np.where(spread > 0, spread, 1.0)), 0.0
    )
    return found


def judge_classes(
    labels: NDArray[np.integer],
    said: Mapping[str, NDArray[np.integer]],
    names: Sequence[str],
    groups: Groups,
    *,
    replicates: int,
    seed: int,
) -> list[Verdict]:
    """MCC over all cells; F1, recall and precision of each class.

    Parameters
    ----------
    labels : int array [C]
    said : mapping of str to int array [C]
        Classes that were predicted; what the others are compared with first.
    names : sequence of str
    groups : Groups
    replicates, seed : int
    """
    k = len(names)
    tables = [_confusions(labels, values, k, groups) for values in said.values()]

    def measure(weights: NDArray[np.uint8], found: Floats) -> None:
        counts = weights.T.astype(np.float64)
        for number, table in enumerate(tables):
            drawn = np.tensordot(counts, table, axes=1)
            found[:, number, 0] = matthews(drawn)
            found[:, number, 1:] = _f1(drawn)

    points, drawn = groups.measured(measure, (len(tables), 1 + k), replicates, seed)
    verdicts = []
    for number, (name, table) in enumerate(zip(said, tables, strict=True)):
        recall, precision = (
            dict(zip(names, _ratio(table.sum(axis=0), axis).tolist(), strict=True))
            for axis in (-1, -2)
        )
        parts = _parts(names, points[number, 1:], drawn[:, number, 1:])
        own = points[:, 0], drawn[:, :, 0]
        verdicts.append(_verdict(name, number, *own, parts, recall, precision))
    return verdicts


def _parts(names: Sequence[str], points: Floats, drawn: Floats) -> dict[str, Estimate]:
    """Estimates by name, of values [N] and their replicates [R, N]."""
    return {name: estimate(points[k], drawn[:, k]) for k, name in enumerate(names)}


def _verdict(
    name: str,
    number: int,
    points: Floats,
    drawn: Floats,
    parts: dict[str, Estimate],
    recall: dict[str, float],
    precision: dict[str, float],
) -> Verdict:
    """One of K verdicts, of all their values [K] and replicates [R, K]."""
    difference = None
    if number:
        difference = estimate(points[0] - points[number], drawn[:, 0] - drawn[:, number])
    value = estimate(points[number], drawn[:, number])
    return Verdict(name, value, difference, parts, recall, precision)


def _confusions(
    labels: NDArray[np.integer], said: NDArray[np.integer], k: int, groups: Groups
) -> NDArray[np.float64]:
    """Confusion matrix of each group, [G, K, K]."""
    cell = (groups.clusters.of.astype(np.int64) * k + labels) * k + said
    counts = np.bincount(cell, minlength=groups.n * k * k)
    return counts.reshape(groups.n, k, k).astype(np.float64)


def _ratio(table: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Diagonal over the sums along an axis: -1 recall, -2 precision; NaN of nothing."""
    return _quotient(np.diagonal(table, axis1=-2, axis2=-1), table.sum(axis=axis))


def _f1(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Twice the hits over cells of the class and cells said to be of it."""
    return _quotient(
        2 * np.diagonal(table, axis1=-2, axis2=-1), table.sum(axis=-1) + table.sum(axis=-2)
    )


def _quotient(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.where(whole > 0, part / np.where(whole > 0, whole, 1), math.nan)
    return found


def judge_labels(
    labels: NDArray[np.int8],
    scores: Mapping[str, NDArray[np.float32]],
    names: Sequence[str],
    groups: Groups,
    *,
    by_precision: bool,
    replicates: int,
    seed: int,
) -> list[Verdict]:
    """AUROC or AUPRC of each label, and their mean.

    Parameters
    ----------
    labels : int8 array [C, T]
        1, 0 and -1 for what is not known.
    scores : mapping of str to float32 array [C, T]
        What the others are compared with first.
    names : sequence of str
        Of the labels.
    groups : Groups
    by_precision : bool
        AUPRC; else AUROC.
    replicates, seed : int

    Returns
    -------
    list of Verdict
        Labels of which all cells are alike, or that are drawn so, are left out of a mean.
    """
    column = 1 if by_precision else 0
    replicates = _affordable(len(labels), len(names), len(scores), replicates)
    points = np.full((len(scores), len(names)), math.nan)
    drawn = np.full((replicates, len(scores), len(names)), math.nan)
    for t in range(len(names)):
        known = np.flatnonzero(labels[:, t] >= 0)
        positive = labels[known, t] == 1
        if not len(known) or positive.all() or not positive.any():
            continue
        rankings = [
            rank_variants(each[known, t].astype(np.float64), positive, groups.clusters.of[known])
            for each in scores.values()
        ]

        def measure(
            weights: NDArray[np.uint8],
            found: Floats,
            rankings: list[RankedVariants] = rankings,
        ) -> None:
            for number, ranking in enumerate(rankings):
                found[:, number] = weighted_areas(ranking, weights)[:, column]

        # The same seed for every label: each replicate draws the same groups in all.
        points[:, t], found = groups.measured(measure, (len(scores),), replicates, seed)
        drawn[: len(found), :, t] = found
    means, samples = _mean_of_known(points), _mean_of_known(drawn)
    return [
        _verdict(name, k, means, samples, _parts(names, points[k], drawn[:, k]), {}, {})
        for k, name in enumerate(scores)
    ]


def _affordable(n_cells: int, n_labels: int, n_scores: int, replicates: int) -> int:
    steps = max(n_cells * n_labels * n_scores, 1)
    return min(replicates, max(_FEWEST_REPLICATES, _MOST_STEPS // steps))


def _mean_of_known(values: Floats) -> Floats:
    known = np.isfinite(values)
    counts = known.sum(axis=-1)
    sums = np.where(known, values, 0.0).sum(axis=-1)
    found: Floats = np.where(counts > 0, sums / np.maximum(counts, 1), math.nan)
    return found
