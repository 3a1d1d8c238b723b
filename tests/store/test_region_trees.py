"""Tables of trees: what they may hold, and what is said of one that cannot be right."""

from __future__ import annotations

import gzip
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.provenance import sha256_file
from phylotools.store.read import open_store
from phylotools.store.region_trees import OWN_TREE, read_region_trees

WHOLE = "((X:1,Y:2):1,Z:3);"
OTHER = "((X:1,Z:2):1,Y:3);"


@pytest.fixture
def store(odd_store):
    """Contigs a (5) and b (20) of X (the reference), Y and Z."""
    return open_store(odd_store)


@pytest.fixture
def read(store, tmp_path):
    def read(text: str | bytes, **given):
        path = tmp_path / "trees.tsv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_region_trees(path, store, **given)

    return read


def test_both_forms_headers_and_comments(read, tmp_path):
    text = (
        "\ufeff# made by hand\ncontig\tstart\tend\tnewick\n\n"
        f"b\t3\t7\t{OTHER}\r\n#b\t0\t1\tno tree\nb\t7\t20\t{WHOLE}\n"
        f"a\t{OTHER}\n"
    )
    trees = read(text)
    assert trees.sha256 == sha256_file(tmp_path / "trees.tsv")
    assert len(trees) == 3
    assert len(trees.trees) == 2  # each once
    assert trees.index("b", np.arange(9)).tolist() == [OWN_TREE] * 3 + [0] * 4 + [1] * 2
    assert trees.index("a", np.arange(5)).tolist() == [0] * 5
    assert trees.index("none", np.arange(2)).tolist() == [OWN_TREE] * 2


@settings(deadline=None, max_examples=40)
@given(bounds=st.lists(st.integers(0, 20), min_size=2, max_size=12, unique=True))
def test_index_is_the_interval_that_holds_a_position(bounds):
    from phylotools.store.region_trees import RegionTrees

    edges = np.array(sorted(bounds)[: len(bounds) // 2 * 2], dtype=np.int64).reshape(-1, 2)
    trees = RegionTrees("", "", (), {"b": edges}, {"b": np.arange(len(edges))})
    for position in range(21):
        inside = [k for k, (start, end) in enumerate(edges) if start <= position < end]
        expected = inside[0] if inside else OWN_TREE
        assert trees.index("b", np.array([position])).tolist() == [expected]


def test_compressed_and_other_spellings(read):
    assert len(read(gzip.compress(f"chrb\t{WHOLE}\n".encode()))) == 1


def test_trees_are_pruned_to_a_clade(read):
    trees = read(f"a\t{WHOLE}\nb\t(X:1,Y:1);\n", species=("X", "Z"))
    assert [tree.to_newick() for tree in trees.trees] == ["(X:2.0,Z:3.0);", "X;"]


def test_rows_of_other_contigs_are_passed_over(read, caplog):
    with caplog.at_level(logging.WARNING):
        trees = read(f"a\t{WHOLE}\nc\t(no,species:1);\nc\t{WHOLE}\n")
    assert len(trees) == 1
    assert "2 trees passed over, of contigs that" in caplog.text
    assert "has not (c)" in caplog.text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no tree"),
        ("# nothing\n\ncontig\tnewick\n", "holds no tree"),
        (f"a {WHOLE}\n", ":1: 1 cell instead of 2 or 4; give contig and Newick tree"),
        (f"a\t0\t{WHOLE}\n", ":1: 3 cells instead of 2 or 4"),
        (f"\t{WHOLE}\n", ":1: 2 cells instead of 2 or 4"),
        (f"a\t{WHOLE}\nb\ttrees/b.nh\n", ":2: Newick: neither parentheses nor a closing ';'"),
        ("a\t((X:1,Y:2):1,Z:3\n", ":1: Newick: unbalanced parentheses"),
        ("a\t((X:1,Y:-2):1,Z:3);\n", "branch length -2 must be finite and not negative"),
        ("a\t((X:1,Y:nan):1,Z:3);\n", "branch length nan"),
        ("a\t((X,Y),Z);\n", "has no length"),
        ("a\t((X:1,X:2):1,Z:3);\n", "two tips are called X"),
        (f"a\t{WHOLE}{WHOLE}\n", "text after the end of the tree"),
        ("a\t((X:1,Y:2):1,W:3);\n", ":1: the tree has W, the store has not; give trees whose tips"),
        ("a\t(Y:1,Z:3);\n", ":1: the tree lacks the reference, X"),
        (f"b\t-1\t3\t{WHOLE}\n", ":1: '-1' and '3' are no start and end"),
        (f"b\t3\t3\t{WHOLE}\n", "'3' and '3' are no start and end"),
        (f"b\t5\t3\t{WHOLE}\n", "'5' and '3' are no start and end"),
        (f"b\t1e0\t3\t{WHOLE}\n", "'1e0' and '3'"),
        (f"b\t\u0663\t9\t{WHOLE}\n", "are no start and end"),
        (f"b\t0\t{'9' * 400}\t{WHOLE}\n", "are no start and end"),
        (f"b\t3\t21\t{WHOLE}\n", ":1: b:4-21 reaches beyond the contig's 20 positions"),
        (f"b\t0\t5\t{WHOLE}\nb\t4\t6\t{OTHER}\n", ":2: its region of b overlaps that of line 1"),
        (f"b\t4\t6\t{WHOLE}\nb\t0\t20\t{OTHER}\n", ":2: its region of b overlaps that of line 1"),
        (f"a\t{WHOLE}\na\t{WHOLE}\n", ":2: its region of a overlaps that of line 1"),
        (f"q\t{WHOLE}\n", "names contigs that .* has not .q.; compare them"),
        (b"a\t((X:1,Y:2):1,\xff\xfe:3);\n", ":1: is no text"),
    ],
)
def test_what_is_wrong_is_one_line(read, text, problem):
    with pytest.raises(InputError, match=problem) as raised:
        read(text)
    message = str(raised.value)
    assert "trees.tsv" in message
    assert "\n" not in message
    assert len(message) < 500


def test_hostile_trees_end_soon(read, monkeypatch):
    deep = "(" * 50_000 + "X:1" + ",Q:1):1" * 50_000 + ";"
    with pytest.raises(InputError, match="two tips are called Q"):
        read(f"a\t{deep}\n")
    monkeypatch.setattr("phylotools.store.region_trees._MOST_NODES", 12)
    assert len(read(f"a\t{WHOLE}\nb\t{WHOLE}\n")) == 2  # one tree
    with pytest.raises(InputError, match=":3: more than 12 nodes in all trees"):
        read(f"a\t{WHOLE}\nb\t0\t3\t{OTHER}\nb\t3\t4\t(X:1,Y:1,Z:1);\n")
    monkeypatch.setattr("phylotools.store.region_trees._LONGEST_LINE", 1 << 10)
    with pytest.raises(InputError, match="the line is longer than 1024 bytes"):
        read("a\t" + "(" * (1 << 23))
