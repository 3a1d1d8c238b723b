"""Which contigs an input is on: what a model is chosen by where none is named.

Little is read: a header, the first megabyte of records, the regions that are named. A stream is
looked into, not taken from.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from phylotools.errors import shown, shown_path
from phylotools.io.bed import read_bed
from phylotools.io.genome import UNKNOWN_LENGTH, ReferenceGenome
from phylotools.io.regions import named_contig
from phylotools.io.vcf.reader import VariantStream
from phylotools.io.vcf.records import LineBlock

#: Enough to see all contigs of a panel and to tell assemblies apart; taken apart in 10 ms.
_MOST_RECORDS = 10_000
#: A wrong assembly disagrees in three of four; each may cost a read of the FASTA.
_MOST_REF_ALLELES = 1000
_LONGEST_REF = 50
_MOST_NAMES_SHOWN = 4


class ContigUse(NamedTuple):
    """How an input uses a contig.

    Attributes
    ----------
    weight : int
        Records, regions or bases on it.
    end : int
        The largest position met, 1-based; 0 where none is known.
    """

    weight: int
    end: int


class RefAllele(NamedTuple):
    """REF of a record: upper-case letters from a 0-based position on."""

    contig: str
    start: int
    letters: bytes


@dataclass(frozen=True)
class Evidence:
    """What an input says of the sequence that it is on.

    Attributes
    ----------
    subject : str
        What messages call the input.
    unit : str
        What the weights count: records, regions, bases.
    uses : dict of str to ContigUse
        By contig; empty where nothing says which contigs are meant.
    lengths : dict of str to int
        Of contigs, as a header or a FASTA has them.
    ref_alleles : sequence of RefAllele
    has_records : bool
        False for a file without any, where `uses` are the contigs that it declares.
    part : Evidence, optional
        Of the regions of it that are asked for.
    """

    subject: str
    unit: str
    uses: Mapping[str, ContigUse]
    lengths: Mapping[str, int] = field(default_factory=dict)
    ref_alleles: Sequence[RefAllele] = ()
    has_records: bool = True
    part: Evidence | None = None

    @property
    def weight(self) -> int:
        """Of all contigs together."""
        return sum(use.weight for use in self.uses.values())

    @property
    def contig_names(self) -> str:
        """The contigs with most weight and their lengths, for messages."""
        names = sorted(self.uses, key=lambda name: -self.uses[name].weight)
        told = [
            shown(name) + (f" ({self.lengths[name]:,} bases)" if name in self.lengths else "")
            for name in names[:_MOST_NAMES_SHOWN]
        ]
        return ", ".join(told) + (", ..." if len(names) > _MOST_NAMES_SHOWN else "")


def variant_evidence(
    source: VariantStream,
    *,
    fasta: str | None = None,
    regions: Sequence[str] = (),
    regions_file: str | None = None,
) -> Evidence:
    """Evidence of variants: the first records, else the header; beside it, the regions asked for.

    Regions go last, so that parts of a file are scored by one model.

    Parameters
    ----------
    source : VariantStream
        Yields afterwards what it would have yielded before.
    fasta : str, optional
        The sequence that the user gives: its lengths go before those of the header.
    regions : sequence of str
    regions_file : str, optional
        BED.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    declared = {name: length for name, length in source.header.contigs.items() if length}
    subject = shown_path(source.path)
    lengths = declared | _fasta_lengths(fasta)
    asked = _region_uses(regions, regions_file, lengths)
    part = Evidence(f"the part of {subject}", "regions", asked, lengths) if asked else None
    uses: dict[str, ContigUse] = {}
    ref_alleles: list[RefAllele] = []
    for allele in _records(source.blocks.peek()):
        weight, end = uses.get(allele.contig, (0, 0))
        last = allele.start + len(allele.letters)
        uses[allele.contig] = ContigUse(weight + 1, max(end, last))
        if len(ref_alleles) < _MOST_REF_ALLELES and len(allele.letters) <= _LONGEST_REF:
            ref_alleles.append(allele)
    if uses:
        return Evidence(subject, "records", uses, lengths, ref_alleles, part=part)
    whole = _whole({name: lengths.get(name, 1) for name in source.header.contigs})
    return Evidence(subject, "bases", whole, lengths, has_records=False, part=part)


def region_evidence(
    regions: Sequence[str] = (), regions_file: str | None = None, *, fasta: str | None = None
) -> Evidence:
    """Evidence of regions that are named, else of a whole FASTA, else none.

    Regions that come from stdin are not looked at: they can be read only once.

    Parameters
    ----------
    regions : sequence of str
    regions_file : str, optional
        BED.
    fasta : str, optional

    Raises
    ------
    InputError
        If a file cannot be read, or a region is none.
    """
    lengths = _fasta_lengths(fasta)
    chosen = _region_uses(regions, regions_file, lengths)
    if chosen:
        named = ", ".join(map(shown, regions[:_MOST_NAMES_SHOWN]))
        return Evidence(named or shown_path(str(regions_file)), "regions", chosen, lengths)
    subject = "no region" if fasta is None else shown_path(fasta)
    return Evidence(subject, "bases", _whole(lengths), lengths)


def use_evidence(
    path: str, uses: Mapping[str, tuple[int, int]], *, fasta: str | None = None
) -> Evidence:
    """Evidence of regions that were read already.

    Parameters
    ----------
    path : str
    uses : dict of str to (int, int)
        Of each contig, the number of regions and the largest end.
    fasta : str, optional
    """
    found = {contig: ContigUse(*use) for contig, use in uses.items()}
    return Evidence(shown_path(path), "regions", found, _fasta_lengths(fasta))


def _records(blocks: Iterable[LineBlock]) -> Iterator[RefAllele]:
    """The first records; lines that are none are for others to complain about."""
    lines = (line for block in blocks for line in block.text.split(b"\n"))
    n_records = 0
    for line in lines:
        columns = line.split(b"\t", 4)
        if len(columns) < 5 or not columns[1].isdigit() or len(columns[1]) > 12:
            continue
        start = int(columns[1]) - 1
        if start >= 0:  # 0 is before the first base
            contig = columns[0].decode("utf-8", "surrogateescape")
            yield RefAllele(contig, start, columns[3].upper())
        n_records += 1
        if n_records == _MOST_RECORDS:
            return


def _region_uses(
    texts: Iterable[str], bed: str | None, lengths: Mapping[str, int]
) -> dict[str, ContigUse]:
    uses: dict[str, ContigUse] = {}
    for text in texts:
        contig, end = (text, 0) if text in lengths else named_contig(text)
        weight, last = uses.get(contig, (0, 0))
        uses[contig] = ContigUse(weight + 1, max(last, end))
    if bed is not None and bed != "-":
        regions = read_bed(bed)
        for contig in regions.contigs:
            intervals = regions.on(contig)
            weight, last = uses.get(contig, (0, 0))
            uses[contig] = ContigUse(weight + len(intervals), max(last, int(intervals[-1, 1])))
    return uses


def _fasta_lengths(fasta: str | None) -> dict[str, int]:
    # What is no regular file can be read only once.
    if fasta is None or not os.path.isfile(fasta):
        return {}
    with ReferenceGenome.open(fasta) as genome:
        return {name: n for name, n in genome.contigs.items() if n != UNKNOWN_LENGTH}


def _whole(lengths: Mapping[str, int]) -> dict[str, ContigUse]:
    return {name: ContigUse(length, length) for name, length in lengths.items()}
