"""Labelled variants as a VCF."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from phylotools.errors import InputError, counted, shown, shown_path
from phylotools.io.contigs import contig_resolver
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.io.scored import MISSING_SCORE
from phylotools.io.vcf.records import LineBlock, scan_records
from phylotools.io.vcf.text import FIXED_COLUMNS
from phylotools.io.vcf.writer import choose_output_type, open_variant_output
from phylotools.version import __version__

TEXT, NUMBER = "String", "Float"
#: What an INFO value must not hold, percent-encoded as VCF 4.3 says, and blanks as underscores.
_ESCAPED = re.compile(r"[;=%\x00-\x1f\x7f]")
_BLANK = re.compile(r"\s")
_KEY = re.compile(r"[^A-Za-z0-9_.]")
_BLOCK_LINES = 10_000
#: Of variants whose REF is not that of the FASTA, so many are another assembly's.
_WRONG_ASSEMBLY = 0.1
_BASES = frozenset("ACGT")


class Field(NamedTuple):
    """An INFO field: its key, `TEXT` or `NUMBER`, and what it is."""

    key: str
    kind: str
    description: str


class PreparedVariant(NamedTuple):
    """One allele and its values, one for each field; `position` is 0-based."""

    contig: str
    position: int
    ref: str
    alt: str
    values: tuple[str | float | None, ...]


@dataclass
class Prepared:
    """What became of a table.

    Attributes
    ----------
    fields : tuple of Field
    variants : list of PreparedVariant
    counts : Counter
        What was read, and why rows were left out.
    notes : list of str
        What a user should know, for the log.
    """

    fields: tuple[Field, ...]
    variants: list[PreparedVariant] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def info_key(column: str) -> str:
    """A column's name as the key of an INFO field."""
    key = _KEY.sub("_", column.strip())
    return key if key[:1].isalpha() or key[:1] == "_" else f"_{key}"


def read_number(text: str, column: str, path: str, line: int) -> float:
    """A number of a table; NaN where it says that there is none.

    Raises
    ------
    InputError
        If it is no number, or is infinite.
    """
    text = text.strip()
    if not text or text == "." or text.lower() in MISSING_SCORE:
        return math.nan
    try:
        value = float(text if "_" not in text else "")
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise InputError(
            f"{shown(text)!r} in column {column!r} is not a number",
            path=path,
            line=line,
            remedy="write NA where there is none",
        )
    return value


class ReferenceCheck:
    """Whether the REF of variants is what a FASTA has; counts where it is not.

    Parameters
    ----------
    genome : ReferenceGenome
    path : str
        The table, for messages.
    """

    def __init__(self, genome: ReferenceGenome, path: str) -> None:
        self.genome = genome
        self._path = path
        self._resolve = contig_resolver(genome.contigs)
        self.n_checked = self.n_differing = self.n_without_contig = 0

    def contig(self, name: str) -> str | None:
        """The FASTA's name of a contig; None, counted, where it has none."""
        found = self._resolve(name)
        self.n_without_contig += found is None
        return found

    def agrees(self, contig: str, position: int, ref: str) -> bool:
        """Whether these bases stand there; one that does not is counted."""
        self.n_checked += 1
        end = position + len(ref)
        there = b""
        if position >= 0 and end <= self.genome.contigs[contig]:
            there = self.genome.letters(Region(contig, position, end))
        agrees = there == ref.encode("ascii", "replace")
        self.n_differing += not agrees
        return agrees

    def conclude(self, counts: Counter[str]) -> None:
        """Add what was found to counts.

        Raises
        ------
        InputError
            If REF differs too often, or no contig is known.
        """
        fasta = shown_path(self.genome.path)
        if self.n_without_contig and not self.n_checked:
            have = ", ".join(map(shown, list(self.genome.contigs)[:5]))
            raise InputError(
                f"none of its contigs is in {fasta}, which has {have}",
                path=self._path,
                remedy="give the FASTA of its assembly, or --contig-aliases",
            )
        if self.n_differing > _WRONG_ASSEMBLY * self.n_checked:
            raise InputError(
                f"REF differs from {fasta} at {self.n_differing:,} of "
                f"{counted(self.n_checked, 'variant')}",
                path=self._path,
                remedy="give the table and the FASTA of one assembly",
            )
        if self.n_differing:
            counts["reference_differs"] += self.n_differing
        if self.n_without_contig:
            counts["contig_not_in_fasta"] += self.n_without_contig


def is_plain(ref: str, alt: str) -> bool:
    """Whether both alleles are spelled with A, C, G and T, and differ."""
    return bool(ref) and bool(alt) and ref != alt and _BASES.issuperset(ref + alt)


def write_prepared(
    path: str,
    prepared: Prepared,
    *,
    note: str,
    contig_lengths: Mapping[str, int] | None = None,
    output_type: str | None = None,
    force: bool = False,
) -> None:
    """Write variants as VCF or BCF, whole or not at all, with an index where they are sorted.

    Parameters
    ----------
    path : str
        ``-`` is stdout.
    prepared : Prepared
    note : str
        What made them, for the header.
    contig_lengths : mapping of str to int, optional
    output_type : {'v', 'z', 'b'}, optional
        By default as the suffix says.
    force : bool
    """
    kind = choose_output_type(path, output_type)
    header = _header(prepared, note, contig_lengths or {})
    keys = [each.key for each in prepared.fields]
    with open_variant_output(path, kind, force=force) as sink:
        sink.write_header(header)
        for first in range(0, len(prepared.variants), _BLOCK_LINES):
            some = prepared.variants[first : first + _BLOCK_LINES]
            text = "".join(_line(variant, keys) for variant in some).encode()
            sink.write_records(text, scan_records(LineBlock(text, 0), len(FIXED_COLUMNS), path))


def _header(prepared: Prepared, note: str, lengths: Mapping[str, int]) -> bytes:
    lines = ["##fileformat=VCFv4.2", f"##phylotools_prepare={__version__} {_printable(note)}"]
    for contig in dict.fromkeys(variant.contig for variant in prepared.variants):
        length = f",length={lengths[contig]}" if contig in lengths else ""
        lines.append(f"##contig=<ID={contig}{length}>")
    for key, kind, description in prepared.fields:
        text = _printable(description).replace("\\", "\\\\").replace('"', '\\"')
        number = 1 if kind == NUMBER else "."
        lines.append(f'##INFO=<ID={key},Number={number},Type={kind},Description="{text}">')
    return "\n".join([*lines, b"\t".join(FIXED_COLUMNS).decode(), ""]).encode()


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _line(variant: PreparedVariant, keys: Sequence[str]) -> str:
    items = [
        f"{key}={text}"
        for key, value in zip(keys, variant.values, strict=True)
        if (text := _value_text(value)) is not None
    ]
    fields = (variant.contig, str(variant.position + 1), ".", variant.ref, variant.alt, ".", ".")
    return "\t".join((*fields, ";".join(items) or ".")) + "\n"


def _value_text(value: str | float | None) -> str | None:
    if value is None or value != value:
        return None
    if isinstance(value, float):
        return f"{value:.6g}"
    text = _BLANK.sub("_", value.strip())
    return _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", text) or None


def in_order(variants: Iterable[PreparedVariant], contigs: Sequence[str]) -> list[PreparedVariant]:
    """Variants by contig (in the order of `contigs`), position and alleles."""
    rank = {contig: k for k, contig in enumerate(contigs)}
    return sorted(variants, key=lambda each: (rank[each.contig], *each[1:4]))
