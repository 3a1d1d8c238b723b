"""A pretended machine: a process below which others run, and which can be switched off.

    python machine.py COMMAND ...

runs a command, and kills it with all that came of it, whoever its parent is by now, when its own
standard input ends: by the wish of who started it, or because that one is dead. So a killed test
leaves nothing behind. It ends when all is dead.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_PRCTL = ctypes.CDLL(None, use_errno=True).prctl


def main(command: list[str]) -> int:
    """Run the command until it ends or standard input does."""
    # Whoever loses its parent here becomes our child, daemons too.
    _PRCTL(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, preexec_fn=lambda: _PRCTL(_PR_SET_PDEATHSIG, 9, 0, 0, 0)
    )
    threading.Thread(target=_switched_off, daemon=True).start()
    while True:
        try:
            ended, _ = os.wait()
        except ChildProcessError:
            return 0
        if ended == process.pid:
            # A machine whose daemon died has none of its work left either.
            threading.Thread(target=_kill_all, daemon=True).start()


def _switched_off() -> None:
    while os.read(0, 1):
        pass
    _kill_all()


def _kill_all() -> None:
    # Again and again: what is killed may have begun another a moment before.
    while True:
        for number in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.02)


def descendants(root: int) -> list[int]:
    """The processes below a process."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                status = (folder / "stat").read_text()
            except OSError:
                continue
            # The name before it may hold blanks and brackets.
            parents[int(folder.name)] = int(status.rpartition(")")[2].split()[1])
    found: list[int] = []
    last = {root}
    while last:
        last = {child for child, parent in parents.items() if parent in last}
        found += last
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
