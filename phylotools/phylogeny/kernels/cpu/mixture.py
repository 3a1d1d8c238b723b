"""Pruning of a mixture of site classes, compiled: log-likelihood, and its gradient by branches.

Unlike `pruning`, which takes a rate matrix a column, the transition probabilities of every class
and branch are given, the same for all columns; so they may come from any model, and the gradient
with respect to them gives that of branch lengths, rates and shared parameters by the chain rule.

A block is `SETS` vectors of lanes, a lane a column. Forward, every merge stores its partials and
what its two branches carried; backward, partials are overwritten by their adjoints. The weight of a
class at a column is known once all classes were forward, and each goes forward again before it goes
backward: a quarter more arithmetic, but a workspace of one class, which stays in the caches.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from phylotools.phylogeny.kernels.cpu.families import jit
from phylotools.phylogeny.kernels.cpu.lanes import (
    VECTOR_BYTES,
    any_lane,
    below,
    fma,
    four_rows,
    inverse_power_of_two,
    lane_sum,
    largest,
    load,
    log2_of_power,
    spread,
    store,
)

#: Vectors in a block. Nanoseconds a branch, class and column with 1, 2 and 4 of them, on a core
#: with 1 MiB of second-level cache: 3.8, 3.8, 3.2 (113 tips); 3.8, 3.4, 3.9 (671); 3.9, 3.3, 4.2
#: (1,509).
SETS = 2
_LANES = VECTOR_BYTES // 8
BLOCK_COLUMNS = SETS * _LANES
#: Partials below it are rescaled; one merge multiplies two partials, each at least this times the
#: probability of a substitution.
_RESCALED = 1e-100


class Patterns(NamedTuple):
    """Distinct columns and how often each is met.

    Attributes
    ----------
    states : uint8 array (C, S)
    order : int64 array (C,)
        In which columns are put into blocks.
    weight : float64 array (C,)
    """

    states: np.ndarray
    order: np.ndarray
    weight: np.ndarray


class Mixture(NamedTuple):
    """A tree and its classes of sites, all of them equally frequent.

    Attributes
    ----------
    child : int32 array (M, 2)
        As in `PruningPlan`.
    transition : float64 array (K, 2M, 16)
        P of each class and branch, ancestor major; branch ``2 m + side`` is that of ``child``.
    frequencies : float64 array (A,)
        At the root.
    """

    child: np.ndarray
    transition: np.ndarray
    frequencies: np.ndarray


class _Block(NamedTuple):
    """Workspace; rows are one vector wide, and the vectors of a block follow each other.

    Attributes
    ----------
    sets : uint8 array (SETS S, lanes)
        Possible bases of the tips, a bit each.
    has_data : bool array (S + M,)
        Whether some column has a base at or below each slot.
    partial, carried : float64 arrays (4 SETS M, lanes), (8 SETS M, lanes)
    scale, log_scale : float64 arrays (SETS M, lanes), (SETS, lanes)
        Factors of merges; log2 of their product.
    rescaled : bool array (SETS M,)
    class_value : float64 array (K SETS, lanes)
        Log-likelihoods.
    weight : float64 array (SETS, lanes)
    """

    sets: np.ndarray
    has_data: np.ndarray
    partial: np.ndarray
    carried: np.ndarray
    scale: np.ndarray
    log_scale: np.ndarray
    rescaled: np.ndarray
    class_value: np.ndarray
    weight: np.ndarray


@jit
def _new_block(n_classes, n_merges, n_tips):
    rows = SETS * n_merges
    return _Block(
        np.empty((SETS * n_tips, _LANES), np.uint8), np.empty(n_tips + n_merges, np.bool_),
        np.empty((4 * rows, _LANES)), np.empty((8 * rows, _LANES)),
        np.empty((rows, _LANES)), np.empty((SETS, _LANES)), np.empty(rows, np.bool_),
        np.empty((n_classes * SETS, _LANES)), np.empty((SETS, _LANES)),
    )  # fmt: skip


@jit
def mixture_share(patterns, mixture, first, last, value, gradient):
    """Prune the blocks first..last-1 of the columns.

    Parameters
    ----------
    patterns : Patterns
    mixture : Mixture
    first, last : int
    value : float64 array (C,)
        Filled at the columns of the blocks with their log-likelihoods, -inf where impossible.
    gradient : float64 array (K, 2M, 16)
        That of the weighted sum of log-likelihoods is added. Empty (K of 0): no gradient.
    """
    n_merges, n_tips = mixture.child.shape[0], patterns.states.shape[1]
    block = _new_block(mixture.transition.shape[0], n_merges, n_tips)
    for number in range(first, last):
        start = number * BLOCK_COLUMNS
        _read_block(patterns, start, mixture.child, block)
        for number in range(mixture.transition.shape[0]):
            _forward(mixture, number, n_tips, block)
            _finish_class(mixture, number, block)
        _finish_columns(patterns, mixture, start, block, value)
        for number in range(gradient.shape[0]):
            _forward(mixture, number, n_tips, block)
            _begin_adjoints(patterns, mixture, number, start, block, value)
            _backward(mixture, number, n_tips, block, gradient)


@jit
def _read_block(patterns, start, child, block):
    """States as sets of possible bases, weights, and which slots have data."""
    n_tips, n_columns = patterns.states.shape[1], len(patterns.order)
    block.has_data[:] = False
    for lane in range(BLOCK_COLUMNS):
        # Lanes without a column of their own repeat the last one, without weight.
        column = patterns.order[min(start + lane, n_columns - 1)]
        is_own = start + lane < n_columns
        block.weight[lane // _LANES, lane % _LANES] = patterns.weight[column] if is_own else 0.0
        first = (lane // _LANES) * n_tips
        for tip in range(n_tips):
            state = patterns.states[column, tip]
            block.sets[first + tip, lane % _LANES] = (1 << state) if state < 4 else 15
            block.has_data[tip] |= state < 4
    for merge in range(child.shape[0]):
        left, right = block.has_data[child[merge, 0]], block.has_data[child[merge, 1]]
        block.has_data[n_tips + merge] = left or right


@jit
def _row(slot, vector, n_tips, n_merges):
    """Where `four_rows` finds a slot."""
    if slot < n_tips:
        return vector * n_tips + slot
    return SETS * n_tips + vector * n_merges + slot - n_tips


@jit
def _times(matrix, row, first, step, vectors):
    """A row or a column of a 4 x 4 matrix, whose entries are `step` apart, times four vectors."""
    like = vectors[0]
    total = spread(like, matrix[row, first]) * vectors[0]
    total = fma(spread(like, matrix[row, first + step]), vectors[1], total)
    total = fma(spread(like, matrix[row, first + 2 * step]), vectors[2], total)
    return fma(spread(like, matrix[row, first + 3 * step]), vectors[3], total)


@jit
def _store_four(array, row, values):
    store(array, row, values[0])
    store(array, row + 1, values[1])
    store(array, row + 2, values[2])
    store(array, row + 3, values[3])


@jit
def _load_four(array, row):
    return load(array, row), load(array, row + 1), load(array, row + 2), load(array, row + 3)


@jit
def _carried(matrix, branch, has_data, partial):
    """P L: partials at the upper end of a branch; 1 where there is no data below."""
    if not has_data:
        one = spread(partial[0], 1.0)
        return one, one, one, one
    return (
        _times(matrix, branch, 0, 1, partial), _times(matrix, branch, 4, 1, partial),
        _times(matrix, branch, 8, 1, partial), _times(matrix, branch, 12, 1, partial),
    )  # fmt: skip


@jit
def _forward(mixture, number, n_tips, block):
    """Partials of every merge in one class, rescaled by powers of two, and log2 of the scale."""
    child, n_merges, matrix = mixture.child, mixture.child.shape[0], mixture.transition[number]
    sets, partial, carried = block.sets, block.partial, block.carried
    like = load(block.weight, 0)
    small = spread(like, _RESCALED)
    for vector in range(SETS):
        log_scale = spread(like, 0.0)
        for merge in range(n_merges):
            here = vector * n_merges + merge
            slot = child[merge, 0]
            place = _row(slot, vector, n_tips, n_merges)
            below_it = four_rows(place, SETS * n_tips, sets, partial, like)
            left = _carried(matrix, 2 * merge, block.has_data[slot], below_it)
            slot = child[merge, 1]
            place = _row(slot, vector, n_tips, n_merges)
            below_it = four_rows(place, SETS * n_tips, sets, partial, like)
            right = _carried(matrix, 2 * merge + 1, block.has_data[slot], below_it)
            _store_four(carried, 8 * here, left)
            _store_four(carried, 8 * here + 4, right)
            a, c = left[0] * right[0], left[1] * right[1]
            g, t = left[2] * right[2], left[3] * right[3]
            top = largest(largest(a, c), largest(g, t))
            block.rescaled[here] = any_lane(below(top, small))
            if block.rescaled[here]:
                factor = inverse_power_of_two(largest(top, spread(like, 1e-300)))
                store(block.scale, here, factor)
                log_scale = log_scale - log2_of_power(factor)
                a, c, g, t = a * factor, c * factor, g * factor, t * factor
            _store_four(partial, 4 * here, (a, c, g, t))
        store(block.log_scale, vector, log_scale)


@jit
def _finish_class(mixture, number, block):
    """Log-likelihoods of a block's columns in one class."""
    n_merges, pi = mixture.child.shape[0], mixture.frequencies
    for vector in range(SETS):
        root = 4 * ((vector + 1) * n_merges - 1)
        for lane in range(_LANES):
            likelihood = 0.0
            for a in range(4):
                likelihood += pi[a] * block.partial[root + a, lane]
            found = -np.inf
            if likelihood > 0.0:
                found = math.log(likelihood) + block.log_scale[vector, lane] * math.log(2.0)
            block.class_value[number * SETS + vector, lane] = found


@jit
def _finish_columns(patterns, mixture, start, block, value):
    """Log-likelihoods of columns: the mean over classes of their likelihoods."""
    n_classes = mixture.transition.shape[0]
    for lane in range(min(BLOCK_COLUMNS, len(patterns.order) - start)):
        vector, at = lane // _LANES, lane % _LANES
        top, total = -np.inf, 0.0
        for number in range(n_classes):
            top = max(top, block.class_value[number * SETS + vector, at])
        if top > -np.inf:
            for number in range(n_classes):
                total += math.exp(block.class_value[number * SETS + vector, at] - top)
            top += math.log(total / n_classes)
        value[patterns.order[start + lane]] = top


@jit
def _begin_adjoints(patterns, mixture, number, start, block, value):
    """The adjoints at the root in one class, in place of its partials.

    ``pi weight q / L``: q is the probability of the class given the column, L its likelihood there.
    """
    n_merges, n_classes, pi = (
        mixture.child.shape[0],
        mixture.transition.shape[0],
        mixture.frequencies,
    )
    for lane in range(BLOCK_COLUMNS):
        vector, at = lane // _LANES, lane % _LANES
        root = 4 * ((vector + 1) * n_merges - 1)
        of_class = block.class_value[number * SETS + vector, at]
        share = 0.0
        if block.weight[vector, at] > 0.0 and of_class > -np.inf:
            whole = value[patterns.order[start + lane]]
            log_scale = block.log_scale[vector, at] * math.log(2.0)
            posterior = math.exp(of_class - whole) / n_classes
            share = block.weight[vector, at] * posterior / math.exp(of_class - log_scale)
        for a in range(4):
            block.partial[root + a, at] = share * pi[a]


@jit
def _outer(sums, first, second):
    """Add the outer product of four vectors and four others to sixteen sums."""
    return (
        fma(first[0], second[0], sums[0]), fma(first[0], second[1], sums[1]),
        fma(first[0], second[2], sums[2]), fma(first[0], second[3], sums[3]),
        fma(first[1], second[0], sums[4]), fma(first[1], second[1], sums[5]),
        fma(first[1], second[2], sums[6]), fma(first[1], second[3], sums[7]),
        fma(first[2], second[0], sums[8]), fma(first[2], second[1], sums[9]),
        fma(first[2], second[2], sums[10]), fma(first[2], second[3], sums[11]),
        fma(first[3], second[0], sums[12]), fma(first[3], second[1], sums[13]),
        fma(first[3], second[2], sums[14]), fma(first[3], second[3], sums[15]),
    )  # fmt: skip


@jit
def _add_sums(gradient, number, branch, sums):
    gradient[number, branch, 0] += lane_sum(sums[0])
    gradient[number, branch, 1] += lane_sum(sums[1])
    gradient[number, branch, 2] += lane_sum(sums[2])
    gradient[number, branch, 3] += lane_sum(sums[3])
    gradient[number, branch, 4] += lane_sum(sums[4])
    gradient[number, branch, 5] += lane_sum(sums[5])
    gradient[number, branch, 6] += lane_sum(sums[6])
    gradient[number, branch, 7] += lane_sum(sums[7])
    gradient[number, branch, 8] += lane_sum(sums[8])
    gradient[number, branch, 9] += lane_sum(sums[9])
    gradient[number, branch, 10] += lane_sum(sums[10])
    gradient[number, branch, 11] += lane_sum(sums[11])
    gradient[number, branch, 12] += lane_sum(sums[12])
    gradient[number, branch, 13] += lane_sum(sums[13])
    gradient[number, branch, 14] += lane_sum(sums[14])
    gradient[number, branch, 15] += lane_sum(sums[15])


@jit
def _backward(mixture, number, n_tips, block, gradient):
    """Adjoints from the root down; their products with the partials below, summed by branch."""
    child, n_merges, matrix = mixture.child, mixture.child.shape[0], mixture.transition[number]
    sets, partial, carried = block.sets, block.partial, block.carried
    like = load(block.weight, 0)
    zero = spread(like, 0.0)
    for merge in range(n_merges - 1, -1, -1):
        for side in range(2):
            slot = child[merge, side]
            if not block.has_data[slot]:
                # Rows of P sum to 1 whatever its parameters: nothing depends on this branch.
                continue
            branch = 2 * merge + side
            sums = (
                zero, zero, zero, zero, zero, zero, zero, zero,
                zero, zero, zero, zero, zero, zero, zero, zero,
            )  # fmt: skip
            for vector in range(SETS):
                here = vector * n_merges + merge
                adjoint = _load_four(partial, 4 * here)
                other = _load_four(carried, 8 * here + 4 * (1 - side))
                if block.rescaled[here]:
                    factor = load(block.scale, here)
                    other = (
                        other[0] * factor, other[1] * factor, other[2] * factor, other[3] * factor
                    )  # fmt: skip
                outer = (
                    adjoint[0] * other[0], adjoint[1] * other[1],
                    adjoint[2] * other[2], adjoint[3] * other[3],
                )  # fmt: skip
                place = _row(slot, vector, n_tips, n_merges)
                sums = _outer(sums, outer, four_rows(place, SETS * n_tips, sets, partial, like))
                if slot >= n_tips:
                    send = (
                        _times(matrix, branch, 0, 4, outer), _times(matrix, branch, 1, 4, outer),
                        _times(matrix, branch, 2, 4, outer), _times(matrix, branch, 3, 4, outer),
                    )  # fmt: skip
                    _store_four(partial, 4 * (place - SETS * n_tips), send)
            _add_sums(gradient, number, branch, sums)
