"""Columns that a tree is fitted to, and columns that judge the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.regions import RegionSet
from phylotools.phylogeny.tree import Tree
from phylotools.store.columns import Columns, sample_columns
from phylotools.store.read import ColumnStore

#: Neighbours are kept out together, for they are alike: runs of at most so many columns.
_RUN = 64
#: With fewer runs than this, they are cut shorter.
_FEWEST_RUNS = 50


@dataclass(frozen=True)
class TreeSample:
    """A sample of columns, in an order drawn run by run; the tree's species.

    Attributes
    ----------
    states : uint8 array [C, S]
        0..3 are A, C, G and T.
    run : int64 array [C]
        The run of neighbours that each column is of, rising from 0.
    n_held_out : int
        The first columns, whole runs, judge the fit to the others.
    """

    states: NDArray[np.uint8]
    run: NDArray[np.int64]
    n_held_out: int

    def __len__(self) -> int:
        return len(self.states)

    @property
    def held_out(self) -> NDArray[np.uint8]:
        """States [C, S] of the columns that judge."""
        return self.states[: self.n_held_out]

    @property
    def fitted(self) -> NDArray[np.uint8]:
        """States [C, S] of the others."""
        return self.states[self.n_held_out :]


def draw_sample(
    store: ColumnStore,
    tree: Tree,
    n_columns: int,
    held_out_fraction: float,
    seed: int,
    regions: RegionSet | None = None,
) -> TreeSample:
    """Draw columns of a store; the same for the same seed.

    Parameters
    ----------
    store : ColumnStore
    tree : Tree
        Of the store's species, in any order.
    n_columns : int
    held_out_fraction : float
    seed : int
    regions : RegionSet, optional

    Returns
    -------
    TreeSample

    Raises
    ------
    InputError
        If fewer than two columns have a species beside the reference.
    """
    pieces = sample_columns(store, n_columns, seed, regions)
    total = sum(map(len, pieces))
    runs = _runs(pieces, max(1, min(_RUN, total // _FEWEST_RUNS)))
    if len(runs) < 2:
        raise InputError(
            "only one column has a species beside the reference",
            path=store.path,
            remedy="a tree is fitted to hundreds of columns",
        )
    order = np.random.default_rng((seed, total)).permutation(len(runs))
    sizes = np.array([len(runs[index]) for index in order])
    held = int(np.searchsorted(np.cumsum(sizes), held_out_fraction * total, side="right"))
    held = min(max(held, 1), len(runs) - 1) if held_out_fraction else 0
    column_of = {name: index for index, name in enumerate(store.species)}
    species = [column_of[name] for name in tree.tips]
    states = np.concatenate([runs[index] for index in order])[:, species]
    run = np.repeat(np.arange(len(runs)), sizes)
    return TreeSample(np.ascontiguousarray(states), run, int(sizes[:held].sum()))


def _runs(pieces: Sequence[Columns], longest: int) -> list[NDArray[np.uint8]]:
    """States of the runs of neighbouring columns, none longer than `longest`."""
    found = []
    for piece in pieces:
        breaks = np.flatnonzero(np.diff(piece.position) != 1) + 1
        for states in np.split(piece.states, breaks):
            found += [states[i : i + longest] for i in range(0, len(states), longest)]
    return found
