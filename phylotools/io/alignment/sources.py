"""Whose row it is: species names found in the names of sources (``species.contig``)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.io.alignment import row_kernels as kernels
from phylotools.io.alignment.rows import RowTable


@dataclass(frozen=True, eq=False)
class Owners:
    """Owner of every row of a `RowTable`.

    Attributes
    ----------
    species : int64 array [R]
        Index of the species; `row_kernels.IGNORED` or `row_kernels.UNKNOWN` where it is none.
    contig_at, contig_end : int64 arrays [R]
        Where the contig's name stands in the table's buffer.
    prefix : uint64 array [R]
        Hash of the source's name up to its first dot.
    """

    species: NDArray[np.int64]
    contig_at: NDArray[np.int64]
    contig_end: NDArray[np.int64]
    prefix: NDArray[np.uint64]


class SpeciesTable:
    """Find the species in names of sources.

    A source ``species.contig`` belongs to the longest name that it begins with, so that both
    parts may hold dots; a source that is a name alone is its own contig.

    Parameters
    ----------
    species : sequence of str
        Names that rows may have; their order gives the indices.
    ignored : collection of str
        Names whose rows are passed over in silence.
    """

    def __init__(self, species: Sequence[str], ignored: Collection[str] = ()) -> None:
        others = sorted(set(ignored) - set(species) - {""})
        encoded = [name.encode() for name in (*species, *others)]
        self._names = np.frombuffer(b"".join(encoded) or b"\0", dtype=np.uint8)
        self._name_at = np.concatenate([[0], np.cumsum([len(name) for name in encoded])]).astype(
            np.int64
        )
        self._owner_of = np.full(len(encoded), kernels.IGNORED, dtype=np.int64)
        self._owner_of[: len(species)] = np.arange(len(species))
        # A quarter full at most: the search for a name that is absent then ends at once.
        self._slots = np.full(4 * max(len(encoded), 1) | 1, -1, dtype=np.int64)
        for index in range(len(encoded)):
            start, end = self._name_at[index : index + 2]
            slot = int(kernels.hash_name(self._names, start, end) % np.uint64(len(self._slots)))
            while self._slots[slot] >= 0:
                slot = (slot + 1) % len(self._slots)
            self._slots[slot] = index

    def owners(self, table: RowTable) -> Owners:
        """Owner of every row."""
        n_rows = len(table.source_at)
        species = np.empty(n_rows, dtype=np.int64)
        contig_at = np.empty(n_rows, dtype=np.int64)
        prefix = np.empty(n_rows, dtype=np.uint64)
        kernels.find_owners(
            table.buffer,
            table.source_at,
            table.source_length,
            self._names,
            self._name_at,
            self._slots,
            self._owner_of,
            species,
            contig_at,
            prefix,
        )
        return Owners(species, contig_at, table.source_at + table.source_length, prefix)
