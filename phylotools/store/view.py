"""A store of which some species are looked at, and other trees in places."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.intervals import overlapping, runs_of, windows_of, within
from phylotools.io.regions import Region
from phylotools.phylogeny.clades import clade_tips
from phylotools.phylogeny.kernels.plan import ColumnPlans, PruningPlan, make_plan
from phylotools.phylogeny.tree import Tree
from phylotools.store import schema
from phylotools.store.columns import Columns
from phylotools.store.read import ColumnStore, _open_store
from phylotools.store.region_trees import RegionTrees, read_region_trees

#: Positions whose species are counted at once.
_READ = 4 * schema.CHUNK_LENGTH


class StoreView(ColumnStore):
    """A store as if it had only some of its species, and missing data where a tree lacks one.

    Its tree is the store's, pruned. Depths are counted from the columns, which takes as long as
    reading them, wherever they are not the store's own.

    Parameters
    ----------
    store : ColumnStore
    species : sequence of str, optional
        The reference among them; all unless given.
    region_trees : RegionTrees, optional
        Of these species.

    Attributes
    ----------
    region_trees : RegionTrees or None
    """

    def __init__(
        self,
        store: ColumnStore,
        species: Sequence[str] | None = None,
        region_trees: RegionTrees | None = None,
    ) -> None:
        vars(self).update(vars(store))
        self.region_trees = region_trees
        self._kept: NDArray[np.int64] | None = None
        if species is not None and len(set(species)) < len(store.species):
            self.tree = store.tree.prune(species)
            self.species = self.tree.tips
            self.reference_index = self.species.index(self.reference_species)
            place = {name: index for index, name in enumerate(store.species)}
            self._kept = np.array([place[name] for name in self.species], dtype=np.int64)
        self._lacking = self._species_lacking()

    def __reduce__(self) -> tuple[Any, ...]:
        kept = None if self._kept is None else self.species
        return _reopened, (self.path, kept, self.region_trees)

    def _species_lacking(self) -> dict[int, NDArray[np.int64]]:
        """Of each region tree that lacks species: their indices."""
        trees = () if self.region_trees is None else self.region_trees.trees
        found = {}
        for number, tree in enumerate(trees):
            # Of a copy, so that what is derived of thousands is not kept.
            own = set(dataclasses.replace(tree).tips)
            if len(own) < len(self.species):
                lacking = [i for i, name in enumerate(self.species) if name not in own]
                found[number] = np.array(lacking, dtype=np.int64)
        return found

    def bases(self, region: Region, *, threads: int = 1) -> NDArray[np.uint8]:
        codes = super().bases(region, threads=threads)
        if self._kept is not None:
            codes = codes[:, self._kept]
        parts = list(self._parts_lacking(region))
        if parts and not codes.flags.writeable:
            codes = codes.copy()
        for start, end, lacking in parts:
            codes[start - region.start : end - region.start, lacking] = schema.NO_BLOCK
        return codes

    def depth(self, region: Region) -> NDArray[np.uint16]:
        parts = [(start, end) for start, end, _ in self._parts_lacking(region)]
        if self._kept is not None:
            parts = [(region.start, region.end)]
        depth = super().depth(region)
        if parts and not depth.flags.writeable:
            depth = depth.copy()
        for first, last in parts:
            for start in range(first, last, _READ):
                part = Region(region.contig, start, min(start + _READ, last))
                here = slice(part.start - region.start, part.end - region.start)
                # Where the store has no species, no column need be read.
                if depth[here].any():
                    depth[here] = schema.species_depth(self.bases(part))
        return depth

    def _parts_lacking(self, region: Region) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
        """Parts of a region whose trees lack species: start, end and the indices of these."""
        trees = self.region_trees
        if not self._lacking or trees is None or region.contig not in trees.intervals:
            return
        intervals = trees.intervals[region.contig]
        first, last = overlapping(intervals, region.start, region.end)
        numbers = trees.of_interval[region.contig][first:last].tolist()
        bounds = within(intervals, region.start, region.end).tolist()
        for (start, end), number in zip(bounds, numbers, strict=True):
            if number in self._lacking:
                yield start, end, self._lacking[number]

    def _deep_intervals(self, min_species: int) -> NDArray[np.int64]:
        runs = [np.empty((0, 2), dtype=np.int64)]
        for contig, length in self.contigs.items():
            for start, end in windows_of(self.intervals(contig), length, _READ):
                depth = self.depth(Region(contig, start, end))
                runs.append(runs_of(depth >= min_species, start + self._offsets[contig]))
        # Runs that touch at the edge of a window are one; those of two contigs are not.
        found = np.concatenate(runs)
        offsets = np.array([*self._offsets.values()], dtype=np.int64)
        is_joined = (found[1:, 0] == found[:-1, 1]) & ~np.isin(found[1:, 0], offsets)
        starts = found[np.append(True, ~is_joined)[: len(found)], 0]
        ends = found[np.append(~is_joined, True)[: len(found)], 1]
        return np.stack([starts, ends], axis=1)


def _reopened(
    path: Any, species: Sequence[str] | None, region_trees: RegionTrees | None
) -> StoreView:
    return StoreView(_open_store(path), species, region_trees)


def clade_of(store: ColumnStore, names: Sequence[str]) -> tuple[str, ...]:
    """Species of a clade of a store's tree, the reference among them; see `clade_tips`.

    Raises
    ------
    InputError
        If the tree has no such clade, or the reference is not in it.
    """
    try:
        species = clade_tips(store.tree, names)
    except InputError as error:
        raise _clade_error(store, error.problem, error.remedy) from None
    if store.reference_species not in species:
        raise _clade_error(
            store,
            f"that of {', '.join(names[:3])} lacks the reference, {store.reference_species}",
            "name one that holds it: every column stands at a position of its genome",
        )
    return species


def _clade_error(store: ColumnStore, problem: str, remedy: str | None) -> InputError:
    return InputError(f"the clade: {problem}", path=store.path, remedy=remedy)


def viewed(
    store: ColumnStore, clade: Sequence[str] = (), trees: str | os.PathLike[str] | None = None
) -> ColumnStore:
    """A store of a clade's species and with the trees of a table; itself where neither is given.

    Parameters
    ----------
    store : ColumnStore
    clade : sequence of str
        See `clade_of`.
    trees : str or PathLike, optional
        See `read_region_trees`.

    Raises
    ------
    InputError
    """
    if not clade and trees is None:
        return store
    species = clade_of(store, clade) if clade else None
    table = None if trees is None else read_region_trees(trees, store, species)
    return StoreView(store, species, table)


class StorePlans:
    """The plans by which a store's columns are pruned.

    Parameters
    ----------
    store : ColumnStore
        A `StoreView` may have several trees.
    minimum_branch_length : float
        Shorter branches are lengthened.
    scale : float
        By which all branches are multiplied before that.

    Attributes
    ----------
    tree : Tree
        The store's own, so changed.
    own : PruningPlan
        Of that tree.
    """

    def __init__(
        self, store: ColumnStore, minimum_branch_length: float, *, scale: float = 1.0
    ) -> None:
        def usable(tree: Tree) -> Tree:
            return tree.scaled(scale).with_minimum_branch_length(minimum_branch_length)

        self.contigs = tuple(store.contigs)
        self.tree = usable(store.tree)
        self.own = make_plan(self.tree)
        self._trees = store.region_trees if isinstance(store, StoreView) else None
        self._plans = [self.own]
        #: Of each tree of the regions, the index of its plan; last that of the store's own.
        self._of_tree = np.zeros(1, dtype=np.int64)
        if self._trees is not None:
            numbers = [self._number(usable(tree), store.species) for tree in self._trees.trees]
            self._of_tree = np.array([*numbers, 0], dtype=np.int64)

    def _number(self, tree: Tree, species: Sequence[str]) -> int:
        """Index of a tree's plan, which is made unless the tree is the store's own."""
        if _is_same(tree, self.tree):
            return 0
        self._plans.append(make_plan(tree, species))
        return len(self._plans) - 1

    @property
    def vary(self) -> bool:
        """Whether columns have different plans."""
        return len(self._plans) > 1

    def index(self, contig: str, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of the plan at each position; int64 [L]."""
        if self._trees is None:
            return np.zeros(len(positions), dtype=np.int64)
        return self._of_tree[self._trees.index(contig, positions)]

    def of(self, index: NDArray[np.int64]) -> PruningPlan | ColumnPlans:
        """The plan of columns, or those of each, by what `index` gave; shape [C]."""
        return ColumnPlans(tuple(self._plans), index) if self.vary else self.own

    def of_columns(self, pieces: Sequence[Columns]) -> PruningPlan | ColumnPlans:
        """The plan of columns in several pieces, one after the other."""
        index = [self.index(piece.contig, piece.position) for piece in pieces]
        return self.of(np.concatenate(index))


def _is_same(one: Tree, other: Tree) -> bool:
    """Whether two trees have the same tips, shape and lengths, written in the same order."""
    return (
        one.tips == other.tips
        and np.array_equal(one.parent, other.parent)
        and np.array_equal(one.branch_length, other.branch_length)
    )
