"""Held-out genes with a near relative among the training genes: what they teach may be memory.

    python paralogues.py HELD_OUT.bed STORE... > without_paralogues.bed

Writes the held-out regions of genes that share less than a tenth of their pentapeptides with any
one training gene, and says on stderr which others there are.
"""

from __future__ import annotations

import sys
from collections import Counter

from codons import NO_CODON, STANDARD, codon_indices
from genes import Coding, codings, reference_bases

from phylotools.io.bed import bed_rows
from phylotools.store.read import ColumnStore, open_store

LENGTH = 5
#: Two unrelated proteins share up to 3 %, paralogues of the set from 10 % on.
SHARE = 0.1


def peptides(store: ColumnStore, coding: Coding) -> set[str]:
    """Peptides of `LENGTH` amino acids of a stretch of coding sequence."""
    bases = reference_bases(store, coding.region)[coding.frame :]
    numbers = codon_indices(bases[: len(bases) // 3 * 3])
    protein = "".join(STANDARD[n] if n < NO_CODON else "X" for n in numbers.tolist())
    return {protein[at : at + LENGTH] for at in range(len(protein) - LENGTH + 1)}


def main() -> None:
    held_out = list(bed_rows(sys.argv[1]))
    drawn = {region.contig for region, _, _ in held_out}
    found = {
        coding.region.contig: peptides(store, coding)
        for store in map(open_store, sys.argv[2:])
        for coding in codings(store)
    }
    owners: dict[str, list[str]] = {}
    for contig in found.keys() - drawn:
        for peptide in found[contig]:
            owners.setdefault(peptide, []).append(contig)
    for region, cells, _ in held_out:
        own = found[region.contig]
        shared = Counter(contig for peptide in own for contig in owners.get(peptide, ()))
        nearest, count = max(shared.items(), key=lambda item: item[1], default=("none", 0))
        if count < SHARE * len(own):
            print(*cells, sep="\t")
        else:
            print(f"{cells[3]}: {count / len(own):.2f} shared with {nearest}", file=sys.stderr)


if __name__ == "__main__":
    main()
