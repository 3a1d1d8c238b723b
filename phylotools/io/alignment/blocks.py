"""Rows of blocks -> blocks in the coordinates of one reference species."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.alignment import row_kernels as kernels
from phylotools.io.alignment.counts import (
    EMPTY_REFERENCE,
    PER_SPECIES,
    UNKNOWN,
    WITHOUT_REFERENCE,
    RowCounts,
)
from phylotools.io.alignment.maf import DAMAGED, shown
from phylotools.io.alignment.rows import RowTable
from phylotools.io.alignment.sources import Owners, SpeciesTable
from phylotools.io.bases import NUCLEOTIDES, PROTEIN_REMEDY
from phylotools.io.regions import MAX_COORDINATE

#: What becomes of several rows of one species in a block (docs/duplicates.md).
DUPLICATE_POLICIES = {
    "best-identity": kernels.BEST_IDENTITY,
    "first": kernels.FIRST,
    "consensus": kernels.CONSENSUS,
    "drop": kernels.DROP,
}
DEFAULT_DUPLICATES = "best-identity"
#: Names of unknown species that are remembered for the report.
_MOST_UNKNOWN = 1000
_WHITESPACE = b" \t\r\n"


@dataclass(frozen=True, eq=False)
class BlockBatch:
    """Blocks with a reference, one row a species.

    Attributes
    ----------
    buffer : uint8 array
        Letters of the rows.
    contig : int64 array [K]
        Index of the reference contig.
    start : int64 array [K]
        0-based first position on the forward strand of the reference.
    length : int64 array [K]
        Bases of the reference, at least 1.
    is_reverse : uint8 array [K]
        1 where the reference row is on the reverse strand.
    width : int64 array [K]
        Columns.
    reference_at : int64 array [K]
        Where the letters of the reference row begin.
    first_row : int64 array [K + 1]
    species : int64 array [R]
        Species of each row, the reference's among them.
    letters_at : int64 array [R]
    line : int64 array [K]
        1-based line of the reference row, counted from where reading began.
    """

    buffer: NDArray[np.uint8]
    contig: NDArray[np.int64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    is_reverse: NDArray[np.uint8]
    width: NDArray[np.int64]
    reference_at: NDArray[np.int64]
    first_row: NDArray[np.int64]
    species: NDArray[np.int64]
    letters_at: NDArray[np.int64]
    line: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.contig)

    def select(self, chosen: NDArray[np.int64]) -> BlockBatch:
        """The batch with some of its blocks only, in the order given."""
        counts = (self.first_row[1:] - self.first_row[:-1])[chosen]
        first_row = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = np.repeat(self.first_row[:-1][chosen] - first_row[:-1], counts) + np.arange(
            first_row[-1]
        )
        return BlockBatch(
            self.buffer,
            self.contig[chosen],
            self.start[chosen],
            self.length[chosen],
            self.is_reverse[chosen],
            self.width[chosen],
            self.reference_at[chosen],
            first_row,
            self.species[rows],
            self.letters_at[rows],
            self.line[chosen],
        )


class BlockResolver:
    """Turn `RowTable`s into blocks of one reference species.

    Parameters
    ----------
    path : str
        For messages.
    species : sequence of str
        Species whose rows are read: tips of the tree.
    reference : str, optional
        By default the species of the first row.
    ignored : collection of str
        Names whose rows are passed over in silence: ancestors, tips that are not wanted.
    drop_unknown : bool
        Pass over rows of other species and count them, instead of an error.
    duplicates : str
        One of `DUPLICATE_POLICIES`.

    Attributes
    ----------
    reference : str or None
        Known after the first table.
    contigs : dict of str to int
        Contigs of the reference -> length, in order of appearance.
    counts : RowCounts
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        species: Sequence[str],
        *,
        reference: str | None = None,
        ignored: Collection[str] = (),
        drop_unknown: bool = False,
        duplicates: str = DEFAULT_DUPLICATES,
    ) -> None:
        self.reference = reference
        self.contigs: dict[str, int] = {}
        self.counts = RowCounts.zero(len(species))
        self._path = os.fspath(path)
        self._species = tuple(species)
        self._table = SpeciesTable(species, ignored)
        self._drop_unknown = drop_unknown
        self._policy = DUPLICATE_POLICIES[duplicates]
        self._contig_index: dict[bytes, int] = {}
        self._prefix_names: dict[int, str] = {}

    def resolve(self, table: RowTable) -> BlockBatch:
        """The blocks of a table in which the reference has a base.

        Raises
        ------
        InputError
            With file and line, for a row that cannot be right.
        """
        owners = self._table.owners(table)
        self._check_owners(table, owners)
        assert self.reference is not None
        n_blocks = len(table.width)
        counts = self.counts
        reference_row = np.empty(n_blocks, dtype=np.int64)
        keep = np.empty(len(table.line), dtype=np.uint8)
        totals = np.zeros(kernels.N_TOTALS, dtype=np.int64)
        example = np.full(kernels.N_TOTALS + len(PER_SPECIES) - 1, -1, dtype=np.int64)
        status, row = kernels.choose(
            table.buffer,
            table.first_row,
            table.width,
            table.letters_at,
            table.size,
            owners.species,
            self._species.index(self.reference),
            self._policy,
            reference_row,
            keep,
            counts.per_species,
            totals,
            example,
        )
        if status != kernels.GOOD:
            self._explain(table, status, row)
        self._count(table, owners, totals, example)
        used = np.flatnonzero(reference_row >= 0)
        counts.blocks += len(used) + int(totals.sum())
        counts.blocks_with_reference += len(used)
        return self._batch(table, owners, used, reference_row[used], keep)

    def _batch(
        self,
        table: RowTable,
        owners: Owners,
        used: NDArray[np.int64],
        own: NDArray[np.int64],
        keep: NDArray[np.uint8],
    ) -> BlockBatch:
        contig = self._contigs_of(table, owners, own)
        block_of = np.repeat(np.arange(len(table.width)), np.diff(table.first_row))
        species, letters_at, buffer = owners.species, table.letters_at, table.buffer
        if (keep == 2).any():
            buffer, letters_at = self._consensus(table, owners, block_of, keep)
        rows = np.flatnonzero(keep)
        is_reverse = table.is_reverse[own]
        forward = table.start[own]
        backward = table.source_size[own] - forward - table.size[own]
        kept = np.bincount(block_of[rows], minlength=len(table.width))[used]
        return BlockBatch(
            buffer=buffer,
            contig=contig,
            start=np.where(is_reverse == 1, backward, forward),
            length=table.size[own],
            is_reverse=is_reverse,
            width=table.width[used],
            reference_at=table.letters_at[own],
            first_row=np.concatenate([[0], np.cumsum(kept)]).astype(np.int64),
            species=species[rows],
            letters_at=letters_at[rows],
            line=table.line[own],
        )

    def _consensus(
        self,
        table: RowTable,
        owners: Owners,
        block_of: NDArray[np.int64],
        keep: NDArray[np.uint8],
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Replace rows marked 2 by one row each; the first of them then points to new letters."""
        marked = np.flatnonzero(keep == 2)
        groups: dict[tuple[int, int], list[int]] = {}
        for row in marked.tolist():
            key = int(block_of[row]), int(owners.species[row])
            groups.setdefault(key, []).append(row)
        letters_at = table.letters_at.copy()
        pieces, end = [table.buffer], len(table.buffer)
        keep[marked] = 0
        for (block, _), rows in groups.items():
            out = np.empty(int(table.width[block]), dtype=np.uint8)
            kernels.consensus(
                table.buffer, table.letters_at, np.array(rows, dtype=np.int64), len(out), out
            )
            keep[rows[0]] = 1
            letters_at[rows[0]] = end
            pieces.append(out)
            end += len(out)
        return np.concatenate(pieces), letters_at

    def _contigs_of(
        self, table: RowTable, owners: Owners, rows: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Contig index of reference rows; checks that a contig has one length."""
        is_new = np.empty(len(rows), dtype=np.uint8)
        kernels.mark_contigs(table.buffer, rows, owners.contig_at, owners.contig_end, is_new)
        changes = np.flatnonzero(is_new)
        indices = np.empty(len(changes), dtype=np.int64)
        for number, change in enumerate(changes.tolist()):
            row = int(rows[change])
            name = table.buffer[owners.contig_at[row] : owners.contig_end[row]].tobytes()
            if name not in self._contig_index:
                self._add_contig(name, int(table.source_size[row]), int(table.line[row]))
            indices[number] = self._contig_index[name]
        contig = np.repeat(indices, np.diff(np.append(changes, len(rows))))
        lengths = np.array([*self.contigs.values(), 0], dtype=np.int64)
        differs = np.flatnonzero(table.source_size[rows] != lengths[contig])
        if len(differs):
            row = int(rows[differs[0]])
            known = list(self.contigs.items())[int(contig[differs[0]])]
            self._fail(
                f"contig {known[0]} has the source size {table.source_size[row]}, but {known[1]} "
                "above",
                int(table.line[row]),
                "do not join alignments of different assemblies",
            )
        return contig

    def _add_contig(self, name: bytes, length: int, line: int) -> None:
        if length > MAX_COORDINATE:
            self._fail(f"the source size {length} lies beyond {MAX_COORDINATE}", line)
        try:
            text = name.decode()
        except UnicodeDecodeError:
            self._fail(f"the contig name {shown(name)} is no text", line)
        self._contig_index[name] = len(self.contigs)
        self.contigs[text] = length

    def _check_owners(self, table: RowTable, owners: Owners) -> None:
        unknown = np.flatnonzero(owners.species == kernels.UNKNOWN)
        if self.reference is None:
            first = int(owners.species[0])
            if first < 0 and (self._drop_unknown or first == kernels.IGNORED):
                self._fail(
                    f"the first row, {self._source(table, 0)}, is of no tip of the tree and "
                    "cannot be the reference",
                    int(table.line[0]),
                    "give --reference",
                )
            if first >= 0:
                self.reference = self._species[first]
        if len(unknown) and not self._drop_unknown:
            row = int(unknown[0])
            self._fail(
                f"no tip of the tree is the species of source {self._source(table, row)}",
                int(table.line[row]),
                f"rename the tips ({self._some_species()}) as the alignment names its species, "
                "or give --unknown-species drop",
            )
        if len(unknown):
            self._count_unknown(table, owners, unknown)

    def _count_unknown(self, table: RowTable, owners: Owners, rows: NDArray[np.int64]) -> None:
        self._note_first(
            UNKNOWN, f"{self._source(table, int(rows[0]))}, line {table.line[rows[0]]}"
        )
        values, first, n_rows = np.unique(
            owners.prefix[rows], return_index=True, return_counts=True
        )
        for value, index, count in zip(
            values.tolist(), rows[first].tolist(), n_rows.tolist(), strict=True
        ):
            if value not in self._prefix_names and len(self._prefix_names) < _MOST_UNKNOWN:
                begin = int(table.source_at[index])
                name = table.buffer[begin : begin + int(table.source_length[index])].tobytes()
                self._prefix_names[value] = shown(name.partition(b".")[0])[1:-1]
            self.counts.unknown_rows[self._prefix_names.get(value, "other names")] += count

    def _count(
        self,
        table: RowTable,
        owners: Owners,
        totals: NDArray[np.int64],
        example: NDArray[np.int64],
    ) -> None:
        for which, text in enumerate((WITHOUT_REFERENCE, EMPTY_REFERENCE)):
            if totals[which]:
                self.counts.notes[text] += int(totals[which])
                self._note_first(text, f"line {table.line[example[which]]}")
        for offset, kind in enumerate(PER_SPECIES[1:]):
            row = int(example[kernels.N_TOTALS + offset])
            if row >= 0:
                species = self._species[int(owners.species[row])]
                self._note_first(kind, f"{species}, line {table.line[row]}")

    def _note_first(self, kind: str, case: str) -> None:
        self.counts.first_case.setdefault(kind, case)

    def _explain(self, table: RowTable, status: int, row: int) -> NoReturn:
        block = int(np.searchsorted(table.first_row, row, side="right")) - 1
        begin, width = int(table.letters_at[row]), int(table.width[block])
        letters = table.buffer[begin : begin + width].tobytes()
        line = int(table.line[row])
        if status == kernels.WRONG_REFERENCE_SIZE:
            found = width - letters.count(b"-")
            self._fail(f"size is {table.size[row]}, but the reference row has {found} bases", line)
        column = next(i for i, letter in enumerate(letters) if letter not in NUCLEOTIDES)
        if letters[column] in _WHITESPACE:
            self._fail(f"the row has {column} columns, the rows above have {width}", line)
        character = letters[column : column + 1]
        self._fail(
            f"{shown(character)} in column {column + 1} is no nucleotide, gap or N",
            line,
            PROTEIN_REMEDY if character.isalpha() else DAMAGED,
        )

    def _source(self, table: RowTable, row: int) -> str:
        begin = int(table.source_at[row])
        return shown(table.buffer[begin : begin + int(table.source_length[row])].tobytes())

    def _some_species(self) -> str:
        """A few of the names that rows may have, for a message."""
        names = sorted(self._species)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return ", ".join(shown(name.encode()) for name in names[:3]) + more

    def _fail(self, problem: str, line: int, remedy: str = DAMAGED) -> NoReturn:
        raise InputError(problem, path=self._path, line=line, remedy=remedy)
