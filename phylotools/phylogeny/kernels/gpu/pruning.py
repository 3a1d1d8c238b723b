"""Felsenstein's pruning forwards and back in one launch, the same for every family of models.

A family is a group of models with one closed form for P(t). The kernel is compiled with its five
functions:

- ``site(site_input, rate_input, column, inside)``: what the branches of a column share, pi first;
- ``carry(site, partial, t)``: P(t) L, from partials L (BLOCK, 4) at the lower end of a branch;
- ``start(site, grad_pi)``: the sums of the gradient, from what the root adds;
- ``back(site, sums, outer, partial, t)``: from the adjoint at the upper end of a branch that at its
  lower end, and the sums;
- ``finish(site, sums, good, value, site_gradient, rate_gradient, column, n_columns)``: write the
  gradient of the columns that are good, and say which are.

A program is one warp; a thread holds one column, its four bases side by side, so that sums over
bases stay in registers and a partial is one access of 16 bytes. Threads share nothing but the plan.

What binds it, for 447 species, float32 and F81 (counted in the code compiled for sm_90, not
measured):

- Instructions. A merge takes 149 forwards and 205 back, the plan of a block 6 % more; 132
  multiprocessors that issue four a cycle at 1.98 GHz do 200 million columns a second. This is the
  bound that is expected to hold. Exponentials are polynomials and in these counts; the
  special-function unit would take a tenth of the time, but gives no expm1.
- Memory. A merge writes its partials (16 bytes) forwards and reads them back. One child is found in
  registers, both ways; where the other is no tip, it is read once more forwards and back, and its
  adjoint written and read, mostly while still in the L2 cache. That is 14 KB a column, 23 KB if
  caches did nothing: 4.3 TB/s carry 190 to 300 million columns a second. So close to the first
  bound it would not pay to keep exponentials, nor to compute partials anew.
- Latency. 16 warps a multiprocessor, each with some 1000 cycles of waiting a merge, cover it; the
  two whose partials fitted into the cache (230 KB a program) would do 40 million columns a second.

"""

from __future__ import annotations

import triton
import triton.language as tl

from phylotools.phylogeny.kernels.gpu.arithmetic import power_scale
from phylotools.phylogeny.kernels.gpu.species import reduced_plan

_LOG_2 = tl.constexpr(0.6931471805599453)


@triton.jit(
    do_not_specialize=["n_columns", "n_tips", "n_blocks"],
    do_not_specialize_on_alignment=["states"],
)
def prune(
    states, site_input, rate_input, value, site_gradient, rate_gradient,
    tip_order, tip_depth, clade, first_merge, merge_depth,
    partials, rows, scratch, depths, records, lengths,
    n_columns, n_tips, n_blocks,
    SITE: tl.constexpr, CARRY: tl.constexpr, START: tl.constexpr, BACK: tl.constexpr,
    FINISH: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Log-likelihood and gradient of all columns.

    Parameters
    ----------
    states : pointer to uint8, (C, S)
    site_input, rate_input : pointers to float
        What a family of models reads of each site, and of the rates between bases.
    value : pointer to float, (C,)
        NaN, with gradient 0, for columns that leave the range of the numbers used here.
    site_gradient, rate_gradient : pointers to float
    tip_order, tip_depth, clade, first_merge, merge_depth : pointers
        `TraversalLayout`.
    partials : pointer to float, (programs, S, BLOCK, 4)
        By merge: its partials, then the adjoint of those.
    rows, scratch, depths, records, lengths : pointers
        For each program the memory of `species.reduced_plan`.
    SITE, CARRY, START, BACK, FINISH : functions of the family of models
    """
    layout = (tip_order, tip_depth, clade, first_merge, merge_depth)
    program = tl.program_id(0).to(tl.int64)
    partial = partials + program * (n_tips * BLOCK * 4)
    rows += program * (n_tips * BLOCK)
    scratch += program * (4 * (n_tips + 1))
    depths += program * (2 * (n_tips + 1))
    record = records + program * (2 * n_tips)
    length = lengths + program * (2 * n_tips)
    for block in range(tl.program_id(0), n_blocks, tl.num_programs(0)):
        column = block * BLOCK + tl.arange(0, BLOCK)
        only_tip, n_merges, blank = reduced_plan(
            states, n_columns, n_tips, column, layout, rows, scratch, depths, record, length,
            BLOCK, CHUNK, ROWS,
        )  # fmt: skip
        site = SITE(site_input, rate_input, column, column < n_columns)
        top, exponent, least = _forwards(
            site, only_tip, n_merges, partial, rows, record, length, CARRY, BLOCK
        )
        pi = site[0]
        total = tl.sum(pi * top, axis=1)
        tiny: tl.constexpr = 1.1754944e-38 if total.dtype == tl.float32 else 2.2250738585072014e-308
        good = (least >= tiny) & (total >= tiny) & ~blank
        inverse = tl.where(good, 1.0 / tl.where(good, total, 1.0), 0.0)
        sums = _backwards(
            site, START(site, top * inverse[:, None]), pi * inverse[:, None], n_merges, partial,
            rows, record, length, CARRY, BACK, BLOCK,
        )  # fmt: skip
        found = tl.log(tl.where(good, total, 1.0)) + exponent.to(total.dtype) * _LOG_2
        good = FINISH(site, sums, good, found, site_gradient, rate_gradient, column, n_columns)
        # Without any species the probability is 1, not 1 give or take a rounding error.
        found = tl.where(blank, 0.0, tl.where(good, found, float("nan")))
        tl.store(value + column, found, mask=column < n_columns)
        # The next block overwrites what all threads read.
        tl.debug_barrier()


@triton.jit
def _tip_partial(state, kind):
    """1 at a tip's base, everywhere for missing data, (BLOCK, 4)."""
    base = tl.arange(0, 4)[None, :]
    seen = (state[:, None] == base) | (state[:, None] > 3)
    return tl.where(seen, 1.0, 0.0).to(kind)


@triton.jit
def _children(merge, before, partial, rows, record, length, BLOCK: tl.constexpr):
    """Partials and branch lengths of a merge's two children; `before` is of the merge before.

    Missing data has a branch of length zero, so that it gives exactly 1 and no gradient.
    """
    lane = tl.arange(0, BLOCK)
    tile = lane[:, None] * 4 + tl.arange(0, 4)[None, :]
    left = tl.load(record + 2 * merge)
    right = tl.load(record + 2 * merge + 1)
    left_state = tl.load(rows + left * BLOCK + lane, mask=left >= 0, other=0)
    right_state = tl.load(rows + right * BLOCK + lane, mask=right >= 0, other=0)
    stored = tl.load(partial + (-1 - right) * (4 * BLOCK) + tile, mask=right < 0, other=0.0)
    left_partial = tl.where(left >= 0, _tip_partial(left_state, before.dtype), before)
    right_partial = tl.where(right >= 0, _tip_partial(right_state, before.dtype), stored)
    left_length = tl.where(left_state > 3, 0.0, tl.load(length + 2 * merge))
    right_length = tl.where(right_state > 3, 0.0, tl.load(length + 2 * merge + 1))
    return left, right, left_partial, right_partial, left_length, right_length


@triton.jit
def _forwards(
    site, only_tip, n_merges, partial, rows, record, length,
    CARRY: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Partials at the root, their exponent of two, and the least product that no zero explains."""
    lane = tl.arange(0, BLOCK)
    tile = lane[:, None] * 4 + tl.arange(0, 4)[None, :]
    kind = partial.dtype.element_ty
    # A block of one species has no merge: its root is that tip.
    below = _tip_partial(tl.load(rows + only_tip * BLOCK + lane), kind)
    exponent = tl.zeros([BLOCK], tl.int32)
    least = tl.full([BLOCK], 1.0, kind)
    for merge in range(n_merges):
        _, _, left, right, left_length, right_length = _children(
            merge, below, partial, rows, record, length, BLOCK
        )
        from_left = CARRY(site, left, left_length)
        from_right = CARRY(site, right, right_length)
        below = from_left * from_right
        # Zero is right where a branch of length zero excludes a base; elsewhere it is underflow.
        possible = tl.minimum(from_left, from_right) != 0
        least = tl.minimum(least, tl.min(tl.where(possible, below, 1.0), axis=1))
        scale, two = power_scale(below)
        below *= scale[:, None]
        exponent += two
        tl.store(partial + merge * (4 * BLOCK) + tile, below)
    return below, exponent, least


@triton.jit
def _backwards(
    site, sums, adjoint, n_merges, partial, rows, record, length,
    CARRY: tl.constexpr, BACK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The sums of the gradient over all branches."""
    lane = tl.arange(0, BLOCK)
    tile = lane[:, None] * 4 + tl.arange(0, 4)[None, :]
    here = partial + (n_merges - 1) * (4 * BLOCK) + tile
    # The merge before is nearly always a child: its partials are asked for one merge ahead.
    before = tl.load(here - 4 * BLOCK, mask=n_merges > 1, other=0.0)
    in_register = True
    for step in range(n_merges):
        merge = n_merges - 1 - step
        stored = tl.load(here, mask=in_register == 0, other=0.0)
        adjoint = tl.where(in_register, adjoint, stored)
        first, slot, left, right, left_length, right_length = _children(
            merge, before, partial, rows, record, length, BLOCK
        )
        here -= 4 * BLOCK
        before = tl.load(here - 4 * BLOCK, mask=merge > 1, other=0.0)
        from_left = CARRY(site, left, left_length)
        from_right = CARRY(site, right, right_length)
        scale, _ = power_scale(from_left * from_right)
        adjoint *= scale[:, None]
        to_right, sums = BACK(site, sums, adjoint * from_left, right, right_length)
        adjoint, sums = BACK(site, sums, adjoint * from_right, left, left_length)
        tl.store(partial + (-1 - slot) * (4 * BLOCK) + tile, to_right, mask=slot < 0)
        in_register = first < 0
    return sums
