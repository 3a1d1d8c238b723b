"""Genetic codes: which amino acid a codon stands for, by NCBI's number of the code."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from phylotools.io.bases import BASES

STANDARD_CODE, VERTEBRATE_MITOCHONDRIAL_CODE = 1, 2
STOP = "*"
#: Three letters of an amino acid -> one; ``Ter`` is a stop.
ONE_LETTER = {
    "Ala": "A", "Arg": "R", "Asn": "N", "Asp": "D", "Cys": "C", "Gln": "Q", "Glu": "E",
    "Gly": "G", "His": "H", "Ile": "I", "Leu": "L", "Lys": "K", "Met": "M", "Phe": "F",
    "Pro": "P", "Ser": "S", "Thr": "T", "Trp": "W", "Tyr": "Y", "Val": "V", "Ter": STOP,
}  # fmt: skip
#: By codon: `CODONS`.
_STANDARD = "KNKNTTTTRSRSIIMIQHQHPPPPRRRRLLLLEDEDAAAAGGGGVVVV*Y*YSSSS*CWCLFLF"
#: What other codes have in place of the standard one's. Codons of 27, 28 and 31 that mean a stop in
#: some places and an amino acid in others stand for the amino acid.
_DIFFERENCES: dict[int, dict[str, str]] = {
    1: {},
    2: {"AGA": "*", "AGG": "*", "ATA": "M", "TGA": "W"},
    3: {"ATA": "M", "CTA": "T", "CTC": "T", "CTG": "T", "CTT": "T", "TGA": "W"},
    4: {"TGA": "W"},
    5: {"AGA": "S", "AGG": "S", "ATA": "M", "TGA": "W"},
    6: {"TAA": "Q", "TAG": "Q"},
    9: {"AAA": "N", "AGA": "S", "AGG": "S", "TGA": "W"},
    10: {"TGA": "C"},
    11: {},
    12: {"CTG": "S"},
    13: {"AGA": "G", "AGG": "G", "ATA": "M", "TGA": "W"},
    14: {"AAA": "N", "AGA": "S", "AGG": "S", "TAA": "Y", "TGA": "W"},
    15: {"TAG": "Q"},
    16: {"TAG": "L"},
    21: {"AAA": "N", "AGA": "S", "AGG": "S", "ATA": "M", "TGA": "W"},
    22: {"TAG": "L", "TCA": "*"},
    23: {"TTA": "*"},
    24: {"AGA": "S", "AGG": "K", "TGA": "W"},
    25: {"TGA": "G"},
    26: {"CTG": "A"},
    27: {"TAA": "Q", "TAG": "Q", "TGA": "W"},
    28: {"TAA": "Q", "TAG": "Q", "TGA": "W"},
    29: {"TAA": "Y", "TAG": "Y"},
    30: {"TAA": "E", "TAG": "E"},
    31: {"TAA": "E", "TAG": "E", "TGA": "W"},
    33: {"AGA": "S", "AGG": "K", "TAA": "Y", "TGA": "W"},
}
#: Numbers of the codes that are known.
GENETIC_CODES = tuple(_DIFFERENCES)
#: By their index, ``16 a + 4 b + c`` of the codes of three bases.
CODONS = tuple(a + b + c for a in BASES for b in BASES for c in BASES)


@functools.cache
def amino_acids(genetic_code: int) -> NDArray[np.uint8]:
    """Amino acid of each codon, ASCII letters, ``*`` for a stop; uint8 [64], by `CODONS`.

    Parameters
    ----------
    genetic_code : int
        One of `GENETIC_CODES`.
    """
    changed = _DIFFERENCES[genetic_code]
    letters = (changed.get(codon, usual) for codon, usual in zip(CODONS, _STANDARD, strict=True))
    table = np.frombuffer("".join(letters).encode(), dtype=np.uint8)
    table.setflags(write=False)
    return table


def stop_codons(genetic_code: int) -> tuple[str, ...]:
    """Codons that end a protein, by NCBI's number of the code."""
    table = amino_acids(genetic_code)
    return tuple(CODONS[k] for k in np.flatnonzero(table == ord(STOP)).tolist())


def codon_indices(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Index of each whole codon of a sequence, int64 [L // 3]; -1 where a base is unknown.

    Parameters
    ----------
    codes : uint8 array [L]
        0 to 3 for A, C, G, T, anything larger for what is not known; from the first base of a
        codon on.
    """
    triplets = codes[: len(codes) // 3 * 3].reshape(-1, 3).astype(np.int64)
    known = (triplets < len(BASES)).all(axis=1)
    return np.where(known, triplets @ (16, 4, 1), -1)


def translated(codes: NDArray[np.uint8], genetic_code: int) -> bytes:
    """Protein of a sequence that begins with a codon; ``X`` where a base is unknown."""
    indices = codon_indices(codes)
    table = amino_acids(genetic_code)
    return np.where(indices < 0, np.uint8(ord("X")), table[indices]).astype(np.uint8).tobytes()
