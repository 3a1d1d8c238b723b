"""What a job in parts costs beside its parts, and what a lost node costs.

python benchmarks/contract.py [--partitions 1000] [--workers 2] [--scale 1000] [--runs 3]

1. The real thing: plan, processes of `--on local:N`, hand-over, pieces written and flushed, the
   coordinator's looks at them, the checks before the last step; parts sleep a minute divided by
   `--scale`. Whatever the run takes beyond the sleeps is the contract's; it does not shrink with
   the parts, so for parts of a minute it is divided by a minute each.
2. Simulated, with the ledger that every engine uses and a clock of its own: nodes that are lost at
   some rate and replaced, and what each loss costs.
"""

from __future__ import annotations

import argparse
import functools
import heapq
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from phylotools.jobs.engines.engine import PartitionsFailed, SilentBoard, Task
from phylotools.jobs.engines.ledger import Ledger
from phylotools.jobs.engines.local import LocalEngine
from phylotools.jobs.job import Job, Partition
from phylotools.jobs.runners import RunOne
from phylotools.jobs.stages import OnProgress, Resources, Stages, do_job, run_partitions
from phylotools.jobs.work_folder import WorkFolder

MINUTE = 60.0
_ENTRY = np.dtype([("offset", "<i8"), ("size", "<i8")])
#: A piece's data: enough to be written and flushed.
_DATA = b"0123456789abcdef" * 4096


@dataclass(frozen=True, kw_only=True)
class Sleeps(Job):
    """Partitions that sleep, each so many seconds."""

    verb: ClassVar[str] = "sleep"
    version: ClassVar[int] = 1
    extents: tuple[float, ...]

    def output(self) -> tuple[Any, ...]:
        return self.extents


class SleepStages(Stages[Sleeps]):
    """What sleeping in parts is."""

    kind: ClassVar = Sleeps
    unit: ClassVar = "seconds"

    @contextmanager
    def working(
        self,
        folder: WorkFolder[Sleeps],
        job: Sleeps,
        resources: Resources,
        n_partitions: int | None,
        on_progress: OnProgress,
    ) -> Iterator[Sequence[RunOne]]:
        yield [functools.partial(_sleep, folder)]

    def task(self, folder: WorkFolder[Sleeps], resources: Resources) -> Task:
        work = str(folder.path.absolute())
        command = (sys.executable, "-P", __file__, "--worker", work, *resources.arguments())
        return Task(command, "sleep", work)


def _sleep(folder: WorkFolder[Sleeps], partition: Partition) -> None:
    time.sleep(partition.extent)
    with folder.writing(partition, _ENTRY) as writer:
        writer.add(_DATA, size=len(_DATA))
        writer.finish({"seconds": partition.extent})


def work_as_told(work: str) -> None:
    """Be a worker: indices from stdin, each printed when its piece stands."""
    indices = (int(line) for line in iter(sys.stdin.readline, ""))
    run_partitions(
        SleepStages(), work, indices, Resources(threads=1),
        on_done=functools.partial(print, flush=True),
    )  # fmt: skip


def processor_seconds() -> float:
    """Of this process and of those of it that have ended."""
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, both))


def measure(n_partitions: int, n_workers: int, scale: float, place: Path) -> dict[str, float]:
    """Seconds of each step of a whole job."""
    job = Sleeps(extents=(MINUTE / scale,) * n_partitions, identities={})
    stages = SleepStages()
    folder = stages.folder(place / "work")
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds[name] = time.perf_counter() - start

    processor = processor_seconds()
    with timed("plan"):
        folder.begin(job)
    with timed("parts"):
        do_job(stages, folder, job, Resources(threads=1), engine=LocalEngine(n_workers))
    with timed("checks"):
        folder.require_all(job)
        for index in range(n_partitions):
            folder.open_piece(index)
    seconds["processor"] = processor_seconds() - processor
    with timed("again"):
        do_job(stages, folder, job, Resources(threads=1), engine=LocalEngine(n_workers))
    asleep = n_partitions * MINUTE / scale / n_workers
    seconds["beside"] = seconds["plan"] + seconds["parts"] - asleep + seconds["checks"]
    return seconds


def contract(n_partitions: int, n_workers: int, scale: float, runs: int) -> None:
    """Print what the contract costs."""
    found = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as place:
            found.append(measure(n_partitions, n_workers, scale, Path(place)))
    print(
        f"{n_partitions:,} partitions of {MINUTE / scale:.3g} s, {n_workers} processes, {runs} "
        f"runs, load {os.getloadavg()[0]:.1f}; median [least, most]"
    )
    for name, says in {
        "plan": "plan written, s",
        "checks": "pieces checked before the last step, s",
        "again": "the same command again, all of it done, s",
        "beside": "by the clock, beside the parts, s",
        "processor": "processor time of all processes, s",
    }.items():
        values = [each[name] for each in found]
        print(f"  {says:48s} {np.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]")
    minutes = n_partitions * MINUTE
    for name, of in (("beside", minutes / n_workers), ("processor", minutes)):
        values = [100 * each[name] / of for each in found]
        print(
            f"  {name + ', of parts of a minute, %':48s} {np.median(values):.3f} "
            f"[{min(values):.3f}, {max(values):.3f}]"
        )


@dataclass(frozen=True)
class Cluster:
    """What is simulated; seconds, but for the rate.

    Attributes
    ----------
    nodes : int
    losses : float
        Of a node, an hour.
    noticed : float
        Until a lost node is known to be lost.
    replaced : float
        From then on, until there is another one.
    start : float
        Until a worker has loaded what it needs.
    """

    nodes: int = 64
    losses: float = 0.0
    noticed: float = 60.0
    replaced: float = 300.0
    start: float = 10.0


@dataclass(frozen=True)
class Outcome:
    """What came of a simulated job: seconds, node seconds, lost nodes."""

    seconds: float
    node_seconds: float
    n_lost: int
    failed: bool


def simulate(parts: Sequence[float], cluster: Cluster, seed: int) -> Outcome:
    """Run a job on a clock of its own: parts take `parts` seconds on any node."""
    random = np.random.default_rng(seed)
    done: set[int] = set()
    task = Task(("true",), "sleep", "work")
    ledger = Ledger(task, range(len(parts)), done.__contains__, SilentBoard())
    # (when, a number that tells two of one moment apart, what, node, partition)
    events: list[tuple[float, int, str, int, int]] = []
    number = node_seconds = 0.0
    n_lost = 0

    def at(when: float, what: str, node: int, index: int = -1) -> None:
        nonlocal number
        number += 1
        heapq.heappush(events, (when, int(number), what, node, index))

    dies = {}

    def begins(node: int, now: float) -> None:
        dies[node] = now + random.exponential(3600 / cluster.losses) if cluster.losses else np.inf
        at(now + cluster.start, "free", node)

    for node in range(cluster.nodes):
        begins(node, 0.0)
    waiting: list[int] = []
    now = 0.0
    while not ledger.is_over:
        now, _, what, node, index = heapq.heappop(events)
        if what == "new":
            begins(node, now)
            continue
        if what == "lost":
            ledger.lose(index, f"node {node}", "node lost")
            at(now + cluster.replaced, "new", node)
            # Those that had nothing to do have something now.
            for other in waiting:
                at(now, "free", other)
            waiting.clear()
            continue
        if what == "ended":
            done.add(index)
            ledger.finish(index)
        if now >= dies[node]:
            # Between two parts, or while it waited: nothing is lost but the node.
            n_lost += 1
            at(now + cluster.noticed + cluster.replaced, "new", node)
            continue
        wanted = ledger.next()
        if wanted is None:
            waiting.append(node)
            continue
        ledger.begin(wanted, f"node {node}")
        end = now + parts[wanted]
        if end <= dies[node]:
            at(end, "ended", node, wanted)
            node_seconds += parts[wanted]
        else:
            n_lost += 1
            node_seconds += dies[node] - now
            at(dies[node] + cluster.noticed, "lost", node, wanted)
    try:
        ledger.conclude()
    except PartitionsFailed:
        return Outcome(now, node_seconds, n_lost, True)
    return Outcome(now, node_seconds, n_lost, False)


def failures(n_partitions: int, runs: int) -> None:
    """Print what lost nodes cost, by how often they are lost and how long parts are."""
    print(f"simulated: {Cluster.nodes} nodes, the same work in all rows, {runs} runs, means")
    print(
        "| parts | losses of a node an hour | nodes lost | time, beside none lost | node time "
        "beside none lost | node minutes a lost node | jobs given up |"
    )
    print("|---|---|---|---|---|---|---|")
    for minutes in (1, 10, 60):
        n_parts = n_partitions * 10 // minutes
        for losses in (0.0, 0.01, 0.1, 1.0):
            outcomes = []
            for seed in range(runs):
                spread = np.random.default_rng(1000 + seed).lognormal(-0.02, 0.2, n_parts)
                parts = (60.0 * minutes * spread).tolist()
                outcomes.append(
                    (simulate(parts, Cluster(losses=losses), seed), simulate(parts, Cluster(), 0))
                )
            finished = [pair for pair in outcomes if not pair[0].failed]
            given_up = len(outcomes) - len(finished)
            if not finished:
                print(
                    f"| {n_parts:,} of {minutes} min | {losses:g} | | | | | {given_up} of {runs} |"
                )
                continue
            lost = np.mean([each.n_lost for each, _ in finished])
            time_ratio = np.mean([each.seconds / none.seconds for each, none in finished])
            node_ratio = np.mean([each.node_seconds / none.node_seconds for each, none in finished])
            wasted = np.mean([each.node_seconds - none.node_seconds for each, none in finished])
            each_lost = f"{wasted / lost / 60:.2f}" if lost else ""
            print(
                f"| {n_parts:,} of {minutes} min | {losses:g} | {lost:.1f} | {time_ratio:.3f} "
                f"| {node_ratio:.4f} | {each_lost} | {given_up} of {runs} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--partitions", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1000.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--simulations", type=int, default=20)
    parser.add_argument("--worker", metavar="WORK", help=argparse.SUPPRESS)
    given, _ = parser.parse_known_args()
    if given.worker:
        work_as_told(given.worker)
        return
    contract(given.partitions, given.workers, given.scale, given.runs)
    failures(given.partitions, given.simulations)


if __name__ == "__main__":
    main()
