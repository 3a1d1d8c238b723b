"""The panel with one row per species: tree, name, content of the columns, identity, duplicates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.drawing import COLOURS, GREY, fitting_name
from phylotools.phylogeny.tree import Tree
from phylotools.report.quality import AlignmentQuality, SpeciesQuality
from phylotools.store.tree_scale import FEWEST_COLUMNS

#: Content of a species' columns: label, colour, and the part of all columns.
_CONTENT = (
    ("base", COLOURS[0]),
    ("soft-masked", COLOURS[5]),
    ("N", COLOURS[6]),
    ("gap", COLOURS[4]),
    ("no block", "#ececec"),
)
_DUPLICATES = COLOURS[3]
_OUTLIER = COLOURS[1]
#: In inches.
_TREE, _SPACE, _MARGIN, _HEADER = 0.6, 0.1, 0.25, 0.42
_BARS, _IDENTITY, _REPEATS = 1.4, 1.0, 0.65
_LONGEST_NAME = 26


@dataclass(frozen=True)
class StripLayout:
    """Where the rows of the species lie; lengths in inches.

    Attributes
    ----------
    per_column : int
        Species in one column of rows.
    n_columns : int
    row_height : float
    font_size : float
        Of the names, in points.
    name_width : float
    has_duplicates : bool
    """

    per_column: int
    n_columns: int
    row_height: float
    font_size: float
    name_width: float
    has_duplicates: bool

    @property
    def width(self) -> float:
        repeats = _SPACE + _REPEATS if self.has_duplicates else 0.0
        fixed = _TREE + self.name_width + _BARS + _SPACE + _IDENTITY + repeats
        return self.n_columns * (fixed + _MARGIN)

    @property
    def height(self) -> float:
        return _HEADER + self.per_column * self.row_height


def plan_strips(quality: AlignmentQuality) -> StripLayout:
    """Rows that can be read, in as many columns as keep the picture from becoming a ribbon."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    n = len(quality.species)
    # Up to 80 rows fit a page; below, names of 5 points are the smallest that print well.
    row_height = 0.17 if n <= 60 else 0.14 if n <= 200 else 0.118
    n_columns = 1 if n <= 80 else -(-n // 60) if n <= 200 else -(-n // 112)
    font_size = 0.62 * 72 * row_height
    # The widest is among the longest; to measure each of 700 names would take seconds.
    longest = sorted((_shown(row) for row in quality.species), key=len)[-20:]
    bold = FontProperties(weight="bold", size=font_size)
    widest = max(text_to_path.get_text_width_height_descent(n, bold, False)[0] for n in longest)
    return StripLayout(
        per_column=-(-n // n_columns),
        n_columns=n_columns,
        row_height=row_height,
        font_size=font_size,
        name_width=widest / 72 + 0.16,
        has_duplicates=any(row.duplicate_rows for row in quality.species),
    )


def draw_strips(
    place: Any,
    layout: StripLayout,
    quality: AlignmentQuality,
    left: float,
    top: float,
    width: float,
) -> None:
    """Draw every species, in the order of the tree.

    Parameters
    ----------
    place : callable
        ``place(left, top, width, height)`` in inches gives new axes.
    layout : StripLayout
    quality : AlignmentQuality
    left, top, width : float
        In inches; `width` beyond the layout's own goes to the bars.
    """
    step = width / layout.n_columns
    stretch = step - layout.width / layout.n_columns
    for column in range(layout.n_columns):
        first = column * layout.per_column
        rows = quality.species[first : first + layout.per_column]
        x = left + column * step
        y = top + _HEADER
        height = len(rows) * layout.row_height
        axes = [place(x, y, _TREE, height)]
        _draw_tree(axes[0], quality.tree)
        x += _TREE
        axes.append(place(x, y, layout.name_width, height))
        _draw_names(axes[1], rows, layout, quality.reference_species)
        x += layout.name_width
        axes.append(place(x, y, _BARS + 0.7 * stretch, height))
        _draw_content(axes[2], rows)
        x += _BARS + 0.7 * stretch + _SPACE
        axes.append(place(x, y, _IDENTITY + 0.3 * stretch, height))
        _draw_identity(axes[3], rows, quality)
        if layout.has_duplicates:
            x += _IDENTITY + 0.3 * stretch + _SPACE
            axes.append(place(x, y, _REPEATS, height))
            _draw_duplicates(axes[4], rows, quality)
        for panel in axes:
            panel.set_ylim(len(rows) - 0.5, -0.5)
        axes[0].set_ylim(first + len(rows) - 0.5, first - 0.5)


def draw_legend(
    figure: Any, at: tuple[float, float], layout: StripLayout, quality: AlignmentQuality
) -> None:
    """Explain the rows in one line; `at` is its lower left corner in the figure."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Patch(color=colour, label=label) for label, colour in _CONTENT]
    mark: dict[str, Any] = {"linestyle": "none", "markersize": 4}
    handles += [
        Line2D([], [], marker="o", color=COLOURS[0], label="identity to the reference", **mark),
        Line2D([], [], marker="|", color=GREY, label="usual at its distance", **mark),
        Line2D([], [], marker="D", color=_OUTLIER, label="unusual", **mark),
    ]
    if layout.has_duplicates:
        handles.append(Patch(color=_DUPLICATES, label="further rows of a block"))
    if any(row.is_absent for row in quality.species):
        handles.append(Line2D([], [], color="none", label="orange name: no row"))
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=at,
        ncols=len(handles),
        fontsize=7,
        handlelength=1.0,
        handletextpad=0.4,
        columnspacing=1.1,
        borderaxespad=0.0,
    )


def _draw_tree(axes: Any, tree: Tree) -> None:
    """The whole tree; the limits cut out the rows of this column."""
    from matplotlib.collections import LineCollection

    x, y = _tree_places(tree)
    lines = []
    for node, below in enumerate(tree.children):
        if node:
            above = x[tree.parent[node]]
            lines.append([(above, y[node]), (x[node], y[node])])
        if below:
            at = [y[child] for child in below]
            lines.append([(x[node], min(at)), (x[node], max(at))])
    furthest = float(x.max()) or 1.0
    leads = [[(x[node], y[node]), (furthest, y[node])] for node in tree.tip_nodes]
    axes.add_collection(LineCollection(leads, colors="#cccccc", linewidths=0.4))
    axes.add_collection(LineCollection(lines, colors="#444444", linewidths=0.6))
    axes.set_xlim(-0.02 * furthest, furthest)
    axes.set_axis_off()


def _tree_places(tree: Tree) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of every node from the root, and its row: the middle of its outermost children."""
    y = np.zeros(len(tree.names))
    y[tree.tip_nodes] = np.arange(tree.n_tips)
    for node in tree.postorder.tolist():
        if below := tree.children[node]:
            y[node] = (y[below[0]] + y[below[-1]]) / 2
    return tree.root_distance, y


def _draw_names(
    axes: Any, rows: tuple[SpeciesQuality, ...], layout: StripLayout, reference: str
) -> None:
    axes.set_axis_off()
    axes.set_xlim(0, layout.name_width)
    for place, row in enumerate(rows):
        axes.text(
            0.05,
            place,
            _shown(row),
            fontsize=layout.font_size,
            va="center",
            fontweight="bold" if row.name == reference else "normal",
            color=_OUTLIER if row.is_absent else "#222222",
        )


def _draw_content(axes: Any, rows: tuple[SpeciesQuality, ...]) -> None:
    parts = np.array(
        [
            (
                row.bases + row.unknown - row.masked - _upper_unknown(row),
                row.masked,
                _upper_unknown(row),
                row.gaps,
                row.columns - row.in_blocks,
            )
            for row in rows
        ],
        dtype=np.float64,
    )
    parts /= max(rows[0].columns, 1)
    start = np.zeros(len(rows))
    for (_, colour), part in zip(_CONTENT, parts.T, strict=True):
        _draw_bars(axes, start, part, colour)
        start += part
    _finish(axes, "Covered columns", (0, 1))
    _name_ends(axes, [0, 0.5, 1], ["0", "50%", "100%"])


def _upper_unknown(row: SpeciesQuality) -> int:
    """Letters without a meaning, as far as they are not among the soft-masked ones."""
    return min(row.unknown, row.bases + row.unknown - row.masked)


def _draw_identity(axes: Any, rows: tuple[SpeciesQuality, ...], quality: AlignmentQuality) -> None:
    seen = [place for place, row in enumerate(rows) if row.comparable]
    trend = [quality.divergence.expected(rows[place].distance) for place in seen]
    axes.plot(trend, seen, ls="none", marker="|", ms=5, mew=1.2, color=GREY)
    for is_odd, is_known in ((False, True), (False, False), (True, True)):
        chosen = [
            place
            for place in seen
            if (rows[place].name in quality.unusual_species) == is_odd
            and (rows[place].comparable >= FEWEST_COLUMNS) == is_known
        ]
        colour = _OUTLIER if is_odd else COLOURS[0] if is_known else GREY
        axes.plot(
            [rows[place].identity for place in chosen],
            chosen,
            ls="none",
            marker="D" if is_odd else "o",
            ms=2.8,
            color=colour,
            mfc=colour if is_known else "white",
        )
    lowest = min([row.identity for row in quality.species if row.comparable] or [0.5])
    lowest = float(np.floor(10 * (lowest - 0.02)) / 10)
    _finish(axes, "Identity", (lowest, 1.03))
    _name_ends(axes, [lowest, 1.0], [f"{lowest:.0%}", "100%"])
    axes.set_xticks(np.arange(lowest, 1.01, 0.1), minor=True)
    axes.grid(axis="x", which="both", color="#e4e4e4", linewidth=0.5)
    axes.set_axisbelow(True)


def _draw_duplicates(
    axes: Any, rows: tuple[SpeciesQuality, ...], quality: AlignmentQuality
) -> None:
    part = np.nan_to_num([row.duplicate_fraction for row in rows])
    _draw_bars(axes, np.zeros(len(rows)), part, _DUPLICATES)
    most = np.nan_to_num([row.duplicate_fraction for row in quality.species]).max()
    highest = max(0.02, float(most))
    _finish(axes, "Duplicates", (0, highest))
    _name_ends(axes, [0, highest], ["0", f"{highest:.0%}"])


def _draw_bars(
    axes: Any, start: NDArray[np.float64], width: NDArray[np.float64], colour: str
) -> None:
    """One bar a row; as one collection, which is drawn ten times faster than bars."""
    from matplotlib.collections import PolyCollection

    bottom, top = np.arange(len(start)) - 0.39, np.arange(len(start)) + 0.39
    end = start + width
    corners = [(start, bottom), (end, bottom), (end, top), (start, top)]
    outlines = np.array(corners).transpose(2, 0, 1)[width > 0]
    axes.add_collection(PolyCollection(list(outlines), facecolors=colour, linewidths=0))


def _finish(axes: Any, title: str, limits: tuple[float, float]) -> None:
    axes.set_xlim(*limits)
    axes.set_yticks([])
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", which="both", length=2, pad=1, labelsize=6.5)
    axes.set_title(title, fontsize=8, pad=3)


def _name_ends(axes: Any, at: list[float], names: list[str]) -> None:
    """Ticks whose outer names stay within the panel, so that neighbours do not collide."""
    axes.set_xticks(at, names)
    axes.get_xticklabels()[0].set_horizontalalignment("left")
    axes.get_xticklabels()[-1].set_horizontalalignment("right")


def _shown(row: SpeciesQuality) -> str:
    return fitting_name(row.name, _LONGEST_NAME)
