"""The proposed configuration is one that training takes as it stands."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_stores import Block, write_store

from phylotools.errors import InputError, UsageError
from phylotools.io.regions import Region
from phylotools.phylogeny.tree import parse_newick
from phylotools.proposal import document
from phylotools.proposal.document import propose_configuration
from phylotools.store.read import open_store
from phylotools.store.tree_scale import ScaleProblem
from phylotools.training.config_file import read_config
from phylotools.training.dataset import TrainingData

pytestmark = pytest.mark.usefixtures("one_thread")


def written(folder: Path, *stores):
    folder.mkdir(exist_ok=True)
    path = folder / "model.toml"
    path.write_text(propose_configuration([str(store) for store in stores], folder))
    return path


@pytest.mark.parametrize("fixture", ["birds_store", "mammals_store"])
def test_training_takes_it_unchanged(fixture, request, tmp_path):
    store = request.getfixturevalue(fixture)
    config = read_config(written(tmp_path / "sub", store))
    data = TrainingData(config)
    assert [path.resolve() for path in config.store_paths()] == [store.resolve()]
    (source,) = data.stores
    share = source.held_out.n_columns / (source.held_out.n_columns + source.training.n_columns)
    assert 0.05 < share < 0.15
    assert config.substitution.strand_symmetric is (fixture == "birds_store")


def test_several_stores(birds_store, mammals_store, tmp_path):
    path = written(tmp_path / "sub", birds_store, mammals_store)
    config = read_config(path)
    assert len(TrainingData(config).stores) == 2
    assert "The stores disagree" in path.read_text()


def test_it_says_what_is_held_out(birds_store, tmp_path):
    path = written(tmp_path / "sub", birds_store)
    source = TrainingData(read_config(path)).stores[0]
    held_out = list(source.regions(held_out=True))
    assert held_out
    text = " ".join(line.removeprefix("# ") for line in path.read_text().splitlines())
    assert "stretch" in text.partition("Never trained on: ")[2][:40]


def test_many_contigs_are_held_out_whole(tmp_path):
    rng = np.random.default_rng(1)
    tree = parse_newick("(a:0.1,b:0.2);")
    blocks = [
        Block(Region(f"g{k}", 0, 60), ("a", "b"), rng.integers(0, 4, (2, 60), np.uint8), 60)
        for k in range(50)
    ]
    write_store(tmp_path / "store", tree, "a", blocks)
    path = written(tmp_path / "sub", tmp_path / "store")
    assert "# Never trained on: 5 of 50 contigs, 10% of the columns" in path.read_text()
    source = TrainingData(read_config(path)).stores[0]
    assert source.held_out.n_columns == 300


def test_paths_are_as_the_file_sees_them(birds_store, tmp_path, monkeypatch):
    shutil.copytree(birds_store, tmp_path / "a b" / 'x"#.store')
    monkeypatch.chdir(tmp_path / "a b")
    here = propose_configuration(['x"#.store'], Path())
    (tmp_path / "a b" / "m.toml").write_text(here)
    assert read_config("m.toml").data.stores == ['x"#.store']
    assert read_config(written(tmp_path / "c", 'x"#.store')).data.stores == ['../a b/x"#.store']
    absolute = str(tmp_path / "a b" / 'x"#.store')
    assert read_config(written(tmp_path / "c", absolute)).data.stores == [absolute]


def test_names_cannot_leave_their_comments(tmp_path):
    name = 'c\n[run]\rseed = "\u2028\x1b \u202e'
    tree = parse_newick("(a:0.1,b:0.2);")
    bases = np.random.default_rng(1).integers(0, 4, (2, 900), np.uint8)
    write_store(tmp_path / "s", tree, "a", [Block(Region(name, 0, 900), ("a", "b"), bases, 900)])
    assert read_config(written(tmp_path / "sub", tmp_path / "s")).run.seed == 1


def test_what_is_odd_about_a_store_stands_at_the_head(birds_store):
    survey = document.survey_store(birds_store)
    problem = ScaleProblem("the branches are 100 times too long", "million years", "rescale it")
    odd = replace(survey, scale=problem, trainable=0.5, unknown=0.2, second_rows=0.3)
    text = " ".join(document._facts(odd))
    for part in (
        "CHECK THE TREE: the branches are 100 times too long",
        "Only 50%",
        "In 20%",
        "30%",
    ):
        assert part in text
        assert part not in " ".join(document._facts(survey))


def test_stores_that_cannot_be(birds_store, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(birds_store)
    with pytest.raises(UsageError, match="more than once"):
        propose_configuration([str(birds_store), str(link)], tmp_path)
    with pytest.raises(InputError):
        propose_configuration([str(tmp_path / "absent")], tmp_path)
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    shutil.copytree(birds_store, name)
    with pytest.raises(InputError, match="not UTF-8"):
        propose_configuration([name], tmp_path)


def test_the_same_store_gives_the_same_text(birds_store, tmp_path):
    texts = [propose_configuration([str(birds_store)], tmp_path) for _ in range(2)]
    assert texts[0] == texts[1]
    assert open_store(birds_store).reference_species in texts[0]
