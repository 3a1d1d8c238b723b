"""Every single-nucleotide variant of 90 kb of the chicken: where it lies, and what it does.

    python bird_labels.py TRANSCRIPTS.gff3 BED STORE > labels.tsv

One line a variant, with the columns of `models_study/make_labels.py` and:

- ``place``: ``coding`` where a transcript is translated, ``intron`` where one is spliced out,
  ``intergenic`` where there is none; ``.`` elsewhere (untranslated exons)
- ``conservation``: ``conserved`` where at least 20 rows have a base and all have the reference's,
  ``variable`` where at least 3 have another; the same for all changes of a site

Seen and unseen as there, but in 20 rows or more: there are 53.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator

import numpy as np
from codons import CONSEQUENCES, NO_CONSEQUENCE, consequences, missense_distances
from genes import base_counts, reference_bases
from make_labels import FEWEST_CARRIERS, FIELDS, C, G, change_type, severity
from numpy.typing import NDArray

from phylotools.io.bases import BASES
from phylotools.io.bed import bed_rows
from phylotools.io.regions import Region
from phylotools.io.transcripts import read_transcripts
from phylotools.store.read import ColumnStore, open_store

BIRD_FIELDS = (*FIELDS, "place", "conservation")
FEWEST_ROWS = 20


class Annotation:
    """What the transcripts say of every position of a contig.

    Parameters
    ----------
    path : str
        GFF3 with the rows ``transcript``, ``exon`` and ``CDS``.
    store : ColumnStore
    contig : str
    """

    def __init__(self, path: str, store: ColumnStore, contig: str) -> None:
        length = store.contigs[contig]
        bases = reference_bases(store, Region(contig, 0, length))
        self.kinds = np.full((length, 4), NO_CONSEQUENCE, np.int8)
        self.distances = np.full((length, 4), np.nan)
        self.codon_place = np.zeros(length, np.int8)
        is_exon, is_coding = np.zeros(length, bool), np.zeros(length, bool)
        in_transcript = np.zeros(length, bool)
        for exons in _parts(path, "exon", contig):
            in_transcript[exons[0] : exons[-1] + 1] = True
            is_exon[exons] = True
        coding = read_transcripts(path)
        for k in range(len(coding)):
            if coding.contigs[k] != contig:
                continue
            positions = _positions(coding.exons(k))
            is_coding[positions] = True
            self._add(positions, bases, bool(coding.is_reverse[k]), int(coding.phases[k]))
        self.place = np.full(length, ".", "U10")
        self.place[~in_transcript] = "intergenic"
        self.place[in_transcript & ~is_exon] = "intron"
        self.place[is_coding] = "coding"

    def _add(
        self, positions: NDArray[np.int64], bases: NDArray[np.uint8], is_reverse: bool, phase: int
    ) -> None:
        """The consequences in one transcript; where several differ the first one counts."""
        read = bases[positions]
        if is_reverse:
            read = np.where(read < 4, 3 - read, read)[::-1]
        kinds, distances = consequences(read, phase), missense_distances(read, phase)
        places = (np.arange(len(read)) - phase) % 3 + 1
        if is_reverse:
            kinds, distances, places = kinds[::-1, ::-1], distances[::-1, ::-1], places[::-1]
        new = self.codon_place[positions] == 0
        self.kinds[positions[new]] = kinds[new]
        self.distances[positions[new]] = distances[new]
        self.codon_place[positions[new]] = places[new]


def _positions(intervals: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(np.concatenate([np.arange(start, end) for start, end in intervals.tolist()]))


def _parts(path: str, part: str, contig: str) -> Iterator[NDArray[np.int64]]:
    """Positions of the parts of each transcript of a contig, rising."""
    found = read_transcripts(path, part)
    for k in range(len(found)):
        if found.contigs[k] == contig:
            yield _positions(found.exons(k))


def conservation(counts: NDArray[np.int64], reference: int) -> str:
    """Whether the rows of a column have the reference's base."""
    others = int(counts.sum() - counts[reference])
    if others >= FEWEST_CARRIERS:
        return "variable"
    return "conserved" if others == 0 and counts.sum() >= FEWEST_ROWS else "."


def lines(
    annotation: Annotation, store: ColumnStore, region: Region
) -> Iterator[dict[str, object]]:
    """Every change of a region."""
    bases, counts = reference_bases(store, region), base_counts(store, region)
    flanked = np.concatenate([[4], bases, [4]])
    is_cpg = ((bases == C) & (flanked[2:] == G)) | ((bases == G) & (flanked[:-2] == C))
    for offset in np.flatnonzero(bases < 4).tolist():
        position, ref, here = region.start + offset, int(bases[offset]), counts[offset]
        for alt in (base for base in range(4) if base != ref):
            kind = int(annotation.kinds[position, alt])
            is_unseen = here[alt] == 0 and here.sum() >= FEWEST_ROWS
            yield {
                "chrom": region.contig,
                "pos": position + 1,
                "ref": BASES[ref],
                "alt": BASES[alt],
                "gene": ".",
                "consequence": CONSEQUENCES[kind] if kind >= 0 else ".",
                "codon_place": int(annotation.codon_place[position]),
                "type": change_type(ref, alt),
                "transition": int((ref + alt) % 2 == 0),
                "cpg": int(is_cpg[offset]),
                "label": "unseen" if is_unseen else "seen" if here[alt] >= FEWEST_CARRIERS else ".",
                "phylop": ".",
                "severity": severity(annotation.distances[position, alt]) if kind >= 0 else ".",
                "place": annotation.place[position],
                "conservation": conservation(here, ref),
            }  # fmt: skip


def main() -> None:
    transcripts, bed, path = sys.argv[1:]
    store = open_store(path)
    writer = csv.DictWriter(sys.stdout, BIRD_FIELDS, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    annotations: dict[str, Annotation] = {}
    for region, _, _ in bed_rows(bed):
        if region.contig not in annotations:
            annotations[region.contig] = Annotation(transcripts, store, region.contig)
        writer.writerows(lines(annotations[region.contig], store, region))


if __name__ == "__main__":
    main()
