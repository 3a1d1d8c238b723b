"""Pruning for the CPU, compiled: log-likelihood and gradient in one pass over blocks of columns.

A block is one vector of lanes (`lanes`), a lane a column. The tree is pruned to the species that
the block has, so that absent ones cost nothing. Forward, every merge stores its partials; backward
they are overwritten by their adjoints, and what a branch contributed is computed anew rather than
stored: a block's workspace stays in the processor's second-level cache whatever the tree.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from phylotools.phylogeny.kernels.cpu.families import (
    back,
    carry,
    exponentials,
    fill_site,
    finish_gradient,
    load_exponentials,
    load_site,
    load_sums,
    sizes,
    store_sums,
)
from phylotools.phylogeny.kernels.cpu.lanes import (
    VECTOR_BYTES,
    any_lane,
    below,
    both,
    contains,
    either,
    inverse_power_of_two,
    largest,
    load,
    spread,
    store,
    where,
)

# Division by zero gives inf, as in numpy: such columns count as lost.
_jit = numba.njit(nogil=True, error_model="numpy")


@_jit
def prune_share(
    family, inputs, states, order, child, length, limits, first, last, log_likelihood, gradient
):
    """Prune the blocks first..last-1 of the columns in the given order.

    Parameters
    ----------
    family : named tuple
    inputs : float array (C, K)
        What the family's sites are made of; its type is that of all arithmetic.
    states : uint8 array (C, S)
    order : int64 array (C,)
    child : int32 array (M, 2)
    length : float array (M, 2)
    limits : (float, float, float)
        Partials below the first are rescaled; below the second the column is lost; branches
        shorter than the third are watched for what vanishes at their lower end.
    first, last : int
    log_likelihood : float array (C,)
        Filled; NaN where the numbers left their range.
    gradient : float array (C, G)
        Filled.
    """
    kind, n_tips, merges = inputs.dtype, states.shape[1], child.shape[0]
    lanes = VECTOR_BYTES // inputs.itemsize
    n_site_rows, n_kept, n_gradient_rows = sizes(family)
    sets = np.empty((n_tips, lanes), np.uint8)
    row_of = np.empty(n_tips + merges, np.int32)
    extra = np.empty(n_tips + merges, kind)
    rows = np.empty((merges, 2), np.int32)
    lengths = np.empty((merges, 2), kind)
    watched = np.empty(merges, np.bool_)
    rescaled = np.empty(merges, np.bool_)
    site_rows = np.empty((n_site_rows, lanes), kind)
    partial = np.empty((4 * merges, lanes), kind)
    kept = np.empty((2 * n_kept * merges, lanes), kind)
    scale = np.empty((merges, lanes), kind)
    log_scale = np.empty((1, lanes), kind)
    gradient_rows = np.empty((n_gradient_rows, lanes), kind)
    for block in range(first, last):
        start = block * lanes
        used = min(lanes, len(order) - start)
        for lane in range(lanes):
            # Lanes without a column of their own repeat the last one.
            column = order[start + min(lane, used - 1)]
            fill_site(family, inputs, column, site_rows, lane)
        _read_states(states, order, start, used, sets)
        n_merges, root = _prune_tree(
            sets, child, length, limits, row_of, extra, rows, lengths, watched
        )
        _forward(family, site_rows, n_merges, rows, lengths, watched, limits, sets, partial, kept,
                 scale, rescaled, log_scale)  # fmt: skip
        _root(root, n_tips, sets, site_rows, partial, log_scale, gradient_rows)
        _backward(family, site_rows, n_merges, rows, lengths, sets, partial, kept,
                  scale, rescaled, gradient_rows)  # fmt: skip
        for lane in range(used):
            column = order[start + lane]
            log_likelihood[column] = log_scale[0, lane]
            finish_gradient(family, site_rows, gradient_rows, lane, inputs, column, gradient)


@_jit
def _read_states(states, order, start, used, sets):
    """Transpose a block's states into sets of possible bases: one bit, or all for missing data."""
    for lane in range(sets.shape[1]):
        column = order[start + min(lane, used - 1)]
        for tip in range(sets.shape[0]):
            state = states[column, tip]
            sets[tip, lane] = (1 << state) if state < 4 else 15


@_jit
def _prune_tree(sets, child, length, limits, row_of, extra, rows, lengths, watched):
    """Merges of the tree pruned to the tips that some lane has; their number, and the root's row.

    Rows 0..S-1 are the tips, row S + k is the k-th merge that is left. Where one side of a merge
    is absent the branches above and below it become one.
    """
    n_tips, n_lanes = sets.shape
    for tip in range(n_tips):
        seen = 15
        for lane in range(n_lanes):
            seen &= sets[tip, lane]
        row_of[tip] = tip
        extra[tip] = 0.0
        if seen == 15:
            row_of[tip] = -1
    n_merges = 0
    for merge in range(child.shape[0]):
        left, right = row_of[child[merge, 0]], row_of[child[merge, 1]]
        left_length = length[merge, 0] + extra[child[merge, 0]]
        right_length = length[merge, 1] + extra[child[merge, 1]]
        here = n_tips + merge
        extra[here] = 0.0
        if left >= 0 and right >= 0:
            rows[n_merges, 0], rows[n_merges, 1] = left, right
            lengths[n_merges, 0], lengths[n_merges, 1] = left_length, right_length
            for side in range(2):
                row = rows[n_merges, side]
                if row >= n_tips:
                    watched[row - n_tips] = lengths[n_merges, side] < limits[2]
            watched[n_merges] = False
            row_of[here] = n_tips + n_merges
            n_merges += 1
        elif left >= 0:
            row_of[here], extra[here] = left, left_length
        else:
            row_of[here], extra[here] = right, right_length
    return n_merges, row_of[n_tips + child.shape[0] - 1]


@_jit
def _partials(row, sets, partial, like):
    """Partial likelihoods of a tip or a merge."""
    n_tips = sets.shape[0]
    if row < n_tips:
        return (
            contains(sets, row, 0, like),
            contains(sets, row, 1, like),
            contains(sets, row, 2, like),
            contains(sets, row, 3, like),
        )
    first = 4 * (row - n_tips)
    return (
        load(partial, first),
        load(partial, first + 1),
        load(partial, first + 2),
        load(partial, first + 3),
    )


@_jit
def _store_four(array, row, values):
    store(array, row, values[0])
    store(array, row + 1, values[1])
    store(array, row + 2, values[2])
    store(array, row + 3, values[3])


@_jit
def _vanished(product, a, b, limit):
    """Lanes where two positive factors have a product that is lost."""
    zero = spread(a, 0.0)
    return both(below(product, limit), both(below(zero, a), below(zero, b)))


@_jit
def _forward(
    family, site_rows, n_merges, rows, lengths, watched, limits, sets, partial, kept, scale,
    rescaled, log_scale,
):  # fmt: skip
    """Partials of every merge, rescaled by powers of two; log2 of the scale, NaN if lost."""
    site = load_site(family, site_rows)
    n_kept = sizes(family)[1]
    like = load(site_rows, 0)
    small, least = spread(like, limits[0]), spread(like, limits[1])
    for lane in range(log_scale.shape[1]):
        log_scale[0, lane] = 0.0
    for k in range(n_merges):
        left = carry(
            site, exponentials(site, kept, 2 * n_kept * k, lengths[k, 0]),
            _partials(rows[k, 0], sets, partial, like),
        )  # fmt: skip
        right = carry(
            site, exponentials(site, kept, 2 * n_kept * k + n_kept, lengths[k, 1]),
            _partials(rows[k, 1], sets, partial, like),
        )  # fmt: skip
        a, c, g, t = left[0] * right[0], left[1] * right[1], left[2] * right[2], left[3] * right[3]
        top = largest(largest(a, c), largest(g, t))
        if watched[k]:
            lost = either(
                either(
                    _vanished(a, left[0], right[0], least), _vanished(c, left[1], right[1], least)
                ),
                either(
                    _vanished(g, left[2], right[2], least), _vanished(t, left[3], right[3], least)
                ),
            )
            top = where(lost, spread(like, 0.0), top)
        rescaled[k] = any_lane(below(top, small))
        if rescaled[k]:
            lost = below(top, least)
            factor = inverse_power_of_two(largest(top, least))
            store(scale, k, factor)
            for lane in range(log_scale.shape[1]):
                log_scale[0, lane] -= math.log2(scale[k, lane])
            store(log_scale, 0, where(lost, spread(like, np.nan), load(log_scale, 0)))
            a, c, g, t = a * factor, c * factor, g * factor, t * factor
        _store_four(partial, 4 * k, (a, c, g, t))


@_jit
def _root(root, n_tips, sets, site_rows, partial, log_scale, gradient_rows):
    """Log-likelihood in place of log2 of the scale; the root's adjoint in place of its partials."""
    for lane in range(log_scale.shape[1]):
        total = 0.0 * site_rows[0, lane]
        for a in range(4):
            here = (sets[root, lane] >> a) & 1 if root < n_tips else 1
            if root >= n_tips:
                gradient_rows[a, lane] = partial[4 * (root - n_tips) + a, lane]
            else:
                gradient_rows[a, lane] = here
            total += site_rows[a, lane] * gradient_rows[a, lane]
        if total > 0.0:
            log_scale[0, lane] = math.log(total) + log_scale[0, lane] * math.log(2.0)
        else:
            log_scale[0, lane] = np.nan
            total = 1.0 + 0.0 * total
        for a in range(4):
            gradient_rows[a, lane] /= total
            if root >= n_tips:
                partial[4 * (root - n_tips) + a, lane] = site_rows[a, lane] / total


@_jit
def _backward(
    family, site_rows, n_merges, rows, lengths, sets, partial, kept, scale, rescaled, gradient_rows
):
    """Adjoints from the root down, summed into the rows of the gradient."""
    site = load_site(family, site_rows)
    n_kept, n_tips = sizes(family)[1], sets.shape[0]
    like = load(site_rows, 0)
    sums = load_sums(site, gradient_rows)
    for k in range(n_merges - 1, -1, -1):
        adjoint = _partials(n_tips + k, sets, partial, like)
        if rescaled[k]:
            factor = load(scale, k)
            adjoint = (
                adjoint[0] * factor, adjoint[1] * factor, adjoint[2] * factor, adjoint[3] * factor
            )  # fmt: skip
        left_branch = load_exponentials(site, kept, 2 * n_kept * k)
        right_branch = load_exponentials(site, kept, 2 * n_kept * k + n_kept)
        left_partial = _partials(rows[k, 0], sets, partial, like)
        right_partial = _partials(rows[k, 1], sets, partial, like)
        left, right = (
            carry(site, left_branch, left_partial),
            carry(site, right_branch, right_partial),
        )
        outer = (
            adjoint[0] * right[0], adjoint[1] * right[1],
            adjoint[2] * right[2], adjoint[3] * right[3],
        )  # fmt: skip
        send, sums = back(site, sums, left_branch, lengths[k, 0], outer, left_partial)
        if rows[k, 0] >= n_tips:
            _store_four(partial, 4 * (rows[k, 0] - n_tips), send)
        outer = (
            adjoint[0] * left[0], adjoint[1] * left[1], adjoint[2] * left[2], adjoint[3] * left[3]
        )  # fmt: skip
        send, sums = back(site, sums, right_branch, lengths[k, 1], outer, right_partial)
        if rows[k, 1] >= n_tips:
            _store_four(partial, 4 * (rows[k, 1] - n_tips), send)
    store_sums(site, gradient_rows, sums)
