"""How much memory a process takes, now and at most."""

from __future__ import annotations

import contextlib
import resource
import sys

import torch


class MemoryUse:
    """Memory of this process on a device.

    Parameters
    ----------
    device : torch.device
        A GPU's own memory; else the machine's.
    """

    def __init__(self, device: torch.device) -> None:
        self._gpu = device if device.type == "cuda" else None

    def now(self) -> int:
        """Bytes; at most, where the system tells no more."""
        if self._gpu is not None:
            return torch.cuda.memory_allocated(self._gpu)
        return _of_status("VmRSS") or _most_ever()

    def begin(self) -> None:
        """Forget what was taken at most until now, where the system can."""
        if self._gpu is not None:
            torch.cuda.reset_peak_memory_stats(self._gpu)
            return
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as handle:
            handle.write("5")

    def most(self) -> int:
        """Bytes at most since `begin`."""
        if self._gpu is not None:
            return torch.cuda.max_memory_reserved(self._gpu)
        return _of_status("VmHWM") or _most_ever()

    def free(self) -> int:
        """Bytes that this process may still take."""
        if self._gpu is not None:
            return torch.cuda.mem_get_info(self._gpu)[0]
        from phylotools.io.memory import free_memory

        return free_memory()


def _of_status(name: str) -> int | None:
    """A figure of Linux's own on this process."""
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii") as handle:
        for line in handle:
            if line.startswith(name + ":"):
                return int(line.split()[1]) << 10
    return None


def _most_ever() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
