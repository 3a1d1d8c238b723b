"""Labelled variants whose labels need only be picked out: ClinVar, TraitGym and others."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from phylotools.errors import InputError
from phylotools.evaluate.preparing.records import (
    TEXT,
    Field,
    Prepared,
    PreparedVariant,
    ReferenceCheck,
    info_key,
    is_plain,
)
from phylotools.evaluate.protocols.protocol import Protocol, first_of
from phylotools.evaluate.selection import matches
from phylotools.io.genome import ReferenceGenome
from phylotools.io.scored import Allele, ScoredFile, open_scored

_FILTER = "FILTER"


def prepare_variants(
    protocol: Protocol, path: str, genome: ReferenceGenome | None = None
) -> Prepared:
    """The variants of a file that have a label and pass the protocol's filters, with its columns.

    Parameters
    ----------
    protocol : Protocol
    path : str
        VCF, BCF, TSV, CSV or Parquet.
    genome : ReferenceGenome, optional
        That REF is checked against; contigs get its names.

    Raises
    ------
    InputError
        If a column is missing, nothing is left, or REF is not that of the genome.
    """
    check = None if genome is None else ReferenceCheck(genome, path)
    with open_scored(path) as file:
        protocol.check({path: file.columns})
        columns = _columns(protocol, file)
        kept = [name for name in columns if name != _FILTER]
        prepared = Prepared(
            tuple(Field(info_key(name), TEXT, f"{name} of the source") for name in kept)
        )
        prepared.variants = list(_passing(protocol, file, columns, check, prepared))
    if check is not None:
        check.conclude(prepared.counts)
    if not prepared.variants:
        listed = ", ".join(f"{name} {count:,}" for name, count in prepared.counts.items())
        raise InputError(
            f"no variant has a label of protocol {protocol.name} and passes its filters: {listed}",
            path=path,
            remedy=f"it expects {protocol.data.file}",
        )
    return prepared


def _columns(protocol: Protocol, file: ScoredFile) -> list[str]:
    """Columns that go into the file: the label first, then what comparisons and filters need."""
    compare = protocol.compare
    names = [
        protocol.labels.column, *(each.column for each in protocol.all_filters), compare.match,
        *compare.strata, compare.resample, compare.frequency, *protocol.prepare.keep,
    ]  # fmt: skip
    found = (first_of(name, file.columns) for name in names if name)
    return list(dict.fromkeys(name for name in found if name is not None))


def _passing(
    protocol: Protocol,
    file: ScoredFile,
    columns: list[str],
    check: ReferenceCheck | None,
    prepared: Prepared,
) -> Iterator[PreparedVariant]:
    filters = [
        (columns.index(column), frozenset(each.values))
        for each in protocol.all_filters
        if (column := first_of(each.column, file.columns)) is not None
    ]
    counts = prepared.counts
    for allele in file.alleles(columns):
        counts["alleles"] += 1
        if not _is_labelled(protocol, allele.values[0]):
            counts["without_label"] += 1
        elif any(not matches(allele.values[k] or "", values) for k, values in filters):
            counts["filtered"] += 1
        elif not is_plain(allele.ref, allele.alt):
            counts["no_bases"] += 1
        else:
            contig = _contig(allele, check)
            if contig is not None:
                # Sites are many, and what is said of them is little: one object for each text.
                values = tuple(
                    None if value is None else sys.intern(value)
                    for name, value in zip(columns, allele.values, strict=True)
                    if name != _FILTER
                )
                alleles = sys.intern(allele.ref), sys.intern(allele.alt)
                yield PreparedVariant(sys.intern(contig), allele.position, *alleles, values)


def _contig(allele: Allele, check: ReferenceCheck | None) -> str | None:
    """The contig of an allele; None where REF is not the FASTA's."""
    if check is None:
        return allele.contig
    contig = check.contig(allele.contig)
    if contig is None or not check.agrees(contig, allele.position, allele.ref):
        return None
    return contig


def _is_labelled(protocol: Protocol, text: str | None) -> bool:
    if text is None:
        return False
    labels = protocol.labels
    if labels.order:
        return matches(text, frozenset(labels.order))
    if labels.positive:
        positive = matches(text, frozenset(labels.positive))
        return positive != matches(text, frozenset(labels.negative))
    return True
