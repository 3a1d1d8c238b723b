"""Random, damaged, deep and long Newick: the tree that was meant, or one line of error."""

from __future__ import annotations

import re
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.phylogeny import tree as tree_module
from phylotools.phylogeny.tree import Tree, parse_newick

MANY = settings(max_examples=100, deadline=None)
#: A node: name, length of the branch above it, children.
Node = tuple[str, float, list]

_MARKS = " \t\n.,:;()[]'\"_-|/é\u2028"
_names = st.text(st.sampled_from("abX09" + _MARKS), min_size=1, max_size=6)
_lengths = st.floats(0, 1e6, allow_subnormal=True)


def _nodes(children: st.SearchStrategy) -> st.SearchStrategy:
    inner = st.one_of(st.just(""), _names)
    return st.tuples(inner, _lengths, st.lists(children, min_size=1, max_size=4))


trees = st.recursive(st.tuples(_names, _lengths, st.just([])), _nodes, max_leaves=12)


def unique_tips(node: Node, taken: set[str]) -> Node:
    """The same tree, tips that share a name renamed."""
    name, length, children = node
    if not children:
        while name in taken:
            name += "'"
        taken.add(name)
    return name, length, [unique_tips(child, taken) for child in children]


@st.composite
def spelled(draw: st.DrawFn) -> tuple[Node, str]:
    """A tree and one of its spellings: quotes, blanks and comments wherever they may be."""
    root = unique_tips(draw(trees), set())

    def blank() -> str:
        return draw(
            st.sampled_from(["", "", "", "", " ", "\r\n\t", "[c (x,'y:1;]", " [&&NHX:S=a]"])
        )

    def name(text: str) -> str:
        if re.fullmatch(r"[abX09._|/é-]*", text) and draw(st.booleans()):
            return text
        return "'" + text.replace("'", "''") + "'" if text else ""

    def written(node: Node, is_root: bool) -> str:
        own, length, children = node
        inside = ",".join(written(child, False) for child in children)
        text = blank() + (f"({inside}{blank()})" if children else "") + blank() + name(own)
        return text + blank() + ("" if is_root else f":{blank()}{length!r}") + blank()

    return root, written(root, True) + draw(st.sampled_from([";", " ;\n", ";[end]"]))


def listed(root: Node) -> tuple[list[str], list[int], list[float]]:
    """Names, parents and lengths in preorder."""
    names: list[str] = []
    parents: list[int] = []
    lengths: list[float] = []
    pending = [(root, -1)]
    while pending:
        (name, length, children), parent = pending.pop()
        pending += [(child, len(names)) for child in reversed(children)]
        names.append(name)
        parents.append(parent)
        lengths.append(0.0 if parent < 0 else length)
    return names, parents, lengths


def assert_is(tree: Tree, names: list[str], parents: list[int], lengths: list[float]) -> None:
    assert list(tree.names) == names
    assert tree.parent.tolist() == parents
    assert tree.branch_length.tolist() == lengths


@MANY
@given(spelled())
def test_every_spelling_is_the_tree_that_was_meant(case):
    root, text = case
    tree = parse_newick(text)
    assert_is(tree, *listed(root))
    assert_is(parse_newick(tree.to_newick()), *listed(root))


@MANY
@given(spelled(), st.data())
def test_damaged_trees_are_read_or_refused(case, data):
    text = case[1]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.sampled_from([0, 1, 1, 3, 10]))
        scrap = data.draw(
            st.one_of(
                st.text(max_size=3), st.sampled_from([*"(),:;'[]", "nan", "1e999", "-1", "\0"])
            )
        )
        text = text[:at] + scrap + text[at + cut :]
    assert_read_or_refused(text)


def assert_read_or_refused(text: str) -> None:
    problem = None
    try:
        tree = parse_newick(text, path="t.nh")
    except InputError as error:
        problem = error
    if problem is not None:
        assert re.match(r"t\.nh:[0-9]+: ", str(problem))
        assert 1 <= problem.line <= text.count("\n") + 1
        assert problem.remedy
        assert len(str(problem)) < 400
        assert str(problem).isprintable()
        return
    assert len(set(tree.tips)) == tree.n_tips >= 1
    assert np.isfinite(tree.branch_length).all()
    assert (tree.branch_length >= 0).all()
    assert (tree.parent[1:] < np.arange(1, len(tree.names))).all()
    again = parse_newick(tree.to_newick())
    assert_is(again, list(tree.names), tree.parent.tolist(), tree.branch_length.tolist())


@MANY
@given(st.text(st.sampled_from("(),:;'[]a1.e-+ \n\0é"), max_size=60))
def test_any_text(text):
    assert_read_or_refused(text)


@settings(parent=MANY, max_examples=40)
@given(spelled())
def test_a_cut_tree_is_refused(case):
    root, text = case
    # No parenthesis in names: the last one closes the tree.
    assume(text.count(")") == len({parent for parent in listed(root)[1] if parent >= 0}))
    for cut in range(text.rfind(")") + 1):
        with pytest.raises(InputError):
            parse_newick(text[:cut])


CLOSED_TWICE = "(a:1,b:1));"
LINES = {
    "(a:1,\n(b:1,c:1),\nd:1);": 2,
    "(a:1,\n(b:1,c:1)\n n1,\nd:1);": 3,
    "(a:1,\nb:1,\n\na:2);": 4,
    "(a:1,\n:1);": 2,
    "(a:1,\nb);": 2,
    "((hg38:0,1\n,mm10:0,3):0,05,x:1);": 1,
    "#NEXUS\nbegin trees;": 1,
    "\n\n" + CLOSED_TWICE: 3,
}


@pytest.mark.parametrize(("text", "line"), LINES.items())
def test_errors_name_their_line(text, line):
    with pytest.raises(InputError) as caught:
        parse_newick(text, path="t.nh")
    assert caught.value.line == line


def test_remedies_that_fit():
    for text, remedy in {
        "(a:1,b:-1);": "write 0",
        "((a:0,1,b:0,1):0,05,c:0,3);": "not commas",
        "#nexus\n": "as Newick",
        "(a,b:1);": "substitutions per site",
    }.items():
        with pytest.raises(InputError, match=remedy):
            parse_newick(text)


LONG = {
    "a name": lambda: "('" + "x" * 2_000_000 + "':1,b:1);",
    "a plain name": lambda: "(" + "x" * 2_000_000 + ":1,b:1);",
    "a name of quotes": lambda: "('" + "''" * 1_000_000 + "':1,b:1);",
    "a comment": lambda: "(a:1[" + "(" * 2_000_000 + "],b:1);",
    "many comments": lambda: "(a:1" + "[]" * 250_000 + ",b:1);",
    "white space": lambda: "(a:1," + " " * 2_000_000 + "b:1);",
    "a number": lambda: "(a:0." + "1" * 250_000 + ",b:1);",
}
BAD_AND_LONG = {
    "open": lambda: "(" * 2_000_000,
    "open quotes": lambda: "(a:1,'" + "''" * 1_000_000,
    "open comment": lambda: "(a:1," + "[" * 2_000_000,
    "nested comments": lambda: "(a:1" + "[" * 250_000 + "]" * 250_000 + ",b:1);",
    "commas": lambda: "(" + "," * 2_000_000,
    "names": lambda: "a " * 1_000_000,
    "lines": lambda: "(a:1,b:1)\n" * 250_000,
    "a digit too many": lambda: "(a:1" + "0" * 250_000 + "x,b:1);",
    "a colon": lambda: "(a:" + ":" * 250_000,
}


@pytest.mark.parametrize("name", [*LONG, *BAD_AND_LONG])
def test_long_files_take_little_time(name):
    is_bad = name in BAD_AND_LONG
    text = (BAD_AND_LONG if is_bad else LONG)[name]()
    started = time.process_time()
    if is_bad:
        with pytest.raises(InputError) as caught:
            parse_newick(text)
        assert len(str(caught.value)) < 400
    else:
        assert parse_newick(text).n_tips == 2
    # A reader of quadratic time would need hours.
    assert time.process_time() - started < 20


def test_a_tree_of_too_many_nodes_ends_early(monkeypatch):
    monkeypatch.setattr(tree_module, "_MOST_NODES", 1000)
    tracemalloc.start()
    for text in ("(" * 5_000_000, "(a:1" + ",b:1" * 1_000_000):
        with pytest.raises(InputError, match="more than 1000 nodes"):
            parse_newick(text)
        # A hundred bytes a node would be 500 MB.
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()
    assert parse_newick("(" + ",".join(f"t{i}:1" for i in range(999)) + ");").n_tips == 999


@pytest.mark.parametrize("tips", [3000, 20_000])
def test_deep_trees_need_no_recursion(tips):
    text = "(" * (tips - 1) + "L0:1" + "".join(f",L{i}:1):0.5" for i in range(1, tips)) + ";"
    tree = parse_newick(text)
    assert tree.n_tips == tips
    assert parse_newick(tree.to_newick()).tips == tree.tips
    assert tree.prune(tree.tips[:2]).n_tips == 2
    chain = "(" * tips + "a:1" + ")n:1" * (tips - 1) + ");"
    assert parse_newick(chain).total_length == tips
