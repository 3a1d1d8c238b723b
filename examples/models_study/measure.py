"""Every score of every model on a set of labels, beside baselines that know no sequence.

    python measure.py LABELS.tsv STORE... --models name=FOLDER... -o areas.tsv
        [--nulls nulls.npz] [--genes FILE] [--within BED] [--stretch N] [--cut-every N]

Comparisons, as far as the labels allow: missense and nonsense against synonymous; radical against
conservative changes of amino acids; pathogenic against common, and bases that no row of the
alignment has against those that some have, both over all and within missense. Each over all
variants, within transitions, transversions and CpG transitions, and within types of change, whose
mean (weighted by positives) is ``within types``.
Intervals are 95 %, by drawing whole genes, or stretches of N positions where there are few genes;
differences are from the first score, from the same draws.

A folder with ``{gene}`` in its name is another for each gene. ``--cut-every N`` ends the context
after every N positions, as for exons that are scored alone: half of 86,249 coding exons of human
genes are at most 126 long.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import torch
from areas import Area, Comparison, Draws, measure, subsets
from genes import base_counts, codings, reference_bases
from likelihood import named
from null_models import NullModel, read_nulls, table_classes
from numpy.typing import NDArray
from predictions import Predictor
from scores import SCORES, class_alone, column_log_frequency, type_alone, variant_scores

from phylotools.evaluate.metrics import Estimate
from phylotools.io.bases import BASES
from phylotools.io.bed import read_bed
from phylotools.io.intervals import contains
from phylotools.io.regions import Region
from phylotools.store.read import ColumnStore, open_store

Labels = dict[str, NDArray[Any]]
Wanted = tuple[str, tuple[tuple[str, str, bool], ...], str, str, str]
#: Name, columns that must have or must not have a value, and what is to rank low against what.
COMPARISONS: tuple[Wanted, ...] = (
    ("missense", (), "consequence", "missense", "synonymous"),
    ("nonsense", (), "consequence", "nonsense", "synonymous"),
    ("radical", (), "severity", "radical", "conservative"),
    ("pathogenic", (), "label", "pathogenic", "common"),
    ("pathogenic outside CYB", (("gene", "CytB", False),), "label", "pathogenic", "common"),
    ("pathogenic missense", (("consequence", "missense", True),), "label", "pathogenic", "common"),
    ("unseen", (), "label", "unseen", "seen"),
    ("unseen missense", (("consequence", "missense", True),), "label", "unseen", "seen"),
)
#: Scores of the table that is told the reading frame.
TABLE_SCORES = ("llr", "rate-to-alt")


def read_labels(path: Path, within: str | None) -> Labels:
    """Columns of a table of labels, bases as codes, positions 0-based."""
    text = pyarrow.csv.ConvertOptions(
        column_types={"label": "string", "phylop": "string"}, strings_can_be_null=False
    )
    table = pyarrow.csv.read_csv(
        path, parse_options=pyarrow.csv.ParseOptions(delimiter="\t"), convert_options=text
    )
    labels = {name: table[name].to_numpy() for name in table.column_names}
    for name in ("chrom", "ref", "alt", "gene", "consequence", "type", "label", "severity"):
        labels[name] = labels[name].astype(str)
    for name in ("ref", "alt"):
        labels[name] = np.array([BASES.index(base) for base in labels[name]])
    labels["position"] = labels["pos"] - 1
    if within is None:
        return labels
    regions = read_bed(within)
    kept = np.zeros(len(labels["pos"]), bool)
    for contig in np.unique(labels["chrom"]):
        here = labels["chrom"] == contig
        kept[here] = contains(regions.on(str(contig)), labels["position"][here])
    return {name: values[kept] for name, values in labels.items()}


def comparisons(labels: Labels, wanted: Iterable[Wanted] = COMPARISONS) -> Iterator[Comparison]:
    """Those that the labels allow."""
    for name, where, column, low, high in wanted:
        used = np.isin(labels[column], (low, high))
        for key, value, is_wanted in where:
            used &= (labels[key] == value) == is_wanted
        rows = np.flatnonzero(used)
        positive = labels[column][rows] == low
        if positive.any() and not positive.all():
            yield Comparison(name, rows, positive)


class Sites:
    """The sites of labels in their stores.

    Parameters
    ----------
    labels : Labels
    stores : list of ColumnStore
        Each contig is in one of them.
    """

    def __init__(self, labels: Labels, stores: list[ColumnStore]) -> None:
        self.labels = labels
        self.places = [
            (store, contig, np.flatnonzero(labels["chrom"] == contig))
            for store in stores
            for contig in store.contigs
            if (labels["chrom"] == contig).any()
        ]

    def gathered(self, of_contig: Any, width: int) -> NDArray[Any]:
        """Rows of an array [L, width] of each contig, at every label's position."""
        found = np.zeros((len(self.labels["pos"]), width), np.float64)
        for store, contig, rows in self.places:
            found[rows] = of_contig(store, contig)[self.labels["position"][rows]]
        return found


def counts_of_contig(store: ColumnStore, contig: str) -> NDArray[np.int64]:
    return base_counts(store, Region(contig, 0, store.contigs[contig]))


def table_theta(
    table: NullModel, genes: str | None, store: ColumnStore, contig: str
) -> NDArray[np.float32]:
    """Theta of the table at every coding position of a contig, 0 elsewhere."""
    theta = np.zeros((store.contigs[contig], 4), np.float32)
    for coding in codings(store, genes):
        if coding.region.contig == contig:
            bases = reference_bases(store, coding.region)
            classes = torch.from_numpy(table_classes(bases, coding).copy())
            theta[coding.region.start : coding.region.end] = table.theta[classes]
    return theta


def all_scores(sites: Sites, given: argparse.Namespace) -> dict[str, NDArray[np.float64]]:
    """Baselines, the table's scores, and those of every model."""
    labels = sites.labels
    ref, alt = labels["ref"], labels["alt"]
    counts = sites.gathered(counts_of_contig, 4).astype(np.int64)
    scores = {
        "column log-frequency": column_log_frequency(counts, ref, alt),
        "class alone": class_alone(labels["consequence"]),
        "type alone": type_alone(labels["type"], counts, ref, alt),
    }
    if (labels["phylop"] != ".").any():
        scores["phyloP"] = -labels["phylop"].astype(float)

    if given.nulls:
        table = next(null for null in read_nulls(given.nulls) if null.name == "table")
        theta = sites.gathered(partial(table_theta, table, given.genes), 4)
        found = variant_scores(table.substitution, theta.astype(np.float32), ref, alt)
        scores |= {f"table {kind}": found[kind] for kind in TABLE_SCORES}
    for name, predictor in named(given.models, given.cut_every).items():
        for kind, values in predicted_scores(sites, predictor).items():
            scores[f"{name} {kind}"] = values
    return scores


def predicted_scores(sites: Sites, predictor: Predictor) -> dict[str, NDArray[np.float64]]:
    """Every score of a model, by its name."""
    labels = sites.labels
    scores = {name: np.empty(len(labels["pos"])) for name in SCORES}
    for store, contig, of_contig in sites.places:
        for gene in np.unique(labels["gene"][of_contig]).tolist():
            rows = of_contig[labels["gene"][of_contig] == gene]
            theta = predictor.theta(gene, store, contig)[labels["position"][rows]]
            found = variant_scores(
                predictor.model(gene).substitution, theta, labels["ref"][rows], labels["alt"][rows]
            )
            for name, values in found.items():
                scores[name][rows] = values
    return scores


def text(estimate: Estimate) -> list[str]:
    return [f"{value:.4f}" for value in (estimate.value, estimate.low, estimate.high)]


def shown(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def write_areas(path: Path, found: list[Area]) -> None:
    with path.open("w") as handle:
        writer = csv.writer(handle, delimiter="\t", lineterminator="\n")
        writer.writerow(
            [*Area._fields[:5], "auroc", "low", "high", "minus_first", "minus_low", "minus_high"]
        )
        for area in found:
            writer.writerow([*area[:5], *text(area.auroc), *text(area.difference)])


def print_areas(found: list[Area], names: list[str]) -> None:
    """A line a score: its AUROC over all and within types, comparison by comparison."""
    values = {(a.comparison, a.subset, a.score): a.auroc for a in found}
    wanted = dict.fromkeys(a.comparison for a in found)
    print("score", *(f"{c}\t{c} within types" for c in wanted), sep="\t")
    for name in names:
        cells = []
        for comparison in wanted:
            for subset in ("all", "within types"):
                found_here = values.get((comparison, subset, name))
                cells.append("" if found_here is None else shown(found_here))
        print(name, *cells, sep="\t")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labels", type=Path)
    parser.add_argument("stores", nargs="+")
    parser.add_argument("--models", nargs="*", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--nulls", type=Path, help="of null_models.py")
    parser.add_argument("--genes", help="BED or GFF3, for the table; by default every contig")
    parser.add_argument("--within", help="BED of the positions that count")
    parser.add_argument("--cut-every", type=int, default=0, metavar="N", help="positions")
    parser.add_argument("--stretch", type=int, help="positions that are drawn together")
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    labels = read_labels(given.labels, given.within)
    scores = all_scores(Sites(labels, [open_store(path) for path in given.stores]), given)
    cluster = labels["gene"]
    if given.stretch:
        number = (labels["pos"] // given.stretch).astype(str)
        cluster = np.char.add(np.char.add(labels["chrom"], ":"), number)
    draws = Draws(cluster, given.replicates)
    found = []
    for comparison in comparisons(labels):
        parts = list(
            subsets(comparison, labels["type"], labels["transition"] == 1, labels["cpg"] == 1)
        )
        found += list(measure(comparison, scores, parts, draws))
    write_areas(given.output, found)
    print_areas(found, list(scores))


if __name__ == "__main__":
    main()
