"""Compiled loops over text of variants: alleles in minimal form, their values, and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phylotools.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What is wrong with a line of a table.
FINE, WRONG_COLUMNS, QUOTED, NO_POSITION, NO_ALLELE = range(5)
#: How a value of a record is that of one of its alleles: as the VCF specification's Number says.
WHOLE, PER_ALT, PER_ALLELE, MAYBE_PER_ALT = range(4)
#: Of a number: read, none there, or not read here (it may be one all the same).
READ, ABSENT, UNREAD = range(3)

_TAB, _NEWLINE, _RETURN, _QUOTE, _COMMA, _DOT, _MINUS, _PLUS, _SPACE = b'\t\n\r",.-+ '
_SEMICOLON, _EQUALS, _ZERO, _NINE, _LOWER_A, _LOWER_Z = b";=09az"
_E, _LOWER_E = b"Ee"
_LONGEST_POSITION = 12
#: Letters of both alleles that fit into an exact key of 63 bits, with a gap between them.
_LETTERS_IN_KEY = 19
_CODES = np.zeros(256, dtype=np.uint64)
for _code, _letter in enumerate(b"ACGTNacgtn"):
    _CODES[_letter] = _code % 5 + 1
_HASHED = np.uint64(1 << 63)
_FNV_START, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_BETWEEN = np.uint64(0x9E3779B97F4A7C15)
_POWERS = np.array([10.0**power for power in range(23)])
#: Largest whole number that float64 and every smaller one have.
_EXACT = 1 << 53


@compiled
def scan_rows(
    text: NDArray[np.uint8],
    delimiter: int,
    n_columns: int,
    wanted: NDArray[np.int64],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    line_index: NDArray[np.int64],
    problems: NDArray[np.uint8],
) -> int:
    """Find cells of the rows of a delimited table; returns the number of rows.

    Parameters
    ----------
    text : uint8 array
        Lines, each with its newline. Blank ones are passed over.
    delimiter : int
    n_columns : int
    wanted : int64 array [n_columns]
        Of each column, its place in `begins`; -1 for one that is not wanted.
    begins, ends : int64 array [N, W], written
    line_index : int64 array [N], written
    problems : uint8 array [N], written
        ``FINE``, ``WRONG_COLUMNS`` or ``QUOTED``.
    """
    n_rows, n_lines, at = 0, 0, 0
    while at < len(text):
        begin, column, has_quote = at, 0, False
        cell = at
        while True:
            letter = text[at]
            if letter == delimiter or letter == _NEWLINE:
                if column < n_columns and wanted[column] >= 0:
                    end = at
                    if letter == _NEWLINE and end > cell and text[end - 1] == _RETURN:
                        end -= 1
                    begins[n_rows, wanted[column]] = cell
                    ends[n_rows, wanted[column]] = end
                column += 1
                cell = at + 1
                if letter == _NEWLINE:
                    break
            elif letter == _QUOTE:
                has_quote = True
            at += 1
        is_blank = at == begin or (at == begin + 1 and text[begin] == _RETURN)
        if not is_blank:
            line_index[n_rows] = n_lines
            problems[n_rows] = QUOTED if has_quote else FINE
            if column != n_columns and not has_quote:
                problems[n_rows] = WRONG_COLUMNS
            n_rows += 1
        n_lines += 1
        at += 1
    return n_rows


@compiled
def strip_cells(
    text: NDArray[np.uint8],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    problems: NDArray[np.uint8],
) -> None:
    """Leave out blanks around cells; `NO_ALLELE` where nothing is left of one."""
    for row in range(len(begins)):
        if problems[row] != FINE:
            continue
        for k in range(begins.shape[1]):
            begin, end = begins[row, k], ends[row, k]
            while begin < end and text[begin] <= _SPACE:
                begin += 1
            while end > begin and text[end - 1] <= _SPACE:
                end -= 1
            begins[row, k], ends[row, k] = begin, end
            if begin == end:
                problems[row] = NO_ALLELE


@compiled
def read_positions(
    text: NDArray[np.uint8],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    positions: NDArray[np.int64],
    problems: NDArray[np.uint8],
) -> None:
    """Whole numbers out of cells; `NO_POSITION` for what is none in plain digits."""
    for row in range(len(begins)):
        if problems[row] != FINE:
            continue
        begin, end = begins[row], ends[row]
        position = 0
        if not 0 < end - begin <= _LONGEST_POSITION:
            problems[row] = NO_POSITION
            continue
        for at in range(begin, end):
            digit = int(text[at]) - _ZERO
            if digit < 0 or digit > 9:
                problems[row] = NO_POSITION
                break
            position = position * 10 + digit
        positions[row] = position


@compiled
def contig_changes(
    text: NDArray[np.uint8],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    is_new: NDArray[np.bool_],
) -> None:
    """Whether each row names another contig than the row before."""
    for row in range(len(begins)):
        length = ends[row] - begins[row]
        is_new[row] = row == 0 or ends[row - 1] - begins[row - 1] != length
        if not is_new[row]:
            for k in range(length):
                if text[begins[row] + k] != text[begins[row - 1] + k]:
                    is_new[row] = True
                    break


@compiled
def info_values(
    text: NDArray[np.uint8],
    tabs: NDArray[np.int64],
    keys: NDArray[np.uint8],
    key_bounds: NDArray[np.int64],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> None:
    """Find the values of INFO keys, the first of each; -1 where there is none, -2 for flags.

    Parameters
    ----------
    text : uint8 array
    tabs : int64 array [N, 8]
        As `scan_lines` finds them.
    keys : uint8 array
        Distinct ones, one behind the other; key k lies from ``key_bounds[k]`` on.
    begins, ends : int64 array [N, K], written
    """
    n_keys = len(key_bounds) - 1
    for i in range(len(tabs)):
        for k in range(n_keys):
            begins[i, k] = ends[i, k] = -1
        n_left = n_keys
        at = tabs[i, 6] + 1
        stop = tabs[i, 7]
        while at < stop and n_left:
            name_end = at
            while name_end < stop and text[name_end] != _EQUALS and text[name_end] != _SEMICOLON:
                name_end += 1
            end = name_end
            while end < stop and text[end] != _SEMICOLON:
                end += 1
            for k in range(n_keys):
                length = key_bounds[k + 1] - key_bounds[k]
                if name_end - at != length or begins[i, k] != -1:
                    continue
                j = 0
                while j < length and text[at + j] == keys[key_bounds[k] + j]:
                    j += 1
                if j == length:
                    if name_end < end:
                        begins[i, k], ends[i, k] = name_end + 1, end
                    else:
                        begins[i, k] = ends[i, k] = -2
                    # A column may be asked for twice: as label and as frequency.
                    n_left -= 1
            at = end + 1


@compiled
def count_alleles(
    text: NDArray[np.uint8],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """ALT alleles of each record: parts between commas."""
    for i in range(len(begins)):
        n = 1
        for at in range(begins[i], ends[i]):
            if text[at] == _COMMA:
                n += 1
        counts[i] = n


@compiled
def _is_alpha(text: NDArray[np.uint8], begin: int, end: int) -> bool:
    for at in range(begin, end):
        letter = text[at] | 32
        if not (_LOWER_A <= letter <= _LOWER_Z or text[at] >= 128):
            return False
    return end > begin


@compiled
def _upper(letter: int) -> int:
    return letter - 32 if _LOWER_A <= letter <= _LOWER_Z else letter


@compiled
def _hashed(text: NDArray[np.uint8], begin: int, end: int, state: np.uint64) -> np.uint64:
    for at in range(begin, end):
        state = (state ^ np.uint64(_upper(text[at]))) * _FNV_PRIME
    return state


@compiled
def split_alleles(
    text: NDArray[np.uint8],
    positions: NDArray[np.int64],
    ref_begins: NDArray[np.int64],
    ref_ends: NDArray[np.int64],
    alt_begins: NDArray[np.int64],
    alt_ends: NDArray[np.int64],
    record: NDArray[np.int64],
    place: NDArray[np.int64],
    starts: NDArray[np.int64],
    keys: NDArray[np.uint64],
    spans: NDArray[np.int64],
    written: NDArray[np.int64],
) -> None:
    """Make one row of each ALT allele, in minimal form: shared suffix off, then shared prefix.

    Parameters
    ----------
    text : uint8 array
    positions : int64 array [N]
        0-based, of records.
    ref_begins, ref_ends, alt_begins, alt_ends : int64 array [N]
    record, place : int64 array [M], written
        Record of each allele, and which of its alleles it is.
    starts : int64 array [M], written
        0-based, of the first base that is left of REF.
    keys : uint64 array [M], written
        Equal for equal pairs of alleles, whatever their case: five letters in three bits each
        where they are few, else a hash of 63 bits.
    spans : int64 array [M, 4], written
        Where REF and ALT begin and end.
    written : int64 array [M, 2], written
        Where ALT begins and ends in the record.
    """
    n = 0
    for i in range(len(positions)):
        alt_begin = alt_begins[i]
        index = 0
        while alt_begin <= alt_ends[i]:
            alt_end = alt_begin
            while alt_end < alt_ends[i] and text[alt_end] != _COMMA:
                alt_end += 1
            written[n, 0], written[n, 1] = alt_begin, alt_end
            a, b, c, d = ref_begins[i], ref_ends[i], alt_begin, alt_end
            start = positions[i]
            is_same = b - a == d - c
            if is_same:
                for k in range(b - a):
                    if _upper(text[a + k]) != _upper(text[c + k]):
                        is_same = False
                        break
            if b - a > 1 and d - c > 1 and not is_same and _is_alpha(text, c, d):
                while b - a > 1 and d - c > 1 and _upper(text[b - 1]) == _upper(text[d - 1]):
                    b -= 1
                    d -= 1
                while b - a > 1 and d - c > 1 and _upper(text[a]) == _upper(text[c]):
                    a += 1
                    c += 1
                    start += 1
            key = np.uint64(0)
            is_plain = b - a + d - c <= _LETTERS_IN_KEY
            if is_plain:
                for at in range(a, b):
                    code = _CODES[text[at]]
                    is_plain = is_plain and code > 0
                    key = (key << np.uint64(3)) | code
                key = key << np.uint64(3)
                for at in range(c, d):
                    code = _CODES[text[at]]
                    is_plain = is_plain and code > 0
                    key = (key << np.uint64(3)) | code
            if not is_plain:
                key = _hashed(text, a, b, _FNV_START)
                key = _hashed(text, c, d, (key ^ _BETWEEN) * _FNV_PRIME)
                key = (key ^ (key >> np.uint64(29))) | _HASHED
            record[n], place[n], starts[n], keys[n] = i, index, start, key
            spans[n, 0], spans[n, 1], spans[n, 2], spans[n, 3] = a, b, c, d
            n += 1
            index += 1
            alt_begin = alt_end + 1


@compiled
def allele_values(
    text: NDArray[np.uint8],
    value_begins: NDArray[np.int64],
    value_ends: NDArray[np.int64],
    record: NDArray[np.int64],
    place: NDArray[np.int64],
    n_alts: NDArray[np.int64],
    mode: int,
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> int:
    """The part of a record's value that is about each allele, without blanks around it.

    Parameters
    ----------
    text : uint8 array
    value_begins, value_ends : int64 array [N]
        Of records.
    record, place : int64 array [M]
        As `split_alleles` makes them.
    n_alts : int64 array [N]
    mode : int
        ``WHOLE``, ``PER_ALT``, ``PER_ALLELE`` or ``MAYBE_PER_ALT``: one for each allele if there
        are as many.
    begins, ends : int64 array [M], written
        -1 where the file says nothing, -2 for flags.

    Returns
    -------
    int
        The first allele whose record has another number of values than `mode` says; -1 if none.
    """
    for row in range(len(record)):
        i = record[row]
        begin, end = value_begins[i], value_ends[i]
        if begin >= 0 and mode != WHOLE:
            n_values, is_said = 1, False
            for at in range(begin, end):
                if text[at] == _COMMA:
                    n_values += 1
                elif text[at] != _DOT and text[at] > _SPACE:
                    is_said = True
            n_wanted = n_alts[i] + 1 if mode == PER_ALLELE else n_alts[i]
            if is_said and n_values != n_wanted:
                if mode != MAYBE_PER_ALT:
                    return row
            elif is_said and n_wanted > 1:
                n_before = place[row] + 1 if mode == PER_ALLELE else place[row]
                for _ in range(n_before):
                    while text[begin] != _COMMA:
                        begin += 1
                    begin += 1
                at = begin
                while at < end and text[at] != _COMMA:
                    at += 1
                end = at
        if begin >= 0:
            while begin < end and text[begin] <= _SPACE:
                begin += 1
            while end > begin and text[end - 1] <= _SPACE:
                end -= 1
            is_said = False
            for at in range(begin, end):
                if text[at] != _COMMA and text[at] != _DOT:
                    is_said = True
                    break
            if not is_said:
                begin = end = -1
        begins[row], ends[row] = begin, end
    return -1


@compiled
def read_numbers(
    text: NDArray[np.uint8],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    values: NDArray[np.float64],
    states: NDArray[np.uint8],
) -> None:
    """Decimal numbers, correctly rounded; `UNREAD` for what is not plain enough to be so.

    A product or quotient of two numbers that float64 has exactly is rounded once.
    """
    for row in range(len(begins)):
        at, end = begins[row], ends[row]
        if at < 0:
            values[row] = np.nan
            states[row] = ABSENT if at == -1 else UNREAD
            continue
        states[row] = UNREAD
        is_negative = at < end and text[at] == _MINUS
        if at < end and (text[at] == _MINUS or text[at] == _PLUS):
            at += 1
        digits, n_digits, exponent, has_dot = 0, 0, 0, False
        is_plain = True
        while at < end:
            letter = text[at]
            if _ZERO <= letter <= _NINE:
                digits = digits * 10 + (int(letter) - _ZERO)
                n_digits += 1
                if has_dot:
                    exponent -= 1
                if digits > _EXACT:
                    is_plain = False
                    break
            elif letter == _DOT and not has_dot:
                has_dot = True
            else:
                break
            at += 1
        if at < end and is_plain and (text[at] == _E or text[at] == _LOWER_E):
            at += 1
            is_small = at < end and text[at] == _MINUS
            if at < end and (text[at] == _MINUS or text[at] == _PLUS):
                at += 1
            power = 0
            is_plain = 0 < end - at <= 4
            while at < end and is_plain:
                letter = text[at]
                is_plain = _ZERO <= letter <= _NINE
                power = power * 10 + (int(letter) - _ZERO)
                at += 1
            exponent += -power if is_small else power
        if at != end or not is_plain or not n_digits or abs(exponent) >= len(_POWERS):
            continue
        value = float(digits)
        value = value / _POWERS[-exponent] if exponent < 0 else value * _POWERS[exponent]
        values[row] = -value if is_negative else value
        states[row] = READ


@compiled
def hash_texts(
    text: NDArray[np.uint8],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    hashes: NDArray[np.uint64],
) -> None:
    """A number of 64 bits for each text, the same for equal ones; 0 and 1 for none and flags."""
    for row in range(len(begins)):
        if begins[row] < 0:
            hashes[row] = np.uint64(-1 - begins[row])
            continue
        state = _FNV_START
        for at in range(begins[row], ends[row]):
            state = (state ^ np.uint64(text[at])) * _FNV_PRIME
        state = state ^ (state >> np.uint64(32))
        hashes[row] = state if state > np.uint64(1) else state + np.uint64(2)
