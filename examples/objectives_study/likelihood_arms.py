"""Nats a column that every arm gives to the tested columns, and differences from the default arm.

    python likelihood_arms.py WORK [--sets ...] -o likelihood.tsv

Of the other species given the reference base. Masked arms have frequencies and no rate: they are
given the one rate for all sites that suits the tested columns best, which is in their favour. A
figure is the mean over seeds; its interval is as in measure_arms.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from areas import Draws
from arms import ARMS, is_masked
from genes import reference_bases, species_bases
from grid import Job, tested
from measure_arms import BySeed, difference, figures, kept_lines, write_table
from null_models import MINIMUM_SPECIES, Columns, conditional, plan_of
from numpy.typing import NDArray
from predictions_file import Predictions, read_predictions
from sets import REPLICATES, SETS, StudySet
from splits import Split
from torch import Tensor

from phylotools.phylogeny.likelihood import PruningPlan
from phylotools.threads import set_threads as set_likelihood_threads

DEFAULT = "mutsel"
#: Logarithms of rates that are tried for a masked arm, and columns on which they are.
_RATES = np.arange(-2.0, 2.51, 0.25)
_TRIED = 3000


class TestedColumns(NamedTuple):
    """The columns of a split's regions in one store, and the tree of that store."""

    columns: Columns
    plan: PruningPlan
    row: NDArray[np.int64]


def tested_columns(split: Split, work: Path) -> list[TestedColumns]:
    """Those with enough species; `row` numbers the positions of all regions as predictions do."""
    found, begin = [], 0
    for store in split.stores(work):
        plan = plan_of(store)
        for region in tested(store, split):
            deep = np.flatnonzero(store.depth(region) >= MINIMUM_SPECIES)
            columns = Columns(
                region.start + deep,
                torch.from_numpy(species_bases(store, region)[deep]),
                torch.from_numpy(reference_bases(store, region)[deep]),
                np.zeros(len(deep), np.int64),
            )
            found.append(TestedColumns(columns, plan, begin + deep))
            begin += region.end - region.start
    return found


def column_values(found: Predictions, columns: list[TestedColumns]) -> NDArray[np.float64]:
    """Nats of every tested column, in the order of `columns`."""
    theta = torch.from_numpy(np.concatenate(found.theta))
    if is_masked(str(found.facts["arm"])):
        theta = with_best_rate(theta, found, columns)
    return np.concatenate(
        [conditional(own.columns, theta[own.row], own.plan, found.substitution) for own in columns]
    )


def with_best_rate(theta: Tensor, found: Predictions, columns: list[TestedColumns]) -> Tensor:
    """Theta with the one rate for all sites under which a sample of the columns is likeliest."""
    step = max(1, sum(len(own.row) for own in columns) // _TRIED)
    sample = [
        TestedColumns(
            own.columns.chosen(np.arange(0, len(own.row), step)), own.plan, own.row[::step]
        )
        for own in columns
    ]
    means = []
    for rate in _RATES:
        set_rate = found.substitution.with_log_rate(theta, float(rate))
        means.append(
            sum(
                conditional(own.columns, set_rate[own.row], own.plan, found.substitution).sum()
                for own in sample
            )
        )
    return found.substitution.with_log_rate(theta, float(_RATES[int(np.argmax(means))]))


def split_values(job: Job, work: Path, columns: list[TestedColumns]) -> NDArray[np.float64]:
    """Nats of every tested column of a split; kept in WORK/likelihood."""
    kept = work / "likelihood" / job.split.name / f"{job.arm}-seed{job.seed}.npy"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, column_values(read_predictions(job.path(work)), columns))
    return np.load(kept)


def clusters(given: StudySet, split: Split, work: Path) -> NDArray[np.str_]:
    """Gene or stretch of every tested column of a split, in the order of `split_values`."""
    names = []
    for store in split.stores(work):
        for region in tested(store, split):
            deep = region.start + np.flatnonzero(store.depth(region) >= MINIMUM_SPECIES)
            if given.stretch:
                number = ((deep + 1) // given.stretch).astype(str)
                names.append(np.char.add(f"{region.contig}:", number))
            else:
                names.append(np.full(len(deep), region.contig.partition("_")[0]))
    return np.concatenate(names)


def rows(given: StudySet, work: Path) -> Iterator[list[str]]:
    """Lines of the table: set, arm, columns, nats a column, and less those of the default."""
    done: dict[str, BySeed] = {}
    owners = np.concatenate([clusters(given, split, work) for split in given.splits])
    columns = {split.name: tested_columns(split, work) for split in given.splits}
    draws = Draws(owners, REPLICATES)
    n_clusters = draws.weights.shape[1]
    sizes = draws.weights @ np.bincount(draws.of_variant, minlength=n_clusters)
    for arm in ("table", *ARMS):
        for seed, jobs in given.jobs(work, arm).items():
            values = np.concatenate(
                [split_values(job, work, columns[job.split.name]) for job in jobs]
            )
            sums = np.bincount(draws.of_variant, values, minlength=n_clusters)
            done.setdefault(arm, {})[seed] = (draws.weights @ sums) / sizes
    for arm, by_seed in done.items():
        less = difference(by_seed, done[DEFAULT]) if DEFAULT in done else {}
        if arm == "table" and DEFAULT in done:
            less = {seed: by_seed[0] - values for seed, values in done[DEFAULT].items()}
        cells = figures(less) if less else [""] * 4
        yield [given.name, arm, str(len(owners)), *figures(by_seed), *cells]


FIELDS = ("set", "arm", "columns", "value", "low", "high", "seeds")
LESS = ("less_value", "less_low", "less_high", "less_seeds")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--sets", nargs="*", choices=[*SETS], default=[*SETS])
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    set_likelihood_threads(1)
    found = [row for name in given.sets for row in rows(SETS[name], given.work)]
    write_table(given.output, [*FIELDS, *LESS], [*kept_lines(given.output, given.sets), *found])


if __name__ == "__main__":
    main()
