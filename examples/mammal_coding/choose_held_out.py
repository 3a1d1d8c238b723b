"""Choose the genes that the shipped model never sees: held_out.bed.

    python choose_held_out.py STORE... > held_out.bed

A gene is held out if the MD5 of the name of one of its contigs, as a number, leaves a remainder
below 120 by 1,000: 12 % of the contigs, whatever else is in the stores, chosen by nobody. All
exons of such a gene are held out. Contigs are named ``GENE_EXON`` or by the gene's Ensembl number.
"""

from __future__ import annotations

import hashlib
import sys

from phylotools.store.read import open_store

THOUSANDTHS = 120


def is_drawn(contig: str) -> bool:
    """Whether the name of a contig draws its gene."""
    return int(hashlib.md5(contig.encode()).hexdigest(), 16) % 1000 < THOUSANDTHS


def gene_of(contig: str) -> str:
    return contig.split("_")[0]


def main() -> None:
    for path in sys.argv[1:]:
        contigs = open_store(path).contigs
        genes = {gene_of(contig) for contig in contigs if is_drawn(contig)}
        for contig, length in contigs.items():
            if gene_of(contig) in genes:
                print(contig, 0, length, gene_of(contig), sep="\t")


if __name__ == "__main__":
    main()
