"""Devices that behave as a GPU does, or worse, for tests of what runs on one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class OutOfMemory(RuntimeError):
    """As torch's own, which is a RuntimeError too."""


class LazyDevice:
    """Does nothing before somebody waits for it, and then no more than that needs.

    So work that does not wait for what it depends on reads memory in which that is not yet, and
    memory that is written while earlier work still needs it has the wrong numbers: a real GPU does
    either now and then.

    Attributes
    ----------
    memory_left : int
        Numbers of one allocation that fit.
    n_recorded, n_replayed : int
    """

    out_of_memory: type[Exception] = OutOfMemory

    def __init__(self, *, can_record: bool = True, memory_left: int = 1 << 30) -> None:
        self._streams: list[list[int]] = [[], [], []]
        self._work: list[tuple[Callable[[], None], list[int]]] = []
        self._done: set[int] = set()
        self._can_record = can_record
        self.memory_left = memory_left
        self.n_recorded = self.n_replayed = self.n_released = self.n_in_flight = 0

    def host(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        return torch.full(tuple(shape), 5, dtype=dtype)

    def memory(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        if torch.Size(shape).numel() > self.memory_left:
            raise OutOfMemory("CUDA out of memory. Tried to allocate")
        return torch.full(tuple(shape), 5, dtype=dtype)

    def enqueue(self, stream: int, work: Callable[[], None], after: Sequence[int] = ()) -> int:
        number = len(self._work)
        self._work.append((work, [*self._streams[stream][-1:], *after]))
        self._streams[stream].append(number)
        return number

    def wait(self, event: int) -> None:
        if event in self._done:
            return
        self._done.add(event)
        work, before = self._work[event]
        for earlier in before:
            self.wait(earlier)
        work()

    def graph(self, work: Callable[[], None]) -> Callable[[], None]:
        if not self._can_record:
            raise RuntimeError("operation not permitted when stream is capturing\nCUDA kernel")
        self.n_recorded += 1

        def replay() -> None:
            self.n_replayed += 1
            work()

        return replay

    def release(self) -> None:
        self.n_released += 1
        for event in range(len(self._work)):
            self.wait(event)


class EagerDevice(LazyDevice):
    """Does everything at once, so that what fails fails where it is asked for, as a launch does."""

    def enqueue(self, stream: int, work: Callable[[], None], after: Sequence[Any] = ()) -> int:
        number = super().enqueue(stream, work, after)
        self.wait(number)
        return number
