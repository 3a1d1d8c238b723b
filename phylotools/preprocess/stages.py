"""Alignments, a tree and perhaps a FASTA to a column store: in three stages, or in one go."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from phylotools.errors import UsageError
from phylotools.io.files import refuse_existing_folder
from phylotools.jobs.runners import InThreads
from phylotools.jobs.work_folder import WorkFolder, work_beside
from phylotools.preprocess.finalise import BuildSummary, finalise
from phylotools.preprocess.partition import run_partition
from phylotools.preprocess.plan import (
    PARTITION_BYTES,
    Plan,
    Settings,
    make_plan,
    partition_bytes_for,
    work_folder,
)
from phylotools.preprocess.projection import BUFFER_BYTES
from phylotools.preprocess.reference import CheckedReference
from phylotools.store import schema

#: Chunks that all partitions at work hold open together.
_ALL_BUFFERS = 4 * BUFFER_BYTES


def build_store(
    alignments: Sequence[str],
    tree: str,
    output: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    force: bool = False,
    on_columns: Callable[[int], None] = lambda n_columns: None,
    on_store: Callable[[Path], None] | None = None,
    work: str | os.PathLike[str] | None = None,
    threads: int = 1,
    partition_bytes: int | None = None,
) -> BuildSummary:
    """Build a column store; it appears whole or not at all.

    What is done of it is kept in a work folder, so that the same call goes on where an earlier
    one was killed. The store does not depend on threads, partitions or kills.

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
    threads : int
    partition_bytes : int, optional
        See `make_plan`; by default as the threads need it.

    Raises
    ------
    InputError
        If an input is damaged, or the inputs contradict each other.
    OutputError
        If `output` exists and `force` is false, or the work folder holds other work.
    """
    refuse_existing_folder(output, force, schema.FOLDER)
    settings = settings or Settings()
    folder = work_folder(work_beside(output) if work is None else work)
    paths = list(alignments)
    partition_bytes = partition_bytes or partition_bytes_for(paths, threads)
    plan = make_plan(paths, tree, settings, partition_bytes=partition_bytes)
    # A genome that cannot be read is known before the alignment is.
    genome = _genome(plan)
    with folder.resuming(plan) as job:
        _run(folder, job, range(job.n_partitions), threads, genome, on_columns)
        return finalise(
            folder, job, output, genome=genome, threads=threads, force=force, on_store=on_store
        )


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
    folder = work_folder(work)
    folder.refuse_existing()
    plan = make_plan(list(alignments), tree, settings, partition_bytes=partition_bytes)
    if plan.has_streams:
        raise UsageError("partitions are read when they run: give files, not streams")
    folder.begin(plan)
    return plan


def run_planned(
    work: str | os.PathLike[str],
    indices: Sequence[int],
    threads: int,
    *,
    on_columns: Callable[[int], None] = lambda n_columns: None,
) -> int:
    """Run some partitions of a plan; finished ones are left as they are.

    Returns
    -------
    int
        Reference positions of the blocks read.

    Raises
    ------
    InputError, UsageError
    """
    folder = work_folder(work)
    plan = folder.read_plan()
    plan.check_inputs()
    n_columns = 0

    def count(n_more: int) -> None:
        nonlocal n_columns
        n_columns += n_more
        on_columns(n_more)

    _run(folder, plan, indices, threads, _genome(plan), count)
    return n_columns


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
    folder = work_folder(work)
    plan = folder.read_plan()
    with folder.locked():
        return finalise(folder, plan, output, genome=_genome(plan), threads=threads, force=force)


def _genome(plan: Plan) -> CheckedReference | None:
    return None if plan.settings.fasta is None else CheckedReference(plan.settings.fasta)


def _run(
    folder: WorkFolder[Plan],
    plan: Plan,
    indices: Sequence[int],
    threads: int,
    genome: CheckedReference | None,
    on_columns: Callable[[int], None],
) -> None:
    """Run the partitions that are not finished, in threads; spare ones compress."""
    pending = folder.unfinished(plan, indices)
    runner = InThreads(max(1, min(threads, len(pending))))
    counting = threading.Lock()

    def count(n_columns: int) -> None:
        with counting:
            on_columns(n_columns)

    with contextlib.ExitStack() as stack:
        compressing = None
        if pending and runner.n_threads < threads:
            compressing = ThreadPoolExecutor(threads, thread_name_prefix="compress")
            stack.callback(compressing.shutdown, wait=True, cancel_futures=True)
        run_one = functools.partial(
            run_partition,
            folder,
            plan,
            on_columns=count,
            genome=genome,
            executor=compressing,
            buffer_bytes=min(BUFFER_BYTES, _ALL_BUFFERS // runner.n_threads),
            stop=runner.stop,
        )
        runner(run_one, pending)
