"""The panels of a report's figure that are about the whole alignment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.drawing import COLOURS, GREY, fitting_name
from phylotools.report.identity_findings import unusual_species
from phylotools.report.quality import AlignmentQuality, SpeciesQuality
from phylotools.store.tree_scale import FEWEST_COLUMNS

BLUE, VERMILLION = COLOURS[0], COLOURS[1]
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


def draw_depth(axes: Any, quality: AlignmentQuality) -> None:
    """Columns by number of species."""
    n_species = np.arange(len(quality.depth))
    first, last = _usual_range(quality.depth)
    left_out = int(quality.depth.sum() - quality.depth[first : last + 1].sum())
    width = 0.8 if last - first <= _FEW_BARS else 1.0
    axes.bar(n_species, quality.depth, width=width, color=BLUE, linewidth=0)
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
    axes.axvline(middle, color=VERMILLION, linewidth=1.2, linestyle=(0, (5, 1.5)), zorder=0)
    is_left = middle < (first + last) / 2
    axes.annotate(
        f"median {middle}",
        (middle, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(4 if is_left else -4, -2),
        textcoords="offset points",
        ha="left" if is_left else "right",
        va="top",
        color=VERMILLION,
    )


def _usual_range(depth: NDArray[np.int64]) -> tuple[int, int]:
    """The numbers of species that all but a few columns have: a long tail would hide the rest."""
    cumulative = np.cumsum(depth)
    few = cumulative[-1] * _TAIL
    first = int(np.searchsorted(cumulative, few, side="right"))
    last = int(np.searchsorted(cumulative, cumulative[-1] - few))
    return (first, last) if cumulative[-1] else (0, len(depth) - 1)


def draw_identity(axes: Any, quality: AlignmentQuality) -> None:
    """Identity to the reference by distance, with what the tree makes one expect."""
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
            color=BLUE,
            alpha=0.12,
            linewidth=0,
            label="usual here",
        )
        axes.plot(distance, trend, color=BLUE, linewidth=1.2, label="trend of this alignment")
    axes.plot(
        distance,
        divergence.neutral(distance),
        color=GREY,
        linewidth=1,
        linestyle=(0, (4, 3)),
        label="every site at the tree's rate",
    )
    odd = unusual_species(quality)
    sparse = [row for row in shown if row.comparable < FEWEST_COLUMNS]
    usual = [row for row in shown if row.name not in odd and row.comparable >= FEWEST_COLUMNS]
    unusual = [row for row in shown if row.name in odd]
    _scatter(axes, usual, "identity", "o", BLUE, BLUE, None)
    _scatter(axes, sparse, "identity", "o", "white", GREY, f"fewer than {FEWEST_COLUMNS} columns")
    _scatter(axes, unusual, "identity", "D", VERMILLION, VERMILLION, "not as its distance predicts")
    axes.set_title("Identity to the reference")
    axes.set(xlabel=_DISTANCE, ylabel="Identical bases", xlim=(0, furthest * 1.05))
    lowest = min((row.identity for row in shown), default=0.25)
    axes.set_ylim(max(0.0, min(lowest - 0.05, divergence.chance_identity)), 1.02)
    axes.legend(loc="best", borderaxespad=0.2, handlelength=1.8, fontsize=7)
    far = sorted(
        (row for row in usual + unusual if row in unusual or _surprise(quality, row) > _LABELLED),
        key=lambda row: -_surprise(quality, row),
    )
    label_points(
        axes, [(row.distance, row.identity, row.name) for row in far[:_MOST_LABELS]], shown_at(axes)
    )


def _surprise(quality: AlignmentQuality, row: SpeciesQuality) -> float:
    """Difference from the trend, relative to what is not unusual."""
    allowed = quality.divergence.allowed(row.comparable, row.columns)
    return abs(row.identity - quality.divergence.expected(row.distance)) / allowed


def draw_gaps(axes: Any, quality: AlignmentQuality) -> None:
    """Gaps inside blocks and duplicate rows, by distance."""
    shown = [row for row in quality.others if not row.is_absent]
    _scatter(axes, shown, "gap_fraction", "o", BLUE, BLUE, "gaps among aligned columns")
    repeated = [row for row in shown if row.duplicate_fraction > 0]
    _scatter(
        axes,
        repeated,
        "duplicate_fraction",
        "s",
        VERMILLION,
        VERMILLION,
        "further rows of a block among rows",
    )
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
    label_points(axes, standing_out[: _MOST_LABELS // 2], shown_at(axes))


def shown_at(axes: Any) -> list[Any]:
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


def label_points(
    axes: Any, points: Sequence[tuple[float, float, str]], obstacles: Iterable[Any]
) -> None:
    """Write names beside points where they cover nothing; a name without a place is left out.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        With its final limits and place.
    points : sequence of (x, y, name)
        The most important first.
    obstacles : iterable of matplotlib.transforms.Bbox
        In canvas units.
    """
    from matplotlib.text import Text

    taken = list(obstacles)
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


_DISTANCE = "Distance to the reference (substitutions per site)"


def _scatter(
    axes: Any,
    rows: Sequence[SpeciesQuality],
    value: str,
    marker: str,
    face: str,
    edge: str,
    label: str | None,
) -> None:
    if rows:
        axes.scatter(
            [row.distance for row in rows],
            [getattr(row, value) for row in rows],
            s=16,
            marker=marker,
            facecolor=face,
            edgecolor=edge,
            linewidth=0.8,
            label=label,
            zorder=3,
        )


def _thousands(value: float, _position: object) -> str:
    return f"{value:,.0f}" if value == int(value) else ""
