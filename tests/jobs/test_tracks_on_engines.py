"""``phylotools tracks --on ENGINE`` with a kill, beside the single run, byte for byte."""

from __future__ import annotations

import gzip
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import psutil
import pytest
import slurm_cluster
from slurm_cluster import SlurmCluster
from test_local_engine import gone
from waiting import wait_until

HOSTILE = ("multiprocessing.py", "distributed.py", "random.py", "tornado.py")
TRACKS = [sys.executable, "-m", "phylotools", "tracks", "-m", "mammals671-mtdna", "-@", "1"]


def plant(folder: Path) -> None:
    """Nothing is run from where a user stands, whoever starts an interpreter."""
    for name in HOSTILE:
        (folder / name).write_text("raise SystemExit('hostile')")


def start(folder: Path, name: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [*TRACKS, "-r", "chrM:1-8000", "-o", str(folder / name), *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder, **options)


def files_of(folder: Path) -> dict[str, bytes]:
    """What the numbers are in; without the command line, and the index of what has one."""
    files = {path.name: path.read_bytes() for path in folder.glob("*.bw")}
    table = gzip.decompress((folder / "snv_scores.tsv.gz").read_bytes())
    lines = [line for line in table.split(b"\n") if not line.startswith(b"##")]
    return {**files, "table": b"\n".join(lines)}


#: In the interpreters of partitions alone: they begin when there is a file.
_HELD = """
import os, sys, time
if "tracks-partition" in sys.orig_argv:
    while not os.path.exists(os.environ["GATE"]):
        time.sleep(0.02)
"""


LOST = re.compile(r"partition \d+ was lost on")


class Gate:
    """Keeps the processes that compute partitions from being done before the test is."""

    def __init__(self, folder: Path) -> None:
        (folder / "sitecustomize.py").write_text(_HELD)
        self._file = folder / "open"
        self.environment = {**os.environ, "PYTHONPATH": str(folder), "GATE": str(self._file)}

    def open(self) -> None:
        self._file.touch()


@pytest.fixture
def gate(tmp_path_factory):
    found = Gate(tmp_path_factory.mktemp("gate"))
    yield found
    # What was ended before it began is not held for ever.
    found.open()


def wait_for(pattern: re.Pattern[str], lines: IO[str]) -> re.Match[str]:
    """The next line of a log that has it."""
    said = []
    for line in lines:
        said.append(line)
        if found := pattern.search(line):
            return found
    raise AssertionError("".join(said))


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    folder = tmp_path_factory.mktemp("single")
    assert start(folder, "out").wait() == 0
    files = files_of(folder / "out")
    assert len(files) > 10
    return files


def partition_processes(run: subprocess.Popen[str]) -> list[psutil.Process]:
    """Those that compute partitions for a run."""
    found = []
    for process in psutil.Process(run.pid).children(recursive=True):
        try:
            if "tracks-partition" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("engine", ["local:2", "dask:2"])
def test_with_a_kill_the_same_bytes(single, tmp_path, gate, engine):
    plant(tmp_path)
    run = start(tmp_path, "out", "-v", "--on", engine, env=gate.environment)
    assert run.stderr
    # Two, of which the command knows that they have begun.
    told = re.compile(r"begun on .* \((?:worker (\d+), )?pid (\d+)\)")
    worker, first = wait_for(told, run.stderr).groups()
    _, second = wait_for(told, run.stderr).groups()
    # Of Dask the worker itself: what it has started ends with it.
    os.kill(int(worker or first), signal.SIGKILL)
    wait_for(LOST, run.stderr)
    gate.open()
    said = run.stderr.read()
    assert run.wait() == 0, said
    assert "phylotools: info: 1 partition was lost and begun again\n" in said
    assert files_of(tmp_path / "out") == single
    assert {path.name for path in tmp_path.iterdir()} == {"out", *HOSTILE}
    wait_until(lambda: gone(int(first)) and gone(int(second)))


@pytest.mark.parametrize("engine", ["local:2", "dask:2"])
def test_ctrl_c_in_a_terminal_is_one_line(tmp_path, gate, engine):
    """It is sent to all processes that the terminal sees, and one of them answers."""
    run = start(tmp_path, "out", "-q", "--on", engine, env=gate.environment, start_new_session=True)
    wait_until(lambda: run.poll() is not None or len(partition_processes(run)) == 2)
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate()
    assert (run.returncode, said) == (130, "error: interrupted\n")
    assert not list(tmp_path.iterdir())


def test_on_slurm_with_a_node_lost_the_same_bytes(single, tmp_path, gate, slurm: SlurmCluster):
    plant(tmp_path)
    asked = "slurm:array=2,parts=2,cpus=1,memory=1G,time=30"
    run = start(tmp_path, "out", "-v", "--on", asked, env=gate.environment)
    assert run.stderr
    # Not before the command knows that it runs there.
    slurm.kill_node(wait_for(re.compile(r"begun on (node\d), job"), run.stderr)[1])
    wait_for(LOST, run.stderr)
    gate.open()
    while run.poll() is None:
        slurm.hurry()
        time.sleep(0.5)
    said = run.stderr.read()
    assert run.returncode == 0, said
    assert re.search(r"phylotools: info: [1-4] partitions? w\w+ lost and begun again\n", said), said
    assert files_of(tmp_path / "out") == single
    assert {path.name for path in tmp_path.iterdir()} == {"out", *HOSTILE}
    slurm_cluster.wait_until(lambda: not slurm.jobs(), slurm.jobs)
