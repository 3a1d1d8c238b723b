"""What a column store holds that decides how to train on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from phylotools.errors import InputError
from phylotools.io.intervals import flags_of, within
from phylotools.phylogeny.likelihood import make_plan
from phylotools.phylogeny.strand_symmetry import StrandTest, compare_strands
from phylotools.store import schema
from phylotools.store.columns import sample_columns
from phylotools.store.read import ColumnStore, open_store
from phylotools.store.spread import spread_chunks
from phylotools.store.tree_scale import ScaleProblem, store_scale_problem
from phylotools.training.config import DataConfig

#: Chunks whose depths and reference are looked at: a million positions, which tell shares to a
#: thousandth, in less than a second.
_CHUNKS = 512
#: Of the test of the strands: a second's work with 1,500 species; more where substitutions are so
#: few that they decide nothing.
_TESTED_COLUMNS = (2000, 20_000)


@dataclass(frozen=True)
class StoreSurvey:
    """A store in the numbers that a training configuration depends on.

    Attributes
    ----------
    path : Path
    store : ColumnStore
    contig_columns : dict of str to int
        Positions that blocks cover, of the contigs that have any.
    depth : float
        Mean number of species with A, C, G or T in a column.
    trainable : float
        Share of the columns with at least as many species as training asks for.
    masked, unknown : float
        Shares of the columns whose reference is lower case, and not A, C, G or T.
    second_rows : float or None
        Share of the alignment's rows that were another row of a species in the same block; None
        where the store does not say.
    scale : ScaleProblem or None
    strands : StrandTest
    """

    path: Path
    store: ColumnStore
    contig_columns: dict[str, int]
    depth: float
    trainable: float
    masked: float
    unknown: float
    second_rows: float | None
    scale: ScaleProblem | None
    strands: StrandTest

    @property
    def columns(self) -> int:
        """Positions that blocks cover."""
        return sum(self.contig_columns.values())

    @property
    def training_columns(self) -> int:
        """About so many columns can be trained on."""
        return round(self.columns * self.trainable)


def survey_store(path: Path, *, seed: int = 1) -> StoreSurvey:
    """Look at a sample of a store: some seconds, whatever its size.

    Raises
    ------
    InputError
        If it is no store, damaged, or has no column with two species.
    """
    store = open_store(path)
    covered = {contig: int(np.diff(store.intervals(contig)).sum()) for contig in store.contigs}
    contig_columns = {contig: n for contig, n in covered.items() if n}
    if not contig_columns:
        raise InputError("has no columns", path=path, remedy="preprocess an alignment with blocks")
    return StoreSurvey(
        path,
        store,
        contig_columns,
        **_sampled_shares(store),
        second_rows=_second_rows(store.attributes.get("statistics")),
        scale=store_scale_problem(store),
        strands=_test_strands(store, seed),
    )


def _sampled_shares(store: ColumnStore) -> dict[str, float]:
    """Mean depth, and the shares of columns that are deep enough, masked and unknown."""
    totals = np.zeros(4)
    n_columns = 0
    for region in spread_chunks(store, _CHUNKS):
        depth, reference = store.depth(region), store.reference(region)
        runs = within(store.intervals(region.contig), region.start, region.end)
        is_covered = flags_of(runs, region.start, region.end)
        depth, reference = depth[is_covered], reference[is_covered]
        letters = reference & schema.CODE_MASK
        totals += [
            depth.sum(),
            (depth >= DataConfig.minimum_species).sum(),
            ((reference & schema.SOFT_MASK) > 0).sum(),
            (letters >= schema.N).sum(),
        ]
        n_columns += len(depth)
    names = ("depth", "trainable", "masked", "unknown")
    return dict(zip(names, (totals / n_columns).tolist(), strict=True))


def _second_rows(statistics: Any) -> float | None:
    """Share of the rows that were beyond the first of their species in a block."""
    rows = statistics.get("rows") if isinstance(statistics, dict) else None
    if not isinstance(rows, dict) or not all(isinstance(own, dict) for own in rows.values()):
        return None
    totals = [sum(own.get(key, 0) for own in rows.values()) for key in ("duplicate_rows", "rows")]
    return totals[0] / totals[1] if totals[1] else None


def _test_strands(store: ColumnStore, seed: int) -> StrandTest:
    tree = store.tree.with_minimum_branch_length(DataConfig.minimum_branch_length)
    plan = make_plan(tree)
    for n_columns in _TESTED_COLUMNS:
        pieces = sample_columns(store, n_columns, seed)
        states = np.concatenate([piece.states for piece in pieces])[:n_columns]
        found = compare_strands(torch.from_numpy(states), tree, plan)
        if found.is_conclusive or len(states) < n_columns:
            break
    return found
