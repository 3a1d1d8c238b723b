from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from small_job import finalise, squares, work_folder
from square_worker import SquareStages
from waiting import PATIENCE, wait_until

from phylotools.errors import InputError, UsageError
from phylotools.jobs.engines.child import Child, End
from phylotools.jobs.engines.choice import choose_engine
from phylotools.jobs.engines.engine import PARTS_PER_WORKER, PartitionsFailed, Task, part_size
from phylotools.jobs.engines.local import LocalEngine
from phylotools.jobs.job import identities_of
from phylotools.jobs.stages import Resources, begin_job, do_job, do_whole_job, finalise_job

N = 6
JOB = squares(*((number, number + 100) for number in range(N)))
ALL = tuple(map(str, range(N)))
LINES = "".join(f"{number**2}\n{(number + 100) ** 2}\n" for number in range(N))


class Told:
    """A board that remembers; `on_running` may do harm, and the others hear of it."""

    def __init__(
        self,
        on_running: Callable[[int, str], None] = lambda index, where: None,
        *,
        on_failed: Callable[[int], None] = lambda index: None,
        on_lost: Callable[[int], None] = lambda index: None,
    ) -> None:
        self.events: list[tuple[Any, ...]] = []
        self._on_running, self._on_failed, self._on_lost = on_running, on_failed, on_lost

    def begin(self, n_partitions: int, n_done: int) -> None:
        self.events.append(("begin", n_partitions, n_done))

    def running(self, index: int, where: str) -> None:
        self.events.append(("running", index, where))
        self._on_running(index, where)

    def done(self, index: int) -> None:
        self.events.append(("done", index))

    def failed(self, index: int, where: str, why: str) -> None:
        self.events.append(("failed", index, where, why))
        self._on_failed(index)

    def lost(self, index: int, where: str, why: str) -> None:
        self.events.append(("lost", index, where, why))
        self._on_lost(index)

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [event[1:] for event in self.events if event[0] == kind]


class Place:
    """A work folder, and what is to happen to its partitions."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.marks, self.gate = path, path / "marks", path / "gate"
        self.marks.mkdir()
        self._monkeypatch = monkeypatch
        self.work = work_folder(path / "w")
        self.work.begin(JOB)
        self.happens()

    def happens(self, **what: Any) -> None:
        """Set what happens; partitions that are held wait until `release`."""
        text = json.dumps({"marks": str(self.marks), "gate": str(self.gate), **what})
        self._monkeypatch.setenv("SQUARES", text)

    def release(self) -> None:
        """Have the partitions go on that are held."""
        self.gate.touch()

    def run(self, engine: Any, board: Any = None, resources: Resources | None = None) -> None:
        do_job(
            SquareStages(), self.work, JOB, resources or Resources(threads=1),
            engine=engine, board=board,
        )  # fmt: skip

    def lines(self) -> str:
        finalise(self.work, JOB, self.path / "out", force=True)
        return (self.path / "out").read_text()

    def begun(self, index: int | str) -> int:
        """How often a partition was begun."""
        return len(list(self.marks.glob(f"{index}.*")))

    def pids(self) -> set[int]:
        """Of all processes there were."""
        return {int(path.name.rpartition(".")[2]) for path in self.marks.glob("loaded.*")}


@pytest.fixture
def place(tmp_path, monkeypatch):
    return Place(tmp_path, monkeypatch)


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def test_processes_share_the_partitions_and_load_once(place):
    board = Told()
    place.happens(warn="regions lie outside")
    place.run(LocalEngine(2), board)
    assert place.lines() == LINES
    assert len(place.pids()) == 2
    assert all(map(gone, place.pids()))
    assert sorted(board.of("done")) == [(index,) for index in range(N)]
    assert {where.split(" (")[0] for _, where in board.of("running")} == {"process 1", "process 2"}
    # Given again, there is nothing to do, and nobody is asked.
    place.run(None)
    place.run(LocalEngine(2), board)
    assert board.events[-1] == ("begin", N, N)
    assert sum(map(place.begun, range(N))) == N


def test_a_killed_process_costs_its_partition_and_nothing_else(place):
    board = Told()
    place.happens(kill={"2": 1, "4": 2})
    place.run(LocalEngine(2), board)
    assert place.lines() == LINES
    assert [place.begun(index) for index in range(N)] == [1, 1, 2, 1, 3, 1]
    assert sorted((index, why) for index, _, why in board.of("lost")) == [
        (2, "killed by SIGKILL (out of memory?)"),
        (4, "killed by SIGKILL (out of memory?)"),
        (4, "killed by SIGKILL (out of memory?)"),
    ]


def test_a_partition_that_kills_every_process_is_given_up(place):
    place.happens(kill={"3": 99})
    with pytest.raises(
        PartitionsFailed,
        match=r"w: 1 partition of square failed \(3\): lost 3 times, the last time killed by "
        r"SIGKILL \(out of memory\?\) \(on process 1 \(pid \d+\)\); mend that and give the same c",
    ):
        place.run(LocalEngine(1))
    assert place.begun(3) == 3
    # What was finished before is kept; 4 and 5 were not begun.
    assert [place.work.is_done(index) for index in range(N)] == [True, True, True] + [False] * 3
    place.happens()
    place.run(LocalEngine(1))
    assert place.lines() == LINES


def test_an_error_is_told_and_nobody_begins_another(place):
    board = Told(on_failed=lambda index: place.release())
    # A process that begins one of these is not done with it before the failure is known.
    place.happens(held=("3", "4", "5"), fail=["2"])
    with pytest.raises(
        PartitionsFailed,
        match=r"\(2\): numbers\.txt:7: number 2 cannot be squared \(on process \d \(pid \d+\)\); m",
    ):
        place.run(LocalEngine(2), board)
    # What the neighbour had begun, it ended.
    assert place.begun(2) == 1
    others = [index for index in range(N) if index != 2]
    assert [place.work.is_done(index) for index in others] == list(map(place.begun, others))
    assert place.begun(4) + place.begun(5) == 0
    assert all(map(gone, place.pids()))
    assert [index for index, _, _ in board.of("failed")] == [2]


def test_threads_of_a_process_have_partitions_of_their_own(place):
    board = Told()
    place.run(LocalEngine(1), board, Resources(threads=3))
    assert place.lines() == LINES
    assert len(place.pids()) == 1
    assert [event[0] for event in board.events[1:4]] == ["running"] * 3


def test_what_another_has_finished_meanwhile_is_not_done_again(place):
    """As if the same command ran elsewhere, on a disk whose locks are none."""
    others = []

    def finish_the_last(index: int, where: str) -> None:
        if not others:
            others.append(index)
            place.run(None)

    board = Told(finish_the_last)
    place.run(LocalEngine(1), board)
    assert place.lines() == LINES
    assert sorted(board.of("done")) == [(index,) for index in range(N)]
    assert place.begun(5) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_the_one_that_started_them(place, number):
    """Killed, interrupted: the children end, and the same command goes on."""
    place.happens(held=ALL)
    script = (
        "import sys; sys.path[:0] = sys.argv[1].split(':')\n"
        "import signal\n"
        "from test_local_engine import JOB, LocalEngine, Resources, SquareStages, do_job\n"
        "from small_job import work_folder\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "do_job(SquareStages(), work_folder(sys.argv[2]), JOB, Resources(threads=1), "
        "engine=LocalEngine(2))\n"
    )
    paths = ":".join(path for path in sys.path if "tests" in path)
    command = [sys.executable, "-c", script, paths, str(place.work.path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: place.begun(0) and place.begun(1))
        process.send_signal(number)
        assert process.wait(timeout=PATIENCE) != 0
        wait_until(lambda: all(map(gone, place.pids())))
    finally:
        process.kill()
    assert len(place.pids()) == 2
    place.happens()
    place.run(LocalEngine(2))
    assert place.lines() == LINES


def test_a_gpu_for_every_process(monkeypatch):
    """Pretended: what matters is what each of them is shown."""
    engine = LocalEngine(gpus=lambda: ["2", "5", "GPU-1a"])
    assert engine.n_workers == 3

    def places(device: str, n: int | None = None, n_partitions: int = 9) -> list[Any]:
        task = Task(("phylotools", "tracks-partition", "w", "--device", device), "tracks", "w")
        made = LocalEngine(n, gpus=lambda: ["2", "5", "GPU-1a"]).places(task, n_partitions)
        return [(dict(place.environment), place.command[4], place.n_at_once) for place in made]

    seen = [{"CUDA_VISIBLE_DEVICES": name} for name in ("2", "5", "GPU-1a")]
    assert places("auto") == [(each, "auto", 1) for each in seen]
    assert places("cuda:all", n_partitions=2) == [(each, "cuda:all", 1) for each in seen[:2]]
    assert places("auto", 4) == [(each, "auto", 1) for each in (*seen, seen[0])]
    assert places("cuda:0,cuda:2") == [({}, "cuda:0", 1), ({}, "cuda:2", 1)]
    assert [place[:2] for place in places("cpu", 2)] == [({}, "cpu")] * 2
    assert [place[1] for place in places("cuda:1", 2)] == ["cuda:1", "cuda:1"]


def test_threads_are_shared_out(monkeypatch):
    monkeypatch.setattr("phylotools.jobs.engines.local.n_cores", lambda: 8)
    task = Task(("phylotools", "simulate-partition", "w"), "simulate", "w")
    engine = LocalEngine(3, gpus=list)
    assert [place.command for place in engine.places(task, 9)] == [
        ("phylotools", "simulate-partition", "w", "-@", "2", "-")
    ] * 3
    assert LocalEngine(gpus=list).n_workers == 8
    given = Task((*task.command, "-@", "5"), "simulate", "w")
    assert [place.command[-2:] for place in engine.places(given, 2)] == [("5", "-")] * 2


@pytest.mark.parametrize("n_workers", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("total", [0, 1, 15 << 20, 100 << 20, 500_000_000, 4_000_000_000, 10**12])
def test_every_worker_has_as_many_partitions(n_workers, total):
    largest, smallest = 256 << 20, 16 << 20
    size = part_size(total, largest, LocalEngine(n_workers, gpus=list), smallest)
    n_partitions = -(-total // size)
    assert smallest <= size <= largest
    if n_partitions >= n_workers:
        assert n_partitions % n_workers == 0
    if smallest * PARTS_PER_WORKER * n_workers <= total:
        assert n_partitions >= PARTS_PER_WORKER * n_workers


@pytest.mark.parametrize("text", ["local:0", "local:x", "local:-1", "local:9999999999", "local:²"])
def test_no_number_of_processes(text):
    with pytest.raises(UsageError, match=r"--on local:.*: give a number of processes from 1 to"):
        choose_engine(text)


def test_indices_are_a_stream(place):
    """Each is printed when its piece stands, whoever wrote it; what is no number is an error."""
    task = SquareStages().task(place.work, Resources(threads=1))
    with subprocess.Popen(
        task.of_stdin, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=os.environ,
    ) as worker:  # fmt: skip
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert worker.stderr is not None
        for index in (4, 1, 4):
            worker.stdin.write(f"{index}\n")
            worker.stdin.flush()
            assert worker.stdout.readline() == f"{index}\n"
            assert place.work.is_done(index)
        worker.stdin.write("4 5\n")
        worker.stdin.close()
        assert worker.wait(timeout=PATIENCE) == 1
        assert "error: <stdin>:4: '4 5' is no index of a partition" in worker.stderr.read()


def test_a_full_disk_is_one_line_and_the_folder_can_be_used(place, file_size_limit):
    place.happens()
    with (
        file_size_limit(60),
        pytest.raises(
            PartitionsFailed,
            match=r"partitions? of square failed \(0.*\): .+/w: cannot write: File too large",
        ),
    ):
        place.run(LocalEngine(2))
    assert not list((place.work.path / "pieces").iterdir())
    place.run(LocalEngine(2))
    assert place.lines() == LINES


def ended_child(script: str, on_warning: Callable[[str], None] = print) -> Child:
    """A process that has run a script of Python."""
    ended = threading.Event()
    child = Child(
        [sys.executable, "-c", script], on_said=print, on_end=lambda child: ended.set(),
        on_warning=on_warning,
    )  # fmt: skip
    assert ended.wait(PATIENCE)
    return child


def test_a_process_that_is_gone_is_named_a_partition():
    """Between its end and the news of it."""
    child = ended_child("")
    child.give(1)
    child.terminate()
    assert child.end == End(False, "ended with exit code 0")


def test_all_that_a_process_said_is_read_however_late():
    """As where this one gets no time, while the other is long gone."""
    lines = "phylotools: warning: slow\\n", "error: no square: \\u00b2\\r\\nand more"
    child = ended_child(
        f"import sys; sys.stderr.buffer.write('{''.join(lines)}'.encode()); sys.exit(1)",
        lambda text: time.sleep(2),
    )
    assert child.end == End(True, "no square: \u00b2")


def test_a_program_that_outlives_its_process_is_not_waited_for():
    child = ended_child(
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(9999)'])\n"
        "sys.exit('error: no square')"
    )
    assert child.end == End(True, "no square")
    child.kill()


def test_a_stream_of_this_process_is_no_input_of_others(place):
    job = dataclasses.replace(JOB, identities={"/dev/stdin": [3, 4]})
    says = "/dev/stdin: every part reads it: give a file, not a stream"
    with pytest.raises(UsageError, match=says):
        do_job(SquareStages(), place.work, job, Resources(threads=1), engine=LocalEngine(1))
    with pytest.raises(UsageError, match=says):
        begin_job(SquareStages(), place.path / "new", lambda: job)
    assert not (place.path / "new").exists()


def test_an_input_that_changes_meanwhile_is_noticed(place):
    """Also where a process that looked at it when it began goes on with other partitions."""
    numbers = place.path / "numbers.txt"
    numbers.write_text("1 2 3")
    job = dataclasses.replace(JOB, identities=identities_of({str(numbers): "numbers"}))
    board = Told(lambda index, where: numbers.write_text("1 2 3 4") if index == 3 else None)
    other, made = work_folder(place.path / "other"), []
    with pytest.raises(InputError, match=r"numbers\.txt: has changed since the plan was made"):
        do_whole_job(
            SquareStages(), other, job, lambda folder, job: made.append(job),
            Resources(threads=1), engine=LocalEngine(1), board=board,
        )  # fmt: skip
    assert not made
    assert not other.path.exists()
    numbers.write_text("1 2 3")
    other.begin(dataclasses.replace(job, identities=identities_of({str(numbers): "numbers"})))
    numbers.write_text("1 2 3 4")
    with pytest.raises(InputError, match=r"numbers\.txt: has changed since the plan was made"):
        finalise_job(SquareStages(), other.path, lambda folder, job: made.append(job))
    assert not made
