"""The compiled loops that put rows of blocks into chunks of reference columns."""

from __future__ import annotations

import numpy as np

from phylotools.compiling import compiled
from phylotools.store import schema

_GAP = 45
_LENGTH = schema.CHUNK_LENGTH
_NO_BLOCK = schema.NO_BLOCK


@compiled
def _reference_runs(text, at, width, runs):
    """Runs of columns in which the reference has a base: first column and length; their number."""
    n_runs = 0
    column = 0
    while column < width:
        while column < width and text[at + column] == _GAP:
            column += 1
        first = column
        while column < width and text[at + column] != _GAP:
            column += 1
        if column > first:
            runs[n_runs, 0], runs[n_runs, 1] = first, column - first
            n_runs += 1
    return n_runs


@compiled
def _find_free(chunks, slots, first_slot, reference, start, length, free):
    """Mark the positions that no earlier block covers; their number."""
    n_free = 0
    first_chunk = start // _LENGTH
    for i in range(length):
        position = start + i
        slot = slots[first_slot + position // _LENGTH - first_chunk]
        free[i] = chunks[slot, reference, position % _LENGTH] == _NO_BLOCK
        n_free += free[i]
    return n_free


@compiled
def _put_row(text, at, runs, n_runs, code_of, chunks, slots, first_slot, species, start, length,
             is_reverse, free, is_free):  # fmt: skip
    """Write the letters of a row that stand in reference columns."""
    first_chunk = start // _LENGTH
    done = 0
    for run in range(n_runs):
        letters = at + runs[run, 0]
        left = runs[run, 1]
        while left > 0:
            if is_reverse:
                offset = length - 1 - done
                place = (start + offset) % _LENGTH
                n = min(left, place + 1)
            else:
                offset = done
                place = (start + offset) % _LENGTH
                n = min(left, _LENGTH - place)
            slot = slots[first_slot + (start + offset) // _LENGTH - first_chunk]
            row = chunks[slot, species]
            if is_free and not is_reverse:
                for i in range(n):
                    row[place + i] = code_of[text[letters + i]]
            elif is_free:
                for i in range(n):
                    row[place - i] = code_of[text[letters + i]]
            else:
                step = -1 if is_reverse else 1
                for i in range(n):
                    if free[offset + step * i]:
                        row[place + step * i] = code_of[text[letters + i]]
            letters += n
            done += n
            left -= n


@compiled
def project(text, start, length, is_reverse, width, reference_at, first_row, species, letters_at,
            reference, forward, backward, chunks, slots, first_slot):  # fmt: skip
    """Put blocks into chunks; where an earlier block covers a position, that block stays.

    Parameters
    ----------
    text, start, length, is_reverse, width, reference_at, first_row, species, letters_at :
        Of a `BlockBatch`.
    reference : int
        Species that is the reference.
    forward, backward : uint8 arrays (256,)
        ASCII byte -> code, on the same and on the other strand.
    chunks : uint8 array (slots, S, CHUNK_LENGTH)
        Written to.
    slots : int64 array
        Slots of the chunks that the batch touches, by contig and position.
    first_slot : int64 array (K,)
        Index in `slots` of each block's first chunk.

    Returns
    -------
    int
        Positions that were covered before.
    """
    n_before = 0
    widest = longest = 0
    for block in range(len(start)):
        widest = max(widest, width[block])
        longest = max(longest, length[block])
    runs = np.empty((widest // 2 + 1, 2), np.int64)
    free = np.empty(longest, np.bool_)
    for block in range(len(start)):
        n_runs = _reference_runs(text, reference_at[block], width[block], runs)
        n_free = _find_free(
            chunks, slots, first_slot[block], reference, start[block], length[block], free
        )
        n_before += length[block] - n_free
        if n_free == 0:
            continue
        code_of = backward if is_reverse[block] else forward
        for row in range(first_row[block], first_row[block + 1]):
            _put_row(text, letters_at[row], runs, n_runs, code_of, chunks, slots,
                     first_slot[block], species[row], start[block], length[block],
                     is_reverse[block] == 1, free, n_free == length[block])  # fmt: skip
    return n_before


@compiled
def count_depth(bases, depth):
    """Species with A, C, G or T at each position of a chunk; adds to zeros."""
    for species in range(bases.shape[0]):
        row = bases[species]
        for i in range(len(row)):
            depth[i] += np.uint16(np.uint8(row[i] & np.uint8(schema.CODE_MASK)) < np.uint8(4))


@compiled
def fill_free(bases, reference, more, keep):
    """Take from a later piece the positions that are free here; `keep` is scratch."""
    for i in range(bases.shape[1]):
        keep[i] = bases[reference, i] == _NO_BLOCK and more[reference, i] != _NO_BLOCK
    for species in range(bases.shape[0]):
        for i in range(bases.shape[1]):
            if keep[i]:
                bases[species, i] = more[species, i]
