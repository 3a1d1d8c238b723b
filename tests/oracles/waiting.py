"""Waiting for what must come, however slow and busy the machine, and runs that wait for a test.

A test that ends a run at some moment has to find it alive: one that sleeps for a while, or looks at
the disk now and then, comes too early or too late on a machine that stands still for seconds. Such
a run is `held` where it must not get further.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

#: Seconds until what must come at once is given up. Importing torch alone may take ten, and the
#: first run of a kernel compiles it.
PATIENCE = 300

#: Waits for ever where a file or folder would get one of some names.
_HOLDS = """
import os, pathlib, sys, time

names = sys.argv.pop(1).splitlines()

def hold(event, arguments):
    if event == "os.rename":
        path = pathlib.Path(os.fsdecode(arguments[1])).absolute()
        while any(map(path.match, names)):
            time.sleep(0.1)

sys.addaudithook(hold)
"""
_PROGRAM = "from phylotools.cli.main import main\nmain()\n"


def held(*names: str, program: str = _PROGRAM) -> list[str]:
    """Begin of a command line of the program: nothing gets any of these names, and it never ends.

    Parameters
    ----------
    names : str
        The last parts of a path each, as of `Path.match`; none holds nothing.
    program : str
        In Python. What it starts is not held.
    """
    return [sys.executable, "-c", _HOLDS + program, "\n".join(names)]


def wait_until(
    condition: Callable[[], object],
    process: subprocess.Popen | None = None,
    pause: float = 0.01,
    say: Callable[[], object] = lambda: "waited in vain",
) -> None:
    """Look again and again until something is so; a process must not end before.

    If it does not come, `say` tells what there is instead.
    """
    last = time.monotonic() + PATIENCE
    while True:
        # Before the look: what it did at its end counts.
        is_over = process is not None and process.poll() is not None
        if condition():
            return
        assert not is_over, f"the process has ended with {process.returncode}"
        assert time.monotonic() < last, say()
        time.sleep(pause)
