"""Two or more ways of doing one thing, timed in turn."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def compare(
    ways: dict[str, Callable[[], object]],
    *,
    work: float | dict[str, float],
    unit: str,
    runs: int = 7,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, NDArray[np.float64]]:
    """Print throughput of every way, and its ratio to the first, run by run.

    Parameters
    ----------
    ways : dict
        Name -> what to time. Each runs once before it is timed.
    work : float or dict
        Units of work in one call, of all ways or by name.
    unit : str
    runs : int
    clock : callable
        `time.process_time` where one thread does it all: other work on the machine matters less.

    Returns
    -------
    dict of str to float64 array [runs]
        Throughput of each.
    """
    for call in ways.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, call in ways.items():
            start = clock()
            call()
            seconds[name].append(clock() - start)
    units = work if isinstance(work, dict) else dict.fromkeys(ways, work)
    speeds = {name: units[name] / np.array(spent) for name, spent in seconds.items()}
    first = next(iter(speeds.values()))
    print(f"{platform.machine()}, {runs} runs each; median [min, max]")
    for name, speed in speeds.items():
        ratio, shown = speed / first, _shown(float(np.median(speed)))
        print(
            f"  {name:24s} {shown:>12s} {unit}  ratio {np.median(ratio):6.2f} "
            f"[{ratio.min():.2f}, {ratio.max():.2f}]"
        )
    return speeds


def _shown(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.3g}"
