"""The compiled scan of MAF text: rows are found and their fields read; nothing is copied."""

from __future__ import annotations

import numpy as np

from phylotools.compiling import compiled

#: What the scan says of its last line.
DONE, BAD_LINE, OUTSIDE, UNEQUAL, BEYOND = range(5)
#: Columns of the table of rows.
SOURCE_AT, SOURCE_LENGTH, START, SIZE, IS_REVERSE, SOURCE_SIZE, LETTERS_AT, LINE = range(8)
N_FIELDS = 8
#: The shortest row: s, six fields of one character, seven separators.
SHORTEST_ROW = 14

_TAB, _NEWLINE, _RETURN, _SPACE, _HASH = 9, 10, 13, 32, 35
_PLUS, _MINUS = 43, 45
_A, _E, _I, _Q, _S = 97, 101, 105, 113, 115
_TRACK = np.frombuffer(b"track", dtype=np.uint8)
_BROWSER = np.frombuffer(b"browser", dtype=np.uint8)
#: Larger numbers are refused before they overflow.
_LARGEST = 1 << 40


@compiled
def _is_blank(letter):
    return letter == _SPACE or letter == _TAB or letter == _RETURN


@compiled
def _starts_with(text, at, end, word):
    if at + len(word) > end:
        return False
    for i in range(len(word)):
        if text[at + i] != word[i]:
            return False
    return True


@compiled
def _field(text, at, end):
    """Start and end of the next word of a line."""
    while at < end and _is_blank(text[at]):
        at += 1
    start = at
    while at < end and text[at] != _NEWLINE and not _is_blank(text[at]):
        at += 1
    return start, at


@compiled
def _number(text, start, end):
    """A whole number from 0 up; -1 if it is none or too large."""
    if start == end:
        return -1
    value = 0
    for i in range(start, end):
        digit = text[i] - 48
        if digit < 0 or digit > 9:
            return -1
        value = value * 10 + digit
        if value > _LARGEST:
            return -1
    return value


@compiled
def _row(text, at, end, width, fields):
    """Read a row that begins at `at`; its status and the end of its letters.

    `end` is the end of the text: the line's own end is not known before its letters are read.
    """
    source, stop = _field(text, at + 1, end)
    fields[SOURCE_AT], fields[SOURCE_LENGTH] = source, stop - source
    begin, stop = _field(text, stop, end)
    fields[START] = _number(text, begin, stop)
    begin, stop = _field(text, stop, end)
    fields[SIZE] = _number(text, begin, stop)
    begin, stop = _field(text, stop, end)
    is_strand = stop - begin == 1 and (text[begin] == _PLUS or text[begin] == _MINUS)
    fields[IS_REVERSE] = 1 if is_strand and text[begin] == _MINUS else 0
    begin, stop = _field(text, stop, end)
    fields[SOURCE_SIZE] = _number(text, begin, stop)
    while stop < end and _is_blank(text[stop]):
        stop += 1
    fields[LETTERS_AT] = stop
    are_numbers = fields[START] >= 0 and fields[SIZE] >= 0 and fields[SOURCE_SIZE] >= 0
    if fields[SOURCE_LENGTH] == 0 or not is_strand or not are_numbers:
        return BAD_LINE, stop
    last = stop + width
    if (
        width > 0
        and last <= end
        and (last == end or text[last] == _NEWLINE or _is_blank(text[last]))
    ):
        # All rows of a block are equally long: whether none ends early is a question that the
        # compiler makes vectors of, unlike where one ends.
        least = np.uint8(255)
        for letter in text[stop:last]:
            least = min(least, letter)
        if least > _SPACE:
            stop = last
    if stop < last or width == 0:
        while stop < end and text[stop] != _NEWLINE and not _is_blank(text[stop]):
            stop += 1
    if stop == fields[LETTERS_AT]:
        return BAD_LINE, stop
    if width > 0 and stop - fields[LETTERS_AT] != width:
        return UNEQUAL, stop
    if fields[START] + fields[SIZE] > fields[SOURCE_SIZE]:
        return BEYOND, stop
    return DONE, stop


@compiled
def _rest_of_line(text, at, end):
    """Position of the line's end; -1 where a return stands within the line."""
    while at < end and text[at] != _NEWLINE:
        if text[at] == _RETURN and at + 1 < end and text[at + 1] != _NEWLINE:
            return -1
        at += 1
    return at


@compiled
def _is_passed_over(text, at, end):
    """Comments, context of the neighbours, empty regions, quality, display."""
    letter = text[at]
    if letter == _HASH:
        return True
    if letter == _I or letter == _E or letter == _Q:
        return at + 1 == end or text[at + 1] == _NEWLINE or _is_blank(text[at + 1])
    return _starts_with(text, at, end, _TRACK) or _starts_with(text, at, end, _BROWSER)


@compiled
def scan(text, end, is_last, line, rows, first_row, width):
    """Find the rows of all whole blocks.

    Parameters
    ----------
    text : uint8 array
        Begins with a line.
    end : int
        Bytes of `text` that are filled.
    is_last : bool
        Whether the file ends there; else a block is whole only if something follows it.
    line : int
        1-based number of the first line.
    rows : int64 array (N_FIELDS, capacity)
        Filled; at least ``end // SHORTEST_ROW + 1`` columns.
    first_row : int64 array (capacity + 1,)
        Filled with the index of each block's first row.
    width : int64 array (capacity,)
        Filled with each block's number of columns; where a row is `UNEQUAL`, the last number is
        that of the rows above it.

    Returns
    -------
    status : int
        `DONE`, or what is wrong with the line at `at`.
    at : int
        Where to go on: the first byte that belongs to no whole block.
    line : int
        1-based number of the line at `at`.
    n_blocks, n_rows : int
    """
    at = 0
    n_blocks = n_rows = 0
    in_block = False
    # Where the block that is being read begins, and what was known there.
    block_at, block_line, block_row = 0, line, 0
    columns = 0
    fields = np.empty(N_FIELDS, np.int64)
    first_row[0] = 0
    while at < end:
        letter = text[at]
        follows_blank = at + 1 == end or text[at + 1] == _NEWLINE or _is_blank(text[at + 1])
        if letter == _S and at + 1 < end and _is_blank(text[at + 1]):
            if not in_block:
                return OUTSIDE, at, line, n_blocks, n_rows
            status, stop = _row(text, at, end, columns, fields)
            if stop == end and not is_last:
                break
            if status != DONE:
                width[n_blocks] = columns
                return status, at, line, n_blocks, n_rows
            columns = stop - fields[LETTERS_AT]
            while stop < end and _is_blank(text[stop]):
                stop += 1
            if stop == end and not is_last:
                break
            if stop < end and text[stop] != _NEWLINE:
                return BAD_LINE, at, line, n_blocks, n_rows
            fields[LINE] = line
            for i in range(N_FIELDS):
                rows[i, n_rows] = fields[i]
            n_rows += 1
            at, line = stop + 1, line + 1
            continue
        is_start = letter == _A and follows_blank
        is_empty = letter == _NEWLINE or _is_blank(letter)
        if not (is_start or is_empty or _is_passed_over(text, at, end)):
            # A word cut by the end of the text may still become one that is known.
            if end - at < len(_BROWSER) and not is_last:
                break
            return BAD_LINE, at, line, n_blocks, n_rows
        stop = _rest_of_line(text, at, end)
        if stop < 0:
            return BAD_LINE, at, line, n_blocks, n_rows
        if stop == end and not is_last:
            break
        if is_empty:
            for i in range(at, stop):
                if not _is_blank(text[i]):
                    return BAD_LINE, at, line, n_blocks, n_rows
        if is_start or is_empty:
            if n_rows > block_row:
                width[n_blocks] = columns
                n_blocks += 1
                first_row[n_blocks] = n_rows
            in_block, columns = is_start, 0
            block_at, block_line, block_row = at, line, n_rows
        at, line = stop + 1, line + 1
    if is_last:
        if n_rows > block_row:
            width[n_blocks] = columns
            n_blocks += 1
            first_row[n_blocks] = n_rows
        return DONE, end, line, n_blocks, n_rows
    if in_block:
        return DONE, block_at, block_line, n_blocks, block_row
    return DONE, min(at, end), line, n_blocks, n_rows
