"""Runners: functions that have the partitions of a job done.

A runner is asked to see to some partitions and returns when all of them are finished. It may call
`run_one` for each, wherever it likes in this process; one that has a cluster at hand may have the
command ``phylotools VERB-partition WORK I`` run there instead.
"""

from __future__ import annotations

import threading
from collections import deque
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


def share_out(workers: Sequence[RunOne], partitions: Sequence[Partition]) -> None:
    """Have workers, each with a device of its own, run the next partition that is left.

    After a failure, or when the caller is interrupted, none begins another.

    Raises
    ------
    Exception
        The first that a worker raised.
    """
    left = deque(partitions)

    def work(run_one: RunOne) -> None:
        while True:
            try:
                partition = left.popleft()
            except IndexError:
                return
            try:
                run_one(partition)
            except BaseException:
                left.clear()
                raise

    if len(workers) == 1:
        work(workers[0])
        return
    with ThreadPoolExecutor(len(workers), thread_name_prefix="device") as pool:
        try:
            futures = [pool.submit(work, run_one) for run_one in workers]
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            left.clear()
    for future in futures:
        future.result()
