from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import torch
from likelihood_cases import random_columns, value_and_gradient

from phylotools import threads
from phylotools.phylogeny.tree import parse_newick


@pytest.fixture
def three_threads():
    before = threads.get_threads()
    threads.set_threads(3)
    yield
    threads.set_threads(before)


def test_every_argument_is_handled_once_in_other_threads(three_threads):
    seen, names = [], set()
    barrier = threading.Barrier(3, timeout=300)

    def note(argument: int) -> None:
        names.add(threading.current_thread().name)
        seen.append(argument)
        if argument < 3:
            barrier.wait()  # three at once, or it breaks

    threads.map_in_threads(note, range(50))
    assert sorted(seen) == list(range(50))
    assert len(names) == 3


def test_an_error_in_a_thread_comes_out(three_threads):
    def fail(argument: int) -> None:
        raise ValueError(f"at {argument}")

    with pytest.raises(ValueError, match="at 0"):
        threads.map_in_threads(fail, range(5))


def test_a_call_within_a_call_does_not_wait_for_itself(three_threads):
    seen = []

    def nest(argument: int) -> None:
        threads.map_in_threads(seen.append, range(4))

    caller = threading.Thread(target=threads.map_in_threads, args=(nest, range(3)), daemon=True)
    caller.start()
    caller.join(timeout=300)
    assert not caller.is_alive()
    assert sorted(seen) == sorted([*range(4)] * 3)


def test_one_thread_at_least():
    before = threads.get_threads()
    threads.set_threads(0)
    assert threads.get_threads() == 1
    threads.set_threads(before)


def _value() -> float:
    import numpy as np

    tree = parse_newick("(" + ",".join(f"t{i}:0.1" for i in range(200)) + ");")
    rng = np.random.default_rng(0)
    states = random_columns(rng, 2000, tree)
    theta = torch.from_numpy(rng.normal(size=(2000, 4)).astype(np.float32))
    return value_and_gradient(states, theta, tree)[0].sum().item()


#: In a process of its own: a fork leaves locked what torch's threads, if started, had locked.
FORK = """
import os, sys
from phylotools import threads
threads.set_threads(3)
threads.map_in_threads(lambda argument: None, range(50))
child = os.fork()
if child == 0:
    seen = []
    threads.map_in_threads(seen.append, range(50))
    os._exit(0 if sorted(seen) == list(range(50)) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_has_threads_of_its_own():
    """As a loader's worker: the parent's threads do not survive a fork."""
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=300)


def test_calls_from_several_threads_at_once(three_threads):
    expected = _value()
    found: list[float] = []
    callers = [threading.Thread(target=lambda: found.append(_value())) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=300)
    assert found == [expected] * 4
