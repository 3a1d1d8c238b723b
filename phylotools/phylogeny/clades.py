"""Parts of a tree that have a common ancestor of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from phylotools.errors import InputError, shown
from phylotools.phylogeny.tree import Tree


def clade_tips(tree: Tree, names: Sequence[str]) -> tuple[str, ...]:
    """The tips that one, two or more names mean.

    Parameters
    ----------
    tree : Tree
        Rooted where ancestors are to be right.
    names : sequence of str
        The name of an inner node: the tips below it. Two tips: those below their last common
        ancestor. More tips: these alone.

    Returns
    -------
    tuple of str
        In the tree's order; at least two.

    Raises
    ------
    InputError
        If there is no such node or tip, several nodes have the name, or a tip stands alone.
    """
    if len(names) == 1:
        return _below(tree, _inner_node(tree, names[0]))
    for name in names:
        if name not in tree.tips:
            raise InputError(f"the tree has no tip '{shown(name)}'")
    if len(set(names)) < 2:
        raise InputError("a clade needs two species", remedy="name two, or an inner node")
    if len(names) == 2:
        return _below(tree, _last_common_ancestor(tree, *names))
    chosen = set(names)
    return tuple(tip for tip in tree.tips if tip in chosen)


def _inner_node(tree: Tree, name: str) -> int:
    found = [
        node
        for node, (own, below) in enumerate(zip(tree.names, tree.children, strict=True))
        if own == name and below
    ]
    if len(found) == 1:
        return found[0]
    problem = "no" if not found else "more than one"
    raise InputError(
        f"the tree has {problem} inner node '{shown(name)}'",
        remedy="name two species instead, whose last common ancestor's clade is meant",
    )


def _last_common_ancestor(tree: Tree, one: str, other: str) -> int:
    parent = tree.parent.tolist()
    first, second = (int(tree.tip_nodes[tree.tips.index(name)]) for name in (one, other))
    # Parents come before their children: the later of two nodes is never an ancestor of the other.
    while first != second:
        if first > second:
            first = parent[first]
        else:
            second = parent[second]
    return first


def _below(tree: Tree, node: int) -> tuple[str, ...]:
    is_below = np.zeros(len(tree.names), dtype=bool)
    is_below[node] = True
    for child, above in enumerate(tree.parent.tolist()):
        if above >= 0 and is_below[above]:
            is_below[child] = True
    return tuple(tree.names[tip] for tip in tree.tip_nodes.tolist() if is_below[tip])
