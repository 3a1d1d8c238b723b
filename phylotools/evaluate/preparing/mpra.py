"""Saturation mutagenesis of regulatory elements: its tables made into variants."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from phylotools.errors import InputError
from phylotools.evaluate.preparing.records import (
    NUMBER,
    TEXT,
    Field,
    Prepared,
    PreparedVariant,
    ReferenceCheck,
    in_order,
    info_key,
    is_plain,
    read_number,
)
from phylotools.evaluate.preparing.tables import open_table, wanted_columns
from phylotools.evaluate.protocols.protocol import Protocol
from phylotools.io.delimited import DelimitedText, Row, parse_position
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region

EFFECT, SIZE, TAGS, ELEMENT = "MPRA_EFFECT", "MPRA_SIZE", "MPRA_TAGS", "MPRA_ELEMENT"
FIELDS = (
    Field(EFFECT, NUMBER, "log2 of the change of expression"),
    Field(SIZE, NUMBER, "Size of MPRA_EFFECT, whichever way"),
    Field(TAGS, NUMBER, "Tags that the variant was seen with"),
    Field(ELEMENT, TEXT, "Promoter or enhancer"),
)
#: How the tables write that a base is deleted.
_DELETED = "-"
_ASSEMBLY_PREFIX = re.compile(r"^(GRCh3[78]|hg(19|38))[_.-]", re.IGNORECASE)


def prepare_mpra(
    protocol: Protocol,
    path: str,
    genome: ReferenceGenome,
    *,
    columns: Mapping[str, str | None] | None = None,
) -> Prepared:
    """The variants of a table, REF checked, deletions written with the base before them.

    Parameters
    ----------
    protocol : Protocol
    path : str
        TSV or CSV of one element, called as the file is, or of several.
    genome : ReferenceGenome
    columns : mapping of str to (str or None), optional
        Other columns, by what they are: ``effect`` ...

    Raises
    ------
    InputError
        If the table is another one, or REF is not that of the genome.
    """
    check = ReferenceCheck(genome, path)
    with open_table(path) as table:
        found = wanted_columns(protocol, table.names, path, columns or {})
        more = [name for name in protocol.prepare.keep if name in table.names]
        described = [Field(info_key(name), TEXT, f"{name} of the table") for name in more]
        prepared = Prepared((*FIELDS, *described))
        reader = _Rows(protocol, table, found, more, check, prepared)
        prepared.variants = list(reader)
    check.conclude(prepared.counts)
    if not prepared.variants:
        raise InputError("no row is left: " + _listed(prepared), path=path)
    prepared.variants = in_order(prepared.variants, list(genome.contigs))
    prepared.notes.append(f"REF agrees with {genome.path}")
    return prepared


def _listed(prepared: Prepared) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in prepared.counts.items())


class _Rows:
    """The variants of a table, row by row; the others are counted."""

    def __init__(
        self,
        protocol: Protocol,
        table: DelimitedText,
        columns: Mapping[str, str],
        more: list[str],
        check: ReferenceCheck,
        prepared: Prepared,
    ) -> None:
        self._table, self._columns, self._check, self._prepared = table, columns, check, prepared
        self._where = {what: table.names.index(name) for what, name in columns.items()}
        self._more = [table.names.index(name) for name in more]
        self._minimum = {
            table.names.index(name): value
            for name, value in protocol.prepare.minimum.items()
            if name in table.names
        }
        stem = os.path.basename(table.path).partition(".")[0]
        self._element = _ASSEMBLY_PREFIX.sub("", stem)

    def __iter__(self) -> Iterator[PreparedVariant]:
        for row in self._table.rows():
            self._prepared.counts["rows"] += 1
            found = self._variant(row)
            if isinstance(found, str):
                self._prepared.counts[found] += 1
            elif found is not None:
                yield found

    def _variant(self, row: Row) -> PreparedVariant | str | None:
        """A variant, why there is none, or None where the check counts it."""
        table, texts = self._table, self._table.texts(row)
        cell = {what: texts[index].strip() for what, index in self._where.items()}
        effect = read_number(cell["effect"], self._columns["effect"], table.path, row.line)
        if effect != effect:
            return "no_effect"
        for index, least in self._minimum.items():
            # NaN is below every bound.
            if not read_number(texts[index], table.names[index], table.path, row.line) >= least:
                return f"too_few_{table.names[index].lower()}"
        try:
            position = parse_position(cell["position"]) - 1
        except ValueError as error:
            raise table.error(str(error), row.line, "mend the row") from None
        contig = self._check.contig(cell["contig"])
        if contig is None:
            return None
        ref, alt = cell["ref"].upper(), cell["alt"].upper()
        if not is_plain(ref, ref[:1] + "A" if alt == _DELETED else alt):
            return "no_bases"
        if not self._check.agrees(contig, position, ref):
            return None
        if alt == _DELETED:
            if position == 0:
                return "no_base_before"
            position -= 1
            before = self._check.genome.letters(Region(contig, position, position + 1)).decode()
            ref, alt = before + ref, before
        tags = read_number(cell["tags"], self._columns["tags"], table.path, row.line) if (
            "tags" in cell
        ) else None  # fmt: skip
        values = (effect, abs(effect), tags, cell.get("element") or self._element)
        more = tuple(texts[index] for index in self._more)
        return PreparedVariant(contig, position, ref, alt, (*values, *more))
