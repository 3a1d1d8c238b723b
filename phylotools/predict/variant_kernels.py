"""Compiled loops over variant records: plain alleles told apart, and annotated lines written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phylotools.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What an ALT of a plain record may be besides a base, 0 to 3: rows of a table of statuses.
MISSING, SPANNING_DELETION, SYMBOLIC, NON_ACGT, REF_EQUALS_ALT = range(4, 9)
_LESS, _GREATER, _COMMA, _POINT, _STAR, _SEMICOLON = b"<>,.*;"
_OPEN, _CLOSE = b"[]"
_CASE = 0x20


def _letter_codes() -> NDArray[np.uint8]:
    """ASCII -> base code, `NON_ACGT` for other letters, 255 for what is no letter."""
    codes = np.full(256, 255, dtype=np.uint8)
    for letter in b"ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        codes[[letter, letter | _CASE]] = NON_ACGT
    for code, letter in enumerate(b"ACGT"):
        codes[[letter, letter | _CASE]] = code
    return codes


LETTER_CODES = _letter_codes()


@compiled
def count_alts(text: NDArray[np.uint8], tabs: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
    """Number of ALT alleles of each record, int64 [N]: commas and one."""
    for i in range(len(tabs)):
        n_alts = 1
        for at in range(tabs[i, 3] + 1, tabs[i, 4]):
            if text[at] == _COMMA:
                n_alts += 1
        counts[i] = n_alts


@compiled
def classify_plain(
    text: NDArray[np.uint8],
    tabs: NDArray[np.int64],
    letters: NDArray[np.uint8],
    codes: NDArray[np.uint8],
    first_outcome: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    refs: NDArray[np.uint8],
) -> None:
    """Sort the alleles of plain records: one base of REF, ALTs of one letter or of none.

    Parameters
    ----------
    text, tabs
        As `scan_lines` leaves them.
    letters : uint8 array [N]
        Upper-case letter of the reference at POS; 0 where a record is not to be judged here.
    codes : uint8 array [256]
        `LETTER_CODES`.
    first_outcome : int64 array [N + 1]
        Where the outcomes of each record begin.
    kinds : uint8 array, written
        By outcome: code of ALT's base, or one of the constants above.
    refs : uint8 array [N], written
        Code of REF; 255 where the record is not plain, or REF is not the reference: then its
        outcomes are not to be read.
    """
    for i in range(len(tabs)):
        refs[i] = 255
        at = tabs[i, 2] + 1
        if letters[i] == 0 or tabs[i, 3] - at != 1:
            continue
        ref = codes[text[at]]
        if ref > 3 or ref != codes[letters[i]]:
            continue
        outcome = first_outcome[i]
        begin = tabs[i, 3] + 1
        stop = tabs[i, 4]
        is_plain = True
        while is_plain and outcome < first_outcome[i + 1]:
            end = begin
            while end < stop and text[end] != _COMMA:
                end += 1
            kind = np.uint8(255)
            if end == begin:
                kind = np.uint8(MISSING)
            elif end == begin + 1:
                letter = text[begin]
                if letter == _POINT:
                    kind = np.uint8(MISSING)
                elif letter == _STAR:
                    kind = np.uint8(SPANNING_DELETION)
                else:
                    kind = codes[letter]
                    if kind == ref:
                        kind = np.uint8(REF_EQUALS_ALT)
            elif text[begin] == _LESS and text[end - 1] == _GREATER:
                kind = np.uint8(SYMBOLIC)
                for k in range(begin, end):
                    if text[k] == _OPEN or text[k] == _CLOSE:
                        kind = np.uint8(255)
            is_plain = kind != 255
            kinds[outcome] = kind
            outcome += 1
            begin = end + 1
        if is_plain:
            refs[i] = ref


@compiled
def _copy(source: NDArray[np.uint8], start: int, stop: int, out: NDArray[np.uint8], at: int) -> int:
    for k in range(stop - start):
        out[at + k] = source[start + k]
    return at + stop - start


@compiled
def write_annotated(
    text: NDArray[np.uint8],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    tabs: NDArray[np.int64],
    first_outcome: NDArray[np.int64],
    numbers: NDArray[np.int64],
    statuses: NDArray[np.uint8],
    sites: NDArray[np.int64],
    number_text: NDArray[np.uint8],
    number_lengths: NDArray[np.int64],
    status_text: NDArray[np.uint8],
    status_lengths: NDArray[np.int64],
    rate_text: NDArray[np.uint8],
    rate_lengths: NDArray[np.int64],
    entropy_text: NDArray[np.uint8],
    entropy_lengths: NDArray[np.int64],
    keys: NDArray[np.uint8],
    key_ends: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> int:
    """Write records with their scores at the end of INFO; returns the bytes written.

    Parameters
    ----------
    text, begins, ends, tabs
        As `scan_lines` leaves them, N records.
    first_outcome : int64 array [N + 1]
        Where the outcomes of each record's ALTs begin.
    numbers : int64 array, by outcome
        Row of `number_text`; -1 where there is no number.
    statuses : uint8 array, by outcome
        Row of `status_text`.
    sites : int64 array [N]
        Row of `rate_text` and `entropy_text`; -1 where there are none.
    keys : uint8 array
        ``TAG_LLR=;TAG_STATUS=;TAG_RATE=;TAG_ENTROPY=``.
    key_ends : int64 array [4]
        Ends of its parts.
    out : uint8 array, written
        Long enough.
    """
    at = 0
    for i in range(len(begins)):
        info = tabs[i, 6] + 1
        info_end = tabs[i, 7]
        if info_end == info or (info_end == info + 1 and text[info] == _POINT):
            at = _copy(text, begins[i], info, out, at)
        else:
            at = _copy(text, begins[i], info_end, out, at)
            if text[info_end - 1] != _SEMICOLON:
                out[at] = _SEMICOLON
                at += 1
        at = _copy(keys, 0, key_ends[0], out, at)
        for k in range(first_outcome[i], first_outcome[i + 1]):
            if k > first_outcome[i]:
                out[at] = _COMMA
                at += 1
            row = numbers[k]
            if row < 0:
                out[at] = _POINT
                at += 1
            else:
                at = _copy(number_text[row], 0, number_lengths[row], out, at)
        at = _copy(keys, key_ends[0], key_ends[1], out, at)
        for k in range(first_outcome[i], first_outcome[i + 1]):
            if k > first_outcome[i]:
                out[at] = _COMMA
                at += 1
            row = statuses[k]
            at = _copy(status_text[row], 0, status_lengths[row], out, at)
        at = _copy(keys, key_ends[1], key_ends[2], out, at)
        row = sites[i]
        if row < 0:
            out[at] = _POINT
            at += 1
        else:
            at = _copy(rate_text[row], 0, rate_lengths[row], out, at)
        at = _copy(keys, key_ends[2], key_ends[3], out, at)
        if row < 0:
            out[at] = _POINT
            at += 1
        else:
            at = _copy(entropy_text[row], 0, entropy_lengths[row], out, at)
        at = _copy(text, info_end, ends[i], out, at)
    return at
