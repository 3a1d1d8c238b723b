"""Runners: functions that have the partitions of a job done.

A runner is asked to see to some partitions and returns when all of them are finished. It may call
`run_one` for each, wherever it likes in this process; one that has a cluster at hand may have the
command ``phylotools VERB-partition WORK I`` run there instead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from phylotools.jobs.job import Partition

RunOne = Callable[[Partition], None]


def in_turn(run_one: RunOne, partitions: Sequence[Partition]) -> None:
    """Run partitions one after the other."""
    for partition in partitions:
        run_one(partition)


def share_out(
    workers: Sequence[RunOne],
    partitions: Iterable[Partition],
    on_stop: Callable[[], None] = lambda: None,
) -> None:
    """Have workers, each with a device or a thread of its own, run the next partition that is left.

    After a failure, or when the caller is interrupted, none begins another.

    Parameters
    ----------
    workers : sequence of callable
    partitions : iterable of Partition
        The next one may be waited for; it is asked for by one worker at a time.
    on_stop : callable
        Called after a failure, or an interruption: those under way may end early.

    Raises
    ------
    Exception
        The first that a worker raised.
    """
    if len(workers) == 1:
        for partition in partitions:
            try:
                workers[0](partition)
            except BaseException:
                on_stop()
                raise
        return
    shared = _Shared(partitions, on_stop)
    threads: list[threading.Thread] = []
    try:
        for number, run_one in enumerate(workers):
            name = f"worker {number}"
            # Daemons: the one that waits for a partition cannot be called back.
            thread = threading.Thread(target=shared.work, args=(run_one,), name=name, daemon=True)
            thread.start()
            threads.append(thread)
        shared.wait(threads)
    except BaseException:
        shared.stop()
        shared.wait(threads)
        raise
    if shared.failure is not None:
        raise shared.failure


class _Shared:
    """Partitions that threads take one after the other, until there are none or one has failed.

    Parameters
    ----------
    partitions : iterable of Partition
    on_stop : callable

    Attributes
    ----------
    failure : BaseException or None
        The first there was; the others may have failed because they were stopped.
    """

    def __init__(self, partitions: Iterable[Partition], on_stop: Callable[[], None]) -> None:
        self.failure: BaseException | None = None
        self._left, self._on_stop = iter(partitions), on_stop
        self._changed = threading.Condition()
        self._is_over = False
        self._n_running = 0
        # Waits for a partition, perhaps for ever: nobody else may wait for it.
        self._asker: threading.Thread | None = None

    def work(self, run_one: RunOne) -> None:
        """Run partitions; called by each thread."""
        while (partition := self._next()) is not None:
            try:
                run_one(partition)
            except BaseException as error:
                self.stop(error)
            finally:
                with self._changed:
                    self._n_running -= 1
                    self._changed.notify_all()

    def stop(self, failure: BaseException | None = None) -> None:
        """Have no other partition begun, and those under way end early."""
        with self._changed:
            self.failure = self.failure or failure
            self._is_over = True
            self._changed.notify_all()
        self._on_stop()

    def wait(self, threads: Iterable[threading.Thread]) -> None:
        """Return when nothing is under way and nothing will be begun."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over and not self._n_running)
            asker = self._asker
        for thread in threads:
            if thread is not asker:
                thread.join()

    def _next(self) -> Partition | None:
        """The next partition, which the caller runs; None if none is to be begun."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or self._asker is None)
            if self._is_over:
                return None
            self._asker = threading.current_thread()
        partition = None
        try:
            partition = next(self._left, None)
        except BaseException as error:
            self.stop(error)
        with self._changed:
            self._asker = None
            self._is_over = self._is_over or partition is None
            self._n_running += not self._is_over
            self._changed.notify_all()
            return None if self._is_over else partition
