"""The picture of a report: the rows of the species, and panels about the whole alignment."""

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
    new_figure,
    picture_style,
    save_figure,
)
from phylotools.errors import counted
from phylotools.report.quality import AlignmentQuality, SpeciesQuality
from phylotools.report.strips import draw_legend, draw_strips, plan_strips
from phylotools.store.tree_scale import FEWEST_COLUMNS

#: In inches.
_EDGE, _TITLE, _LEGEND = 0.25, 0.25, 0.35
_PANEL_WIDTH, _PANEL_HEIGHT = 3.9, 2.3
_LEFT_OF_PANEL, _BELOW_PANEL, _ABOVE_PANEL = 0.75, 0.5, 0.3
#: Rows that are at least so high together have the panels beside them, not above.
_TALL = 6.5
#: Larger pictures become too large to open.
_MOST_PIXELS = 6000
_BLUE, _VERMILLION = COLOURS[0], COLOURS[1]
_MOST_LABELS = 12
#: Columns that the histogram may leave out on either side; their number is stated.
_TAIL = 0.002
#: Species are named from this part of an unusual difference on.
_LABELLED = 0.5
#: Points off a label's own point, in points of 1/72 inch: near ones first, the right side first.
_OFFSETS = [
    (side * reach, rise)
    for reach in (5, 12, 22)
    for rise in (0, 8, -8, 16, -16, 26, -26)
    for side in (1, -1)
]
#: Fewer bars than this are drawn apart from each other.
_FEW_BARS = 60
_DISTANCE = "Distance to the reference (substitutions per site)"


def draw_report(quality: AlignmentQuality, paths: Sequence[Path]) -> None:
    """Draw the figure and save it under each path, in the format of its suffix."""
    with picture_style(svg_text="path"):
        figure = make_figure(quality)
        dpi = int(min(160, _MOST_PIXELS / max(figure.get_size_inches())))
        save_figure(figure, paths, dpi=dpi)


def make_figure(quality: AlignmentQuality) -> Any:
    """Draw the figure of a report; call it within `picture_style`."""
    layout = plan_strips(quality)
    panel_width = _LEFT_OF_PANEL + _PANEL_WIDTH
    panel_height = _ABOVE_PANEL + _PANEL_HEIGHT + _BELOW_PANEL
    is_beside = layout.n_columns == 1 and layout.height >= _TALL
    if is_beside:
        strips = max(layout.width, 5.5)
        width = 2 * _EDGE + strips + 0.2 + panel_width
        height = max(layout.height, 3 * panel_height)
    else:
        width = 2 * _EDGE + max(layout.width, 3 * panel_width)
        strips = width - 2 * _EDGE
        height = panel_height + 0.25 + layout.height
    top = _EDGE + _TITLE
    total = top + height + _LEGEND + _EDGE
    figure = new_figure(width, total, is_arranged=False)

    def place(left: float, top: float, width_: float, height_: float) -> Any:
        return figure.add_axes(
            (left / width, 1 - (top + height_) / total, width_ / width, height_ / total)
        )

    figure.text(_EDGE / width, 1 - _EDGE / total, _title(quality), va="top", fontsize=11)
    below = 0.0 if is_beside else panel_height + 0.25
    draw_strips(place, layout, quality, _EDGE, top + below, strips)
    draw_legend(figure, (_EDGE / width, (_EDGE * 0.6) / total), layout, quality)
    for number, draw in enumerate((_draw_depth, _draw_identity, _draw_gaps)):
        if is_beside:
            # They share the height of the rows.
            each = height / 3
            left, y = _EDGE + strips + 0.2 + _LEFT_OF_PANEL, top + number * each
            size = (_PANEL_WIDTH, each - _ABOVE_PANEL - _BELOW_PANEL)
        else:
            each = strips / 3
            left, y = _EDGE + number * each + _LEFT_OF_PANEL, top
            size = (each - _LEFT_OF_PANEL - 0.1, _PANEL_HEIGHT)
        draw(place(left, y + _ABOVE_PANEL, *size), quality)
    return figure


def _title(quality: AlignmentQuality) -> str:
    return (
        f"{fitting_name(Path(quality.path).name, 60)}: {quality.columns:,} columns of "
        f"{fitting_name(quality.reference_species, 40)} on "
        f"{counted(len(quality.contigs), 'contig')}, {len(quality.species):,} species, "
        f"{quality.mean_species:.1f} with a base in a column"
    )


def _draw_depth(axes: Any, quality: AlignmentQuality) -> None:
    """Draw the histogram of columns by number of species."""
    n_species = np.arange(len(quality.depth))
    first, last = _usual_range(quality.depth)
    left_out = int(quality.depth.sum() - quality.depth[first : last + 1].sum())
    width = 0.8 if last - first <= _FEW_BARS else 1.0
    axes.bar(n_species, quality.depth, width=width, color=_BLUE, linewidth=0)
    axes.set_title("Columns by number of species")
    note = f" ({left_out:,} columns lie outside)" if left_out else ""
    axes.set(xlabel=f"Species with A, C, G or T, of {len(n_species) - 1}{note}", ylabel="Columns")
    axes.set_xlim(first - 1.5, last + 1.5)
    axes.set_ylim(0, 1.12 * max(int(quality.depth.max()), 1))
    axes.yaxis.set_major_formatter(_thousands)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if not quality.columns:
        return
    cumulative = np.cumsum(quality.depth)
    middle = int(np.searchsorted(cumulative, (quality.columns + 1) // 2))
    axes.axvline(middle, color=_VERMILLION, linewidth=1.2, linestyle=(0, (5, 1.5)), zorder=0)
    is_left = middle < (first + last) / 2
    axes.annotate(
        f"median {middle}",
        (middle, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(4 if is_left else -4, -2),
        textcoords="offset points",
        ha="left" if is_left else "right",
        va="top",
        color=_VERMILLION,
    )


def _usual_range(depth: NDArray[np.int64]) -> tuple[int, int]:
    """The numbers of species that all but a few columns have: a long tail would hide the rest."""
    cumulative = np.cumsum(depth)
    few = cumulative[-1] * _TAIL
    first = int(np.searchsorted(cumulative, few, side="right"))
    last = int(np.searchsorted(cumulative, cumulative[-1] - few))
    return (first, last) if cumulative[-1] else (0, len(depth) - 1)


def _draw_identity(axes: Any, quality: AlignmentQuality) -> None:
    """Draw identity to the reference by distance, with the curves expected from the tree."""
    divergence = quality.divergence
    shown = [row for row in quality.others if row.comparable]
    furthest = max((row.distance for row in shown), default=1.0) or 1.0
    distance = np.linspace(0, furthest * 1.05, 300)
    if divergence.is_fitted:
        trend = divergence.trend(distance)
        axes.fill_between(
            distance,
            trend - divergence.tolerance,
            np.minimum(trend + divergence.tolerance, 1),
            color=_BLUE,
            alpha=0.12,
            linewidth=0,
            label="usual here",
        )
        axes.plot(distance, trend, color=_BLUE, linewidth=1.2, label="trend of this alignment")
    axes.plot(
        distance,
        divergence.neutral(distance),
        color=GREY,
        linewidth=1,
        linestyle=(0, (4, 3)),
        label="every site at the tree's rate",
    )
    odd = quality.unusual_species
    sparse = [row for row in shown if row.comparable < FEWEST_COLUMNS]
    usual = [row for row in shown if row.name not in odd and row.comparable >= FEWEST_COLUMNS]
    unusual = [row for row in shown if row.name in odd]
    few = f"fewer than {FEWEST_COLUMNS} columns"
    _scatter(axes, usual, "identity", "o", _BLUE)
    _scatter(axes, sparse, "identity", "o", GREY, few, is_hollow=True)
    _scatter(axes, unusual, "identity", "D", _VERMILLION, "not as its distance predicts")
    axes.set_title("Identity to the reference")
    axes.set(xlabel=_DISTANCE, ylabel="Identical bases", xlim=(0, furthest * 1.05))
    lowest = min((row.identity for row in shown), default=0.25)
    axes.set_ylim(max(0.0, min(lowest - 0.05, divergence.chance_identity)), 1.02)
    axes.legend(loc="best", borderaxespad=0.2, handlelength=1.8, fontsize=7)
    far = sorted(
        (row for row in usual + unusual if row in unusual or _surprise(quality, row) > _LABELLED),
        key=lambda row: -_surprise(quality, row),
    )
    _label_points(axes, [(row.distance, row.identity, row.name) for row in far[:_MOST_LABELS]])


def _surprise(quality: AlignmentQuality, row: SpeciesQuality) -> float:
    """Difference from the trend, relative to what is not unusual."""
    expected, allowed = quality.usual_identity(row, row.distance)
    return abs(row.identity - expected) / allowed


def _draw_gaps(axes: Any, quality: AlignmentQuality) -> None:
    """Draw the fractions of gaps inside blocks and of duplicate rows, by distance."""
    shown = [row for row in quality.others if not row.is_absent]
    _scatter(axes, shown, "gap_fraction", "o", _BLUE, "gaps among aligned columns")
    repeated = [row for row in shown if row.duplicate_fraction > 0]
    label = "further rows of a block among rows"
    _scatter(axes, repeated, "duplicate_fraction", "s", _VERMILLION, label)
    axes.set_title("Gaps and duplicate rows" if repeated else "Gaps inside blocks")
    axes.set(xlabel=_DISTANCE, ylabel="Fraction" if repeated else "Gaps among aligned columns")
    highest = max(
        [0.05, *(row.gap_fraction for row in shown), *(row.duplicate_fraction for row in repeated)]
    )
    axes.set_ylim(-0.02 * highest, (1.35 if repeated else 1.1) * highest)
    axes.set_xlim(0, (max((row.distance for row in shown), default=1.0) or 1.0) * 1.05)
    if repeated:
        axes.legend(loc="upper left", borderaxespad=0.0, handlelength=1.0, fontsize=7)
    fractions = [(row.distance, row.gap_fraction, row.name) for row in shown]
    fractions += [(row.distance, row.duplicate_fraction, row.name) for row in repeated]
    # Those that stand out: above the upper quartile by three times the spread between quartiles.
    values = np.array([value for _, value, _ in fractions] or [0.0])
    low, high = np.quantile(values, [0.25, 0.75])
    limit = max(high + 3 * (high - low), 0.05)
    standing_out = sorted((f for f in fractions if f[1] > limit), key=lambda f: -f[1])
    _label_points(axes, standing_out[: _MOST_LABELS // 2])


def _shown_at(axes: Any) -> list[Any]:
    """Boxes on the canvas that a label must not cover: every point, and the legend."""
    from matplotlib.transforms import Bbox

    boxes = []
    for collection in axes.collections:
        offsets = np.asarray(collection.get_offsets())
        if collection.get_label() == "usual here" or not len(offsets):
            continue
        for x, y in axes.transData.transform(offsets):
            boxes.append(Bbox.from_bounds(x - 3, y - 3, 6, 6))
    legend = axes.get_legend()
    if legend is not None:
        boxes.append(legend.get_window_extent(axes.figure.canvas.get_renderer()))
    return boxes


def _label_points(axes: Any, points: Sequence[tuple[float, float, str]]) -> None:
    """Write names beside points (x, y, name), the most important first, where there is room.

    A name that would cover a point, the legend or another name is left out. The axes must have
    their final limits and place.
    """
    from matplotlib.text import Text

    taken = _shown_at(axes)
    renderer = axes.figure.canvas.get_renderer()
    frame = axes.get_window_extent(renderer)
    for x, y, name in points:
        text = axes.annotate(
            fitting_name(name, 20),
            (x, y),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=7,
            va="center",
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkB": 2},
        )
        for right, up in _OFFSETS:
            text.set_position((right, up))
            text.set_horizontalalignment("left" if right > 0 else "right")
            text.update_positions(renderer)
            # The box of the letters: an annotation's own includes the line to its point.
            box = Text.get_window_extent(text, renderer)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1
            inside = inside and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
        else:
            text.remove()


def _scatter(
    axes: Any,
    rows: Sequence[SpeciesQuality],
    value: str,
    marker: str,
    colour: str,
    label: str | None = None,
    *,
    is_hollow: bool = False,
) -> None:
    """Draw one value of species, an attribute of theirs, by their distance."""
    if rows:
        axes.scatter(
            [row.distance for row in rows],
            [getattr(row, value) for row in rows],
            s=16,
            marker=marker,
            facecolor="white" if is_hollow else colour,
            edgecolor=colour,
            linewidth=0.8,
            label=label,
            zorder=3,
        )


def _thousands(value: float, _position: object) -> str:
    return f"{value:,.0f}" if value == int(value) else ""
