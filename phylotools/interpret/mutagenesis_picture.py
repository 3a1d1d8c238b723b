"""The picture of an in-silico mutagenesis: what each base is worth, and what each change does."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.drawing import FOOTER_LOOK, GREY, fitting_name, new_figure, wrapped
from phylotools.io.bases import BASES, N
from phylotools.io.features import Feature
from phylotools.io.regions import Region
from phylotools.plots.logo import MOST_LETTERS, Scale
from phylotools.plots.logo_panels import (
    draw_features,
    draw_letters,
    draw_ticks,
    pack_features,
    write_sequence,
)

#: In inches.
_LEFT, _RIGHT, _TITLE, _FOOT_LINE = 0.8, 0.85, 0.34, 0.13
_LOGO, _HEAT, _SEQUENCE, _TICKS, _LANE, _GAP = 0.9, 0.62, 0.17, 0.28, 0.2, 0.08
_WIDEST = 10.0
_BASES_PER_ROW, _FEWEST_PER_ROW = 100, 12
#: What is larger has the darkest colour.
_DARKEST = 0.998
_TITLE_LOOK: dict[str, Any] = {"fontsize": 9.5, "weight": "bold"}
#: What the colours are of, by effect.
LABELS = {
    "log_likelihood": "Change of the\nlog-likelihood (nats)",
    "neighbours": "Change of the neighbours'\nlog-likelihood (nats)",
    "entropy": "Change of the\nsummed entropy (nats)",
    "log_rate": "Change of the\nsummed log rate",
    "influence": "Mean largest change\nof log odds (nats)",
    "llr": "LLR (nats)",
    "tuned": "Change of the\nhead's score",
}


@dataclass(frozen=True)
class MutagenesisPicture:
    """The content of a picture.

    Attributes
    ----------
    region : Region
    reference : uint8 array [L]
        Codes; 4 for N.
    effect : str
        A key of `LABELS`.
    values : float array [L, 4]
        Effect of A, C, G, T in each place; 0 for the base that stands there, NaN at N.
    features : sequence of Feature or None
        None for no annotation.
    footer : str
    """

    region: Region
    reference: NDArray[np.uint8]
    effect: str
    values: NDArray[np.floating[Any]]
    features: Sequence[Feature] | None
    footer: str

    def heights(self, scale: Scale) -> NDArray[np.float64]:
        """What each base is worth: minus the mean effect of the others, float64 [L, 4].

        Letters point up where replacing the base lowers what is looked at.
        """
        found = np.zeros(self.values.shape)
        rows = np.flatnonzero(self.reference != N)
        found[rows, self.reference[rows]] = -self.values[rows].sum(axis=1) / 3
        return found


def draw_mutagenesis(picture: MutagenesisPicture) -> Any:
    """Draw the figure: letters above colours, or colours alone if letters could not be read."""
    n_bases = len(picture.region)
    has_letters = n_bases <= MOST_LETTERS
    n_rows = math.ceil(n_bases / _BASES_PER_ROW) if has_letters else 1
    per_row = max(math.ceil(n_bases / n_rows), _FEWEST_PER_ROW)
    axis_width = min(max(per_row * 0.28, 3.2), _WIDEST) if has_letters else _WIDEST
    per_inch = per_row / axis_width
    rows = [(first, min(first + per_row, n_bases)) for first in range(0, n_bases, per_row)]
    lanes = [_lanes(picture, first, last, per_inch) for first, last in rows]
    fixed = (_LOGO + _GAP + _SEQUENCE if has_letters else 0) + _HEAT + _TICKS + _GAP
    below = [0.0 if picture.features is None else max(len(f), 1) * _LANE + _GAP for f in lanes]
    width = _LEFT + axis_width + _RIGHT
    lines = wrapped([picture.footer], width)
    height = _TITLE + len(rows) * fixed + sum(below) + 0.1 + _FOOT_LINE * len(lines)
    figure = new_figure(width, height, is_arranged=False)

    def place(top: float, tall: float, left: float = _LEFT, wide: float = axis_width) -> Any:
        box = (left / width, 1 - (top + tall) / height, wide / width, tall / height)
        return figure.add_axes(box)

    region = picture.region
    title = f"{fitting_name(region.contig, 40)}:{region.start + 1:,}-{region.end:,}"
    figure.text(_LEFT / width, 1 - 0.08 / height, title, va="top", **_TITLE_LOOK)
    figure.text(0.1 / width, 0.07 / height, "\n".join(lines), va="bottom", **FOOTER_LOOK)
    top = _TITLE
    for (first, last), found, extra in zip(rows, lanes, below, strict=True):
        row = _Row(picture, first, last, per_row, per_inch, place)
        row.draw(top, found, has_letters=has_letters, bar_left=_LEFT + axis_width + 0.12)
        top += fixed + extra
    return figure


def _lanes(picture: MutagenesisPicture, first: int, last: int, per_inch: float) -> list[Any]:
    start = picture.region.start
    local = [
        (f.region.start - start, f.region.end - start, f.name or f.kind, f.strand)
        for f in picture.features or ()
    ]
    here = sorted(f for f in local if f[0] < last and f[1] > first)
    return pack_features(here, first, last, per_inch)


@dataclass(frozen=True)
class _Row:
    """One line of the picture: the bases from `first` to `last`."""

    picture: MutagenesisPicture
    first: int
    last: int
    per_row: int
    per_inch: float
    place: Callable[..., Any]

    def draw(self, top: float, lanes: list[Any], *, has_letters: bool, bar_left: float) -> None:
        picture = self.picture
        if has_letters:
            axes = self._axes(top, _LOGO)
            draw_letters(axes, "llr", picture, self.first, self.last)
            axes.set_ylabel("Worth of the base", fontsize=7, labelpad=4)
            axes.tick_params(axis="y", labelsize=7, length=2.5)
            axes.tick_params(axis="x", bottom=False, labelbottom=False)
            axes.spines["bottom"].set_visible(False)
            top += _LOGO + _GAP
            size = min(9.0, 72 / self.per_inch * 1.2)
            letters = self._axes(top, _SEQUENCE)
            write_sequence(letters, picture.reference, self.first, self.last, size)
            top += _SEQUENCE
        axes = self._axes(top, _HEAT)
        image = _draw_colours(axes, picture)
        self._limit(axes)
        start = picture.region.start
        places = {index: start + index + 1 for index in range(self.first, self.last)}
        draw_ticks(axes, places, self.per_inch)
        bar = self.place(top, _HEAT, bar_left, 0.1)
        axes.figure.colorbar(image, cax=bar, extend="both")
        bar.tick_params(labelsize=6, length=2)
        bar.set_ylabel(LABELS[picture.effect], fontsize=5.5)
        top += _HEAT + _TICKS
        if picture.features is not None:
            axes = self._axes(top, max(len(lanes), 1) * _LANE)
            draw_features(axes, lanes)
            if not lanes:
                look = {"fontsize": 6.5, "color": GREY, "transform": axes.transAxes}
                axes.text(0, 0.5, "no feature here", **look)

    def _axes(self, top: float, tall: float) -> Any:
        axes = self.place(top, tall)
        self._limit(axes)
        return axes

    def _limit(self, axes: Any) -> None:
        axes.set_xlim(self.first - 0.5, self.first + self.per_row - 0.5)


def _draw_colours(axes: Any, picture: MutagenesisPicture) -> Any:
    """Draw the effects of all changes, a row for each base; the base itself is left white."""
    import matplotlib

    values = np.array(picture.values, dtype=np.float64)
    known = np.abs(values[np.isfinite(values)])
    largest = max(float(np.quantile(known, _DARKEST)) if len(known) else 1.0, 1e-6)
    rows = np.flatnonzero(picture.reference != N)
    values[rows, picture.reference[rows]] = np.nan
    colours = matplotlib.colormaps["PuOr"].with_extremes(bad="white")
    image = axes.imshow(
        np.repeat(values.T, 16, axis=0),
        aspect="auto",
        cmap=colours,
        vmin=-largest,
        vmax=largest,
        interpolation="nearest",
        extent=(-0.5, len(values) - 0.5, 3.5, -0.5),
    )
    axes.set_yticks(range(4), list(BASES))
    axes.tick_params(axis="y", labelsize=6.5, length=0)
    return image
