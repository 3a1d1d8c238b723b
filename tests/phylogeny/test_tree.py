from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.phylogeny.tree import Tree, parse_newick

PLAIN = "((hg38:0.1,panTro6:0.2)Anc1:0.05,mm10:0.3)root;"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.rstrip(";"),
        "\ufeff" + PLAIN,
        "[&R] " + PLAIN,
        PLAIN.replace(")root", ")root:0.7"),
        PLAIN.replace(",", " ,\r\n\t"),
        PLAIN + "\r\n\r\n",
        PLAIN.replace("0.1", "0.1[&&NHX:S=human:D=N]").replace("hg38", "hg38[a (b, c;]"),
        PLAIN.replace("hg38", "'hg38'").replace(":", " : "),
        PLAIN.replace("0.1", "1e-1").replace("0.2", "+.2"),
    ],
    ids=str.encode,
)
def test_spellings_of_one_tree(text):
    tree = parse_newick(text)
    assert tree.tips == ("hg38", "panTro6", "mm10")
    assert tree.names == ("root", "Anc1", "hg38", "panTro6", "mm10")
    assert tree.parent.tolist() == [-1, 0, 1, 1, 0]
    np.testing.assert_array_equal(tree.branch_length, [0, 0.05, 0.1, 0.2, 0.3])
    assert (tree.parent.dtype, tree.branch_length.dtype) == (np.int32, np.float64)


def test_quoted_names_and_support_values():
    tree = parse_newick("(('a b:(c)''s':1,'[d]':2)0.98:3,'':4,e_1|x:5)100;".replace("'':4", "é:4"))
    assert tree.tips == ("a b:(c)'s", "[d]", "é", "e_1|x")
    assert tree.names[1] == "0.98"
    assert parse_newick(tree.to_newick()).names == tree.names


def test_postorder_puts_children_first():
    tree = parse_newick(PLAIN)
    place = {node: index for index, node in enumerate(tree.postorder.tolist())}
    assert sorted(place) == list(range(5))
    assert all(place[node] < place[parent] for node, parent in enumerate(tree.parent) if node)


def test_one_and_two_tips_and_single_children():
    assert parse_newick("hg38;").tips == ("hg38",)
    assert parse_newick("hg38:0.3;").total_length == 0
    assert parse_newick("(a:1,b:2);").n_tips == 2
    assert parse_newick("((a:1):2,b:3);").total_length == 6


BAD = {
    "extra close": "((a:1,b:1)):1,c:1);",
    "missing close": "((a:1,b:1):1,c:1;",
    "no length": "((a:1,b:1),c:1);",
    "no tip length": "(a,b:1);",
    "colon without length": "(a:1,b:);",
    "colon at the end": "(a:1,b:1):",
    "two lengths": "(a:1:2,b:1);",
    "two numbers": "(a:1 2,b:1);",
    "negative": "(a:-1,b:1);",
    "NaN": "(a:nan,b:1);",
    "infinite": "(a:inf,b:1);",
    "overflow": "(a:1e999,b:1);",
    "comma decimals": "((a:0,1,b:0,1):0,05,c:0,3);",
    "underscore number": "(a:1_0,b:1);",
    "quoted number": "(a:'1',b:1);",
    "duplicate tip": "((a:1,a:1):1,c:1);",
    "unnamed tip": "(a:1,:1);",
    "trailing comma": "(a:1,b:1,);",
    "no comma": "(a:1 b:1);",
    "name after length": "(a:1x,b:1);",
    "two trees": "(a:1,b:1);\n(a:1,b:1);",
    "two trees without semicolon": "(a:1,b:1)(a:1,b:1);",
    "open quote": "('a:1,b:1);",
    "open comment": "(a:1,b:1)[oops;",
    "stray bracket": "(a:1,b]:1);",
    "only semicolon": ";",
    "empty": "",
    "blank": " \r\n\t",
    "only comment": "[&R]",
    "a sequence": "ACGTACGT\n",
    "FASTA": ">hg38\nACGT\n",
    "MAF": "##maf version=1\na score=1\n",
    "NEXUS": "#NEXUS\nBegin trees;\n tree 1 = (a:1,b:1);\nEnd;\n",
    "binary": "\x89PNG\r\n\x1a\n\x00\x00",
    "NUL": "(a:1,b\x00:1);",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_bad_trees_are_one_line_errors(text):
    with pytest.raises(InputError) as caught:
        parse_newick(text, path="species.nh")
    assert str(caught.value).startswith("species.nh")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "branch"),
    [
        ("((a:1,(b:1,c:1):1),d:1);", "the ancestor of a and c"),
        ("(d:1,((a:1,b:1),c:1):1);", "the ancestor of a and b"),
        ("(a:1,(b:1,c:1)bc);", "bc"),
        ("(a:1,b);", "b"),
    ],
)
def test_a_branch_without_length_is_told_from_the_others(text, branch):
    with pytest.raises(InputError, match=f"the branch above {branch} has no length"):
        parse_newick(text)


def test_error_names_the_line():
    with pytest.raises(InputError, match=r"^t\.nh:3: "):
        parse_newick("(a:1,\nb:1,\nc:-1);", path="t.nh")


def caterpillar(tips: int) -> str:
    return "(" * (tips - 1) + "L0:1" + "".join(f",L{i}:1):0.5" for i in range(1, tips)) + ";"


@pytest.mark.parametrize("tips", [5_000, 100_000])
def test_deep_caterpillars_need_neither_recursion_nor_quadratic_time(tips):
    text = caterpillar(tips)
    started = time.process_time()
    tree = parse_newick(text)
    again = parse_newick(tree.to_newick())
    half = tree.prune(tree.tips[::2])
    assert time.process_time() - started < 10
    assert tree.n_tips == again.n_tips == tips
    np.testing.assert_array_equal(tree.branch_length, again.branch_length)
    assert half.n_tips == tips // 2


@pytest.mark.parametrize("text", ["(" * 1_000_000, "'" * 1_000_001, "[" * 1_000_000, ":" * 9**6])
def test_hostile_repetition_fails_fast(text):
    started = time.process_time()
    with pytest.raises(InputError):
        parse_newick(text)
    assert time.process_time() - started < 5


lengths = st.one_of(
    st.just(0.0), st.floats(0, 1e3, allow_subnormal=True), st.floats(1e-9, 10).map(float)
)


@st.composite
def newicks(draw, max_tips: int = 10) -> str:
    """Random trees of any shape, single children included; names with every awkward mark."""
    names = draw(
        st.lists(
            st.text(st.sampled_from("ab1_.'() :;,[]é\t\0"), min_size=1, max_size=4),
            min_size=1, max_size=max_tips, unique=True,
        )
    )  # fmt: skip
    parts = [_quoted(name) for name in names]
    spare = draw(st.integers(0, 2))
    while len(parts) > 1 or spare > 0:
        spare -= len(parts) == 1
        take = draw(st.integers(min(2, len(parts)), min(4, len(parts))))
        below = ",".join(f"{part}:{draw(lengths)!r}" for part in parts[:take])
        parts = [*parts[take:], f"({below})" + draw(st.sampled_from(["", "n1", "'x y'"]))]
    return parts[0] + ";"


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


@given(newicks())
def test_newick_round_trip(text):
    tree = parse_newick(text)
    again = parse_newick(tree.to_newick())
    assert again.names == tree.names
    np.testing.assert_array_equal(again.parent, tree.parent)
    np.testing.assert_array_equal(again.branch_length, tree.branch_length)


@given(st.text(alphabet="(),:;'[]a1.e- \n", max_size=40))
def test_any_text_is_a_tree_or_an_input_error(text):
    try:
        tree = parse_newick(text)
    except InputError:
        return
    assert tree.n_tips >= 1
    assert np.isfinite(tree.branch_length).all()


def path_length(tree: Tree, first: str, second: str) -> float:
    node_of = dict(zip(tree.tips, tree.tip_nodes.tolist(), strict=True))

    def ancestry(name: str) -> dict[int, float]:
        node, distance, above = node_of[name], 0.0, {}
        while node >= 0:
            above[node] = distance
            distance += float(tree.branch_length[node])
            node = int(tree.parent[node])
        return above

    one, two = ancestry(first), ancestry(second)
    return min(one[node] + two[node] for node in one.keys() & two.keys())


@given(newicks(), st.data())
def test_prune_keeps_path_lengths_and_order(text, data):
    tree = parse_newick(text)
    kept = data.draw(st.sets(st.sampled_from(tree.tips), min_size=1))
    pruned = tree.prune(kept)
    assert pruned.tips == tuple(name for name in tree.tips if name in kept)
    assert all(len(below) != 1 for below in pruned.children)
    for first in kept:
        for second in kept:
            assert math.isclose(
                path_length(pruned, first, second),
                path_length(tree, first, second),
                rel_tol=1e-9,
                abs_tol=1e-300,
            )


@pytest.mark.parametrize("kept", [[], ["hg38", "rn6"], ["Anc1"]])
def test_prune_refuses_what_is_no_tip(kept):
    with pytest.raises(InputError, match="prune"):
        parse_newick(PLAIN).prune(kept)


def test_minimum_branch_length():
    tree = parse_newick("((a:0,b:0.2):0,c:1e-9);").with_minimum_branch_length(1e-6)
    np.testing.assert_array_equal(tree.branch_length, [0, 1e-6, 1e-6, 0.2, 1e-6])


@pytest.mark.parametrize(
    ("name", "tips"),
    [
        ("mammals671/mammals671.nh", 671),
        ("birds53/53birds.nh", 53),
        ("oracle_likelihood/tree.nh", 53),
    ],
)
def test_real_trees(data, name, tips):
    tree = parse_newick((data / name).read_text())
    assert tree.n_tips == tips
    assert parse_newick(tree.to_newick()).tips == tree.tips


def test_trees_compare_without_error():
    tree = parse_newick(PLAIN)
    assert tree in [tree]
    assert tree != parse_newick(PLAIN)  # equal arrays are no promise of equal trees
