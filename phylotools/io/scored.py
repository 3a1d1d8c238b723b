"""Scores, labels and whatever else files say of variants: VCF, BCF, TSV, CSV and Parquet.

Records of VCF and BCF are taken apart by cyvcf2, line by line. What it gets are lines that are
known to be records (htslib crashes on others), and every INFO field declared as text, so that a
value comes out as it is written and a score that is no number is found.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple, Protocol

import numpy as np

from phylotools.errors import InputError
from phylotools.io.allele_blocks import AlleleBlock
from phylotools.io.allele_reading import (
    blocks_of_alleles,
    blocks_of_batches,
    blocks_of_records,
    blocks_of_rows,
)
from phylotools.io.delimited import DelimitedText, NamedVariant, Row, cell_text
from phylotools.io.score_text import MISSING_SCORE as MISSING_SCORE
from phylotools.io.score_text import number_of, present, trimmed
from phylotools.io.variant_table import ParquetRows, TextRows
from phylotools.io.vcf.reader import VariantStream, open_variants
from phylotools.io.vcf.records import LineBlock, RecordTable, scan_records
from phylotools.io.vcf.text import FIXED_COLUMNS

_MAX_POSITION = 1 << 40
_INFO_ID = re.compile(r"##INFO=<(?:[^\"]*,)?ID=([^,>]+)")
_INFO_NUMBER = re.compile(r"[<,]Number=([^,>]+)")
_INFO_DESCRIPTION = re.compile(r'Description="((?:[^"\\]|\\.)*)"')
_FIXED_COLUMNS = ("ID", "QUAL", "FILTER")
#: Of a table without a header.
BARE_COLUMNS = ("chrom", "pos", "ref", "alt", "score")
_NOTE = "##phylotools_"
_MAX_NOTES = 100


class Allele(NamedTuple):
    """One ALT allele, its REF and ALT trimmed to minimal form, and what was asked for.

    Attributes
    ----------
    line : int
        1-based, in the file; the row of a Parquet file.
    contig : str
        As the file spells it.
    position : int
        0-based, of the first base of `ref`.
    ref, alt : str
        Upper case.
    values : tuple of (str or None)
        One for each column asked for; None where the file says nothing.
    """

    line: int
    contig: str
    position: int
    ref: str
    alt: str
    values: tuple[str | None, ...]


class ScoredFile(Protocol):
    """A file of variants: a header that has been read, and alleles still to come.

    Attributes
    ----------
    path : str
    columns : tuple of str
        What `alleles` can be asked for.
    notes : tuple of str
        Header lines in which phylotools says how it made the file.
    descriptions : mapping of str to str
        INFO key -> its Description; empty of a table.
    lengths : mapping of str to int
        Contigs whose lengths the header says.
    """

    path: str
    columns: tuple[str, ...]
    notes: tuple[str, ...]
    descriptions: Mapping[str, str]
    lengths: Mapping[str, int]

    def alleles(self, columns: Sequence[str]) -> Iterator[Allele]:
        """Every ALT allele, in order, with its values of these columns; can be read once.

        Raises
        ------
        InputError
            With its line, where a line cannot be understood or the file is truncated.
        """

    def blocks(
        self,
        columns: Sequence[str],
        *,
        whole: Collection[int] = (),
        lines: Iterator[LineBlock] | None = None,
    ) -> Iterator[AlleleBlock]:
        """As `alleles`, many at once.

        Parameters
        ----------
        columns : sequence of str
        whole : collection of int
            Which of these columns are wanted as records have them, not by allele.
        lines : iterator of LineBlock, optional
            Lines of the file to read instead of all, as an index finds them.
        """


@contextlib.contextmanager
def open_scored(path: str, *, may_lack_header: bool = False) -> Iterator[ScoredFile]:
    """Open a file of variants and read its header; the format is sniffed.

    Parameters
    ----------
    path : str
        VCF, BCF, TSV, CSV or Parquet; text plain, gzip or bgzip; ``-`` for stdin.
    may_lack_header : bool
        Whether a table may begin with its first row: contig, position, REF, ALT, score.

    Raises
    ------
    InputError
        If it cannot be read, is empty, or is none of these.
    """
    with open_variants(path, bare_columns=BARE_COLUMNS if may_lack_header else ()) as stream:
        if isinstance(stream.rows, TextRows):
            yield _ScoredText(stream.rows.table, stream.rows.later)
        elif isinstance(stream.rows, ParquetRows):
            yield _ScoredParquet(stream.rows)
        else:
            yield _ScoredVcf(stream)


class _ScoredVcf:
    """A VCF or BCF; its columns are the declared INFO fields, and ID, QUAL and FILTER."""

    def __init__(self, stream: VariantStream) -> None:
        self.path = stream.path
        self._stream = stream
        self._number: dict[str, str] = {}
        descriptions: dict[str, str] = {}
        declared_contigs = stream.header.contigs.items()
        self.lengths: Mapping[str, int] = {
            name: length for name, length in declared_contigs if length is not None
        }
        notes = []
        for line in stream.header.lines:
            text = line.decode("utf-8", "replace")
            if declared := _INFO_ID.match(text):
                number = _INFO_NUMBER.search(text)
                self._number[declared[1]] = number[1] if number else "."
                if description := _INFO_DESCRIPTION.search(text):
                    descriptions[declared[1]] = re.sub(r"\\(.)", r"\1", description[1])
            elif text.startswith(_NOTE):
                notes.append(text)
        self.descriptions: Mapping[str, str] = descriptions
        self.notes = tuple(notes[-_MAX_NOTES:])
        self.columns = (*self._number, *(c for c in _FIXED_COLUMNS if c not in self._number))

    def alleles(self, columns: Sequence[str]) -> Iterator[Allele]:
        numbers = [self._number.get(name) for name in columns]
        fields = list(zip(columns, numbers, strict=True))
        for line, record in self._records(fields):
            contig, start, ref = record.CHROM, record.start, record.REF.upper()
            alts = record.ALT or ["."]
            info = record.INFO
            texts = [
                _fixed_column(record, name) if number is None else info.get(name)
                for name, number in fields
            ]
            for place, alt in enumerate(alts):
                try:
                    values = tuple(map(_value, texts, numbers, repeat(place), repeat(len(alts))))
                except ValueError as error:
                    remedy = "repair the record or its header line"
                    raise InputError(str(error), path=self.path, line=line, remedy=remedy) from None
                yield Allele(line, contig, *trimmed(start, ref, alt.upper()), values)

    def blocks(
        self,
        columns: Sequence[str],
        *,
        whole: Collection[int] = (),
        lines: Iterator[LineBlock] | None = None,
    ) -> Iterator[AlleleBlock]:
        numbers = [self._number.get(name) for name in columns]
        if "QUAL" in columns and self._number.get("QUAL") is None:
            # htslib keeps qualities in 32 bits.
            return blocks_of_alleles(self.alleles(columns), columns, self.path)
        source = self._stream.blocks if lines is None else lines
        is_whole = [index in whole for index in range(len(columns))]
        return blocks_of_records(self._tables(source), columns, numbers, is_whole, self.path)

    def _tables(self, blocks: Iterable[LineBlock]) -> Iterator[RecordTable]:
        for block in blocks:
            table = scan_records(block, self._stream.header.n_columns, self.path)
            _check(table, False, self.path)
            yield table

    def _records(self, fields: Sequence[tuple[str, str | None]]) -> Iterator[tuple[int, Any]]:
        """1-based line of every record, and the record as cyvcf2 has it."""
        keys = [name for name, number in dict(fields).items() if number is not None]
        has_quality = ("QUAL", None) in fields
        header = self._stream.header
        with _line_parser(header.contigs, keys, self.path) as parse:
            for block in self._stream.blocks:
                table = scan_records(block, header.n_columns, self.path)
                _check(table, has_quality, self.path)
                lines = table.reduced(keys).decode("utf-8", "replace").split("\n")[:-1]
                numbers = (block.first_line + table.line_index).tolist()
                for number, line in zip(numbers, lines, strict=True):
                    try:
                        record = parse(line)
                    except Exception as error:
                        problem = "the record is none that htslib can read"
                        raise InputError(
                            problem, path=self.path, line=number, remedy="mend the line"
                        ) from error
                    yield number, record


class _ScoredText:
    """A table of text; every column can be asked for but those that name the variant."""

    def __init__(self, table: DelimitedText, later: Iterator[LineBlock]) -> None:
        assert table.variant_columns is not None
        self.path = table.path
        self._table = table
        self._later = later
        self.descriptions: Mapping[str, str] = {}
        self.lengths: Mapping[str, int] = {}
        indices = range(len(table.names))
        self._index = {table.names[i]: i for i in indices if i not in table.variant_columns.indices}
        self.columns = tuple(name for name in self._index if name)
        notes = [line.decode("utf-8", "replace") for line in table.preamble]
        self.notes = tuple(line for line in notes if line.startswith(_NOTE))[-_MAX_NOTES:]
        for name in self.columns:
            if table.names.count(name) > 1:
                raise InputError(f"column {name!r} occurs twice", path=self.path)

    def alleles(self, columns: Sequence[str]) -> Iterator[Allele]:
        return self._alleles(self._table.rows(), columns)

    def _alleles(self, rows: Iterator[Row], columns: Sequence[str]) -> Iterator[Allele]:
        table = self._table
        indices = [self._index[name] for name in columns]
        for row in rows:
            variant = table.variant(row)
            try:
                texts = [cell_text(row.cells[index]) for index in indices]
            except UnicodeDecodeError:
                texts = [row.cells[index].decode("utf-8", "replace") for index in indices]
            yield from _row_alleles(row.line, variant, texts)

    def blocks(
        self,
        columns: Sequence[str],
        *,
        whole: Collection[int] = (),
        lines: Iterator[LineBlock] | None = None,
    ) -> Iterator[AlleleBlock]:
        def slow(rows: Iterator[Row]) -> Iterator[Allele]:
            return self._alleles(rows, columns)

        if lines is None:
            first_rows = slow(self._table.first_rows())
            yield from blocks_of_alleles(first_rows, columns, self.path)
        indices = [self._index[name] for name in columns]
        source = self._later if lines is None else lines
        yield from blocks_of_rows(self._table, source, columns, indices, slow)


class _ScoredParquet:
    """A Parquet file; as `_ScoredText`, and null where it says nothing."""

    def __init__(self, rows: ParquetRows) -> None:
        self.path = rows.path
        self._rows = rows
        self.columns = tuple(name for name in rows.names if name not in rows.variant_names)
        self.notes: tuple[str, ...] = ()
        self.descriptions: Mapping[str, str] = {}
        self.lengths: Mapping[str, int] = {}

    def alleles(self, columns: Sequence[str]) -> Iterator[Allele]:
        names = [*self._rows.variant_names, *columns]
        for first, batch in self._rows.batches(list(dict.fromkeys(names))):
            yield from self._alleles(first, batch, columns)

    def _alleles(self, first: int, batch: Any, columns: Sequence[str]) -> Iterator[Allele]:
        rows = self._rows
        n_own = len(rows.variant_names)
        names = [*rows.variant_names, *columns]
        cells = zip(*(batch.column(name).to_pylist() for name in names), strict=True)
        for row, values in enumerate(cells, start=first):
            texts = ["." if value is None else str(value) for value in values[n_own:]]
            yield from _row_alleles(row, rows.variant(values[:n_own], row), texts)

    def blocks(
        self,
        columns: Sequence[str],
        *,
        whole: Collection[int] = (),
        lines: Iterator[LineBlock] | None = None,
    ) -> Iterator[AlleleBlock]:
        def slow(first: int, batch: Any) -> Iterator[Allele]:
            return self._alleles(first, batch, columns)

        return blocks_of_batches(self._rows, columns, slow)


def _row_alleles(line: int, variant: NamedVariant, texts: Sequence[str]) -> Iterator[Allele]:
    ref, alts = variant.ref.upper(), variant.alt.upper().split(",")
    for place, alt in enumerate(alts):
        values = tuple([_value(text, ".", place, len(alts)) for text in texts])
        yield Allele(line, variant.contig, *trimmed(variant.position - 1, ref, alt), values)


def _fixed_column(record: Any, name: str) -> str | None:
    """What a record says as its ID, FILTER or QUAL."""
    if name == "FILTER":
        return ";".join(record.FILTERS) or None
    if name == "QUAL":
        quality = record.QUAL
        return None if quality is None else str(np.float32(quality))
    return record.ID


def _value(text: str | bool | None, number: str | None, place: int, n_alts: int) -> str | None:
    """The part of a text that is about one of the ALT alleles.

    Raises
    ------
    ValueError
        If there is another number of values than the header says.
    """
    if not isinstance(text, str):
        # A field without a value is a flag.
        return None if text is None else "1"
    if number not in ("A", "R", "."):
        return present(text)
    if (n_alts == 1 and number != "R" and "," not in text) or present(text) is None:
        return present(text)
    values = text.split(",")
    if number == ".":
        # No rule says which value belongs to which allele unless there is one for each.
        return present(values[place] if len(values) == n_alts else text)
    is_with_ref = number == "R"
    if len(values) != n_alts + is_with_ref:
        raise ValueError(
            f"{len(values)} values ({text[:40]!r}) for {n_alts} ALT alleles, though the header "
            f"says Number={number}"
        )
    return present(values[place + is_with_ref])


def score_number(text: str | None, column: str, file: ScoredFile, line: int) -> float:
    """As `number_of`, for a value of a file."""
    return number_of(text, column, file.path, line)


@contextlib.contextmanager
def _line_parser(
    contigs: Iterable[str], keys: Sequence[str], path: str
) -> Iterator[Callable[[str], Any]]:
    """What makes cyvcf2's records of single lines, which have these INFO keys alone."""
    from cyvcf2 import Writer, cyvcf2

    header = ["##fileformat=VCFv4.2", *(f"##contig=<ID={name}>" for name in contigs)]
    header += [f'##INFO=<ID={key},Number=.,Type=String,Description="">' for key in keys]
    header += [b"\t".join(FIXED_COLUMNS).decode(), ""]
    # What htslib prints is about contigs and filters that a header does not declare.
    htslib = ctypes.CDLL(cyvcf2.__file__)
    level = htslib.hts_get_log_level()
    htslib.hts_set_log_level(0)
    try:
        try:
            # Nothing is written: only cyvcf2's writers take lines that lie in memory.
            text = "\n".join(header).encode(errors="replace").decode()
            writer = Writer.from_string(os.devnull, text)
        except Exception as error:
            raise InputError("htslib cannot read its header", path=path) from error
        # cyvcf2 says how many letters a line has, and htslib takes them for bytes.
        yield lambda line: writer.variant_from_string(
            line if line.isascii() else line + "\0" * (len(line.encode()) - len(line))
        )
    finally:
        htslib.hts_set_log_level(level)


def _check(records: RecordTable, has_quality: bool, path: str) -> None:
    """Raise `InputError` for what htslib would misread without a word."""
    out_of_range = np.flatnonzero((records.positions < 0) | (records.positions >= _MAX_POSITION))
    if len(out_of_range):
        record = int(out_of_range[0])
        problem = f"POS {records.positions[record]} is not a position"
        raise InputError(problem, path=path, line=records.line_number(record))
    if b"\0" in records.block.text:
        place = records.block.text.index(b"\0")
        record = int(np.searchsorted(records.ends, place, side="right"))
        raise InputError("is not text", path=path, line=records.line_number(record))
    for record in range(len(records)) if has_quality else ():
        quality = records.column(record, 5)
        try:
            if quality != b".":
                float(quality)
        except ValueError:
            raise InputError(
                f"QUAL {quality[:20].decode('utf-8', 'replace')!r} is not a number",
                path=path,
                line=records.line_number(record),
            ) from None
