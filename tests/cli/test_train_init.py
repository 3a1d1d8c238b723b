"""``phylotools train --init``: a configuration that training takes as it stands."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib

import pytest
from small_stores import change_attributes

from phylotools.cli.main import run

pytestmark = pytest.mark.usefixtures("one_thread")


def init(*arguments):
    return run(["train", "--init", *map(str, arguments)])


def errors(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]


def test_what_stands_on_stdout_is_checked_unchanged(birds_store, tmp_path, capsys, monkeypatch):
    """From the working folder, by a path that is relative to it."""
    shutil.copytree(birds_store, tmp_path / "columns.store")
    monkeypatch.chdir(tmp_path)
    assert init("columns.store") == 0
    told = capsys.readouterr()
    (tmp_path / "model.toml").write_text(told.out)
    assert tomllib.loads(told.out)["data"]["stores"] == ["columns.store"]
    assert "wrote a configuration in" in told.err
    assert run(["train", "model.toml", "--check"]) == 0
    assert "model.toml: no errors" in capsys.readouterr().err


def test_it_trains(mammals_store, tmp_path):
    """Cut short, and with a network of seconds: nothing else is changed."""
    assert init(mammals_store, "-o", tmp_path / "model.toml") == 0
    text = (tmp_path / "model.toml").read_text()
    short = text.replace('preset = "small"', 'preset = "tiny"').replace(
        "epochs = 100.0", "epochs = 3.0"
    )
    assert short.count("\n") == text.count("\n")
    (tmp_path / "model.toml").write_text(short)
    done = run(["train", str(tmp_path / "model.toml"), "-o", str(tmp_path / "run"), "-@", "1"])
    assert done == 0
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_a_file_elsewhere_and_a_summary(birds_store, tmp_path, capsys):
    (tmp_path / "sub").mkdir()
    shutil.copytree(birds_store, tmp_path / "columns.store")
    path, summary = tmp_path / "sub" / "model.toml", tmp_path / "summary.json"
    store = tmp_path / "columns.store"
    assert init(store, "-o", path, "--summary-json", summary) == 0
    assert capsys.readouterr().out == ""
    found = tomllib.loads(path.read_text())
    told = json.loads(summary.read_text())
    assert (told["verb"], told["outputs"]) == ("train", [str(path)])
    assert (told["stores"], told["chosen"]) == ([str(store)], found)
    before = path.read_text()
    assert init(store, "-o", path) == 1
    assert errors(capsys) == [f"error: {path}: already exists; give --force to replace it"]
    assert init(store, "-o", path, "--force") == 0
    assert path.read_text() == before


def test_bad_stores_are_one_line(birds_store, tmp_path, capsys):
    cut, newer = tmp_path / "cut", tmp_path / "newer"
    shutil.copytree(birds_store, cut)
    for path in (cut / "bases").rglob("*"):
        if path.is_file() and path.name != "zarr.json":
            path.write_bytes(path.read_bytes()[:-40])
    shutil.copytree(birds_store, newer)
    change_attributes(newer, lambda attributes: attributes.update(format_version=99))
    (tmp_path / "file").write_text("x")
    for store in (cut, newer, tmp_path, tmp_path / "absent", tmp_path / "file", "-"):
        assert init(store, "-o", tmp_path / "model.toml") == 1, store
        assert len(errors(capsys)) == 1, store
        assert not (tmp_path / "model.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--init"], "missing argument"),
        (["--init", "STORE", "STORE"], "given more than once"),
        (["--init", "STORE", "--check"], "--init excludes"),
        (["--init", "STORE", "--resume"], "--init excludes"),
        (["STORE"], "is a folder and no configuration; `phylotools train --init STORE...`"),
        (["a.toml", "b.toml"], "give one configuration, not 2 files"),
    ],
)
def test_bad_usage_is_one_line(birds_store, capsys, arguments, problem):
    given = [str(birds_store) if word == "STORE" else word for word in arguments]
    assert run(["train", *given]) == 2
    (error,) = errors(capsys)
    assert problem in error


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from phylotools.cli.main import run; run(['train', '-h']); "
        "sys.exit(bool({'torch', 'numba', 'numpy'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
