from __future__ import annotations

import signal
import threading
import time

import pytest

from phylotools.jobs.job import Partition
from phylotools.jobs.runners import in_turn, share_out

PARTITIONS = [Partition(index, None) for index in range(20)]


def wait_for_threads():
    """Until no worker is left: the last words of a thread come after what it has done."""
    last = time.monotonic() + 120
    while any("worker" in thread.name for thread in threading.enumerate()):
        assert time.monotonic() < last
        time.sleep(0.01)


def test_partitions_are_run_in_turn():
    done: list[Partition] = []
    in_turn(done.append, PARTITIONS)
    assert done == PARTITIONS


@pytest.mark.parametrize("n_workers", [1, 3])
def test_the_first_error_stops_those_under_way(n_workers):
    stopped, begun = threading.Event(), []

    def run_one(partition):
        begun.append(partition.index)
        if partition.index == 2:
            raise ValueError("two")
        if n_workers > 1 and partition.index < 2:
            assert stopped.wait(timeout=120)
            raise OSError("stopped")

    with pytest.raises(ValueError, match="two"):
        share_out([run_one] * n_workers, PARTITIONS, stopped.set)
    assert stopped.is_set()
    assert sorted(begun) == [0, 1, 2]
    wait_for_threads()


@pytest.mark.parametrize("n_workers", [1, 3])
def test_workers_share_partitions_out(n_workers):
    done: list[list[int]] = [[] for _ in range(n_workers)]
    # Each waits for the others once: all of them are at work together.
    together = threading.Barrier(n_workers)

    def worker(own):
        def run_one(partition):
            if not own:
                together.wait(timeout=120)
            own.append(partition.index)

        return run_one

    share_out([worker(own) for own in done], PARTITIONS)
    assert sorted(index for own in done for index in own) == list(range(20))
    assert all(own == sorted(own) and own for own in done)


@pytest.mark.parametrize("n_workers", [1, 3])
def test_after_a_worker_failed_none_begins_another(n_workers):
    begun, stopped = [], threading.Event()

    def run_one(partition):
        begun.append(partition.index)
        if partition.index == 2:
            raise ValueError("two")
        if n_workers > 1:
            # They end, without an error, when the failure is known.
            assert stopped.wait(timeout=120)

    with pytest.raises(ValueError, match="two"):
        share_out([run_one] * n_workers, PARTITIONS, stopped.set)
    assert sorted(begun) == [0, 1, 2]


def test_a_failure_is_told_while_another_worker_waits_for_a_partition():
    """They come as somebody names them, who names no more before he hears of this one."""
    is_asked, is_told, waited = threading.Event(), threading.Event(), []

    def named():
        yield PARTITIONS[0]
        is_asked.set()
        waited.append(is_told.wait(timeout=120))

    def run_one(partition):
        is_asked.wait(timeout=120)
        raise ValueError("no square")

    with pytest.raises(ValueError, match="no square"):
        share_out([run_one] * 3, named())
    assert not waited
    is_told.set()


@pytest.mark.parametrize("n_workers", [1, 3])
def test_an_error_in_naming_partitions_is_told(n_workers):
    done: list[int] = []

    def named():
        yield PARTITIONS[0]
        raise ValueError("'x' is no index")

    with pytest.raises(ValueError, match="is no index"):
        share_out([lambda partition: done.append(partition.index)] * n_workers, named())
    assert done == [0]


def test_an_interruption_stops_the_workers():
    """In the thread that waits, as Ctrl-C does it."""
    stopped = threading.Event()

    def run_one(partition):
        if partition.index == 0:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        assert stopped.wait(timeout=120)

    with pytest.raises(KeyboardInterrupt):
        share_out([run_one] * 2, PARTITIONS, stopped.set)
    wait_for_threads()
