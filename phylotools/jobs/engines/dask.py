"""``dask://HOST:PORT``, ``dask:N``: partitions as tasks of Dask's scheduler.

A task asks a worker to run one partition in a process of its own (`dask_worker`). Dask itself
begins a task again whose worker is gone.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import platform
import re
import signal
import tempfile
import time
import uuid
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from phylotools.errors import OutputError, UsageError, shown
from phylotools.jobs.engines.dask_worker import DONE, FAILED, end_run, look, run_partition
from phylotools.jobs.engines.engine import Board, Task, shown_reason
from phylotools.jobs.engines.ledger import Ledger
from phylotools.version import __version__

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger("phylotools")

_MOST_WORKERS = 4096
_CONNECT_SECONDS = 20.0
#: Until the first worker is there: a cluster's queue may take a while to give one.
_WORKERS_SECONDS = 60.0
#: Between two looks at who is there.
_LOOK_SECONDS = 2.0
#: A disk of many machines may show what another one wrote a minute later.
_SEEN_SECONDS = 90.0
#: For a few words that a worker keeps until they are fetched. Is it gone, Dask runs the task again.
_FETCH_SECONDS = 20.0
_SAFE_PATH = "PYTHONSAFEPATH"
_ADDRESS = re.compile(r"(?:(tcp|tls):)?//([^/\s]+:\d{1,5})/?")


def dask_engine(text: str) -> DaskEngine:
    """The engine of ``dask:TEXT``: a number of workers here, or ``//HOST:PORT``.

    Raises
    ------
    UsageError
        If it is neither, or Dask is not installed.
    """
    address = _ADDRESS.fullmatch(text)
    is_number = text.isascii() and text.isdigit() and 0 < int(text[:9]) <= _MOST_WORKERS
    if address is None and not is_number:
        raise UsageError(
            f"--on dask:{shown(text)}: give dask://HOST:PORT, where a scheduler listens, or "
            "dask:N for N workers on this machine"
        )
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise UsageError(
            "--on dask needs the package distributed, which is not installed; install it: "
            "pip install 'phylotools[dask]'"
        ) from None
    if address is None:
        return DaskEngine(n=int(text))
    return DaskEngine(address=f"{address[1] or 'tcp'}://{address[2]}")


@dataclass(frozen=True)
class DaskEngine:
    """Workers of Dask.

    Attributes
    ----------
    address : str, optional
        Of a scheduler.
    n : int, optional
        Of workers that are started on this machine, if there is no address.
    """

    address: str | None = None
    n: int | None = None

    @property
    def n_workers(self) -> int | None:
        """How many partitions run at a time; not known of a cluster."""
        return self.n

    def run(
        self, task: Task, indices: Sequence[int], is_done: Callable[[int], bool], board: Board
    ) -> None:
        """See `Engine`."""
        ledger = Ledger(task, indices, is_done, board)
        # Before its loggers are kept quiet.
        from distributed.comm import CommClosedError

        try:
            with _quiet(), self._connected() as client:
                with _noticing_end():
                    check_workers(client, task)
                with _Tasks(client, task, ledger, board) as tasks:
                    tasks.work()
        except (CommClosedError, CancelledError, TimeoutError) as error:
            raise _scheduler_gone() from error
        ledger.conclude()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Client]:
        """A client of the scheduler; one of this machine ends with the call."""
        from distributed import Client, LocalCluster

        with contextlib.ExitStack() as stack:
            address: Any = self.address
            if address is None:
                stack.enter_context(_safe_path())
                # Here alone: what the cluster starts later is started by threads that start now.
                begin = stack.enter_context(contextlib.ExitStack())
                begin.enter_context(_without_interrupts())
                place = stack.enter_context(tempfile.TemporaryDirectory(prefix="phylotools-dask-"))
                address = stack.enter_context(
                    LocalCluster(
                        n_workers=self.n,
                        threads_per_worker=1,
                        host="127.0.0.1",
                        dashboard_address=None,
                        # Its HTTP server there is in any case, else for all to see, and at a port
                        # that another run may have.
                        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                        # Partitions have processes of their own.
                        memory_limit=0,
                        local_directory=place,
                        silence_logs=logging.CRITICAL,
                    )
                )
                begin.close()
            try:
                client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
            except (OSError, ValueError, RuntimeError) as error:
                raise OutputError(
                    f"--on dask: no scheduler of Dask answers at {self.address} "
                    f"({shown_reason(str(error)) or type(error).__name__}); start one with "
                    "`dask scheduler`, or look whether versions of Dask differ"
                ) from error
            stack.enter_context(client)
            try:
                client.wait_for_workers(1, timeout=_WORKERS_SECONDS)
            except TimeoutError:
                raise OutputError(
                    f"--on dask: the scheduler at {self.address or 'this machine'} has no workers; "
                    f"start some with `dask worker {self.address}`"
                ) from None
            yield client


def check_workers(client: Client, task: Task) -> None:
    """Raise `OutputError` if workers are not as this process is, and see not what it sees."""
    own_python = platform.python_version()
    # First: functions are handed over as they are compiled, and a version reads no other's.
    found_versions: Any = client.get_versions()
    for address, found in found_versions["workers"].items():
        python = ".".join(str(found["packages"].get("python")).split(".")[:3])
        if python.split(".")[:2] != own_python.split(".")[:2]:
            raise OutputError(
                f"--on dask: worker {address} has Python {python}; this is {own_python}: start "
                "workers with the same"
            )
    for address, seen in client.run(look, task.work, on_error="return").items():
        if isinstance(seen, OSError):
            # It is gone, or nobody knows it; its end is noticed as of any other.
            continue
        if not isinstance(seen, dict) or seen["version"] != __version__:
            has = f"phylotools {seen['version']}" if isinstance(seen, dict) else "no phylotools"
            raise OutputError(
                f"--on dask: worker {address} has {has}; this is {__version__}: install the same "
                "version everywhere"
            )
        if not seen["sees"]:
            raise OutputError(
                f"--on dask: worker {address} on {seen['host']} does not see the work folder "
                f"{task.work}; give one with --work on a disk that all workers see, under the "
                "same path"
            )


def _scheduler_gone() -> OutputError:
    return OutputError(
        "--on dask: the scheduler is gone; start it again and give the same command: it goes on "
        "from what is finished"
    )


@contextlib.contextmanager
def _noticing_end() -> Iterator[None]:
    """Turn what a client says of a scheduler that went before it knew into one line."""
    try:
        yield
    except OSError as error:
        raise _scheduler_gone() from error


class _Tasks:
    """Partitions as tasks: as many at a time as workers have threads."""

    def __init__(self, client: Client, task: Task, ledger: Ledger, board: Board) -> None:
        self._client, self._task, self._ledger, self._board = client, task, ledger, board
        self._run = uuid.uuid4().hex
        self._topic = f"phylotools-{self._run}"
        self._futures: dict[int, Future] = {}
        # Where each is, as far as is known.
        self._where: dict[int, str] = {}
        # Those that a worker says are finished, and since when.
        self._claimed: dict[int, float] = {}
        self._begun: SimpleQueue[tuple[int, str, str]] = SimpleQueue()
        self._ended: SimpleQueue[int] = SimpleQueue()
        self._warnings: set[str] = set()
        self._has_workers = True

    def __enter__(self) -> _Tasks:
        self._client.subscribe_topic(self._topic, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        # A scheduler that is gone has nothing to be told.
        with contextlib.suppress(Exception):
            self._client.unsubscribe_topic(self._topic)
            self._client.cancel(list(self._futures.values()))
            self._client.run(end_run, self._run, on_error="ignore")

    def work(self) -> None:
        """Return when nothing is left to begin or to wait for."""
        n_threads, looked_at = 0, -_LOOK_SECONDS
        while not self._ledger.is_over:
            if time.monotonic() - looked_at >= _LOOK_SECONDS:
                n_threads, looked_at = self._n_threads(), time.monotonic()
            while len(self._futures) < n_threads:
                index = self._ledger.next()
                if index is None:
                    break
                self._submit(index)
            with contextlib.suppress(Empty):
                self._settle(self._ended.get(timeout=0.2 if self._claimed else _LOOK_SECONDS))
            self._note_beginnings()
            self._look_at_claims()

    def _n_threads(self) -> int:
        """Threads of all workers that are there now."""
        if self._client.status != "running":
            raise _scheduler_gone()
        cluster = self._client.cluster
        if cluster is not None:
            # Of workers on this machine Dask gives up those that are not back after 15 s, as on a
            # machine under load.
            cluster.scale(len(cluster.worker_spec))
        with _noticing_end():
            n_threads = sum(self._client.nthreads().values())
        if not n_threads and self._has_workers:
            logger.warning("the scheduler has no workers at the moment; waiting for some")
        self._has_workers = bool(n_threads)
        return n_threads

    def _submit(self, index: int) -> None:
        self._where[index] = "a worker of Dask"
        self._ledger.begin(index, self._where[index])
        future = self._client.submit(
            run_partition,
            self._run,
            self._task,
            index,
            self._topic,
            key=f"{self._task.verb}-{index}-{uuid.uuid4().hex}",
            pure=False,
        )
        self._futures[index] = future
        future.add_done_callback(functools.partial(self._note_end, index))

    def _note_end(self, index: int, future: Future) -> None:
        self._ended.put(index)

    def _hear(self, event: tuple[float, Any]) -> None:
        index, where, key = event[1]
        self._begun.put((index, where, key))

    def _note_beginnings(self) -> None:
        """A partition that is begun a second time has lost its first worker."""
        while True:
            try:
                index, where, key = self._begun.get_nowait()
            except Empty:
                return
            # That of an earlier task may come after its end.
            if index not in self._futures or self._futures[index].key != key:
                continue
            if "pid" in self._where[index]:
                self._ledger.lose(index, self._where[index], "its worker is gone")
                again = self._ledger.next()
                if again != index:
                    # It was lost too often, or its first worker had finished it.
                    self._client.cancel([self._futures.pop(index)], force=True)
                    if again is not None:
                        self._submit(again)
                    continue
                self._ledger.begin(index, where)
            else:
                self._board.running(index, where)
            self._where[index] = where

    def _settle(self, index: int) -> None:
        """A task has ended, one way or another."""
        from distributed import KilledWorker

        self._note_beginnings()
        future = self._futures.pop(index, None)
        if future is None:
            return
        where = self._where[index]
        if future.status != "finished":
            reason = "its worker is gone"
            if future.status == "error":
                reason = shown_reason(f"{type(future.exception()).__name__}: {future.exception()}")
            self._ledger.lose(index, where, reason)
            return
        try:
            outcome, where, why, warnings = future.result(_FETCH_SECONDS)
        except (TimeoutError, KilledWorker):
            self._client.cancel([future], force=True)
            self._ledger.lose(index, where, "its worker is gone")
            return
        for warning in set(warnings) - self._warnings:
            self._warnings.add(warning)
            logger.warning("%s", warning)
        if outcome == DONE:
            self._claimed[index] = time.monotonic()
        elif outcome == FAILED:
            self._ledger.fail(index, where, why)
        else:
            self._ledger.lose(index, where, why)

    def _look_at_claims(self) -> None:
        """What workers say is finished counts when its piece is seen."""
        for index, since in list(self._claimed.items()):
            if self._ledger.finish(index):
                del self._claimed[index]
            elif time.monotonic() - since > _SEEN_SECONDS:
                del self._claimed[index]
                self._ledger.fail(
                    index,
                    self._where[index],
                    "its worker says that it is finished, but its piece is not seen here; is "
                    f"{self._task.work} the same folder there",
                )


@contextlib.contextmanager
def _safe_path() -> Iterator[None]:
    """Have interpreters that are started import nothing from the folder that we are in.

    Workers are started by multiprocessing with the options of this interpreter, which need not have
    been started with ``-P``.
    """
    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = before


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Have threads that are started, and their processes, not hear of Ctrl-C.

    A terminal tells it to all processes of a command, and each worker would answer with a
    traceback. What is blocked in a thread is so in what it starts.
    """
    # The first thread that starts a process would start this too, and unblock what is blocked.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's own log off stderr: what matters of it is told in our words."""
    # Dask gives each of its own a level.
    names = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    loggers = [logging.getLogger(name) for name in (*names, "tornado", "asyncio")]
    before = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for each, level in zip(loggers, before, strict=True):
            each.setLevel(level)
