from __future__ import annotations

import threading
import time

import pytest

from phylotools.jobs.job import Partition
from phylotools.jobs.runners import InThreads, in_turn

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
