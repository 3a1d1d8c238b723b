"""Tables as delimited text (TSV, CSV): dialect, rows as they stand, the columns of a variant.

Cells stay the bytes that they are, quotes and all, so that a table can be written again with more
columns and nothing else changed; `cell_text` says what a cell means.
"""

from __future__ import annotations

import itertools
import math
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from phylotools.errors import InputError

#: A longer line, or a longer quoted cell, is taken for a damaged or binary file.
LONGEST_LINE = 64 << 20
_MOST_LINES_BEFORE_HEADER = 100_000
_MOST_LINES_OF_A_ROW = 10_000
#: Blank lines are passed over, but not without end.
_MOST_BLANK_LINES = 1 << 20
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
UTF16, UTF16_REMEDY = "is UTF-16", "save it as UTF-8: iconv -f UTF-16 -t UTF-8"
_DELIMITERS = (b"\t", b",", b";")
#: Raw cells: quoted ones may hold the delimiter and, doubled, quotes.
_CELLS = {
    delimiter: re.compile(
        rb'((?:"[^"]*(?:""[^"]*)*")?[^' + delimiter + rb"]*)(?:" + delimiter + rb"|\Z)"
    )
    for delimiter in _DELIMITERS
}
_MAX_POSITION = 1 << 40
_WHOLE = re.compile(r"([0-9]{1,13})(?:\.0*)?")
#: The columns of a variant, by the spellings that are in use; the first that is there counts.
_CONTIG = ("chrom", "contig", "chr", "chromosome", "seqnames", "hm_chrom", "chromosome_name")
_POSITION = ("pos", "position", "pos(1-based)", "start_position", "base_pair_location", "bp")
_REF = ("ref", "reference", "ref_allele", "reference_allele", "refallele")
_ALT = ("alt", "alternate", "alternative", "alt_allele", "alternate_allele", "alternative_allele",
        "altallele", "tumor_seq_allele2")  # fmt: skip
_WHOLE_VARIANT = ("variant", "variant_id", "variantid", "varid", "variant_key", "id", "snp",
                  "snp_id", "snpid", "marker", "markername")  # fmt: skip
_SPELLED_VARIANT = re.compile(
    r"(?P<contig>\S+)[:_-](?P<position>[0-9]+)[:_-](?P<ref>[A-Za-z*.]+)[:_/>-]"
    r"(?P<alt>[A-Za-z*.,]+|<[^<>\s]+>)(?:_b3[78])?"
)
_OPEN_QUOTE = "a quote that opens on this line is never closed"
TABLE_REMEDY = (
    "give a table, separated by tabs, commas or semicolons, whose header names CHROM, POS, REF and "
    "ALT, or one column of chr:pos:ref:alt"
)


class Row(NamedTuple):
    """One row of a table.

    Attributes
    ----------
    line : int
        1-based, of its beginning.
    text : bytes
        Without its line end.
    cells : list of bytes
        As they stand in the text.
    """

    line: int
    text: bytes
    cells: list[bytes]


class NamedVariant(NamedTuple):
    """What a row says of its variant; `position` is 1-based, alleles are as written."""

    contig: str
    position: int
    ref: str
    alt: str


@dataclass(frozen=True)
class VariantColumns:
    """Where a table names its variants.

    Attributes
    ----------
    indices : tuple of int
        Columns of contig, position, REF and ALT; or the one column of whole variants.
    """

    indices: tuple[int, ...]

    @classmethod
    def find(cls, names: Sequence[str]) -> VariantColumns | None:
        """Find them by their usual names, in any case; None where there are none."""
        plain = [name.strip().lstrip("#").lower().replace(" ", "_") for name in names]
        found = [
            next((plain.index(name) for name in spellings if name in plain), None)
            for spellings in (_CONTIG, _POSITION, _REF, _ALT)
        ]
        if None not in found:
            return cls(tuple(index for index in found if index is not None))
        whole = next((plain.index(name) for name in _WHOLE_VARIANT if name in plain), None)
        return None if whole is None else cls((whole,))

    def read(self, values: Sequence[str]) -> NamedVariant:
        """The variant of a row.

        Parameters
        ----------
        values : sequence of str
            All cells of the row, or what stands for them at `indices`.

        Raises
        ------
        ValueError
            With what is wrong, where they name none.
        """
        if len(self.indices) == 1:
            return parse_variant(values[self.indices[0]])
        contig, position, ref, alt = (values[index].strip() for index in self.indices)
        if not contig or not ref or not alt:
            raise ValueError("the row lacks contig, REF or ALT")
        return NamedVariant(contig, parse_position(position), ref, alt)


def parse_variant(text: str) -> NamedVariant:
    """A variant written ``chr:pos:ref:alt``, also with ``-``, ``_`` or ``>`` between its parts.

    Raises
    ------
    ValueError
        If it is none.
    """
    match = _SPELLED_VARIANT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:60]!r} is no variant chr:pos:ref:alt")
    return NamedVariant(
        match["contig"], parse_position(match["position"]), match["ref"], match["alt"]
    )


def parse_position(text: str) -> int:
    """A position as spreadsheets write it: ``3310`` or ``3310.0``.

    Raises
    ------
    ValueError
        If it is no whole number.
    """
    match = _WHOLE.fullmatch(text)
    if match is None or int(match[1]) >= _MAX_POSITION:
        why = ": exponents lose digits" if re.fullmatch(r"[0-9.]+[eE]\+?[0-9]+", text) else ""
        raise ValueError(f"{text[:40]!r} is not a position{why}")
    return int(match[1])


def tsv_lines(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Lines of a table of ours, header first: numbers to six digits, ``NA`` for None and NaN."""
    for row in itertools.chain([header], rows):
        yield "\t".join(map(_tsv_cell, row)) + "\n"


def _tsv_cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "NA"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)


def cell_text(cell: bytes) -> str:
    """What a cell says, without quotes around it.

    Raises
    ------
    UnicodeDecodeError
    """
    if cell[:1] == b'"':
        end = cell.rfind(b'"')
        if end > 0:
            cell = cell[1:end].replace(b'""', b'"') + cell[end + 1 :]
    return cell.decode()


def quoted_cell(text: bytes, delimiter: bytes) -> bytes:
    """A cell that says `text`, in quotes where it needs them."""
    if delimiter in text or b'"' in text or b"\n" in text:
        return b'"' + text.replace(b'"', b'""') + b'"'
    return text


class DelimitedText:
    """A table whose header has been read, and rows still to come.

    Parameters
    ----------
    path : str
        For messages; ``-`` is stdin.
    numbered : iterator of (int, bytes)
        Lines with their 1-based numbers.

    Attributes
    ----------
    path : str
    preamble : tuple of bytes
        Comments and blank lines before the header.
    header : bytes
        The header's line.
    names : tuple of str
        Of the columns; ``""`` for row names, also where the header leaves them out (R does).
    delimiter, line_end : bytes
    variant_columns : VariantColumns or None

    Raises
    ------
    InputError
        If there is no header, or it is no text.
    """

    def __init__(self, path: str, numbered: Iterator[tuple[int, bytes]]) -> None:
        self.path = path
        self._numbered = numbered
        preamble: list[bytes] = []
        for number, line in numbered:
            if number == 1 and line.startswith(UTF16_BOMS):
                raise self.error(UTF16, number, UTF16_REMEDY)
            self._check_text(line, number)
            text = _without_end(line)
            if b"\r" in text.rstrip(b"\r"):
                raise self.error("line ends are CR only", number, "convert them: tr '\\r' '\\n'")
            bare = text.removeprefix(BOM_UTF8) if number == 1 else text
            if bare.strip() and not bare.startswith(b"##"):
                self.delimiter, self.names = self._header_cells(bare, number)
                self.variant_columns = VariantColumns.find(self.names)
                if self.variant_columns is not None or not bare.startswith(b"#"):
                    break
            if len(preamble) == _MOST_LINES_BEFORE_HEADER:
                raise self.error("has no header", number, TABLE_REMEDY)
            preamble.append(text)
        else:
            problem = "has no header" if preamble else "is empty"
            raise InputError(problem, path=path, remedy=TABLE_REMEDY)
        if self.delimiter != b"\t" and _is_open(bare, self.delimiter):
            raise self.error(_OPEN_QUOTE, number, "close it")
        self.preamble = tuple(preamble)
        self.header = text
        self.line_end = line[len(text) :] or b"\n"
        self._first_rows: list[Row] = []
        self._first_error: InputError | None = None
        try:
            self._first_rows += itertools.islice(self._rows(), 1)
        except InputError as error:  # of the rows, not of the header
            self._first_error = error
        if self._first_rows and len(self._first_rows[0].cells) == len(self.names) + 1:
            self.names = ("", *self.names)
            self.variant_columns = VariantColumns.find(self.names)

    def error(self, problem: str, line: int, remedy: str = TABLE_REMEDY) -> InputError:
        """An error about a line of this table."""
        return InputError(problem, path=self.path, line=line, remedy=remedy)

    def rows(self) -> Iterator[Row]:
        """Every row that is not blank, in order; can be read once.

        Raises
        ------
        InputError
            With its line, where a row has another number of columns than the header, is no text,
            or opens a quote that nothing closes.
        """
        yield from self.first_rows()
        yield from self._checked(self._rows())

    @property
    def first_row_end(self) -> int | None:
        """1-based number of the line in which the first row ends; None where there is none."""
        return next((row.line + row.text.count(b"\n") for row in self._first_rows), None)

    def drop_first_rows(self) -> None:
        """Leave the rows that were read with the header to another reader."""
        self._first_rows, self._first_error = [], None

    def first_rows(self) -> Iterator[Row]:
        """The rows that were read with the header; as for `rows`."""
        if self._first_error is not None:
            raise self._first_error
        yield from self._checked(self._first_rows)

    def later_rows(self, numbered: Iterator[tuple[int, bytes]]) -> Iterator[Row]:
        """Rows of lines that somebody else read, with their numbers; as for `rows`."""
        self._numbered = numbered
        yield from self._checked(self._rows())

    def _checked(self, rows: Iterable[Row]) -> Iterator[Row]:
        n_columns = len(self.names)
        for row in rows:
            if len(row.cells) != n_columns:
                raise self.error(
                    f"{len(row.cells)} columns where the header has {n_columns}",
                    row.line,
                    "mend the row, or put cells that hold the delimiter in quotes",
                )
            yield row

    def texts(self, row: Row) -> list[str]:
        """What the cells of a row say.

        Raises
        ------
        InputError
            If they are not UTF-8.
        """
        try:
            return [cell_text(cell) for cell in row.cells]
        except UnicodeDecodeError:
            raise self._not_utf8(row.line) from None

    def variant(self, row: Row) -> NamedVariant:
        """The variant of a row.

        Raises
        ------
        InputError
            If it names none.
        """
        columns = self.variant_columns
        if columns is None:
            raise InputError("names no variants", path=self.path, remedy=TABLE_REMEDY)
        try:
            if len(columns.indices) == 1:
                return parse_variant(cell_text(row.cells[columns.indices[0]]))
            return _FOUR.read([cell_text(row.cells[index]) for index in columns.indices])
        except UnicodeDecodeError:
            raise self._not_utf8(row.line) from None
        except ValueError as error:
            raise self.error(str(error), row.line, "mend the row") from None

    def split(self, text: bytes) -> list[bytes]:
        """The cells of a row's text, as they stand there."""
        return _split(text, self.delimiter)

    def _rows(self) -> Iterator[Row]:
        n_blank = 0
        for number, line in self._numbered:
            self._check_text(line, number)
            text = _without_end(line)
            if not text:
                n_blank += 1
                if n_blank > _MOST_BLANK_LINES:
                    raise self.error(f"has more than {_MOST_BLANK_LINES} blank lines", number)
                continue
            if b'"' in text and _is_open(text, self.delimiter):
                text = self._closed(line, number)
            yield Row(number, text, self.split(text))

    def _closed(self, line: bytes, number: int) -> bytes:
        """A row whose quoted cell goes on in the next lines."""
        if self.delimiter == b"\t":
            return _without_end(line)  # free text of TSV may hold a lone quote
        parts, length, n_quotes = [line], len(line), line.count(b'"')
        for _, more in itertools.islice(self._numbered, _MOST_LINES_OF_A_ROW):
            parts.append(more)
            length += len(more)
            n_quotes += more.count(b'"')
            if length > LONGEST_LINE:
                break
            if n_quotes % 2 == 0:
                return _without_end(b"".join(parts))
        raise self.error(_OPEN_QUOTE, number, "close it")

    def _header_cells(self, text: bytes, number: int) -> tuple[bytes, tuple[str, ...]]:
        """Delimiter and names: those that name variants, else those that make most columns."""
        try:
            options = [
                (delimiter, tuple(cell_text(cell).strip() for cell in _split(text, delimiter)))
                for delimiter in _DELIMITERS
            ]
        except UnicodeDecodeError:
            raise self._not_utf8(number) from None
        for delimiter, names in options:
            if VariantColumns.find(names) is not None:
                return delimiter, names
        return max(options, key=lambda option: len(option[1]))

    def _check_text(self, line: bytes, number: int) -> None:
        if len(line) >= LONGEST_LINE or b"\0" in line:
            raise self.error("is no text", number)

    def _not_utf8(self, number: int) -> InputError:
        return self.error("is not UTF-8", number, "convert it: iconv -f LATIN1 -t UTF-8")


#: The columns of a variant, already picked out.
_FOUR = VariantColumns((0, 1, 2, 3))


def _without_end(line: bytes) -> bytes:
    return line.removesuffix(b"\n").removesuffix(b"\r")


def _split(text: bytes, delimiter: bytes) -> list[bytes]:
    if b'"' not in text or (delimiter == b"\t" and _is_open(text, delimiter)):
        return text.split(delimiter)
    cells = _CELLS[delimiter].findall(text)
    # At the end of the text the pattern finds an empty cell once more.
    return cells if text.endswith(delimiter) else cells[:-1]


def _is_open(text: bytes, delimiter: bytes) -> bool:
    """Whether a row ends within a quoted cell."""
    at = 0
    while at < len(text):
        if text[at : at + 1] == b'"':
            at += 1
            while True:
                at = text.find(b'"', at)
                if at < 0:
                    return True
                if text[at + 1 : at + 2] != b'"':
                    break
                at += 2
        at = text.find(delimiter, at)
        if at < 0:
            return False
        at += 1
    return False
