"""Threads for compiled code that releases the interpreter's lock.

They are Python's: numba's own would not bear calls from several threads at once, nor a fork.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor


def n_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _join_pool() -> None:
    _of_thread.is_pooled = True


_of_thread = threading.local()
_pools: dict[int, ThreadPoolExecutor] = {}
_wanted = n_cores()
if hasattr(os, "register_at_fork"):
    # A forked child has the pools without their threads.
    os.register_at_fork(after_in_child=_pools.clear)


def get_threads() -> int:
    """Threads that the likelihood uses; every core unless set."""
    return _wanted


def set_threads(threads: int) -> None:
    """Let the likelihood use so many threads. No result depends on their number."""
    global _wanted
    _wanted = max(1, threads)


def map_in_threads(
    function: Callable[[int], None], arguments: Sequence[int], threads: int | None = None
) -> None:
    """Call a function that releases the interpreter's lock for every argument.

    A call from one of these threads does all itself: the others may wait for it.

    Parameters
    ----------
    function : callable
    arguments : sequence of int
    threads : int, optional
        At most so many; those of the likelihood unless given.

    Raises
    ------
    Exception
        The first that a call raises.
    """
    threads = min(_wanted if threads is None else threads, len(arguments))
    if threads < 2 or getattr(_of_thread, "is_pooled", False):
        for argument in arguments:
            function(argument)
        return
    if threads not in _pools:
        _pools[threads] = ThreadPoolExecutor(
            threads, thread_name_prefix="compiled", initializer=_join_pool
        )
    for _ in _pools[threads].map(function, arguments):
        pass
