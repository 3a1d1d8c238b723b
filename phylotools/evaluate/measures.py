"""What is measured, by what the labels are: the one place that knows which statistics there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.correlation import compare_correlations
from phylotools.evaluate.labelled import LabelKind, LabelledScores
from phylotools.evaluate.matched import compare_matched
from phylotools.evaluate.metrics import Comparison, ScoreMetrics, compare_scores, compare_within
from phylotools.evaluate.ordered import compare_ordered, split_name
from phylotools.evaluate.resampling import Estimate, Figures

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """A figure of a score.

    Attributes
    ----------
    key : str
        Of its columns in tables, as ``auroc``.
    title : str
        For people.
    chance : float or None
        Its value for a score that knows nothing; None where that depends on the labels.
    """

    key: str
    title: str
    chance: float | None = None


_CLASSES = (Measure("auroc", "AUROC", 0.5), Measure("auprc", "AUPRC"))
_SPEARMAN, _KENDALL = Measure("spearman", "Spearman", 0.0), Measure("kendall", "Kendall", 0.0)
_NUMBERS = (_SPEARMAN, Measure("pearson", "Pearson", 0.0), _KENDALL)
_ORDERED = (Measure("c_index", "c-index", 0.5), _SPEARMAN, _KENDALL)


def measures_of(data: LabelledScores) -> tuple[Measure, ...]:
    """What is measured of these labels; the first one is the headline."""
    match data.kind:
        case LabelKind.CLASSES:
            return _CLASSES
        case LabelKind.NUMBERS:
            return _NUMBERS
    splits = enumerate(data.order[1:], start=1)
    return (
        *_ORDERED,
        *(Measure(split_name(k), f"AUROC of {name} and above", 0.5) for k, name in splits),
    )


@dataclass(frozen=True)
class Measured:
    """Figures of several scores on the same rows.

    Attributes
    ----------
    sizes : dict of str to int
        How many rows and clusters, as columns of tables name them.
    figures : tuple of Figures
        One a score; differences are from the first.
    """

    sizes: dict[str, int]
    figures: tuple[Figures, ...]


def measure(
    data: LabelledScores,
    scores: Floats,
    rows: NDArray[np.int64] | None = None,
    *,
    strata: NDArray[np.integer] | None = None,
    replicates: int,
    seed: int | list[int],
) -> Measured:
    """Measure scores on the same rows, with paired intervals.

    Parameters
    ----------
    data : LabelledScores
        Its labels and clusters.
    scores : float64[K, N]
        Of these rows, turned so that high values are the damaging end; no NaN.
    rows : int64[N], optional
        All unless given.
    strata : int[N], optional
        Compare rows of one stratum only.
    replicates : int
    seed : int or list of int
    """
    labels, clusters = data.turned_labels, data.clusters
    if rows is not None:
        labels, clusters = labels[rows], clusters[rows]
    drawn: Any = {"replicates": replicates, "seed": seed}
    match data.kind:
        case LabelKind.CLASSES:
            if strata is None:
                return _of_classes(compare_scores(scores, labels > 0, clusters, **drawn))
            codes = strata.astype(np.int64)
            return _of_classes(compare_within(scores, labels > 0, clusters, codes, **drawn))
        case LabelKind.NUMBERS:
            numbers = compare_correlations(scores, labels, clusters, strata=strata, **drawn)
            sizes = {"n": numbers.n, "n_clusters": numbers.n_clusters}
            return Measured(sizes, numbers.metrics)
    n_classes = len(data.order)
    places = labels.astype(np.int64)
    ordered = compare_ordered(scores, places, clusters, n_classes=n_classes, strata=strata, **drawn)
    sizes = {"n": sum(ordered.n_of_class), "n_clusters": len(np.unique(clusters))}
    return Measured(sizes, ordered.metrics)


def measure_matched(
    data: LabelledScores, scores: Floats, *, replicates: int, seed: int | list[int]
) -> tuple[Measured, Measured | None, int]:
    """Measure scores of two classes within matched groups, and within contigs.

    Parameters
    ----------
    data : LabelledScores
        With `matches`.
    scores : float64[K, M]
        Turned.
    replicates : int
    seed : int or list of int

    Returns
    -------
    within_groups : Measured
    within_contigs : Measured or None
        AUPRC is the mean of the contigs', weighted by their variants, as TraitGym has it.
    n_incomplete : int
        Groups without a positive or without a negative, which are in neither.
    """
    assert data.matches is not None
    contigs = None if data.variants is None else data.variants.contig_index
    found = compare_matched(
        scores,
        data.positive,
        data.matches.codes,
        clusters=data.clusters,
        blocks=contigs,
        replicates=replicates,
        seed=seed,
    )
    sizes = {
        "n_positive": found.n_positive,
        "n_negative": found.n_negative,
        "n_positive_sites": found.n_groups,
        "n_negative_sites": found.n_groups,
    }
    groups, contig_figures = (
        Measured(sizes, tuple(_renamed(each, suffix) for each in found.metrics))
        for suffix in ("_within_groups", "_by_block")
    )
    n_incomplete = len(found.groups_without_positive) + len(found.groups_without_negative)
    return groups, None if contigs is None else contig_figures, n_incomplete


def _renamed(figures: Figures, suffix: str) -> Figures:
    """The measures whose names end so, without that end."""

    def those(estimates: dict[str, Estimate]) -> dict[str, Estimate]:
        return {
            name.removesuffix(suffix): each
            for name, each in estimates.items()
            if name.endswith(suffix)
        }

    return Figures(those(figures.estimates), those(figures.differences), figures.notes)


def _of_classes(found: Comparison) -> Measured:
    sizes = {
        "n_positive": found.n_positive,
        "n_negative": found.n_negative,
        "n_positive_sites": found.n_positive_sites,
        "n_negative_sites": found.n_negative_sites,
    }
    return Measured(sizes, tuple(map(_figures, found.metrics)))


def _figures(metrics: ScoreMetrics) -> Figures:
    differences = {"auroc": metrics.auroc_difference, "auprc": metrics.auprc_difference}
    return Figures(
        {"auroc": metrics.auroc, "auprc": metrics.auprc},
        {name: each for name, each in differences.items() if each is not None},
        {},
    )
