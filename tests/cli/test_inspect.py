from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from small_stores import change_attributes

from phylotools.cli.inspect import _lines
from phylotools.cli.main import run
from phylotools.report import REPORT


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


def test_names_stand_as_they_are_and_nothing_is_said_to_be_so():
    found = {"contigs": {"dengue_all": {"covered_sites": 3}}, "missing_files": [], "assembly": ""}
    assert _lines({**found, "limits": [0.0, 1.3862943611198906], "best_step": 0}) == [
        "contigs:",
        "  dengue_all:",
        "    covered sites: 3",
        "missing files: none",
        "assembly: -",
        "limits: 0, 1.38629",
        "best step: 0",
    ]


def test_a_work_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("t.nh").write_text("((A:0.4,B:0.3):0.2,C:0.8);")
    block = "a\ns A.1 {} 6 + 200000 CGTAAC\ns B.1 0 5 + 5 A-GTAC\ns C.1 0 6 + 6 CGTTAC\n\n"
    Path("a.maf").write_text("".join(block.format(6 * k) for k in range(25_000)))
    init = ["preprocess-init", "a.maf", "--tree", "t.nh", "--work", "w", "--partition-size", "1"]
    assert run([*init, "-q"]) == 0
    n = int(capsys.readouterr().out)
    assert run(["preprocess-partition", "w", "0", "1", "-q"]) == 0
    Path("w/pieces/000001/data.bin").write_bytes(b"x")
    assert run(["inspect", "w", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["partitions"], found["finished"]) == (
        "work folder of preprocess", n, 2,
    )  # fmt: skip
    assert (found["missing"], found["damaged"]) == (list(range(2, n)), [1])
    assert found["run"]["parameters"]["reference"] == "A"
    for damage in (b"", b"\xff", b"[]", b"{}"):
        Path("w/plan.json").write_bytes(damage)
        assert run(["inspect", "w"]) == 1
        (error,) = capsys.readouterr().err.splitlines()
        assert error.startswith("error: w/plan.json: is ")


def test_a_report_is_made_and_its_warnings_are_told(birds_store, tmp_path, capsys):
    store = shutil.copytree(birds_store, tmp_path / "s.store")
    change_attributes(store, lambda a: a["statistics"].update(unknown_sources={"Gallus": 5}))
    folder = tmp_path / "r"
    assert run(["inspect", str(store), "--report", str(folder), "--json", "-@", "2"]) == 0
    shown = capsys.readouterr()
    report = json.loads(shown.out)["report"]
    assert report["path"] == str(folder)
    assert {path.name for path in folder.iterdir()} == set(REPORT)
    assert report["findings"] == json.loads((folder / "report.json").read_text())["findings"]
    assert "warning: 5 rows of 1 name that is no tip" in shown.err
    assert "Remedy: " in shown.err
    assert f"{folder}/report.html" in shown.err
    # In text the findings are legible too.
    assert run(["inspect", str(store), "--report", str(folder), "--force"]) == 0
    assert "rows_without_tip" in capsys.readouterr().out


def test_an_older_report_is_kept_unless_forced(birds_store, tmp_path, capsys):
    folder = tmp_path / "r"
    folder.mkdir()
    (folder / "species.tsv").write_text("old")
    assert run(["inspect", str(birds_store), "--report", str(folder)]) == 1
    assert "--force" in capsys.readouterr().err
    assert (folder / "species.tsv").read_text() == "old"
    (folder / "mine").write_text("x")
    assert run(["inspect", str(birds_store), "--report", str(folder), "--force"]) == 1
    (folder / "mine").unlink()
    assert run(["inspect", str(birds_store), "--report", str(folder), "--force"]) == 0
    assert (folder / "species.tsv").read_text() != "old"


def test_only_column_stores_have_reports(tmp_path, capsys):
    (tmp_path / "manifest.json").write_text("{}")
    folder = tmp_path / "r"
    assert run(["inspect", str(tmp_path), "--report", str(folder)]) == 1
    error = capsys.readouterr().err
    assert "is no column store" in error
    assert error.count("\n") == 1
    assert not folder.exists()
    assert run(["inspect", str(tmp_path / "absent"), "--report", str(folder)]) == 1
    assert "does not exist" in capsys.readouterr().err
