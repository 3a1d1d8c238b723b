"""Jobs in parts on a real SLURM: what its nodes, its queue and its users may do to them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from slurm_cluster import SlurmCluster, wait_until
from test_local_engine import ALL, LINES, N, Place, Told
from waiting import PATIENCE

from phylotools.errors import OutputError, UsageError
from phylotools.jobs.engines import slurm as engine_module
from phylotools.jobs.engines.choice import choose_engine
from phylotools.jobs.engines.engine import PartitionsFailed
from phylotools.jobs.engines.slurm_queue import command_end
from phylotools.jobs.engines.slurm_task import BEGUN, ENDED, PartitionsOfJob, with_threads
from phylotools.jobs.work_folder import WORKERS

SMALL = "memory=200M,time=20"
#: A command line that has the partitions of a work folder done.
COORDINATOR = """
import sys
sys.path[:0] = sys.argv[1].split(":")
from small_job import work_folder
from square_worker import SquareStages
from test_local_engine import JOB
from phylotools.jobs.engines import slurm
from phylotools.jobs.engines.choice import choose_engine
from phylotools.jobs.stages import Resources, do_job
import signal
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
slurm._LEAVE_SECONDS = 300
do_job(SquareStages(), work_folder(sys.argv[2]), JOB, Resources(threads=1),
       engine=choose_engine(sys.argv[3]))
"""


@pytest.fixture
def place(tmp_path, monkeypatch, slurm: SlurmCluster) -> Iterator[Place]:
    # However busy the machine: no job of a test is left when the test goes on.
    monkeypatch.setattr(engine_module, "_LEAVE_SECONDS", PATIENCE)
    yield Place(tmp_path, monkeypatch)
    slurm.restore()


@contextlib.contextmanager
def meanwhile(do: Callable[[], None]) -> Iterator[None]:
    """Do something in another thread; its error is this one's."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(do)
        yield
        done.result()


def logs(place: Place) -> list[Path]:
    return sorted((place.path / "w" / WORKERS).rglob("*.err"))


def started(place: Place, asked: str) -> subprocess.Popen[str]:
    """A process that has the partitions done."""
    paths = ":".join(path for path in sys.path if "tests" in path)
    return subprocess.Popen(
        [sys.executable, "-c", COORDINATOR, paths, str(place.work.path), asked],
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_array_of_jobs(place: Place, slurm: SlurmCluster) -> None:
    shown: list[str] = []

    def show(index: int, where: str) -> None:
        shown.append(slurm.do("scontrol", "show", "job", "-o"))
        place.release()

    board = Told(show)
    place.happens(held=ALL)
    place.run(choose_engine(f"slurm:array=2,parts=2,cpus=1,gpus=1,partition=main,{SMALL}"), board)
    assert place.lines() == LINES
    assert place.begun("loaded") == 3
    assert sorted(board.of("done")) == [(index,) for index in range(N)]
    assert board.of("lost") == board.of("failed") == []
    assert {index for index, _ in board.of("running")} <= set(range(N))
    for _, where in board.of("running"):
        assert re.fullmatch(r"node[12], job \d+_[012]", where)
    for wanted in ("ArrayTaskThrottle=2", "Partition=main", "TimeLimit=00:20:00", "Requeue=1",
                   "MinMemoryNode=200M", "TresPerNode=gres:gpu:1", "CPUs/Task=1"):  # fmt: skip
        assert wanted in shown[0]
    assert not slurm.jobs()
    assert os.listdir(place.path / "w" / WORKERS) == []


def test_a_node_that_is_lost_costs_its_partition_alone(place: Place, slurm: SlurmCluster) -> None:
    place.happens(held=ALL)
    nodes: dict[int, str] = {}
    jobs: dict[int, str] = {}
    killed: list[str] = []

    def kill(index: int, where: str) -> None:
        if killed:
            return
        nodes[index], jobs[index] = where.split(", job ")
        # The second: there are no more at a time.
        if len(nodes) == 2:
            killed.append(nodes[index])
            wait_until(lambda: all(map(place.begun, nodes)), slurm.jobs)
            slurm.kill_node(killed[0])
            place.release()

    board = Told(kill, on_lost=lambda index: slurm.hurry(jobs[index]))
    place.run(choose_engine(f"slurm:array=2,{SMALL}"), board)
    assert place.lines() == LINES
    of_node = {index for index, node in nodes.items() if node == killed[0]}
    assert sorted(board.of("lost")) == [
        (index, killed[0], "SLURM has put its job back in the queue") for index in sorted(of_node)
    ]
    assert [place.begun(index) for index in range(N)] == [
        2 if index in of_node else 1 for index in range(N)
    ]


def test_a_job_that_somebody_cancels_is_submitted_again(place: Place, slurm: SlurmCluster) -> None:
    place.happens(held=["0"])

    def cancel(index: int, where: str) -> None:
        if index == 0 and not board.of("lost"):
            wait_until(lambda: place.begun(0), slurm.jobs)
            slurm.do("scancel", where.rpartition(" ")[2])
            place.happens()

    board = Told(cancel)
    place.run(choose_engine(f"slurm:{SMALL}"), board)
    assert place.lines() == LINES
    ((index, where, why),) = board.of("lost")
    assert index == 0
    assert re.match(r"node\d, job \d+_0, log \S+_0_0_log.err", where)
    assert why == "stopped by SIGTERM"


def test_a_partition_that_kills_its_workers_is_given_up(place: Place, slurm: SlurmCluster) -> None:
    place.happens(kill={"4": 9})
    with pytest.raises(
        PartitionsFailed,
        match=r"1 partition of square failed \(4\): lost 3 times, the last time killed by SIGKILL "
        r"\(out of memory\?\) \(on node\d, job \d+, log \S+\); mend that",
    ):
        place.run(choose_engine(f"slurm:{SMALL}"))
    assert place.begun(4) == 3
    place.happens()
    place.run(choose_engine(f"slurm:{SMALL}"))
    assert place.lines() == LINES


def test_an_error_ends_the_waiting_jobs_and_names_the_log(
    place: Place, slurm: SlurmCluster
) -> None:
    # Those that wait are taken out of the queue before the one that runs next is done.
    place.happens(fail=["0"], held=ALL[1:])

    def see_others_go() -> None:
        wait_until(lambda: board.of("failed"), slurm.jobs)
        wait_until(lambda: not slurm.jobs("--states=PENDING"), slurm.jobs)
        place.release()

    board = Told()
    with meanwhile(see_others_go), pytest.raises(PartitionsFailed) as told:
        place.run(choose_engine(f"slurm:array=1,{SMALL}"), board)
    match = re.search(
        r"\(0\): numbers.txt:7: number 0 cannot be squared \(on node\d, job \d+_0, log (\S+)\); ",
        str(told.value),
    )
    assert match
    assert "number 0 cannot be squared" in Path(match[1]).read_text()
    assert not slurm.jobs()
    assert [place.begun(index) for index in range(2, N)] == [0] * (N - 2)
    place.happens()
    place.run(choose_engine(f"slurm:parts=6,{SMALL}"))
    assert place.lines() == LINES
    assert logs(place) == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("partition=full", r"Job violates accounting/QOS policy \(job submit limit, .*\)"),
        ("partition=none", "Invalid partition name specified"),
        ("time=9999", r"Requested time limit is invalid \(missing or exceeds some limit\)"),
        ("gpus=9", "Requested node configuration is not available"),
    ],
)
def test_jobs_that_slurm_refuses(
    place: Place, slurm: SlurmCluster, asked: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OutputError, match=f"--on slurm: sbatch refused the jobs: {said}; "):
        place.run(choose_engine(f"slurm:{asked}"))
    assert capfd.readouterr().err == ""
    assert logs(place) == []
    assert os.listdir(place.path / "w" / WORKERS) == []


def test_a_process_that_is_killed_is_followed_by_one_that_goes_on(
    place: Place, slurm: SlurmCluster, caplog: pytest.LogCaptureFixture
) -> None:
    place.happens(held=ALL)
    asked = f"slurm:parts=2,{SMALL}"
    with started(place, asked) as process:
        wait_until(lambda: place.begun("loaded") > 0, slurm.jobs)
        process.kill()
    assert len(slurm.jobs()) == 3
    caplog.set_level("INFO")

    def let_go() -> None:
        told = "3 jobs of an earlier run are still in SLURM's queue"
        wait_until(lambda: told in caplog.text, lambda: caplog.text)
        place.release()

    with meanwhile(let_go):
        place.run(choose_engine(asked))
    assert place.lines() == LINES
    assert [place.begun(index) for index in range(N)] == [1] * N


def test_jobs_end_with_the_process_that_wants_them(place: Place, slurm: SlurmCluster) -> None:
    place.happens(held=ALL)
    with started(place, f"slurm:{SMALL}") as process:
        wait_until(lambda: place.begun("loaded") > 0, slurm.jobs)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) != 0
    assert not slurm.jobs()


def test_a_job_goes_on_with_what_is_left_when_it_runs_again(
    place: Place, slurm: SlurmCluster
) -> None:
    place.happens(held=["1"])
    with started(place, f"slurm:parts=6,{SMALL}") as process:
        wait_until(lambda: place.begun("1") > 0, slurm.jobs)
        # What `--signal` has SLURM send.
        slurm.do("scancel", "--signal=USR2", slurm.jobs()[0]["id"])
        wait_until(lambda: [job["state"] for job in slurm.jobs()] == ["PENDING"], slurm.jobs)
        place.release()
        slurm.hurry()
        assert process.wait(PATIENCE) == 0
    assert place.lines() == LINES
    assert [place.begun(index) for index in range(N)] == [1, 2, 1, 1, 1, 1]


def test_a_controller_that_is_gone_for_a_while(
    place: Place,
    slurm: SlurmCluster,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # They are more than run at a time: some wait for the controller.
    place.happens(held=ALL)
    is_gone = threading.Event()

    def stop(index: int, where: str) -> None:
        if not is_gone.is_set():
            slurm.stop_controller()
            for name, value in slurm.impatient().items():
                monkeypatch.setenv(name, value)
            is_gone.set()
            place.release()

    def start_again() -> None:
        wait_until(is_gone.is_set, slurm.jobs)
        wait_until(lambda: "SLURM does not answer" in caplog.text, lambda: caplog.text)
        for name, value in slurm.environment.items():
            monkeypatch.setenv(name, value)
        slurm.start_controller()

    with meanwhile(start_again):
        place.run(choose_engine(f"slurm:{SMALL}"), Told(stop))
    assert place.lines() == LINES


def test_what_a_job_does_next_when_its_time_is_over() -> None:
    job = PartitionsOfJob(("command", "-"), (3, 4), seconds=45)
    for n_timeouts in (1, 2):
        again = job.checkpoint()
        assert again is not None
        job = again.function
        assert (job.indices, job.n_timeouts) == ((3, 4), n_timeouts)
    assert job.checkpoint() is None
    # A preemption, long before: as often as it comes.
    job = PartitionsOfJob(("command", "-"), (3, 4), seconds=3600, n_timeouts=2)
    again = job.checkpoint()
    assert again is not None
    assert again.function.n_timeouts == 2


def test_the_threads_of_a_job() -> None:
    of_job = {"SLURM_CPUS_ON_NODE": "6", "SLURM_CPUS_PER_TASK": "3"}
    assert with_threads(("run", "-"), of_job) == ["run", "-@", "3", "-"]
    assert with_threads(("run", "-"), {"SLURM_CPUS_ON_NODE": "6"}) == ["run", "-@", "6", "-"]
    assert with_threads(("run", "-@", "2", "-"), of_job) == ["run", "-@", "2", "-"]
    assert with_threads(("run", "-"), {}) == ["run", "-"]


def test_how_a_command_ended_is_read_from_the_log() -> None:
    ended = f"{ENDED} -9"
    assert command_end([BEGUN, "error: x", f"{ENDED} 1", "Traceback"]) == (1, ["error: x"])
    assert command_end([BEGUN, "a", ended, BEGUN, "b"]) is None
    assert command_end(["half a line", ended]) == (-9, ["half a line"])
    assert command_end([BEGUN, "a", ended, BEGUN, "b", f"{ENDED} 0"]) == (0, ["b"])
    assert command_end([]) is None
    assert command_end([f"{ENDED} one"]) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("memmory=1G", r"there is no key 'memmory'; choose among account, array, "),
        ("cpus", r"cpus=: give it as cpus=8"),
        ("cpus=0", r"cpus=0: give it as cpus=8"),
        ("time=1:00", r"time=1:00: give it as time=240"),
        ("memory=1 G", r"memory=1 G: give it as memory=16G"),
        ("partition=a b", r"partition=a b: give it as partition=gpu"),
        ("account=a\nb", r"account=a\?b: give it as account=lab"),
        (",cpus=2", r"there is no key ''"),
    ],
)
def test_options_that_are_none(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"--on slurm: {said}"):
        choose_engine(f"slurm:{text}")


def test_where_slurm_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="--on slurm: there is no sbatch here; give the command"):
        choose_engine("slurm")
    monkeypatch.setattr(engine_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        UsageError,
        match=r"needs the package submitit, .* install 'phylotools\[",
    ):
        choose_engine("slurm")


def test_a_value_may_have_commas(slurm: SlurmCluster) -> None:
    engine = choose_engine("slurm:exclude=node1,node2,partition=main,urgent,cpus=2")
    assert engine.options.asked == {
        "exclude": "node1,node2",
        "partition": "main,urgent",
        "cpus": "2",
    }
