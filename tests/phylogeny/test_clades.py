from __future__ import annotations

import pytest

from phylotools.errors import InputError
from phylotools.phylogeny.clades import clade_tips
from phylotools.phylogeny.tree import parse_newick

TREE = parse_newick("(((a:1,b:1)apes:1,c:1)monkeys:1,((d:1,e:1)x:1,(f:1,g:1)x:1):1,h:1)all;")


@pytest.mark.parametrize(
    ("names", "tips"),
    [
        (["apes"], "ab"),
        (["monkeys"], "abc"),
        (["all"], "abcdefgh"),
        (["a", "b"], "ab"),
        (["c", "a"], "abc"),
        (["e", "f"], "defg"),
        (["h", "a"], "abcdefgh"),
        (["g", "a", "e"], "aeg"),
        (["g", "a", "e", "a"], "aeg"),
    ],
)
def test_clades(names, tips):
    assert "".join(clade_tips(TREE, names)) == tips


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["a"], "no inner node 'a'"),
        (["primates"], "no inner node 'primates'"),
        (["x"], "more than one inner node 'x'"),
        (["a", "apes"], "no tip 'apes'"),
        (["a", "b", "y"], "no tip 'y'"),
        (["a", "a"], "needs two species"),
    ],
)
def test_what_is_no_clade(names, problem):
    with pytest.raises(InputError, match=problem):
        clade_tips(TREE, names)


def test_a_ladder_of_a_hundred_thousand_tips():
    size = 100_000
    text = "(" * (size - 1) + "t0:1" + "".join(f",t{i}:1):1" for i in range(1, size))
    tree = parse_newick(text + ";")
    assert len(clade_tips(tree, ["t10", "t500"])) == 501
