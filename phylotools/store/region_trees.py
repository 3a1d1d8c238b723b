"""Trees of contigs or of their parts, from a table with the trees in it.

``contig<TAB>newick`` or ``contig<TAB>start<TAB>end<TAB>newick``, 0-based and half-open as BED.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, counted, shown
from phylotools.io.contigs import contig_resolver
from phylotools.io.files import numbered_lines, open_input
from phylotools.io.intervals import as_intervals
from phylotools.io.regions import MAX_COORDINATE
from phylotools.phylogeny.tree import Tree, parse_newick
from phylotools.provenance import sha256_file
from phylotools.store.read import ColumnStore

logger = logging.getLogger("phylotools")

#: A tree of ten thousand species takes less than a megabyte.
_LONGEST_LINE = 1 << 26
#: Nodes of all trees of a file together: ten thousand trees of 447 species have nine million.
_MOST_NODES = 1 << 25
_REMEDY = "give contig and Newick tree, or contig, start, end and tree, separated by tabs"
#: Index of a column for which no tree is given.
OWN_TREE = -1


@dataclass(frozen=True)
class RegionTrees:
    """Trees that hold on parts of a store's contigs; elsewhere the store's own holds.

    Attributes
    ----------
    path : str
    sha256 : str
        Of the file.
    trees : tuple of Tree
        Tips are species of the store, the reference among them, in any order.
    intervals : dict of str to int64 array [K, 2]
        Of each contig, sorted; none overlap.
    of_interval : dict of str to int64 array [K]
        Index in `trees` of each.
    """

    path: str
    sha256: str
    trees: tuple[Tree, ...]
    intervals: dict[str, NDArray[np.int64]] = field(repr=False)
    of_interval: dict[str, NDArray[np.int64]] = field(repr=False)

    def __len__(self) -> int:
        """Intervals."""
        return sum(map(len, self.of_interval.values()))

    def index(self, contig: str, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index in `trees` at positions of a contig; `OWN_TREE` where none is given."""
        found = np.full(len(positions), OWN_TREE, dtype=np.int64)
        if contig in self.intervals:
            bounds = self.intervals[contig]
            row = np.searchsorted(bounds[:, 1], positions, side="right")
            is_inside = row < len(bounds)
            is_inside[is_inside] = bounds[row[is_inside], 0] <= positions[is_inside]
            found[is_inside] = self.of_interval[contig][row[is_inside]]
        return found


class _Row(NamedTuple):
    """A line of the table; without bounds it means the whole contig."""

    line: int
    contig: str
    bounds: tuple[int, int] | None
    newick: str


def read_region_trees(
    path: str | os.PathLike[str], store: ColumnStore, species: Sequence[str] | None = None
) -> RegionTrees:
    """Read the trees that a table has for the contigs of a store.

    Contigs may be spelled differently. Rows of other contigs are passed over with a warning.

    Parameters
    ----------
    path : str or PathLike
        Plain, gzip or bgzip.
    store : ColumnStore
    species : sequence of str, optional
        To which the trees are pruned, the reference among them; all of the store unless given.

    Raises
    ------
    InputError
        If a line is none of the two forms, its tree is no tree of the store's species with the
        reference, regions overlap or leave their contig, or no contig is one of the store's.
    """
    name = os.fspath(path)
    resolve = contig_resolver(store.contigs)
    parser = _TreeParser(name, store, species)
    found: dict[str, list[tuple[int, int, int, int]]] = {}
    strangers: dict[str, int] = {}
    for row in _rows(name):
        contig = resolve(row.contig)
        if contig is None:
            strangers[row.contig] = strangers.get(row.contig, 0) + 1
            continue
        start, end = row.bounds or (0, store.contigs[contig])
        if end > store.contigs[contig]:
            raise InputError(
                f"{shown(row.contig)}:{start + 1}-{end} reaches beyond the contig's "
                f"{store.contigs[contig]} positions",
                path=name,
                line=row.line,
                remedy="check that regions and store are of one assembly",
            )
        found.setdefault(contig, []).append((start, end, parser.index(row), row.line))
    _judge_strangers(name, strangers, bool(found), store)
    intervals, of_interval = {}, {}
    for contig, entries in found.items():
        entries.sort()
        _refuse_overlaps(name, contig, entries)
        intervals[contig] = as_intervals([entry[:2] for entry in entries])
        of_interval[contig] = np.array([entry[2] for entry in entries], dtype=np.int64)
    return RegionTrees(name, sha256_file(name), tuple(parser.trees), intervals, of_interval)


def _rows(path: str) -> Iterator[_Row]:
    n_rows = 0
    with open_input(path) as handle:
        for number, line in numbered_lines(handle, path, longest_line=_LONGEST_LINE):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n")
            except UnicodeDecodeError:
                raise InputError("is no text", path=path, line=number, remedy=_REMEDY) from None
            cells = text.split("\t")
            is_header = not n_rows and cells[-1].strip().lower() in ("newick", "tree")
            if not text.strip() or text.startswith("#") or is_header:
                continue
            if len(cells) not in (2, 4) or not cells[0].strip():
                problem = f"{counted(len(cells), 'cell')} instead of 2 or 4"
                raise InputError(problem, path=path, line=number, remedy=_REMEDY)
            bounds = None
            if len(cells) == 4:
                bounds = _bounds(cells[1].strip(), cells[2].strip(), path, number)
            n_rows += 1
            yield _Row(number, cells[0].strip(), bounds, cells[-1].strip())
    if not n_rows:
        raise InputError("holds no tree", path=path, remedy=_REMEDY)


def _bounds(start: str, end: str, path: str, line: int) -> tuple[int, int]:
    if all(text.isascii() and text.isdigit() and len(text) <= 15 for text in (start, end)):
        first, last = int(start), int(end)
        if first < last <= MAX_COORDINATE:
            return first, last
    raise InputError(
        f"'{shown(start)}' and '{shown(end)}' are no start and end of a region",
        path=path,
        line=line,
        remedy="give them as BED: 0-based start, end after the last position",
    )


class _TreeParser:
    """The trees of a table, each once, checked against a store."""

    def __init__(self, path: str, store: ColumnStore, species: Sequence[str] | None) -> None:
        self.trees: list[Tree] = []
        self._path, self._store = path, store
        self._all = frozenset(store.species)
        self._kept = None if species is None else frozenset(species)
        self._known: dict[bytes, int] = {}
        self._n_nodes = 0

    def index(self, row: _Row) -> int:
        """Index in `trees` of a row's tree."""
        digest = hashlib.blake2b(row.newick.encode(), digest_size=16).digest()
        if digest not in self._known:
            self._known[digest] = len(self.trees)
            self.trees.append(self._parsed(row))
        return self._known[digest]

    def _parsed(self, row: _Row) -> Tree:
        try:
            tree = parse_newick(row.newick)
        except InputError as error:
            raise self._error(row, error.problem, error.remedy) from None
        self._n_nodes += len(tree.names)
        if self._n_nodes > _MOST_NODES:
            raise self._error(row, f"more than {_MOST_NODES:,} nodes in all trees", None)
        extra = set(tree.tips) - self._all
        remedy = "give trees whose tips are species that `phylotools inspect` lists"
        if extra:
            problem = f"the tree has {shown(min(extra))}, the store has not"
            raise self._error(row, problem, remedy)
        reference = self._store.reference_species
        if reference not in tree.tips:
            raise self._error(row, f"the tree lacks the reference, {shown(reference)}", remedy)
        if self._kept is not None and not set(tree.tips) <= self._kept:
            tree = tree.prune(self._kept.intersection(tree.tips))
        # Names once for all trees, and without what was derived: there may be thousands.
        return dataclasses.replace(tree, names=tuple(map(sys.intern, tree.names)))

    def _error(self, row: _Row, problem: str, remedy: str | None) -> InputError:
        return InputError(problem, path=self._path, line=row.line, remedy=remedy)


def _judge_strangers(
    path: str, strangers: dict[str, int], has_others: bool, store: ColumnStore
) -> None:
    """Warn of rows on contigs that the store has not; refuse a table of such rows alone."""
    if not strangers:
        return
    names = ", ".join(shown(name) for name in [*strangers][:3]) + (", ..." * (len(strangers) > 3))
    if not has_others:
        raise InputError(
            f"names contigs that {store.path} has not ({names})",
            path=path,
            remedy="compare them with those that `phylotools inspect` lists",
        )
    logger.warning(
        "%s: %s passed over, of contigs that %s has not (%s)",
        path, counted(sum(strangers.values()), "tree"), store.path, names,
    )  # fmt: skip


def _refuse_overlaps(path: str, contig: str, entries: list[tuple[int, int, int, int]]) -> None:
    for (_, end, _, line), (start, _, _, other) in itertools.pairwise(entries):
        if start < end:
            raise InputError(
                f"its region of {shown(contig)} overlaps that of line {min(line, other)}",
                path=path,
                line=max(line, other),
                remedy="give one tree for each position",
            )
