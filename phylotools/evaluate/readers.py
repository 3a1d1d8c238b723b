"""Variants with named columns, read from VCF, TSV or CSV text: one `Variant` per ALT allele."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from phylotools.errors import InputError
from phylotools.io.files import open_input

#: A text line longer than this is taken for a damaged or binary file.
MAX_LINE_BYTES = 64 << 20
_MAX_POSITION = 1 << 40
_CONTIG_NAMES = ("contig", "chrom", "#chrom", "chr", "#chr", "#contig")
_ALLELE_COLUMNS = ("pos", "ref", "alt")
_FIXED_COLUMNS = {"ID": 2, "QUAL": 5, "FILTER": 6}
_NOTE = "##phylotools_"
_MAX_NOTES = 100
_INFO_ID = re.compile(r"##INFO=<(?:[^\"]*,)?ID=([^,>]+)")
_INFO_NUMBER = re.compile(r"[<,]Number=([^,>]+)")
_TABLE_REMEDY = (
    "give a VCF, or a tab- or comma-separated table whose header names contig (or chrom), "
    "pos, ref and alt"
)


@dataclass(frozen=True)
class Variant:
    """One alternative allele, its REF and ALT trimmed to minimal form.

    Attributes
    ----------
    line : int
        1-based, in the file.
    contig : str
        As the file spells it.
    position : int
        0-based, of the first base of `ref`.
    ref, alt : str
        Upper case.
    alt_index : int
        Which ALT of its record, from 0.
    record : Record
    """

    line: int
    contig: str
    position: int
    ref: str
    alt: str
    alt_index: int
    record: Record


@dataclass
class Record:
    """The text of one line, split only as far as its values are asked for."""

    fields: list[str]
    n_alts: int = 1
    info: dict[str, str] | None = field(default=None)


class VariantTable:
    """A file of variants: a header that has been read, and lines still to come.

    Attributes
    ----------
    path : str
    kind : str
        ``VCF``, ``TSV`` or ``CSV``.
    columns : tuple of str
        What `value` can be asked for.
    notes : tuple of str
        Header lines in which phylotools says how it made the file.
    """

    kind = ""

    def __init__(self, path: str, lines: Lines) -> None:
        self.path = path
        self.columns: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()
        self._lines = lines

    def variants(self) -> Iterator[Variant]:
        """Every ALT allele, in order; can be read once.

        Raises
        ------
        InputError
            With its line, where a line cannot be understood or the file is truncated.
        """
        raise NotImplementedError

    def value(self, variant: Variant, column: str) -> str | None:
        """What the file says about a variant in a column, or None where it says nothing."""
        raise NotImplementedError


class Lines:
    """Numbered text lines of a file, read with a bound on their length."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.number = 0
        self._handle = open_input(path)
        magic = self._handle.peek(5)[:5]
        if magic[:3] == b"BCF":
            raise InputError("is BCF", path=path, remedy="convert it with bcftools view -O z")

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        data = self._handle.readline(MAX_LINE_BYTES)
        if not data:
            self._handle.close()
            raise StopIteration
        self.number += 1
        if len(data) == MAX_LINE_BYTES or b"\0" in data:
            raise InputError("is not text", path=self.path, line=self.number, remedy=_TABLE_REMEDY)
        encoding = "utf-8-sig" if self.number == 1 else "utf-8"
        return data.decode(encoding, errors="replace").rstrip("\r\n")


class VcfTable(VariantTable):
    """A VCF; its columns are the declared INFO fields, and ID, QUAL and FILTER."""

    kind = "VCF"

    def __init__(self, path: str, lines: Lines, first: str) -> None:
        super().__init__(path, lines)
        self._number: dict[str, str] = {}
        line: str | None = first
        while line is not None and not line.upper().startswith("#CHROM"):
            if not line.startswith("##"):
                raise InputError("the VCF header has no #CHROM line", path=path, line=lines.number)
            if declared := _INFO_ID.match(line):
                number = _INFO_NUMBER.search(line)
                self._number[declared[1]] = number[1] if number else "."
            elif line.startswith(_NOTE):
                self.notes = (*self.notes, line)[-_MAX_NOTES:]
            line = next(lines, None)
        if line is None:
            raise InputError("the VCF header has no #CHROM line: it is cut short", path=path)
        self.columns = (*self._number, *(c for c in _FIXED_COLUMNS if c not in self._number))

    def variants(self) -> Iterator[Variant]:
        for line in self._lines:
            if not line:
                continue
            fields = line.split("\t", 8)
            if len(fields) < 8:
                raise InputError(
                    f"a VCF record has at least 8 tab-separated columns, this one {len(fields)}",
                    path=self.path,
                    line=self._lines.number,
                )
            del fields[8:]
            alts = fields[4].split(",")
            record = Record(fields, len(alts))
            start = _parse_position(fields[1], self.path, self._lines.number)
            ref = fields[3].upper()
            for index, alt in enumerate(alts):
                key = trim_alleles(start, ref, alt.upper())
                yield Variant(self._lines.number, fields[0], *key, index, record)

    def value(self, variant: Variant, column: str) -> str | None:
        record = variant.record
        if column not in self._number:
            return _present(record.fields[_FIXED_COLUMNS[column]])
        if record.info is None:
            record.info = _parse_info(record.fields[7])
        text = record.info.get(column)
        if text is None:
            return None
        number = self._number[column]
        if number not in ("A", "R", "."):
            return _present(text)
        values = text.split(",")
        if number == ".":
            # No rule says which value belongs to which allele unless there is one for each.
            return _present(values[variant.alt_index] if len(values) == record.n_alts else text)
        expected = record.n_alts + (number == "R")
        if len(values) == expected:
            return _present(values[variant.alt_index + (number == "R")])
        if _present(text) is None:
            return None
        raise InputError(
            f"INFO/{column} has {len(values)} values for {record.n_alts} ALT alleles, though its "
            f"header says Number={number}",
            path=self.path,
            line=variant.line,
            remedy="repair the record or its header line",
        )


class DelimitedTable(VariantTable):
    """A table with a header line; every column but contig, pos, ref and alt can be asked for."""

    def __init__(self, path: str, lines: Lines, header: str) -> None:
        super().__init__(path, lines)
        self.kind = "TSV" if "\t" in header else "CSV"
        self._header_line = lines.number
        names = [name.strip() for name in next(self._split_from(header))]
        lower = [name.lower() for name in names]
        contigs = [name for name in _CONTIG_NAMES if name in lower]
        lacking = [name for name in _ALLELE_COLUMNS if name not in lower]
        if lacking or not contigs:
            raise InputError(
                f"no column {', '.join(([] if contigs else ['contig']) + lacking)} in the header",
                path=path,
                line=lines.number,
                remedy=_TABLE_REMEDY,
            )
        self._key = [lower.index(name) for name in (contigs[0], *_ALLELE_COLUMNS)]
        self._width = len(names)
        self._index: dict[str, int] = {}
        for index, name in enumerate(names):
            if index in self._key:
                continue
            if name in self._index:
                raise InputError(f"column {name!r} occurs twice", path=path, line=lines.number)
            self._index[name] = index
        self.columns = tuple(self._index)

    def _split_from(self, header: str | None = None) -> Iterator[list[str]]:
        if self.kind == "TSV":
            if header is not None:
                yield header.split("\t")
            for line in self._lines:
                yield line.split("\t") if line else []
            return
        reader = csv.reader(self._lines if header is None else [header], strict=True)
        while True:
            try:
                yield next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise InputError(str(error), path=self.path, line=self._lines.number) from error

    def variants(self) -> Iterator[Variant]:
        contig, position, ref, alt = self._key
        for fields in self._split_from():
            if not fields:
                continue
            if len(fields) != self._width:
                raise InputError(
                    f"{len(fields)} columns where the header has {self._width}",
                    path=self.path,
                    line=self._lines.number,
                )
            start = _parse_position(fields[position], self.path, self._lines.number)
            key = trim_alleles(start, fields[ref].strip().upper(), fields[alt].strip().upper())
            yield Variant(self._lines.number, fields[contig].strip(), *key, 0, Record(fields))

    def value(self, variant: Variant, column: str) -> str | None:
        return _present(variant.record.fields[self._index[column]])


def open_table(path: str) -> VariantTable:
    """Open a file of variants and read its header; the format is sniffed.

    Parameters
    ----------
    path : str
        VCF, TSV or CSV; plain, gzip or bgzip; ``-`` for stdin. Lines that begin with ``##``
        before the header of a table are skipped.

    Raises
    ------
    InputError
        If it cannot be read, is empty, or is none of these.
    """
    lines = Lines(path)
    first = next(lines, None)
    if first is not None and first.startswith("##fileformat=VCF"):
        return VcfTable(path, lines, first)
    notes: tuple[str, ...] = ()
    while first is not None and (first.startswith("##") or not first):
        if first.startswith(_NOTE):
            notes = (*notes, first)[-_MAX_NOTES:]
        first = next(lines, None)
    if first is None:
        raise InputError("is empty", path=path, remedy=_TABLE_REMEDY)
    if first.upper().startswith("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"):
        raise InputError(
            "is a VCF without its first line",
            path=path,
            line=lines.number,
            remedy="put ##fileformat=VCFv4.2 and the ##INFO lines at its top",
        )
    table = DelimitedTable(path, lines, first)
    table.notes = notes
    return table


def trim_alleles(position: int, ref: str, alt: str) -> tuple[int, str, str]:
    """Trim the bases that two alleles share, at the end first, leaving at least one of each.

    The minimal form of Tan et al. 2015 (Bioinformatics 31:2202) without moving indels, for
    which a reference would be needed. Symbolic alleles are returned as they are.
    """
    if len(ref) == 1 or len(alt) == 1 or not (ref.isalpha() and alt.isalpha()) or ref == alt:
        return position, ref, alt
    end = 0
    longest = min(len(ref), len(alt)) - 1
    while end < longest and ref[-1 - end] == alt[-1 - end]:
        end += 1
    begin = 0
    while begin < longest - end and ref[begin] == alt[begin]:
        begin += 1
    return position + begin, ref[begin : len(ref) - end], alt[begin : len(alt) - end]


def _parse_position(text: str, path: str, line: int) -> int:
    """1-based text to 0-based number; 0 (a telomere) is legal in VCF."""
    text = text.strip()
    if text.isascii() and text.isdecimal() and len(text) < 14 and int(text) < _MAX_POSITION:
        return int(text) - 1
    raise InputError(f"{text[:40]!r} is not a position", path=path, line=line)


def _parse_info(text: str) -> dict[str, str]:
    """INFO items; a flag has the value ``1``, and the first of two equal keys counts."""
    info: dict[str, str] = {}
    for item in text.split(";"):
        key, equals, value = item.partition("=")
        info.setdefault(key, value if equals else "1")
    return info


def _present(text: str) -> str | None:
    text = text.strip()
    # Comma lists of dots are how Number=A fields say that they know nothing at all.
    return text if text.strip(".,") else None
