"""Coding sequences codon by codon, and which base changes make which amino acid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.io.bases import BASES, COMPLEMENT, base_codes
from phylotools.io.genetic_code import amino_acids, codon_indices, translated
from phylotools.io.reading_frame import transcript_code
from phylotools.io.spliced import SplicedGenome


class BaseChange(NamedTuple):
    """A change of one base in the genome, and the amino acid that it makes.

    Attributes
    ----------
    position : int
        0-based, on the contig.
    ref, alt : str
        On the forward strand.
    mutant : str
        One letter, ``*`` for a stop.
    """

    position: int
    ref: str
    alt: str
    mutant: str


@dataclass(frozen=True)
class CodingSequence:
    """A transcript, from its first whole codon on.

    Attributes
    ----------
    name, contig : str
    codes : uint8 array [L]
        Bases on the strand of the gene, 0 to 3; 4 where one is unknown.
    positions : int64 array [L]
        0-based, of each on the contig: a codon may lie in two exons.
    is_reverse : bool
    genetic_code : int
    """

    name: str
    contig: str
    codes: NDArray[np.uint8]
    positions: NDArray[np.int64]
    is_reverse: bool
    genetic_code: int

    @property
    def protein(self) -> str:
        """One letter for each whole codon."""
        return translated(self.codes, self.genetic_code).decode()

    def base_changes(self, residue: int) -> Iterator[BaseChange]:
        """The nine changes of one base of a codon; none where a base is unknown.

        Parameters
        ----------
        residue : int
            Of the amino acid, from 0.
        """
        codon = self.codes[3 * residue : 3 * residue + 3]
        if len(codon) < 3 or (codon >= len(BASES)).any():
            return
        table = amino_acids(self.genetic_code)
        for place in range(3):
            for base in range(len(BASES)):
                if base == codon[place]:
                    continue
                changed = codon.copy()
                changed[place] = base
                ref, alt = BASES[codon[place]], BASES[base]
                if self.is_reverse:
                    ref, alt = COMPLEMENT[ref], COMPLEMENT[alt]
                mutant = chr(table[codon_indices(changed)[0]])
                yield BaseChange(int(self.positions[3 * residue + place]), ref, alt, mutant)


def coding_sequence(
    spliced: SplicedGenome, k: int, genetic_code: int | None = None
) -> CodingSequence:
    """A transcript by its number.

    Parameters
    ----------
    spliced : SplicedGenome
    k : int
    genetic_code : int, optional
        As for `check_reading_frames`.
    """
    found = spliced.transcripts
    is_reverse = bool(found.is_reverse[k])
    parts = [np.arange(start, end) for start, end in found.exons(k).tolist()]
    positions = np.concatenate(parts)
    first = int(found.phases[k])
    return CodingSequence(
        found.names[k],
        found.contigs[k],
        base_codes(np.frombuffer(spliced.joined(k), dtype=np.uint8))[first:],
        (positions[::-1] if is_reverse else positions)[first:],
        is_reverse,
        transcript_code(found, k, genetic_code),
    )
