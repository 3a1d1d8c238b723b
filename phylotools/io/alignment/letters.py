"""Letters of alignment rows as the codes of the column store."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

N, GAP, SOFT_MASK = 4, 5, 8
#: What may stand in a row: the codes of IUPAC for nucleotides, X, gaps, ``.`` and ``*``. E, F, I,
#: J, L, O, P, Q and Z are codes of amino acids only: one of them is enough to refuse a file.
NUCLEOTIDES = b"ACGTURYSWKMBDHVNXacgturyswkmbdhvnx-.*"
PROTEIN_REMEDY = "give the alignment of the nucleotides, not of proteins; N where one is unknown"


def _code_table() -> NDArray[np.uint8]:
    # Any other byte is refused before it is looked up here.
    table = np.full(256, N, dtype=np.uint8)
    table[list(b"ACGTU-")] = [0, 1, 2, 3, 3, GAP]
    table[list(range(ord("a"), ord("z") + 1))] = table[ord("A") : ord("Z") + 1] | SOFT_MASK
    table.setflags(write=False)
    return table


def _complement(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    is_base = (codes & ~np.uint8(SOFT_MASK)) < N
    table = np.where(is_base, codes ^ 3, codes)
    table.setflags(write=False)
    return table


#: uint8[256]: ASCII byte -> A=0, C=1, G=2, T=3, any other letter 4, gap 5; plus 8 in lower case.
CODE_OF_BYTE = _code_table()
#: uint8[256]: ASCII byte -> code on the other strand.
COMPLEMENT_OF_BYTE = _complement(CODE_OF_BYTE)
