"""The picture of a score against allele frequency."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.drawing import COLOURS, GUIDE, SEPARATOR, figure_with_footer
from phylotools.plots.frequency import (
    COMMON,
    SINGLETON,
    UNSEEN,
    FrequencyBin,
    ScoresByFrequency,
)

_WIDTH, _HEIGHT = 7.4, 4.4
_MOST_TICK_DECADES = 8
#: Bins with fewer alleles show their median alone.
_FEWEST_FOR_BOX = 10
#: So many bins have room for their counts side by side.
_MOST_COUNTS_ABREAST = 15
_INSIDE, _MEDIAN = (0.92, 0.64, 0.46, 0.45), "#8c3a00"
_HEXAGONS = 55


def draw_frequency(found: ScoresByFrequency, label: str, frequency: str, footer: str) -> Any:
    """Draw scores against allele frequency in one figure.

    Parameters
    ----------
    found : ScoresByFrequency
    label, frequency : str
        Of the axes.
    footer : str
    """
    common = [one for one in found.bins if one.kind == COMMON]
    others = [one for one in found.bins if one.kind != COMMON]
    low, high = _limits(found)
    notes = SEPARATOR.join(_notes(found, (low, high)))
    figure = figure_with_footer(_WIDTH, _HEIGHT, [footer, notes])
    widths = [0.16 * len(others) + 0.02] if others else []
    widths += [1.0] if common else []
    panels = figure.subplots(1, len(widths), sharey=True, width_ratios=widths, squeeze=False)[0]
    if others:
        _draw_boxes(panels[0], others, has_axis=bool(common))
        panels[0].set_ylabel(label)
    if common:
        axes = panels[-1]
        _draw_ground(figure, axes, found.points, (low, high))
        _draw_bins(axes, common, frequency)
        if others:
            axes.tick_params(axis="y", left=False)
            axes.spines["left"].set_visible(False)
        else:
            axes.set_ylabel(label)
    for axes in panels:
        if low < 0 < high:
            axes.axhline(0, **GUIDE)
    panels[0].set_ylim(low, high)
    return figure


def _notes(found: ScoresByFrequency, limits: tuple[float, float]) -> list[str]:
    notes = ["boxes: quartiles and median; lines: 5th to 95th percentile; above: alleles"]
    if not math.isnan(found.spearman):
        notes.append(f"Spearman's rank correlation over alleles seen: {found.spearman:+.3f}")
    n_common = sum(one.tally.n for one in found.bins if one.kind == COMMON)
    if n_common > len(found.points):
        notes.append(f"hexagons: {len(found.points):,} of {n_common:,} alleles, drawn evenly")
    beyond = int(((found.points[:, 1] < limits[0]) | (found.points[:, 1] > limits[1])).sum())
    if beyond:
        notes.append(f"{beyond:,} alleles beyond the axis")
    if n_common and found.allele_count is None:
        notes.append("singletons are not told apart: no --allele-count")
    return notes


def _limits(found: ScoresByFrequency) -> tuple[float, float]:
    """Ends of the score's axis: all but the outermost hundredth of each bin."""
    ends = [one.tally.quantiles([0.01, 0.99]) for one in found.bins]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    margin = 0.04 * (high - low) or max(abs(high) * 0.05, 0.5)
    return low - margin, high + margin


def _draw_boxes(axes: Any, others: list[FrequencyBin], *, has_axis: bool) -> None:
    """Draw a box for alleles of frequency 0 and one for singletons."""
    names = {UNSEEN: "frequency\n0", SINGLETON: "singletons"}
    for place, one in enumerate(others):
        _draw_box(axes, place, 0.62, one)
        _write_count(axes, place, one, crowded=False)
    axes.set_xticks(range(len(others)), [names[one.kind] for one in others])
    axes.tick_params(axis="x", length=0, labelsize=7.5)
    # A box of its own does not fill the picture.
    axes.set_xlim(-0.6, max(len(others) - 0.4, 0.0 if has_axis else 3.4))


def _draw_box(axes: Any, place: float, width: float, one: FrequencyBin) -> None:
    """Quartiles, a line from the 5th to the 95th percentile, and the median."""
    low, lower, median, upper, high = one.tally.quantiles()
    if one.tally.n >= _FEWEST_FOR_BOX:
        for ends in ((low, lower), (upper, high)):
            axes.plot([place, place], ends, color=COLOURS[1], lw=1.0, zorder=3)
        axes.bar(
            place,
            upper - lower,
            bottom=lower,
            width=width,
            facecolor=_INSIDE,
            edgecolor=COLOURS[1],
            linewidth=1.0,
            zorder=3,
        )
    half = 0.55 * width
    axes.plot([place - half, place + half], [median, median], color=_MEDIAN, lw=2, zorder=4)


def _write_count(axes: Any, place: float, one: FrequencyBin, *, crowded: bool) -> None:
    axes.annotate(
        f"{one.tally.n:,}",
        (place, 1),
        xycoords=axes.get_xaxis_transform(),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=6 if crowded else 6.5,
        rotation=90 if crowded else 0,
        color="#444444",
        annotation_clip=False,
    )


def _draw_ground(
    figure: Any, axes: Any, points: NDArray[np.float64], limits: tuple[float, float]
) -> None:
    """Hexagons in shades of grey by the logarithm of how many alleles they hold."""
    inside = points[(points[:, 1] >= limits[0]) & (points[:, 1] <= limits[1])]
    if not len(inside):
        return
    logs = np.log10(inside[:, 0])
    left, right = float(logs.min()), float(logs.max())
    if right - left < 1e-6:
        left, right = left - 0.5, right + 0.5
    hexagons = axes.hexbin(
        logs,
        inside[:, 1],
        gridsize=(_HEXAGONS, int(_HEXAGONS * 0.45)),
        extent=(left, right, *limits),
        mincnt=1,
        bins="log" if len(inside) > 1 else None,
        cmap="Blues",
        linewidths=0.1,
        zorder=1,
    )
    # One allele must be seen: the palest blue is next to white.
    most = float(np.max(hexagons.get_array()))
    hexagons.set_clim(0.35, max(most, 2.0))
    if most < 2:
        return
    bar = figure.colorbar(hexagons, ax=axes, pad=0.015, aspect=32, shrink=0.85)
    bar.outline.set_linewidth(0.5)
    bar.ax.tick_params(labelsize=7, length=2.5)
    bar.ax.set_ylim(1, most)
    ticks = [step * 10**power for power in range(7) for step in (1, 2, 5)]
    shown = [tick for tick in ticks if tick <= most]
    bar.set_ticks(shown if len(shown) < 7 else shown[::3], minor=False)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    bar.ax.minorticks_off()
    bar.set_label("Alleles in a hexagon", fontsize=7.5)


def _draw_bins(axes: Any, common: list[FrequencyBin], frequency: str) -> None:
    for one in common:
        left, right = math.log10(one.low), math.log10(one.high)
        _draw_box(axes, (left + right) / 2, 0.55 * (right - left), one)
        crowded = len(common) > _MOST_COUNTS_ABREAST
        _write_count(axes, (left + right) / 2, one, crowded=crowded)
    left, right = math.log10(common[0].low), math.log10(common[-1].high)
    margin = 0.02 * (right - left)
    axes.set_xlim(left - margin, right + margin)
    decades = np.arange(math.ceil(left - 1e-9), math.floor(right + 1e-9) + 1)
    step = max(1, math.ceil(len(decades) / _MOST_TICK_DECADES))
    shown = decades[::-1][::step] if len(decades) > 1 else np.array([left, right])
    axes.set_xticks(shown, [f"{10.0**value:.2g}" for value in shown.tolist()])
    axes.set_xlabel(frequency)
