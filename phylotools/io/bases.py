"""Bases as letters, as numbers and as colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: By code.
BASES = "ACGT"
BASES_AND_N = "ACGTN"
#: Green, blue, yellow and red, as is usual, in hues that all tell apart (Okabe and Ito 2008).
BASE_COLOURS = ("#009E73", "#0072B2", "#E69F00", "#D55E00")
COMPLEMENT = dict(zip(BASES, reversed(BASES), strict=True))
_COMPLEMENT_OF_LETTER = bytes.maketrans(BASES.encode(), BASES[::-1].encode())
#: Letters for sets of bases, as IUPAC has them, and the bases that each allows.
IUPAC = dict(zip(BASES, BASES, strict=True)) | {
    "U": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC",
    "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": BASES,
}  # fmt: skip
#: Codes of every letter other than A, C, G and T, and of a gap in an alignment.
N, GAP = 4, 5
#: Added to the code of a lower-case (soft-masked) base.
SOFT_MASK = 8
#: What is left of a code without the soft mask.
CODE_MASK = 7
#: Where a letter is no nucleotide's.
NO_CODE = 255
#: What may stand in a sequence: the codes of IUPAC for nucleotides, X, gaps, ``.`` and ``*``. E, F,
#: I, J, L, O, P, Q and Z are codes of amino acids only: one of them is enough to refuse a file.
NUCLEOTIDES = b"ACGTURYSWKMBDHVNXacgturyswkmbdhvnx-.*"
PROTEIN_REMEDY = "give the alignment of the nucleotides, not of proteins; N where one is unknown"


def _code_table() -> NDArray[np.uint8]:
    table = np.full(256, NO_CODE, dtype=np.uint8)
    letters = np.frombuffer(NUCLEOTIDES, dtype=np.uint8)
    table[letters] = N
    table[list(b"ACGTU")] = [0, 1, 2, 3, 3]
    lower = letters[letters > ord("Z")]
    table[lower] = table[lower - 32] | SOFT_MASK
    return table


def _alignment_table(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    table = np.where(codes == NO_CODE, np.uint8(N), codes)
    table[ord("-")] = GAP
    return table


def _complement(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.where((codes & CODE_MASK) < N, codes ^ 3, codes)


#: uint8[256]: ASCII -> A=0, C=1, G=2, T and U=3, any other nucleotide letter 4; plus 8 in lower
#: case. `NO_CODE` for what is none.
CODE_OF_BYTE = _code_table()
#: uint8[256]: the same for rows of an alignment: a gap is 5, and what is no letter was refused.
ALIGNED_CODE_OF_BYTE = _alignment_table(CODE_OF_BYTE)
#: uint8[256]: code on the other strand.
ALIGNED_COMPLEMENT_OF_BYTE = _complement(ALIGNED_CODE_OF_BYTE)
#: uint8[6]: code without soft mask -> upper-case letter.
LETTER_OF_CODE = np.frombuffer(b"ACGTN-", dtype=np.uint8)
for _table in (CODE_OF_BYTE, ALIGNED_CODE_OF_BYTE, ALIGNED_COMPLEMENT_OF_BYTE):
    _table.setflags(write=False)


def base_codes(letters: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes 0 to 3 of A, C, G and T in any case, 4 of any other byte."""
    return np.minimum(CODE_OF_BYTE[letters] & np.uint8(CODE_MASK), np.uint8(N))


def reverse_complement(letters: bytes) -> bytes:
    """The other strand of upper-case letters; those that are no base stay as they are."""
    return letters[::-1].translate(_COMPLEMENT_OF_LETTER)
