"""Many alleles at once: keys and places as arrays, values as text that lies in one buffer.

What `ScoredFile.alleles` gives one by one, for joins of millions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.allele_kernels import (
    PER_ALLELE,
    UNREAD,
    allele_values,
    count_alleles,
    hash_texts,
    read_numbers,
    split_alleles,
)
from phylotools.io.score_text import NUMBERS_REMEDY, number_of

if TYPE_CHECKING:
    pass

Integers = NDArray[np.int64]
#: Where a value begins that is not there, or is a flag.
ABSENT, _FLAG = -1, -2


class Texts(NamedTuple):
    """Texts of some rows: distinct ones, None for what the file does not say, and which is whose.

    Attributes
    ----------
    distinct : list of (str or None)
    codes : int64 array
        Index into `distinct`.
    """

    distinct: list[str | None]
    codes: Integers


@dataclass(frozen=True)
class AlleleBlock:
    """M alleles of a file, REF and ALT in minimal form, and what was asked for of each.

    Attributes
    ----------
    path : str
    columns : sequence of str
        What was asked for.
    contigs : list of str
        As the file spells them; a name may stand there twice.
    contig_index : int32 array [M]
    starts : int64 array [M]
        0-based, of the first base of REF.
    keys : uint64 array [M]
        Equal for equal REF and ALT.
    text : uint8 array
        Where the alleles and values lie.
    spans : int64 array [M, 4]
        Begin and end of REF and of ALT.
    written : int64 array [M, 2]
        Begin and end of ALT as the record has it.
    lines : int64 array [M]
        1-based; 0 where an index was used, so that nobody counted.
    begins, ends : list of int64 array [M]
        Of the values of each column; -1 where there is none, -2 for flags.
    known : dict of int to float64 array [M]
        Columns that are numbers in the file; nothing is to be read for them.
    """

    path: str
    columns: Sequence[str]
    contigs: list[str]
    contig_index: NDArray[np.int32]
    starts: Integers
    keys: NDArray[np.uint64]
    text: NDArray[np.uint8]
    spans: Integers
    written: Integers
    lines: Integers
    begins: list[Integers]
    ends: list[Integers]
    known: dict[int, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.starts)

    def line(self, row: int) -> int | None:
        """1-based line of a row, where it is known."""
        return int(self.lines[row]) or None

    def first_letters(self) -> NDArray[np.uint8]:
        """The first base of each REF, upper case."""
        letters = self.text[self.spans[:, 0]]
        return np.where((letters >= ord("a")) & (letters <= ord("z")), letters - 32, letters)

    def alleles(self, row: int) -> tuple[str, str]:
        """REF and ALT of a row, upper case."""
        a, b, c, d = self.spans[row].tolist()
        return self._decoded(a, b).upper(), self._decoded(c, d).upper()

    def written_alt(self, row: int) -> str:
        """ALT as the record has it, upper case."""
        return self._decoded(*self.written[row].tolist()).upper()

    def numbers(
        self, column: int, rows: Integers, remedy: str = NUMBERS_REMEDY
    ) -> NDArray[np.float64]:
        """The values of a column as numbers, NaN where there is none.

        Parameters
        ----------
        column : int
            Index into `columns`.
        rows : int64 array [K]
        remedy : str
            For the message about what is no number.

        Raises
        ------
        InputError
            With its line, if one is no number.
        """
        if column in self.known:
            return self.known[column][rows]
        begins, ends = self.begins[column][rows], self.ends[column][rows]
        values = np.empty(len(rows), dtype=np.float64)
        states = np.empty(len(rows), dtype=np.uint8)
        read_numbers(self.text, begins, ends, values, states)
        for at in np.flatnonzero(states == UNREAD).tolist():
            text = self._value(int(begins[at]), int(ends[at]))
            line = self.line(int(rows[at]))
            values[at] = number_of(text, self.columns[column], self.path, line, remedy)
        return values

    def texts(self, column: int, rows: Integers) -> Texts:
        """The values of a column as text.

        Parameters
        ----------
        column : int
            Index into `columns`.
        rows : int64 array [K]
        """
        if column in self.known:
            values, codes = np.unique(self.known[column][rows], return_inverse=True)
            return Texts([None if v != v else str(v) for v in values.tolist()], codes)
        begins, ends = self.begins[column][rows], self.ends[column][rows]
        hashes = np.empty(len(rows), dtype=np.uint64)
        hash_texts(self.text, begins, ends, hashes)
        _, firsts, codes = np.unique(hashes, return_index=True, return_inverse=True)
        places = zip(begins[firsts].tolist(), ends[firsts].tolist(), strict=True)
        return Texts([self._value(begin, end) for begin, end in places], codes.astype(np.int64))

    def _value(self, begin: int, end: int) -> str | None:
        if begin < 0:
            # A field without a value is a flag.
            return "1" if begin == _FLAG else None
        return self._decoded(begin, end)

    def _decoded(self, begin: int, end: int) -> str:
        return self.text[begin:end].tobytes().decode("utf-8", "replace")


def split_records(
    path: str,
    columns: Sequence[str],
    text: NDArray[np.uint8],
    contigs: tuple[list[str], NDArray[np.int32]],
    positions: Integers,
    refs: tuple[Integers, Integers],
    alts: tuple[Integers, Integers],
    lines: Integers,
    values: tuple[Integers, Integers],
    modes: Sequence[int],
) -> AlleleBlock:
    """Alleles of N records, whose values lie at [N, C] places.

    Raises
    ------
    InputError
        If a record has another number of values than its mode says.
    """
    n_alts = np.empty(len(positions), dtype=np.int64)
    count_alleles(text, *alts, n_alts)
    n = int(n_alts.sum())
    record, place, starts = (np.empty(n, dtype=np.int64) for _ in range(3))
    keys = np.empty(n, dtype=np.uint64)
    spans, written = np.empty((n, 4), dtype=np.int64), np.empty((n, 2), dtype=np.int64)
    split_alleles(text, positions, *refs, *alts, record, place, starts, keys, spans, written)
    begins, ends = [], []
    for index, mode in enumerate(modes):
        value_begins, value_ends = (np.ascontiguousarray(each[:, index]) for each in values)
        begin, end = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        wrong = allele_values(
            text, value_begins, value_ends, record, place, n_alts, mode, begin, end
        )
        if wrong >= 0:
            i = int(record[wrong])
            found = text[value_begins[i] : value_ends[i]].tobytes().decode("utf-8", "replace")
            raise wrong_number_of_values(
                found, int(n_alts[i]), mode == PER_ALLELE, path, int(lines[i]) or None
            )
        begins.append(begin)
        ends.append(end)
    names, contig_index = contigs
    return AlleleBlock(
        path, columns, names, contig_index[record], starts, keys, text, spans, written,
        lines[record], begins, ends,
    )  # fmt: skip


def wrong_number_of_values(
    text: str, n_alts: int, is_with_ref: bool, path: str, line: int | None
) -> InputError:
    """The error of a record that has not one value for each allele."""
    return InputError(
        f"{text.count(',') + 1} values ({text[:40]!r}) for {n_alts} ALT alleles, though the header "
        f"says Number={'R' if is_with_ref else 'A'}",
        path=path,
        line=line,
        remedy="repair the record or its header line",
    )
