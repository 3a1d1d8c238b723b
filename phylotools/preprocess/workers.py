"""Partitions in threads: what they compute is compiled and lets go of the interpreter's lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from phylotools.jobs.work_folder import WorkFolder
from phylotools.preprocess.partition import run_partition
from phylotools.preprocess.plan import Plan
from phylotools.preprocess.projection import BUFFER_BYTES
from phylotools.preprocess.reference import CheckedReference

#: Chunks that all partitions at work hold open together.
_ALL_BUFFERS = 4 * BUFFER_BYTES


def run_partitions(
    work: WorkFolder,
    plan: Plan,
    threads: int,
    *,
    indices: Sequence[int] | None = None,
    genome: CheckedReference | None = None,
    on_columns: Callable[[int], None] = lambda n_columns: None,
) -> None:
    """Run every partition of a plan that is not finished.

    Parameters
    ----------
    work : WorkFolder
    plan : Plan
    threads : int
        Partitions at a time; where there are fewer, the others compress.
    indices : sequence of int, optional
        Partitions to run; all unless given.
    genome, on_columns :
        See `run_partition`.

    Raises
    ------
    Exception
        The first that a partition raises; the others are stopped.
    """
    wanted = range(len(plan.spans)) if indices is None else sorted(set(indices))
    pending = [index for index in wanted if not work.is_done(index)]
    n_workers = max(1, min(threads, len(pending)))
    stop, counting = threading.Event(), threading.Lock()

    def count(n_columns: int) -> None:
        with counting:
            on_columns(n_columns)

    def run(index: int, compressing: ThreadPoolExecutor | None) -> None:
        run_partition(
            work,
            plan,
            index,
            on_columns=count,
            genome=genome,
            executor=compressing,
            buffer_bytes=min(BUFFER_BYTES, _ALL_BUFFERS // n_workers),
            stop=stop,
        )

    if n_workers == threads or not pending:
        compressing = None
    else:
        compressing = ThreadPoolExecutor(threads, thread_name_prefix="compress")
    try:
        if n_workers == 1:
            for index in pending:
                run(index, compressing)
            return
        with ThreadPoolExecutor(n_workers, thread_name_prefix="partition") as pool:
            futures = [pool.submit(run, index, compressing) for index in pending]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                failed = [future for future in futures if future in done and future.exception()]
                if failed:
                    failed[0].result()
            finally:
                stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
    finally:
        if compressing is not None:
            compressing.shutdown(wait=True, cancel_futures=True)
