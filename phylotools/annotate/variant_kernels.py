"""Compiled loops over variant records: plain alleles told apart, and annotated lines written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phylotools.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What an ALT may be besides a base, 0 to 3: rows of a table of statuses.
MISSING, SPANNING_DELETION, SYMBOLIC, NON_ACGT, REF_EQUALS_ALT = range(4, 9)
#: The same of alleles of several bases.
SUBSTITUTION, SUBSTITUTIONS, INDEL = range(9, 12)
_UNKNOWN = 255
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
def _kind_without_bases(text: NDArray[np.uint8], begin: int, end: int) -> int:
    """Kind of an ALT that spells no bases; `_UNKNOWN` if it spells some or is a breakend."""
    if end == begin:
        return MISSING
    if end == begin + 1:
        if text[begin] == _POINT:
            return MISSING
        if text[begin] == _STAR:
            return SPANNING_DELETION
    elif text[begin] == _LESS and text[end - 1] == _GREATER:
        for k in range(begin, end):
            if text[k] == _OPEN or text[k] == _CLOSE:
                return _UNKNOWN
        return SYMBOLIC
    return _UNKNOWN


@compiled
def _end_of_alt(text: NDArray[np.uint8], begin: int, stop: int) -> int:
    end = begin
    while end < stop and text[end] != _COMMA:
        end += 1
    return end


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
            end = _end_of_alt(text, begin, stop)
            kind = _kind_without_bases(text, begin, end)
            if kind == _UNKNOWN and end == begin + 1:
                kind = codes[text[begin]]
                if kind == ref:
                    kind = REF_EQUALS_ALT
            is_plain = kind != _UNKNOWN
            kinds[outcome] = kind
            outcome += 1
            begin = end + 1
        if is_plain:
            refs[i] = ref


@compiled
def classify_spelled(
    rows: NDArray[np.int64],
    text: NDArray[np.uint8],
    tabs: NDArray[np.int64],
    starts: NDArray[np.int64],
    codes: NDArray[np.uint8],
    bases: NDArray[np.uint8],
    shifts: NDArray[np.int64],
    longest: int,
    first_outcome: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    is_judged: NDArray[np.bool_],
    terms: NDArray[np.int64],
    changes: NDArray[np.int64],
) -> tuple[int, int]:
    """Sort the alleles of records whose REF is the reference, and whose ALTs spell bases or none.

    Parameters
    ----------
    rows : int64 array [R]
        Records to look at, the REF of each within its contig.
    text, tabs, codes, first_outcome
        As for `classify_plain`.
    starts : int64 array [N]
        POS, 0-based.
    bases, shifts
        The reference of each row, as `reference_stretches` gives it.
    longest : int
        Most bases of an ALT that is looked at.
    kinds : uint8 array, written
        By outcome, one of the constants above.
    is_judged : bool array [R], written
        Others are not of this kind: their outcomes are not to be read.
    terms : int64 array [T, 4], written
        Changes of single bases: outcome, position, codes of both bases.
    changes : int64 array [K, 6], written
        Changes of length without shared ends: outcome, row, position, bases of REF, where the
        bases of ALT begin in the text, how many they are.

    Returns
    -------
    n_terms, n_changes : int
    """
    n_terms = 0
    n_changes = 0
    for row in range(len(rows)):
        i = rows[row]
        ref = tabs[i, 2] + 1
        n_ref = tabs[i, 3] - ref
        start = starts[i]
        is_judged[row] = True
        for k in range(n_ref):
            code = codes[text[ref + k]]
            if code > 3 or code != bases[shifts[row] + start + k]:
                is_judged[row] = False
                break
        first_term = n_terms
        first_change = n_changes
        begin = tabs[i, 3] + 1
        for outcome in range(first_outcome[i], first_outcome[i + 1]):
            if not is_judged[row]:
                break
            end = _end_of_alt(text, begin, tabs[i, 4])
            n_alt = end - begin
            kind = _kind_without_bases(text, begin, end)
            if kind == _UNKNOWN:
                if n_alt > longest:
                    is_judged[row] = False
                    break
                for k in range(begin, end):
                    if codes[text[k]] > 3:
                        is_judged[row] = False
                n_shared = min(n_ref, n_alt)
                if n_ref == n_alt:
                    n_shared -= 1
                n_behind = 0
                while (
                    n_behind < n_shared
                    and codes[text[ref + n_ref - 1 - n_behind]] == codes[text[end - 1 - n_behind]]
                ):
                    n_behind += 1
                n_before = 0
                while (
                    n_before < n_shared - n_behind
                    and codes[text[ref + n_before]] == codes[text[begin + n_before]]
                ):
                    n_before += 1
                if n_ref != n_alt:
                    kind = INDEL
                    changes[n_changes, 0] = outcome
                    changes[n_changes, 1] = row
                    changes[n_changes, 2] = start + n_before
                    changes[n_changes, 3] = n_ref - n_before - n_behind
                    changes[n_changes, 4] = begin + n_before
                    changes[n_changes, 5] = n_alt - n_before - n_behind
                    n_changes += 1
                else:
                    kind = REF_EQUALS_ALT
                    for k in range(n_before, n_ref - n_behind):
                        if codes[text[ref + k]] != codes[text[begin + k]]:
                            kind = SUBSTITUTION if kind == REF_EQUALS_ALT else SUBSTITUTIONS
                            terms[n_terms, 0] = outcome
                            terms[n_terms, 1] = start + k
                            terms[n_terms, 2] = codes[text[ref + k]]
                            terms[n_terms, 3] = codes[text[begin + k]]
                            n_terms += 1
            kinds[outcome] = kind
            begin = end + 1
        if not is_judged[row]:
            n_terms = first_term
            n_changes = first_change
    return n_terms, n_changes


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
    llr_rows: NDArray[np.int64],
    statuses: NDArray[np.uint8],
    sites: NDArray[np.int64],
    llr_text: NDArray[np.uint8],
    llr_lengths: NDArray[np.int64],
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
    llr_rows : int64 array, by outcome
        Row of `llr_text`; -1 where the allele has no LLR.
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
            row = llr_rows[k]
            if row < 0:
                out[at] = _POINT
                at += 1
            else:
                at = _copy(llr_text[row], 0, llr_lengths[row], out, at)
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
