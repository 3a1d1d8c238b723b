"""Models without a network: what any network has to beat on sequence that it has not seen.

    python null_models.py STORE... [--genes FILE] [--held-out BED] -o nulls.npz

- ``tree``: every site neutral; nothing is fitted.
- ``constants``: four numbers for each reference base.
- ``table``: four numbers for each codon and place in it. It is *told the reading frame*, which a
  network has to find out.

Constants and table are fitted to training columns of coding sequence by the conditional
likelihood that networks are trained by; what sites share is learned with them.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from codons import NO_CODON, codons_by_position
from genes import Coding, codings, reference_bases, species_bases
from numpy.typing import NDArray
from torch import Tensor

from phylotools.io.bed import read_bed
from phylotools.io.intervals import contains
from phylotools.io.regions import RegionSet
from phylotools.phylogeny.likelihood import (
    PruningPlan,
    column_log_likelihood,
    log_reference_frequency,
    make_plan,
)
from phylotools.phylogeny.substitution import SubstitutionModel
from phylotools.phylogeny.substitution.catalogue import make_substitution_model
from phylotools.store.read import ColumnStore, open_store
from phylotools.threads import set_threads

#: As the default of `data.minimum_branch_length`.
MINIMUM_BRANCH_LENGTH = 1e-6
MINIMUM_SPECIES = 2
#: Fitting 776 numbers: with twice the columns the held-out likelihood of mammalian exons moved by
#: less than 0.01 nats a column.
MOST_COLUMNS, COLUMNS_A_STEP, EPOCHS, LEARNING_RATE = 60_000, 2048, 15, 0.05
#: Numbers of a class that no column has stay where they start.
RIDGE_SD = 5.0
#: Codons by place, read from the given strand and from the other.
N_TABLE = 2 * 3 * (NO_CODON + 1)
#: Bases, and unknown ones.
N_CONSTANTS = 5


class Columns(NamedTuple):
    """C columns of coding sequence.

    Attributes
    ----------
    positions : int64 array [C]
        In their contig, 0-based.
    states : Tensor of uint8, shape (C, S)
    reference : Tensor of uint8, shape (C,)
    table_class : int64 array [C]
        By codon and place.
    """

    positions: NDArray[np.int64]
    states: Tensor
    reference: Tensor
    table_class: NDArray[np.int64]

    @property
    def constants_class(self) -> NDArray[np.int64]:
        """By reference base."""
        return np.minimum(self.reference.numpy(), N_CONSTANTS - 1).astype(np.int64)

    def where(self, regions: RegionSet, contig: str, *, inside: bool) -> Columns:
        """The columns that lie in some regions, or those that do not."""
        found = contains(regions.on(contig), self.positions)
        return self.chosen(np.flatnonzero(found == inside))

    def chosen(self, rows: NDArray[np.int64]) -> Columns:
        return Columns(
            self.positions[rows], self.states[rows], self.reference[rows], self.table_class[rows]
        )


def columns_of(store: ColumnStore, coding: Coding) -> Columns:
    """The columns of a stretch that have enough species."""
    region = coding.region
    bases = reference_bases(store, region)
    deep = np.flatnonzero(store.depth(region) >= MINIMUM_SPECIES)
    return Columns(
        region.start + deep,
        torch.from_numpy(species_bases(store, region)[deep]),
        torch.from_numpy(bases[deep]),
        table_classes(bases, coding)[deep],
    )


def table_classes(bases: NDArray[np.uint8], coding: Coding) -> NDArray[np.int64]:
    """Class of every position, 0 to `N_TABLE` - 1."""
    if coding.is_reverse:
        complement = np.where(bases < 4, 3 - bases, bases)
        read = codons_by_position(complement[::-1], coding.frame)[::-1]
    else:
        read = codons_by_position(bases, coding.frame)
    return (int(coding.is_reverse) * (NO_CODON + 1) + read[:, 0]) * 3 + read[:, 1]


def plan_of(store: ColumnStore) -> PruningPlan:
    return make_plan(store.tree.with_minimum_branch_length(MINIMUM_BRANCH_LENGTH))


class NullModel(NamedTuple):
    """Theta of each class of sites, and what reads it.

    Attributes
    ----------
    name : str
    theta : Tensor, shape (classes, 4)
    substitution : SubstitutionModel
    """

    name: str
    theta: Tensor
    substitution: SubstitutionModel

    def site_theta(self, columns: Columns) -> Tensor:
        """Theta of every column, shape (C, 4)."""
        return self.theta[torch.from_numpy(classes(self.name, columns))]

    def log_likelihoods(self, columns: Columns, plan: PruningPlan) -> NDArray[np.float64]:
        """Of the other species given the reference base, nats, [C]."""
        return conditional(columns, self.site_theta(columns), plan, self.substitution)


def classes(name: str, columns: Columns) -> NDArray[np.int64]:
    if name == "tree":
        return np.zeros(len(columns.reference), np.int64)
    return columns.table_class if name == "table" else columns.constants_class


def conditional(
    columns: Columns, theta: Tensor, plan: PruningPlan, substitution: SubstitutionModel
) -> NDArray[np.float64]:
    """log P(other species | reference base) of every column, [C]."""
    with torch.no_grad():
        own = log_reference_frequency(columns.reference, theta, substitution)
        return (
            column_log_likelihood(columns.states, theta, plan, substitution) - own
        ).double().numpy()  # fmt: skip


Sample = tuple[Columns, PruningPlan]


def neutral(substitution: SubstitutionModel, n_classes: int) -> Tensor:
    return substitution.with_log_rate(torch.zeros(n_classes, 4), substitution.neutral_log_rate)


def fit(name: str, samples: list[Sample], model: str, seed: int = 1) -> NullModel:
    """Fit the theta of each class, and what all share, by Adam under a falling cosine."""
    substitution = make_substitution_model(model)
    theta = neutral(substitution, N_TABLE if name == "table" else N_CONSTANTS).detach()
    start = theta.clone()
    theta.requires_grad_()
    optimiser = torch.optim.Adam([theta, *substitution.parameters()], lr=LEARNING_RATE)
    rng = np.random.default_rng(seed)
    n_columns = sum(len(columns.reference) for columns, _ in samples)
    n_steps = EPOCHS * sum(-(-len(c.reference) // COLUMNS_A_STEP) for c, _ in samples)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, n_steps)
    for _ in range(EPOCHS):
        batches = [
            (columns.chosen(rows), plan)
            for columns, plan in samples
            for rows in np.array_split(
                rng.permutation(len(columns.reference)),
                -(-len(columns.reference) // COLUMNS_A_STEP),
            )
        ]
        for index in rng.permutation(len(batches)):
            columns, plan = batches[index]
            here = theta[torch.from_numpy(classes(name, columns))]
            own = log_reference_frequency(columns.reference, here, substitution)
            mean = (
                column_log_likelihood(columns.states, here, plan, substitution) - own
            ).mean()  # fmt: skip
            ridge = (theta - start).square().sum() / (2 * RIDGE_SD**2 * n_columns)
            optimiser.zero_grad()
            (ridge - mean).backward()
            optimiser.step()
            schedule.step()
    return NullModel(name, theta.detach(), substitution.requires_grad_(False))


def training_samples(
    stores: list[ColumnStore], genes: str | None, held_out: RegionSet, seed: int = 1
) -> list[Sample]:
    """Training columns of each store, thinned alike to `MOST_COLUMNS` in all."""
    rng = np.random.default_rng(seed)
    parts = []
    for store in stores:
        found = [
            columns_of(store, coding).where(held_out, coding.region.contig, inside=False)
            for coding in codings(store, genes)
        ]
        parts.append(
            Columns(
                np.concatenate([c.positions for c in found]),
                torch.cat([c.states for c in found]),
                torch.cat([c.reference for c in found]),
                np.concatenate([c.table_class for c in found]),
            )
        )
    share = min(1.0, MOST_COLUMNS / sum(len(part.reference) for part in parts))
    return [
        (part.chosen(np.flatnonzero(rng.random(len(part.reference)) < share)), plan_of(store))
        for part, store in zip(parts, stores, strict=True)
    ]


def write_nulls(path: Path, nulls: list[NullModel], model: str) -> None:
    settings = {null.name: null.substitution.settings() for null in nulls}
    arrays = {null.name: null.theta.numpy() for null in nulls}
    np.savez(path, model=model, settings=json.dumps(settings), **arrays)


def read_nulls(path: Path) -> list[NullModel]:
    """Constants and table from their file, and the tree."""
    with np.load(path) as saved:
        model, settings = str(saved["model"]), json.loads(str(saved["settings"]))
        found = [
            NullModel(
                name,
                torch.from_numpy(saved[name]),
                make_substitution_model(model, **settings[name]).requires_grad_(False),
            )
            for name in settings
        ]
    plain = make_substitution_model(model).requires_grad_(False)
    return [NullModel("tree", neutral(plain, 1), plain), *found]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stores", nargs="+")
    parser.add_argument("--genes", help="BED or GFF3; by default every contig is coding")
    parser.add_argument("--held-out", help="BED")
    parser.add_argument("--model", default="mutation-selection", help="of substitution")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    set_threads(1)
    stores = [open_store(path) for path in given.stores]
    held_out = read_bed(given.held_out) if given.held_out else RegionSet.of([])
    samples = training_samples(stores, given.genes, held_out)
    nulls = [fit(name, samples, given.model) for name in ("constants", "table")]
    write_nulls(given.output, nulls, given.model)


if __name__ == "__main__":
    main()
