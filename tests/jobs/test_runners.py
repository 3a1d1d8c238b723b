from __future__ import annotations

import threading
import time

import pytest

from phylotools.jobs.job import Partition
from phylotools.jobs.runners import InThreads, in_turn, share_out

PARTITIONS = [Partition(index, None) for index in range(20)]


@pytest.mark.parametrize(
    "runner", [in_turn, InThreads(1), InThreads(4)], ids=["in turn", "one thread", "four threads"]
)
def test_every_partition_is_run_once(runner):
    done = []
    runner(done.append, PARTITIONS)
    assert sorted(partition.index for partition in done) == list(range(20))
    runner(done.append, [])
    assert len(done) == 20


@pytest.mark.parametrize("n_threads", [1, 3])
def test_the_first_error_ends_it(n_threads):
    runner = InThreads(n_threads)
    begun = []

    def run_one(partition):
        begun.append(partition.index)
        if partition.index == 2:
            raise ValueError("two")
        for _ in range(500):
            if runner.stop.is_set():
                return
            time.sleep(0.001)

    with pytest.raises(ValueError, match="two"):
        runner(run_one, PARTITIONS)
    assert len(begun) < 20
    assert not [thread for thread in threading.enumerate() if "partition" in thread.name]


@pytest.mark.parametrize("n_workers", [1, 3])
def test_workers_share_partitions_out(n_workers):
    done: list[list[int]] = [[] for _ in range(n_workers)]
    # Each waits for the others once: all of them are at work together.
    together = threading.Barrier(n_workers)

    def worker(own):
        def run_one(partition):
            if not own:
                together.wait(timeout=20)
            own.append(partition.index)

        return run_one

    share_out([worker(own) for own in done], PARTITIONS)
    assert sorted(index for own in done for index in own) == list(range(20))
    assert all(own == sorted(own) and own for own in done)


@pytest.mark.parametrize("n_workers", [1, 3])
def test_after_a_worker_failed_none_begins_another(n_workers):
    begun, failed = [], threading.Event()

    def run_one(partition):
        begun.append(partition.index)
        if partition.index == 2:
            failed.set()
            raise ValueError("two")
        if partition.index > 2 or n_workers == 1:
            return
        failed.wait(timeout=20)
        time.sleep(0.05)

    with pytest.raises(ValueError, match="two"):
        share_out([run_one] * n_workers, PARTITIONS)
    assert sorted(begun) == [0, 1, 2]
