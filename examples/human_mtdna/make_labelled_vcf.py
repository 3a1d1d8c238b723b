"""Turn the table of labelled SNVs into a VCF: data/labelled_snvs.vcf.gz.

python examples/human_mtdna/make_labelled_vcf.py
"""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pysam

DATA = Path(__file__).parent / "data"
HEADER = """##fileformat=VCFv4.2
##reference=hg38 chrM (rCRS, NC_012920.1)
##contig=<ID=chrM,length=16569>
##INFO=<ID=LABEL,Number=1,Type=String,Description="pathogenic or common, see SOURCES.md">
##INFO=<ID=GENE,Number=1,Type=String,Description="Mitochondrial gene">
##INFO=<ID=CLASS,Number=1,Type=String,Description="Complex or kind of RNA">
##INFO=<ID=PHYLOP,Number=1,Type=Float,Description="UCSC phyloP 100-way of the site">
##INFO=<ID=AC_HOM,Number=1,Type=Integer,Description="Homoplasmic carriers in gnomAD v3.1">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
"""


CLASSES = {
    "MT-ND": "complex_I",
    "MT-CYB": "complex_III",
    "MT-CO": "complex_IV",
    "MT-ATP": "complex_V",
    "MT-RNR": "rRNA",
    "MT-T": "tRNA",
}


def gene_class(gene: str) -> str:
    """The class of a gene, or of the first of two that overlap."""
    return next((name for start, name in CLASSES.items() if gene.startswith(start)), "other")


def main() -> None:
    """Write the labelled records in the order of the table, which is sorted."""
    lines = []
    with gzip.open(DATA / "chrM_all_snvs_labels.tsv.gz", "rt") as handle:
        for row in csv.DictReader(handle, delimiter="\t"):
            if row["label"] == "." or row["ref"] == row["alt"]:
                continue
            gene = row["gene"].replace(",", "/")
            info = f"LABEL={row['label']};GENE={gene};CLASS={gene_class(gene)}"
            info += f";PHYLOP={row['phyloP100way']}"
            info += f";AC_HOM={row['gnomad_AC_hom']}"
            place = f"{row['chrom']}\t{row['pos']}\t.\t{row['ref']}\t{row['alt']}"
            lines.append(f"{place}\t.\t.\t{info}\n")
    with pysam.BGZFile(str(DATA / "labelled_snvs.vcf.gz"), "w") as output:
        output.write((HEADER + "".join(lines)).encode())


if __name__ == "__main__":
    main()
