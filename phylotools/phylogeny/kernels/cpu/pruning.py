"""Pruning for the CPU, compiled: log-likelihood and gradient in one pass over blocks of columns.

A block is one vector of lanes (`lanes`), a lane a column. The tree is pruned to the species that
the block has, so that absent ones cost nothing. Forward, every merge stores its partials; backward
they are overwritten by their adjoints. What a branch carried is computed anew, or stored where that
is faster: a block's workspace stays in the processor's second-level cache whatever the tree.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from phylotools.phylogeny.kernels.cpu.families import (
    back,
    carry,
    exponentials,
    fill_sites,
    finish_gradients,
    jit,
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
    either,
    four_rows,
    inverse_power_of_two,
    known_bits,
    largest,
    load,
    log2_of_power,
    spread,
    store,
    transpose_sets,
    where,
)


class Columns(NamedTuple):
    """Columns to prune, and what comes out.

    Attributes
    ----------
    inputs : float array (C, 4)
        What the family's sites are made of; its type is that of all arithmetic.
    states : uint8 array (C, S)
    order : int64 array (C,)
        In which columns are put into blocks.
    log_likelihood : float array (C,)
        Filled; NaN where the numbers left their range.
    gradient : float array (C, G)
        Filled.
    """

    inputs: np.ndarray
    states: np.ndarray
    order: np.ndarray
    log_likelihood: np.ndarray
    gradient: np.ndarray


class Merges(NamedTuple):
    """As in `PruningPlan`: int32 array (M, 2), float array (M, 2) in the type of the inputs."""

    child: np.ndarray
    length: np.ndarray


class Limits(NamedTuple):
    """Limits of the numbers.

    Attributes
    ----------
    rescaled : float
        Partials below it are rescaled.
    lost : float
        Columns with partials below it are lost.
    watched : float
        Branches shorter than this are watched for what vanishes at their lower end.
    """

    rescaled: float
    lost: float
    watched: float


class _Block(NamedTuple):
    """Workspace for one block of columns: rows are one vector wide.

    Attributes
    ----------
    column : int64 array
        Of each lane.
    sets : uint8 array (S, lanes)
        Possible bases of the tips, a bit each.
    row_of : int32 array (S + M,)
        Row of each slot of the tree, below; negative if absent.
    extra : float array (S + M,)
        Branch length above each slot's row, up to the slot.
    rows, lengths : int32 and float array (M, 2)
        Merges of the pruned tree. Rows 0..S-1 are the tips, row S + k is the k-th merge.
    watched, rescaled : bool array (M,)
    wide, site, partial, carried, kept, scale, log_scale, gradient : float array (..., lanes)
        Sites in float64, sites, partials of merges (four rows each), partials at the upper ends of
        branches (eight rows a merge, or none), exponentials of branches, factors of rescaled
        merges, log2 of all of them, gradient.
    """

    column: np.ndarray
    sets: np.ndarray
    row_of: np.ndarray
    extra: np.ndarray
    rows: np.ndarray
    lengths: np.ndarray
    watched: np.ndarray
    rescaled: np.ndarray
    wide: np.ndarray
    site: np.ndarray
    partial: np.ndarray
    carried: np.ndarray
    kept: np.ndarray
    scale: np.ndarray
    log_scale: np.ndarray
    gradient: np.ndarray


@jit
def _new_block(family, kind, lanes, n_tips, merges):
    n_site, n_kept, n_carried, n_gradient, n_wide = sizes(family)
    wide_lanes = VECTOR_BYTES // 8
    return _Block(
        np.empty(lanes, np.int64), np.empty((n_tips, lanes), np.uint8),
        np.full(n_tips + merges, -2, np.int32), np.zeros(n_tips + merges, kind),
        np.empty((merges, 2), np.int32), np.empty((merges, 2), kind),
        np.empty(merges, np.bool_), np.empty(merges, np.bool_),
        np.empty((n_wide * (lanes // wide_lanes), wide_lanes), np.float64),
        np.empty((n_site, lanes), kind), np.empty((4 * merges, lanes), kind),
        np.empty((2 * n_carried * merges, lanes), kind),
        np.empty((2 * n_kept * merges, lanes), kind), np.empty((merges, lanes), kind),
        np.empty((1, lanes), kind), np.empty((n_gradient, lanes), kind),
    )  # fmt: skip


@jit
def prune_share(family, columns, merges, limits, first, last):
    """Prune the blocks first..last-1 of the columns.

    Parameters
    ----------
    family : named tuple
    columns : Columns
    merges : Merges
    limits : Limits
    first, last : int
    """
    inputs, order = columns.inputs, columns.order
    lanes = VECTOR_BYTES // inputs.itemsize
    block = _new_block(family, inputs.dtype, lanes, columns.states.shape[1], merges.child.shape[0])
    n_merges, root = 0, 0
    for number in range(first, last):
        start = number * lanes
        used = min(lanes, len(order) - start)
        for lane in range(lanes):
            # Lanes without a column of their own repeat the last one.
            block.column[lane] = order[start + min(lane, used - 1)]
        fill_sites(family, inputs, block.column, block.wide, block.site)
        _read_states(columns.states, block.column, block.sets)
        n_merges, root = _prune_tree(merges, limits, block, n_merges, root)
        _forward(family, limits, n_merges, block)
        _root(root, block)
        _backward(family, n_merges, block)
        finish_gradients(
            family, block.wide, block.site, block.gradient, block.column, used, columns.gradient
        )
        for lane in range(used):
            columns.log_likelihood[block.column[lane]] = block.log_scale[0, lane]


@jit
def fill_species_keys(states, keys):
    """64 bits a column: which runs of neighbouring tips have a base. 0: none at all."""
    columns, n_tips = states.shape
    per_bit = 1
    while 64 * per_bit < n_tips:
        per_bit *= 2
    step = min(per_bit, 64)
    run = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - step)
    for column in range(columns):
        key = np.uint64(0)
        for first in range(0, n_tips, 64):
            known = _known_tips(states, column, first)
            for tip in range(first, min(first + 64, n_tips), step):
                is_known = np.uint64((known >> np.uint64(tip - first)) & run != 0)
                key |= is_known << np.uint64(tip // per_bit)
        keys[column] = key


@jit
def _known_tips(states, column, first):
    """Which of the tips first..first+63 have a base; first tip, bit 0."""
    n_tips = states.shape[1]
    if first + 64 <= n_tips:
        return known_bits(states, column, first)
    if n_tips >= 64:
        return known_bits(states, column, n_tips - 64) >> np.uint64(first + 64 - n_tips)
    known = np.uint64(0)
    for tip in range(n_tips):
        known |= np.uint64(states[column, tip] < 4) << np.uint64(tip)
    return known


@jit
def _read_states(states, columns, sets):
    """Transpose a block's states into sets of possible bases: one bit, or all for missing data."""
    n_tips, n_lanes = sets.shape
    if n_tips < 16 or n_lanes % 16:
        for lane in range(n_lanes):
            for tip in range(n_tips):
                state = states[columns[lane], tip]
                sets[tip, lane] = (1 << state) if state < 4 else 15
        return
    for lane in range(0, n_lanes, 16):
        for tip in range(0, n_tips, 16):
            # The last 16 tips overlap those before.
            transpose_sets(states, columns, lane, min(tip, n_tips - 16), sets)


@jit
def _prune_tree(merges, limits, block, n_merges, root):
    """Merges of the tree pruned to the tips that some lane has; their number, and the root's row.

    Where one side of a merge is absent the branches above and below it become one. What is given
    is the answer for the block before, which is right where this one has the same tips.
    """
    child, length, sets, row_of, extra = (
        merges.child, merges.length, block.sets, block.row_of, block.extra
    )  # fmt: skip
    rows, lengths, watched = block.rows, block.lengths, block.watched
    n_tips, n_lanes = sets.shape
    is_other = False
    for tip in range(n_tips):
        seen = 15
        for lane in range(n_lanes):
            seen &= sets[tip, lane]
        row = -1 if seen == 15 else tip
        is_other |= row != row_of[tip]
        row_of[tip] = row
    if not is_other:
        return n_merges, root
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
                    watched[row - n_tips] = lengths[n_merges, side] < limits.watched
            watched[n_merges] = False
            row_of[here] = n_tips + n_merges
            n_merges += 1
        elif left >= 0:
            row_of[here], extra[here] = left, left_length
        else:
            row_of[here], extra[here] = right, right_length
    return n_merges, row_of[n_tips + child.shape[0] - 1]


@jit
def _load_four(array, row):
    return load(array, row), load(array, row + 1), load(array, row + 2), load(array, row + 3)


@jit
def _store_four(array, row, values):
    store(array, row, values[0])
    store(array, row + 1, values[1])
    store(array, row + 2, values[2])
    store(array, row + 3, values[3])


@jit
def _vanished(product, a, b, limit):
    """Lanes where two positive factors have a product that is lost."""
    zero = spread(a, 0.0)
    return both(below(product, limit), both(below(zero, a), below(zero, b)))


@jit
def _forward(family, limits, n_merges, block):
    """Partials of every merge, rescaled by powers of two; log2 of the scale, NaN if lost."""
    rows, lengths, watched, rescaled = block.rows, block.lengths, block.watched, block.rescaled
    sets, partial, kept, scale = block.sets, block.partial, block.kept, block.scale
    carried = block.carried
    log_scale = block.log_scale
    site = load_site(family, block.site)
    _, n_kept, n_carried, _, _ = sizes(family)
    n_tips = sets.shape[0]
    like = load(block.site, 0)
    small, least = spread(like, limits.rescaled), spread(like, limits.lost)
    for lane in range(log_scale.shape[1]):
        log_scale[0, lane] = 0.0
    for k in range(n_merges):
        left = carry(
            site, exponentials(site, kept, 2 * n_kept * k, lengths[k, 0]),
            four_rows(rows[k, 0], n_tips, sets, partial, like),
        )  # fmt: skip
        right = carry(
            site, exponentials(site, kept, 2 * n_kept * k + n_kept, lengths[k, 1]),
            four_rows(rows[k, 1], n_tips, sets, partial, like),
        )  # fmt: skip
        if n_carried:
            _store_four(carried, 2 * n_carried * k, left)
            _store_four(carried, 2 * n_carried * k + n_carried, right)
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
            scaled = load(log_scale, 0) - log2_of_power(factor)
            store(log_scale, 0, where(lost, spread(like, np.nan), scaled))
            a, c, g, t = a * factor, c * factor, g * factor, t * factor
        _store_four(partial, 4 * k, (a, c, g, t))


@jit
def _root(root, block):
    """Log-likelihood in place of log2 of the scale; the root's adjoint in place of its partials."""
    sets, site_rows, partial = block.sets, block.site, block.partial
    log_scale, gradient_rows = block.log_scale, block.gradient
    n_tips = sets.shape[0]
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


@jit
def _backward(family, n_merges, block):
    """Adjoints from the root down, summed into the rows of the gradient."""
    rows, lengths, rescaled = block.rows, block.lengths, block.rescaled
    sets, partial, kept, scale = block.sets, block.partial, block.kept, block.scale
    carried = block.carried
    site = load_site(family, block.site)
    _, n_kept, n_carried, _, _ = sizes(family)
    n_tips = sets.shape[0]
    like = load(block.site, 0)
    sums = load_sums(site, block.gradient)
    for k in range(n_merges - 1, -1, -1):
        adjoint = _load_four(partial, 4 * k)
        if rescaled[k]:
            factor = load(scale, k)
            adjoint = (
                adjoint[0] * factor, adjoint[1] * factor, adjoint[2] * factor, adjoint[3] * factor
            )  # fmt: skip
        left_branch = load_exponentials(site, kept, 2 * n_kept * k)
        right_branch = load_exponentials(site, kept, 2 * n_kept * k + n_kept)
        left_partial = four_rows(rows[k, 0], n_tips, sets, partial, like)
        right_partial = four_rows(rows[k, 1], n_tips, sets, partial, like)
        if n_carried:
            left = _load_four(carried, 2 * n_carried * k)
            right = _load_four(carried, 2 * n_carried * k + n_carried)
        else:
            left = carry(site, left_branch, left_partial)
            right = carry(site, right_branch, right_partial)
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
    store_sums(site, block.gradient, sums)
