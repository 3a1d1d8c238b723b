"""A compiled loop over BED text: ordinary lines, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phylotools.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TAB, _NEWLINE, _RETURN, _SPACE, _ZERO, _HASH, _T, _B, _DELETE = b"\t\n\r 0#tb\x7f"
_LONGEST_COORDINATE = 12
#: Columns of a VCF without samples; ALT is the fifth.
_VCF_COLUMNS = 8
_ALLELE_LETTERS = np.zeros(256, dtype=np.bool_)
_ALLELE_LETTERS[np.frombuffer(b"ACGTNacgtn,.*", dtype=np.uint8)] = True


@compiled
def scan_lines(
    text: NDArray[np.uint8],
    at: int,
    rows: NDArray[np.int64],
) -> tuple[int, int]:
    """Read ordinary lines up to the first other one; returns their number and where that begins.

    Ordinary is: a contig without blanks, two rising whole numbers, any columns of printable ASCII;
    tabs between them. What may be a comment, a ``track`` line or VCF is not.

    Parameters
    ----------
    text : uint8 array
        Lines, each with its newline.
    at : int
        Where a line begins.
    rows : int64 array [N, 4], written
        Where in `text` the contig's name lies, 0 and 0 if it is that of the line before; start and
        end.
    """
    n = 0
    name_begin, name_end = 0, 0
    while at < len(text) and n < len(rows):
        begin = at
        first = text[at]
        if first == _HASH or first == _T or first == _B:
            break
        while _SPACE < text[at] < _DELETE:
            at += 1
        if at == begin or text[at] != _TAB:
            return n, begin
        is_new = n == 0 or at - begin != name_end - name_begin
        if not is_new:
            for k in range(at - begin):
                is_new |= text[begin + k] != text[name_begin + k]
        stop = at
        for side in range(2):
            at += 1
            number, n_digits = 0, 0
            while _ZERO <= text[at] <= _ZERO + 9 and n_digits <= _LONGEST_COORDINATE:
                number = number * 10 + text[at] - _ZERO
                n_digits += 1
                at += 1
            is_last = side == 1 and (text[at] == _NEWLINE or text[at] == _RETURN)
            if not 0 < n_digits <= _LONGEST_COORDINATE or not (text[at] == _TAB or is_last):
                return n, begin
            rows[n, 2 + side] = number
        n_columns = 3
        has_alleles = True
        while text[at] == _TAB or _SPACE <= text[at] < _DELETE:
            if text[at] == _TAB:
                n_columns += 1
            elif n_columns == 4 or n_columns == 5:
                has_alleles &= _ALLELE_LETTERS[text[at]]
            at += 1
        if text[at] == _RETURN:
            at += 1
        is_vcf = has_alleles and n_columns >= _VCF_COLUMNS
        if text[at] != _NEWLINE or is_vcf or rows[n, 3] < rows[n, 2]:
            return n, begin
        at += 1
        rows[n, 0], rows[n, 1] = 0, 0
        if is_new:
            name_begin, name_end = begin, stop
            rows[n, 0], rows[n, 1] = begin, stop
        n += 1
    return n, at
