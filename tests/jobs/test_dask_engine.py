from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from square_worker import SquareStages
from test_local_engine import ALL, LINES, N, Place, Told, gone
from waiting import PATIENCE, wait_until

from phylotools.errors import OutputError, UsageError
from phylotools.jobs.engines import dask
from phylotools.jobs.engines.choice import choose_engine
from phylotools.jobs.engines.dask import DaskEngine
from phylotools.jobs.engines.engine import PartitionsFailed
from phylotools.jobs.stages import Resources

distributed = pytest.importorskip("distributed")
WORKER_PATH = str(Path(__file__).parent)


@pytest.fixture
def place(tmp_path, monkeypatch):
    return Place(tmp_path, monkeypatch)


class Cluster:
    """A scheduler and workers as a user starts them: programs of their own, with addresses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", "0")
        self.address = self.told(self.scheduler, "Scheduler at:")

    def start(self, kind: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments]
        process = subprocess.Popen(
            [*command, "--no-dashboard"], stderr=subprocess.PIPE, text=True, cwd=self.folder,
            env={**os.environ, **environment}, start_new_session=True,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def worker(self, **environment: str) -> subprocess.Popen[str]:
        process = self.start("worker", self.address, "--no-nanny", "--nthreads", "1", **environment)
        self.told(process, "Registered to:")
        return process

    def only_worker(self) -> subprocess.Popen[str]:
        """A worker, without those of earlier tests: what is to happen stands in its environment."""
        self.end(*self.processes[1:])
        return self.worker()

    def end(self, *workers: subprocess.Popen[str]) -> None:
        """Kill workers, and wait until the scheduler knows it."""
        for process in workers:
            process.kill()
            process.wait()
        self.processes = [process for process in self.processes if process.poll() is None]
        with distributed.Client(self.address, timeout=PATIENCE, set_as_default=False) as client:
            wait_until(lambda: len(client.nthreads()) == len(self.processes) - 1)

    def told(self, process: subprocess.Popen[str], words: str) -> str:
        """What a line of a process's log says after some words."""
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if words in line:
                # Whatever else it says is nobody's business, but must not fill the pipe.
                threading.Thread(target=process.stderr.read, daemon=True).start()
                return line.partition(words)[2].strip()
        raise AssertionError("".join(said))

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield found
    finally:
        found.stop()


def kill_worker(where: str) -> int:
    """Kill the worker, and wait until the process that it had begun is gone too; its number."""
    worker, process = map(int, re.findall(r"\(worker (\d+), pid (\d+)\)", where)[0])
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: gone(process))
    return worker


def test_workers_of_this_machine_one_of_them_killed(place):
    killed = []

    def kill(index: int, where: str) -> None:
        if index == 3 and "pid" in where and not killed:
            wait_until(lambda: place.begun(3))
            killed.append(kill_worker(where))

    place.happens(held=["3"], kill={"1": 1}, warn="regions lie outside")
    board = Told(kill, on_lost=lambda index: place.release() if index == 3 else None)
    place.run(DaskEngine(n=2), board)
    assert place.lines() == LINES
    assert killed
    # Each death costs its partition: that of a process, and that of a whole worker.
    assert [place.begun(index) for index in range(N)] == [1, 2, 1, 2, 1, 1]
    assert sorted((index, why) for index, _, why in board.of("lost")) == [
        (1, "killed by SIGKILL (out of memory?)"), (3, "its worker is gone"),
    ]  # fmt: skip
    assert sorted(board.of("done")) == [(index,) for index in range(N)]
    wait_until(lambda: all(map(gone, place.pids())))


def test_the_only_worker_of_this_machine_is_killed_and_slow_to_come_back(place):
    """Dask then takes it off the list of those that it starts again."""
    import dask as dask_itself

    killed = []

    def kill(index: int, where: str) -> None:
        if index == 1 and "pid" in where and not killed:
            wait_until(lambda: place.begun(1))
            killed.append(kill_worker(where))

    place.happens(held=["1"])
    board = Told(kill, on_lost=lambda index: place.release())
    run = threading.Thread(target=place.run, args=(DaskEngine(n=1), board), daemon=True)
    with dask_itself.config.set({"distributed.deploy.lost-worker-timeout": "10ms"}):
        run.start()
        run.join(PATIENCE)
    assert not run.is_alive()
    assert place.lines() == LINES
    # Twice where the one that Dask gave up had come back for a moment.
    assert {(index, why) for index, _, why in board.of("lost")} == {(1, "its worker is gone")}


def test_a_cluster_by_its_address(place, cluster):
    """Its workers take the place of one that is killed; what another one lacks is told by name."""
    engine = choose_engine(cluster.address.replace("tcp://", "dask://"))
    assert engine == DaskEngine(address=cluster.address)
    assert engine.n_workers is None

    killed = []

    def kill(index: int, where: str) -> None:
        if index == 2 and "pid" in where and not killed:
            wait_until(lambda: place.begun(2))
            killed.append(kill_worker(where))

    place.happens(held=["2"])
    workers = {worker.pid: worker for worker in (cluster.worker(), cluster.worker())}
    board = Told(kill, on_lost=lambda index: place.release())
    place.run(engine, board)
    assert place.lines() == LINES
    assert workers.pop(killed[0]).wait(PATIENCE) == -signal.SIGKILL
    assert [worker.poll() for worker in workers.values()] == [None]
    assert [(index, why) for index, _, why in board.of("lost")] == [(2, "its worker is gone")]
    assert place.begun(2) == 2


@pytest.mark.parametrize(
    "text", ["dask:", "dask:0", "dask:x", "dask://", "dask://host", "dask://h:1 2"]
)
def test_no_address(text):
    with pytest.raises(UsageError, match=r"--on dask:.*: give dask://HOST:PORT, where a scheduler"):
        choose_engine(text)


def test_no_scheduler(place, monkeypatch):
    monkeypatch.setattr(dask, "_CONNECT_SECONDS", 1.0)
    with pytest.raises(
        OutputError,
        match=r"--on dask: no scheduler of Dask answers at tcp://127\.0\.0\.1:9 \(.*start",
    ):
        place.run(choose_engine("dask://127.0.0.1:9"))


def test_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"distributed, which is not .*'phylotools\[dask\]'"):
        choose_engine("dask:2")


#: In the interpreter of a worker alone: it is on another machine, with another phylotools.
_OTHER_MACHINE = """
import os
if "HIDDEN" in os.environ:
    real = os.path.isdir
    os.path.isdir = lambda path: str(path) != os.environ["HIDDEN"] and real(path)
if "OTHER_VERSION" in os.environ:
    import phylotools.version
    phylotools.version.__version__ = os.environ["OTHER_VERSION"]
if "NO_PHYLOTOOLS" in os.environ:
    import sys
    sys.modules["phylotools"] = None
"""


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("HIDDEN", r"worker tcp://\S+ on \S+ does not see the work folder .+/w; give one with --"),
        ("NO_PHYLOTOOLS", r"worker tcp://\S+ has no phylotools; this is .*: install the same"),
        ("OTHER_VERSION", r"worker tcp://\S+ has phylotools 0\.0\.1; this is .*: install the same"),
    ],
)
def test_a_worker_that_is_not_as_the_others(place, cluster, what, says):
    (place.path / "site").mkdir()
    (place.path / "site" / "sitecustomize.py").write_text(_OTHER_MACHINE)
    value = str(place.work.path) if what == "HIDDEN" else "0.0.1"
    odd = cluster.worker(PYTHONPATH=str(place.path / "site"), **{what: value})
    engine = DaskEngine(address=cluster.address)
    try:
        with pytest.raises(OutputError, match=says):
            place.run(engine)
        assert sum(map(place.begun, range(N))) == 0
    finally:
        cluster.end(odd)
    # The folder is as it was.
    place.run(None)
    assert place.lines() == LINES


def test_a_worker_that_goes_while_it_is_looked_at(place):
    """It is no worker without phylotools."""

    class Found:
        def get_versions(self):
            return {"workers": {}}

        def run(self, function, work, on_error):
            return {"tcp://here:1": function(work), "tcp://gone:1": OSError("Timed out")}

    dask.check_workers(Found(), SquareStages().task(place.work, Resources(threads=1)))


def test_a_scheduler_that_went_a_moment_ago(place, monkeypatch):
    """Its client does not know yet."""

    def time_out(self):
        raise OSError("Timed out trying to connect to tcp://127.0.0.1:9 after 30 s")

    monkeypatch.setattr(distributed.Client, "nthreads", time_out)
    with pytest.raises(OutputError, match=r"--on dask: the scheduler is gone; start it again and"):
        place.run(DaskEngine(n=1))


def test_an_error_on_a_worker_says_where(place, cluster):
    place.happens(fail=["1"])
    cluster.only_worker()
    with pytest.raises(
        PartitionsFailed,
        match=r"\(1\): numbers\.txt:7: number 1 cannot be squared \(on \S+ \(worker \d+, pid \d+",
    ):
        place.run(DaskEngine(address=cluster.address))
    assert place.begun(1) == 1


def test_the_scheduler_goes(place, cluster):
    """The last that is done with it."""
    place.happens(held=ALL)
    worker = cluster.only_worker()
    board = Told(lambda index, where: f"worker {worker.pid}" in where and cluster.scheduler.kill())
    with pytest.raises(OutputError, match=r"--on dask: the scheduler is gone; start it again and"):
        place.run(DaskEngine(address=cluster.address), board)
    worker.kill()
    worker.wait()
    wait_until(lambda: all(map(gone, place.pids())))
    place.happens()
    place.run(None)
    assert place.lines() == LINES
