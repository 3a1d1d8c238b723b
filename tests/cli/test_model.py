from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from model_folders import draft
from sparse_genomes import write_sparse_fasta

from phylotools.cli.main import run
from phylotools.io.chromosomes import BY_NAME
from phylotools.model.folder import write_model

HG38 = {"chr22": BY_NAME["hg38"].lengths["22"]}


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A cache folder with the model `toy`, which lacks its reference."""
    monkeypatch.setenv("PHYLOTOOLS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cache" / "models").mkdir(parents=True)
    write_model(draft(facts={"assembly": "hg38"}), tmp_path / "cache" / "models" / "toy")
    return tmp_path / "cache"


def listed(capsys, column: str) -> dict[str, str]:
    """Of every model, what stands in a column of `model list`."""
    capsys.readouterr()
    assert run(["model", "list"]) == 0
    rows = csv.DictReader(capsys.readouterr().out.splitlines(), delimiter="\t")
    return {row["name"]: row[column] for row in rows}


def complaint(capsys, code: int, *arguments: str) -> str:
    """What a command that fails so says, in one line."""
    capsys.readouterr()
    assert run(list(arguments)) == code
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_use(cache, capsys, monkeypatch):
    assert set(listed(capsys, "default").values()) == {"no"}
    assert run(["model", "use", "toy"]) == 0
    assert [name for name, is_default in listed(capsys, "default").items() if is_default == "yes"]
    assert listed(capsys, "default")["toy"] == "yes"
    assert run(["model", "info"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"] == str(cache / "models" / "toy")
    monkeypatch.setenv("PHYLOTOOLS_MODEL", "dengue1509")
    assert listed(capsys, "default")["toy"] == "no"
    assert listed(capsys, "default")["dengue1509"] == "yes"
    assert run(["model", "use", "toy"]) == 0
    assert "PHYLOTOOLS_MODEL is set, and goes before it" in capsys.readouterr().err
    monkeypatch.delenv("PHYLOTOOLS_MODEL")
    assert run(["model", "use", "--none"]) == 0
    assert set(listed(capsys, "default").values()) == {"no"}


def test_use_of_a_folder_holds_from_everywhere(cache, tmp_path, monkeypatch, capsys):
    (cache / "models" / "toy").rename(tmp_path / "mine")
    assert run(["model", "use", "mine"]) == 0
    monkeypatch.chdir("/")
    assert "yes" not in listed(capsys, "default").values()
    capsys.readouterr()
    assert run(["model", "list"]) == 0
    assert f"the default is {tmp_path / 'mine'}: `phylotools model use`" in capsys.readouterr().err
    assert run(["model", "info"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"] == str(tmp_path / "mine")


def test_use_wants_a_model_or_none(cache, capsys):
    assert "give a model, or --none" in complaint(capsys, 2, "model", "use")
    assert "give a model, or --none" in complaint(capsys, 2, "model", "use", "toy", "--none")
    assert "models at hand: toy" in complaint(capsys, 1, "model", "use", "nonsense")
    (cache / "models" / "toy" / "weights.safetensors").write_bytes(b"")
    assert "wrong checksum" in complaint(capsys, 1, "model", "use", "toy")
    assert not (cache / "settings.json").exists()


def test_a_default_that_was_deleted(cache, tmp_path, capsys):
    assert run(["model", "use", "toy"]) == 0
    # A folder of that name where the user happens to be is not what was meant.
    (cache / "models" / "toy").rename(tmp_path / "toy")
    said = complaint(capsys, 1, "model", "info")
    assert "no model is called 'toy'" in said
    assert "`phylotools model use` names it" in said


def test_a_variable_that_names_nonsense(cache, monkeypatch, capsys):
    for name in ("nonsense", "/no/such/folder", "../toy", "a\tb\x1b[2J", "x" * 5000):
        monkeypatch.setenv("PHYLOTOOLS_MODEL", name)
        said = complaint(capsys, 1, "model", "info")
        assert "PHYLOTOOLS_MODEL names it" in said
        assert len(said) < 500
        assert said.strip().isprintable()


def test_set_reference(cache, tmp_path, capsys):
    assert listed(capsys, "reference")["toy"] == ""
    write_sparse_fasta(tmp_path / "hg38.fa", HG38)
    assert run(["model", "set-reference", "toy", "--fasta", "hg38.fa"]) == 0
    references = listed(capsys, "reference")
    assert references["toy"] == str(tmp_path / "hg38.fa")
    assert references["mammals671-mtdna"] == references["mammals-coding"] == "shipped"


def test_set_reference_refuses(cache, tmp_path, capsys):
    write_sparse_fasta(tmp_path / "hg19.fa", {"22": BY_NAME["hg19"].lengths["22"]})
    refused = ["model", "set-reference", "toy", "--fasta", "hg19.fa"]
    assert "hg19.fa: is hg19 (GRCh37)" in complaint(capsys, 1, *refused)
    assert "--fasta" in complaint(capsys, 2, "model", "set-reference", "toy")
    refused = ["model", "set-reference", "dengue1509", "--fasta", "hg19.fa"]
    assert "ships its sequence" in complaint(capsys, 2, *refused)
    assert not (cache / "settings.json").exists()


def test_damaged_settings_are_one_line(cache, capsys):
    (cache / "settings.json").write_text('{"version": 1, "default_model": "\\u001b[2J')
    for arguments in (["list"], ["info"], ["use", "toy"]):
        assert "settings.json: is damaged" in complaint(capsys, 1, "model", *arguments)
    assert run(["model", "info", "toy"]) == 0
