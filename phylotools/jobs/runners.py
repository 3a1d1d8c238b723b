"""Runners: functions that have the partitions of a job done.

A runner is asked to see to some partitions and returns when all of them are finished. It may call
`run_one` for each, wherever it likes in this process; one that has a cluster at hand may have the
command ``phylotools VERB-partition WORK I`` run there instead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from phylotools.jobs.job import Partition

RunOne = Callable[[Partition], None]


def in_turn(run_one: RunOne, partitions: Sequence[Partition]) -> None:
    """Run partitions one after the other."""
    for partition in partitions:
        run_one(partition)


@dataclass(frozen=True)
class InThreads:
    """Runs partitions in threads: for those that are compiled and let go of the interpreter.

    Attributes
    ----------
    n_threads : int
    stop : Event
        Set when one has failed: the others should end early.
    """

    n_threads: int
    stop: threading.Event = field(default_factory=threading.Event)

    def __call__(self, run_one: RunOne, partitions: Sequence[Partition]) -> None:
        if self.n_threads == 1:
            in_turn(run_one, partitions)
            return
        with ThreadPoolExecutor(self.n_threads, thread_name_prefix="partition") as pool:
            futures = [pool.submit(run_one, partition) for partition in partitions]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                failed = [future for future in futures if future in done and future.exception()]
                if failed:
                    failed[0].result()
            finally:
                self.stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
