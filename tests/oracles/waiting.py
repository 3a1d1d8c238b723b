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

#: The program, which waits for ever where it would give a file or folder one of some names.
_HELD = """
import fnmatch, os, sys, time

names = sys.argv.pop(1).split("\\n")

def hold(event, arguments):
    if event == "os.rename":
        path = os.path.abspath(os.fsdecode(arguments[1]))
        while any(fnmatch.fnmatchcase(path, "*/" + name) for name in names):
            time.sleep(0.1)

sys.addaudithook(hold)
from phylotools.cli.main import main

main()
"""


def held(*names: str) -> list[str]:
    """Begin of a command line of the program: nothing gets any of these names, and it never ends.

    A name may be the last parts of a path, and have wildcards of the shell. Processes that the
    program starts are not held.
    """
    return [sys.executable, "-c", _HELD, "\n".join(names)]


def wait_until(
    condition: Callable[[], object], process: subprocess.Popen | None = None, pause: float = 0.01
) -> None:
    """Look again and again until something is so; a process must not end before."""
    last = time.monotonic() + PATIENCE
    while True:
        # Before the look: what it did at its end counts.
        is_over = process is not None and process.poll() is not None
        if condition():
            return
        assert not is_over, f"the process has ended with {process.returncode}"
        assert time.monotonic() < last, "waited in vain"
        time.sleep(pause)
