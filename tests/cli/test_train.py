"""``phylotools train`` and ``phylotools model``; training in real processes, which are killed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import tomli_w
from only_error import only_error
from small_stores import change_attributes
from waiting import PATIENCE, wait_until

from phylotools.cli.main import run

DATA = Path(__file__).parents[1] / "data"
RUN = (
    *("checkpoint.safetensors", "held_out_regions.bed", "metrics.tsv"),
    *("site_fits.safetensors", "speed.tsv", "training_regions.bed"),
)


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def process(*arguments: object) -> Done:
    """Run the program as a shell would."""
    done = subprocess.run(
        [sys.executable, "-m", "phylotools", *map(str, arguments)],
        capture_output=True, text=True, timeout=PATIENCE, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


def phylotools(*arguments: object) -> Done:
    """Run one command here, without paying for the imports again."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    return Done(code, out.getvalue(), err.getvalue())


def complained(done: Done, *expected: str, code: int = 1) -> None:
    assert done.returncode == code, done.stderr
    only_error(done.stdout, done.stderr, *expected, among_others=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory, mammals_store) -> Path:
    """A configuration, a complete run of it and the model made from that run."""
    folder = tmp_path_factory.mktemp("train")
    tables = {
        "data": {"stores": [str(mammals_store)], "held_out_regions": ["chrM:10500-10600"]},
        "network": {"preset": "tiny", "channels": 8, "bottleneck": 4, "dilations": [1, 2]},
        "optimiser": {"steps": 90, "windows_per_batch": 4, "window_length": 48},
        "run": {"log_every": 1, "evaluate_every": 30, "checkpoint_every": 15},
    }
    (folder / "config.toml").write_text(tomli_w.dumps(tables))
    summary = folder / "summary.json"
    done = process(
        "train", folder / "config.toml", "-o", folder / "run", "-@", 1, "--device", "cpu",
        "--summary-json", summary,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "trained 90 steps" in done.stderr
    assert json.loads(summary.read_text())["steps"] == 90
    done = phylotools("model", "export", folder / "run", "-o", folder / "toy", "--name", "toy")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_run_holds_its_files_and_a_lock(place):
    assert sorted(path.name for path in (place / "run").iterdir()) == sorted([*RUN, ".lock"])
    modes = {path.stat().st_mode & 0o777 for path in (place / "run").iterdir()}
    assert len(modes) == 1  # as the umask says, all of them
    assert len((place / "run" / "metrics.tsv").read_text().splitlines()) == 91


#: Trains, and waits for its end before a step.
WAITS = """
import sys, time
from phylotools.cli.main import main
from phylotools.training.loop import Trainer

last, step = int(sys.argv.pop(1)), Trainer._step

def waiting(trainer, *arguments):
    while trainer.progress.step == last:
        time.sleep(0.1)
    return step(trainer, *arguments)

Trainer._step = waiting
main()
"""


def test_killed_and_resumed_equals_uninterrupted(place, tmp_path):
    """Somewhere in the fifteen steps that follow a random one."""
    train = [
        "train", str(place / "config.toml"), "-o", str(tmp_path / "run"), "-@", "1",
        "--device", "cpu",
    ]  # fmt: skip
    command = [sys.executable, "-m", "phylotools", *train]
    metrics = tmp_path / "run" / "metrics.tsv"
    kill_after = random.randint(1, 70)
    process = subprocess.Popen([sys.executable, "-c", WAITS, str(kill_after + 15), *train])
    try:
        wait_until(
            lambda: metrics.exists() and metrics.read_text().count("\n") > kill_after,
            process, 0.002,
        )  # fmt: skip
        time.sleep(random.random() * 0.1)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert metrics.read_bytes() == (place / "run" / "metrics.tsv").read_bytes(), kill_after
    assert {path.name for path in (tmp_path / "run").iterdir()} == {*RUN, ".lock"}


def test_damaged_figures_are_one_line(place, tmp_path):
    run = shutil.copytree(place / "run", tmp_path / "run")
    shutil.copy(DATA / "damaged" / "metrics_not_utf8.tsv", run / "metrics.tsv")
    for arguments in (
        ["train", place / "config.toml", "-o", run, "--resume", "--device", "cpu"],
        ["inspect", run],
    ):
        complained(phylotools(*arguments), f"{run}/metrics.tsv: is damaged: it is not UTF-8 text")
    (run / "metrics.tsv").unlink()
    done = phylotools("train", place / "config.toml", "-o", run, "--resume", "--device", "cpu")
    assert done.returncode == 0, done.stderr


def test_inspect_describes_a_run(place):
    found = json.loads(phylotools("inspect", place / "run", "--json").stdout)
    assert (found["kind"], found["step"], found["complete"]) == ("training run", 90, True)
    assert found["steps_to_do"] == 90
    header, *rows = (place / "run" / "metrics.tsv").read_text().splitlines()
    last = dict(zip(header.split("\t"), rows[-1].split("\t"), strict=True))
    for figure in ("loss", "evaluation_held_out_columns", "null_tree"):
        assert found["last_figures"][figure] == float(last[figure])
    assert found["best_step"] % 30 == 0
    assert "last figures:\n" in phylotools("inspect", place / "run").stdout


def test_check_finds_nothing(place):
    done = process("train", place / "config.toml", "--check")
    assert done.returncode == 0
    assert done.stdout == ""
    assert "no errors" in done.stderr


def test_check_lists_all_errors(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text('[data]\nstores = ["nowhere"]\n[run]\nsead = 1\n[optimiser]\nsteps = 0\n')
    done = phylotools("train", path, "--check")
    complained(
        done, str(path), "nowhere", "run.sead (did you mean seed?)",
        "optimiser.steps must be above 0",
    )  # fmt: skip
    assert [entry.name for entry in tmp_path.iterdir()] == ["bad.toml"]


def test_check_looks_at_the_data(place, tmp_path):
    text = (place / "config.toml").read_text().replace("chrM:", "chr7:")
    (tmp_path / "config.toml").write_text(text)
    complained(phylotools("train", tmp_path / "config.toml", "--check"), "held_out_regions")


def test_check_verifies_the_stores(place, tmp_path, mammals_store):
    store = tmp_path / "damaged.store"
    shutil.copytree(mammals_store, store)
    change_attributes(store, lambda attributes: attributes["sha256"].update(bases="0" * 64))
    text = (place / "config.toml").read_text().replace(str(mammals_store), str(store))
    (tmp_path / "config.toml").write_text(text)
    done = phylotools("train", tmp_path / "config.toml", "--check")
    complained(done, "the checksum of array bases")


def test_summary_refusals(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(place / "config.toml", tmp_path)
    (tmp_path / "old.json").write_text("mine")
    for name, code, expected in (
        ("-", 2, "the name of a file"),
        ("config.toml", 2, "the output is the input"),
        ("run", 2, "name the same file"),
        ("a/b.json", 1, "does not exist"),
        ("old.json", 1, "give --force"),
    ):
        done = phylotools("train", "config.toml", "-o", "run", "--summary-json", name)
        complained(done, expected, code=code)
    done = phylotools("train", "config.toml", "-o", "run", "--force", "--summary-json", "/dev/null")
    complained(done, "no regular file")
    done = phylotools(
        "train", "config.toml", "-o", "run", "--force", "--summary-json", "config.toml"
    )
    complained(done, "the output is the input", code=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.toml", "old.json"]


@pytest.mark.parametrize(
    "command",
    [
        ["preprocess", "in", "--tree", "t", "-o", "out"],
        ["annotate", "in", "-o", "out"],
        ["evaluate", "in", "--label-column", "a", "--positive", "1", "--negative", "0",
         "--score", "s"],
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_every_verb_keeps_its_input_from_the_summary(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").write_text("mine")
    complained(phylotools(*command, "--summary-json", "in"), "the output is the input", code=2)
    (tmp_path / "old").write_text("mine")
    complained(phylotools(*command, "--summary-json", "old"), "already exists")


def test_an_existing_run_is_refused(place):
    before = (place / "run" / "metrics.tsv").read_bytes()
    done = phylotools("train", place / "config.toml", "-o", place / "run", "-@", 1)
    complained(done, "a run is here already", "--resume", "--force")
    assert (place / "run" / "metrics.tsv").read_bytes() == before


def test_another_configuration_is_refused(place, tmp_path):
    text = (place / "config.toml").read_text().replace("steps = 90", "steps = 91")
    (tmp_path / "config.toml").write_text(text)
    done = phylotools("train", tmp_path / "config.toml", "-o", place / "run", "--resume", "-@", 1)
    complained(done, "optimiser.steps changed")


def test_a_complete_run_is_extended(place, tmp_path):
    shutil.copytree(place / "run", tmp_path / "run")
    text = (place / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(text.replace("steps = 90", "steps = 95"))
    arguments = ["-o", tmp_path / "run", "--extend", "-@", 1, "--device", "cpu"]
    complained(
        phylotools("train", place / "config.toml", *arguments), "complete after 90 steps", "raise"
    )
    summary = tmp_path / "summary.json"
    done = phylotools("train", tmp_path / "config.toml", *arguments, "--summary-json", summary)
    assert done.returncode == 0, done.stderr
    assert "trained 5 steps" in done.stderr
    assert "ended after step 95" in done.stderr
    told = json.loads(summary.read_text())
    assert told["steps"] == 95
    assert told["stopped"] == "its length is reached"
    assert f"kept are the weights of step {told['selected']}, held out columns" in done.stderr
    done = phylotools("train", tmp_path / "config.toml", *arguments, "--force")
    complained(done, "--force excludes --resume and --extend", code=2)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ([], "-o"),
        (["-o", "x", "--resume", "--force"], "exclude"),
        (["-o", "x", "--device", "abacus", "-@", "1"], "no device 'abacus'"),
        (["-o", "x", "-@", "0"], "-@"),
    ],
)
def test_usage_errors(place, tmp_path, monkeypatch, arguments, match):
    monkeypatch.chdir(tmp_path)
    done = phylotools("train", place / "config.toml", *arguments)
    assert done.returncode == 2
    assert match in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_absent_configuration(tmp_path):
    done = process("train", tmp_path / "absent.toml", "-o", tmp_path / "x")
    complained(done, "absent.toml")
    assert list(tmp_path.iterdir()) == []


# model


def test_model_info(place):
    done = phylotools("model", "info", place / "toy")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["name"] == "toy"
    assert shown["network"]["channels"] == 8
    done = phylotools("model", "info", place / "toy", "--card")
    assert done.stdout.startswith("# toy")


def test_model_verify(place):
    done = phylotools("model", "verify", place / "toy", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "checksums right" in done.stdout


def test_model_list(place, tmp_path, monkeypatch):
    monkeypatch.setenv("PHYLOTOOLS_CACHE", str(tmp_path))
    (tmp_path / "models").mkdir()
    (place / "toy").rename(tmp_path / "models" / "toy")
    try:
        done = phylotools("model", "list")
        verified = phylotools("model", "verify", "toy")
    finally:
        (tmp_path / "models" / "toy").rename(place / "toy")
    assert done.returncode == 0, done.stderr
    header, *rows = (line.split("\t") for line in done.stdout.splitlines())
    assert header == [
        *("name", "revision", "assembly", "contigs", "default", "reference", "folder"),
    ]
    folder = str(tmp_path / "models" / "toy")
    assert [row for row in rows if row[0] == "toy"] == [["toy", "1", "", "chrM", "no", "", folder]]
    assert verified.returncode == 0, verified.stderr


def test_wrong_checksum(place, tmp_path):
    shutil.copytree(place / "toy", tmp_path / "toy")
    weights = tmp_path / "toy" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    for verb in ("verify", "info"):
        done = phylotools("model", verb, tmp_path / "toy")
        complained(done, "weights.safetensors: wrong checksum")


def test_unknown_model(tmp_path):
    complained(phylotools("model", "info", "no-such-model"), "models at hand")


def test_export_refusals(place, tmp_path):
    complained(
        phylotools("model", "export", tmp_path, "-o", tmp_path / "m", "--name", "m"), "no run here"
    )
    complained(
        phylotools("model", "export", place / "run", "-o", place / "toy", "--name", "m"), "--force"
    )
    assert list(tmp_path.iterdir()) == []
