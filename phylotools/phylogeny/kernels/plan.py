"""A tree laid out for pruning: a list of two-child merges, children first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from phylotools.phylogeny.tree import Tree


@dataclass(frozen=True)
class PruningPlan:
    """Felsenstein's pruning as merges of two partial-likelihood vectors.

    A node with k > 2 children becomes k - 1 merges joined by branches of length zero, which is
    exact: P(0) is the identity. Nodes with one child are joined over.

    Slots 0..S-1 are the tips; slot S + m is the result of merge m. The last merge is the root.

    Attributes
    ----------
    child : ndarray of int32, shape (M, 2)
        Slots that each merge joins; M = S - 1.
    branch_length : ndarray of float64, shape (M, 2)
    n_tips : int
    """

    child: np.ndarray
    branch_length: np.ndarray
    n_tips: int

    @cached_property
    def levels(self) -> tuple[np.ndarray, ...]:
        """Merges grouped so that each group needs only earlier groups; int64 merge indices."""
        height = np.zeros(len(self.child), dtype=np.int64)
        for merge, pair in enumerate(self.child):
            below = [height[slot - self.n_tips] + 1 for slot in pair if slot >= self.n_tips]
            height[merge] = max(below, default=0)
        return tuple(np.flatnonzero(height == level) for level in range(height.max(initial=-1) + 1))


def make_plan(tree: Tree) -> PruningPlan:
    """Lay out `tree` for pruning; tips keep their order."""
    slot_of = {int(node): tip for tip, node in enumerate(tree.tip_nodes)}
    extra = dict.fromkeys(range(len(tree.names)), 0.0)
    child: list[tuple[int, int]] = []
    length: list[tuple[float, float]] = []
    for node in tree.postorder.tolist():
        below = tree.children[node]
        if not below:
            continue
        slot, above = slot_of[below[0]], _length_above(tree, below[0], extra)
        for other in below[1:]:
            child.append((slot, slot_of[other]))
            length.append((above, _length_above(tree, other, extra)))
            slot, above = tree.n_tips + len(child) - 1, 0.0
        slot_of[node] = slot
        extra[node] = above
    return PruningPlan(
        np.array(child, dtype=np.int32).reshape(-1, 2),
        np.array(length, dtype=np.float64).reshape(-1, 2),
        tree.n_tips,
    )


def _length_above(tree: Tree, node: int, extra: dict[int, float]) -> float:
    """Length of the branch above a node, with that of a lone child it stands for."""
    return float(tree.branch_length[node]) + extra[node]
