"""Text that must be held in memory, and how much of that there is."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import BinaryIO

from phylotools.errors import InputError

logger = logging.getLogger("phylotools")

_READ = 1 << 24
#: Text that is compressed by more is no data but a few bytes again and again.
_MOST_COMPRESSION = 100
_LARGE = 1 << 30
_WORTH_SAYING = 1 << 28
_CACHED = frozenset({"inactive_file", "active_file"})


class HeldText:
    """All bytes of a stream, by their place.

    Parameters
    ----------
    stream : binary stream
        Decompressed.
    path : str
        Where it comes from.
    remedy : str
        What to do if it does not fit.

    Raises
    ------
    InputError
        If it would take more than half of the memory that is free, or is many megabytes of nearly
        nothing.
    """

    def __init__(self, stream: BinaryIO, path: str, *, remedy: str) -> None:
        self._data = bytearray()
        limit = free_memory() // 2
        try:
            compressed = os.path.getsize(path) if os.path.isfile(path) else None
        except OSError:
            compressed = None
        while chunk := stream.read(_READ):
            size = len(self._data) + len(chunk)
            if size > limit:
                raise InputError(
                    f"decompressed, it is larger than {size >> 20} MB and would be held in memory, "
                    f"of which {2 * limit >> 20} MB are free",
                    path=path,
                    remedy=remedy,
                )
            if compressed is not None and size > max(_LARGE, _MOST_COMPRESSION * compressed):
                raise InputError(
                    f"holds the same again and again: decompressed, it is more than "
                    f"{_MOST_COMPRESSION} times as large",
                    path=path,
                    remedy="look at its beginning: gunzip -c FILE | head -c 1000",
                )
            self._data += chunk
        if len(self._data) > _WORTH_SAYING:
            logger.info("%s is held in memory (%d MB); %s", path, len(self._data) >> 20, remedy)

    def __len__(self) -> int:
        return len(self._data)

    def read(self, start: int, end: int) -> bytes:
        return bytes(memoryview(self._data)[start:end])

    def close(self) -> None:
        self._data = bytearray()


def require_memory(size: int, path: str, *, remedy: str) -> None:
    """Refuse what would take more than half of the memory that is free.

    Raises
    ------
    InputError
    """
    free = free_memory()
    if size > free // 2:
        raise InputError(
            f"takes {size >> 20} MB or more of memory, of which {free >> 20} MB are free",
            path=path,
            remedy=remedy,
        )


def free_memory() -> int:
    """Bytes that this process may still take, as far as the system says."""
    limits = [_free_of_machine(), _free_of_container()]
    return min(limit for limit in limits if limit is not None)


def _free_of_machine() -> int:
    try:
        with open("/proc/meminfo", encoding="ascii") as handle:
            for line in handle:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) << 10
    except (OSError, ValueError):
        pass
    # Of what the machine has, half may be taken by others.
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _free_of_container() -> int | None:
    """What a control group leaves; None without one."""
    for folder, limit, used in (
        ("/sys/fs/cgroup", "memory.max", "memory.current"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        try:
            most, taken = (int(Path(folder, name).read_text()) for name in (limit, used))
            rows = (row.split() for row in Path(folder, "memory.stat").read_text().splitlines())
            # Cached files are given back when memory is asked for.
            cached = sum(int(size) for name, size in rows if name in _CACHED)
        except (OSError, ValueError):  # there is none, or it says `max`
            continue
        return max(most - taken + cached, 0)
    return None
