"""Compiled loops over variant records: alleles told apart, and indels laid over sites."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phylotools.compiling import compiled
from phylotools.io.bases import BASES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from phylotools.scoring.reference import ReferenceStretches

#: What an ALT may be besides a base, 0 to 3: rows of a table of statuses.
MISSING, SPANNING_DELETION, SYMBOLIC, NON_ACGT, REF_EQUALS_ALT = range(4, 9)
#: The same of alleles of several bases.
SUBSTITUTION, SUBSTITUTIONS, INDEL = range(9, 12)
_UNKNOWN = 255
_LESS, _GREATER, _COMMA, _POINT, _STAR = b"<>,.*"
_OPEN, _CLOSE = b"[]"
_CASE = 0x20
_N_BASES = 4


def _letter_codes() -> NDArray[np.uint8]:
    """ASCII -> base code, `NON_ACGT` for other letters, 255 for what is no letter."""
    codes = np.full(256, 255, dtype=np.uint8)
    for letter in b"ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        codes[[letter, letter | _CASE]] = NON_ACGT
    for code, letter in enumerate(BASES.encode()):
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
    first_outcome : int64 array [N + 1]
        Where the outcomes of each record begin.
    kinds : uint8 array, written
        By outcome: code of ALT's base, or one of the constants above.
    refs : uint8 array [N], written
        Code of REF; 255 where the record is not plain, or REF is not the reference: then its
        outcomes are not to be read.
    """
    codes = LETTER_CODES
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
    stretches: ReferenceStretches,
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
    text, tabs, first_outcome
        As for `classify_plain`.
    starts : int64 array [N]
        POS, 0-based.
    stretches : ReferenceStretches
        The reference of each row.
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
    codes = LETTER_CODES
    bases, shifts = stretches.bases, stretches.shifts
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
def lay_indels(
    changes: NDArray[np.int64],
    text: NDArray[np.uint8],
    stretches: ReferenceStretches,
    flank: int,
    starts: NDArray[np.int64],
    terms: NDArray[np.int64],
) -> int:
    """Where indels stand, and the sites that they change; as `HaplotypeLayout` has it.

    Parameters
    ----------
    changes : int64 array [K, 6]
        As `classify_spelled` writes them.
    text : uint8 array
        Where the bases of ALT are.
    stretches : ReferenceStretches
        The reference of each row.
    flank : int
        Sites compared beyond the change.
    starts : int64 array [K], written
        First position of the left-aligned change; -1 where the stretch of the reference is too
        short to tell.
    terms : int64 array [M, 4], written
        Row of the change, position, and the codes of the bases that differ there.

    Returns
    -------
    int
        Number of terms.
    """
    codes = LETTER_CODES
    bases = stretches.bases
    n_terms = 0
    for c in range(len(changes)):
        row = changes[c, 1]
        start = changes[c, 2]
        n_ref = changes[c, 3]
        alt = changes[c, 4]
        n_alt = changes[c, 5]
        shift = stretches.shifts[row]
        low = stretches.lows[row]
        high = stretches.highs[row]
        starts[c] = -1
        left = 0
        right = 0
        unit = n_ref + n_alt
        if n_ref == 0 or n_alt == 0:
            # How far it can move without changing the haplotype.
            while start - 1 - left >= low:
                k = unit - 1 - left % unit
                own = bases[shift + start + k] if n_ref > 0 else codes[text[alt + k]]
                if bases[shift + start - 1 - left] != own:
                    break
                left += 1
            while start + n_ref + right < high:
                k = right % unit
                own = bases[shift + start + k] if n_ref > 0 else codes[text[alt + k]]
                if bases[shift + start + n_ref + right] != own:
                    break
                right += 1
        n_sites = n_ref + flank
        first = start - left
        last = start + right
        if first - n_sites < low or last + n_ref + n_sites > high:
            continue
        starts[c] = first
        # What lies left of the change in place, then what lies right of it.
        for i in range(n_sites):
            ref = bases[shift + last + i]
            if i < n_alt:
                k = (i + right) % n_alt if n_ref == 0 else i
                other = codes[text[alt + k]]
            else:
                other = bases[shift + last + n_ref + i - n_alt]
            if ref != other and ref < _N_BASES and other < _N_BASES:
                terms[n_terms, 0] = c
                terms[n_terms, 1] = last + i
                terms[n_terms, 2] = ref
                terms[n_terms, 3] = other
                n_terms += 1
        for i in range(n_sites):
            ref = bases[shift + first - flank + i]
            k = i + n_alt - n_sites
            if k >= 0:
                if n_ref == 0:
                    k = (k + n_alt - left % n_alt) % n_alt
                other = codes[text[alt + k]]
            else:
                other = bases[shift + first + k]
            if ref != other and ref < _N_BASES and other < _N_BASES:
                terms[n_terms, 0] = c
                terms[n_terms, 1] = first - flank + i
                terms[n_terms, 2] = ref
                terms[n_terms, 3] = other
                n_terms += 1
    return n_terms
