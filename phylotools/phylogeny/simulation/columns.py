"""Evolve alignment columns down a tree under any substitution model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.phylogeny.simulation import kernels
from phylotools.phylogeny.substitution import F81, SubstitutionModel
from phylotools.phylogeny.tree import Tree

#: More expected substitutions in one column than this are a mistake: every branch is saturated
#: long before.
MOST_SUBSTITUTIONS = 1e6


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by
class TreeWalk:
    """A tree as seen from one of its tips: every branch, and every clade, in preorder.

    Reversible models may start anywhere. From the reference species, the clade behind a branch is
    also what an insertion or a loss on that branch takes out of the alignment.

    Attributes
    ----------
    species : tuple of str
        Tips in the order in which they are met, the start first and its relatives next.
    tip_index : ndarray of int64, shape (S,)
        Place of each of them in the order of the tree.
    branch_length : ndarray of float64, shape (B,)
    clade_end : ndarray of int64, shape (B,)
        One past the last branch of the clade that branch b leads to.
    first_tip : ndarray of int64, shape (B + 1,)
        Clade b holds the tips ``first_tip[b]`` to ``first_tip[clade_end[b]] - 1`` of `species`.
    is_tip_branch : ndarray of bool, shape (B,)
    """

    species: tuple[str, ...]
    tip_index: NDArray[np.int64]
    branch_length: NDArray[np.float64]
    clade_end: NDArray[np.int64]
    first_tip: NDArray[np.int64]
    is_tip_branch: NDArray[np.bool_]

    @property
    def n_species(self) -> int:
        return len(self.species)

    def line(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where each branch begins if branches of such lengths lie end to end; shape (B + 1,)."""
        return np.concatenate([[0.0], np.cumsum(weights)])


def make_walk(tree: Tree, start: str | None = None) -> TreeWalk:
    """Lay out a tree as seen from a tip, by default the first.

    Raises
    ------
    InputError
        If it has no such tip, or no other.
    """
    start = tree.tips[0] if start is None else start
    if start not in tree.tips:
        raise InputError(f"the tree has no tip called {start}")
    if tree.n_tips < 2:
        raise InputError("the tree has one tip only", remedy="give a tree of two species or more")
    tip_of_node = {int(node): tip for tip, node in enumerate(tree.tip_nodes)}
    order: list[int] = []
    lengths: list[float] = []
    parents: list[int] = []
    first_node = int(tree.tip_nodes[tree.tips.index(start)])
    pending = [
        (int(tree.parent[first_node]), first_node, -1, float(tree.branch_length[first_node]))
    ]
    while pending:
        node, came_from, parent, length = pending.pop()
        branch = len(order)
        order.append(node)
        lengths.append(length)
        parents.append(parent)
        onward = [
            (child, node, branch, float(tree.branch_length[child]))
            for child in tree.children[node]
            if child != came_from
        ]
        above = int(tree.parent[node])
        if above >= 0 and above != came_from:
            onward.append((above, node, branch, float(tree.branch_length[node])))
        pending.extend(reversed(onward))
    is_tip = np.array([node in tip_of_node for node in order])
    clade_end = np.arange(1, len(order) + 1)
    for branch in range(len(order) - 1, 0, -1):
        clade_end[parents[branch]] = max(clade_end[parents[branch]], clade_end[branch])
    visited = [first_node, *(node for node in order if node in tip_of_node)]
    return TreeWalk(
        tuple(tree.names[node] for node in visited),
        np.array([tip_of_node[node] for node in visited]),
        np.array(lengths),
        clade_end,
        np.concatenate([[1], 1 + np.cumsum(is_tip)]),
        is_tip,
    )


@dataclass(frozen=True, eq=False)
class EvolvedColumns:
    """Columns without missing data.

    Attributes
    ----------
    states : ndarray of uint8, shape (C, S)
        Base codes 0..3.
    substitutions : ndarray of int64, shape (C,)
        How many happened on the whole tree, repeated and reversed ones included.
    """

    states: NDArray[np.uint8]
    substitutions: NDArray[np.int64]


def stream_key(seed: int, name: str = "") -> np.uint64:
    """Key of the random numbers of one contig.

    Parameters
    ----------
    seed : int
        Any.
    name : str
        Names of one seed have independent streams.
    """
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return np.uint64(int.from_bytes(digest[:8], "little"))


def evolve_columns(
    theta: torch.Tensor,
    tree: Tree,
    model: SubstitutionModel | None = None,
    *,
    seed: int = 1,
    start: int = 0,
) -> EvolvedColumns:
    """Draw columns from P(column | theta, tree), one for each site.

    Exact for every reversible rate matrix: substitutions happen after exponential waiting times.

    Parameters
    ----------
    theta : Tensor, shape (C, A)
        Sites, as the model reads them.
    tree : Tree
    model : SubstitutionModel, optional
        F81 unless given.
    seed : int
    start : int
        Number of the first column: columns of one seed and number are the same however many are
        asked for at once.

    Returns
    -------
    EvolvedColumns
        With species in the order of the tree's tips.

    Raises
    ------
    InputError
        If theta is not finite, or a site expects more than `MOST_SUBSTITUTIONS`.
    """
    walk = make_walk(tree)
    unknown = np.full(len(theta), 4, dtype=np.uint8)
    columns = evolve_along(
        walk, theta, model or F81(), key=stream_key(seed), start=start, start_states=unknown
    )
    states = np.empty_like(columns.states)
    states[:, walk.tip_index] = columns.states
    return EvolvedColumns(states, columns.substitutions)


def evolve_along(
    walk: TreeWalk,
    theta: torch.Tensor,
    model: SubstitutionModel,
    *,
    key: np.uint64,
    start: int,
    start_states: NDArray[np.uint8],
) -> EvolvedColumns:
    """As `evolve_columns`, with species in the order of the walk, the first of them perhaps given.

    Parameters
    ----------
    walk : TreeWalk
    theta : Tensor, shape (C, A)
    model : SubstitutionModel
    key : uint64
        From `stream_key`.
    start : int
        Position of the first column.
    start_states : ndarray of uint8, shape (C,)
        Base of the first species, given which the others are drawn; where it is not 0..3, it is
        drawn from the equilibrium frequencies.
    """
    with torch.inference_mode():
        sites = theta.double()
        rates = model.rate_matrix(sites).numpy()
        pi = model.log_equilibrium_frequencies(sites).exp().numpy()
    _check_rates(rates, float(walk.branch_length.sum()), start)
    columns = EvolvedColumns(
        np.empty((len(theta), walk.n_species), dtype=np.uint8),
        np.empty(len(theta), dtype=np.int64),
    )
    kernels.evolve(
        key,
        start,
        np.ascontiguousarray(start_states),
        np.ascontiguousarray(pi),
        np.ascontiguousarray(rates),
        walk.line(walk.branch_length),
        walk.clade_end,
        walk.first_tip,
        columns.states,
        columns.substitutions,
    )
    return columns


def _check_rates(rates: NDArray[np.float64], tree_length: float, start: int) -> None:
    """Refuse sites that would keep the simulator busy for ever."""
    fastest = -np.diagonal(rates, axis1=1, axis2=2).min(axis=1, initial=0.0)
    possible = np.isfinite(rates).all(axis=(1, 2)) & (fastest * tree_length <= MOST_SUBSTITUTIONS)
    if not possible.all():
        site = int((~possible).argmax())
        raise InputError(
            f"site {start + site + 1} has rates that are not finite, or expects more than "
            f"{MOST_SUBSTITUTIONS:,.0f} substitutions on the tree",
            remedy="choose smaller rates, or a tree in substitutions per site",
        )
