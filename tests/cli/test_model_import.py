from __future__ import annotations

import json

import pytest
from published_layouts import DATA, LAYOUTS
from sparse_genomes import write_sparse_fasta

from phylotools.cli.main import run
from phylotools.io.chromosomes import BY_NAME
from phylotools.model.settings import reference_of

pytestmark = pytest.mark.usefixtures("one_thread")
HG38, HG19 = ({"chr22": BY_NAME[name].lengths["22"]} for name in ("hg38", "hg19"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHYLOTOOLS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_by_name(cache, capsys, layout):
    assert run(["model", "import", str(DATA / layout), "--name", "phylo", "--licence", "CC0"]) == 0
    said = capsys.readouterr().err
    assert f"model phylo written to {cache / 'models' / 'phylo'}" in said
    assert "15,364 parameters; none of the published generations" in said
    assert run(["model", "list"]) == 0
    row = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("phylo\t"))
    assert row.split("\t")[2] == "hg38"
    assert run(["model", "verify", "phylo"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "checksums right" in first
    assert second.startswith("none of the published generations")
    assert run(["model", "info", "phylo"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["licence"] == "CC0"
    assert described["network"]["norm"] == LAYOUTS[layout]


def test_with_its_reference(cache, tmp_path, capsys):
    write_sparse_fasta(tmp_path / "hg38.fa", HG38)
    words = ["model", "import", str(DATA / "github_groupnorm"), "--name", "phylo", "-f", "hg38.fa"]
    assert run(words) == 0
    assert reference_of("phylo") == tmp_path / "hg38.fa"
    assert run(["model", "list"]) == 0
    assert f"\t{tmp_path / 'hg38.fa'}\t" in capsys.readouterr().out


def test_with_the_reference_of_another_assembly(cache, tmp_path, capsys):
    write_sparse_fasta(tmp_path / "hg19.fa", HG19)
    words = ["model", "import", str(DATA / "github_groupnorm"), "--name", "phylo", "-f", "hg19.fa"]
    assert run(words) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "model phylo is made for" in said
    assert not (cache / "models" / "phylo").exists()
    assert run([*words[:-1], "nowhere.fa"]) == 1
    assert not (cache / "models" / "phylo").exists()


def test_where_a_model_has_the_name(cache, capsys):
    words = ["model", "import", str(DATA / "huggingface_layernorm"), "--name", "phylo"]
    assert run(words) == 0
    assert run(words) == 1
    assert "already exists" in capsys.readouterr().err
    assert run([*words, "--force", "--revision", "second"]) == 0
    manifest = json.loads((cache / "models" / "phylo" / "manifest.json").read_text())
    assert manifest["revision"] == "second"
