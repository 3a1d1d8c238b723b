"""Segments read ahead, in threads or in processes, and batches cut ahead of their use."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import PhylotoolsError
from phylotools.io.pipeline import Pipeline, Stopped
from phylotools.threads import get_threads
from phylotools.training.segments import Part, Segment, SegmentReader
from phylotools.training.shared_memory import SharedMemory

T = TypeVar("T")
#: A segment that is being read, and its bases if they come apart.
_Awaited = tuple["Future[Segment]", "NDArray[np.uint8] | None"]

#: Threads that read where there are no worker processes: each decodes what a GPU can eat.
_MOST_THREADS = 4
#: Batches that wait for their use.
_AHEAD = 2
#: Seconds between looks at whether the batches are still wanted.
_PATIENCE = 0.1


class Loader:
    """Reads segments ahead of their use, always in the order that is asked for.

    Parameters
    ----------
    readers : sequence of SegmentReader
        One for each store.
    workers : int
        Processes that read; threads of this one if 0. They are spawned, never forked, and end
        with this process however it ends.
    group_bytes : int
        Most bytes of columns in a group.
    """

    def __init__(self, readers: Sequence[SegmentReader], workers: int, group_bytes: int) -> None:
        self._readers = readers
        self._workers = workers
        self._group_bytes = group_bytes

    @contextlib.contextmanager
    def start(self, n_streams: int, stopped: threading.Event) -> Iterator[Reading]:
        """Read so many streams of groups, until this context is left.

        Parameters
        ----------
        n_streams : int
        stopped : Event
            Set by another thread to end this soon.
        """
        reading = Reading(lambda: self._pool(n_streams), stopped)
        try:
            yield reading
        finally:
            reading.end()

    def _pool(self, n_streams: int) -> _Threads | _Processes:
        if self._workers == 0:
            return _Threads(self._readers)
        return _Processes(self._readers, self._workers, self._group_bytes, n_streams)


class Reading:
    """Streams of groups that are read by the same threads or processes.

    Parameters
    ----------
    make_pool : callable
        Starts these, when the first segment is to be read.
    stopped : Event
    """

    def __init__(
        self, make_pool: Callable[[], _Threads | _Processes], stopped: threading.Event
    ) -> None:
        self._make_pool, self._stopped = make_pool, stopped
        self._pool: _Threads | _Processes | None = None

    def segments(
        self, groups: Iterable[tuple[T, Sequence[Part]]], stream: int = 0
    ) -> Generator[tuple[T, list[Segment]]]:
        """The segments of one group after the other; the next group is read meanwhile.

        A group's segments must be forgotten before the next ones are asked for: worker processes
        read the one after those into the same memory.

        Parameters
        ----------
        groups : iterable of (T, sequence of Part)
        stream : int
            Which of the streams this is.
        """
        pending: list[tuple[T, list[_Awaited]]] = []
        try:
            for number, (group, parts) in enumerate(groups):
                pending.append((group, self._submit(parts, 2 * stream + number % 2)))
                # Groups may go on without end: this may not wait for their last.
                if len(pending) > 1:
                    yield _finish(pending, self._stopped)
            while pending:
                yield _finish(pending, self._stopped)
        except Stopped:
            return
        except BrokenProcessPool:
            raise PhylotoolsError(
                "a process that reads the stores was killed, perhaps for want of memory; "
                "lower data.buffer_bytes or data.workers"
            ) from None

    def _submit(self, parts: Sequence[Part], place: int) -> list[_Awaited]:
        if not parts:
            return []
        if self._pool is None:
            self._pool = self._make_pool()
        return self._pool.submit(parts, place)

    def end(self) -> None:
        """Wait for what is being read, and forget the rest."""
        if self._pool is not None:
            self._pool.executor.shutdown(wait=True, cancel_futures=True)


class _Threads:
    """Segments read by threads of this process."""

    def __init__(self, readers: Sequence[SegmentReader]) -> None:
        self._readers = readers
        threads = min(get_threads(), _MOST_THREADS)
        self.executor = ThreadPoolExecutor(threads, thread_name_prefix="reading")

    def submit(self, parts: Sequence[Part], place: int) -> list[_Awaited]:
        return [
            (self.executor.submit(self._readers[part.source].load_part, part), None)
            for part in parts
        ]


class _Processes:
    """Segments read by other processes, into memory with places for two groups of a stream."""

    def __init__(
        self,
        readers: Sequence[SegmentReader],
        workers: int,
        group_bytes: int,
        n_streams: int,
    ) -> None:
        self._readers = readers
        self._group_bytes = group_bytes
        self._memory = SharedMemory(2 * group_bytes * n_streams)
        with _as_for_children():  # locks start a process of their own
            self.executor = ProcessPoolExecutor(
                workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin_worker,
                initargs=(pickle.dumps(list(readers)), self._memory),
            )

    def submit(self, parts: Sequence[Part], place: int) -> list[_Awaited]:
        awaited: list[_Awaited] = []
        start = place * self._group_bytes
        with _as_for_children():  # the first call starts them
            for part in parts:
                future = self.executor.submit(_load_in_worker, part, start)
                shape = part.columns, self._readers[part.source].n_species
                awaited.append((future, self._memory.array(start, shape)))
                start += shape[0] * shape[1]
        return awaited


def _finish(
    pending: list[tuple[T, list[_Awaited]]], stopped: threading.Event
) -> tuple[T, list[Segment]]:
    """The segments of the first group that is pending; `Stopped` if they are not wanted."""
    if stopped.is_set():
        raise Stopped
    group, awaited = pending.pop(0)
    segments = []
    for future, bases in awaited:
        while not future.done() and not stopped.is_set():
            with contextlib.suppress(TimeoutError):
                future.exception(timeout=_PATIENCE)
        if stopped.is_set():
            raise Stopped
        segment = future.result()
        segments.append(segment if bases is None else dataclasses.replace(segment, bases=bases))
    return group, segments


@contextlib.contextmanager
def _as_for_children() -> Iterator[None]:
    """Environment and signals that processes started meanwhile inherit.

    Their libraries use one thread each, as the environment says. The terminal sends an interruption
    to every process: they keep it from the first, for this process ends them. So they do with what
    asks a run to save.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONSAFEPATH")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGUSR1])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclass
class _Worker:
    """State of a worker process.

    The readers are pickled until they are used: an error in its start could not be told from a
    crash.
    """

    pickled: bytes
    memory: SharedMemory
    readers: list[SegmentReader] | None = None


_worker: _Worker | None = None


def _begin_worker(pickled: bytes, memory: SharedMemory) -> None:
    global _worker
    _worker = _Worker(pickled, memory)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    signal.raise_signal(signal.SIGTERM)


def _load_in_worker(part: Part, start: int) -> Segment:
    """The segment without its bases, which lie in the memory from `start` on."""
    assert _worker is not None
    if _worker.readers is None:
        _worker.readers = pickle.loads(_worker.pickled)
    reader = _worker.readers[part.source]
    bases = _worker.memory.array(start, (part.columns, reader.n_species))
    return dataclasses.replace(reader.load_part(part, bases), bases=bases[:0])


def in_background(make: Callable[[threading.Event], Generator[T]]) -> Generator[T]:
    """Iterate in another thread, a little ahead of whoever uses the items.

    Parameters
    ----------
    make : callable
        Returns the iterator; gets an event that is set when no more is wanted.
    """
    stopped = threading.Event()
    with Pipeline(on_stop=stopped.set) as pipeline:
        yield from pipeline.stage(make(stopped), "batches", ahead=_AHEAD)
