"""Rows of GFF3 and GTF files, and what their ninth column says."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from phylotools.errors import InputError
from phylotools.io.files import numbered_lines, open_input
from phylotools.io.regions import MAX_COORDINATE

GFF_HEADER = b"##gff-version"
_REMEDY = "GFF and GTF have nine columns, separated by tabs; start and end are 1-based"
_SEQUENCE_REGION = b"##sequence-region"
_EVERYWHERE = (0, MAX_COORDINATE)
_STRANDS = frozenset("+-")
# What stands between semicolons, those in quotes apart; possessive, so that it is read once.
_GTF_ITEM = re.compile(r'(?:[^";]++|"[^"]*+"?)++')


@dataclass(frozen=True, slots=True)
class GffRow:
    """A row of GFF3 or GTF.

    Attributes
    ----------
    contig : str
    kind : str
        Third column.
    start, end : int
        0-based, half-open.
    strand : {'+', '-', '.'}
    phase : str
        Eighth column.
    text : str
        Ninth column, see `attributes`.
    line : int
        1-based.
    """

    contig: str
    kind: str
    start: int
    end: int
    strand: str
    phase: str
    text: str
    line: int

    @property
    def attributes(self) -> dict[str, str]:
        """What the ninth column says, of GFF3 (``ID=x;``) or GTF (``gene_id "x";``)."""
        if "=" in self.text.lstrip().partition(" ")[0]:
            pairs = (item.partition("=") for item in self.text.split(";"))
            return {key.strip(): unquote(value.strip()) for key, _, value in pairs}
        items = (item.split(None, 1) for item in _GTF_ITEM.findall(self.text))
        return {item[0]: _unquoted(item[1]) for item in items if len(item) == 2}


def gff_rows(
    path: str,
    *,
    span: tuple[int, int] = _EVERYWHERE,
    kinds: frozenset[str] | None = None,
    lengths: dict[str, int] | None = None,
) -> Iterator[GffRow]:
    """Yield rows of a GFF3 or GTF file in file order, up to a sequence section.

    Parameters
    ----------
    path : str
        Plain, gzip or bgzip.
    span : (int, int)
        Only rows that overlap these positions, 0-based and half-open, of whatever contig.
    kinds : frozenset of str, optional
        Only rows of these types; the others are checked all the same.
    lengths : dict of str to int, written
        Gets the contigs of ``##sequence-region`` lines and their ends.

    Raises
    ------
    InputError
        With its line, where a line is no row; if there is none.
    """
    wanted = None if kinds is None else frozenset(kind.encode() for kind in kinds)
    n_found = 0
    with open_input(path) as handle:
        for number, raw in numbered_lines(handle, path):
            if number == 1:
                raw = raw.removeprefix(BOM_UTF8)
            if b"\0" in raw:
                raise InputError("is no text", path=path, line=number, remedy=_REMEDY)
            if raw.startswith((b"##FASTA", b">")):
                break
            if raw.startswith(b"#") or not raw.strip():
                if lengths is not None and raw.startswith(_SEQUENCE_REGION):
                    _note_length(raw, lengths)
                continue
            fields = raw.split(b"\t", 8)
            if len(fields) < 8:
                problem = f"{len(fields)} columns where a GFF row has nine"
                raise InputError(problem, path=path, line=number, remedy=_REMEDY)
            start, end = (_coordinate(text, path, number) for text in fields[3:5])
            if not 1 <= start <= end:
                problem = f"start {start} and end {end} span nothing"
                raise InputError(problem, path=path, line=number, remedy=_REMEDY)
            n_found += 1
            if end > span[0] and start <= span[1] and (wanted is None or fields[2] in wanted):
                yield _row(start, end, [text.decode("utf-8", "replace") for text in fields], number)
    if not n_found:
        raise InputError("holds no feature", path=path, remedy=_REMEDY)


def _row(start: int, end: int, fields: list[str], line: int) -> GffRow:
    strand = fields[6] if fields[6] in _STRANDS else "."
    text = fields[8].rstrip("\r\n") if len(fields) > 8 else ""
    return GffRow(fields[0], fields[2], start - 1, end, strand, fields[7].strip(), text, line)


def _unquoted(value: str) -> str:
    """A value of GTF, which has quotes unless it is a number."""
    return value[1:].partition('"')[0] if value.startswith('"') else value.rstrip()


def _note_length(raw: bytes, lengths: dict[str, int]) -> None:
    words = raw.split()
    if len(words) == 4 and words[3].isdigit() and 0 < int(words[3][:14]) <= MAX_COORDINATE:
        lengths[words[1].decode("utf-8", "replace")] = int(words[3][:14])


def _coordinate(text: bytes, path: str, line: int) -> int:
    if text.isdigit() and len(text) < 14 and int(text) <= MAX_COORDINATE:
        return int(text)
    shown = text[:40].decode("utf-8", "replace")
    raise InputError(f"{shown!r} is not a position", path=path, line=line, remedy=_REMEDY)
