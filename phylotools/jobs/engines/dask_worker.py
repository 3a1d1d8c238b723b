"""What a worker of Dask does with a partition: it has a process of its own run it.

The process stays for a while, with what it has loaded, for the next partition. Its memory, threads
and crashes are not those of the worker.
"""

from __future__ import annotations

import os
import platform
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from phylotools.jobs.engines.child import Child, stop
from phylotools.jobs.engines.engine import Task
from phylotools.jobs.engines.local import option, with_option
from phylotools.threads import n_cores
from phylotools.version import __version__

#: A process that was given nothing for so long ends: whoever had it started may be gone.
IDLE_SECONDS = 60.0
#: How a partition ended on a worker.
DONE, FAILED, LOST = "done", "failed", "lost"


@dataclass
class _Kept:
    """A process that waits for a partition, or runs one."""

    child: Child
    events: SimpleQueue[bool]
    warnings: list[str]
    timer: threading.Timer | None = None


@dataclass
class _Processes:
    """Processes of a run, by its name."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    idle: dict[str, list[_Kept]] = field(default_factory=dict)
    busy: dict[str, list[_Kept]] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)


_processes = _Processes()


def look(work: str) -> dict[str, Any]:
    """What a worker can see of a work folder."""
    return {"host": platform.node(), "sees": os.path.isdir(work), "version": __version__}


def run_partition(run: str, task: Task, index: int, topic: str) -> tuple[str, str, str, list[str]]:
    """Run a partition on the worker that this is called on.

    Parameters
    ----------
    run : str
        Name of the run: its processes end together.
    task : Task
    index : int
    topic : str
        Of the events by which it is told that a partition was begun.

    Returns
    -------
    tuple
        `DONE`, `FAILED` or `LOST`; where; why; warnings.
    """
    from distributed import get_worker

    worker = get_worker()
    kept = _take(run, _command(task, worker.state.nthreads))
    where = f"{platform.node()} (worker {os.getpid()}, pid {kept.child.pid})"
    worker.log_event(topic, [index, where, worker.get_current_task()])
    kept.child.give(index)
    has_ended = kept.events.get()
    warnings, kept.warnings[:] = list(kept.warnings), []
    if not has_ended:
        _give_back(run, kept)
        return DONE, where, "", warnings
    with _processes.lock:
        _processes.busy[run].remove(kept)
    assert kept.child.end is not None
    return FAILED if kept.child.end.is_error else LOST, where, kept.child.end.why, warnings


def end_run(run: str) -> None:
    """End the processes of a run on the worker that this is called on."""
    with _processes.lock:
        _processes.stopped.add(run)
        children = [kept.child for kept in _processes.idle.pop(run, [])]
        children += [kept.child for kept in _processes.busy.get(run, [])]
    stop(children)


def _command(task: Task, n_threads: int) -> list[str]:
    """The command with this worker's interpreter and its share of the cores."""
    command = [sys.executable, *task.of_stdin[1:]]
    if option(command, "-@") is None:
        command = with_option(command, "-@", str(max(1, n_cores() // n_threads)))
    return command


def _take(run: str, command: Sequence[str]) -> _Kept:
    """A process that waits, or a fresh one."""
    with _processes.lock:
        idle = _processes.idle.setdefault(run, [])
        busy = _processes.busy.setdefault(run, [])
        while idle:
            kept = idle.pop()
            assert kept.timer is not None
            kept.timer.cancel()
            # One that has ended meanwhile has nothing to tell.
            if kept.events.empty():
                busy.append(kept)
                return kept
        if run in _processes.stopped:
            raise RuntimeError("this run was ended")
        events: SimpleQueue[bool] = SimpleQueue()
        warnings: list[str] = []
        child = Child(
            command,
            on_said=lambda child: events.put(False),
            on_end=lambda child: events.put(True),
            on_warning=warnings.append,
        )
        kept = _Kept(child, events, warnings)
        busy.append(kept)
        return kept


def _give_back(run: str, kept: _Kept) -> None:
    """Let a process wait for the next partition."""
    with _processes.lock:
        _processes.busy[run].remove(kept)
        kept.timer = threading.Timer(IDLE_SECONDS, _drop, (run, kept))
        kept.timer.daemon = True
        kept.timer.start()
        if run in _processes.stopped:
            kept.child.let_go()
        else:
            _processes.idle[run].append(kept)


def _drop(run: str, kept: _Kept) -> None:
    with _processes.lock:
        idle = _processes.idle.get(run, [])
        if kept in idle:
            idle.remove(kept)
            kept.child.let_go()
