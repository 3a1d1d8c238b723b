"""Functional constraint: scores of every coding SNV of the human mitochondrion by consequence.

python figure_2b.py OUTPUT      (half a minute of one core)

Every SNV of the thirteen protein genes is scored by `mammals671-mtdna`, its consequence found by
`bcftools csq` with the vertebrate mitochondrial code. Left: all of them by consequence. Right:
missense ones alone, those of patients (ClinVar, MITOMAP) against common ones (gnomAD).

Writes figure_2b.tsv (AUROC with intervals over whole sites), figure_2b.svg and figure_2b.png.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import phylotools
from phylotools.drawing import COLOURS, GREY, GUIDE, figure_with_footer, picture_style, save_figure
from phylotools.evaluate.csq import csq_factors
from phylotools.evaluate.labelled import Variants
from phylotools.evaluate.metrics import compare_scores
from phylotools.io.bed import read_bed
from phylotools.io.delimited import tsv_lines

DATA = Path(__file__).parents[1] / "human_mtdna" / "data"
MODEL = "mammals671-mtdna"
SHOWN = ("stop_gained", "missense", "synonymous")
HEADER = ("comparison", "positives", "negatives", "auroc", "low", "high")


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    variants, labels = coding_snvs()
    with tempfile.TemporaryDirectory() as folder:
        gff = genes_as_gff(Path(folder) / "genes.gff3")
        consequences = csq_factors(variants, str(gff), str(DATA / "chrM.fa"))[0]
    kinds = np.array(consequences.texts)
    model = phylotools.load_model(MODEL)
    rows = [
        ("chrM", position + 1, ref, alt)
        for position, ref, alt in zip(
            variants.positions.tolist(), variants.refs, variants.alts, strict=True
        )
    ]
    scored = phylotools.score_variants(model, rows)
    score = scored.default
    is_missense = kinds == "missense"
    by_consequence = {name: score[kinds == name] for name in SHOWN}
    by_label = {name: score[is_missense & (labels == name)] for name in ("pathogenic", "common")}
    places = variants.positions
    table = [
        compared("stop_gained", "synonymous", score, kinds, places),
        compared("missense", "synonymous", score, kinds, places),
        compared(
            "pathogenic", "common", score[is_missense], labels[is_missense], places[is_missense]
        ),
    ]
    (out / "figure_2b.tsv").write_text("".join(tsv_lines(HEADER, table)))
    with picture_style():
        figure = draw(by_consequence, by_label, table, scored.default_score)
        save_figure(figure, [out / "figure_2b.png", out / "figure_2b.svg"])


def coding_snvs() -> tuple[Variants, NDArray[Any]]:
    """Every SNV of the protein genes, and its label."""
    genes = read_bed(str(DATA / "genes.bed")).on("chrM")
    inside = np.concatenate([np.arange(begin, end) for begin, end in genes.tolist()])
    wanted = set(inside.tolist())
    positions, refs, alts, labels = [], [], [], []
    with gzip.open(DATA / "chrM_all_snvs_labels.tsv.gz", "rt") as lines:
        names = next(lines).rstrip("\n").split("\t")
        for line in lines:
            row = dict(zip(names, line.rstrip("\n").split("\t"), strict=True))
            if int(row["pos"]) - 1 in wanted:
                positions.append(int(row["pos"]) - 1)
                refs.append(row["ref"])
                alts.append(row["alt"])
                labels.append(row["label"])
    index = np.zeros(len(positions), dtype=np.int32)
    places = np.array(positions, dtype=np.int64)
    return Variants(("chrM",), index, places, tuple(refs), tuple(alts)), np.array(labels)


def genes_as_gff(path: Path) -> Path:
    """The protein genes as GFF3: a transcript and a coding sequence each."""
    lines = ["##gff-version 3"]
    for row in (DATA / "genes.bed").read_text().splitlines():
        contig, begin, end, name, _, strand = row.split("\t")
        place = f"{contig}\t.\t{{}}\t{int(begin) + 1}\t{end}\t.\t{strand}\t{{}}\t{{}}"
        lines.append(place.format("mRNA", ".", f"ID={name};gene={name}"))
        lines.append(place.format("CDS", 0, f"ID=CDS:{name};Parent={name}"))
    path.write_text("\n".join(lines) + "\n")
    return path


def compared(
    positive: str, negative: str, score: NDArray[Any], names: NDArray[Any], sites: NDArray[Any]
) -> tuple[Any, ...]:
    """A row of the table: low scores point to the positives."""
    chosen = np.isin(names, (positive, negative)) & ~np.isnan(score)
    is_positive = names[chosen] == positive
    found = compare_scores(-score[chosen][None], is_positive, sites[chosen])
    auroc = found.metrics[0].auroc
    figures = (f"{value:.3f}" for value in (auroc.value, auroc.low, auroc.high))
    return f"{positive} against {negative}", found.n_positive, found.n_negative, *figures


def draw(
    by_consequence: dict[str, NDArray[Any]],
    by_label: dict[str, NDArray[Any]],
    table: list[tuple[Any, ...]],
    score_name: str,
) -> Any:
    """Two panels of histograms with one axis."""
    foot = [
        f"{MODEL}; score: {score_name}; intervals: 95 %, whole sites resampled; the outermost bins "
        "hold what lies beyond"
    ]
    figure = figure_with_footer(7.4, 3.2, foot)
    left, right = figure.subplots(1, 2, sharex=True)
    together = np.concatenate(list(by_consequence.values()))
    low, high = np.nanquantile(together, [0.001, 0.999])
    edges = np.linspace(low, high, 50)
    for axes, sets, colours, title in (
        (left, by_consequence, (COLOURS[1], COLOURS[0], GREY), "every coding SNV"),
        (right, by_label, (COLOURS[1], GREY), "missense, by label"),
    ):
        for (name, values), colour in zip(sets.items(), colours, strict=True):
            values = np.clip(values[~np.isnan(values)], low, high)
            label = f"{name} ({len(values):,})"
            axes.hist(values, edges, density=True, histtype="step", color=colour, label=label)
        axes.axvline(0, **GUIDE)
        axes.set_title(title)
        axes.set_xlabel(f"{score_name} (low = less viable)")
        axes.set_ylabel("density")
        # Room above the curves for the legend and the figures.
        axes.set_ylim(0, 1.75 * axes.get_ylim()[1])
        axes.legend(loc="upper left", bbox_to_anchor=(0, 1), fontsize=7)
    for axes, rows in ((left, table[:2]), (right, table[2:])):
        text = "\n".join(f"{row[0]}:\nAUROC {row[3]} [{row[4]}, {row[5]}]" for row in rows)
        axes.text(0.5, 0.98, text, transform=axes.transAxes, fontsize=7, va="top")
    return figure


if __name__ == "__main__":
    main()
