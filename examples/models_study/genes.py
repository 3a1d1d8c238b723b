"""Where coding sequence lies in a store, and in which frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from codons import reading_frame
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.bed import bed_rows
from phylotools.io.regions import Region
from phylotools.store.read import ColumnStore
from phylotools.store.schema import CODE_MASK


class Coding(NamedTuple):
    """A stretch of coding sequence: an exon, or a gene without introns.

    Attributes
    ----------
    region : Region
    gene : str
    frame : int
        Bases before its first whole codon, in its own direction.
    is_reverse, has_start : bool
    """

    region: Region
    gene: str
    frame: int
    is_reverse: bool = False
    has_start: bool = True


def codings(store: ColumnStore, genes: str | None = None) -> list[Coding]:
    """The coding sequence of a store.

    Parameters
    ----------
    store : ColumnStore
    genes : str, optional
        BED of genes that begin with a whole codon, or GFF3 of the proteins that a polyprotein is
        cut into. Without it every contig is coding: a whole gene, or an exon (its name is then
        ``GENE_EXON``) whose frame is the one that no stop interrupts.

    Raises
    ------
    InputError
        If an exon has no frame without stops, or more than one.
    """
    if genes is None:
        return list(_contigs(store))
    return list(_proteins(store, genes) if genes.endswith(".gff3") else _listed(genes))


def reference_bases(store: ColumnStore, region: Region) -> NDArray[np.uint8]:
    """Codes of the reference, without the mark of lower case."""
    return store.reference(region) & np.uint8(CODE_MASK)


def species_bases(store: ColumnStore, region: Region) -> NDArray[np.uint8]:
    """Codes of every species, uint8 [L, S], without the mark of lower case."""
    return store.bases(region) & np.uint8(CODE_MASK)


def base_counts(store: ColumnStore, region: Region) -> NDArray[np.int64]:
    """Species with each base, int64 array [L, 4]."""
    bases = species_bases(store, region)
    return np.stack([(bases == base).sum(axis=1) for base in range(4)], axis=1)


def _contigs(store: ColumnStore) -> Iterator[Coding]:
    for contig, length in store.contigs.items():
        region = Region(contig, 0, length)
        gene, _, exon = contig.partition("_")
        if not exon:
            yield Coding(region, gene, 0)
            continue
        frame = reading_frame(reference_bases(store, region))
        if frame is None:
            raise InputError(f"{contig} has not one open reading frame", path=store.path)
        yield Coding(region, gene, frame, has_start=False)


def _listed(bed: str) -> Iterator[Coding]:
    for region, cells, _ in bed_rows(bed):
        yield Coding(region, cells[3], 0, is_reverse=cells[5] == "-")


def _proteins(store: ColumnStore, gff: str) -> Iterator[Coding]:
    """Of two proteins that overlap the later has what the earlier leaves: pr and M, the rest."""
    (contig,) = store.contigs
    end_before = 0
    for line in Path(gff).read_text().splitlines():
        if line and not line.startswith("#"):
            cells = line.split("\t")
            start, end = max(int(cells[3]) - 1, end_before), int(cells[4])
            name = dict(part.split("=") for part in cells[8].split(";") if part)["gene"]
            # The polyprotein starts with its first protein, and every cut is between two codons.
            yield Coding(Region(contig, start, end), name, 0, has_start=not end_before)
            end_before = end
