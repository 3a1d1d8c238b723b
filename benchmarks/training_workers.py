"""Whole training steps: one process against two that share the batches, one thread each.

OMP_NUM_THREADS=1 python benchmarks/training_workers.py [CONFIG.toml] [--workers 2] [--preset NAME]

The same parts, the same steps, loader included; one process and all of them in turn, a second or
two each, while the others wait asleep. The ratio is printed pair by pair, so that other work on the
machine shows as spread. Beside it stands what the processor times say: of one process alone, over
that of the busiest worker. It leaves out what a worker waits for (the others, the wire, a core that
is taken), so that it is the most that idle cores could give.

Without a configuration: an alignment simulated on a tree of 53 birds, the preset's defaults.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from simulated_store import simulated_store

from phylotools.model.presets import PRESETS
from phylotools.training.config_file import read_config
from phylotools.training.loop import Trainer
from phylotools.training.workers import Workers, join_workers, set_threads

PAIRS, SECONDS = 12, 1.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config", type=Path, nargs="?")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--preset", choices=PRESETS, default="small")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "RANK" in os.environ:
            compare(given.config, folder)
            return
        config = given.config or default_config(folder, given.preset, given.workers)
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(given.workers), __file__, str(config)]
        sys.exit(subprocess.run(command).returncode)


def default_config(folder: Path, preset: str, workers: int) -> Path:
    config = folder / "config.toml"
    config.write_text(
        f'[data]\nstores = ["{simulated_store(folder)}"]\n[network]\npreset = "{preset}"\n'
        f"[optimiser]\nsteps = 1000000\nparts = {workers}\n"
    )
    return config


def compare(path: Path, folder: Path) -> None:
    """What one of the workers does; the first one speaks."""
    config = read_config(path)
    with join_workers() as workers:
        set_threads(1)
        together = steps_of(Trainer(config, folder / "all", torch.device("cpu"), workers=workers))
        alone = together
        if workers.is_first:
            alone = steps_of(Trainer(config, folder / "one", torch.device("cpu")))
        if workers.is_first:
            alone(3)
        together(3)
        n_steps = 0
        if workers.is_first:
            n_steps = max(2, round(3 * SECONDS / alone(3)[0]))
        n_steps = round(workers.from_first([n_steps])[0])
        ratios, most, rates = [], [], []
        for _ in range(PAIRS):
            one = alone(n_steps) if workers.is_first else (0.0, 0.0)
            workers.wait()
            wall, spent = together(n_steps)
            busiest = max_over(workers, spent)
            if workers.is_first:
                ratios.append(one[0] / wall)
                most.append(one[1] / busiest)
                rates.append((n_steps / one[0], n_steps / wall))
        if workers.is_first:
            optimiser = config.optimiser
            report(workers.size, n_steps, np.array(ratios), np.array(most), np.array(rates))
            print(f"  {optimiser.windows_per_batch} windows of {optimiser.window_length} a step")


def steps_of(trainer: Trainer) -> Callable[[int], tuple[float, float]]:
    """A function that takes so many steps, and gives their seconds and processor seconds."""
    batches = trainer.data.stream(0, trainer.workers.share(trainer.parts))

    def steps(number: int) -> tuple[float, float]:
        wall, spent = time.perf_counter(), time.process_time()
        for _ in range(number):
            trainer.update(next(batches), 1.0)
        return time.perf_counter() - wall, time.process_time() - spent

    return steps


def max_over(workers: Workers, value: float) -> float:
    rows = torch.tensor([[value]], dtype=torch.float64)
    return float(workers.gather(rows, workers.size).max())


def report(
    size: int, n_steps: int, ratios: np.ndarray, most: np.ndarray, rates: np.ndarray
) -> None:
    one, all_of_them = np.median(rates, axis=0)
    print(f"{PAIRS} pairs of {n_steps} steps; load {os.getloadavg()[0]:.1f}; median [min, max]")
    print(f"  one process {one:.1f} steps/s, {size} processes {all_of_them:.1f}")
    for name, values in (("seconds", ratios), ("processor seconds, at most", most)):
        print(
            f"  ratio by {name}: {np.median(values):.2f} [{values.min():.2f}, {values.max():.2f}]"
        )


if __name__ == "__main__":
    main()
