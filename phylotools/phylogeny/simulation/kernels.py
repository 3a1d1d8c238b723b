"""The compiled loops of the simulator: random numbers by place, evolution, missing data.

Draw n of any position can be had without the draws before it: Philox4x32-10 (Salmon, Moraes, Dror
and Shaw, SC'11) encrypts a counter, made of position, purpose and n, under a key made of the seed.
So what happens at a position does not depend on threads or on where the work was cut.

The tree comes as a `TreeWalk`: branches in preorder, laid end to end on a line.
"""

from __future__ import annotations

import math

import numpy as np

from phylotools.compiling import compiled

#: What draws are for: each purpose has its own stream at every position.
EVOLUTION, SITE, GAP_EVENTS, DROPOUT_EVENTS, BLOCK_STARTS = range(5)
#: Code of a gap, beside 0..3 for A, C, G, T.
GAP = 5

_MASK = np.uint64(0xFFFFFFFF)
_SHIFT, _ELEVEN = np.uint64(32), np.uint64(11)
_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_UNIT = 2.0**-53


@compiled
def philox(key, first, second, third, fourth):
    """Four words of 32 bits, each as uint64, for a counter of four such words."""
    key_0, key_1 = key & _MASK, key >> _SHIFT
    for _ in range(10):
        product_0, product_1 = _MULTIPLIER_0 * first, _MULTIPLIER_1 * third
        first = (product_1 >> _SHIFT) ^ second ^ key_0
        third = (product_0 >> _SHIFT) ^ fourth ^ key_1
        second, fourth = product_1 & _MASK, product_0 & _MASK
        key_0, key_1 = (key_0 + _WEYL_0) & _MASK, (key_1 + _WEYL_1) & _MASK
    return first, second, third, fourth


@compiled
def two_uniforms(key, purpose, position, number):
    """Draw `number` of a position: two independent uniforms in [0, 1), of 53 bits each."""
    place = np.uint64(position)
    a, b, c, d = philox(key, np.uint64(number), np.uint64(purpose), place & _MASK, place >> _SHIFT)
    return (((a << _SHIFT) | b) >> _ELEVEN) * _UNIT, (((c << _SHIFT) | d) >> _ELEVEN) * _UNIT


@compiled
def waiting_time_and_uniform(key, purpose, position, number):
    """Draw `number` of a position: a standard exponential and a uniform in [0, 1)."""
    u, v = two_uniforms(key, purpose, position, number)
    return -math.log1p(-u), v


@compiled
def fill_uniforms(key, purpose, start, values):
    """Fill each row of (C, even) with the first uniforms of its position."""
    for row in range(values.shape[0]):
        for pair in range(values.shape[1] // 2):
            u, v = two_uniforms(key, purpose, start + row, pair)
            values[row, 2 * pair], values[row, 2 * pair + 1] = u, v


@compiled
def _branch_at(line, first, last, place):
    """Index i in [first, last) of the piece of a line with ``line[i] <= place < line[i + 1]``."""
    while last - first > 1:
        middle = (first + last) // 2
        if line[middle] <= place:
            first = middle
        else:
            last = middle
    return first


@compiled
def _choose(u, weights, excluded):
    """A base in proportion to its weight, never the excluded one."""
    total = 0.0
    for base in range(4):
        if base != excluded:
            total += weights[base]
    target, reached, chosen = u * total, 0.0, 0
    for base in range(4):
        if base != excluded and weights[base] > 0.0:
            reached += weights[base]
            chosen = base
            if target < reached:
                break
    return chosen


@compiled
def evolve(key, start, start_states, pi, rates, line, clade_end, first_tip, states, counts):
    """Evolve columns along a walk.

    Waiting times are exponential with the rate of leaving the present base. Since they have no
    memory, one draw serves until it is used up, over as many branches as that takes; so the next
    substitution is found by one search on the line of branches, and a column costs its
    substitutions, not its branches.

    Parameters
    ----------
    key : uint64
    start : int
        Position of the first column.
    start_states : uint8 array (C,)
        Base of the species where the walk starts; drawn from pi where it is not 0..3.
    pi : float64 array (C, A)
    rates : float64 array (C, A, A)
        Q; the diagonal is not read.
    line, clade_end, first_tip :
        Of a `TreeWalk`.
    states : uint8 array (C, S)
        Filled, in the order of the walk.
    counts : int64 array (C,)
        Filled with the numbers of substitutions.
    """
    n_branches = len(clade_end)
    # Clades that the walk is in and that began with a substitution: where they end, what is around.
    ends = np.empty(n_branches + 1, dtype=np.int64)
    around = np.empty(n_branches + 1, dtype=np.int64)
    leaving = np.empty(4)
    for column in range(states.shape[0]):
        for base in range(4):
            leaving[base] = 0.0
            for other in range(4):
                if other != base:
                    leaving[base] += rates[column, base, other]
        budget, u = waiting_time_and_uniform(key, EVOLUTION, start + column, 0)
        state = np.int64(start_states[column])
        if state > 3:
            state = _choose(u, pi[column], -1)
        states[column, :] = state
        at, branch, end, depth, count = 0.0, 0, n_branches, 0, 0
        while True:
            rate = leaving[state]
            needed = (line[end] - at) * rate
            if budget >= needed:
                budget -= needed
                if depth == 0:
                    break
                at, branch = line[end], end
                depth -= 1
                end, state = ends[depth], around[depth]
                continue
            at += budget / rate
            branch = _branch_at(line, branch, end, at)
            if clade_end[branch] != end:
                ends[depth], around[depth] = end, state
                depth += 1
                end = clade_end[branch]
            count += 1
            budget, u = waiting_time_and_uniform(key, EVOLUTION, start + column, count)
            state = _choose(u, rates[column, state], state)
            states[column, first_tip[branch] : first_tip[end]] = state
        counts[column] = count


@compiled
def cut_gaps(key, first, start, line, clade_end, first_tip, lengths, rows):
    """Cut gaps: a Poisson process of events over positions and branches, each for a whole clade.

    Parameters
    ----------
    key : uint64
    first, start : int
        Positions of the earliest event and of the first column of `rows`.
    line : float64 array (branches + 1,)
        Where each branch begins and the last ends, as cumulative numbers of events per position.
    clade_end, first_tip :
        Of a `TreeWalk`.
    lengths : float64 array (longest,)
        Probability that a gap is no longer than 1, 2, ...
    rows : uint8 array (S, C)
        Changed in place.
    """
    width, n_branches = rows.shape[1], len(clade_end)
    for position in range(first, start + width):
        place, number = 0.0, 0
        while True:
            step, u = waiting_time_and_uniform(key, GAP_EVENTS, position, number)
            place += step
            if place >= line[n_branches]:
                break
            branch = _branch_at(line, 0, n_branches, place)
            length = 1 + np.searchsorted(lengths, u, side="right")
            begin, end = max(position - start, 0), min(position + length - start, width)
            if begin < end:
                rows[first_tip[branch] : first_tip[clade_end[branch]], begin:end] = GAP
            number += 1


@compiled
def drop_clades(key, first, last, line, clade_end, first_tip, mean, longest, starts, absent):
    """Leave clades out of blocks: events as in `cut_gaps`, with geometric lengths.

    A clade is absent from the blocks whose first position an event covers.

    Parameters
    ----------
    key : uint64
    first, last : int
        Positions of events, half-open.
    line, clade_end, first_tip :
        As for `cut_gaps`.
    mean : float
        Of the lengths before they are cut at `longest`.
    longest : int
    starts : int64 array (K,)
        First positions of the blocks, in order.
    absent : bool array (K, S)
        Set in place.
    """
    n_branches, next_block = len(clade_end), 0
    for position in range(first, last):
        while next_block < len(starts) and starts[next_block] < position:
            next_block += 1
        place, number = 0.0, 0
        while True:
            step, u = waiting_time_and_uniform(key, DROPOUT_EVENTS, position, number)
            place += step
            if place >= line[n_branches]:
                break
            branch = _branch_at(line, 0, n_branches, place)
            length = 1
            if mean > 1.0:
                length += int(min(math.log1p(-u) / math.log1p(-1.0 / mean), longest - 1.0))
            block = next_block
            while block < len(starts) and starts[block] < position + length:
                absent[block, first_tip[branch] : first_tip[clade_end[branch]]] = True
                block += 1
            number += 1


@compiled
def mark_block_starts(key, start, mean, marks):
    """Set which positions begin a block: each with chance 1 / mean, and the first."""
    for offset in range(len(marks)):
        u, _ = two_uniforms(key, BLOCK_STARTS, start + offset, 0)
        marks[offset] = offset == 0 or u * mean < 1.0
