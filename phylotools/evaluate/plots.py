"""A picture of an evaluation: ROC and precision-recall curves, and AUROC per class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.drawing import (
    COLOURS,
    GUIDE,
    MARKERS,
    PALE,
    fitting_name,
    new_figure,
    picture_style,
    save_figure,
)
from phylotools.evaluate.comparison import OVERALL, Evaluation
from phylotools.evaluate.metrics import Comparison, Estimate, rank_variants

_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.2, 1.2, 1.2)))
_GUIDE = {**GUIDE, "linewidth": 0.8}
_FOREST_WIDTH = 2.7
_MAX_POINTS = 2000
_MAX_CLASSES = 20


def draw_curves(evaluation: Evaluation, paths: Sequence[Path]) -> None:
    """Draw one figure and save it under each path, in the format of its suffix."""
    classes = _drawable_classes(evaluation)
    n_scores = len(evaluation.scores)
    with picture_style():
        panel_height = 4.3 + 0.19 * n_scores
        forest_height = (0.11 + 0.085 * n_scores) * (len(classes) + 1) + 0.9
        # A long list of classes stands beside both curves, one above the other.
        stacked = forest_height > 1.2 * panel_height
        rows: Any = [["roc", "curve"]]
        if classes:
            rows = (
                [["roc", "forest"], ["curve", "forest"]]
                if stacked
                else [["roc", "curve", "forest"]]
            )
        height = max(panel_height * len(rows), forest_height if classes else 0.0)
        figure = new_figure(3.7 * len(rows[0]) + 0.3, height)
        axes = figure.subplot_mosaic(rows)
        _draw_roc(axes["roc"], evaluation)
        _draw_precision_recall(axes["curve"], evaluation)
        if classes:
            _draw_forest(axes["forest"], evaluation, classes)
        save_figure(figure, paths)


def curve_points(
    scores: NDArray[np.float64], positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Points of the ROC and precision-recall curves, thinned where they are many.

    Parameters
    ----------
    scores : float64[M]
        High values point to the positive class.
    positive : bool[M]

    Returns
    -------
    false_positive_rate, recall, precision : float64[P]
        From the strictest threshold on; the first point is the empty call.
    """
    ranked = rank_variants(scores, positive, np.arange(len(scores)))
    hits = np.cumsum(ranked.positive)[ranked.ends_tie]
    misses = np.cumsum(~ranked.positive)[ranked.ends_tie]
    precision = hits / (hits + misses)
    rate = np.concatenate([[0.0], misses / misses[-1]])
    recall = np.concatenate([[0.0], hits / hits[-1]])
    precision = np.concatenate([precision[:1], precision])
    if len(rate) > _MAX_POINTS:
        # Even steps along each curve's own length, so that no steep part loses its points.
        spaced = [
            np.searchsorted(along, np.linspace(0, along[-1], _MAX_POINTS // 2)).clip(
                max=len(rate) - 1
            )
            for along in (rate + recall, _travelled(recall, precision))
        ]
        keep = np.unique(np.concatenate([[0, len(rate) - 1], *spaced]))
        rate, recall, precision = rate[keep], recall[keep], precision[keep]
    return rate, recall, precision


def _travelled(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = np.hypot(np.diff(x), np.diff(y))
    return np.concatenate([[0.0], np.cumsum(steps)])


def _drawable_classes(evaluation: Evaluation) -> list[tuple[str, Comparison]]:
    drawable = [
        (name, comparison)
        for name, comparison in evaluation.by_class.items()
        if comparison.n_positive and comparison.n_negative
    ]
    return drawable[:_MAX_CLASSES]


def _draw_roc(axes: Any, evaluation: Evaluation) -> None:
    axes.plot([0, 1], [0, 1], **_GUIDE)
    for index, row in enumerate(evaluation.oriented):
        rate, recall, _ = curve_points(row, evaluation.positive)
        metrics = evaluation.overall.metrics[index]
        axes.plot(rate, recall, label=_label(evaluation, index, metrics.auroc), **_line(index))
    axes.set(xlabel="False positive rate", ylabel="True positive rate")
    _finish_square(axes, "ROC", "AUROC [95% interval]")


def _draw_precision_recall(axes: Any, evaluation: Evaluation) -> None:
    prevalence = evaluation.overall.prevalence
    axes.axhline(prevalence, **_GUIDE)
    for index, row in enumerate(evaluation.oriented):
        _, recall, precision = curve_points(row, evaluation.positive)
        metrics = evaluation.overall.metrics[index]
        axes.plot(
            recall,
            precision,
            drawstyle="steps-pre",
            label=_label(evaluation, index, metrics.auprc),
            **_line(index),
        )
    axes.set(xlabel="Recall (true positive rate)", ylabel="Precision")
    _finish_square(axes, "Precision and recall", "AUPRC [95% interval]")


def _finish_square(axes: Any, title: str, legend: str) -> None:
    axes.set(xlim=(-0.015, 1.015), ylim=(-0.015, 1.015))
    axes.set_box_aspect(1)
    axes.set_anchor("N")
    axes.set_title(title)
    box = axes.legend(
        title=legend,
        loc="upper left",
        bbox_to_anchor=(-0.02, -0.17),
        borderaxespad=0.0,
        handlelength=2.4,
        alignment="left",
    )
    box.get_title().set_fontsize(8)


def _draw_forest(axes: Any, evaluation: Evaluation, classes: list[tuple[str, Comparison]]) -> None:
    rows = [(OVERALL, evaluation.overall), *classes]
    n_scores = len(evaluation.scores)
    spread = 0.7 * (n_scores - 1) / max(n_scores, 2)
    offsets = np.linspace(-spread / 2, spread / 2, n_scores) if n_scores > 1 else np.zeros(1)
    axes.axvline(0.5, **_GUIDE)
    lowest = 0.5
    for place, (_, comparison) in enumerate(rows):
        if place % 2 == 0:
            axes.axhspan(place - 0.5, place + 0.5, color=PALE, linewidth=0, zorder=0)
        for index, metrics in enumerate(comparison.metrics):
            estimate = metrics.auroc
            y = place + offsets[index]
            colour = COLOURS[index % len(COLOURS)]
            if not math.isnan(estimate.low):
                axes.plot([estimate.low, estimate.high], [y, y], color=colour, linewidth=1.2)
            axes.plot(
                estimate.value,
                y,
                marker=MARKERS[index % len(MARKERS)],
                markersize=3.8,
                color=colour,
                # Hollow: too few sites for an interval.
                markerfacecolor="white" if math.isnan(estimate.low) else colour,
                linestyle="none",
                zorder=3,
            )
            lowest = min(
                lowest, estimate.value, *([] if math.isnan(estimate.low) else [estimate.low])
            )
    axes.set_yticks(
        range(len(rows)),
        [f"{fitting_name(name)} ({c.n_positive:,}/{c.n_negative:,})" for name, c in rows],
    )
    inches = len(rows) * (0.16 + 0.1 * n_scores)
    if inches < _FOREST_WIDTH:
        # A short list keeps its rows together at the top.
        axes.set_box_aspect(inches / _FOREST_WIDTH)
        axes.set_anchor("N")
    axes.tick_params(axis="y", length=0)
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.spines["left"].set_visible(False)
    axes.set(xlim=(max(-0.02, lowest - 0.04), 1.02), ylim=(len(rows) - 0.5, -0.5))
    notes = []
    if any(math.isnan(metrics.auroc.low) for _, c in rows for metrics in c.metrics):
        notes.append("hollow: no interval")
    if left_out := len(evaluation.by_class) - len(classes):
        notes.append(f"{left_out} classes not shown")
    axes.set_xlabel("AUROC [95% interval]" + ("\n" + "; ".join(notes) if notes else ""))
    axes.set_title("Per class (positives/negatives)")


def _line(index: int) -> dict[str, Any]:
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": _DASHES[index % len(_DASHES)],
        "linewidth": 1.6,
        "zorder": 3,
    }


def _label(evaluation: Evaluation, index: int, estimate: Estimate) -> str:
    text = f"{fitting_name(evaluation.scores[index].name)}  {estimate.value:.3f}"
    if math.isnan(estimate.low):
        return text
    return f"{text} [{estimate.low:.3f}, {estimate.high:.3f}]"
