"""The picture of embeddings in two dimensions."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from phylotools.drawing import (
    COLOURS,
    MARKERS,
    SEPARATOR,
    figure_with_footer,
    fitting_name,
)
from phylotools.errors import counted
from phylotools.evaluate.separation import AgainstNull, Separation
from phylotools.plots.embedding import Projection
from phylotools.plots.labels import NO_CLASS

#: In inches: the panel with its labels, and a letter of the legend.
_WIDTH, _PANEL, _LETTER = 4.9, 4.4, 0.066
#: Colours times marks that can be told apart.
_MOST_CLASSES = 14
_REST = "#c3c7cc"
#: Height of the strip of figures below, and of a row of it.
_STRIP, _STRIP_ROW = 0.75, 0.2
#: Beyond so many points an SVG holds them as an image: it would be slow to open.
_MOST_SHAPES = 3000
#: Beyond so many points more change nothing that an eye can see.
_MOST_POINTS = 200_000


def draw_embedding(found: Projection, footer: str, *, seed: int = 1) -> Any:
    """Draw the regions as points coloured by class.

    Parameters
    ----------
    found : Projection
    footer : str
    seed : int
        Of the order in which points are drawn: no class lies on top because it came last.
    """
    counts = Counter(found.classes)
    ranked = sorted((n for n in counts if n != NO_CLASS), key=lambda name: (-counts[name], name))
    named = ranked[:_MOST_CLASSES] if found.class_source else []
    longest = max((len(_legend_text(name, counts[name])) for name in named), default=12)
    width = _WIDTH + (0.5 + _LETTER * max(longest, 12) if found.class_source else 0.0)
    notes = SEPARATOR.join(_notes(found, len(ranked) - len(named)))
    judged = found.separation
    strip = 0.0 if judged is None else _STRIP + _STRIP_ROW * (len(judged.names) + 2)
    figure = figure_with_footer(width, _PANEL + strip, [footer, notes])
    if judged is None:
        axes = figure.subplots()
    else:
        axes, below = figure.subplots(2, 1, height_ratios=[_PANEL, strip])
        _draw_separation(below, judged)
    _draw_points(axes, found, {name: number for number, name in enumerate(named)}, seed)
    if found.class_source:
        _draw_legend(axes, found, named, counts)
    axes.set_box_aspect(1)
    axes.set(xlabel=found.axes[0], ylabel=found.axes[1])
    axes.set_anchor("W")
    axes.tick_params(labelsize=7)
    if found.method == "umap":
        # Its units mean nothing.
        axes.set(xticks=[], yticks=[])
    return figure


def _draw_separation(axes: Any, judged: Separation) -> None:
    """Purity of neighbourhoods by class and silhouette: a dot each, its null as a grey bar."""
    rows: list[tuple[str, AgainstNull]] = [
        *judged.by_class.items(), ("all", judged.purity), ("silhouette", judged.silhouette)
    ]  # fmt: skip
    for place, (_, figure) in enumerate(rows):
        axes.plot([figure.low, figure.high], [place, place], color=_REST, linewidth=5, zorder=2)
        axes.plot([figure.value], [place], "o", color=COLOURS[0], markersize=5, zorder=3)
    axes.set_yticks(range(len(rows)), [fitting_name(name, 20) for name, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(min(-0.02, *(f.value for _, f in rows), *(f.low for _, f in rows)) - 0.03, 1.02)
    axes.set_xlabel(
        f"of the {judged.k} nearest, {judged.apart:,} bases apart or more: the same class "
        "(grey: classes moved)", fontsize=7.5,
    )  # fmt: skip
    axes.tick_params(labelsize=7)
    axes.grid(axis="x", color="#e3e5e8", linewidth=0.6)
    axes.set_axisbelow(True)


def _notes(found: Projection, n_rest: int) -> list[str]:
    notes = [counted(len(found.points), "region")]
    if found.n_not_drawn:
        notes.append(f"drawn evenly from {len(found.points) + found.n_not_drawn:,}")
    if found.n_left_out:
        notes.append(f"{found.n_left_out:,} without a finite vector left out")
    if found.class_source and n_rest > 0:
        notes.append(f"{n_rest:,} smaller classes in grey, named in the table")
    return notes


def _draw_points(axes: Any, found: Projection, place: dict[str, int], seed: int) -> None:
    random = np.random.default_rng(seed)
    order = random.permutation(len(found.points))[:_MOST_POINTS]
    points = found.points[order]
    of_class = np.array([place.get(found.classes[i], -1) for i in order.tolist()], dtype=np.int64)
    if not found.class_source:
        of_class[:] = 0
    size = float(np.clip(9000 / max(len(points), 1), 4, 26))
    palette = np.array(COLOURS)
    # Grey ones below, then one layer for each mark, its colours mixed.
    for mark in range(-1, (max(len(place), 1) - 1) // len(COLOURS) + 1):
        is_here = of_class < 0 if mark < 0 else (of_class >= 0) & (of_class // len(COLOURS) == mark)
        if not is_here.any():
            continue
        layer = axes.scatter(
            *points[is_here].T,
            s=size * (0.7 if mark < 0 else 1.0),
            c=_REST if mark < 0 else palette[of_class[is_here] % len(COLOURS)].tolist(),
            marker="o" if mark < 0 else MARKERS[(0, 3)[mark % 2]],
            linewidths=0,
            alpha=0.8 if len(points) < _MOST_SHAPES else 0.6,
            rasterized=len(points) > _MOST_SHAPES,
            zorder=2 + mark,
        )
        layer.set_gid("points_rest" if mark < 0 else f"points_{mark}")


def _legend_text(name: str, count: int) -> str:
    return f"{fitting_name(name, 28)} ({count:,})"


def _draw_legend(axes: Any, found: Projection, named: list[str], counts: Counter[str]) -> None:
    from matplotlib.lines import Line2D

    def handle(colour: str, mark: str, label: str) -> Any:
        look: dict[str, Any] = {"color": colour, "marker": mark, "markersize": 5}
        return Line2D([], [], label=label, linestyle="none", markeredgewidth=0, **look)

    handles = [
        handle(
            COLOURS[number % len(COLOURS)],
            MARKERS[(0, 3)[number // len(COLOURS) % 2]],
            _legend_text(name, counts[name]),
        )
        for number, name in enumerate(named)
    ]
    rest = sum(count for name, count in counts.items() if name not in named and name != NO_CLASS)
    if rest:
        handles.append(handle(_REST, "o", f"other ({rest:,})"))
    if counts[NO_CLASS] and NO_CLASS not in named:
        handles.append(handle(_REST, "o", f"{NO_CLASS} ({counts[NO_CLASS]:,})"))
    title = fitting_name(found.class_source, 30)
    box = axes.legend(
        handles=handles,
        title=title,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.01),
        alignment="left",
        handletextpad=0.2,
    )
    box.get_title().set_fontsize(8)
    box.get_title().set_fontweight("bold")
