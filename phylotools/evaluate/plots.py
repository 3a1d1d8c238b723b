"""ROC and precision-recall curves."""

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
    fitting_name,
    new_figure,
    picture_style,
    save_figure,
)
from phylotools.evaluate.comparison import Evaluation
from phylotools.evaluate.metrics import rank_variants

_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.2, 1.2, 1.2)))
_GUIDE = {**GUIDE, "linewidth": 0.8}
_MAX_POINTS = 2000


def draw_curves(evaluation: Evaluation, paths: Sequence[Path]) -> None:
    """Draw ROC and precision-recall curves; save them under each path, by its suffix."""
    with picture_style():
        figure = new_figure(7.7, 4.3 + 0.19 * len(evaluation.scores))
        axes = figure.subplot_mosaic([["roc", "curve"]])
        _draw_roc(axes["roc"], evaluation)
        _draw_precision_recall(axes["curve"], evaluation)
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


def _draw_roc(axes: Any, evaluation: Evaluation) -> None:
    axes.plot([0, 1], [0, 1], **_GUIDE)
    for index, row in enumerate(evaluation.oriented):
        rate, recall, _ = curve_points(row, evaluation.data.positive)
        axes.plot(rate, recall, label=_label(evaluation, index, "auroc"), **line_look(index))
    axes.set(xlabel="False positive rate", ylabel="True positive rate")
    _finish_square(axes, "ROC", "AUROC [95% interval]")


def _draw_precision_recall(axes: Any, evaluation: Evaluation) -> None:
    prevalence = evaluation.overall.prevalence
    axes.axhline(prevalence, **_GUIDE)
    for index, row in enumerate(evaluation.oriented):
        _, recall, precision = curve_points(row, evaluation.data.positive)
        axes.plot(
            recall,
            precision,
            drawstyle="steps-pre",
            label=_label(evaluation, index, "auprc"),
            **line_look(index),
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


def line_look(index: int) -> dict[str, Any]:
    """Colour and dashes of a score's line."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": _DASHES[index % len(_DASHES)],
        "linewidth": 1.6,
        "zorder": 3,
    }


def _label(evaluation: Evaluation, index: int, measure: str) -> str:
    estimate = evaluation.overall.figures[index].estimates[measure]
    text = f"{fitting_name(evaluation.scores[index].name)}  {estimate.value:.3f}"
    if math.isnan(estimate.low):
        return text
    return f"{text} [{estimate.low:.3f}, {estimate.high:.3f}]"
