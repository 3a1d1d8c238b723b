"""Work in threads whose results come in order: stages of a stream, and calls of a pool."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Generic, TypeVar

S = TypeVar("S")
T = TypeVar("T")


class Stopped(Exception):
    """Nobody waits any more for what is being done."""


class _Handover(Generic[T]):
    """A short queue between two threads; a failure is handed over in its turn."""

    def __init__(self, size: int, changed: threading.Condition) -> None:
        self.items: deque[T] = deque()
        self.size = size
        self.changed = changed
        self.is_finished = False
        self.failure: BaseException | None = None


class Pipeline:
    """Stages that pass items on in order, with a bound on what waits between two of them.

    A context manager: leaving it, by whatever way, stops the stages and waits for their threads.

    Parameters
    ----------
    on_stop : callable
        Called when the pipeline is left before its end, to end calls that wait for input.
    """

    def __init__(self, on_stop: Callable[[], None] = lambda: None) -> None:
        self._on_stop = on_stop
        self._changed = threading.Condition()
        self._is_stopped = False
        self._threads: list[threading.Thread] = []

    def stage(self, items: Iterable[T], name: str, *, ahead: int = 2) -> Iterator[T]:
        """Iterate in a thread of its own, some items ahead.

        Parameters
        ----------
        items : iterable
            Works when it is asked for its next item.
        name : str
            Of the thread.
        ahead : int
            Most items that wait.

        Returns
        -------
        iterator
            The same items in the same order, then what `items` raised, if it did.
        """
        handover: _Handover[T] = _Handover(ahead, self._changed)
        thread = threading.Thread(target=self._work, args=(items, handover), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return self._received(handover)

    def check(self) -> None:
        """Raise `Stopped` if the pipeline was left; for stages that take long over one item."""
        if self._is_stopped:
            raise Stopped

    def _work(self, items: Iterable[T], handover: _Handover[T]) -> None:
        failure: BaseException | None = None
        try:
            for item in items:
                with self._changed:
                    self._changed.wait_for(
                        lambda: self._is_stopped or len(handover.items) < handover.size
                    )
                    self.check()
                    handover.items.append(item)
                    self._changed.notify_all()
        except BaseException as error:  # whoever receives the items raises it
            failure = error
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                with contextlib.suppress(Stopped):
                    close()
            with self._changed:
                handover.failure = failure
                handover.is_finished = True
                self._changed.notify_all()

    def _received(self, handover: _Handover[T]) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._is_stopped or handover.items or handover.is_finished
                )
                self.check()
                if not handover.items:
                    break
                item = handover.items.popleft()
                self._changed.notify_all()
            yield item
        if handover.failure is not None:
            raise handover.failure

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, kind: object, *failure: object) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        if kind is not None or any(thread.is_alive() for thread in self._threads):
            self._on_stop()
        for thread in self._threads:
            # One that an interrupt kept from starting cannot be waited for.
            with contextlib.suppress(RuntimeError):
                thread.join()


def in_order(
    pool: Executor, function: Callable[[S], T], items: Iterable[S], ahead: int
) -> Iterator[T]:
    """Yield the results of a function in the order of its arguments, `ahead` more in the making."""
    waiting: deque[Future[T]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
