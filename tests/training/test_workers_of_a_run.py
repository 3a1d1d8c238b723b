"""Runs of several processes: the same weights as one, and no hang whatever happens to one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from small_runs import HOLDS_OUT, same_run, tables
from small_stores import change_attributes

from phylotools.errors import PhylotoolsError, UsageError
from phylotools.io.locks import lock_folder
from phylotools.training.checkpoint import read_checkpoint
from phylotools.training.config_file import read_config
from phylotools.training.resuming import parts_of_run
from phylotools.training.run_folder import CHECKPOINT
from phylotools.training.workers import ALONE, Workers, join_workers

#: Runs that are started here end within seconds; none may hang.
PATIENCE = 300
#: So many that a run can be hit in its midst.
STEPS = 30
#: Halved, so that the compiled network is what is shared out.
NETWORK = {"preset": "tiny", "channels": 64, "bottleneck": 32, "dilations": [1, 2]}


@pytest.fixture(scope="module")
def write_config(tmp_path_factory, mammals_store):
    """Write a configuration of a run of seconds, in four parts unless the changes say otherwise."""

    def write(**changes) -> Path:
        merged = tables(mammals_store, **HOLDS_OUT)
        merged["network"] = NETWORK
        merged["optimiser"] |= {"parts": 4, "steps": STEPS}
        merged["run"] |= {"site_fits": False, "checkpoint_every": 2}
        for name, values in changes.items():
            merged[name] = merged.get(name, {}) | values
        path = tmp_path_factory.mktemp("config") / "config.toml"
        path.write_text(tomli_w.dumps(merged))
        return path

    return write


@pytest.fixture(scope="module")
def alone(tmp_path_factory, write_config) -> Path:
    """A run of one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    result = train(write_config(), "-o", folder)
    assert result.returncode == 0, result.stderr
    return folder


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


def train(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`phylotools train` in one process."""
    return subprocess.run(
        [sys.executable, "-m", "phylotools", "train", "-q", *map(str, arguments)],
        capture_output=True, text=True, timeout=PATIENCE, env=environment(),
    )  # fmt: skip


def begin(*program: object, workers: int = 2) -> subprocess.Popen[str]:
    """Start a program by torchrun."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", workers]
    return subprocess.Popen(
        [*map(str, command), *map(str, program)],
        stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip


def end_of(run: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """Exit code, and our own lines of errors among those of torchrun."""
    _, said = run.communicate(timeout=PATIENCE)
    return run.returncode, [line for line in said.splitlines() if line.startswith("error: ")]


def share(*arguments: object, workers: int = 2) -> tuple[int, list[str]]:
    """`phylotools train` in several processes."""
    return end_of(begin("-m", "phylotools", "train", "-q", *arguments, workers=workers))


# The same as one


def test_any_number_of_workers_ends_in_the_same_weights(write_config, alone, tmp_path):
    assert share(write_config(), "-o", tmp_path / "run", workers=3) == (0, [])
    same_run(alone, tmp_path / "run")
    assert read_checkpoint(alone / CHECKPOINT).config["optimiser"]["parts"] == 4


def test_parts_are_as_many_as_workers_begin(write_config, tmp_path):
    config = write_config(optimiser={"steps": 3})
    text = config.read_text().replace("parts = 4\n", "")
    config.write_text(text)
    assert share(config, "-o", tmp_path / "run") == (0, [])
    checkpoint = read_checkpoint(tmp_path / "run" / CHECKPOINT)
    assert checkpoint.config["optimiser"]["parts"] == 2
    settings = read_config(config)
    assert parts_of_run(settings, None, ALONE) == 1
    assert parts_of_run(settings, checkpoint, ALONE) == 2
    with pytest.raises(UsageError, match=r"here are in 2 parts .* not 3"):
        parts_of_run(settings, checkpoint, Workers(0, 3))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_lost_worker_ends_the_run_which_goes_on(write_config, alone, tmp_path, rank):
    """Killed with two, it ends with one in the weights of one."""
    config, folder = write_config(), tmp_path / "run"
    run = begin("-m", "phylotools", "train", "-q", config, "-o", folder)
    wait_for(folder / CHECKPOINT, run)
    kill_a_worker(run, rank)
    code, errors = end_of(run)
    assert code == 1
    # torchrun may end the one that is left before it can speak.
    assert len(errors) <= 1
    assert all("--resume" in error for error in errors)
    assert 0 < read_checkpoint(folder / CHECKPOINT).progress.step < STEPS
    assert train(config, "-o", folder, "--resume").returncode == 0
    same_run(alone, folder)


def test_a_signal_to_the_launcher_saves(write_config, tmp_path):
    folder = tmp_path / "run"
    run = begin("-m", "phylotools", "train", "-q", write_config(), "-o", folder)
    wait_for(folder / CHECKPOINT, run)
    run.send_signal(signal.SIGTERM)
    code, errors = end_of(run)
    assert code != 0
    (error,) = errors
    step = read_checkpoint(folder / CHECKPOINT).progress.step
    assert f"stopped by SIGTERM after step {step}; go on with --resume" in error


# What cannot go on


@pytest.mark.parametrize("what", ["configuration", "column store"])
def test_workers_that_differ_are_refused(write_config, mammals_store, tmp_path, what):
    for rank in range(2):
        place = tmp_path / str(rank)
        shutil.copytree(mammals_store, place / "store")
        changes = {"data": {"stores": ["store"]}}
        if what == "configuration":
            changes["run"] = {"seed": rank}
        elif rank:
            change_attributes(
                place / "store", lambda a: a.update(tree=a["tree"].replace(":0.", ":1.", 1))
            )
        shutil.copy(write_config(**changes), place / "config.toml")
    command = f'exec {sys.executable} -m phylotools train "$0/$RANK/config.toml" -q -o "$0/run"'
    code, errors = end_of(begin("--no-python", "sh", "-c", command, tmp_path))
    assert code == 1
    (error,) = errors
    assert error.startswith(f"error: worker 1 has another {what} than worker 0")
    assert not (tmp_path / "run" / CHECKPOINT).exists()


def test_two_runs_in_one_folder(write_config, tmp_path):
    folder = tmp_path / "run"
    with lock_folder(folder):
        code, errors = share(write_config(), "-o", folder)
    assert code == 1
    assert errors == [f"error: {folder}: another run is going on in this folder"]


POISON = """
from phylotools.training.loop import Trainer

make_model = Trainer._make_model


def poisoned(trainer):
    make_model(trainer)
    if trainer.workers.rank == 1:
        parameter = next(trainer.model.parameters())
        parameter.register_hook(lambda gradient: gradient * float("nan"))


Trainer._make_model = poisoned
from phylotools.cli.main import main

main()
"""


def test_what_is_not_a_number_in_one_worker_stops_all(write_config, tmp_path):
    (tmp_path / "poison.py").write_text(POISON)
    code, errors = end_of(
        begin(tmp_path / "poison.py", "train", "-q", write_config(), "-o", tmp_path / "run")
    )
    assert code == 1
    (error,) = errors
    assert error.startswith("error: the gradient is not finite at step 1; ")
    assert not (tmp_path / "run" / CHECKPOINT).exists()


# A worker


@given(st.integers(1, 9), st.integers(0, 20))
def test_every_part_is_one_workers(size, more):
    parts = size + more
    shares = [Workers(rank, size).share(parts) for rank in range(size)]
    assert [part for own in shares for part in own] == list(range(parts))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    "names",
    [
        {"RANK": "2", "WORLD_SIZE": "2"},
        {"RANK": "0", "WORLD_SIZE": "two"},
        {"RANK": "-1", "WORLD_SIZE": "2"},
        {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "1"},
    ],
)
def test_an_environment_that_names_no_worker(monkeypatch, names):
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="torchrun"), join_workers():
        pass


def test_alone_without_torchrun(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with join_workers() as workers:
        assert workers == ALONE
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    with join_workers() as workers:
        assert workers == ALONE


def test_others_that_are_not_there(monkeypatch):
    """The address is no machine's: one line, not a wait."""
    import datetime

    import phylotools.training.workers as module

    monkeypatch.setattr(module, "_TO_BEGIN", datetime.timedelta(seconds=1))
    for name, value in {
        "RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    expected = pytest.raises(PhylotoolsError, match="worker 1 of 2 did not find the others")
    with expected, join_workers():
        pass


def wait_for(path: Path, run: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert run.poll() is None
        time.sleep(0.01)


def kill_a_worker(run: subprocess.Popen[str], rank: int) -> None:
    """Kill one of the processes that torchrun started."""
    found = [
        process
        for process in psutil.Process(run.pid).children()
        if process.environ().get("RANK") == str(rank)
    ]
    found[0].send_signal(signal.SIGKILL)
