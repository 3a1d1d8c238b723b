from __future__ import annotations

import json
import shutil

import pytest
from small_stores import change_attributes

from phylotools.cli.inspect import _lines
from phylotools.cli.main import run


@pytest.fixture
def store(birds_store, tmp_path):
    return shutil.copytree(birds_store, tmp_path / "s.store")


def rename_contig(store, name):
    change_attributes(store, lambda found: found["contigs"][0].update(name=name))


@pytest.mark.parametrize("name", ["\x1b[2J\x1b]0;title\x07", "a\nb", "\ud800", "chr\u202e1"])
def test_no_name_in_a_file_reaches_the_terminal_raw(store, name, capsys):
    rename_contig(store, name)
    assert run(["inspect", str(store)]) == 0
    shown = capsys.readouterr().out
    assert all(letter.isprintable() for letter in shown.replace("\n", ""))
    assert run(["inspect", str(store), "--json"]) == 0
    assert name in json.loads(capsys.readouterr().out)["contigs"]
    rename_contig(store, name)
    shutil.rmtree(store / "depth")
    assert run(["inspect", str(store)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.rstrip("\n").isprintable()


def test_a_pipe_for_metadata_is_not_waited_for(store, capsys):
    import os

    (store / "depth" / "zarr.json").unlink()
    os.mkfifo(store / "depth" / "zarr.json")
    assert run(["inspect", str(store)]) == 1
    assert "array depth" in capsys.readouterr().err


def test_lists_of_tables_are_shown_as_tables():
    assert _lines({"training_stores": [{"species": 3}, {"species": 4}]}) == [
        "training stores 1:",
        "  species: 3",
        "training stores 2:",
        "  species: 4",
    ]
