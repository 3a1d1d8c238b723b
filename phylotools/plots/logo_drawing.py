"""The picture of a logo: letters or a heat map, the sequence, the rate, and features below."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from phylotools.drawing import (
    FOOTER_LOOK,
    GREY,
    SEPARATOR,
    fitting_name,
    new_figure,
    wrapped,
)
from phylotools.io.features import Feature
from phylotools.io.vcf.alleles import Status
from phylotools.plots.logo import MOST_LETTERS, Scale, SiteProfile
from phylotools.plots.logo_panels import (
    LABELS,
    Lane,
    draw_features,
    draw_heat_map,
    draw_letters,
    draw_rate,
    draw_ticks,
    pack_features,
    write_sequence,
)
from phylotools.plots.marks import Mark, draw_marks, reversed_marks, stacked

#: In inches.
_LEFT, _RIGHT, _TITLE, _FOOT_LINE = 0.72, 0.15, 0.34, 0.13
_LOGO, _SEQUENCE, _TICKS, _RATE, _LANE, _GAP = 1.25, 0.17, 0.25, 0.5, 0.2, 0.12
_MARK = 0.14
_WIDEST = 10.0
_BASES_PER_ROW = 100
#: A line has room for so many, so that one base does not fill it.
_FEWEST_PER_ROW = 12
_TITLE_LOOK: dict[str, Any] = {"fontsize": 9.5, "weight": "bold"}


@dataclass(frozen=True)
class LogoPicture:
    """The content of a logo.

    Attributes
    ----------
    profile : SiteProfile
        On the forward strand.
    scale : Scale
    features : sequence of Feature or None
        None for no annotation.
    reverse : bool
        Show the reverse complement.
    footer : str
    marks : sequence of Mark or None
        Alleles, on the forward strand.
    """

    profile: SiteProfile
    scale: Scale
    features: Sequence[Feature] | None
    reverse: bool
    footer: str
    marks: Sequence[Mark] | None = None

    @property
    def is_heat_map(self) -> bool:
        """Whether there are too many bases for letters."""
        return len(self.profile.region) > MOST_LETTERS

    def shown_profile(self) -> SiteProfile:
        """Along the shown strand."""
        return self.profile.reverse_complement() if self.reverse else self.profile

    def shown_marks(self) -> list[tuple[int, Mark]]:
        """Row and mark, along the shown strand."""
        marks = self.marks or []
        n_bases = len(self.profile.region)
        return stacked(reversed_marks(marks, n_bases) if self.reverse else marks)


def draw_logo(picture: LogoPicture) -> Any:
    """Draw the figure, as letters or, if they could not be read, as a heat map."""
    n_bases = len(picture.profile.region)
    is_heat_map = picture.is_heat_map
    n_rows = 1 if is_heat_map else math.ceil(n_bases / _BASES_PER_ROW)
    per_row = max(math.ceil(n_bases / n_rows), _FEWEST_PER_ROW)
    axis_width = _WIDEST if is_heat_map else min(max(per_row * 0.28, 3.2), _WIDEST)
    colour_bar = 0.75 if is_heat_map else 0.0
    rows = [
        Row(first, min(first + per_row, n_bases), per_row, axis_width)
        for first in range(0, n_bases, per_row)
    ]
    lanes = [_lanes(picture, row) for row in rows]
    marks = picture.shown_marks()
    n_mark_rows = max((row + 1 for row, _ in marks), default=0)
    heights = [_row_height(picture, len(found), n_mark_rows) for found in lanes]
    width = _LEFT + axis_width + colour_bar + _RIGHT
    footer = _footer(picture, width)
    height = _TITLE + sum(heights) + 0.1 + _FOOT_LINE * len(footer)
    figure = new_figure(width, height, is_arranged=False)

    def place(top: float, height_: float, left: float = _LEFT, wide: float = axis_width) -> Any:
        return figure.add_axes(
            (left / width, 1 - (top + height_) / height, wide / width, height_ / height)
        )

    figure.text(_LEFT / width, 1 - 0.08 / height, _title(picture), va="top", **_TITLE_LOOK)
    figure.text(0.1 / width, 0.07 / height, "\n".join(footer), va="bottom", **FOOTER_LOOK)
    shown = picture.shown_profile()
    top = _TITLE
    for row, found, row_height in zip(rows, lanes, heights, strict=True):
        panel = Panels(place, row, picture, shown, marks, n_mark_rows)
        panel.draw(top, found)
        top += row_height
    return figure


@dataclass(frozen=True)
class Row:
    """The part of the shown bases in one line of the picture.

    Attributes
    ----------
    first, last : int
        Half-open, along the shown strand.
    per_row : int
        Bases of a full line.
    width : float
        Inches of a full line.
    """

    first: int
    last: int
    per_row: int
    width: float


def _position(picture: LogoPicture, index: int) -> int:
    """0-based position in the contig of a shown base."""
    region = picture.profile.region
    return region.end - 1 - index if picture.reverse else region.start + index


def _lanes(picture: LogoPicture, row: Row) -> list[Lane]:
    """Features that reach into a line, packed, in coordinates along the shown strand."""
    if picture.features is None:
        return []
    region = picture.profile.region
    local = []
    for feature in picture.features:
        start, end = feature.region.start - region.start, feature.region.end - region.start
        strand = feature.strand
        if picture.reverse:
            start, end = len(region) - end, len(region) - start
            strand = {"+": "-", "-": "+"}.get(strand, strand)
        if start < row.last and end > row.first:
            local.append((start, end, feature.name or feature.kind, strand))
    return pack_features(sorted(local), row.first, row.last, row.per_row / row.width)


def _row_height(picture: LogoPicture, n_lanes: int, n_mark_rows: int) -> float:
    height = _LOGO + _GAP + _RATE + _TICKS + (0 if picture.is_heat_map else _SEQUENCE)
    height += n_mark_rows * _MARK
    return height + (max(n_lanes, 1) * _LANE + _GAP if picture.features is not None else 0) + _GAP


def _title(picture: LogoPicture) -> str:
    region = picture.profile.region
    strand = ", reverse complement" if picture.reverse else ""
    return f"{fitting_name(region.contig, 40)}:{region.start + 1:,}-{region.end:,}{strand}"


def _footer(picture: LogoPicture, width: float) -> list[str]:
    """Lines of the footer, broken to fit `width` inches."""
    notes = {
        str(Status.OUTSIDE_TRAINING): "shaded: outside the model's training regions",
        str(Status.EDGE_PADDED): "shaded: the model's window reaches beyond the contig",
    }
    found = [note for status, note in notes.items() if status in picture.profile.status]
    if picture.marks is not None:
        found.append(f"below the sequence: {len(picture.marks):,} alleles (+ insertion, - other)")
    return wrapped([SEPARATOR.join([picture.footer, *found])], width)


@dataclass(frozen=True)
class Panels:
    """The panels of one line of the picture, from the top.

    Attributes
    ----------
    place : callable
        Makes axes: top and height in inches, and optionally left and width.
    row : Row
    picture : LogoPicture
    shown : SiteProfile
        Along the shown strand.
    marks : list of (int, Mark)
    n_mark_rows : int
    """

    place: Callable[..., Any]
    row: Row
    picture: LogoPicture
    shown: SiteProfile
    marks: list[tuple[int, Mark]]
    n_mark_rows: int

    def draw(self, top: float, lanes: list[Lane]) -> None:
        """Draw the line, which begins so many inches below the top."""
        row, picture = self.row, self.picture
        predictions = self._axes(top, _LOGO)
        if picture.is_heat_map:
            bar = self.place(top, _LOGO, _LEFT + row.width + 0.12, 0.13)
            draw_heat_map(predictions, bar, picture.scale, self.shown)
            _label(predictions, "Base")
        else:
            draw_letters(predictions, picture.scale, self.shown, row.first, row.last)
            _label(predictions, LABELS[picture.scale])
        self._limit(predictions)
        predictions.tick_params(axis="x", bottom=False, labelbottom=False)
        predictions.spines["bottom"].set_visible(False)
        top = self._draw_sequence(top + _LOGO) + _GAP
        rate = self._axes(top, _RATE)
        draw_rate(rate, self.shown.rate, row.first, row.last)
        self._limit(rate)
        _label(rate, "Rate\n(neutral = 1)")
        for axes in (rate,) if picture.is_heat_map else (predictions, rate):
            _shade(axes, self.shown, row)
        _ticks(rate, picture, row)
        if picture.features is not None:
            below = self._axes(top + _RATE + _TICKS, max(len(lanes), 1) * _LANE)
            draw_features(below, lanes)
            if not lanes:
                look = {"fontsize": 6.5, "color": GREY, "transform": below.transAxes}
                below.text(0, 0.5, "no feature here", **look)

    def _draw_sequence(self, top: float) -> float:
        """Draw the sequence, if it can be read, and marks; where they end."""
        size = None
        if not self.picture.is_heat_map:
            size = min(9.0, self.row.width * 72 / self.row.per_row * 1.2)
            row = self.row
            write_sequence(
                self._axes(top, _SEQUENCE), self.shown.reference, row.first, row.last, size
            )
            top += _SEQUENCE
        if self.n_mark_rows:
            height = self.n_mark_rows * _MARK
            draw_marks(self._axes(top, height), self.marks, self.n_mark_rows, size)
            top += height
        return top

    def _axes(self, top: float, height: float) -> Any:
        axes = self.place(top, height)
        self._limit(axes)
        return axes

    def _limit(self, axes: Any) -> None:
        axes.set_xlim(self.row.first - 0.5, self.row.first + self.row.per_row - 0.5)


def _label(axes: Any, text: str) -> None:
    axes.set_ylabel(text, fontsize=7, labelpad=4)
    axes.tick_params(axis="y", labelsize=7, length=2.5)
    # One line for all panels of the picture.
    axes.yaxis.set_label_coords(-0.42, 0.5, transform=_inches_beside(axes))


def _inches_beside(axes: Any) -> Any:
    """x in inches from the left edge of the panel, y as part of its height."""
    from matplotlib.transforms import Affine2D, ScaledTranslation, blended_transform_factory

    figure = axes.figure
    left = ScaledTranslation(axes.get_position().x0, 0, figure.transFigure)
    inches = Affine2D() + figure.dpi_scale_trans + left
    return blended_transform_factory(inches, axes.transAxes)


def _shade(axes: Any, shown: SiteProfile, row: Row) -> None:
    """Shade sites whose status is not ``ok``."""
    flagged = [status != Status.OK for status in shown.status[row.first : row.last]]
    edges = np.flatnonzero(np.diff([False, *flagged, False]))
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        axes.axvspan(
            row.first + start - 0.5,
            row.first + end - 0.5,
            facecolor="#e4e4e7",
            edgecolor="none",
            alpha=0.7,
            zorder=0,
        )


def _ticks(axes: Any, picture: LogoPicture, row: Row) -> None:
    places = {index: _position(picture, index) + 1 for index in range(row.first, row.last)}
    draw_ticks(axes, places, row.per_row / row.width)
