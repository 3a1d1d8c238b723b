"""Multiple alignment format (MAF) -> alignment blocks in reference coordinates.

The format: https://genome.ucsc.edu/FAQ/FAQformat.html#format5. One block is held in memory at a
time.
"""

from __future__ import annotations

import functools
import logging
import os
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, shown_path
from phylotools.io.files import open_input
from phylotools.io.maf_rows import NOT_MAF, MafLines, MafRow, shown
from phylotools.io.regions import Region

logger = logging.getLogger("phylotools")

_N, _GAP, _SOFT_MASK, _CODE_MASK = 4, 5, 8, 7
_INVALID = 255
#: Cells (rows x columns) of one block; four times as many bytes are needed for a moment.
_LARGEST_BLOCK = 1 << 30


def _code_table() -> NDArray[np.uint8]:
    table = np.full(256, _INVALID, dtype=np.uint8)
    table[list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ.*")] = _N
    table[list(b"ACGTU-")] = [0, 1, 2, 3, 3, _GAP]
    table[list(range(ord("a"), ord("z") + 1))] = table[ord("A") : ord("Z") + 1] | _SOFT_MASK
    table.setflags(write=False)
    return table


def _complement_table() -> NDArray[np.uint8]:
    table = np.arange(256, dtype=np.uint8)
    table[:4] = [3, 2, 1, 0]
    table[_SOFT_MASK : _SOFT_MASK + 4] = table[:4] | _SOFT_MASK
    table.setflags(write=False)
    return table


#: uint8[256]: ASCII byte -> code; 255 where the byte belongs in no alignment row.
CODE_OF_BYTE = _code_table()
#: uint8[256]: code -> code on the other strand.
COMPLEMENT = _complement_table()


@dataclass(frozen=True)
class AlignmentBlock:
    """One alignment block, projected to the forward strand of its reference.

    Attributes
    ----------
    region : Region
        Reference positions; L = ``len(region)``, at least 1.
    species : tuple of str
        One per row, each once; the reference is among them.
    bases : uint8 array [S, L]
        Codes of the column store: A=0, C=1, G=2, T=3, N=4, gap=5, plus 8 where lower case.
        Columns in which the reference has a gap are left out.
    contig_length : int
        Length of the reference contig, as the alignment states it.
    line : int
        1-based line number of the reference row; 0 where it comes from no file.
    """

    region: Region
    species: tuple[str, ...]
    bases: NDArray[np.uint8]
    contig_length: int
    line: int = 0


class _Row(NamedTuple):
    """A row of a known species."""

    species: str
    contig: str
    fields: MafRow
    line: int


class MafReader:
    """Iterate over the blocks of a MAF file, as one reference species sees them.

    A source ``species.contig`` belongs to the longest species name that it begins with, so that
    both parts may hold dots; a source that is a species name alone is its own contig. Of several
    rows of one species in a block the one most like the reference stays, the first among equals.
    Blocks without a row of the reference, and rows of ancestors, are passed over.

    Parameters
    ----------
    path : str or PathLike
        Plain, gzip or bgzip; ``-`` is stdin.
    species : collection of str
        Names that rows may have: the tips of the tree.
    reference : str, optional
        Species whose coordinates are used; by default that of the first row of the file.
    ancestors : collection of str
        Names whose rows are passed over in silence: the inner nodes of the tree.
    drop_unknown : bool
        Pass over rows of other species with a warning, instead of an error.

    Attributes
    ----------
    reference : str or None
        Known after the first block.
    species_found : set of str
        Species that had a row in a block of the reference.
    contigs : dict of str to int
        Reference contig -> length.
    counts : Counter
        What `log_warnings` reports, by the text of the warning.

    Raises
    ------
    InputError
        While iterating, with file and line, for anything that cannot be right.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        species: Collection[str],
        *,
        reference: str | None = None,
        ancestors: Collection[str] = (),
        drop_unknown: bool = False,
    ) -> None:
        self.path = os.fspath(path)
        self.reference = reference
        self._is_guessed = reference is None
        self.species_found: set[str] = set()
        self.contigs: dict[str, int] = {}
        self.counts: Counter[str] = Counter()
        self._lines: MafLines
        self._first_case: dict[str, str] = {}
        self._species = frozenset(species)
        self._ancestors = frozenset(ancestors) - self._species - {""}
        self._drop_unknown = drop_unknown
        self._longest_name = max(map(len, self._species | self._ancestors), default=0)
        # Sources repeat from block to block; most of the time of a small row goes into its name.
        self._owner = functools.lru_cache(maxsize=1 << 16)(self._find_owner)

    def __iter__(self) -> Iterator[AlignmentBlock]:
        n_blocks = n_projected = 0
        for rows in self._blocks():
            n_blocks += 1
            block = self._project(rows)
            if block is not None:
                n_projected += 1
                yield block
        if n_blocks == 0:
            raise InputError("holds no alignment block", path=self.path, remedy=NOT_MAF)
        if self._is_guessed and 2 * n_projected < n_blocks:
            raise InputError(
                f"only {n_projected} of {n_blocks} blocks have bases of {self.reference}, the "
                "species of the first row",
                path=self.path,
                remedy="give --reference",
            )

    @property
    def n_bytes(self) -> int:
        """Bytes of text read so far."""
        return self._lines.n_bytes

    def log_warnings(self) -> None:
        """Log each kind of oddity once, with its count and first case."""
        for text, count in self.counts.items():
            logger.warning(
                "%s: %d %s (first: %s)", shown_path(self.path), count, text, self._first_case[text]
            )

    def _blocks(self) -> Iterator[list[_Row]]:
        """Rows of each block that has rows of known species."""
        rows: list[_Row] = []
        in_block, width, n_cells = False, 0, 0
        with open_input(self.path) as handle:
            self._lines = lines = MafLines(handle, self.path)
            while (item := lines.next_row()) is not None:
                if not isinstance(item, MafRow):
                    if rows:
                        yield rows
                    rows, in_block, width, n_cells = [], item, 0, 0
                    continue
                if not in_block:
                    lines.fail("a row outside a block (no 'a' line above)")
                width = width or len(item.text)
                if len(item.text) != width:
                    lines.fail(f"the row has {len(item.text)} columns, the rows above have {width}")
                owner = self._known_owner(item.source)
                if owner is None:
                    continue
                rows.append(_Row(*owner, item, lines.line))
                n_cells += width
                if n_cells > _LARGEST_BLOCK:
                    lines.fail("the block is too large", "split it into shorter blocks")
        if rows:
            yield rows

    def _known_owner(self, source: bytes) -> tuple[str, str] | None:
        """Species and contig of a source; None if its row is to be passed over."""
        owner = self._owner(source)
        if owner is not None and owner[0] not in self._ancestors:
            self.reference = self.reference or owner[0]
            return owner
        if owner is None and not self._drop_unknown:
            self._lines.fail(
                f"no tip of the tree is the species of source {shown(source)}",
                f"rename the tips ({self._some_species()}) as the alignment names its species, or "
                "give --unknown-species drop",
            )
        if self.reference is None:
            self._lines.fail(
                f"the first row, {shown(source)}, is of no tip of the tree and cannot be the "
                "reference",
                "give --reference",
            )
        if owner is None:
            case = f"{shown(source)}, line {self._lines.line}"
            self._count("rows of species that are not in the tree dropped", case)
        return None

    def _some_species(self) -> str:
        """A few of the names that rows may have, for a message."""
        names = sorted(self._species)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return ", ".join(shown(name.encode()) for name in names[:3]) + more

    def _find_owner(self, source: bytes) -> tuple[str, str] | None:
        """Species and contig of a source name; None if the species is unknown."""
        try:
            name = source.decode()
        except UnicodeDecodeError:
            return None
        if name in self._species or name in self._ancestors:
            return name, name
        dot = name.rfind(".", 0, self._longest_name + 1)
        while dot > 0:
            species = name[:dot]
            if species in self._species or species in self._ancestors:
                return species, name[dot + 1 :]
            dot = name.rfind(".", 0, dot)
        return None

    def _project(self, rows: list[_Row]) -> AlignmentBlock | None:
        """Codes of a block in reference columns; None if the reference has no base in it."""
        chosen = next((i for i, row in enumerate(rows) if row.species == self.reference), None)
        if chosen is None:
            case = f"line {rows[0].line}"
            self._count(f"blocks without a row of {self.reference} passed over", case)
            return None
        text = np.frombuffer(b"".join(row.fields.text for row in rows), dtype=np.uint8)
        codes = CODE_OF_BYTE[text].reshape(len(rows), -1)
        self._check_codes(codes, rows, chosen)
        reference = rows[chosen]
        _, start, size, is_reverse, contig_length, _ = reference.fields
        if size == 0:
            return None
        self._check_length(reference)
        is_gap = codes[chosen] == _GAP
        if is_gap.any():
            codes = codes[:, ~is_gap]
        if is_reverse:
            codes = COMPLEMENT[codes[:, ::-1]]
            start = contig_length - start - size
        kept = self._one_row_each(rows, codes, chosen)
        if len(kept) < len(rows):
            codes = codes[kept]
        species = tuple(rows[index].species for index in kept)
        self.species_found.update(species)
        region = Region(reference.contig, start, start + size)
        return AlignmentBlock(region, species, codes, contig_length, reference.line)

    def _check_codes(self, codes: NDArray[np.uint8], rows: list[_Row], reference: int) -> None:
        """Refuse characters that are no bases; compare the sizes with the numbers of bases."""
        if codes.max() == _INVALID:
            row, column = np.argwhere(codes == _INVALID)[0].tolist()
            character = shown(rows[row].fields.text[column : column + 1])
            problem = f"{character} in column {column + 1} is no nucleotide, gap or N"
            self._lines.fail(problem, line=rows[row].line)
        n_bases = np.count_nonzero(codes != _GAP, axis=1)
        sizes = np.array([row.fields.size for row in rows])
        for index in np.flatnonzero(n_bases != sizes).tolist():
            line, size, found = rows[index].line, sizes[index], n_bases[index]
            if index == reference:
                problem = f"size is {size}, but the reference row has {found} bases"
                self._lines.fail(problem, line=line)
            case = f"line {line}, size {size}, {found} bases"
            self._count("rows whose size is not their number of bases", case)

    def _check_length(self, reference: _Row) -> None:
        length = reference.fields.source_size
        known = self.contigs.setdefault(reference.contig, length)
        if known != length:
            self._lines.fail(
                f"contig {reference.contig} has the source size {length}, but {known} above",
                "do not join alignments of different assemblies",
                line=reference.line,
            )

    def _one_row_each(
        self, rows: list[_Row], codes: NDArray[np.uint8], reference: int
    ) -> list[int]:
        """Indices of the rows that stay, one per species."""
        best: dict[str, int] = {}
        for index, row in enumerate(rows):
            if row.species not in best:
                best[row.species] = index
                continue
            case = f"{row.species}, line {row.line}"
            self._count("further rows of a species in a block dropped, the most similar kept", case)
            if _identity(codes[index], codes[reference]) > _identity(
                codes[best[row.species]], codes[reference]
            ):
                best[row.species] = index
        return list(best.values())

    def _count(self, text: str, case: str) -> None:
        self.counts[text] += 1
        self._first_case.setdefault(text, case)


def _identity(codes: NDArray[np.uint8], reference: NDArray[np.uint8]) -> int:
    """Number of positions at which both rows have the same base."""
    bases = codes & _CODE_MASK
    return int(((bases == (reference & _CODE_MASK)) & (bases < _N)).sum())
