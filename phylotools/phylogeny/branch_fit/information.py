"""What columns can say of branches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phylotools.phylogeny.tree import Tree

#: Columns that are looked at together: 2 bytes each and node.
_COLUMNS = 1024


def informative_columns(tree: Tree, states: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Columns with a base on both sides of each branch: the others do not depend on its length.

    Parameters
    ----------
    tree : Tree
    states : uint8 array [C, S]
        0..3 are bases.

    Returns
    -------
    int64 array [N]
        Of the branch above each node; 0 at the root.
    """
    counted = np.zeros(len(tree.names), dtype=np.int64)
    parent = tree.parent.tolist()
    for first in range(0, len(states), _COLUMNS):
        known = states[first : first + _COLUMNS] < 4
        below = np.zeros((len(tree.names), len(known)), dtype=np.uint16)
        below[tree.tip_nodes] = known.T
        for node in tree.postorder.tolist():
            if parent[node] >= 0:
                below[parent[node]] += below[node]
        counted += ((below > 0) & (below < below[0])).sum(axis=1)
    return counted
