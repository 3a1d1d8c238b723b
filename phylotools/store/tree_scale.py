"""Whether the branch lengths of a tree can be those of the columns beside it."""

from __future__ import annotations

import logging
import os
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.phylogeny.tree import Tree
from phylotools.store import schema
from phylotools.store.read import ColumnStore
from phylotools.store.spread import spread_chunks

logger = logging.getLogger("phylotools")

#: Substitutions per site that the columns show, divided by those of the tree. The medians of 17
#: real alignments lie between 0.3 (conserved exons, or saturated mitochondria) and 2.9
#: (mitochondria with a tree of nuclear DNA).
_LEAST_RATIO, _MOST_RATIO = 0.1, 10.0
#: Where the tips are equally far from the root, or all branches equally long, lengths may be times,
#: or nothing; the exons of 113 mammals with a tree in units of 100 million years have 0.11.
_LEAST_RATIO_OF_TIMES = 0.25
_EQUAL = 0.01
#: Below this the identity of a species says nothing: neighbouring columns share their constraint,
#: about 20 of them, so that its 95 % interval is wider than 0.4.
FEWEST_COLUMNS = 400
#: Chunks of columns that are looked at: 65,000 columns, of 447 species in a third of a second.
_CHUNKS = 32
#: Median substitutions per site to the reference beyond which lengths are hardly those: under F81
#: with equal frequencies two species then agree in 26 % of their bases, and chance makes it 25 %.
_SATURATED = 3.0
_UNIT = "give a tree whose branch lengths are expected neutral substitutions per site"
_REMEDY = f"{_UNIT}; `phylotools tree fit` makes one"


class ScaleProblem(NamedTuple):
    """Branch lengths that do not fit the columns: what was found, why that may be, what to do."""

    problem: str
    cause: str
    remedy: str


def scale_problem(
    tree: Tree,
    reference: str,
    identical: NDArray[np.int64],
    comparable: NDArray[np.int64],
    chance_identity: float,
) -> ScaleProblem | None:
    """Compare the branch lengths of a tree with the identities of its species to the reference.

    Parameters
    ----------
    tree : Tree
    reference : str
        A tip.
    identical, comparable : int64 arrays [S]
        Columns in which each tip and the reference have the same of A, C, G and T, and any.
    chance_identity : float
        Identity of random sequences.

    Returns
    -------
    ScaleProblem or None
        None where the lengths may be right, or too few columns are there to tell.
    """
    distance = tree.distances_from(reference)
    used = (comparable >= FEWEST_COLUMNS) & (np.array(tree.tips) != reference)
    if not used.any():
        return None
    distance, identical, comparable = distance[used], identical[used], comparable[used]
    identity = float(np.median(identical / comparable))
    seen = f"the species agree with the reference in {identity:.0%} of their bases (median)"
    if not distance.any() and (identical < comparable).any():
        cause = "a tree without branch lengths, or with lengths lost when it was converted"
        return ScaleProblem(f"every branch of the tree has length 0, but {seen}", cause, _REMEDY)
    expected = float(np.median(distance))
    differing = comparable - identical
    # Two standard deviations either way: few columns prove nothing.
    least = np.maximum(differing - 2 * np.sqrt(differing), 0) / comparable
    most = (differing + 2 * np.sqrt(differing + 1)) / comparable
    at = np.maximum(distance, 1e-300)
    low = float(np.median(_substitutions(least, chance_identity) / at))
    high = float(np.median(_substitutions(most, chance_identity) / at))
    lengths = tree.branch_length[1:]
    is_equal = len(lengths) > 2 and np.ptp(lengths) <= _EQUAL * lengths.max()
    is_clock = _is_clock(tree)
    allowed = _LEAST_RATIO_OF_TIMES if is_equal or is_clock else _LEAST_RATIO
    if high < allowed:
        which, times = "long", 1 / high
        cause = "lengths in percent or in another unit, or columns far more conserved than neutral"
        if is_equal:
            cause = "every branch is as long as the others: the tree has no branch lengths"
        elif is_clock:
            cause = "lengths are divergence times: all tips are equally far from the root"
        elif expected > _SATURATED:
            cause = "lengths are times (million years) or in another unit"
    elif low > _MOST_RATIO:
        which, times = "short", low
        cause = "lengths were divided, or are of another unit or kind of sequence"
    else:
        return None
    return ScaleProblem(
        f"the branches of the tree are about {times:,.0f} times too {which}: the median distance "
        f"to the reference is {expected:.3g}, but {seen}",
        cause,
        _REMEDY,
    )


def store_scale_problem(store: ColumnStore, tree: Tree | None = None) -> ScaleProblem | None:
    """The `scale_problem` that a sample of a store's columns shows.

    Parameters
    ----------
    store : ColumnStore
    tree : Tree, optional
        Of the same tips; by default the store's own.
    """
    identical, comparable, chance = _sampled_identity(store)
    tree = store.tree if tree is None else tree
    return scale_problem(tree, store.reference_species, identical, comparable, chance)


def warn_of_scale(
    store: ColumnStore, *, tree: Tree | None = None, name: str | os.PathLike[str] | None = None
) -> None:
    """Log a warning where a sample of a store's columns shows a `scale_problem`.

    Parameters
    ----------
    store : ColumnStore
    tree : Tree, optional
        Of the same tips; by default the store's own.
    name : str or PathLike, optional
        What the message calls the store.
    """
    found = store_scale_problem(store, tree)
    if found is not None:
        where = os.fspath(store.path if name is None else name)
        logger.warning("%s: %s; likely cause: %s; %s", where, *found)


def warn_of_saturation(tree: Tree, reference: str, name: str | os.PathLike[str]) -> None:
    """Log a warning where a tree alone, without columns, is too long to be in substitutions.

    Parameters
    ----------
    tree : Tree
    reference : str
        A tip.
    name : str or PathLike
        What the message calls the tree.
    """
    others = tree.distances_from(reference)[np.array(tree.tips) != reference]
    if len(others) and np.median(others) > _SATURATED:
        logger.warning(
            "%s: the median distance to %s is %.3g substitutions per site: the other species' "
            "bases are random; likely cause: lengths are times (million years) or in another "
            "unit; %s",
            os.fspath(name), reference, np.median(others), _UNIT,
        )  # fmt: skip


def _sampled_identity(
    store: ColumnStore,
) -> tuple[NDArray[np.int64], NDArray[np.int64], float]:
    """Identical and comparable columns of each species, and the chance identity, of a sample."""
    n_species = len(store.species)
    identical, comparable = np.zeros((2, n_species), dtype=np.int64)
    frequencies = np.zeros(4, dtype=np.int64)
    for region in spread_chunks(store, _CHUNKS):
        codes = store.bases(region) & np.uint8(schema.CODE_MASK)
        codes = codes[codes[:, store.reference_index] < schema.N]
        own = codes[:, store.reference_index]
        comparable += (codes < schema.N).sum(axis=0)
        identical += (codes == own[:, None]).sum(axis=0)
        frequencies += np.bincount(own, minlength=4)
    shares = frequencies / max(frequencies.sum(), 1)
    return identical, comparable, float((shares**2).sum())


def _substitutions(differing: NDArray[np.float64], chance: float) -> NDArray[np.float64]:
    """Substitutions per site that make a share of bases differ, under F81; never infinite."""
    left: NDArray[np.float64] = np.maximum(1 - differing / (1 - chance), 0.02)
    return -(1 - chance) * np.log(left)


def _is_clock(tree: Tree) -> bool:
    """Whether all tips are equally far from the root."""
    tips = tree.root_distance[tree.tip_nodes]
    return tree.n_tips > 2 and bool(np.ptp(tips) <= _EQUAL * tips.max())
