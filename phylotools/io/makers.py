"""Who makes a file: a process of a machine, and whether it is gone.

Locks of files say so too, but not everywhere: on some shared disks every machine gets every lock.
"""

from __future__ import annotations

import functools
import os
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: A process of another machine is taken for dead when its files have not changed for so long.
STILL_SECONDS = 86400.0


@dataclass(frozen=True)
class Maker:
    """A process.

    Attributes
    ----------
    host : str
        Of its machine.
    boot : str
        Of the time since the machine was started, and of the container.
    pid : int
    started : str
        Numbers of processes are used again; this tells two of one number apart.
    """

    host: str
    boot: str
    pid: int
    started: str

    def as_text(self) -> str:
        """In one line, without its end."""
        return "\t".join((self.host, self.boot, str(self.pid), self.started))

    def is_gone(self, files: Iterable[Path]) -> bool:
        """Whether the process is dead.

        Parameters
        ----------
        files : iterable of Path
            What it makes. A process of another machine cannot be asked for; what changed within a
            day, by the clock of the disk, has a living maker.
        """
        own = this_process()
        if (self.host, self.boot) == (own.host, own.boot):
            return _started(self.pid) != self.started
        if self.host == own.host and self.boot.split()[:1] != own.boot.split()[:1]:
            return True
        return _seconds_still(list(files)) > STILL_SECONDS


def read_maker(text: bytes) -> Maker | None:
    """The maker that `Maker.as_text` wrote; None if there is none: a kill came first."""
    fields = text.decode("utf-8", "replace").rstrip("\n").split("\t")
    if len(fields) != 4 or not (fields[2].isascii() and fields[2].isdigit()):
        return None
    return Maker(fields[0], fields[1], int(fields[2]), fields[3])


def this_process() -> Maker:
    """The process that asks."""
    pid = os.getpid()
    return Maker(_host(), _boot(), pid, _started(pid) or "")


@functools.cache
def _host() -> str:
    return f"{platform.node()} {_text_of('/etc/machine-id')}".strip()


@functools.cache
def _boot() -> str:
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{_text_of('/proc/sys/kernel/random/boot_id')} {namespace}".strip()


def _text_of(path: str) -> str:
    try:
        return " ".join(Path(path).read_text("utf-8").split())
    except (OSError, ValueError):
        return ""


def _started(pid: int) -> str | None:
    """When a process of this machine began, in ticks; None if there is none such that lives."""
    status = _text_of(f"/proc/{pid}/stat")
    if status:
        # The name in brackets may hold anything.
        fields = status.rpartition(")")[2].split()
        # A zombie has nothing open any more.
        return None if fields[0] in "ZX" else fields[19]
    if os.path.isdir("/proc/self"):
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return ""


def _seconds_still(files: list[Path]) -> float:
    """Seconds since the last of some files changed, by the clock of the disk that they are on."""
    changed = [_changed(path) for path in files]
    if not changed:
        return 0.0
    # What was made this moment has the disk's time, which need not be ours.
    probe = files[0].with_name(f"{files[0].name}.now")
    try:
        descriptor = os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            now = os.fstat(descriptor).st_mtime
        finally:
            os.close(descriptor)
            os.unlink(probe)
    except OSError:
        now = time.time()
    return now - max(changed)


def _changed(path: Path) -> float:
    """When a file, or the last file in a folder, changed; now if it cannot be seen."""
    try:
        times = [os.lstat(path).st_mtime]
        for folder, _, names in os.walk(path):
            times += [os.lstat(os.path.join(folder, name)).st_mtime for name in names]
    except OSError:
        return float("inf")
    return max(times)
