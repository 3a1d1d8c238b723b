"""The figures of docs/objectives-study.md.

python draw_arms.py arms FOLDER -o objectives_arms.png                  every arm on every set
python draw_arms.py differences FOLDER -o objectives_differences.png    phylogenetic less masked

FOLDER holds what measure_arms.py wrote.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from arms import LABELS
from page_tables import COLUMNS, WITHIN, Row, read_rows
from sets import SITE

from phylotools.drawing import COLOURS, GREY, GUIDE, PALE, new_figure, picture_style, save_picture

TITLES = {
    "mammals": "mammals, genes never seen",
    "mtdna-left-out": "mitochondrion, genes left out",
    "mtdna": "mitochondrion, trained on",
    "dengue": "dengue, regions left out",
    "birds": "birds, chromosomes left out",
}
#: Score -> colour, marker, whether it is filled.
_BLUE, _RED, _GREEN, _BLACK = COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[6]
STYLES = {
    "table rate-to-alt": (GREY, "|", True),
    "site-fits fixation": (GREY, "x", True),
    "f81-prior fixation": (COLOURS[5], "o", True),
    "f81-free fixation": (COLOURS[5], "s", True),
    "f81-fixed fixation": (COLOURS[5], "^", True),
    "mutsel fixation": (_BLUE, "o", True),
    "mutsel-any-row fixation": (_BLUE, "D", True),
    "both fixation": (_GREEN, "o", True),
    "both-any-row fixation": (_GREEN, "D", True),
    "mlm llr": (_RED, "o", True),
    "mlm-any-row llr": (_RED, "D", True),
}
#: Pair -> colour, marker.
PAIRS = {
    "mutsel fixation - mlm llr": (_BLUE, "o", "mutation-selection less masked, default scores"),
    "mutsel llr - mlm llr": (COLOURS[5], "o", "the same, LLR of both"),
    "mutsel-any-row fixation - mlm-any-row llr": (_BLUE, "D", "any row, default scores"),
    "mutsel-any-row llr - mlm-any-row llr": (COLOURS[5], "D", "any row, LLR of both"),
    "both-any-row fixation - mutsel-any-row fixation": (_GREEN, "D", "both less phylogenetic"),
}


def _label(comparison: str, subset: str) -> str:
    name = comparison.removeprefix(SITE)
    return f"{name}\n(within types)" if subset == WITHIN else name


def _panel(axes: Any, rows: list[Row], name: str, styles: dict[str, Any]) -> None:
    """Points and intervals, a line of the panel for each comparison."""
    columns = [c for c in COLUMNS[name] if any(_is(row, name, c) for row in rows)]
    height = 0.8 / max(len(styles), 1)
    for line, column in enumerate(columns):
        if line % 2 == 0:
            axes.axhspan(line - 0.5, line + 0.5, color=PALE, zorder=0, linewidth=0)
        own = {row["score"]: row for row in rows if _is(row, name, column)}
        for place, (score, style) in enumerate(styles.items()):
            if score not in own:
                continue
            value, low, high = (float(own[score][key]) for key in ("value", "low", "high"))
            y = line - 0.4 + (place + 0.5) * height
            axes.plot([low, high], [y, y], color=style[0], linewidth=1.1, zorder=2)
            axes.plot(value, y, style[1], color=style[0], markersize=3.6, zorder=3)
    axes.set_yticks(range(len(columns)), [_label(*column) for column in columns])
    axes.set_ylim(len(columns) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0, labelsize=7)
    axes.set_title(TITLES[name])


def _is(row: Row, name: str, column: tuple[str, str]) -> bool:
    return (row["set"], row["comparison"], row["subset"]) == (name, *column)


def draw(rows: list[Row], styles: dict[str, Any], labels: dict[str, str], axis: str) -> Any:
    """A panel a set."""
    names = [name for name in TITLES if any(row["set"] == name for row in rows)]
    figure = new_figure(10.5, 2.9 * ((len(names) + 2) // 2))
    grid = figure.subplots((len(names) + 2) // 2, 2, squeeze=False).ravel()
    for axes, name in zip(grid, names, strict=False):
        _panel(axes, rows, name, styles)
        axes.set_xlabel(axis)
        axes.axvline(0 if "less" in axis else 0.5, **GUIDE)
    for axes in grid[len(names) :]:
        axes.axis("off")
    handles = [
        grid[-1].plot([], [], style[1], color=style[0], markersize=5, label=labels[score])[0]
        for score, style in styles.items()
        if any(row["score"] == score for row in rows)
    ]
    grid[len(names)].legend(handles=handles, loc="center left")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figure", choices=("arms", "differences"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    with picture_style():
        if given.figure == "arms":
            labels = {score: LABELS[score.rpartition(" ")[0]] for score in STYLES}
            rows = read_rows(given.folder / "areas.tsv")
            figure = draw(rows, STYLES, labels, "AUROC")
        else:
            labels = {pair: style[2] for pair, style in PAIRS.items()}
            rows = read_rows(given.folder / "differences.tsv")
            figure = draw(rows, PAIRS, labels, "AUROC, the first less the second")
        save_picture(figure, given.output, "png", dpi=130)


if __name__ == "__main__":
    main()
