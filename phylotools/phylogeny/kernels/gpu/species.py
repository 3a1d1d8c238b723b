"""The plan of the species that a block of columns has, made by the program that prunes it.

Species that no column of the block has cost nothing: merges left with one side are dropped and
the branches above and below joined, which is exact since P(s) P(t) = P(s + t).

Every step is a vector operation over tips or merges in depth-first order, where a clade is a range
of tips: numbering what is kept is a running count, and the topmost kept merge of a clade with
several species is the last that was numbered in it. Threads read what others wrote only after a
barrier.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def reduced_plan(
    states, n_columns, n_tips, column, layout, rows, scratch, depths, record, length,
    BLOCK: tl.constexpr, CHUNK: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Write the block's states by tip, and its merges.

    Parameters
    ----------
    states : pointer to uint8, (C, S)
    column : (BLOCK,) int32
    layout : pointers to the arrays of `TraversalLayout`
    rows : pointer to uint8, (S, BLOCK)
        States: 0 to 3, or 4 for missing data.
    scratch : pointer to int32, (4, S + 1)
    depths : pointer to float64, (2, S + 1)
    record : pointer to int32, (S, 2)
        What each merge joins: a tip, or -1 for the merge before; a tip, or -1 - m for merge m.
    length : pointer to float, (S, 2)

    Returns
    -------
    tip : int
        First of the tips kept; any tip if there are none.
    merges : int
    blank : (BLOCK,) bool
        Columns without any species.
    """
    tip_order, tip_depth, clade, first_merge, merge_depth = layout
    present = scratch
    tips_until = scratch + (n_tips + 1)
    kept_tip = scratch + 2 * (n_tips + 1)
    merges_until = scratch + 3 * (n_tips + 1)
    kept_tip_depth = depths
    kept_merge_depth = depths + (n_tips + 1)

    fewest = _find_species(states, n_columns, n_tips, column, rows, present, BLOCK, ROWS)
    tl.debug_barrier()
    n_kept = _number_tips(
        n_tips, tip_order, tip_depth, present, tips_until, kept_tip, kept_tip_depth, CHUNK
    )
    tl.debug_barrier()
    n_merges = _number_merges(
        n_tips, clade, merge_depth, tips_until, merges_until, kept_merge_depth, CHUNK
    )
    tl.debug_barrier()
    _link_merges(
        n_tips, clade, first_merge, merge_depth, tips_until, merges_until, kept_tip,
        kept_tip_depth, kept_merge_depth, record, length, CHUNK,
    )  # fmt: skip
    tl.debug_barrier()
    return tl.load(kept_tip, mask=n_kept > 0, other=0), n_merges, fewest > 3


@triton.jit
def _find_species(
    states, n_columns, n_tips, column, rows, present, BLOCK: tl.constexpr, ROWS: tl.constexpr
):
    """Copy the states, note the tips that are there, and give the least state of each column."""
    inside = column < n_columns
    least = tl.full([ROWS, BLOCK], 4, tl.int32)
    place = column.to(tl.int64) * n_tips
    lane = tl.arange(0, BLOCK)
    for start in range(0, n_tips, ROWS):
        tip = start + tl.arange(0, ROWS)
        known = tip < n_tips
        state = tl.load(
            states + place[None, :] + tip[:, None], mask=known[:, None] & inside[None, :], other=4
        )
        state = tl.minimum(state, 4).to(tl.uint8)
        tl.store(rows + tip[:, None] * BLOCK + lane[None, :], state, mask=known[:, None])
        code = state.to(tl.int32)
        tl.store(present + tip, (tl.min(code, axis=1) < 4).to(tl.int32), mask=known)
        least = tl.minimum(least, code)
    return tl.min(least, axis=0)


@triton.jit
def _number_tips(
    n_tips, tip_order, tip_depth, present, tips_until, kept_tip, kept_tip_depth,
    CHUNK: tl.constexpr,
):  # fmt: skip
    count = 0
    tl.store(tips_until, 0)
    for start in range(0, n_tips, CHUNK):
        at = start + tl.arange(0, CHUNK)
        known = at < n_tips
        tip = tl.load(tip_order + at, mask=known, other=0)
        here = tl.load(present + tip, mask=known, other=0)
        until = count + tl.cumsum(here, axis=0)
        tl.store(tips_until + 1 + at, until, mask=known)
        tl.store(kept_tip + until - 1, tip, mask=here > 0)
        depth = tl.load(tip_depth + at, mask=known, other=0.0)
        tl.store(kept_tip_depth + until - 1, depth, mask=here > 0)
        count += tl.sum(here, axis=0)
    return count


@triton.jit
def _number_merges(
    n_tips, clade, merge_depth, tips_until, merges_until, kept_merge_depth, CHUNK: tl.constexpr
):
    count = 0
    for start in range(0, n_tips - 1, CHUNK):
        merge = start + tl.arange(0, CHUNK)
        known = merge < n_tips - 1
        low, middle, high = _kept_tips(clade, tips_until, merge, known)
        kept = ((low < middle) & (middle < high)).to(tl.int32)
        until = count + tl.cumsum(kept, axis=0)
        tl.store(merges_until + merge, until, mask=known)
        depth = tl.load(merge_depth + merge, mask=known, other=0.0)
        tl.store(kept_merge_depth + until - 1, depth, mask=kept > 0)
        count += tl.sum(kept, axis=0)
    return count


@triton.jit
def _kept_tips(clade, tips_until, merge, known):
    """Kept tips before the first side of merges, before the second, and before what follows."""
    low = tl.load(clade + 3 * merge, mask=known, other=0)
    middle = tl.load(clade + 3 * merge + 1, mask=known, other=0)
    high = tl.load(clade + 3 * merge + 2, mask=known, other=0)
    return tl.load(tips_until + low), tl.load(tips_until + middle), tl.load(tips_until + high)


@triton.jit
def _link_merges(
    n_tips, clade, first_merge, merge_depth, tips_until, merges_until, kept_tip,
    kept_tip_depth, kept_merge_depth, record, length, CHUNK: tl.constexpr,
):  # fmt: skip
    for start in range(0, n_tips - 1, CHUNK):
        merge = start + tl.arange(0, CHUNK)
        known = merge < n_tips - 1
        low, middle, high = _kept_tips(clade, tips_until, merge, known)
        kept = (low < middle) & (middle < high)
        number = tl.load(merges_until + merge, mask=kept, other=1) - 1
        above = tl.load(merge_depth + merge, mask=kept, other=0.0)

        lone = middle - low == 1
        below = tl.load(first_merge + merge, mask=kept, other=0)
        first = tl.load(merges_until + below, mask=kept & ~lone, other=1) - 1
        first_tip = tl.load(kept_tip + middle - 1, mask=kept & lone, other=0)
        first_depth = tl.where(
            lone,
            tl.load(kept_tip_depth + middle - 1, mask=kept & lone, other=0.0),
            tl.load(kept_merge_depth + first, mask=kept & ~lone, other=0.0),
        )
        # The second side was visited last: its topmost kept merge is the one before.
        alone = high - middle == 1
        second_tip = tl.load(kept_tip + high - 1, mask=kept & alone, other=0)
        second_depth = tl.where(
            alone,
            tl.load(kept_tip_depth + high - 1, mask=kept & alone, other=0.0),
            tl.load(kept_merge_depth + number - 1, mask=kept & ~alone, other=0.0),
        )
        # With one species on its second side, the merge before is that of the first side.
        left = tl.where(alone & lone, first_tip, -1)
        right = tl.where(alone, second_tip, tl.where(lone, first_tip, -1 - first))
        tl.store(record + 2 * number, left, mask=kept)
        tl.store(record + 2 * number + 1, right, mask=kept)
        kind = length.dtype.element_ty
        first_length = (first_depth - above).to(kind)
        second_length = (second_depth - above).to(kind)
        tl.store(length + 2 * number, tl.where(alone, first_length, second_length), mask=kept)
        tl.store(length + 2 * number + 1, tl.where(alone, second_length, first_length), mask=kept)
