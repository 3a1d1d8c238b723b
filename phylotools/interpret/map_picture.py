"""The picture of a dependency map: the map, the sequence beside it, features above."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from phylotools.drawing import FOOTER_LOOK, GREY, fitting_name, new_figure, wrapped
from phylotools.interpret.dependencies import DependencyMap
from phylotools.io.features import Feature
from phylotools.plots.logo_panels import draw_features, draw_ticks, pack_features, write_sequence

#: In inches.
_LEFT, _RIGHT, _TITLE, _FOOT_LINE = 0.75, 1.05, 0.36, 0.13
_MAP, _LANE, _SEQUENCE, _TICKS, _GAP = 5.8, 0.2, 0.13, 0.5, 0.06
#: More bases could not be read.
_MOST_LETTERS = 130
#: What is larger than this part of the values has the darkest colour.
_DARKEST = 0.998
_TITLE_LOOK: dict[str, Any] = {"fontsize": 9.5, "weight": "bold"}


def draw_map(found: DependencyMap, features: Sequence[Feature] | None, footer: str) -> Any:
    """Draw the figure.

    Parameters
    ----------
    found : DependencyMap
    features : sequence of Feature or None
        None for no annotation.
    footer : str
    """
    region, n_bases = found.region, len(found.region)
    local = [
        (f.region.start - region.start, f.region.end - region.start, f.name or f.kind, f.strand)
        for f in features or ()
    ]
    lanes = pack_features(sorted(local), 0, n_bases, n_bases / _MAP)
    above = 0.0 if features is None else max(len(lanes), 1) * _LANE + _GAP
    letters = _SEQUENCE if n_bases <= _MOST_LETTERS else 0.0
    width = _LEFT + _MAP + _RIGHT
    lines = wrapped([footer], width)
    height = _TITLE + above + _MAP + letters + _TICKS + _FOOT_LINE * len(lines) + 0.1
    figure = new_figure(width, height, is_arranged=False)

    def place(left: float, top: float, wide: float, tall: float) -> Any:
        box = (left / width, 1 - (top + tall) / height, wide / width, tall / height)
        return figure.add_axes(box)

    symmetric = ", mean of both directions" if found.is_symmetric else ""
    title = f"{fitting_name(region.contig, 40)}:{region.start + 1:,}-{region.end:,}{symmetric}"
    figure.text(_LEFT / width, 1 - 0.08 / height, title, va="top", **_TITLE_LOOK)
    figure.text(0.1 / width, 0.07 / height, "\n".join(lines), va="bottom", **FOOTER_LOOK)
    top = _TITLE
    if features is not None:
        axes = place(_LEFT, top, _MAP, max(len(lanes), 1) * _LANE)
        axes.set_xlim(-0.5, n_bases - 0.5)
        draw_features(axes, lanes)
        if not lanes:
            look = {"fontsize": 6.5, "color": GREY, "transform": axes.transAxes}
            axes.text(0, 0.5, "no feature here", **look)
        top += above
    axes = place(_LEFT, top, _MAP, _MAP)
    image = _draw_values(axes, found)
    bar = place(_LEFT + _MAP + 0.14, top, 0.14, _MAP / 2)
    figure.colorbar(image, cax=bar, extend="max")
    bar.tick_params(labelsize=6.5, length=2)
    what = "log probability" if found.measure == "log-probability" else "log odds"
    bar.set_ylabel(f"Largest change of a base's {what} (nats)", fontsize=6.5)
    places = {index: region.start + index + 1 for index in range(n_bases)}
    below = axes
    if letters:
        below = place(_LEFT, top + _MAP, _MAP, _SEQUENCE)
        below.set_xlim(-0.5, n_bases - 0.5)
        size = min(8.0, _MAP * 72 / n_bases * 1.2)
        write_sequence(below, found.reference, 0, n_bases, size)
        axes.tick_params(axis="x", pad=2 + _SEQUENCE * 72)
    draw_ticks(axes, places, n_bases / _MAP)
    if letters:
        axes.tick_params(axis="x", pad=2 + _SEQUENCE * 72, length=0)
    axes.set_yticks(axes.get_xticks(), [text.get_text() for text in axes.get_xticklabels()])
    axes.tick_params(axis="y", labelsize=7, length=2.5, pad=2)
    axes.set_ylim(n_bases - 0.5, -0.5)
    axes.set_ylabel("Base that is substituted", fontsize=7.5)
    axes.set_xlabel("Base whose prediction changes", fontsize=7.5)
    return figure


def _draw_values(axes: Any, found: DependencyMap) -> Any:
    import matplotlib

    colours = matplotlib.colormaps["magma_r"].with_extremes(bad="#d0d3d6")
    known = found.values[np.isfinite(found.values)]
    highest = float(np.quantile(known, _DARKEST)) if len(known) else 1.0
    n_bases = len(found.region)
    return axes.imshow(
        found.values,
        cmap=colours,
        vmin=0,
        vmax=max(highest, 1e-6),
        interpolation="nearest",
        extent=(-0.5, n_bases - 0.5, n_bases - 0.5, -0.5),
    )
