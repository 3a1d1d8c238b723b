"""Where in the tree a species' sequence fits, judged by its identity to all other species."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.phylogeny.tree import Tree
from phylotools.report.divergence import fit_divergence
from phylotools.store import schema
from phylotools.store.tree_scale import FEWEST_COLUMNS

#: Columns that are compared between all pairs: enough for 1 % of identity, and two matrix
#: products of a second for 450 species.
SAMPLED_COLUMNS = 20_000
#: More species would take gigabytes.
MOST_SPECIES = 4000
#: Pairs that the trend is fitted to.
_FITTED_PAIRS = 400
#: A wrong name brings unexpected likeness and unlikeness, several times, and most of them vanish
#: at the right place. Nuclear copies and poor assemblies are unlike at every place.
_FEWEST_CONFLICTS, _LEFT_OVER = 3, 0.25


@dataclass(frozen=True, eq=False)
class PairCounts:
    """Comparable and identical columns of every pair of species, in a sample.

    Attributes
    ----------
    comparable : int64 array [S, S]
        Columns in which both have A, C, G or T.
    identical : int64 array [S, S]
        Those in which they have the same.
    """

    comparable: NDArray[np.int64]
    identical: NDArray[np.int64]

    @classmethod
    def of(cls, columns: NDArray[np.uint8]) -> PairCounts:
        """Count over columns of store codes; uint8 array [L, S], L below 2 ** 24."""
        codes = columns & schema.CODE_MASK
        # Whole numbers below 2 ** 24 are exact as float32, whose products are fast.
        present = (codes < schema.N).astype(np.float32)
        comparable = present.T @ present
        identical = np.zeros_like(comparable)
        for base in range(schema.N):
            has = (codes == base).astype(np.float32)
            identical += has.T @ has
        return cls(comparable.astype(np.int64), identical.astype(np.int64))


@dataclass(frozen=True)
class Misplaced:
    """A species whose sequence fits another place of the tree.

    Attributes
    ----------
    species, place : int
        Index of the species, and of the tip at whose place it fits.
    conflicts, conflicts_there : int
        Other species to which its identity is not what the tree predicts, here and there.
    """

    species: int
    place: int
    conflicts: int
    conflicts_there: int


def find_misplaced(tree: Tree, pairs: PairCounts) -> list[Misplaced]:
    """Find species whose identity to the others is that expected of another tip.

    A wrong species conflicts with many, a right one only with the wrong: the species with most
    conflicts is taken out, until none has many.

    Parameters
    ----------
    tree : Tree
    pairs : PairCounts

    Returns
    -------
    list of Misplaced
        In the order of the tips.
    """
    distance = pair_distances(tree)
    usable = pairs.comparable >= FEWEST_COLUMNS
    np.fill_diagonal(usable, False)
    first, second = np.nonzero(np.triu(usable))
    if len(first) < tree.n_tips:
        return []
    chosen = np.linspace(0, len(first) - 1, min(len(first), _FITTED_PAIRS)).astype(int)
    at = first[chosen], second[chosen]
    curve = fit_divergence(distance[at], pairs.identical[at], pairs.comparable[at], np.full(4, 1))
    if not curve.is_fitted:
        return []
    expected = curve.trend(distance)
    identity = pairs.identical / np.maximum(pairs.comparable, 1)
    conflicts = np.where(usable, np.abs(identity - expected) > curve.tolerance, False)
    wrong = _most_conflicting(conflicts)
    right = np.setdiff1d(np.arange(tree.n_tips), wrong)
    found = []
    for species in sorted(wrong):
        partners = right[usable[species, right]]
        excess = identity[species, partners] - expected[:, partners]
        excess[partners, np.arange(len(partners))] = 0.0  # a tip says nothing of its own place
        like = (excess > curve.tolerance).sum(axis=1)
        unlike = (excess < -curve.tolerance).sum(axis=1)
        total = like + unlike
        # Of places that fit equally well, one whose own species is wrong too: a swap.
        is_right = np.isin(np.arange(tree.n_tips), right)
        place = int(np.lexsort((np.abs(excess).sum(axis=1), is_right, total))[0])
        if like[species] and unlike[species] and total[place] <= _LEFT_OVER * total[species]:
            found.append(Misplaced(species, place, int(total[species]), int(total[place])))
    return found


def _most_conflicting(conflicts: NDArray[np.bool_]) -> list[int]:
    """Species to take out, one after the other, until no one has several conflicts."""
    left = conflicts.copy()
    taken: list[int] = []
    while True:
        number = left.sum(axis=1)
        worst = int(number.argmax())
        if number[worst] < _FEWEST_CONFLICTS:
            return taken
        taken.append(worst)
        left[worst] = left[:, worst] = False


def pair_distances(tree: Tree) -> NDArray[np.float64]:
    """Distance along the tree between every two tips.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    float64 array [S, S]
        Substitutions per site.
    """
    distance = np.zeros((tree.n_tips, tree.n_tips))
    number = {int(node): index for index, node in enumerate(tree.tip_nodes)}
    #: Node -> its tips, and how far below it they are.
    below: dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
    for node in tree.postorder.tolist():
        if node in number:
            below[node] = np.array([number[node]]), np.zeros(1)
            continue
        tips, depths = np.zeros(0, dtype=np.int64), np.zeros(0)
        for child in tree.children[node]:
            others, further = below.pop(child)
            further = further + tree.branch_length[child]
            apart = depths[:, None] + further
            distance[np.ix_(tips, others)] = apart
            distance[np.ix_(others, tips)] = apart.T
            tips, depths = np.append(tips, others), np.append(depths, further)
        below[node] = tips, depths
    return distance
