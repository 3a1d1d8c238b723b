from __future__ import annotations

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

from phylotools.errors import InputError, OutputError
from phylotools.phylogeny.tree import parse_newick
from phylotools.store.read import open_store
from phylotools.store.retree import write_with_tree


def refuse_link(source, target):
    raise OSError("no links here")


@pytest.mark.parametrize("has_links", [True, False])
def test_same_columns_another_tree(birds_store, tmp_path, monkeypatch, has_links):
    before = tmp_path / "before.store"
    shutil.copytree(birds_store, before)
    store = open_store(before)
    tree = dataclasses.replace(store.tree, branch_length=store.tree.branch_length * 2)
    if not has_links:
        monkeypatch.setattr(os, "link", refuse_link)
    write_with_tree(store, tree, tmp_path / "new.store")
    names = sorted(p.relative_to(before) for p in before.rglob("*"))
    assert (
        sorted(p.relative_to(tmp_path / "new.store") for p in tmp_path.rglob("new.store/**/*"))
        == names
    )
    shared = [
        os.path.samefile(before / name, tmp_path / "new.store" / name)
        for name in names
        if (before / name).is_file()
    ]
    assert sum(shared) == (len(shared) - 1 if has_links else 0)  # but for its own attributes
    expected = {region: store.bases(region) for region in store.covered_regions()}
    shutil.rmtree(before)
    new = open_store(tmp_path / "new.store")
    new.verify()
    np.testing.assert_array_equal(new.tree.branch_length, tree.branch_length)
    for region, bases in expected.items():
        np.testing.assert_array_equal(new.bases(region), bases)
    assert new.attributes["inputs"] == store.attributes["inputs"]
    # Who made the columns is not forgotten.
    assert new.attributes["run"]["parameters"]["columns_from"] == store.attributes["run"]


def test_the_same_tree_gives_the_same_store(birds_store, tmp_path):
    store = open_store(birds_store)
    write_with_tree(store, store.tree, tmp_path / "new.store")
    assert open_store(tmp_path / "new.store").fingerprint == store.fingerprint


def test_what_is_refused(birds_store, tmp_path):
    store = open_store(birds_store)
    first, *others = store.species
    turned = ",".join(f"{name}:1" for name in [*others, first])
    with pytest.raises(InputError, match="tips of the tree"):
        write_with_tree(store, parse_newick(f"({turned});"), tmp_path / "new.store")
    assert not (tmp_path / "new.store").exists()
    (tmp_path / "new.store").mkdir()
    (tmp_path / "new.store" / "mine").write_text("mine")
    for force in (False, True):
        with pytest.raises(OutputError):
            write_with_tree(store, store.tree, tmp_path / "new.store", force=force)
    assert (tmp_path / "new.store" / "mine").read_text() == "mine"


def test_an_older_store_is_replaced_when_forced(birds_store, tmp_path):
    store = open_store(birds_store)
    shutil.copytree(birds_store, tmp_path / "new.store")
    tree = dataclasses.replace(store.tree, branch_length=store.tree.branch_length * 3)
    write_with_tree(store, tree, tmp_path / "new.store", force=True)
    attributes = json.loads((tmp_path / "new.store" / "zarr.json").read_text())["attributes"]
    assert attributes["tree"] == tree.to_newick()
