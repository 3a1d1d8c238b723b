"""The likelihood of held-out columns under trained models and under those without a network.

    python likelihood.py STORE... --nulls nulls.npz --held-out BED \\
        --models name=FOLDER... -o likelihood.tsv

Writes nats a column of each gene, and prints the mean over columns with 95 % intervals by drawing
genes or stretches of them, beside the difference from the table that is told the reading frame,
from the same draws.
A folder is a model's or a run's; with ``{gene}`` in its name it is another for each gene. Without
``--held-out`` all coding columns are taken.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from genes import codings
from null_models import Columns, NullModel, columns_of, conditional, plan_of, read_nulls
from numpy.typing import NDArray
from predictions import Predictor

from phylotools.evaluate.metrics import INTERVAL
from phylotools.io.bed import read_bed
from phylotools.io.regions import RegionSet
from phylotools.store.read import ColumnStore, open_store
from phylotools.threads import set_threads

REPLICATES = 2000
BASELINE = "table"


class Unit(NamedTuple):
    """Sums over the columns of a gene or a stretch of it, nats, by model.

    Attributes
    ----------
    store, gene : str
    n_columns : int
    sums : dict of str to float
    """

    store: str
    gene: str
    n_columns: int
    sums: dict[str, float]


def pieces(columns: Columns, length: int | None) -> list[Columns]:
    """Columns cut into stretches of about so many; whole without a length."""
    n_pieces = max(1, round(len(columns.positions) / length)) if length else 1
    rows = np.arange(len(columns.positions))
    return [columns.chosen(part) for part in np.array_split(rows, n_pieces)]


def units_of(
    store: ColumnStore,
    given: argparse.Namespace,
    held_out: RegionSet | None,
    nulls: list[NullModel],
    models: dict[str, Predictor],
) -> list[Unit]:
    """Every gene of a store that has held-out columns, or its stretches."""
    plan = plan_of(store)
    found = []
    for coding in codings(store, given.genes):
        contig = coding.region.contig
        columns = columns_of(store, coding)
        if held_out is not None:
            columns = columns.where(held_out, contig, inside=True)
        if not len(columns.positions):
            continue
        for piece in pieces(columns, given.stretch):
            sums = {null.name: float(null.log_likelihoods(piece, plan).sum()) for null in nulls}
            for name, predictor in models.items():
                theta = predictor.theta(coding.gene, store, contig)[piece.positions]
                substitution = predictor.model(coding.gene).substitution
                values = conditional(piece, torch.from_numpy(theta), plan, substitution)
                sums[name] = float(values.sum())
            found.append(Unit(store.path.name, coding.gene, len(piece.positions), sums))
    return found


def interval(
    sums: NDArray[np.float64], n_columns: NDArray[np.int64], seed: int = 1
) -> tuple[float, float, float]:
    """Mean a column and its 95 % interval by drawing genes."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(sums), size=(REPLICATES, len(sums)))
    means = sums[drawn].sum(axis=1) / n_columns[drawn].sum(axis=1)
    low, high = np.percentile(means, INTERVAL)
    return float(sums.sum() / n_columns.sum()), float(low), float(high)


def summary(found: list[Unit]) -> Iterator[list[str]]:
    """Store, model, units, columns, nats a column, and those less the baseline's."""
    for store in dict.fromkeys(unit.store for unit in found):
        here = [unit for unit in found if unit.store == store]
        n_columns = np.array([unit.n_columns for unit in here])
        base = np.array([unit.sums.get(BASELINE, np.nan) for unit in here])
        for name in here[0].sums:
            sums = np.array([unit.sums[name] for unit in here])
            texts = [
                "{:.3f} [{:.3f}, {:.3f}]".format(*interval(values, n_columns))
                for values in (sums, sums - base)
            ]
            yield [store, name, str(len(here)), str(n_columns.sum()), *texts]


def write_units(path: Path, found: list[Unit]) -> None:
    with path.open("w") as handle:
        writer = csv.writer(handle, delimiter="\t", lineterminator="\n")
        writer.writerow(["store", "gene", "columns", *found[0].sums])
        for unit in found:
            means = [f"{value / unit.n_columns:.4f}" for value in unit.sums.values()]
            writer.writerow([unit.store, unit.gene, unit.n_columns, *means])


def named(texts: list[str], cut_every: int = 0) -> dict[str, Predictor]:
    """Models given as name=folder, or as folders that are their names."""
    pairs = [text.partition("=") for text in texts]
    return {
        name if path else Path(name).name: Predictor(path or name, cut_every)
        for name, _, path in pairs
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stores", nargs="+")
    parser.add_argument("--genes", help="BED or GFF3; by default every contig is coding")
    parser.add_argument("--held-out", help="BED")
    parser.add_argument("--stretch", type=int, help="columns drawn together; by default a gene's")
    parser.add_argument("--nulls", type=Path, required=True)
    parser.add_argument("--models", nargs="*", default=[], metavar="NAME=FOLDER")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    set_threads(1)
    held_out = read_bed(given.held_out) if given.held_out else None
    nulls, models = read_nulls(given.nulls), named(given.models)
    found = []
    for path in given.stores:
        found += units_of(open_store(path), given, held_out, nulls, models)
        print(path, "done", file=sys.stderr)
    write_units(given.output, found)
    print("store", "model", "drawn", "columns", "nats a column", f"minus {BASELINE}", sep="\t")
    for line in summary(found):
        print(*line, sep="\t")


if __name__ == "__main__":
    main()
