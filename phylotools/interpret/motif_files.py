"""What is written of patterns: a table, a MEME file, a picture of each beside its match."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.drawing import FOOTER_LOOK, GREY, PICTURE_KINDS, fitting_name, new_figure, wrapped
from phylotools.interpret.motifs import Match, Pattern
from phylotools.io.delimited import tsv_lines
from phylotools.plots.logo import Scale
from phylotools.plots.logo_panels import draw_letters
from phylotools.plots.output import save_pictures

TABLE, MEME, PICTURE, RESULTS = "patterns.tsv", "patterns.meme", "patterns", "modisco.h5"
CONTENTS = frozenset({TABLE, MEME, RESULTS, *(f"{PICTURE}.{kind}" for kind in PICTURE_KINDS)})
COLUMNS = (
    "pattern", "n_seqlets", "length", "consensus", "information_bits",
    "match", "p_value", "q_value", "strand", "overlap",
)  # fmt: skip
#: Patterns that are drawn; the table has all.
MOST_DRAWN = 30
#: In inches.
_WIDTH, _ROW, _TITLE, _FOOT_LINE, _LEFT, _GAP = 8.6, 1.15, 0.36, 0.13, 0.6, 0.35


def write_patterns(
    folder: Path, patterns: Sequence[Pattern], matches: Sequence[Match] | None, footer: str
) -> None:
    """Write table, MEME file and picture into a folder that is being made.

    Parameters
    ----------
    folder : Path
    patterns : sequence of Pattern
    matches : sequence of Match or None
        One each; None where no motifs were given.
    footer : str
    """
    rows = list(_rows(patterns, matches))
    (folder / TABLE).write_text("".join(tsv_lines(COLUMNS, rows)), "utf-8", "replace")
    (folder / MEME).write_text(meme_text(patterns), "utf-8")
    paths = {kind: folder / f"{PICTURE}.{kind}" for kind in PICTURE_KINDS}
    save_pictures(paths, lambda: draw_patterns(patterns, matches, footer))


def _rows(
    patterns: Sequence[Pattern], matches: Sequence[Match] | None
) -> Iterator[tuple[Any, ...]]:
    for number, pattern in enumerate(patterns):
        own = (
            pattern.name, pattern.n_seqlets, len(pattern.probabilities), pattern.consensus,
            float(pattern.information.sum()),
        )  # fmt: skip
        if matches is None:
            yield (*own, None, None, None, None, None)
            continue
        match = matches[number]
        strand = "-" if match.is_reverse else "+"
        yield (*own, match.motif.name, match.p_value, match.q_value, strand, match.overlap)


def meme_text(patterns: Sequence[Pattern]) -> str:
    """Patterns in MEME's minimal format."""
    lines = [
        "MEME version 4", "", "ALPHABET= ACGT", "", "strands: + -", "",
        "Background letter frequencies", "A 0.25 C 0.25 G 0.25 T 0.25", "",
    ]  # fmt: skip
    for pattern in patterns:
        width = len(pattern.probabilities)
        lines += [
            f"MOTIF {pattern.name} {pattern.consensus}",
            f"letter-probability matrix: alength= 4 w= {width} nsites= {pattern.n_seqlets} E= 0",
            *(" ".join(f"{value:.6f}" for value in row) for row in pattern.probabilities),
            "",
        ]
    return "\n".join(lines)


class _Letters:
    """Heights of a logo's letters."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        self._values = values

    def heights(self, scale: Scale) -> NDArray[np.float64]:
        return self._values


def draw_patterns(patterns: Sequence[Pattern], matches: Sequence[Match] | None, footer: str) -> Any:
    """Draw each pattern in a row: what its bases are worth, and the motif that it is most like."""
    drawn = patterns[:MOST_DRAWN]
    left_out = len(patterns) - len(drawn)
    lines = wrapped([footer + (f"   ·   {left_out} more in the table" if left_out else "")], _WIDTH)
    height = _TITLE + len(drawn) * (_ROW + _GAP) + _FOOT_LINE * len(lines) + 0.15
    figure = new_figure(_WIDTH, height, is_arranged=False)
    figure.text(0.1 / _WIDTH, 0.07 / height, "\n".join(lines), va="bottom", **FOOTER_LOOK)
    wide = (_WIDTH - 3 * _LEFT) / 2
    for row, pattern in enumerate(drawn):
        top = _TITLE + row * (_ROW + _GAP)
        axes = figure.add_axes(_box(_LEFT, top, wide, height))
        _draw_logo(axes, pattern.worth, "Worth")
        title = f"{pattern.name}, {pattern.n_seqlets:,} seqlets"
        axes.set_title(title, fontsize=8, weight="bold", loc="left")
        if matches is None:
            continue
        match = matches[row]
        axes = figure.add_axes(_box(2 * _LEFT + wide + _LEFT / 2, top, wide, height))
        probability = match.motif.probabilities
        if match.is_reverse:
            probability = probability[::-1, ::-1]
        safe = np.maximum(probability, 1e-12)
        bits = np.clip(2 + (safe * np.log2(safe)).sum(axis=1), 0, 2)
        _draw_logo(axes, probability * bits[:, None], "Bits")
        strand = ", reverse" if match.is_reverse else ""
        name = fitting_name(match.motif.name, 30)
        axes.set_title(f"{name}{strand}: q = {match.q_value:.2g}", fontsize=8, loc="left")
        if match.q_value > 0.05:
            axes.title.set_color(GREY)
    return figure


def _box(left: float, top: float, wide: float, height: float) -> tuple[float, float, float, float]:
    return left / _WIDTH, 1 - (top + _ROW) / height, wide / _WIDTH, _ROW / height


def _draw_logo(axes: Any, values: NDArray[np.float64], label: str) -> None:
    axes.set_xlim(-0.5, max(len(values), 8) - 0.5)
    draw_letters(axes, "llr", _Letters(values), 0, len(values))
    axes.set_ylabel(label, fontsize=6.5, labelpad=3)
    axes.tick_params(labelsize=6, length=2)
    axes.set_xticks([])
