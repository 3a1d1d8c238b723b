"""The picture of a design: where edits lie, and how sampling or the search went."""

from __future__ import annotations

import math
import textwrap
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from phylotools.design.designs import LIKELIHOOD, Design, Designs
from phylotools.drawing import (
    COLOURS,
    GUIDE,
    SEPARATOR,
    figure_with_footer,
    fitting_name,
)
from phylotools.io.bases import BASE_COLOURS, BASES

#: More lines than that are all of one colour.
_NAMED = 6
_INCHES = 7.2
#: Steps in which labels of neighbouring edits go up.
_LABEL_LEVELS = 3
#: Letters of a line beside an axis.
_LABEL_WIDTH = 26


def draw_designs(found: Designs, facts: dict[str, Any]) -> Any:
    """The figure.

    Parameters
    ----------
    found : Designs
    facts : dict
        What made it, for the footer.
    """
    # The likelihood as the value is one panel, not two.
    panels = 3 if found.what and found.what != LIKELIHOOD else 2
    told = {key: str(value)[:40] for key, value in facts.items() if value and key != "sha256"}
    footer = SEPARATOR.join(f"{key.replace('_', ' ')} {value}" for key, value in told.items())
    figure = figure_with_footer(_INCHES, 1.9 * panels, [footer])
    axes = figure.subplots(panels, 1)
    if len(found.designs) == 1 and found.what:
        _draw_effects(axes[0], found.designs[0], found.what)
    else:
        _draw_edits(axes[0], found.designs)
    if found.what:
        _draw_lines(axes[1], found, 2, found.what, "step")
    if panels == 3:
        _draw_lines(axes[2], found, 3, "log-likelihood ratio\nto the start (nats)", "step")
    if not found.what:
        _draw_lines(axes[1], found, 2, "mean log frequency of\nthe bases drawn", "sweep")
    return figure


def _draw_effects(axes: Any, design: Design, what: str) -> None:
    """Edits of one sequence over its positions, by what each is worth."""
    before, level, highest = -math.inf, 0, 0
    for edit in sorted(design.edits, key=lambda each: each.position):
        colour = BASE_COLOURS[edit.after]
        height = edit.effect or 0.0
        # labels of neighbours would lie upon each other: they go up in steps
        is_near = edit.position - before < len(design.codes) / 25
        before, level = edit.position, (level + 1) % _LABEL_LEVELS if is_near else 0
        highest = max(highest, level)
        offset = 3 + 8 * level
        axes.plot(edit.position + 1, height, marker=".", markersize=4, color=colour)
        axes.vlines(edit.position + 1, 0, height, color=colour, linewidth=1.2)
        axes.annotate(
            f"{BASES[edit.before]}>{BASES[edit.after]}",
            (edit.position + 1, height),
            xytext=(0, offset if height >= 0 else -offset),
            textcoords="offset points",
            ha="center",
            va="bottom" if height >= 0 else "top",
            fontsize=6.5,
            color=colour,
        )
    axes.axhline(0, **GUIDE)
    axes.set_xlim(0, len(design.codes) + 1)
    axes.margins(y=0.2 + 0.15 * highest)
    axes.set_ylabel("what the edit\nis worth")
    axes.set_xlabel("position of the sequence")
    axes.set_title(f"{fitting_name(design.name, 40)}: {len(design.edits)} edits")


def _draw_edits(axes: Any, designs: Sequence[Design]) -> None:
    """Share of sequences that differ from their start, by position and new base."""
    length = max(len(design.codes) for design in designs)
    below = np.zeros(length)
    counts = [Counter[int]() for _ in BASES]
    for design in designs:
        for edit in design.edits:
            counts[edit.after][edit.position] += 1
    for base, colour, count in zip(BASES, BASE_COLOURS, counts, strict=True):
        heights = np.array([count[k] for k in range(length)]) / len(designs)
        axes.bar(np.arange(1, length + 1), heights, 1.0, bottom=below, color=colour, label=base)
        below += heights
    axes.set_xlim(0, length + 1)
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of sequences\nwith an edit")
    axes.set_xlabel("position of the sequence")
    n_edits = float(np.mean([len(design.edits) for design in designs]))
    axes.set_title(f"{len(designs)} sequences, {n_edits:.1f} edits each, by the new base")
    axes.legend(ncols=4, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0, handlelength=1)


def _draw_lines(axes: Any, found: Designs, column: int, what: str, along: str) -> None:
    """A column of the trace, a line for each chain or search."""
    lines: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for row in found.trace.rows:
        lines[str(row[0])].append((int(str(row[1])), float(str(row[column]))))
    is_named = 1 < len(lines) <= _NAMED
    for number, (name, points) in enumerate(lines.items()):
        x, y = zip(*points, strict=True)
        colour = COLOURS[number] if is_named else COLOURS[0]
        axes.plot(
            x,
            y,
            color=colour,
            linewidth=1.0,
            alpha=1.0 if len(lines) <= _NAMED else 0.35,
            marker="." if len(points) <= 40 else None,
            markersize=3,
            label=fitting_name(name),
        )
    if is_named:
        axes.legend(fontsize=6.5)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel(along)
    axes.set_ylabel(what if "\n" in what else textwrap.fill(fitting_name(what, 60), _LABEL_WIDTH))
