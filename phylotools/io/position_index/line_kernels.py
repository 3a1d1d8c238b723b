"""Compiled loops over lines of VCF, BED and tables of positions: what each line spans.

Spans are those of htslib, whose programs read the indexes: its `tbx_parse1` is followed case by
case, so that an index made here leads to the same records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phylotools.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Kinds of text.
POSITIONS, BED, VCF = range(3)
#: What a line is.
RECORD, META, BAD = range(3)
_TAB, _NEWLINE, _RETURN, _HASH, _ZERO, _NINE, _PLUS, _MINUS = b"\t\n\r#09+-"
_SPACE, _COMMA, _SEMICOLON, _COLON, _DOT, _LESS, _GREATER = b" ,;:.<>"
#: Numbers do not grow beyond it: more than any genome, far from an overflow.
_LARGEST = 1 << 60
_END, _SVLEN, _LEN = (np.frombuffer(key, dtype=np.uint8) for key in (b"END=", b"SVLEN=", b"LEN"))
_STAR, _NON_REF = (np.frombuffer(key, dtype=np.uint8) for key in (b"<*>", b"<NON_REF>"))
#: Symbolic alleles whose length INFO/SVLEN tells, so far as the colon or bracket behind them.
_LONG_KINDS = np.frombuffer(b"<CNV<DEL<DUP<INV", dtype=np.uint8)
#: Columns of VCF, from 0.
_REF, _ALT, _INFO, _FORMAT = 3, 4, 7, 8


@compiled
def _begins_with(text: NDArray[np.uint8], at: int, end: int, wanted: NDArray[np.uint8]) -> bool:
    if end - at < len(wanted):
        return False
    for k in range(len(wanted)):
        if text[at + k] != wanted[k]:
            return False
    return True


@compiled
def _number(text: NDArray[np.uint8], at: int, end: int) -> tuple[int, bool]:
    """A whole number as C's strtoll reads it, and whether there is one."""
    while at < end and text[at] == _SPACE:
        at += 1
    is_negative = at < end and text[at] == _MINUS
    if at < end and (text[at] == _MINUS or text[at] == _PLUS):
        at += 1
    first = at
    number = 0
    while at < end and _ZERO <= text[at] <= _NINE:
        if number < _LARGEST:
            number = number * 10 + int(text[at]) - _ZERO
        at += 1
    number = min(number, _LARGEST)
    return -number if is_negative else number, at > first


@compiled
def _find(text: NDArray[np.uint8], at: int, end: int, wanted: int) -> int:
    """Where a byte stands; the end if nowhere."""
    while at < end and text[at] != wanted:
        at += 1
    return at


@compiled
def _value_of(text: NDArray[np.uint8], at: int, end: int, key: NDArray[np.uint8]) -> int:
    """Where the value of an INFO key begins; -1 if it is not there."""
    while at < end:
        if _begins_with(text, at, end, key):
            return at + len(key)
        at = _find(text, at, end, _SEMICOLON) + 1
    return -1


@compiled
def _is_long(text: NDArray[np.uint8], at: int, end: int) -> bool:
    """Whether an ALT is symbolic, of a kind that spans what SVLEN says."""
    if end - at < 5 or text[at] != _LESS or text[end - 1] != _GREATER:
        return False
    if text[at + 4] != _GREATER and text[at + 4] != _COLON:
        return False
    for kind in range(0, len(_LONG_KINDS), 4):
        if _begins_with(text, at, end, _LONG_KINDS[kind : kind + 4]):
            return True
    return False


@compiled
def _alleles(text: NDArray[np.uint8], at: int, end: int) -> tuple[bool, bool]:
    """Whether an ALT column has alleles whose length SVLEN tells, or FORMAT/LEN."""
    has_long = has_reference_block = False
    while at <= end:
        stop = _find(text, at, end, _COMMA)
        if _is_long(text, at, stop):
            has_long = True
        elif (stop - at == len(_STAR) and _begins_with(text, at, stop, _STAR)) or (
            stop - at == len(_NON_REF) and _begins_with(text, at, stop, _NON_REF)
        ):
            has_reference_block = True
        at = stop + 1
    return has_long, has_reference_block


@compiled
def _longest_by_svlen(
    text: NDArray[np.uint8], alt: int, alt_end: int, value: int, info_end: int
) -> int:
    """The longest that SVLEN gives an allele of such a kind, one value an allele."""
    longest = 0
    while alt <= alt_end and value >= 0:
        stop = _find(text, alt, alt_end, _COMMA)
        if _is_long(text, alt, stop):
            longest = max(longest, abs(_number(text, value, info_end)[0]))
        # As htslib has it, the list of values ends with INFO, not with its field.
        comma = _find(text, value, info_end, _COMMA)
        value = comma + 1 if comma < info_end else -1
        alt = stop + 1
    return longest


@compiled
def _longest_by_format(text: NDArray[np.uint8], at: int, end: int) -> int:
    """The longest FORMAT/LEN of a sample; `at` is where FORMAT begins."""
    stop = _find(text, at, end, _TAB)
    index = -1
    number = 0
    while at <= stop and index < 0:
        colon = _find(text, at, stop, _COLON)
        if colon - at == len(_LEN) and _begins_with(text, at, colon, _LEN):
            index = number
        number += 1
        at = colon + 1
    longest = 0
    while index >= 0 and stop < end:
        at = stop + 1
        stop = _find(text, at, end, _TAB)
        for _ in range(index):
            at = min(_find(text, at, stop, _COLON) + 1, stop)
        longest = max(longest, _number(text, at, stop)[0])
    return longest


@compiled
def _variant_end(
    text: NDArray[np.uint8], tabs: NDArray[np.int64], n_tabs: int, end: int, start: int
) -> int:
    """End of what a VCF record spans: the longest that REF, END, SVLEN and LEN tell."""
    if n_tabs < _REF:
        return max(start + 1, 1)
    ref_end = tabs[_REF] if n_tabs > _REF else end
    length = ref_end - tabs[_REF - 1] - 1
    stop = max(start + length, 1)
    if n_tabs < _INFO:
        return stop
    alt, alt_end = tabs[_ALT - 1] + 1, tabs[_ALT]
    has_long, has_reference_block = _alleles(text, alt, alt_end)
    info, info_end = tabs[_INFO - 1] + 1, tabs[_INFO] if n_tabs > _INFO else end
    value = _value_of(text, info, info_end, _END)
    if value >= 0 and value < info_end and text[value] != _DOT:
        number = _number(text, value, info_end)[0]
        if number > start:
            stop = number
    if has_long:
        value = _value_of(text, info, info_end, _SVLEN)
        length = max(length, _longest_by_svlen(text, alt, alt_end, value, info_end))
    if has_reference_block and n_tabs > _INFO:
        length = max(length, _longest_by_format(text, info_end + 1, end))
    return max(stop, start + length)


@compiled
def scan_lines(
    text: NDArray[np.uint8],
    newlines: NDArray[np.int64],
    kind: int,
    status: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    name_ends: NDArray[np.int64],
    is_new_contig: NDArray[np.bool_],
) -> None:
    """What each of some whole lines spans.

    Parameters
    ----------
    text : uint8 array
    newlines : int64 array [N]
        Where each line ends.
    kind : int
        `POSITIONS`, `BED` or `VCF`.
    status : uint8 array [N], written
        `RECORD`, `META` (begins with ``#``) or `BAD`; what follows is of records alone.
    starts, ends : int64 array [N], written
        0-based, half-open.
    name_ends : int64 array [N], written
        Where the contig's name, the first column, ends.
    is_new_contig : bool array [N], written
        Whether that of the record before, in this text, is another.
    """
    tabs = np.empty(_FORMAT, dtype=np.int64)
    last = -1
    begin = 0
    for i in range(len(newlines)):
        end = newlines[i]
        if end > begin and text[begin] == _HASH:
            status[i] = META
            begin = end + 1
            continue
        line_end = end - 1 if end > begin and text[end - 1] == _RETURN else end
        n_wanted = _FORMAT if kind == VCF else 3
        n_tabs = 0
        at = begin
        while at < line_end and n_tabs < n_wanted:
            if text[at] == _TAB:
                tabs[n_tabs] = at
                n_tabs += 1
            at += 1
        status[i] = BAD
        if n_tabs > 0:
            number, is_number = _number(text, tabs[0] + 1, tabs[1] if n_tabs > 1 else line_end)
            if is_number:
                start = max(number if kind == BED else number - 1, 0)
                stop = start + 1
                if kind == VCF:
                    stop = _variant_end(text, tabs, n_tabs, line_end, start)
                elif kind == BED and n_tabs > 1:
                    last_tab = tabs[2] if n_tabs > 2 else line_end
                    stop, is_number = _number(text, tabs[1] + 1, last_tab)
                    stop = max(stop, 1)
                if is_number and stop >= start:
                    status[i] = RECORD
                    starts[i], ends[i], name_ends[i] = start, stop, tabs[0]
                    is_new = True
                    if last >= 0:
                        last_begin = newlines[last - 1] + 1 if last else 0
                        length = name_ends[last] - last_begin
                        if length == tabs[0] - begin:
                            is_new = False
                            for k in range(length):
                                if text[begin + k] != text[last_begin + k]:
                                    is_new = True
                                    break
                    is_new_contig[i] = is_new
                    last = i
        begin = end + 1


@compiled
def add_spans(
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    offsets: NDArray[np.int64],
    min_shift: int,
    state: NDArray[np.int64],
    run_bins: NDArray[np.int64],
    run_offsets: NDArray[np.int64],
    window_lasts: NDArray[np.int64],
    window_offsets: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Group lines of one contig by their bins, and see to which windows they are the first.

    Parameters
    ----------
    starts, ends : int64 array [N]
        0-based, half-open.
    offsets : int64 array [N]
        Where each line begins.
    min_shift : int
        Smallest bins have ``1 << min_shift`` positions.
    state : int64 array [4], written
        Bin of the last line, its start, the highest end and the last window so far; -1 at first.
    run_bins, run_offsets : int64 array [N], written
        Of each run of lines in one bin, the bin (see `IndexPart`) and where it begins.
    window_lasts, window_offsets : int64 array [N], written
        Of each line that reaches a new window, the last one it reaches, and where it begins.

    Returns
    -------
    tuple of int
        Runs, windows written, and the first line that lies before the one above it, or -1.
    """
    last_bin, last_start, highest, last_window = state
    n_runs = n_windows = 0
    for i in range(len(starts)):
        start = starts[i]
        if start < last_start:
            return n_runs, n_windows, i
        last_start = start
        highest = max(highest, ends[i])
        last = ends[i] - 1
        shift, height = min_shift, 0
        while start >> shift != last >> shift:
            shift += 3
            height += 1
        bin_ = (start >> shift) << 5 | height
        if bin_ != last_bin:
            run_bins[n_runs], run_offsets[n_runs] = bin_, offsets[i]
            n_runs += 1
            last_bin = bin_
        window = last >> min_shift
        if window > last_window:
            window_lasts[n_windows], window_offsets[n_windows] = window, offsets[i]
            n_windows += 1
            last_window = window
    state[0], state[1], state[2], state[3] = last_bin, last_start, highest, last_window
    return n_runs, n_windows, -1
