"""Compiled loop that writes the lines of the table of all single-nucleotide variants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phylotools.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phylotools.io.number_text import NumberText

_TAB, _NEWLINE, _ZERO = b"\t\n0"
_A, _C, _G, _T = b"ACGT"


@compiled
def _letter(code: int) -> int:
    return _A if code == 0 else _C if code == 1 else _G if code == 2 else _T


@compiled
def _copy(text: NDArray[np.uint8], length: int, out: NDArray[np.uint8], at: int, last: int) -> int:
    """Copy some bytes and the separator after them; returns where the next go."""
    for k in range(length):
        out[at + k] = text[k]
    out[at + length] = np.uint8(last)
    return at + length + 1


@compiled
def put_lines(
    contig: NDArray[np.uint8],
    positions: NDArray[np.int64],
    reference: NDArray[np.uint8],
    llr: NumberText,
    rate: NumberText,
    entropy: NumberText,
    out: NDArray[np.uint8],
) -> int:
    """Write three lines a position; returns the number of bytes.

    Parameters
    ----------
    contig : uint8 array
        Its name.
    positions : int64 array [K]
        0-based.
    reference : uint8 array [K]
        Codes 0 to 3.
    llr : NumberText
        4 K, by position and base.
    rate, entropy : NumberText
        K each.
    out : uint8 array, written
    """
    at = 0
    digits = np.empty(24, dtype=np.uint8)
    for i in range(len(positions)):
        n_digits = 0
        rest = positions[i] + 1
        while rest:
            n_digits += 1
            digits[24 - n_digits] = np.uint8(_ZERO + rest % 10)
            rest //= 10
        for base in range(4):
            if base == reference[i]:
                continue
            row = 4 * i + base
            at = _copy(contig, len(contig), out, at, _TAB)
            at = _copy(digits[24 - n_digits :], n_digits, out, at, _TAB)
            out[at] = np.uint8(_letter(reference[i]))
            out[at + 1] = np.uint8(_TAB)
            out[at + 2] = np.uint8(_letter(base))
            out[at + 3] = np.uint8(_TAB)
            at = _copy(llr.text[row], llr.lengths[row], out, at + 4, _TAB)
            at = _copy(rate.text[i], rate.lengths[i], out, at, _TAB)
            at = _copy(entropy.text[i], entropy.lengths[i], out, at, _NEWLINE)
    return at
