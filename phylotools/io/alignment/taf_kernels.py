"""The compiled scan of TAF text: columns are gathered, turned into rows, and their sizes counted.

The state between calls is a handful of numbers, the rows that the next column has, and the
columns of the block that is still open. A block is what lies between two lines with coordinates.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.compiling import compiled

#: What stops the scan: the text is used up, the table is full, a header was found, an error.
MORE_TEXT, FLUSH, HEADER = range(3)
(NOT_TAF, CUT, NO_ROWS, MARK, EXTRA, LETTER, COUNT, RUN, OPERATION, ROW_INDEX, NUMBER, NAME) = (
    range(10, 22)
)
(STRAND, GAP_STRING, BEYOND, TOO_MANY, LATE, TOO_LONG) = range(22, 28)
#: Numbers of the state.
(AT, LINES, N_ROWS, WIDTH, BLOCK_LINE, N_TABLE_ROWS, N_BLOCKS, N_BYTES, NEEDED) = range(9)
(IS_RUN_LENGTH, HAS_HEADER, IS_UNFINISHED, ERROR_AT, ERROR_END, FOUND) = range(9, 15)
N_STATES = 15
#: Numbers of a row that the next column has. WRITTEN_AT: its name's place in the table, or -1.
NAME_LENGTH, START, IS_REVERSE, SOURCE_SIZE, WRITTEN_AT = range(5)
N_ROW_NUMBERS = 5
#: Numbers of a row of the table.
T_SOURCE_AT, T_SOURCE_LENGTH, T_START, T_SIZE, T_IS_REVERSE, T_SOURCE_SIZE, T_LETTERS_AT, T_LINE = (
    range(8)
)
N_TABLE_NUMBERS = 8

_NEWLINE, _RETURN, _SPACE, _TAB = 10, 13, 32, 9
_HASH, _SEMICOLON, _AT_SIGN, _PLUS, _MINUS, _STAR, _DOT = 35, 59, 64, 43, 45, 42, 46
_I, _D, _S, _G, _LONG_G = 105, 100, 115, 103, 71
#: Larger numbers are refused before they overflow.
_LARGEST = 1 << 40
#: Columns that are turned into rows together: a cache line of each row.
_TILE = 64


class Rows(NamedTuple):
    """The rows that the next column has; N places for them, most of which are free.

    Attributes
    ----------
    order : int64 array [N]
        A permutation of the places; the first ``state[N_ROWS]`` are in use, in this order.
    numbers : int64 array [N, 5]
        Numbers of each row, by the constants above.
    names : uint8 array [N, longest name]
    """

    order: NDArray[np.int64]
    numbers: NDArray[np.int64]
    names: NDArray[np.uint8]


class Table(NamedTuple):
    """The table of rows that is being filled.

    Attributes
    ----------
    buffer : uint8 array
        Letters and names.
    numbers : int64 array [8, most rows]
        Numbers of each row of the table, by the constants above.
    first_row : int64 array [most blocks + 1]
    width : int64 array [most blocks]
    """

    buffer: NDArray[np.uint8]
    numbers: NDArray[np.int64]
    first_row: NDArray[np.int64]
    width: NDArray[np.int64]


@compiled
def _is_blank(letter):
    return letter == _SPACE or (letter >= _TAB and letter <= _RETURN)


@compiled
def _field(text, at, end):
    """Start and end of the next word of a line that ends at `end`."""
    while at < end and _is_blank(text[at]):
        at += 1
    start = at
    while at < end and not _is_blank(text[at]):
        at += 1
    return start, at


@compiled
def _number(text, start, end):
    """A whole number from 0 up; -1 if it is none or too large."""
    if start == end:
        return -1
    value = 0
    for i in range(start, end):
        digit = np.int64(text[i]) - 48
        if digit < 0 or digit > 9:
            return -1
        value = value * 10 + digit
        if value > _LARGEST:
            return -1
    return value


@compiled
def _copy_letters(text, start, end, columns, to):
    """Copy what must be letters, ``-``, ``*`` or ``.``; whether it is. Written to be vectorised."""
    bad = np.uint8(0)
    for i in range(end - start):
        letter = text[start + i]
        is_letter = np.uint8(np.uint8(letter | np.uint8(32)) - np.uint8(97)) < np.uint8(26)
        is_other = (letter == np.uint8(45)) | (letter == np.uint8(42)) | (letter == np.uint8(46))
        bad |= np.uint8(not (is_letter | is_other))
        columns[to + i] = letter
    return bad == 0


@compiled
def _fail(state, status, start, end):
    state[ERROR_AT], state[ERROR_END] = start, end
    return status


@compiled
def _transpose(columns, width, n_rows, out, at):
    """Letters of a block, column after column -> row after row."""
    for begin in range(0, width, _TILE):
        end = min(begin + _TILE, width)
        for row in range(n_rows):
            to = at + row * width
            for column in range(begin, end):
                out[to + column] = columns[column * n_rows + row]


@compiled
def _count_bases(letters, start, end):
    gaps = 0
    for i in range(start, end):
        gaps += np.int64(letters[i] == np.uint8(45))
    return end - start - gaps


@compiled
def _bytes_needed(state, order, numbers):
    """Room that the open block takes in the table: its letters, and names not written before."""
    needed = state[WIDTH] * state[N_ROWS]
    for i in range(state[N_ROWS]):
        if numbers[order[i], WRITTEN_AT] < 0:
            needed += numbers[order[i], NAME_LENGTH]
    return needed


@compiled
def close_block(state, rows, columns, table):
    """Write the open block to the table, if there is one; MORE_TEXT, FLUSH, or what is wrong."""
    width, n_rows, entry = state[WIDTH], state[N_ROWS], state[N_TABLE_ROWS]
    order, numbers, names = rows
    buffer, fields, first_row, widths = table
    if width == 0:
        return MORE_TEXT
    state[NEEDED] = _bytes_needed(state, order, numbers)
    letters_at = state[N_BYTES]
    if letters_at + state[NEEDED] > len(buffer) or entry + n_rows > fields.shape[1]:
        return FLUSH
    _transpose(columns, width, n_rows, buffer, letters_at)
    free = letters_at + width * n_rows
    for i in range(n_rows):
        place = order[i]
        start, size = numbers[place, START], _count_bases(buffer, letters_at, letters_at + width)
        if start + size > numbers[place, SOURCE_SIZE]:
            state[FOUND] = i
            return BEYOND
        length = numbers[place, NAME_LENGTH]
        if numbers[place, WRITTEN_AT] < 0:
            numbers[place, WRITTEN_AT] = free
            for k in range(length):
                buffer[free + k] = names[place, k]
            free += length
        fields[T_SOURCE_AT, entry] = numbers[place, WRITTEN_AT]
        fields[T_SOURCE_LENGTH, entry] = length
        fields[T_START, entry] = start
        fields[T_SIZE, entry] = size
        fields[T_IS_REVERSE, entry] = numbers[place, IS_REVERSE]
        fields[T_SOURCE_SIZE, entry] = numbers[place, SOURCE_SIZE]
        fields[T_LETTERS_AT, entry] = letters_at
        fields[T_LINE, entry] = state[BLOCK_LINE]
        numbers[place, START] = start + size
        letters_at += width
        entry += 1
    widths[state[N_BLOCKS]] = width
    state[N_BLOCKS] += 1
    first_row[state[N_BLOCKS]] = entry
    state[N_BYTES], state[N_TABLE_ROWS], state[WIDTH] = free, entry, 0
    return MORE_TEXT


@compiled
def _read_coordinates(text, at, end, state, row, name):
    """Name, start, strand and source length of a row; the status and the end of the last word."""
    start, at = _field(text, at, end)
    if start == at or at - start > len(name):
        return _fail(state, NAME, start, at), at
    for i in range(start, at):
        if text[i] < _SPACE:
            return _fail(state, NAME, start, at), at
        name[i - start] = text[i]
    row[NAME_LENGTH], row[WRITTEN_AT] = at - start, -1
    start, at = _field(text, at, end)
    row[START] = _number(text, start, at)
    if row[START] < 0:
        return _fail(state, NUMBER, start, at), at
    start, at = _field(text, at, end)
    if at - start != 1 or (text[start] != _PLUS and text[start] != _MINUS):
        return _fail(state, STRAND, start, at), at
    row[IS_REVERSE] = np.int64(text[start] == _MINUS)
    start, at = _field(text, at, end)
    row[SOURCE_SIZE] = _number(text, start, at)
    if row[SOURCE_SIZE] < 0:
        return _fail(state, NUMBER, start, at), at
    return MORE_TEXT, at


@compiled
def _insert(state, order, index):
    """Make room for a row; what lies in `order` behind the rows in use are free places."""
    n_rows = state[N_ROWS]
    place = order[n_rows]
    for i in range(n_rows, index, -1):
        order[i] = order[i - 1]
    order[index] = place
    state[N_ROWS] = n_rows + 1


@compiled
def _delete(state, order, index):
    n_rows = state[N_ROWS]
    place = order[index]
    for i in range(index, n_rows - 1):
        order[i] = order[i + 1]
    order[n_rows - 1] = place
    state[N_ROWS] = n_rows - 1


@compiled
def _read_operation(text, at, end, state, rows):
    """Apply the operation whose letter begins at `at`; the status and the end of its words."""
    start, stop = _field(text, at, end)
    operation = text[start]
    is_known = operation in (_I, _D, _S)
    is_gap = operation in (_G, _LONG_G)
    if stop - start != 1 or not (is_known or is_gap):
        return _fail(state, OPERATION, start, stop), stop
    start, at = _field(text, stop, end)
    index = _number(text, start, at)
    if index < 0 or index >= state[N_ROWS] + np.int64(operation == _I):
        return _fail(state, ROW_INDEX, start, at), at
    if operation == _D:
        _delete(state, rows.order, index)
        return MORE_TEXT, at
    if operation == _I:
        if state[N_ROWS] == len(rows.order):
            return _fail(state, TOO_MANY, start, at), at
        _insert(state, rows.order, index)
    place = rows.order[index]
    row = rows.numbers[place]
    if not is_gap:
        return _read_coordinates(text, at, end, state, row, rows.names[place])
    start, at = _field(text, at, end)
    if operation == _G:
        length = _number(text, start, at)
        if length < 0:
            return _fail(state, NUMBER, start, at), at
    else:
        length = at - start
        # Copied onto itself: only the check is wanted.
        if length == 0 or not _copy_letters(text, start, at, text, start):
            return _fail(state, GAP_STRING, start, at), at
    row[START] += length
    if row[START] > row[SOURCE_SIZE]:
        state[FOUND] = index
        return _fail(state, LATE, start, at), at
    return MORE_TEXT, at


@compiled
def _read_operations(text, at, end, state, rows):
    """Apply what stands behind the ``;``, as far as the tags."""
    status = MORE_TEXT
    while status == MORE_TEXT:
        start, at = _field(text, at, end)
        if start == at or (at - start == 1 and text[start] == _AT_SIGN):
            break
        status, at = _read_operation(text, start, end, state, rows)
    return status


@compiled
def _read_runs(text, at, columns, to, n_rows):
    """Letters of a run-length encoded column, as far as runs go.

    Returns the status, where reading stopped, the start of the last word, and the letters found.
    """
    filled = 0
    while True:
        while text[at] == _SPACE or text[at] == _TAB or text[at] == _RETURN:
            at += 1
        start, letter = at, text[at]
        is_letter = 65 <= letter <= 90 or 97 <= letter <= 122
        if not (is_letter or letter in (_MINUS, _STAR, _DOT)):
            return MORE_TEXT, at, at, filled
        at += 1
        if text[at] != _SPACE and text[at] != _TAB:
            return LETTER, at, start, filled
        while text[at] == _SPACE or text[at] == _TAB:
            at += 1
        start, count = at, 0
        while 48 <= text[at] <= 57 and count <= n_rows:
            count = count * 10 + np.int64(text[at]) - 48
            at += 1
        if count == 0 or not (_is_blank(text[at]) or count > n_rows):
            return RUN, at, start, filled
        if count > n_rows - filled:
            return TOO_LONG, at, start, filled
        for i in range(to + filled, to + filled + count):
            columns[i] = letter
        filled += count


@compiled
def _read_letters(text, at, end, state, columns, to):
    """Letters of a column that is one word."""
    start, at = _field(text, at, end)
    beyond, stop = _field(text, at, end)
    if stop > beyond:
        return _fail(state, EXTRA, beyond, stop)
    if at - start != state[N_ROWS]:
        state[FOUND] = at - start
        return COUNT
    if not _copy_letters(text, start, at, columns, to):
        return _fail(state, LETTER, start, at)
    return MORE_TEXT


@compiled
def _find_mark(text, at, end):
    """The first ``;`` or ``@``, which no letters hold, or `end`; and a mark out of place, or -1."""
    mark = end
    for i in range(at, end):
        if text[i] != _SEMICOLON and text[i] != _AT_SIGN:
            continue
        is_word = i > at and _is_blank(text[i - 1]) and (i + 1 == end or _is_blank(text[i + 1]))
        if mark == end:
            if not is_word:
                return end, i
            mark = i
        elif is_word and text[i] == _SEMICOLON:
            return end, i
    return mark, -1


@compiled
def _read_column(text, at, end, state, rows, columns, table):
    """A line that may have coordinates and tags."""
    if state[IS_UNFINISHED]:
        # A number may be cut short, or coordinates be gone altogether; nothing else would tell.
        return CUT
    mark, odd = _find_mark(text, at, end)
    if odd >= 0:
        return _fail(state, MARK, odd, odd + 1)
    has_coordinates = mark < end and text[mark] == _SEMICOLON
    if has_coordinates or (state[WIDTH] + 1) * state[N_ROWS] > len(columns):
        status = close_block(state, rows, columns, table)
        if status != MORE_TEXT:
            return status
    if has_coordinates:
        state[BLOCK_LINE] = state[LINES] + 1
        status = _read_operations(text, mark + 1, end, state, rows)
        if status != MORE_TEXT:
            return status
    if state[N_ROWS] == 0:
        return NO_ROWS
    to = state[WIDTH] * state[N_ROWS]
    if state[IS_RUN_LENGTH]:
        status, stop, start, filled = _read_runs(text, at, columns, to, state[N_ROWS])
        state[FOUND] = filled
        if status == MORE_TEXT and stop != mark and _field(text, stop, end)[0] != mark:
            status, start = LETTER, stop
        if status in (LETTER, RUN):
            return _fail(state, status, start, _field(text, start, end)[1])
        if status == MORE_TEXT and filled != state[N_ROWS]:
            status = COUNT
    else:
        status = _read_letters(text, at, mark, state, columns, to)
    if status == MORE_TEXT:
        state[WIDTH] += 1
    return status


@compiled
def _plain_column(text, at, end, state, columns):
    """Take a line that is nothing but the letters; where the next line begins, or -1."""
    n_rows = state[N_ROWS]
    to = state[WIDTH] * n_rows
    if n_rows == 0 or to + n_rows > len(columns) or state[IS_UNFINISHED]:
        return -1
    if state[IS_RUN_LENGTH]:
        status, stop, _, filled = _read_runs(text, at, columns, to, n_rows)
        if status != MORE_TEXT or filled != n_rows:
            return -1
    else:
        stop = at + n_rows
        if stop >= end:
            return -1
        if text[stop] == _RETURN and stop + 1 < end:
            stop += 1
        if text[stop] != _NEWLINE or not _copy_letters(text, at, at + n_rows, columns, to):
            return -1
    if text[stop] != _NEWLINE:
        return -1
    state[WIDTH] += 1
    return stop + 1


@compiled
def _read_line(text, at, end, state, rows, columns, table):
    """A line of any kind, without its line end."""
    first, last = _field(text, at, end)
    if first == last:
        return MORE_TEXT
    if text[first] != _HASH:
        if not state[HAS_HEADER]:
            return NOT_TAF
        return _read_column(text, first, end, state, rows, columns, table)
    is_header = last - first == 4 and text[first + 1] == 116
    if not (is_header and text[first + 2] == 97 and text[first + 3] == 102):
        return MORE_TEXT
    status = close_block(state, rows, columns, table)
    return _fail(state, HEADER, first, end) if status == MORE_TEXT else status


@compiled
def scan(text, end, state, rows, columns, table):
    """Read whole lines up to `end`, until something stops it.

    Parameters
    ----------
    text : uint8 array
        Reading goes on at ``state[AT]``; the byte before `end` is a line end.
    end : int
    state : int64 array [N_STATES]
    rows : Rows
    columns : uint8 array
        Letters of the open block, column after column.
    table : Table

    Returns
    -------
    int
        MORE_TEXT, FLUSH (call again with an empty table), HEADER (its line lies at ERROR_AT), or
        what is wrong with line ``state[LINES] + 1``.
    """
    status = MORE_TEXT
    while state[AT] < end and status == MORE_TEXT:
        after = _plain_column(text, state[AT], end, state, columns)
        if after < 0:
            after = state[AT]
            while text[after] != _NEWLINE:
                after += 1
            status = _read_line(text, state[AT], after, state, rows, columns, table)
            if status not in (MORE_TEXT, HEADER):
                return status
            after += 1
        state[AT] = after
        state[LINES] += 1
    return status
