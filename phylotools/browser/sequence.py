"""The reference as browsers need it: small ones whole, with their index; else lengths alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from phylotools.errors import InputError
from phylotools.io.bases import LETTER_OF_CODE
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region

#: A larger reference is not copied into the folder: browsers then show lengths alone.
LARGEST_COPY = 32_000_000
_LINE = 60


def write_sizes(path: Path, contigs: Mapping[str, int]) -> None:
    """Write ``chrom.sizes``: name and length, separated by a tab."""
    lines = (f"{name}\t{length}\n" for name, length in contigs.items())
    path.write_text("".join(lines), encoding="utf-8")


def write_reference(folder: Path, fasta: Path, contigs: Mapping[str, int]) -> None:
    """Write ``reference.fa`` and its ``.fai``: the contigs, in lines of equal length.

    Parameters
    ----------
    folder : Path
    fasta : Path
    contigs : mapping of str to int
        Name -> length; written in this order. Letters other than A, C, G and T become N.

    Raises
    ------
    InputError
        If a contig is not in the FASTA or has another length there.
    """
    with (
        ReferenceGenome.open(fasta) as genome,
        open(folder / "reference.fa", "wb") as sequence,
        open(folder / "reference.fa.fai", "w", encoding="utf-8") as index,
    ):
        for contig, length in contigs.items():
            if genome.contigs.get(contig) != length:
                raise InputError(
                    f"contig {contig!r} is not there with {length} bases",
                    path=fasta,
                    remedy="give the FASTA that the tracks were made from",
                )
            sequence.write(f">{contig}\n".encode())
            index.write(f"{contig}\t{length}\t{sequence.tell()}\t{_LINE}\t{_LINE + 1}\n")
            letters = LETTER_OF_CODE[genome.bases(Region(contig, 0, length))].tobytes()
            for start in range(0, length, _LINE):
                sequence.write(letters[start : start + _LINE] + b"\n")
