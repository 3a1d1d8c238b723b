from __future__ import annotations

import pytest

from phylotools.phylogeny.tree import Tree, parse_newick


@pytest.fixture(scope="module")
def mammals(data) -> Tree:
    tree = parse_newick((data / "mammals671" / "mammals671.nh").read_text())
    return tree.with_minimum_branch_length(1e-6)
