"""Labelled variants of the genes that `mammals-coding` carries, as a VCF.

    python make_coding_labels.py [--each 60] > coding.vcf

Of every gene as many random single-nucleotide changes, with INFO fields GENE, CONSEQUENCE
(synonymous, missense, nonsense), SEVERITY (of missense: radical or conservative by Grantham's
distance, above 100 and at most 50) and PLACE (1 to 3, in the codon).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models_study"))
from codons import CONSEQUENCES, NO_CONSEQUENCE, STANDARD, consequences, missense_distances

from phylotools.io.bases import BASES
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.io.transcripts import read_transcripts
from phylotools.model.registry import find_model

HEADER = """##fileformat=VCFv4.2
##INFO=<ID=GENE,Number=1,Type=String,Description="Gene">
##INFO=<ID=CONSEQUENCE,Number=1,Type=String,Description="What it does to the protein">
##INFO=<ID=SEVERITY,Number=1,Type=String,Description="radical or conservative (Grantham)">
##INFO=<ID=PLACE,Number=1,Type=Integer,Description="Place in the codon">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=60, help="variants of a gene")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    rows = sorted(variants(given.each, rng))
    sys.stdout.write(HEADER + "".join(line for _, _, line in rows))


def variants(n_each: int, rng: np.random.Generator) -> Iterator[tuple[str, int, str]]:
    """Contig, position and line of each variant."""
    folder = find_model("mammals-coding")
    transcripts = read_transcripts(folder / "transcripts.gff3", None)
    with ReferenceGenome.open(folder / "transcripts.fa") as sequences:
        for number, gene in enumerate(transcripts.names):
            length = sequences.contigs[gene]
            bases = sequences.bases(Region(gene, 0, length))
            found = consequences(bases, 0, has_start=True)
            distances = missense_distances(bases, 0, STANDARD)
            exons = transcripts.exons(number)
            places = np.concatenate([np.arange(*exon) for exon in exons.tolist()])
            is_reverse = bool(transcripts.is_reverse[number])
            if is_reverse:
                places = places[::-1]
            known = np.argwhere(found != NO_CONSEQUENCE)
            chosen = rng.choice(len(known), min(n_each, len(known)), replace=False)
            for place, alt in known[np.sort(chosen)].tolist():
                ref, distance = int(bases[place]), distances[place, alt]
                letters = [BASES[3 - b if is_reverse else b] for b in (ref, alt)]
                consequence = CONSEQUENCES[found[place, alt]]
                severity = "."
                if consequence == "missense":
                    severity = "radical" if distance > 100 else severity
                    severity = "conservative" if distance <= 50 else severity
                contig = transcripts.contigs[number]
                info = f"GENE={gene};CONSEQUENCE={consequence};SEVERITY={severity}"
                info += f";PLACE={place % 3 + 1}"
                position = int(places[place]) + 1
                line = "\t".join(
                    [
                        contig,
                        str(position),
                        ".",
                        *letters,
                        ".",
                        ".",
                        info,
                    ]
                )
                yield contig, position, line + "\n"


if __name__ == "__main__":
    main()
