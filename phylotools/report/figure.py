"""The picture of a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from phylotools.drawing import fitting_name, new_figure, picture_style, save_figure
from phylotools.report.panels import draw_depth, draw_gaps, draw_identity
from phylotools.report.quality import AlignmentQuality
from phylotools.report.strips import content_legend, draw_strips, plan_strips

#: In inches.
_EDGE, _TITLE, _LEGEND = 0.25, 0.25, 0.35
_PANEL_WIDTH, _PANEL_HEIGHT = 3.9, 2.3
_LEFT_OF_PANEL, _BELOW_PANEL, _ABOVE_PANEL = 0.75, 0.5, 0.3
#: Rows that are at least so high together have the panels beside them, not above.
_TALL = 6.5
#: Larger pictures become too large to open.
_MOST_PIXELS = 6000


def draw_report(quality: AlignmentQuality, paths: Sequence[Path]) -> None:
    """Draw the figure and save it under each path, in the format of its suffix.

    Parameters
    ----------
    quality : AlignmentQuality
    paths : sequence of Path
    """
    with picture_style(svg_text="path"):
        figure = make_figure(quality)
        dpi = int(min(160, _MOST_PIXELS / max(figure.get_size_inches())))
        save_figure(figure, paths, dpi=dpi)


def make_figure(quality: AlignmentQuality) -> Any:
    """The figure, not yet saved; within `picture_style`."""
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
    content_legend(
        figure, (_EDGE / width, (_EDGE * 0.6) / total), layout, with_absent=_has_absent(quality)
    )
    for number, draw in enumerate((draw_depth, draw_identity, draw_gaps)):
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


def _has_absent(quality: AlignmentQuality) -> bool:
    return any(row.is_absent for row in quality.species)


def _title(quality: AlignmentQuality) -> str:
    n_contigs = len(quality.contigs)
    return (
        f"{fitting_name(Path(quality.path).name, 60)}: {quality.columns:,} columns of "
        f"{fitting_name(quality.reference_species, 40)} on {n_contigs:,} "
        f"{'contig' if n_contigs == 1 else 'contigs'}, {len(quality.species):,} species, "
        f"{quality.mean_species:.1f} with a base in a column"
    )
