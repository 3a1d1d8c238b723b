"""Making a column store in three stages, or in one go: plan, partitions, the store."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from phylotools.errors import UsageError
from phylotools.io.files import refuse_existing_folder
from phylotools.jobs.engines.engine import Board, Engine, even_size, part_size
from phylotools.jobs.engines.local import LocalEngine
from phylotools.jobs.runners import RunOne
from phylotools.jobs.stages import (
    OnProgress,
    Resources,
    Stages,
    begin_job,
    do_whole_job,
    finalise_job,
    last_step_threads,
)
from phylotools.jobs.work_folder import WorkFolder, work_beside
from phylotools.preprocess.finalise import BuildSummary, finalise
from phylotools.preprocess.partition import run_partition
from phylotools.preprocess.plan import (
    PARTITION_BYTES,
    SMALLEST_PARTITION,
    Plan,
    Settings,
    alignment_bytes,
    make_plan,
)
from phylotools.preprocess.projection import BUFFER_BYTES
from phylotools.preprocess.reference import CheckedReference
from phylotools.store import schema
from phylotools.threads import n_cores

#: Chunks that all partitions at work hold open together.
_ALL_BUFFERS = 4 * BUFFER_BYTES


@dataclass(frozen=True)
class PreprocessStages(Stages[Plan]):
    """What `preprocess` does in parts."""

    kind: ClassVar = Plan
    unit: ClassVar = "columns"
    _stopping: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def working(
        self,
        folder: WorkFolder[Plan],
        job: Plan,
        resources: Resources,
        n_partitions: int | None,
        on_progress: OnProgress,
    ) -> Iterator[Sequence[RunOne]]:
        """See `Stages`: one a thread; threads that would have no partition compress."""
        threads = resources.threads or n_cores()
        n_runners = threads if n_partitions is None else max(1, min(threads, n_partitions))
        with contextlib.ExitStack() as stack:
            compressing = None
            if n_runners < threads:
                compressing = ThreadPoolExecutor(threads, thread_name_prefix="compress")
                stack.callback(compressing.shutdown, wait=True, cancel_futures=True)
            run_one = functools.partial(
                run_partition,
                folder,
                job,
                on_columns=on_progress,
                genome=_genome(job),
                executor=compressing,
                buffer_bytes=min(BUFFER_BYTES, _ALL_BUFFERS // n_runners),
                stop=self._stopping,
            )
            yield [run_one] * n_runners

    def stop(self) -> None:
        self._stopping.set()


def build_store(
    alignments: Sequence[str],
    tree: str,
    output: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    force: bool = False,
    on_columns: OnProgress = lambda n_columns: None,
    on_store: Callable[[Path], None] | None = None,
    work: str | os.PathLike[str] | None = None,
    resources: Resources | None = None,
    engine: Engine | None = None,
    board: Board | None = None,
    partition_bytes: int | None = None,
) -> BuildSummary:
    """Build a column store; it appears whole or not at all.

    What is done of it is kept in a work folder, so that the same call goes on where an earlier
    one was killed. The store does not depend on threads, engine, partitions or kills.

    Parameters
    ----------
    alignments : sequence of str
        MAF, TAF or aligned FASTA; ``-`` is stdin. Where blocks overlap, the first counts.
    tree : str
        Newick with branch lengths; its tips are the species.
    output : str or PathLike
        Folder to make.
    settings : Settings, optional
    force : bool
        Replace an existing output.
    on_columns : callable
        Gets the number of reference positions of the blocks added, now and then.
    on_store : callable, optional
        See `finalise`.
    work : str or PathLike, optional
        Work folder; by default ``OUTPUT.work``. It is removed at the end.
    resources : Resources, optional
        Of this process, or of each worker of an engine; by default every core.
    engine, board :
        See `do_job`.
    partition_bytes : int, optional
        See `make_plan`; by default as the threads, or the engine's workers, need it.

    Raises
    ------
    InputError
        If an input is damaged, or the inputs contradict each other.
    UsageError
        If an engine is given and an input is a stream.
    OutputError
        If `output` exists and `force` is false, or the work folder holds other work.
    """
    refuse_existing_folder(output, force, schema.FOLDER)
    settings, resources = settings or Settings(), resources or Resources()
    stages = PreprocessStages()
    folder = stages.folder(work_beside(output) if work is None else work)
    paths = list(alignments)
    size = partition_bytes or _partition_bytes(paths, resources, engine)
    plan = make_plan(paths, tree, settings, partition_bytes=size)
    if engine is not None:
        _refuse_streams(plan)
    # A genome that cannot be read is known before the alignment is.
    genome = _genome(plan)
    return do_whole_job(
        stages,
        folder,
        plan,
        functools.partial(
            finalise,
            output=output,
            genome=genome,
            threads=last_step_threads(resources, engine),
            force=force,
            on_store=on_store,
        ),
        resources,
        engine=engine,
        board=board,
        on_progress=on_columns,
    )


def _partition_bytes(alignments: list[str], resources: Resources, engine: Engine | None) -> int:
    """Bytes of a partition that keep all threads, of all workers, busy to the end."""
    n_at_once = resources.threads or n_cores()
    if isinstance(engine, LocalEngine):
        n_at_once = engine.n_threads(resources.threads)
    elif engine is not None:
        return part_size(alignment_bytes(alignments), PARTITION_BYTES, engine, SMALLEST_PARTITION)
    return even_size(alignment_bytes(alignments), PARTITION_BYTES, n_at_once, SMALLEST_PARTITION)


def _refuse_streams(plan: Plan) -> None:
    if plan.has_streams:
        raise UsageError("partitions are read when they run: give files, not streams")


def init_work(
    alignments: Sequence[str],
    tree: str,
    work: str | os.PathLike[str],
    settings: Settings,
    *,
    partition_bytes: int = PARTITION_BYTES,
) -> Plan:
    """Make a work folder with a plan.

    Parameters
    ----------
    alignments, tree, settings, partition_bytes :
        See `make_plan`.
    work : str or PathLike
        Folder to make.

    Raises
    ------
    InputError, UsageError, OutputError
    """

    def planned() -> Plan:
        plan = make_plan(list(alignments), tree, settings, partition_bytes=partition_bytes)
        _refuse_streams(plan)
        return plan

    return begin_job(PreprocessStages(), work, planned)


def finalise_planned(
    work: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    threads: int = 1,
    force: bool = False,
) -> BuildSummary:
    """Make the store of a plan whose partitions are finished.

    Raises
    ------
    PhylotoolsError, InputError, OutputError
    """

    def put_together(folder: WorkFolder[Plan], plan: Plan) -> BuildSummary:
        return finalise(folder, plan, output, genome=_genome(plan), threads=threads, force=force)

    return finalise_job(PreprocessStages(), work, put_together)


def _genome(plan: Plan) -> CheckedReference | None:
    return None if plan.settings.fasta is None else CheckedReference(plan.settings.fasta)
