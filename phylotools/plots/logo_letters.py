"""The upper panel of a logo: letters, or a heat map of their heights."""

from __future__ import annotations

from typing import Any

import numpy as np

from phylotools.io.bases import BASE_COLOURS, BASES, BASES_AND_N
from phylotools.plots.logo import Scale, SiteProfile

LABELS = {
    "information": "Information (bits)",
    "probability": "Probability",
    "llr": "LLR of each base\nagainst the reference",
}
#: Letters lower than this part of the axis would be a line.
_LOWEST_LETTER = 0.004


def draw_letters(axes: Any, scale: Scale, shown: SiteProfile, first: int, last: int) -> None:
    heights = shown.heights(scale)[first:last]
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
    for place, column in enumerate(heights):
        for sign in (1, -1):
            bottom = 0.0
            # The largest stands farthest from the axis.
            for base in np.argsort(sign * column, kind="stable").tolist():
                size = float(column[base])
                if sign * size <= threshold:
                    continue
                boxes.setdefault(base, []).append((first + place, bottom, size))
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


def draw_heat_map(axes: Any, bar: Any, scale: Scale, shown: SiteProfile) -> None:
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
