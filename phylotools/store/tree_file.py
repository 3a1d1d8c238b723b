"""Species trees from files."""

from __future__ import annotations

import os
import re

from phylotools.errors import InputError
from phylotools.io.files import open_input
from phylotools.phylogeny.tree import Tree, parse_newick

#: How a .mod file of phyloFit begins.
_PHAST_MODEL = re.compile(r"\s*ALPHABET:")
#: A tree of ten thousand species takes less than a megabyte.
_LARGEST_TREE = 1 << 26


def read_tree(path: str | os.PathLike[str], *, lengths_required: bool = True) -> Tree:
    """Read one Newick tree with branch lengths; plain, gzip or bgzip, ``-`` is stdin.

    With `lengths_required` false, those that are missing count as 0.
    """
    with open_input(path) as handle:
        data = handle.read(_LARGEST_TREE + 1)
    if len(data) > _LARGEST_TREE:
        raise InputError(
            f"is larger than {_LARGEST_TREE >> 20} MiB", path=path, remedy="give a Newick tree"
        )
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise InputError("is no text", path=path, remedy="give a Newick tree") from None
    if _PHAST_MODEL.match(text):
        raise InputError(
            "is a PHAST model, not a tree",
            path=path,
            remedy="give the tree in it: sed -n 's/^TREE: *//p' MODEL.mod > tree.nh",
        )
    return parse_newick(text, path=os.fspath(path), lengths_required=lengths_required)
