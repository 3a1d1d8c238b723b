from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
from small_stores import build_store

from phylotools.cli.main import run
from phylotools.phylogeny.tree import parse_newick
from phylotools.store.read import open_store
from phylotools.store.tree_scale import scale_problem, warn_of_scale


def with_lengths(tree, lengths):
    lengths = np.array(lengths, dtype=float)
    lengths[0] = 0.0
    return dataclasses.replace(tree, branch_length=lengths)


def as_times(tree):
    """The same topology with all tips equally far from the root, 80 million years."""
    height = np.zeros(len(tree.names))
    for node in tree.postorder.tolist():
        height[node] = max((height[child] + 1 for child in tree.children[node]), default=0.0)
    height *= 80 / height[0]
    return with_lengths(tree, height[tree.parent] - height)


WRONG = {
    "hundred times": (lambda tree: tree.branch_length * 100, "another unit"),
    "a hundredth": (lambda tree: tree.branch_length / 100, "divided"),
    "all one": (lambda tree: np.ones(len(tree.names)), "no branch lengths"),
    "all zero": (lambda tree: np.zeros(len(tree.names)), "without branch lengths"),
    "million years": (lambda tree: as_times(tree).branch_length, "divergence times"),
}


@pytest.fixture(scope="module")
def primates_store(data, tmp_path_factory):
    """Mitochondrial DNA with a tree of nuclear DNA: three times as far as the tree says."""
    folder = data / "multiz30way_chrM"
    store = tmp_path_factory.mktemp("primates") / "s"
    build_store(
        folder / "chrM.multiz30way.maf.gz", folder / "hg38.30way.nh", store, drop_unknown=True
    )
    return store


@pytest.fixture(params=["birds_store", "mammals_store", "primates_store"])
def store(request):
    return open_store(request.getfixturevalue(request.param))


def test_real_trees_fit_their_columns(store, caplog):
    warn_of_scale(store)
    assert not caplog.records


@pytest.mark.parametrize("kind", WRONG)
def test_trees_of_another_scale_are_named(store, caplog, kind):
    lengths, cause = WRONG[kind]
    warn_of_scale(store, tree=with_lengths(store.tree, lengths(store.tree)), name="x.store")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("x.store: ")
    assert cause in record.getMessage()


TREE = parse_newick("((a:0.1,b:0.2):0.1,(c:0.1,d:0.3):0.2);")


@pytest.mark.parametrize(
    ("identical", "is_problem"),
    [
        ([399, 0, 0, 0], False),  # too few columns to tell
        ([10_000, 9_995, 9_994, 9_993], True),
        ([10_000, 7_800, 6_500, 6_000], False),
    ],
)
def test_what_the_identities_prove(identical, is_problem):
    comparable = np.full(4, identical[0])
    found = scale_problem(TREE, "a", np.array(identical), comparable, 0.25)
    assert (found is not None) == is_problem


def test_few_columns_of_close_species_prove_nothing():
    """All alike in 500 columns: 5 differences in a million are as possible as 1 in 1,000."""
    close = parse_newick("((a:1e-6,b:2e-6):1e-6,c:3e-6);")
    for differing in (0, 1):
        identical = np.array([500, 500 - differing, 500])
        assert scale_problem(close, "a", identical, np.full(3, 500), 0.25) is None


def test_trees_of_equal_branches_or_of_a_clock_may_be_right():
    equal = parse_newick("((a:0.1,b:0.1):0.1,(c:0.1,d:0.1):0.1);")
    assert scale_problem(equal, "a", np.array([999, 830, 700, 700]), np.full(4, 999), 0.25) is None


def test_every_verb_that_uses_the_tree_warns(birds_store, data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree = open_store(birds_store).tree
    (tmp_path / "t.nh").write_text(with_lengths(tree, tree.branch_length * 300).to_newick())
    (tmp_path / "c.toml").write_text(
        '[data]\nstores = ["s.store"]\n[network]\npreset = "tiny"\n'
        "[optimiser]\nsteps = 2\nwindow_length = 48\nwindows_per_batch = 2\n"
    )
    maf = data / "birds53" / "galGal6_cut.maf.gz"
    for arguments in (
        ["preprocess", str(maf), "--tree", "t.nh", "--unknown-species", "drop", "-o", "s.store"],
        ["train", "c.toml", "--check"],
        ["fit-sites", "s.store", "-o", "sites.tsv", "-@", "1"],
    ):
        assert run(arguments) == 0
        err = capsys.readouterr().err
        assert "s.store: the branches of the tree are about" in err
        assert "`phylotools tree fit` makes one" in err
    scaled = ["-o", "t.tsv", "-@", "1", "--neutral-scale", "0.00333"]
    assert run(["fit-sites", "s.store", *scaled]) == 0
    assert "branches of the tree" not in capsys.readouterr().err


@pytest.mark.parametrize(("factor", "is_told"), [(1, False), (2.5, False), (300, True)])
def test_simulate_warns_of_a_tree_whose_species_would_be_random(
    data, tmp_path, capsys, factor, is_told
):
    tree = parse_newick((data / "mammals671" / "mammals671.nh").read_text())
    (tmp_path / "t.nh").write_text(with_lengths(tree, tree.branch_length * factor).to_newick())
    arguments = ["simulate", str(tmp_path / "t.nh"), "--length", "3", "-o", str(tmp_path / "o.maf")]
    assert run([*arguments, "--reference", "Homo_sapiens", "-q"]) == 0
    err = capsys.readouterr().err
    assert ("times (million years)" in err) == is_told
    assert ("t.nh: the median distance to Homo_sapiens is 3" in err) == is_told
