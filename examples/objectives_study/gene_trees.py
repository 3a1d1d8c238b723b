"""One tree for all genes against a tree for each gene.

    python gene_trees.py WORK [--seeds 1 2 3] [--preset small] [--steps N] [-o FILE]

Fits both to the training genes and to the first half of each held-out gene, trains the default arm
under either, and prints nats a column of the second halves: of each training under either kind of
tree, with 95 % intervals by drawing genes and seeds. What it has made is kept.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from areas import Draws
from arms import LABELS, TREES
from configurations import Tables
from grid import SEEDS, Job, run, tested
from likelihood_arms import TestedColumns, tested_columns
from measure_arms import BySeed, difference, figures, write_table
from null_models import MINIMUM_BRANCH_LENGTH, conditional
from numpy.typing import NDArray
from predictions_file import Predictions, read_predictions
from sets import REPLICATES
from splits import GENES, Split

from phylotools.phylogeny.likelihood import PruningPlan, make_plan
from phylotools.phylogeny.tree import parse_newick
from phylotools.store.read import ColumnStore
from phylotools.threads import set_threads as set_likelihood_threads
from phylotools.training.workers import set_threads

ONE, EACH = TREES


def tables_of_trees(split: Split, work: Path) -> dict[str, list[Path]]:
    """For each kind of tree a table for every store: contig, Newick."""
    found: dict[str, list[Path]] = {ONE: [], EACH: []}
    for store in split.stores(work):
        folder = work / "trees" / store.path.stem
        folder.mkdir(parents=True, exist_ok=True)
        one, each = folder / "one.tsv", folder / "each.tsv"
        if not one.exists():
            shown = folder / "shown.bed"
            shown.write_text("".join(f"{c}\t{a}\t{b}\n" for c, a, b in shown_columns(store, split)))
            command = [sys.executable, "-m", "phylotools", "tree", "fit", store.path, "-R", shown]
            command += ["-@", "1", "-q", "--force"]
            subprocess.run([*command, "--by-contig", "-o", each], check=True)
            subprocess.run([*command, "-o", folder / "one.nh"], check=True)
            newick = (folder / "one.nh").read_text().strip()
            one.write_text("".join(f"{contig}\t{newick}\n" for contig in store.contigs))
        found[ONE].append(one)
        found[EACH].append(each)
    return found


def shown_columns(store: ColumnStore, split: Split) -> Iterator[tuple[str, int, int]]:
    """All of the training genes, and the first half of those that are tested."""
    hidden = {region.contig for region in split.regions()}
    for contig, length in store.contigs.items():
        yield contig, 0, length // 2 if contig in hidden else length


def plans(table: Path) -> dict[str, PruningPlan]:
    """The tree of every contig of a table, ready for the likelihood."""
    rows = (line.split("\t") for line in table.read_text().splitlines())
    return {
        row[0]: make_plan(parse_newick(row[-1]).with_minimum_branch_length(MINIMUM_BRANCH_LENGTH))
        for row in rows
        if row[-1].startswith("(")
    }


def second_halves(split: Split, work: Path) -> list[tuple[str, ColumnStore, TestedColumns]]:
    """Contig, store and columns of what no tree was fitted to."""
    stores = split.stores(work)
    places = [(region.contig, store) for store in stores for region in tested(store, split)]
    found = []
    for (contig, store), own in zip(places, tested_columns(split, work), strict=True):
        rows = np.flatnonzero(own.columns.positions >= store.contigs[contig] // 2)
        half = TestedColumns(own.columns.chosen(rows), own.plan, own.row[rows])
        found.append((contig, store, half))
    return found


def sums(
    found: Predictions,
    halves: list[tuple[str, ColumnStore, TestedColumns]],
    trees: dict[str, PruningPlan] | None,
    species: dict[str, tuple[str, ...]],
) -> NDArray[np.float64]:
    """Nats of each contig's columns, under trees or under the store's own."""
    theta = torch.from_numpy(np.concatenate(found.theta))
    values = []
    for contig, store, own in halves:
        columns, plan = own.columns, own.plan
        if trees is not None:
            plan = trees[contig]
            order = [store.species.index(name) for name in species[contig]]
            columns = columns._replace(states=columns.states[:, order])
        values.append(conditional(columns, theta[own.row], plan, found.substitution).sum())
    return np.array(values)


def tips(tables: list[Path]) -> dict[str, tuple[str, ...]]:
    """Species of each contig's tree, in its order."""
    rows = (line.split("\t") for table in tables for line in table.read_text().splitlines())
    return {row[0]: parse_newick(row[-1]).tips for row in rows if row[-1].startswith("(")}


def measured(work: Path, seeds: list[int]) -> Iterator[list[str]]:
    """Training, tree of the test, columns, nats a column, and less one tree in both."""
    split = GENES
    tables = tables_of_trees(split, work)
    halves = second_halves(split, work)
    sizes = np.array([len(own.row) for _, _, own in halves])
    genes = np.array([contig.partition("_")[0] for contig, _, _ in halves])
    draws = Draws(genes, REPLICATES)
    n_genes = draws.weights.shape[1]
    columns = draws.weights @ np.bincount(draws.of_variant, sizes, n_genes)
    found: dict[tuple[str, str], BySeed] = {}
    for tested_by in TREES:
        trees = {c: plan for table in tables[tested_by] for c, plan in plans(table).items()}
        species = tips(tables[tested_by])
        for arm in ("mutsel", *TREES):
            for seed in seeds:
                path = Job(split, arm, seed).path(work)
                if path.exists():
                    values = sums(read_predictions(path), halves, trees, species)
                    by_gene = np.bincount(draws.of_variant, values, n_genes)
                    nats = (draws.weights @ by_gene) / columns
                    found.setdefault((arm, tested_by), {})[seed] = nats
    for (arm, tested_by), by_seed in found.items():
        less = difference(by_seed, found[ONE, ONE])
        label = {"mutsel": "the store's tree"}.get(arm, LABELS[arm])
        yield [label, LABELS[tested_by], str(sizes.sum()), *figures(by_seed), *figures(less)]


FIELDS = ("trained under", "tested under", "columns", "value", "low", "high", "seeds")
LESS = ("less_value", "less_low", "less_high", "less_seeds")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", nargs="*", type=int, default=[*SEEDS])
    parser.add_argument("--preset", default="small")
    parser.add_argument("--steps", type=int)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    set_threads(1)
    set_likelihood_threads(1)
    split = GENES
    for seed in given.seeds:
        run(Job(split, "mutsel", seed), given.work, given.preset, given.steps)
    for kind, tables in tables_of_trees(split, given.work).items():
        more: Tables = {"data": {"trees": [str(table.absolute()) for table in tables]}}
        for seed in given.seeds:
            run(Job(split, kind, seed), given.work, given.preset, given.steps, more)
    output = given.output or given.work / "results" / "gene_trees.tsv"
    output.parent.mkdir(parents=True, exist_ok=True)
    write_table(output, [*FIELDS, *LESS], list(measured(given.work, given.seeds)))
    print(output.read_text(), end="")


if __name__ == "__main__":
    main()
