"""A pruning plan as arrays from which a GPU program makes the plan of the species it sees.

The compiled traversal wants every merge to find one of its children in registers. So merges are
put in depth-first order, the heavier side first: a merge directly follows the last merge of its
second side, and what its first side left in memory was written as lately as possible.

A program drops the species that none of its columns has, and every merge that is left with one
side. What it needs for that is counted along depth-first order: a clade is a range of tips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phylotools.phylogeny.kernels.plan import PruningPlan


@dataclass(frozen=True)
class TraversalLayout:
    """Merges and tips in depth-first order.

    Attributes
    ----------
    tip : ndarray of int32, shape (S,)
        Tip (column of the states) at each depth-first place.
    tip_depth : ndarray of float64, shape (S,)
        Distance from the root, in the same order.
    clade : ndarray of int32, shape (M, 3)
        Depth-first places of the tips below each merge: the first side's are ``clade[m, 0]`` to
        ``clade[m, 1]``, the second side's from there to ``clade[m, 2]``.
    first_merge : ndarray of int32, shape (M,)
        Merge that is the first side of each merge; the merge itself where that is a tip. The
        second side, where it is no tip, is the merge before.
    merge_depth : ndarray of float64, shape (M,)
    """

    tip: np.ndarray
    tip_depth: np.ndarray
    clade: np.ndarray
    first_merge: np.ndarray
    merge_depth: np.ndarray


def traversal_layout(plan: PruningPlan) -> TraversalLayout:
    """Put the merges of a plan in depth-first order, the heavier side first."""
    n_tips, n_merges = plan.n_tips, len(plan.child)
    size = np.ones(n_tips + n_merges, dtype=np.int64)
    for merge, (left, right) in enumerate(plan.child.tolist()):
        size[n_tips + merge] = size[left] + size[right]
    depth = _depths(plan)

    order: list[int] = []
    tip: list[int] = []
    clade = np.zeros((n_merges, 3), dtype=np.int32)
    first_merge = np.zeros(n_merges, dtype=np.int32)
    done = np.zeros(n_merges, dtype=np.int32)
    # (slot, sides already visited), deepest last
    stack = [(n_tips + n_merges - 1, 0)]
    while stack:
        slot, sides = stack.pop()
        if slot < n_tips:
            tip.append(slot)
            continue
        merge = slot - n_tips
        heavy_first = sorted(plan.child[merge].tolist(), key=lambda side: -size[side])
        clade[merge, sides] = len(tip)
        if sides < 2:
            stack += [(slot, sides + 1), (heavy_first[sides], 0)]
            continue
        done[merge] = len(order)
        first = heavy_first[0]
        first_merge[merge] = done[first - n_tips] if first >= n_tips else len(order)
        order.append(merge)
    return TraversalLayout(
        tip=np.array(tip, dtype=np.int32),
        tip_depth=depth[tip],
        clade=clade[order],
        first_merge=first_merge[order],
        merge_depth=depth[n_tips:][order],
    )


def _depths(plan: PruningPlan) -> np.ndarray:
    """Distance of every slot from the root, float64, shape (S + M,)."""
    depth = np.zeros(plan.n_tips + len(plan.child))
    for merge in range(len(plan.child) - 1, -1, -1):
        depth[plan.child[merge]] = depth[plan.n_tips + merge] + plan.branch_length[merge]
    return depth
