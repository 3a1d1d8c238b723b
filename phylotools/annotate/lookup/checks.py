"""What every form of precomputed scores offers, and must agree with."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.genome import CODE_OF_BYTE
from phylotools.scoring.reference import ReferenceLetters

if TYPE_CHECKING:
    from phylotools.model.registry import Model

WRONG_GENOME_REMEDY = "give the scores of this genome, or the genome of these scores"

#: LLR, rate, entropy: float64 arrays [K].
Found = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


class PrecomputedScores(AbstractContextManager["PrecomputedScores"], Protocol):
    """Scores of single-nucleotide variants, for one thread at a time."""

    def lookup(self, contig: str, positions: NDArray[np.int64], alts: NDArray[np.uint8]) -> Found:
        """Scores of alleles of one contig.

        Parameters
        ----------
        contig : str
            As the genome names it.
        positions : int64 array [K]
            0-based, in any order.
        alts : uint8 array [K]
            Base codes, 0 to 3 for A, C, G, T.

        Returns
        -------
        llr, rate, entropy : float64 array [K]
            NaN where there is none of the allele.

        Raises
        ------
        InputError
            If a file is damaged there, or of another genome.
        """
        ...


def check_model(name: str, sha256: str, model: Model, path: str) -> None:
    """Raise `InputError` unless numbers of the model named are those of `model`."""
    if sha256 == model.sha256:
        return
    raise InputError(
        f"its numbers are of model {name} (sha256 {sha256}), not of "
        f"{model.name} (sha256 {model.sha256})",
        path=path,
        remedy="give that model with --model, or make them with this one (`phylotools tracks`)",
    )


def check_precision(found: str, precision: str, path: str) -> None:
    """Raise `InputError` unless numbers were computed in the arithmetic of the others."""
    if found != precision:
        raise InputError(
            f"its numbers were computed in {found}, the others would be in {precision}",
            path=path,
            remedy=f"choose --precision {found.partition(',')[0]}, or make them anew",
        )


def reference_codes(
    letters: ReferenceLetters, contig: str, positions: NDArray[np.int64], path: str
) -> NDArray[np.uint8]:
    """Codes of the reference at rising positions, 0 to 3 for A, C, G, T, 4 for any other.

    Raises
    ------
    InputError
        If a position that the file `path` holds lies beyond the contig's end.
    """
    genome = letters.genome
    if len(positions) and positions[-1] >= genome.contigs[contig]:
        raise InputError(
            f"holds {contig}:{positions[-1] + 1}, beyond the end of {contig} in {genome.path}",
            path=path,
            remedy=WRONG_GENOME_REMEDY,
        )
    return CODE_OF_BYTE[letters.at(contig, positions)]
