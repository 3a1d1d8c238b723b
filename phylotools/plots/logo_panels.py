"""Panels of a logo: letters or a heat map, the rate of each site, named features in lanes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from phylotools.drawing import COLOURS, GREY, GUIDE, fitting_name
from phylotools.io.bases import BASE_COLOURS, BASES, BASES_AND_N
from phylotools.plots.logo import Scale

LABELS = {
    "information": "Information (bits)",
    "probability": "Probability",
    "llr": "LLR of each base\nagainst the reference",
}
#: Letters lower than this part of the axis would be a line.
_LOWEST_LETTER = 0.004
#: Lanes of features in a line of the picture; more are counted, not drawn.
MOST_LANES = 8
_FONT = 6.5
#: Inches of a letter of that size, roughly.
_LETTER = 0.058
_LONGEST_NAME = 32
#: Inches of the tip of an arrow.
_TIP = 0.07


class LetterHeights(Protocol):
    """What has the heights of letters, as `SiteProfile`."""

    def heights(self, scale: Scale) -> NDArray[np.float64]:
        """Signed heights of A, C, G, T at each base, float64[L, 4]."""
        ...


def draw_letters(axes: Any, scale: Scale, shown: LetterHeights, first: int, last: int) -> None:
    """Draw the letters of the bases from `first` to `last`, the largest farthest from the axis."""
    everywhere = shown.heights(scale)
    highest = float(np.clip(everywhere, 0, None).sum(axis=1).max())
    lowest = float(np.clip(everywhere, None, 0).sum(axis=1).min())
    limits = {"information": (0.0, 2.0), "probability": (0.0, 1.0)}.get(scale)
    if limits is None:
        margin = 0.04 * max(highest - lowest, 1e-6)
        limits = (min(lowest - margin, -margin), max(highest + margin, margin))
    axes.set_ylim(*limits)
    threshold = _LOWEST_LETTER * (limits[1] - limits[0])
    boxes: dict[int, list[tuple[float, float, float]]] = {}
    for place, column in enumerate(everywhere[first:last], start=first):
        for sign in (1, -1):
            bottom = 0.0
            for base in np.argsort(sign * column, kind="stable").tolist():
                size = float(column[base])
                if sign * size <= threshold:
                    continue
                boxes.setdefault(base, []).append((place, bottom, size))
                bottom += size
    for base, found in sorted(boxes.items()):
        _add_letters(axes, base, found)
    if limits[0] < 0:
        axes.axhline(0, color="#444444", linewidth=0.6, zorder=1)
    if scale == "information":
        axes.set_yticks([0, 1, 2])


def _add_letters(axes: Any, base: int, boxes: list[tuple[float, float, float]]) -> None:
    """One collection for all letters of a base: (place, bottom, signed height) each."""
    from matplotlib.collections import PathCollection
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path
    from matplotlib.textpath import TextPath

    font = FontProperties(family="DejaVu Sans", weight="bold")
    glyph = TextPath((0, 0), BASES_AND_N[base], size=1, prop=font)
    box = glyph.get_extents()
    unit = (glyph.vertices - [box.x0, box.y0]) / [box.width, box.height]
    paths = []
    for place, bottom, size in boxes:
        low, high = min(bottom, bottom + size), abs(size)
        vertices = unit * [0.92, high] + [place - 0.46, low]
        paths.append(Path(vertices, glyph.codes))
    collection = PathCollection(
        paths, facecolors=BASE_COLOURS[base], edgecolors="none", linewidths=0, zorder=3
    )
    collection.set_gid(f"letters_{BASES_AND_N[base]}")
    axes.add_collection(collection, autolim=False)


def draw_heat_map(axes: Any, bar: Any, scale: Scale, shown: LetterHeights) -> None:
    """Draw the heights of all letters as colours, a row for each base, and the colour bar."""
    values = shown.heights(scale).T
    if scale == "llr":
        largest = max(float(np.abs(values).max()), 1e-6)
        look = {"cmap": "PuOr", "vmin": -largest, "vmax": largest}
    else:
        look = {"cmap": "cividis", "vmin": 0, "vmax": 2 if scale == "information" else 1}
    # Tall, so that making it fit blurs no base into the next.
    image = axes.imshow(
        np.repeat(values, 64, axis=0),
        aspect="auto",
        extent=(-0.5, values.shape[1] - 0.5, 3.5, -0.5),
        **look,
    )
    axes.set_yticks(range(4), list(BASES))
    axes.tick_params(axis="y", length=0)
    axes.figure.colorbar(image, cax=bar)
    bar.tick_params(labelsize=6.5, length=2)
    bar.set_ylabel(LABELS[scale].replace("\n", " "), fontsize=6.5)
    if scale == "llr":
        bar.set_ylabel("LLR against reference", fontsize=6.5)


def draw_rate(axes: Any, rate: NDArray[np.float64], first: int, last: int) -> None:
    """Bars of the substitution rate; the scale is that of all sites, cut above the 99.5th %."""
    finite = rate[np.isfinite(rate)]
    highest = float(np.quantile(finite, 0.995)) if len(finite) else 1.0
    highest = max(highest * 1.08, 1.25)
    axes.axhline(1, **GUIDE)
    # One path for all bars: thousands of rectangles would be slow to open.
    shown = np.nan_to_num(rate[first:last], nan=0.0, posinf=highest)
    edges = np.arange(first, last + 1) - 0.5
    axes.stairs(shown, edges, fill=True, color="#5b6670", zorder=2)
    axes.set_ylim(0, highest)
    axes.locator_params(axis="y", nbins=3)


@dataclass(frozen=True)
class Box:
    """A feature as drawn, in units of bases.

    Attributes
    ----------
    start, end : float
        Within the line.
    name : str
    strand : str
    has_begin, has_end : bool
        Whether its left and right ends lie within the line.
    name_at : float
        Where the name begins; within the box if `is_inside`.
    is_inside : bool
    """

    start: float
    end: float
    name: str
    strand: str
    has_begin: bool
    has_end: bool
    name_at: float
    is_inside: bool


@dataclass(frozen=True)
class Lane:
    """Features side by side, or the count of those that found no lane."""

    boxes: tuple[Box, ...]
    n_left_out: int = 0


def pack_features(
    features: Sequence[tuple[int, int, str, str]], first: int, end: int, per_inch: float
) -> list[Lane]:
    """Lay out features and their names so that nothing overlaps.

    Parameters
    ----------
    features : sequence of (start, end, name, strand)
        Sorted by start; they may reach beyond the line.
    first, end : int
        The line, half-open.
    per_inch : float
        Bases of an inch.

    Returns
    -------
    list of Lane
        At most `MOST_LANES`, and one that counts what is left out.
    """
    lanes: list[list[Box]] = []
    reached: list[float] = []
    n_left_out = 0
    for start, stop, name, strand in features:
        box, left, right = _layout(start, stop, name, strand, first, end, per_inch)
        index = next((i for i, place in enumerate(reached) if place <= left), len(lanes))
        if index == MOST_LANES:
            n_left_out += 1
            continue
        if index == len(lanes):
            lanes.append([])
            reached.append(0.0)
        lanes[index].append(box)
        reached[index] = right
    packed = [Lane(tuple(boxes)) for boxes in lanes]
    return [*packed, Lane((), n_left_out)] if n_left_out else packed


def _layout(
    start: int, stop: int, name: str, strand: str, first: int, end: int, per_inch: float
) -> tuple[Box, float, float]:
    """A feature's box with its name, and the left and right end of both together."""
    left, right = max(start, first) - 0.5, min(stop, end) - 0.5
    text = fitting_name(name, _LONGEST_NAME)
    room = (len(text) * _LETTER + 0.06) * per_inch
    tip = _TIP * per_inch if strand != "." else 0.0
    is_inside = room + tip <= right - left
    if is_inside:
        name_at, taken = (left + right - room) / 2, (left, right)
    elif right + room <= end - 0.5 or left - room < first - 0.5:
        name_at, taken = right + 0.04 * per_inch, (left, right + room + 0.04 * per_inch)
    else:
        name_at, taken = left - room + 0.02 * per_inch, (left - room, right)
    box = Box(left, right, text, strand, start >= first, stop <= end, name_at, is_inside)
    return box, *taken


def draw_features(axes: Any, lanes: Sequence[Lane]) -> None:
    """Draw lanes from the top; the limits of x are already set."""
    axes.set_axis_off()
    axes.set_ylim(max(len(lanes), 1), 0)
    width = axes.get_position().width * axes.figure.get_size_inches()[0]
    low, high = axes.get_xlim()
    tip = _TIP * (high - low) / width
    for number, lane in enumerate(lanes):
        middle = number + 0.5
        for box in lane.boxes:
            _draw_box(axes, box, middle, tip)
        if lane.n_left_out:
            axes.text(low, middle, f"{lane.n_left_out:,} more", fontsize=_FONT, va="center")


def _draw_box(axes: Any, box: Box, middle: float, tip: float) -> None:
    from matplotlib.patches import Polygon

    top, bottom = middle - 0.38, middle + 0.38
    left, right = box.start, box.end
    tip = min(tip, (right - left) / 2)
    if box.strand == "+" and box.has_end:
        corners = [(left, top), (right - tip, top), (right, middle), (right - tip, bottom)]
        corners += [(left, bottom)]
    elif box.strand == "-" and box.has_begin:
        corners = [(left, middle), (left + tip, top), (right, top), (right, bottom)]
        corners += [(left + tip, bottom)]
    else:
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    colour = {"+": COLOURS[0], "-": COLOURS[1]}.get(box.strand, GREY)
    axes.add_patch(
        Polygon(corners, closed=True, facecolor=colour, edgecolor="white", linewidth=0.6)
    )
    axes.text(
        box.name_at if not box.is_inside else (left + right) / 2,
        middle,
        box.name,
        fontsize=_FONT,
        ha="center" if box.is_inside else "left",
        va="center_baseline",
        color="white" if box.is_inside else "#222222",
        clip_on=False,
    )


def write_sequence(
    axes: Any, codes: NDArray[np.uint8], first: int, last: int, font_size: float
) -> None:
    """Write the bases from `first` to `last` in their colours; the limits of x are already set."""
    axes.set_axis_off()
    axes.set_ylim(0, 1)
    for place in range(first, last):
        code = int(codes[place])
        axes.text(
            place,
            0.42,
            BASES_AND_N[code],
            ha="center",
            va="center",
            fontsize=font_size,
            family="DejaVu Sans Mono",
            weight="bold",
            color=(*BASE_COLOURS, GREY)[code],
        )


def draw_ticks(axes: Any, places: Mapping[int, int], per_inch: float) -> None:
    """Positions at round numbers that leave room for their text.

    Parameters
    ----------
    axes
    places : mapping of int to int
        Where a base is drawn -> its 1-based position.
    per_inch : float
        Bases of an inch.
    """
    step = next(
        size * 10**power
        for power in range(9)
        for size in (1, 2, 5)
        if size * 10**power >= 0.85 * per_inch
    )
    kept = {index: position for index, position in places.items() if position % step == 0}
    if not kept:
        index = next(iter(places))
        kept = {index: places[index]}
    axes.set_xticks(list(kept), [f"{position:,}" for position in kept.values()])
    axes.tick_params(axis="x", labelsize=7, length=2.5, pad=2)
