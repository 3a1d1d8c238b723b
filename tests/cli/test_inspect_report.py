"""`phylotools inspect --report`."""

from __future__ import annotations

import json
import shutil

from small_stores import change_attributes

from phylotools.cli.main import run
from phylotools.report import REPORT


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
