"""Embeddings of windows in two dimensions, coloured by annotation, and whether labels lie apart.

python figure_2d.py OUTPUT [--quick]      (two minutes of one core; UMAP if umap-learn is there)

Three models on three annotations: windows of human mtDNA (genes, tRNA, rRNA, control region),
windows of the dengue genome (parts of the polyprotein), and single coding bases of 90 human genes
(codon positions). Below each picture stands what a picture cannot say: how many of the nearest
neighbours, 500 bases away or more, have the same label, and the same of labels that were moved
along the genome.

Writes figure_2d.svg, figure_2d.png and summary.tsv.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phylotools.drawing import COLOURS, figure_with_footer, picture_style, save_figure
from phylotools.io.delimited import tsv_lines
from phylotools.io.genome import ReferenceGenome
from phylotools.model.registry import load_model
from phylotools.plots.embedding import Projection, project
from phylotools.plots.labels import NO_CLASS, LabelFile
from phylotools.plots.windows import draw_windows, embed_windows

DATA = Path(__file__).parent / "data"
#: Bases between windows that may be neighbours: more than these models see.
APART = 500
REST = "#c3c7cc"


@dataclass(frozen=True)
class Panel:
    """One model on one annotation.

    Attributes
    ----------
    title, model : str
    labels : Path
    n, width : int
        Windows that are drawn, and their bases.
    fasta : str or None
    """

    title: str
    model: str
    labels: Path
    n: int
    width: int
    fasta: str | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--quick", action="store_true", help="Few windows, PCA: a trial.")
    given = parser.parse_args()
    out: Path = given.output
    out.mkdir(parents=True, exist_ok=True)
    has_umap = importlib.util.find_spec("umap") is not None and not given.quick
    with tempfile.TemporaryDirectory() as folder:
        found = [
            (panel, projected(panel, "umap" if has_umap else "pca"))
            for panel in panels(Path(folder), 60 if given.quick else 1500)
        ]
    write_summary(out / "summary.tsv", found)
    with picture_style():
        figure = draw(found)
        save_figure(figure, [out / "figure_2d.svg", out / "figure_2d.png"])


def panels(folder: Path, n: int) -> list[Panel]:
    coding = load_model("mammals-coding").folder / "transcripts.fa"
    return [
        Panel("mtDNA, 100 bases", "mammals671-mtdna", DATA / "mtdna_kinds.bed", n, 100),
        Panel("Dengue, 100 bases", "dengue1509", DATA / "dengue_kinds.bed", n, 100),
        Panel("Coding bases", "mammals-coding", codon_positions(coding, folder), n, 1, str(coding)),
    ]


def codon_positions(fasta: Path, folder: Path) -> Path:
    """A BED that says of each base of coding sequences which of its codon it is."""
    path = folder / "codon_positions.bed"
    with ReferenceGenome.open(fasta) as genome, path.open("w") as handle:
        for name, length in genome.contigs.items():
            for k in range(length):
                handle.write(f"{name}\t{k}\t{k + 1}\tposition {k % 3 + 1}\n")
    return path


def projected(panel: Panel, method: Any) -> Projection:
    """Embed windows of the model's genome and project them."""
    model = load_model(panel.model)
    with ReferenceGenome.open(model.choose_reference(panel.fasta)) as genome:
        windows = draw_windows(genome, None, panel.n, panel.width, seed=1)
        embedded = embed_windows(model, genome, windows, threads=1)
    return project(embedded, method, labels=LabelFile(str(panel.labels)), apart=APART, seed=1)


def write_summary(path: Path, found: list[tuple[Panel, Projection]]) -> None:
    header = ["model", "label", "windows", "figure", "value", "null", "low", "high", "p"]
    rows = []
    for panel, projection in found:
        judged = projection.separation
        assert judged is not None
        counts = dict(zip(judged.names, judged.counts, strict=True))
        figures = {name: ("purity", each) for name, each in judged.by_class.items()}
        figures |= {"all": ("purity", judged.purity), "all ": ("silhouette", judged.silhouette)}
        for name, (what, each) in figures.items():
            count = counts.get(name, sum(counts.values()))
            numbers = (each.value, each.null, each.low, each.high, each.p)
            rows.append([panel.model, name.strip(), count, what, *numbers])
    path.write_text("".join(tsv_lines(header, rows)), encoding="utf-8")


def draw(found: list[tuple[Panel, Projection]]) -> Any:
    methods = {projection.method for _, projection in found}
    notes = (
        f"{', '.join(sorted(methods)).upper()} of embeddings   ·   below: share of the 15 nearest, "
        f"{APART} bases away or more, with the same label; grey: labels moved along the genome"
    )
    figure = figure_with_footer(11.4, 6.2, [notes])
    axes = figure.subplots(2, len(found), height_ratios=[3, 1.5])
    for (panel, projection), above, below in zip(found, axes[0], axes[1], strict=True):
        names = sorted(set(projection.classes) - {NO_CLASS})
        colour = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(names)}
        points, classes = projection.points, np.array(projection.classes)
        for name in (NO_CLASS, *names):
            rows = classes == name
            above.scatter(*points[rows].T, s=5, linewidths=0, c=colour.get(name, REST), alpha=0.8)
        above.set(xticks=[], yticks=[], title=f"{panel.title}\n{panel.model}")
        above.set_box_aspect(1)
        judge(below, projection, colour)
    return figure


def judge(axes: Any, projection: Projection, colour: dict[str, str]) -> None:
    judged = projection.separation
    assert judged is not None
    rows = [*judged.by_class.items(), ("all", judged.purity), ("silhouette", judged.silhouette)]
    for place, (name, each) in enumerate(rows):
        axes.plot([each.low, each.high], [place, place], color=REST, linewidth=5)
        axes.plot([each.value], [place], "o", color=colour.get(name, "#444444"), markersize=5)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(labelsize=7)


if __name__ == "__main__":
    main()
