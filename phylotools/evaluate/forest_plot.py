"""The headline figure of every score, over all variants and in each stratum, beside baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from phylotools.drawing import (
    COLOURS,
    GREY,
    GUIDE,
    MARKERS,
    PALE,
    fitting_name,
    new_figure,
    picture_style,
    save_figure,
)
from phylotools.evaluate.comparison import Evaluation, Judged
from phylotools.evaluate.labelled import LabelKind
from phylotools.evaluate.resampling import Estimate

#: Most strata of one column that are drawn.
_MAX_CLASSES = 20
_BASELINE_MARKERS = ("|", "x", "+", "1", "2", "3", "4")


def draw_forest(evaluation: Evaluation, paths: Sequence[Path]) -> None:
    """Draw one line of marks for each set of rows and save it under each path."""
    rows, left_out = _drawable(evaluation)
    n_scores = len(evaluation.scores)
    baselines = list(dict.fromkeys(name for row in rows for name in row.baselines))
    height = (0.14 + 0.085 * n_scores) * len(rows)
    n_lines = math.ceil((n_scores + len(baselines)) / 2)
    with picture_style():
        figure = new_figure(6.4, height + 0.18 * n_lines + 1.7)
        axes = figure.add_subplot()
        _draw_rows(axes, evaluation, rows, baselines)
        headline = evaluation.measures[0]
        notes = [f"in brackets: {_sizes(evaluation)}"]
        if any(_is_hollow(each) for row in rows for each in _headlines(evaluation, row)):
            notes.append("hollow: too few for an interval")
        if left_out:
            notes.append(f"{left_out} more in metrics.tsv")
        axes.set_xlabel(f"{headline.title} [95% interval]\n" + "\n".join(notes))
        axes.set_title(f"{headline.title} of all, within strata, in each")
        figure.legend(loc="outside lower left", ncols=2, handlelength=1.6)
        save_figure(figure, paths)


def _drawable(evaluation: Evaluation) -> tuple[list[Judged], int]:
    """Rows that have a figure, the first strata of every column, and how many more there are."""
    rows: list[Judged] = []
    shown: dict[tuple[str, str], int] = {}
    left_out = 0
    for row in evaluation.rows:
        if all(math.isnan(each.value) for each in _headlines(evaluation, row)):
            left_out += row.level in ("class", "type")
            continue
        key = row.level, row.factor
        shown[key] = shown.get(key, 0) + 1
        if shown[key] > _MAX_CLASSES:
            left_out += 1
        else:
            rows.append(row)
    return rows or [evaluation.overall], left_out


def _headlines(evaluation: Evaluation, row: Judged) -> list[Estimate]:
    key = evaluation.measures[0].key
    return [figures.estimates[key] for figures in row.figures]


def _is_hollow(estimate: Estimate) -> bool:
    return not math.isnan(estimate.value) and math.isnan(estimate.low)


def _sizes(evaluation: Evaluation) -> str:
    are_classes = evaluation.data.kind == LabelKind.CLASSES
    return "positives/negatives" if are_classes else evaluation.data.what


def _row_label(row: Judged) -> str:
    are_classes = "n_positive" in row.sizes
    sizes = f"{row.n_positive:,}/{row.n_negative:,}" if are_classes else f"{row.n:,}"
    return f"{fitting_name(row.name)} ({sizes})"


def _draw_rows(axes: Any, evaluation: Evaluation, rows: list[Judged], baselines: list[str]) -> None:
    headline, n_scores = evaluation.measures[0], len(evaluation.scores)
    spread = 0.7 * (n_scores - 1) / max(n_scores, 2)
    offsets = np.linspace(-spread / 2, spread / 2, n_scores)
    if headline.chance is not None:
        axes.axvline(headline.chance, **GUIDE)
    for place, row in enumerate(rows):
        if place % 2 == 0:
            axes.axhspan(place - 0.5, place + 0.5, color=PALE, linewidth=0, zorder=0)
        for name, figures in row.baselines.items():
            axes.plot(
                figures.estimates[headline.key].value,
                place,
                marker=_BASELINE_MARKERS[baselines.index(name) % len(_BASELINE_MARKERS)],
                markersize=6,
                color=GREY,
                linestyle="none",
                zorder=2,
            )
        for index, estimate in enumerate(_headlines(evaluation, row)):
            _draw_mark(axes, estimate, place + offsets[index], index)
    for index, score in enumerate(evaluation.scores):
        axes.plot([], [], label=fitting_name(score.name), **_mark(index))
    for index, name in enumerate(baselines):
        marker = _BASELINE_MARKERS[index % len(_BASELINE_MARKERS)]
        axes.plot([], [], marker=marker, color=GREY, linestyle="none", label=fitting_name(name))
    axes.set_yticks(range(len(rows)), [_row_label(row) for row in rows])
    axes.tick_params(axis="y", length=0)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        if row.level in ("overall", "within"):
            label.set_fontweight("bold")
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(rows) - 0.5, -0.5)


def _draw_mark(axes: Any, estimate: Estimate, y: float, index: int) -> None:
    look = _mark(index)
    if not math.isnan(estimate.low):
        axes.plot([estimate.low, estimate.high], [y, y], color=look["color"], linewidth=1.2)
    elif not math.isnan(estimate.value):
        look["markerfacecolor"] = "white"
    axes.plot(estimate.value, y, zorder=3, **look)


def _mark(index: int) -> dict[str, Any]:
    return {
        "marker": MARKERS[index % len(MARKERS)],
        "markersize": 3.8,
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": "none",
    }
