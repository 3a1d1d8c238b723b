"""Compiled loops over VCF text: where lines and their columns begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phylotools.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

FINE, WRONG_COLUMNS, BAD_POSITION, EMPTY_REF = range(4)
#: Tabs that end CHROM, POS, ID, REF, ALT, QUAL, FILTER and INFO.
N_TABS = 8
_TAB, _NEWLINE, _RETURN, _MINUS, _ZERO, _SEMICOLON, _EQUALS, _DOT = b"\t\n\r-0;=."
_LONGEST_POSITION = 18
_END_KEY = np.frombuffer(b"END=", dtype=np.uint8)


@compiled
def scan_lines(
    text: NDArray[np.uint8],
    n_columns: int,
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    tabs: NDArray[np.int64],
    positions: NDArray[np.int64],
    line_index: NDArray[np.int64],
    problems: NDArray[np.uint8],
    is_new_contig: NDArray[np.bool_],
) -> int:
    """Find the records of whole lines; returns their number.

    Parameters
    ----------
    text : uint8 array
        Lines, each with its newline. Blank ones are passed over.
    n_columns : int
        Columns that a record has.
    begins, ends : int64 array [N], written
        Of every record; the end lies behind its newline.
    tabs : int64 array [N, 8], written
        Where each of the fixed columns ends.
    positions : int64 array [N], written
        POS.
    line_index : int64 array [N], written
        Index of the line within the text.
    problems : uint8 array [N], written
        `FINE` or what is wrong; then the other columns are not to be read.
    is_new_contig : bool array [N], written
        Whether CHROM is another than that of the record before.
    """
    n_records = 0
    n_lines = 0
    begin = 0
    while begin < len(text):
        n_tabs = 0
        at = begin
        row = tabs[n_records]
        # Beyond INFO only the number of tabs matters.
        while text[at] != _NEWLINE and n_tabs < N_TABS:
            if text[at] == _TAB:
                row[n_tabs] = at
                n_tabs += 1
            at += 1
        while text[at] != _NEWLINE:
            if text[at] == _TAB:
                n_tabs += 1
            at += 1
        end = at
        if end > begin and text[end - 1] == _RETURN:
            end -= 1
        number = n_lines
        n_lines += 1
        if end == begin:
            begin = at + 1
            continue
        if n_tabs == N_TABS - 1:
            row[N_TABS - 1] = end
        problem = FINE
        position = 0
        if n_tabs + 1 != n_columns:
            problem = WRONG_COLUMNS
        else:
            first = row[0] + 1
            is_negative = first < row[1] and text[first] == _MINUS
            if is_negative:
                first += 1
            n_digits = row[1] - first
            if n_digits < 1 or n_digits > _LONGEST_POSITION:
                problem = BAD_POSITION
            else:
                for k in range(first, row[1]):
                    digit = int(text[k]) - _ZERO
                    if digit < 0 or digit > 9:
                        problem = BAD_POSITION
                        break
                    position = position * 10 + digit
                if is_negative:
                    position = -position
            if problem == FINE and row[3] == row[2] + 1:
                problem = EMPTY_REF
        is_new = True
        if n_records and problem == FINE and problems[n_records - 1] == FINE:
            length = row[0] - begin
            last = begins[n_records - 1]
            if tabs[n_records - 1, 0] - last == length:
                is_new = False
                for k in range(length):
                    if text[begin + k] != text[last + k]:
                        is_new = True
                        break
        begins[n_records] = begin
        ends[n_records] = at + 1
        positions[n_records] = position
        line_index[n_records] = number
        problems[n_records] = problem
        is_new_contig[n_records] = is_new
        n_records += 1
        begin = at + 1
    return n_records


@compiled
def info_contains(
    text: NDArray[np.uint8],
    tabs: NDArray[np.int64],
    wanted: NDArray[np.uint8],
    found: NDArray[np.bool_],
) -> None:
    """Whether the INFO column of each record holds some bytes, anywhere within it."""
    for i in range(len(tabs)):
        found[i] = False
        last = tabs[i, 7] - len(wanted)
        at = tabs[i, 6] + 1
        while at <= last:
            if text[at] == wanted[0]:
                k = 1
                while k < len(wanted) and text[at + k] == wanted[k]:
                    k += 1
                if k == len(wanted):
                    found[i] = True
                    break
            at += 1


@compiled
def record_ends(
    text: NDArray[np.uint8],
    tabs: NDArray[np.int64],
    positions: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> None:
    """0-based end of what each record spans: its REF, or INFO/END where that is given.

    htslib, whose indexes and regions go by it, does the same.
    """
    for i in range(len(tabs)):
        ends[i] = positions[i] - 1 + tabs[i, 3] - tabs[i, 2] - 1
        at = tabs[i, 6] + 1
        stop = tabs[i, 7]
        is_start = True
        while at + 4 < stop:
            if is_start and text[at] == _END_KEY[0]:
                k = 1
                while k < 4 and text[at + k] == _END_KEY[k]:
                    k += 1
                if k == 4:
                    end = 0
                    at += 4
                    n_digits = 0
                    while at < stop and n_digits < _LONGEST_POSITION:
                        digit = int(text[at]) - _ZERO
                        if digit < 0 or digit > 9:
                            break
                        end = end * 10 + digit
                        n_digits += 1
                        at += 1
                    if n_digits and end >= positions[i]:
                        ends[i] = end
                    break
            is_start = text[at] == _SEMICOLON
            at += 1


@compiled
def reduce_records(
    text: NDArray[np.uint8],
    begins: NDArray[np.int64],
    tabs: NDArray[np.int64],
    keys: NDArray[np.uint8],
    key_bounds: NDArray[np.int64],
    reduced: NDArray[np.uint8],
) -> int:
    """Write records with some of their INFO fields and without genotypes; returns the bytes.

    Parameters
    ----------
    text : uint8 array
    begins : int64 array [N]
    tabs : int64 array [N, 8]
        As `scan_lines` found them.
    keys : uint8 array
        INFO keys to keep, one behind the other.
    key_bounds : int64 array [K + 1]
        Key k lies from ``key_bounds[k]`` to ``key_bounds[k + 1]``.
    reduced : uint8 array, written
        As long as `text` and two bytes for each record.
    """
    n = 0
    for i in range(len(begins)):
        for at in range(begins[i], tabs[i, 6] + 1):
            reduced[n] = text[at]
            n += 1
        is_empty = True
        at = tabs[i, 6] + 1
        stop = tabs[i, 7]
        while at < stop:
            name_end = at
            while name_end < stop and text[name_end] != _EQUALS and text[name_end] != _SEMICOLON:
                name_end += 1
            end = name_end
            while end < stop and text[end] != _SEMICOLON:
                end += 1
            for k in range(len(key_bounds) - 1):
                length = key_bounds[k + 1] - key_bounds[k]
                j = 0
                if name_end - at == length:
                    while j < length and text[at + j] == keys[key_bounds[k] + j]:
                        j += 1
                    if j == length:
                        if not is_empty:
                            reduced[n] = _SEMICOLON
                            n += 1
                        for m in range(at, end):
                            reduced[n] = text[m]
                            n += 1
                        is_empty = False
                        break
            at = end + 1
        if is_empty:
            reduced[n] = _DOT
            n += 1
        reduced[n] = _NEWLINE
        n += 1
    return n
