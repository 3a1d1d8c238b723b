"""Where 90 of the genes lie on hg38, as GFF3 for `phylotools model export --transcripts`.

    python make_transcripts.py > transcripts.gff3

Each coding sequence has the name of its contig in the store, the gene's Ensembl number.
"""

from __future__ import annotations

from pathlib import Path

from phylotools.io.bed import bed_rows

PLACED = Path(__file__).parent / "data" / "placed_hg38.bed"


def main() -> None:
    """Write a row of type CDS for each line of `PLACED`, named SYMBOL|GENE|TRANSCRIPT|exonN."""
    exons = []
    for region, cells, _ in bed_rows(str(PLACED)):
        symbol, gene, transcript, exon = cells[3].split("|")
        exons.append((gene, int(exon.removeprefix("exon")), region, cells[5], symbol, transcript))
    print("##gff-version 3")
    begin, last = 0, ""
    # In the order of translation, in which phases are counted.
    for gene, _, region, strand, symbol, transcript in sorted(exons, key=lambda exon: exon[:2]):
        begin, last = (begin if gene == last else 0), gene
        place = f"{region.contig}\tEnsembl\tCDS\t{region.start + 1}\t{region.end}"
        attributes = (
            f"ID=cds-{transcript};Parent={gene};gene={symbol};ensembl_transcript={transcript}"
        )
        print(f"{place}\t.\t{strand}\t{-begin % 3}\t{attributes}")
        begin += len(region)


if __name__ == "__main__":
    main()
