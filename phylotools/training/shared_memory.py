"""Memory that a process shares with those it starts, and that ends with them however they end."""

from __future__ import annotations

import mmap
import os
import tempfile
from multiprocessing import reduction
from typing import Any

import numpy as np
from numpy.typing import NDArray


class SharedMemory:
    """Bytes without a name: no file is left, and no limit of ``/dev/shm`` applies.

    May be given to a process that is about to be spawned, as an argument of its start.

    Parameters
    ----------
    size : int
        Bytes; those that are never written take no memory.
    """

    def __init__(self, size: int) -> None:
        descriptor = _anonymous_file()
        try:
            os.ftruncate(descriptor, size)
            self._map(descriptor, size)
        except BaseException:
            os.close(descriptor)
            raise

    def _map(self, descriptor: int, size: int) -> None:
        self._bytes = mmap.mmap(descriptor, size)
        self._descriptor, self._size = descriptor, size

    def array(self, start: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """The bytes from `start` on, as a uint8 array; the same in every process."""
        return np.ndarray(shape, dtype=np.uint8, buffer=self._bytes, offset=start)

    def __reduce__(self) -> tuple[Any, ...]:
        return _attach, (reduction.DupFd(self._descriptor), self._size)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


def _attach(handle: Any, size: int) -> SharedMemory:
    memory = SharedMemory.__new__(SharedMemory)
    memory._map(handle.detach(), size)
    return memory


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("phylotools")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
