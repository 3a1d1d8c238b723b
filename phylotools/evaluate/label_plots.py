"""Scores against labels that are numbers, or classes in an order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.drawing import (
    COLOURS,
    GREY,
    fitting_name,
    lightened,
    new_figure,
    picture_style,
    save_figure,
)
from phylotools.evaluate.comparison import Evaluation
from phylotools.evaluate.resampling import Floats

#: Scores beyond these are in the tables only.
_MOST_SCORES = 4
#: More points than these are drawn as counts of hexagons.
_MOST_POINTS = 2_000
#: Values beyond these quantiles lie outside the frame, so that a few do not squeeze all others.
_SHOWN = (0.002, 0.998)
_N_BANDS = 10


def draw_scatter(evaluation: Evaluation, label: str, paths: Sequence[Path]) -> None:
    """Draw each score against the labels: their values, and below their ranks.

    Parameters
    ----------
    evaluation : Evaluation
        Of labels that are numbers.
    label : str
        What the labels are called.
    paths : sequence of Path
    """
    n = min(len(evaluation.scores), _MOST_SCORES)
    data, labels = evaluation.data, evaluation.data.turned_labels
    with picture_style():
        figure = new_figure(2.9 * n + 0.6, 6.0)
        panels = figure.subplots(2, n, squeeze=False)
        for index in range(n):
            scores = evaluation.oriented[index]
            name = fitting_name(evaluation.scores[index].name)
            estimates = evaluation.overall.figures[index].estimates
            values, ranks = panels[:, index]
            raw = data.scores[index]
            column = evaluation.scores[index]
            _draw_points(values, *_inside(abs(raw) if column.absolute else raw, data.labels), index)
            # The damaging end is on the right, and above, in every panel.
            if column.low_is_positive and not column.absolute:
                values.invert_xaxis()
            if data.label_low:
                values.invert_yaxis()
            values.set_title(f"{name}\nPearson {estimates['pearson'].value:.3f}")
            x, y = _percentiles(scores), _percentiles(labels)
            _draw_points(ranks, x, y, index)
            _draw_bands(ranks, x, y)
            ranks.set_title(f"Spearman {estimates['spearman'].value:.3f}")
            values.set_xlabel("score (damaging on the right)")
            ranks.set_xlabel("percentile of the score")
        panels[0, 0].set_ylabel(f"{fitting_name(label)} (damaging above)")
        panels[1, 0].set_ylabel(f"percentile of {fitting_name(label)}")
        save_figure(figure, paths)


def draw_ordered(evaluation: Evaluation, label: str, paths: Sequence[Path]) -> None:
    """Draw the percentiles of each score in every class, the least damaging class first.

    Parameters
    ----------
    evaluation : Evaluation
        Of ordered labels.
    label : str
        What the labels are called.
    paths : sequence of Path
    """
    n = min(len(evaluation.scores), _MOST_SCORES)
    labels = evaluation.data.labels
    order = evaluation.data.order
    ticks = [
        f"{fitting_name(name, 18)}\n({np.count_nonzero(labels == place):,})"
        for place, name in enumerate(order)
    ]
    with picture_style():
        figure = new_figure(max(2.6, 0.85 * len(order)) * n + 0.8, 3.6)
        panels = figure.subplots(1, n, squeeze=False, sharey=True)[0]
        for index, axes in enumerate(panels):
            ranks = _percentiles(evaluation.oriented[index])
            groups = [ranks[labels == place] for place in range(len(order))]
            boxes = axes.boxplot(groups, showfliers=False, patch_artist=True, widths=0.6)
            colour = COLOURS[index % len(COLOURS)]
            for box in boxes["boxes"]:
                box.set(facecolor=lightened(colour), edgecolor=colour)
            for median in boxes["medians"]:
                median.set(color="#222222", linewidth=1.4)
            axes.set_xticks(range(1, len(order) + 1), ticks, rotation=25, ha="right")
            concordance = evaluation.overall.figures[index].estimates[evaluation.measures[0].key]
            name = fitting_name(evaluation.scores[index].name)
            axes.set_title(f"{name}\n{evaluation.measures[0].title} {concordance.value:.3f}")
        panels[0].set_ylabel("percentile of the score\n(damaging above)")
        figure.supxlabel(fitting_name(label), fontsize=8.5)
        save_figure(figure, paths)


def _percentiles(values: Floats) -> Floats:
    """Mean ranks of values as percentiles of the rows, equal values the same."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = 100 * ((last - counts / 2) / len(values))[places.ravel()]
    return ranks


def _inside(scores: Floats, labels: Floats) -> tuple[Floats, Floats]:
    """Rows that are neither infinite nor far from all others."""
    kept = np.isfinite(scores) & np.isfinite(labels)
    for values in (scores, labels):
        if kept.any():
            low, high = np.quantile(values[kept], _SHOWN)
            kept &= (values >= low) & (values <= high)
    return scores[kept], labels[kept]


def _draw_points(axes: Any, x: Floats, y: Floats, index: int) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    colour = COLOURS[index % len(COLOURS)]
    if len(x) > _MOST_POINTS:
        shades = LinearSegmentedColormap.from_list("house", [lightened(colour, 0.85), colour])
        axes.hexbin(x, y, gridsize=40, mincnt=1, bins="log", cmap=shades, linewidths=0.1)
    else:
        axes.plot(x, y, ".", markersize=2.5, alpha=0.4, color=colour, rasterized=True)


def _draw_bands(axes: Any, x: Floats, y: Floats) -> None:
    """Median and quartiles of the labels in each tenth of the score."""
    bands: NDArray[np.int64] = np.minimum((x / 100 * _N_BANDS).astype(np.int64), _N_BANDS - 1)
    for band in np.unique(bands).tolist():
        rows = bands == band
        low, middle, high = np.quantile(y[rows], (0.25, 0.5, 0.75))
        place = float(np.median(x[rows]))
        axes.plot([place, place], [low, high], color="#222222", linewidth=1.1, zorder=3)
        axes.plot(place, middle, marker="o", markersize=3.5, color="#222222", zorder=3)
    axes.axhline(50, color=GREY, linewidth=0.6, linestyle=(0, (4, 3)), zorder=1)
