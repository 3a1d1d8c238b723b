"""A tree laid out for pruning: a list of two-child merges, children first."""

from __future__ import annotations

from collections.abc import Sequence
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
    side_of_node : ndarray of int64, shape (N,)
        Of each node of the tree, the side of a merge (``2 merge + side``) that the branch above it
        is a part of; -1 at the root, and where only lone children lie between.
    species : ndarray of int64, shape (S,), or None
        Which of the species of a column are the tips, rising; None where all are.
    """

    child: np.ndarray
    branch_length: np.ndarray
    n_tips: int
    side_of_node: np.ndarray
    species: np.ndarray | None = None

    @cached_property
    def levels(self) -> tuple[np.ndarray, ...]:
        """Merges grouped so that each group needs only earlier groups; int64 merge indices."""
        height = np.zeros(len(self.child), dtype=np.int64)
        for merge, pair in enumerate(self.child):
            below = [height[slot - self.n_tips] + 1 for slot in pair if slot >= self.n_tips]
            height[merge] = max(below, default=0)
        return tuple(np.flatnonzero(height == level) for level in range(height.max(initial=-1) + 1))


@dataclass(frozen=True)
class ColumnPlans:
    """A plan for each of some columns, whose trees differ along the genome.

    Attributes
    ----------
    plans : tuple of PruningPlan
    of_column : ndarray of int64, shape (C,)
        Index in `plans` of each column's.
    """

    plans: tuple[PruningPlan, ...]
    of_column: np.ndarray

    @cached_property
    def groups(self) -> tuple[list[tuple[PruningPlan, int]], np.ndarray | None]:
        """Every plan in use with its number of columns, and the order that brings these together.

        The order is None where they are together already.
        """
        index = self.of_column
        order = None
        if (np.diff(index) < 0).any():
            order = np.argsort(index, kind="stable")
            index = index[order]
        used, counts = np.unique(index, return_counts=True)
        found = zip(used.tolist(), counts.tolist(), strict=True)
        return [(self.plans[number], count) for number, count in found], order


def make_plan(tree: Tree, species: Sequence[str] | None = None) -> PruningPlan:
    """Lay out `tree` for pruning.

    Parameters
    ----------
    tree : Tree
    species : sequence of str, optional
        Of a column, in order; every tip is one of them. The tips in their order unless given.
    """
    if species is None:
        of_tip, present = np.arange(tree.n_tips), None
    else:
        place = {name: index for index, name in enumerate(species)}
        own = np.array([place[name] for name in tree.tips], dtype=np.int64)
        present = None if tree.n_tips == len(species) else np.sort(own)
        of_tip = own if present is None else np.searchsorted(present, own)
    slot_of = dict(zip(tree.tip_nodes.tolist(), of_tip.tolist(), strict=True))
    # Of each node, the nodes whose branches lie above its slot: itself and lone children.
    above = {node: [node] for node in range(len(tree.names))}
    child: list[tuple[int, int]] = []
    sides: list[tuple[list[int], list[int]]] = []
    for node in tree.postorder.tolist():
        below = tree.children[node]
        if not below:
            continue
        slot, nodes = slot_of[below[0]], above[below[0]]
        for other in below[1:]:
            child.append((slot, slot_of[other]))
            sides.append((nodes, above[other]))
            slot, nodes = tree.n_tips + len(child) - 1, []
        slot_of[node] = slot
        above[node] = [*nodes, node]
    side_of_node = np.full(len(tree.names), -1, dtype=np.int64)
    length = np.zeros((len(child), 2))
    for merge, pair in enumerate(sides):
        for side, nodes in enumerate(pair):
            side_of_node[nodes] = 2 * merge + side
            length[merge, side] = sum(float(tree.branch_length[node]) for node in nodes)
    return PruningPlan(
        np.array(child, dtype=np.int32).reshape(-1, 2), length, tree.n_tips, side_of_node, present
    )
