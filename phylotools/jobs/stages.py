"""What verbs do in parts, the same for all: plan, partitions, and the output put together.

A verb says with a subclass of `Stages` what a partition of its job is; how partitions are begun,
gone on with after a kill, handed to an engine and checked is written here once.
"""

from __future__ import annotations

import os
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from phylotools.io.staging import outputs_at_once
from phylotools.jobs.engines.engine import Board, Engine, SilentBoard, Task
from phylotools.jobs.engines.local import LocalEngine
from phylotools.jobs.job import Job, Partition
from phylotools.jobs.runners import RunOne, share_out
from phylotools.jobs.work_folder import WorkFolder
from phylotools.threads import n_cores

J = TypeVar("J", bound=Job)
T = TypeVar("T")
#: Gets how much was done since the last time: positions, records.
OnProgress = Callable[[int], None]


@dataclass(frozen=True)
class Resources:
    """With what a process computes; no result depends on it.

    Attributes
    ----------
    threads : int, optional
        By default every core.
    device : str, optional
        As users name it: ``auto``, ``cuda:1``, ``cuda:0,cuda:1``. It is looked for where the
        partition runs, not where the job is planned. None for verbs without a network, and for the
        device that a loaded model has.
    batch_size : int, optional
        As for `Scorer`.
    """

    threads: int | None = None
    device: str | None = None
    batch_size: int | None = None

    def arguments(self) -> list[str]:
        """As options of the command line."""
        options = {"-@": self.threads, "--device": self.device, "--batch-size": self.batch_size}
        return [
            text
            for name, value in options.items()
            if value is not None
            for text in (name, str(value))
        ]


class Stages(ABC, Generic[J]):
    """What a verb does in parts.

    Attributes
    ----------
    kind : type
        Of its job.
    unit : str
        What its progress counts, in the plural.
    """

    kind: ClassVar[type[Job]]
    unit: ClassVar[str]

    def folder(self, work: str | os.PathLike[str]) -> WorkFolder[J]:
        """The work folder of this verb at a path."""
        return WorkFolder(Path(work), self.kind)  # type: ignore[arg-type]

    @abstractmethod
    def working(
        self,
        folder: WorkFolder[J],
        job: J,
        resources: Resources,
        n_partitions: int | None,
        on_progress: OnProgress,
    ) -> AbstractContextManager[Sequence[RunOne]]:
        """Open once what a process needs for partitions, and yield what runs one of them.

        Parameters
        ----------
        folder : WorkFolder
            Where pieces are written (`WorkFolder.writing`).
        job : Job
        resources : Resources
        n_partitions : int, optional
            How many there are to run; None if they are named one by one.
        on_progress : callable
            May be called from several threads at once.

        Yields
        ------
        sequence of callable
            Each runs one partition at a time, in a thread of its own: one a device, or as many as
            threads.
        """

    def stop(self) -> None:
        """Have partitions that are under way in this process end early; called from any thread.

        Called after one of them failed, or the user interrupted. By default they go on to their
        ends.
        """

    def task(self, folder: WorkFolder[J], resources: Resources) -> Task:
        """The command by which another process runs partitions."""
        work, verb = str(folder.path.absolute()), self.kind.verb
        # -P: nothing is imported from where the user, or a scheduler, happens to stand.
        python = (sys.executable, "-P", "-m", "phylotools")
        return Task((*python, f"{verb}-partition", work, *resources.arguments()), verb, work)


def begin_job(stages: Stages[J], work: str | os.PathLike[str], make_plan: Callable[[], J]) -> J:
    """Make a work folder with a plan.

    Parameters
    ----------
    stages : Stages
    work : str or PathLike
        Folder to make.
    make_plan : callable
        Gives the job, once it is known that the folder can be made.

    Returns
    -------
    Job
        The plan.

    Raises
    ------
    PhylotoolsError
    """
    folder = stages.folder(work)
    folder.refuse_existing()
    plan = make_plan()
    plan.refuse_own_streams()
    folder.begin(plan)
    return plan


def run_partitions(
    stages: Stages[J],
    work: str | os.PathLike[str],
    indices: Iterable[int],
    resources: Resources,
    *,
    on_progress: OnProgress = lambda n: None,
    on_done: Callable[[int], None] = lambda index: None,
) -> int:
    """Run some partitions of a planned job; finished ones are left as they are.

    Parameters
    ----------
    stages : Stages
    work : str or PathLike
        Work folder.
    indices : iterable of int
        A sequence, or a stream whose next index may be waited for.
    resources : Resources
    on_progress : callable
    on_done : callable
        Gets the index of every partition whose piece stands, those that stood before included.

    Returns
    -------
    int
        Partitions that were run.

    Raises
    ------
    PhylotoolsError
    """
    folder = stages.folder(work)
    job = folder.read_plan()
    if isinstance(indices, Sequence):
        return _run(stages, folder, job, indices, resources, on_progress, on_done)
    job.check_inputs()

    def wanted() -> Iterator[Partition]:
        for index in indices:
            pending = folder.unfinished(job, [index])
            if not pending:
                on_done(index)
            yield from pending

    return _share(stages, folder, job, wanted(), None, resources, on_progress, on_done)


def do_job(
    stages: Stages[J],
    folder: WorkFolder[J],
    job: J,
    resources: Resources,
    *,
    engine: Engine | None = None,
    board: Board | None = None,
    on_progress: OnProgress = lambda n: None,
) -> None:
    """Have all partitions of a job finished, here or by an engine.

    Parameters
    ----------
    stages : Stages
    folder : WorkFolder
        Locked, with the job's plan in it.
    job : Job
    resources : Resources
        Of this process, or of each worker.
    engine : Engine, optional
        By default this process does it all.
    board : Board, optional
        Is told what an engine does.
    on_progress : callable
        Of what this process does.

    Raises
    ------
    PhylotoolsError
    """
    everything = range(job.n_partitions)
    if engine is None:
        _run(stages, folder, job, everything, resources, on_progress, lambda index: None)
        return
    job.refuse_own_streams()
    job.check_inputs()
    pending = [partition.index for partition in folder.unfinished(job, everything)]
    board = board or SilentBoard()
    board.begin(job.n_partitions, job.n_partitions - len(pending))
    if pending:
        engine.run(stages.task(folder, resources), pending, folder.is_done, board)


def do_whole_job(
    stages: Stages[J],
    folder: WorkFolder[J],
    plan: J,
    finalise: Callable[[WorkFolder[J], J], T],
    resources: Resources,
    *,
    engine: Engine | None = None,
    board: Board | None = None,
    on_progress: OnProgress = lambda n: None,
) -> T:
    """Do a job from its plan to its output, or what an earlier call has left of it to do.

    Parameters
    ----------
    stages : Stages
    folder : WorkFolder
        Removed at the end.
    plan : Job
    finalise : callable
        Puts the output together.
    resources, engine, board, on_progress :
        See `do_job`.

    Returns
    -------
    Any
        What `finalise` returns.

    Raises
    ------
    PhylotoolsError
    """
    # The output stands before the parts are removed, whatever else the caller writes.
    with outputs_at_once(), folder.resuming(plan) as job:
        do_job(stages, folder, job, resources, engine=engine, board=board, on_progress=on_progress)
        # What changed meanwhile is in some pieces and not in others.
        job.check_inputs()
        return finalise(folder, job)


def last_step_threads(resources: Resources, engine: Engine | None) -> int:
    """Threads that put an output together: those of the workers of this machine, idle by then."""
    n_workers = (engine.n_workers or 1) if isinstance(engine, LocalEngine) else 1
    threads = resources.threads or n_cores()
    return max(threads, min(threads * n_workers, n_cores()))


def finalise_job(
    stages: Stages[J], work: str | os.PathLike[str], finalise: Callable[[WorkFolder[J], J], T]
) -> T:
    """Put the output of a planned job together whose partitions are finished.

    Raises
    ------
    PhylotoolsError
    """
    folder = stages.folder(work)
    job = folder.read_plan()
    with folder.locked():
        job.check_inputs()
        return finalise(folder, job)


def _run(
    stages: Stages[J],
    folder: WorkFolder[J],
    job: J,
    indices: Sequence[int],
    resources: Resources,
    on_progress: OnProgress,
    on_done: Callable[[int], None],
) -> int:
    """Run those of some partitions that are not finished."""
    pending = folder.unfinished(job, indices)
    job.check_inputs()
    for index in dict.fromkeys(indices):
        if folder.is_done(index):
            on_done(index)
    if not pending:
        return 0
    return _share(
        stages, folder, job, pending, len(pending), resources, on_progress, on_done
    )  # fmt: skip


def _share(
    stages: Stages[J],
    folder: WorkFolder[J],
    job: J,
    partitions: Iterable[Partition],
    n_partitions: int | None,
    resources: Resources,
    on_progress: OnProgress,
    on_done: Callable[[int], None],
) -> int:
    """Share partitions out among what this process computes with; returns how many there were."""
    finished: list[int] = []
    counting = threading.Lock()

    def count(n_done: int) -> None:
        with counting:
            on_progress(n_done)

    with stages.working(folder, job, resources, n_partitions, count) as runners:

        def and_say(run_one: RunOne) -> RunOne:
            def run(partition: Partition) -> None:
                run_one(partition)
                finished.append(partition.index)
                on_done(partition.index)

            return run

        share_out([and_say(run_one) for run_one in runners], partitions, stages.stop)
    return len(finished)
