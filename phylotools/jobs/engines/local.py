"""``local:N``: processes on this machine, each of which keeps what it has loaded."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from phylotools.errors import OutputError, UsageError, shown
from phylotools.jobs.engines.child import Child, stop
from phylotools.jobs.engines.engine import Board, Task
from phylotools.jobs.engines.ledger import Ledger
from phylotools.threads import n_cores

logger = logging.getLogger("phylotools")

_MOST_WORKERS = 4096
#: A piece of which a process says that it stands is seen at once, or is gone.
_SEEN_SECONDS = 30.0
_DEVICE, _THREADS = "--device", "-@"
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def local_engine(text: str) -> LocalEngine:
    """The engine of ``local`` or ``local:N``; `text` is N, or empty.

    Raises
    ------
    UsageError
        If it is no number of processes.
    """
    if not text:
        return LocalEngine()
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= _MOST_WORKERS):
        raise UsageError(
            f"--on local:{shown(text)}: give a number of processes from 1 to {_MOST_WORKERS}, as "
            "local:4"
        )
    return LocalEngine(int(text))


@dataclass(frozen=True, eq=False)
class Place:
    """Where a worker of this machine runs.

    Attributes
    ----------
    name : str
        For messages.
    command : tuple of str
        What runs there.
    n_at_once : int
        Partitions that it may have at a time: one a thread.
    environment : dict
    """

    name: str
    command: tuple[str, ...]
    n_at_once: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)


def visible_gpus() -> list[str]:
    """GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` has them."""
    import torch

    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    named = [name.strip() for name in os.environ.get(_VISIBLE, "").split(",") if name.strip()]
    return named[:n_gpus] if named else [str(number) for number in range(n_gpus)]


@dataclass(frozen=True)
class LocalEngine:
    """Processes of this machine.

    Attributes
    ----------
    n : int, optional
        How many; by default one a GPU where there are GPUs and the device is not named as another
        one, else one a core: what a process does in one thread alone (reading, starting) is then
        done beside others.
    gpus : callable
        Names of the GPUs here, as `CUDA_VISIBLE_DEVICES` has them.
    """

    n: int | None = None
    gpus: Callable[[], Sequence[str]] = visible_gpus

    @property
    def n_workers(self) -> int:
        """How many partitions run at a time, at most."""
        return self.n or len(self.gpus()) or n_cores()

    def n_threads(self, each: int | None) -> int:
        """Threads of all processes together, where each has so many; None shares the cores out."""
        return self.n_workers * (each or max(1, n_cores() // self.n_workers))

    def run(
        self, task: Task, indices: Sequence[int], is_done: Callable[[int], bool], board: Board
    ) -> None:
        """See `Engine`."""
        ledger = Ledger(task, indices, is_done, board)
        with _Workers(self.places(task, len(indices)), ledger) as workers:
            workers.work()
        ledger.conclude()

    def places(self, task: Task, n_partitions: int) -> list[Place]:
        """A place for each worker; no more than partitions."""
        devices = self._devices(task)
        n = min(self.n or len(devices) or n_cores(), n_partitions)
        threads = _threads(task.command) or max(1, n_cores() // n)
        places = []
        for number in range(n):
            command = with_option(task.of_stdin, _THREADS, str(threads))
            environment = {}
            name = f"process {number + 1}"
            if devices:
                visible, device = devices[number % len(devices)]
                environment = {_VISIBLE: visible} if visible else {}
                command = with_option(command, _DEVICE, device)
                name = f"GPU {visible or device}"
            # A GPU takes one after the other.
            n_at_once = 1 if devices else threads
            places.append(Place(name, tuple(command), n_at_once, environment))
        return places

    def _devices(self, task: Task) -> list[tuple[str, str]]:
        """The GPUs that workers share: what each sees, and its name for ``--device``."""
        named = option(task.command, _DEVICE)
        if named is None or named == "cpu" or (named.startswith("cuda:") and "," not in named
                                               and named != "cuda:all"):  # fmt: skip
            return []
        if "," in named:
            return [("", name.strip()) for name in named.split(",")]
        # Each worker sees one alone, and finds it whatever device is asked for.
        return [(name, named) for name in self.gpus()]


def option(command: Sequence[str], name: str) -> str | None:
    """The value of an option in a command; None where it is not given."""
    return command[command.index(name) + 1] if name in command else None


def with_option(command: Sequence[str], name: str, value: str) -> list[str]:
    """A command with an option set; before its last argument, which names partitions."""
    changed = list(command)
    if name in changed:
        changed[changed.index(name) + 1] = value
    else:
        changed[-1:-1] = [name, value]
    return changed


def _threads(command: Sequence[str]) -> int | None:
    value = option(command, _THREADS)
    return None if value is None else int(value)


class _Workers:
    """Processes at their places, fed one partition after the other.

    A process that is gone is followed by a fresh one, as long as there is something to do.
    """

    def __init__(self, places: Iterable[Place], ledger: Ledger) -> None:
        self._ledger = ledger
        self._has: dict[Place, list[int]] = {place: [] for place in places}
        self._children: dict[Place, Child] = {}
        # (place, whether its process has ended).
        self._events: SimpleQueue[tuple[Place, bool]] = SimpleQueue()
        self._warnings: set[str] = set()
        # Of how many partitions a process says more than is seen, and since when.
        self._claims: dict[Place, tuple[int, float]] = {}

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            for child in self._children.values():
                child.let_go()
            for child in self._children.values():
                child.wait(1.0)
        stop(child for child in self._children.values() if child.end is None)

    def work(self) -> None:
        """Return when nothing is left to begin or to wait for."""
        ledger = self._ledger
        self._feed()
        while not ledger.is_over:
            with contextlib.suppress(Empty):
                place, has_ended = self._events.get(timeout=1.0 if self._claims else None)
                self._look(place, 0 if has_ended else 1)
                if has_ended:
                    self._bury(place)
            for place in list(self._claims):
                self._look(place, 0)
            self._feed()

    def _look(self, place: Place, n_said: int) -> None:
        """Look what a process has finished; what it says is a hint, and the pieces decide."""
        before = len(self._has[place])
        self._has[place] = [index for index in self._has[place] if not self._ledger.finish(index)]
        claimed, since = self._claims.pop(place, (0, time.monotonic()))
        claimed += n_said - (before - len(self._has[place]))
        if claimed > 0 and self._has[place]:
            if time.monotonic() - since > _SEEN_SECONDS:
                why = "its process says that it is finished, but its piece is gone"
                for index in self._has[place]:
                    self._ledger.fail(index, place.name, why)
                self._has[place] = []
            else:
                self._claims[place] = claimed, since

    def _feed(self) -> None:
        """Give every worker what it may have; those with the least come first."""
        while True:
            hungry = [place for place, has in self._has.items() if len(has) < place.n_at_once]
            if not hungry:
                return
            index = self._ledger.next()
            if index is None:
                return
            place = min(hungry, key=lambda place: len(self._has[place]))
            if place not in self._children:
                self._children[place] = self._start(place)
            child = self._children[place]
            self._ledger.begin(index, f"{place.name} (pid {child.pid})")
            self._has[place].append(index)
            child.give(index)

    def _start(self, place: Place) -> Child:
        try:
            return Child(
                place.command,
                environment=place.environment,
                on_said=lambda child: self._events.put((place, False)),
                on_end=lambda child: self._events.put((place, True)),
                on_warning=self._warn,
            )
        except OSError as error:
            raise OutputError(
                f"--on local: no process can be started ({error.strerror}); try fewer, as local:1"
            ) from error

    def _bury(self, place: Place) -> None:
        """A process is gone: so is what it had and has not finished."""
        child = self._children.pop(place)
        assert child.end is not None
        where = f"{place.name} (pid {child.pid})"
        for index in self._has[place]:
            if child.end.is_error:
                self._ledger.fail(index, where, child.end.why)
            else:
                self._ledger.lose(index, where, child.end.why)
        self._has[place] = []

    def _warn(self, text: str) -> None:
        # Each worker has the same to say.
        if text not in self._warnings:
            self._warnings.add(text)
            logger.warning("%s", text)
