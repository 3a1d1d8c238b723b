"""What a second worker brings: a verb with --on local:2 on two cores against local:1 on one.

Each run is the whole command in a process of its own: plan, workers, the output put together. One
worker is kept on one core, since threads beside its network (of compression, of writing) would
else use the second one. The clock tells only on a quiet machine. Processor time tells on any: of
the first process, which does what is serial, and of its workers, among whom the rest is shared; the
gain that two could have is (serial + shared) / (serial + shared / 2).
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

#: Runs a command of phylotools on so many cores, and prints clock and processor time: its own, and
#: its children's.
_TIMED = """
import json, os, resource, sys, time
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
start = time.perf_counter()
from phylotools.cli.main import run
status = run(sys.argv[2:])
spent = [time.perf_counter() - start]
for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
    used = resource.getrusage(who)
    spent.append(used.ru_utime + used.ru_stime)
print(json.dumps([status, *spent]))
"""


def compare_workers(
    command: Callable[[Path], list[str]], folder: Path, runs: int, *, work: float, unit: str
) -> None:
    """Run a command with one and with two workers in turn, and print what the second brings.

    Parameters
    ----------
    command : callable
        Gets the output's path, where nothing is; the arguments of phylotools without ``--on`` and
        ``-@``.
    folder : Path
    runs : int
        Each; one more, before, compiles and fills the page cache.
    work, unit :
        What one run does.
    """
    spent: dict[int, list[list[float]]] = {1: [], 2: []}
    for number in range(runs + 1):
        for n_workers, listed in spent.items():
            seconds = _run(command, folder / f"out{n_workers}", n_workers)
            if number:
                listed.append(seconds)
    one, two = (np.array(spent[n_workers]) for n_workers in (1, 2))
    clock = one[:, 0] / two[:, 0]
    serial, shared = two[:, 1], two[:, 2]
    possible = (one[:, 1] + one[:, 2]) / (serial + shared / 2)
    print(f"{platform.machine()}, {os.cpu_count()} cores, {runs} runs each; median [min, max]")
    print(f"  one worker, one core     {_spread(work / one[:, 0])} {unit}")
    print(f"  two workers, two cores   {_spread(work / two[:, 0])} {unit}")
    print(f"  ratio by the clock       {_spread(clock)}")
    print(f"  ratio by processor time  {_spread(possible)}")
    print(f"  serial, of two workers   {_spread(serial)} s of {_spread(serial + shared)} s")


def _run(command: Callable[[Path], list[str]], folder: Path, n_workers: int) -> list[float]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    arguments = [*command(folder / "out"), "--on", f"local:{n_workers}", "-@", "1", "-q"]
    done = subprocess.run(
        [sys.executable, "-P", "-c", _TIMED, str(n_workers), *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    status, *seconds = json.loads(done.stdout.splitlines()[-1])
    if status:
        sys.exit(f"exit status {status}")
    return seconds


def _spread(values: np.ndarray) -> str:
    return f"{np.median(values):,.2f} [{values.min():,.2f}, {values.max():,.2f}]"
