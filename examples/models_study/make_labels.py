"""Every single-nucleotide variant of coding sequence with what it does: labels to judge models by.

    python make_labels.py mammals HELD_OUT.bed STORE... > labels.tsv    genes never seen
    python make_labels.py dengue GENES.gff3 STORE > labels.tsv          the polyprotein
    python make_labels.py mtdna GENES.bed SNVS.tsv.gz STORE > labels.tsv   13 genes, and disease

One line a variant, in the letters of the store's reference:

- ``consequence``: synonymous, missense or nonsense; ``.`` where there is none of these
- ``type``: the change and its complement as one, C>A C>G C>T T>A T>C T>G; in mtdna as it stands
- ``transition``, ``cpg`` (a C before a G, or a G after a C): 0 or 1
- ``label``: mammals and dengue ``seen`` in at least 3 rows of the alignment, or ``unseen`` in all
  of them, 40 or more; mtdna ``pathogenic`` or ``common``; else ``.``
- ``phylop``: UCSC's 100-way, mtdna only
- ``severity``: of a missense change, ``radical`` or ``conservative`` by Grantham's distance of the
  amino acids (above 100; at most 50), ``.`` between the two
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
from collections.abc import Iterator

import numpy as np
from codons import (
    CONSEQUENCES,
    STANDARD,
    VERTEBRATE_MITOCHONDRIAL,
    consequences,
    missense_distances,
)
from genes import Coding, base_counts, codings, reference_bases

from phylotools.io.bases import BASES
from phylotools.io.bed import read_bed
from phylotools.store.read import ColumnStore, open_store

FIELDS = (
    *("chrom", "pos", "ref", "alt", "gene", "consequence", "codon_place"),
    *("type", "transition", "cpg", "label", "phylop"),
    "severity",
)
#: Of Grantham's distance; classes of Li, Wu and Luo, J. Mol. Evol. 21:58 (1984).
MOST_CONSERVATIVE, LEAST_RADICAL = 50, 100
#: Fewer may be errors of sequencing, which are often written once or twice.
FEWEST_CARRIERS = 3
#: In fewer rows it means little that a base is not there.
FEWEST_ROWS = 40
C, G = 1, 2


def change_type(ref: int, alt: int, *, strands_apart: bool = False) -> str:
    """The change as written from its pyrimidine, or as it stands."""
    if ref in (C, 3) or strands_apart:
        return f"{BASES[ref]}>{BASES[alt]}"
    return f"{BASES[3 - ref]}>{BASES[3 - alt]}"


def severity(distance: float) -> str:
    """Class of the distance of two amino acids."""
    if distance > LEAST_RADICAL:
        return "radical"
    return "conservative" if distance <= MOST_CONSERVATIVE else "."


def variants(
    store: ColumnStore, coding: Coding, code: str, *, strands_apart: bool = False
) -> Iterator[dict[str, object]]:
    """The lines of a stretch, without labels."""
    region = coding.region
    bases = reference_bases(store, region)
    flanked = np.concatenate([[4], bases, [4]])
    is_cpg = ((bases == C) & (flanked[2:] == G)) | ((bases == G) & (flanked[:-2] == C))
    read = np.where(bases < 4, 3 - bases, bases)[::-1] if coding.is_reverse else bases
    kinds = consequences(read, coding.frame, code, has_start=coding.has_start)
    distances = missense_distances(read, coding.frame, code)
    places = (np.arange(len(bases)) - coding.frame) % 3
    if coding.is_reverse:
        kinds, distances, places = kinds[::-1, ::-1], distances[::-1, ::-1], places[::-1]
    for offset in np.flatnonzero(bases < 4).tolist():
        ref = int(bases[offset])
        for alt in range(4):
            if alt == ref:
                continue
            kind = int(kinds[offset, alt])
            yield {
                "chrom": region.contig,
                "pos": region.start + offset + 1,
                "ref": BASES[ref],
                "alt": BASES[alt],
                "gene": coding.gene,
                "consequence": CONSEQUENCES[kind] if kind >= 0 else ".",
                "codon_place": int(places[offset]) + 1,
                "type": change_type(ref, alt, strands_apart=strands_apart),
                "transition": int((ref + alt) % 2 == 0),
                "cpg": int(is_cpg[offset]),
                "label": ".",
                "phylop": ".",
                "severity": severity(distances[offset, alt]) if kind >= 0 else ".",
            }


def mammal_lines(bed: str, stores: list[str]) -> Iterator[dict[str, object]]:
    """Held-out genes."""
    held_out = set(read_bed(bed).contigs)
    for path in stores:
        store = open_store(path)
        for coding in codings(store):
            if coding.region.contig in held_out:
                yield from with_carriers(store, coding)


def dengue_lines(gff: str, path: str) -> Iterator[dict[str, object]]:
    store = open_store(path)
    for coding in codings(store, gff):
        yield from with_carriers(store, coding)


def with_carriers(store: ColumnStore, coding: Coding) -> Iterator[dict[str, object]]:
    """The lines of a stretch, labelled by what the rows of the alignment have."""
    counts = base_counts(store, coding.region)
    for line in variants(store, coding, STANDARD):
        here = counts[int(str(line["pos"])) - 1 - coding.region.start]
        carriers = here[BASES.index(str(line["alt"]))]
        if carriers >= FEWEST_CARRIERS:
            line["label"] = "seen"
        elif carriers == 0 and here.sum() >= FEWEST_ROWS:
            line["label"] = "unseen"
        yield line


def mtdna_lines(bed: str, table: str, path: str) -> Iterator[dict[str, object]]:
    store = open_store(path)
    with gzip.open(table, "rt") as handle:
        known = {
            (row["pos"], row["alt"]): row
            for row in csv.DictReader(handle, delimiter="\t")
            if row["ref"] != row["alt"]
        }
    for coding in codings(store, bed):
        for line in variants(store, coding, VERTEBRATE_MITOCHONDRIAL, strands_apart=True):
            row = known[str(line["pos"]), str(line["alt"])]
            yield line | {"label": row["label"], "phylop": row["phyloP100way"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sets = parser.add_subparsers(dest="set", required=True)
    mammals = sets.add_parser("mammals")
    mammals.add_argument("held_out")
    mammals.add_argument("stores", nargs="+")
    dengue = sets.add_parser("dengue")
    dengue.add_argument("genes")
    dengue.add_argument("store")
    mtdna = sets.add_parser("mtdna")
    mtdna.add_argument("genes")
    mtdna.add_argument("snvs")
    mtdna.add_argument("store")
    given = parser.parse_args()
    if given.set == "mammals":
        lines = mammal_lines(given.held_out, given.stores)
    elif given.set == "dengue":
        lines = dengue_lines(given.genes, given.store)
    else:
        lines = mtdna_lines(given.genes, given.snvs, given.store)
    writer = csv.DictWriter(sys.stdout, FIELDS, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)


if __name__ == "__main__":
    main()
