"""Where 90 of the genes lie on hg38, for `phylotools model export`.

    python make_transcripts.py STORE FOLDER

Writes ``transcripts.gff3`` (the coding parts of 90 transcripts on hg38), ``transcripts.fa`` (the
parts of each joined, on the strand of the gene: the contigs of the store) and
``training_regions.bed`` (the parts of those that are not held out).
"""

from __future__ import annotations

import sys
from pathlib import Path

from phylotools.io.bases import LETTER_OF_CODE
from phylotools.io.bed import bed_rows, read_bed
from phylotools.io.regions import Region
from phylotools.store.read import ColumnStore, open_store

HERE = Path(__file__).parent
PLACED = HERE / "data" / "placed_hg38.bed"
LINE = 60


class Exon:
    """A line of `PLACED`, whose name is ``SYMBOL|GENE|TRANSCRIPT|exonN``."""

    def __init__(self, region: Region, name: str, strand: str) -> None:
        self.region, self.strand = region, strand
        self.symbol, self.gene, self.transcript, exon = name.split("|")
        self.number = int(exon.removeprefix("exon"))


def read_exons() -> dict[str, list[Exon]]:
    """The exons of each gene, in the order of translation."""
    found: dict[str, list[Exon]] = {}
    for region, cells, _ in bed_rows(str(PLACED)):
        exon = Exon(region, cells[3], cells[5])
        found.setdefault(exon.gene, []).append(exon)
    return {gene: sorted(exons, key=lambda e: e.number) for gene, exons in found.items()}


def gff_line(exon: Exon, begin: int) -> str:
    """A row of type CDS; `begin` coding bases stand before it."""
    region = exon.region
    attributes = f"ID=cds-{exon.transcript};Parent={exon.transcript};gene={exon.symbol}"
    place = f"{region.contig}\tEnsembl\tCDS\t{region.start + 1}\t{region.end}"
    return f"{place}\t.\t{exon.strand}\t{-begin % 3}\t{attributes}\n"


def fasta_entry(store: ColumnStore, exon: Exon) -> str:
    whole = Region(exon.gene, 0, store.contigs[exon.gene])
    sequence = LETTER_OF_CODE[store.reference(whole)].tobytes().decode()
    lines = [sequence[at : at + LINE] for at in range(0, len(sequence), LINE)]
    return "\n".join([f">{exon.transcript} {exon.symbol} {exon.gene}", *lines, ""])


def main() -> None:
    store, folder = open_store(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(exist_ok=True)
    held_out = read_bed(HERE / "held_out.bed").contigs
    rows, entries, regions = [], [], []
    for gene, exons in read_exons().items():
        begin = 0
        for exon in exons:
            rows.append(gff_line(exon, begin))
            begin += len(exon.region)
            if gene not in held_out:
                region = exon.region
                regions.append(f"{region.contig}\t{region.start}\t{region.end}\t{exon.symbol}\n")
        if begin != store.contigs[gene]:
            raise SystemExit(f"{gene}: {begin} bases on hg38, {store.contigs[gene]} in the store")
        entries.append(fasta_entry(store, exons[0]))
    (folder / "transcripts.gff3").write_text("##gff-version 3\n" + "".join(rows))
    (folder / "transcripts.fa").write_text("".join(entries))
    (folder / "training_regions.bed").write_text("".join(regions))


if __name__ == "__main__":
    main()
