"""Which assembly a file is on, by the names and lengths of its contigs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from phylotools.io.chromosomes import ASSEMBLIES, BY_NAME, Assembly
from phylotools.io.contigs import assembly_of_accession, contig_stem

#: Other names of assemblies, in lower case -> the UCSC Genome Browser's.
ASSEMBLY_ALIASES = {
    **{assembly.other_name.lower(): assembly.name for assembly in ASSEMBLIES},
    "chm13v2.0": "hs1",
    "b37": "hg19",
    "hs37d5": "hg19",
    "ncbim37": "mm9",
    "grcz11": "danRer11",
    "grcz10": "danRer10",
    "bdgp6": "dm6",
    "wbcel235": "ce11",
    "r64-1-1": "sacCer3",
    "grcg6a": "galGal6",
    "mratbn7.2": "rn7",
}


def assembly_names(text: str) -> list[str]:
    """Words of a free text, names of assemblies as the UCSC Genome Browser has them.

    ``hg38 chrM (rCRS)`` and ``GRCh38.p14`` begin with ``hg38``.
    """
    words = filter(None, re.split(r"[\s(),;:/]+", text))
    # GRCh38.p14: patches add contigs and change none.
    return [ASSEMBLY_ALIASES.get(re.sub(r"\.p[0-9]+$", "", word.lower()), word) for word in words]


def assembly_of_text(text: str) -> Assembly | None:
    """The known assembly that a free text names, such as a model's ``assembly``."""
    return next((BY_NAME[name] for name in assembly_names(text) if name in BY_NAME), None)


class Recognition(NamedTuple):
    """What the contigs of a file say of its assembly.

    Attributes
    ----------
    assembly : Assembly
    n_agreeing, n_differing : int
        Nuclear chromosomes of the file that have its lengths, and that have others.
    """

    assembly: Assembly
    n_agreeing: int
    n_differing: int


def recognise(lengths: Mapping[str, int | None]) -> Recognition | None:
    """The assembly whose nuclear chromosomes have the lengths that a file declares.

    Names count with and without ``chr``, as do accessions of the human chromosomes, which name
    their assembly themselves. Contigs of no known chromosome, and the mitochondrion, whose length
    assemblies share, say nothing.

    Parameters
    ----------
    lengths : mapping of str to (int or None)
        Contigs of a header or an index; None where it gives no length.

    Returns
    -------
    Recognition or None
        Of the assembly that most chromosomes agree with; None if fewer agree than differ.
    """
    stems = {name: contig_stem(name) for name in lengths}
    best: Recognition | None = None
    for assembly in ASSEMBLIES:
        agreeing = differing = 0
        for name, stem in stems.items():
            expected = assembly.lengths.get(stem)
            accession = assembly_of_accession(name)
            found = lengths[name]
            if expected is None or (found is None and accession is None):
                continue
            same = found in (None, expected) and accession in (None, assembly.other_name)
            agreeing, differing = agreeing + same, differing + (not same)
        if agreeing > max(differing, best.n_agreeing if best else 0):
            best = Recognition(assembly, agreeing, differing)
    return best


def has_nuclear_chromosome(names: Iterable[str]) -> bool:
    """Whether a contig is named as a nuclear chromosome of a known assembly."""
    return any(contig_stem(name) in BY_NAME["hg38"].lengths for name in names)
