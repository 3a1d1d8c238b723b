"""Compiled loops over rows: whose row it is, whether it can be right, which of several stays."""

from __future__ import annotations

import numpy as np

from phylotools.compiling import compiled
from phylotools.io.bases import NUCLEOTIDES

#: Owners of rows that are no species.
UNKNOWN, IGNORED = -1, -2
#: What becomes of several rows of one species in a block.
DROP, BEST_IDENTITY, FIRST, CONSENSUS = range(4)
#: Status of `choose`.
GOOD, BAD_LETTER, WRONG_REFERENCE_SIZE = range(3)
#: Entries of the totals of `choose`.
WITHOUT_REFERENCE, EMPTY_REFERENCE, N_TOTALS = 0, 1, 2
#: Rows of the counts of `choose`.
ROWS, FURTHER, JOINED, WRONG_SIZE = range(4)

_DOT, _GAP, _N = 46, 45, 78
_IS_NUCLEOTIDE = np.isin(np.arange(256), list(NUCLEOTIDES))
_OFFSET, _PRIME = np.uint64(14695981039346656037), np.uint64(1099511628211)


@compiled
def hash_name(text, start, end):
    """FNV-1a of some bytes (http://www.isthe.com/chongo/tech/comp/fnv/)."""
    value = _OFFSET
    for i in range(start, end):
        value = (value ^ np.uint64(text[i])) * _PRIME
    return value


@compiled
def _find(text, start, end, value, names, name_at, slots):
    """Index of a name in the table; -1 if it is not there."""
    slot = np.int64(value % np.uint64(len(slots)))
    length = end - start
    while slots[slot] >= 0:
        index = slots[slot]
        if name_at[index + 1] - name_at[index] == length:
            first = name_at[index]
            same = True
            for i in range(length):
                if names[first + i] != text[start + i]:
                    same = False
                    break
            if same:
                return index
        slot = (slot + 1) % len(slots)
    return -1


@compiled
def find_owners(
    text, source_at, source_length, names, name_at, slots, owner_of, owner, contig_at, prefix
):
    """The longest known name that is the whole source or ends before a dot of it.

    Parameters
    ----------
    text : uint8 array
    source_at, source_length : int64 arrays (R,)
    names, name_at, slots : arrays
        Hash table; see `sources.SpeciesTable`.
    owner_of : int64 array
        Name -> species, or `IGNORED`.
    owner : int64 array (R,)
        Filled: species, `IGNORED` or `UNKNOWN`.
    contig_at : int64 array (R,)
        Filled: where the source's contig begins; a source without one is its own contig.
    prefix : uint64 array (R,)
        Filled: hash of the source up to its first dot.
    """
    for row in range(len(source_at)):
        start = source_at[row]
        end = start + source_length[row]
        owner[row], contig_at[row] = UNKNOWN, start
        value = _OFFSET
        is_first = True
        for at in range(start, end + 1):
            if at == end or (text[at] == _DOT and at > start):
                if is_first:
                    prefix[row] = value
                    is_first = False
                found = _find(text, start, at, value, names, name_at, slots)
                if found >= 0:
                    owner[row] = owner_of[found]
                    contig_at[row] = start if at == end else at + 1
            if at < end:
                value = (value ^ np.uint64(text[at])) * _PRIME


@compiled
def _check(text, start, width):
    """Number of gaps of a row, and whether a letter is none of `bases.NUCLEOTIDES`.

    Rows of A, C, G, T, N and gaps take a loop that the compiler makes vectors of: 2.5 GB/s.
    """
    gaps = 0
    is_unusual = np.uint8(0)
    for i in range(start, start + width):
        letter = text[i]
        lower = np.uint8(letter | np.uint8(32))
        is_gap = letter == np.uint8(_GAP)
        is_a_or_c = np.uint8(lower | np.uint8(2)) == np.uint8(99)
        is_g_or_t = (lower == np.uint8(103)) | (lower == np.uint8(116))
        is_unusual |= np.uint8(not (is_a_or_c | is_g_or_t | is_gap | (lower == np.uint8(110))))
        gaps += is_gap
    if is_unusual:
        for i in range(start, start + width):
            if not _IS_NUCLEOTIDE[text[i]]:
                return gaps, True
    return gaps, False


@compiled
def _identity(text, first, second, width):
    """Columns in which both rows have the same of A, C, G and T."""
    same = 0
    for i in range(width):
        letter = np.uint8(text[first + i] & np.uint8(0xDF))
        if letter == np.uint8(85):
            letter = np.uint8(84)
        other = np.uint8(text[second + i] & np.uint8(0xDF))
        if other == np.uint8(85):
            other = np.uint8(84)
        if letter == other and (letter == 65 or letter == 67 or letter == 71 or letter == 84):
            same += 1
    return same


@compiled
def _are_pieces(text, letters_at, row, next_row, width, taken):
    """Whether no column has a base in two rows of a chain; `taken` is scratch."""
    taken[:width] = 0
    while row >= 0:
        at = letters_at[row]
        clash = np.uint8(0)
        for i in range(width):
            has_base = np.uint8(text[at + i] != np.uint8(_GAP))
            clash |= has_base & taken[i]
            taken[i] |= has_base
        if clash:
            return False
        row = next_row[row]
    return True


@compiled
def _keep_of_chain(text, letters_at, row, next_row, width, own, policy, keep):
    """Decide about several rows of a species, given as a chain, by a policy."""
    if policy == BEST_IDENTITY:
        best, best_identity = -1, -1
        while row >= 0:
            identity = _identity(text, letters_at[row], letters_at[own], width)
            if identity > best_identity:
                best, best_identity = row, identity
            row = next_row[row]
        keep[best] = 1
        return
    if policy == FIRST:
        keep[row] = 1
        return
    while row >= 0:
        keep[row] = 2 if policy == CONSENSUS else 0
        row = next_row[row]


@compiled
def _link(owner, begin, end, last_of, next_row):
    """Chain the rows of each species of a block; `last_of` is -1 before and after."""
    for row in range(begin, end):
        next_row[row] = -1
        species = owner[row]
        if species >= 0:
            if last_of[species] >= 0:
                next_row[last_of[species]] = row
            last_of[species] = row
    for row in range(begin, end):
        if owner[row] >= 0:
            last_of[owner[row]] = -1


@compiled
def choose(
    text,
    first_row,
    width,
    letters_at,
    size,
    owner,
    reference,
    policy,
    reference_row,
    keep,
    counts,
    totals,
    example,
):
    """Find each block's reference row, check all rows, and leave one row a species.

    Parameters
    ----------
    text, first_row, width, letters_at, size :
        Of a `RowTable`.
    owner : int64 array (R,)
    reference : int
        Species whose coordinates are used.
    policy : int
    reference_row : int64 array (K,)
        Filled: the reference's first row; -1 where the block is of no use.
    keep : uint8 array (R,)
        Filled: 1 where a row stays; 2 where it is one of several that a consensus replaces.
    counts : int64 array (4, S)
        Added to: rows; further rows; further rows that are joined, because no column has a base
        in two of them; rows whose size is not their number of bases.
    totals : int64 array (N_TOTALS,)
        Added to: blocks without a row of the reference, or with an empty one.
    example : int64 array (N_TOTALS + 3,)
        Filled where it is -1: first row of such a block, then the first row of each count but the
        first.

    Returns
    -------
    status, row : int
        The first row that cannot be right.
    """
    last_of = np.full(counts.shape[1], -1, np.int64)
    next_row = np.empty(len(owner), np.int64)
    taken = np.empty(width.max() if len(width) else 0, np.uint8)
    is_further = np.zeros(len(owner), np.bool_)
    for block in range(len(width)):
        begin, end = first_row[block], first_row[block + 1]
        own = known = -1
        for row in range(begin, end):
            keep[row] = 0
            if owner[row] >= 0 and known < 0:
                known = row
            if owner[row] == reference and own < 0:
                own = row
        reference_row[block] = -1
        if own >= 0 and size[own] == 0:
            gaps, bad = _check(text, letters_at[own], width[block])
            if bad or gaps < width[block]:
                return BAD_LETTER if bad else WRONG_REFERENCE_SIZE, own
        if own < 0 or size[own] == 0:
            if known >= 0:
                which = WITHOUT_REFERENCE if own < 0 else EMPTY_REFERENCE
                totals[which] += 1
                if example[which] < 0:
                    example[which] = known
            continue
        reference_row[block] = own
        _link(owner, begin, end, last_of, next_row)
        for row in range(begin, end):
            species = owner[row]
            if species < 0:
                continue
            gaps, bad = _check(text, letters_at[row], width[block])
            if bad:
                return BAD_LETTER, row
            counts[ROWS, species] += 1
            if width[block] - gaps != size[row]:
                if row == own:
                    return WRONG_REFERENCE_SIZE, row
                counts[WRONG_SIZE, species] += 1
                if example[N_TOTALS + WRONG_SIZE - 1] < 0:
                    example[N_TOTALS + WRONG_SIZE - 1] = row
            if next_row[row] >= 0:
                is_further[next_row[row]] = True
        for row in range(begin, end):
            species = owner[row]
            if species < 0 or is_further[row]:
                continue
            if next_row[row] < 0:
                keep[row] = 1
                continue
            kind = FURTHER
            if species == reference:
                keep[row] = 1
            elif _are_pieces(text, letters_at, row, next_row, width[block], taken):
                kind = JOINED
                _keep_of_chain(text, letters_at, row, next_row, width[block], own, CONSENSUS, keep)
            else:
                _keep_of_chain(text, letters_at, row, next_row, width[block], own, policy, keep)
            further = next_row[row]
            if example[N_TOTALS + kind - 1] < 0:
                example[N_TOTALS + kind - 1] = further
            while further >= 0:
                counts[kind, species] += 1
                further = next_row[further]
    return GOOD, -1


@compiled
def mark_contigs(text, rows, contig_at, contig_end, is_new):
    """Mark the rows whose contig is named otherwise than that of the row before."""
    for i in range(len(rows)):
        start, end = contig_at[rows[i]], contig_end[rows[i]]
        is_new[i] = 1
        if i > 0:
            before = contig_at[rows[i - 1]]
            if contig_end[rows[i - 1]] - before == end - start:
                is_new[i] = 0
                for k in range(end - start):
                    if text[start + k] != text[before + k]:
                        is_new[i] = 1
                        break


@compiled
def consensus(text, letters_at, rows, width, out):
    """The letters most rows have: a tie of bases gives N, no base N or, without any, a gap.

    Lower case where every row that has the chosen base has it in lower case; for N, where every
    row that is no gap is in lower case.
    """
    count = np.zeros(4, np.int64)
    upper = np.zeros(4, np.int64)
    bases = np.array([65, 67, 71, 84], np.uint8)
    for column in range(width):
        count[:] = 0
        upper[:] = 0
        n_letters = n_upper = 0
        for row in rows:
            letter = text[letters_at[row] + column]
            if letter == _GAP:
                continue
            n_letters += 1
            is_lower = letter >= 97
            n_upper += not is_lower
            letter = letter & 0xDF
            base = -1
            if letter == 65:
                base = 0
            elif letter == 67:
                base = 1
            elif letter == 71:
                base = 2
            elif letter == 84 or letter == 85:
                base = 3
            if base >= 0:
                count[base] += 1
                upper[base] += not is_lower
        best, n_best, is_tie = 0, count[0], False
        for base in range(1, 4):
            if count[base] > n_best:
                best, n_best, is_tie = base, count[base], False
            elif count[base] == n_best:
                is_tie = True
        if n_letters == 0:
            out[column] = _GAP
        elif n_best == 0 or is_tie:
            out[column] = _N + (32 if n_upper == 0 else 0)
        else:
            out[column] = bases[best] + (32 if upper[best] == 0 else 0)
