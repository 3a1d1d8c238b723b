"""Processes that read for a training run: the same batches, one-line errors, no orphans."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading

import psutil
import pytest
import tomli_w
from column_oracle import digest
from small_runs import SMALL, tables
from waiting import PATIENCE, wait_until

from phylotools.errors import InputError, PhylotoolsError
from phylotools.training.dataset import TrainingData

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers(small, many_segments, birds_store, workers):
    stores = {"stores": [str(many_segments), str(birds_store)]}
    alone, helped = (
        TrainingData(small(many_segments, workers=number, **stores)) for number in (0, workers)
    )
    assert digest(alone.epoch(4, 9)) == digest(helped.epoch(4, 9))


def test_nothing_is_left_running(small, many_segments):
    data = TrainingData(small(many_segments, workers=1))
    batches = data.epoch(0)
    next(batches)
    assert any(thread.name == "batches" for thread in threading.enumerate())
    children = children_of(os.getpid())
    assert children
    batches.close()
    assert not any(thread.name == "batches" for thread in threading.enumerate())
    assert not is_alive(children)


def children_of(pid: int) -> set[int]:
    """Worker processes; the tracker of multiprocessing's resources may stay."""
    return {
        process.pid
        for process in psutil.process_iter(["ppid", "cmdline"])
        if process.info["ppid"] == pid and "spawn_main" in " ".join(process.info["cmdline"] or ())
    }


def is_alive(pids: set[int]) -> bool:
    """Whether any process is there and no zombie."""
    return any(
        process.pid in pids and process.info["status"] != psutil.STATUS_ZOMBIE
        for process in psutil.process_iter(["status"])
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_arrive_as_they_are(small, many_segments, tmp_path, workers):
    copy = tmp_path / "store"
    shutil.copytree(many_segments, copy)
    data = TrainingData(small(copy, workers=workers))
    for shard in (copy / "bases").rglob("*"):
        if shard.is_file() and shard.name != "zarr.json":
            content = bytearray(shard.read_bytes())
            content[: len(content) // 2] = bytes(len(content) // 2)
            shard.write_bytes(content)
    with pytest.raises(InputError, match=r"store: array bases.*the store is damaged"):
        list(data.epoch(0))


def test_a_killed_worker_is_told(small, many_segments):
    data = TrainingData(small(many_segments, workers=1))
    batches = data.epoch(0)
    next(batches)
    for child in children_of(os.getpid()):
        os.kill(child, signal.SIGKILL)
    with pytest.raises(PhylotoolsError, match="was killed"):
        list(batches)


@pytest.mark.parametrize(
    ("steps", "how"), [(0, signal.SIGINT), (3, signal.SIGTERM), (3, signal.SIGKILL)]
)
def test_a_run_that_ends_leaves_no_process(many_segments, tmp_path, steps, how):
    """Whether its workers are about to start, or at work."""
    config = tmp_path / "config.toml"
    values = tables(
        many_segments, optimiser={"steps": 10**6}, run={"log_every": 1, "checkpoint_every": 1}
    )
    values["data"] |= {"buffer_bytes": SMALL, "workers": 2}
    config.write_text(tomli_w.dumps(values))
    command = [sys.executable, "-m", "phylotools", "train", str(config), "-o", str(tmp_path / "r")]
    with open(tmp_path / "errors", "w") as errors:
        # A group of its own, which the interruption goes to as from a terminal.
        run = subprocess.Popen(command, stderr=errors, start_new_session=True)
        wait_until(lambda: len(children_of(run.pid)) == 2, run)
        children = children_of(run.pid)
        metrics = tmp_path / "r" / "metrics.tsv"
        wait_until(
            lambda: not steps or (metrics.exists() and metrics.read_text().count("\n") > steps), run
        )
        (os.killpg if how == signal.SIGINT else os.kill)(run.pid, how)
        run.wait(timeout=PATIENCE)
    wait_until(lambda: not is_alive(children))
    assert "Traceback" not in (tmp_path / "errors").read_text()


def test_no_process_is_started_where_everything_fits(config_of, many_segments):
    batches = TrainingData(config_of(many_segments, data={"workers": 2})).epoch(0)
    next(batches)
    assert children_of(os.getpid()) == set()
    batches.close()
