"""Counts over the columns of a store, in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.compiling import compiled
from phylotools.io.regions import Region
from phylotools.store import schema
from phylotools.store.read import ColumnStore

#: Rows of the counts of each species.
BASES, UNKNOWN, GAPS, MASKED, COMPARABLE, IDENTICAL = range(6)
#: Cells read at once by each thread: few enough to be held, enough to make a read worth it.
_CELLS = 1 << 24
#: A species' counts of so many columns fit in a byte: a register adds up 16 species or more.
_COLUMNS_OF_A_BYTE = 255


@dataclass(frozen=True, eq=False)
class ColumnCounts:
    """What the columns of a store hold; the order of species is the store's.

    Attributes
    ----------
    species : int64 array [6, S]
        Columns in which each species has A, C, G or T (`BASES`), another letter (`UNKNOWN`), a gap
        (`GAPS`), a lower-case letter (`MASKED`); in which it and the reference have A, C, G or T
        (`COMPARABLE`), and the same (`IDENTICAL`).
    depth : int64 array [S + 1]
        Columns by number of species with A, C, G or T.
    reference : int64 array [5]
        Columns by reference base: A, C, G, T, other.
    contig_columns : int64 array [K]
        Covered columns of each contig.
    contig_bases : int64 array [K]
        Sum over them of the species with A, C, G or T.
    """

    species: NDArray[np.int64]
    depth: NDArray[np.int64]
    reference: NDArray[np.int64]
    contig_columns: NDArray[np.int64]
    contig_bases: NDArray[np.int64]


def count_columns(store: ColumnStore, *, threads: int = 1) -> ColumnCounts:
    """Count over every covered column of a store.

    Memory is bounded: each thread holds one window of some megabytes.

    Parameters
    ----------
    store : ColumnStore
    threads : int
        No result depends on it.

    Returns
    -------
    ColumnCounts
    """
    n_species, n_contigs = len(store.species), len(store.contigs)
    total = _empty_counts(n_species, n_contigs)

    def count(task: tuple[int, Region]) -> tuple[int, ColumnCounts]:
        contig, region = task
        counted = _empty_counts(n_species, 1)
        add_columns(
            store.bases(region),
            store.reference(region),
            store.reference_index,
            counted.species,
            counted.depth,
            counted.reference,
        )
        return contig, counted

    tasks = list(_windows(store))
    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="report") as pool:
        for contig, counted in pool.map(count, tasks):
            total.species[:] += counted.species
            total.depth[:] += counted.depth
            total.reference[:] += counted.reference
            total.contig_columns[contig] += counted.depth.sum()
            total.contig_bases[contig] += counted.species[BASES].sum()
    return total


def _empty_counts(n_species: int, n_contigs: int) -> ColumnCounts:
    return ColumnCounts(
        np.zeros((6, n_species), dtype=np.int64),
        np.zeros(n_species + 1, dtype=np.int64),
        np.zeros(5, dtype=np.int64),
        np.zeros(n_contigs, dtype=np.int64),
        np.zeros(n_contigs, dtype=np.int64),
    )


def _windows(store: ColumnStore) -> Iterator[tuple[int, Region]]:
    """Index of the contig and region of every window that overlaps a covered interval."""
    chunks = max(1, _CELLS // (schema.CHUNK_LENGTH * len(store.species)))
    size = min(chunks, 64) * schema.CHUNK_LENGTH
    for index, (contig, length) in enumerate(store.contigs.items()):
        intervals = store.intervals(contig)
        if not len(intervals):
            continue
        # Intervals that begin or end before a window: +1 and -1 where they do.
        change = np.zeros(length // size + 2, dtype=np.int64)
        np.add.at(change, intervals[:, 0] // size, 1)
        np.add.at(change, (intervals[:, 1] - 1) // size + 1, -1)
        for window in np.flatnonzero(np.cumsum(change)).tolist():
            start = window * size
            yield index, Region(contig, start, min(start + size, length))


@compiled
def add_columns(
    bases: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    reference_index: int,
    species: NDArray[np.int64],
    depth: NDArray[np.int64],
    reference_counts: NDArray[np.int64],
) -> None:
    """Add the covered columns of a window to the counts of a `ColumnCounts`.

    Parameters
    ----------
    bases : uint8 array [L, S]
        C-contiguous.
    reference : uint8 array [L]
    reference_index : int
        Where it is `NO_BLOCK`, the column is not covered.
    species, depth, reference_counts : int64 arrays [6, S], [S + 1], [5]
    """
    length, n_species = bases.shape
    held = np.zeros((6, n_species), dtype=np.uint8)
    n_held = 0
    for position in range(length):
        row = bases[position]
        if row[reference_index] == schema.NO_BLOCK:
            continue
        expected = np.uint8(reference[position] & schema.CODE_MASK)
        reference_counts[expected if expected < schema.N else schema.N] += 1
        depth[_add_row(row, expected, held)] += 1
        n_held += 1
        if n_held == _COLUMNS_OF_A_BYTE:
            _empty_into(held, species)
            n_held = 0
    _empty_into(held, species)


@compiled
def _add_row(row: NDArray[np.uint8], expected: np.uint8, held: NDArray[np.uint8]) -> int:
    """Add one column; the number of species with A, C, G or T.

    One loop a count: a compiler turns each into a few vector instructions, but gives up on a loop
    that writes to many arrays which might overlap.
    """
    n_species = len(row)
    mask = np.uint8(schema.CODE_MASK)
    one, zero = np.uint8(1), np.uint8(0)
    target = held[BASES]
    for s in range(n_species):
        target[s] += one if (row[s] & mask) < schema.N else zero
    target = held[UNKNOWN]
    for s in range(n_species):
        target[s] += one if (row[s] & mask) == schema.N else zero
    target = held[GAPS]
    for s in range(n_species):
        target[s] += one if row[s] == schema.GAP_IN_BLOCK else zero
    target = held[MASKED]
    for s in range(n_species):
        target[s] += one if row[s] >= schema.SOFT_MASK else zero
    if expected < schema.N:
        target = held[COMPARABLE]
        for s in range(n_species):
            target[s] += one if (row[s] & mask) < schema.N else zero
        target = held[IDENTICAL]
        for s in range(n_species):
            target[s] += one if (row[s] & mask) == expected else zero
    present = 0
    for start in range(0, n_species, _COLUMNS_OF_A_BYTE):
        part = zero
        for s in range(start, min(start + _COLUMNS_OF_A_BYTE, n_species)):
            part += one if (row[s] & mask) < schema.N else zero
        present += int(part)
    return present


@compiled
def _empty_into(held: NDArray[np.uint8], counts: NDArray[np.int64]) -> None:
    for kind in range(held.shape[0]):
        for s in range(held.shape[1]):
            counts[kind, s] += held[kind, s]
            held[kind, s] = 0
