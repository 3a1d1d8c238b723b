"""Counts over the columns of a store, in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from phylotools.compiling import compiled
from phylotools.io.intervals import windows_of
from phylotools.io.regions import Region
from phylotools.store import schema
from phylotools.store.read import ColumnStore

#: Rows of the counts of each species.
BASES, UNKNOWN, GAPS, MASKED, COMPARABLE, IDENTICAL = range(6)
#: Cells read at once by each thread: few enough to be held, enough to make a read worth it.
_CELLS = 1 << 24
#: Values of a code and its soft-mask bit.
_CODES = 16


@dataclass(frozen=True, eq=False)
class ColumnCounts:
    """Counts of bases, gaps and matches in the columns of a store, by species in its order.

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
    sample : uint8 array [n, S]
        Covered columns at even steps; none where not asked for.
    """

    species: NDArray[np.int64]
    depth: NDArray[np.int64]
    reference: NDArray[np.int64]
    contig_columns: NDArray[np.int64]
    contig_bases: NDArray[np.int64]
    sample: NDArray[np.uint8]


def count_columns(store: ColumnStore, *, threads: int = 1, sampled: int = 0) -> ColumnCounts:
    """Count over every covered column of a store.

    Memory is bounded: each thread holds one window of some megabytes.

    Parameters
    ----------
    store : ColumnStore
    threads : int
        No result depends on it.
    sampled : int
        About so many columns to keep as a sample; at most twice as many are.

    Returns
    -------
    ColumnCounts
    """
    n_species, n_contigs = len(store.species), len(store.contigs)
    total = _empty_counts(n_species, n_contigs)
    step = _sampling_step(store, sampled)

    def count(task: tuple[int, Region]) -> tuple[int, ColumnCounts]:
        contig, region = task
        bases = store.bases(region)
        chosen = bases[-region.start % step :: step] if sampled else bases[:0]
        covered = chosen[:, store.reference_index] != schema.NO_BLOCK
        counted = _empty_counts(n_species, 1, chosen[covered])
        add_columns(
            bases,
            store.reference(region),
            store.reference_index,
            counted.species,
            counted.depth,
            counted.reference,
        )
        return contig, counted

    tasks = list(_windows(store))
    samples = [total.sample]
    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="report") as pool:
        for contig, counted in pool.map(count, tasks):
            total.species[:] += counted.species
            total.depth[:] += counted.depth
            total.reference[:] += counted.reference
            total.contig_columns[contig] += counted.depth.sum()
            total.contig_bases[contig] += counted.species[BASES].sum()
            samples.append(counted.sample)
    return replace(total, sample=np.concatenate(samples))


def _sampling_step(store: ColumnStore, sampled: int) -> int:
    covered = sum(int(np.diff(store.intervals(name)).sum()) for name in store.contigs)
    step = max(1, covered // max(sampled, 1))
    # A multiple of 3 would see one codon position only.
    return step + 1 if step > 1 and step % 3 == 0 else step


def _empty_counts(
    n_species: int, n_contigs: int, sample: NDArray[np.uint8] | None = None
) -> ColumnCounts:
    return ColumnCounts(
        np.zeros((6, n_species), dtype=np.int64),
        np.zeros(n_species + 1, dtype=np.int64),
        np.zeros(5, dtype=np.int64),
        np.zeros(n_contigs, dtype=np.int64),
        np.zeros(n_contigs, dtype=np.int64),
        np.zeros((0, n_species), dtype=np.uint8) if sample is None else sample,
    )


def _windows(store: ColumnStore) -> Iterator[tuple[int, Region]]:
    """Index of the contig and region of every window that overlaps a covered interval."""
    chunks = max(1, _CELLS // (schema.CHUNK_LENGTH * len(store.species)))
    size = min(chunks, 64) * schema.CHUNK_LENGTH
    for index, (contig, length) in enumerate(store.contigs.items()):
        intervals = store.intervals(contig)
        for start, end in windows_of(intervals, length, size):
            yield index, Region(contig, start, end)


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
        C-contiguous; L below 2 ** 31.
    reference : uint8 array [L]
    reference_index : int
        Where it is `NO_BLOCK`, the column is not covered.
    species, depth, reference_counts : int64 arrays [6, S], [S + 1], [5]
    """
    length, n_species = bases.shape
    # By code; apart for columns in which the reference has a base and has none. Half as wide as the
    # counts: those of 450 species stay in the first cache.
    tally = np.zeros((2, n_species, _CODES), dtype=np.int32)
    identical = np.zeros(n_species, dtype=np.int32)
    mask, n = np.uint8(schema.CODE_MASK), np.uint8(schema.N)
    for position in range(length):
        row = bases[position]
        if row[reference_index] == schema.NO_BLOCK:
            continue
        expected = reference[position] & mask
        is_base = expected < n
        reference_counts[expected if is_base else n] += 1
        if not is_base:
            expected = np.uint8(_CODES)  # equal to no base
        of_columns = tally[1 if is_base else 0]
        present = 0
        for s in range(n_species):
            code = row[s] & np.uint8(_CODES - 1)
            base = code & mask
            of_columns[s, code] += 1
            identical[s] += base == expected
            present += base < n
        depth[present] += 1
    for s in range(n_species):
        species[IDENTICAL, s] += identical[s]
        for code in range(_CODES):
            base = code & schema.CODE_MASK
            number = tally[0, s, code] + tally[1, s, code]
            if base < schema.N:
                species[BASES, s] += number
                species[COMPARABLE, s] += tally[1, s, code]
            elif base == schema.N:
                species[UNKNOWN, s] += number
            elif base == schema.GAP_IN_BLOCK:
                species[GAPS, s] += number
            if code >= schema.SOFT_MASK:
                species[MASKED, s] += number
