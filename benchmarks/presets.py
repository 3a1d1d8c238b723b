"""Every preset on one core: positions/s of training and of inference, and the memory of a step.

python benchmarks/presets.py [STORE] [--preset NAME ...]

Training steps (network, likelihood, optimiser) have the default batch, eight windows of 256
positions; without a store, of an alignment simulated on a tree of 53 birds. Inference is 4,096
positions at once. Both in processor time, so that other work on the machine matters less. Memory is
what a process grows by from before the model to after its steps: weights, moments, gradients, the
numbers of a step, and compiled code.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from simulated_store import simulated_store

from phylotools.model.presets import PRESETS
from phylotools.training.config_file import read_config
from phylotools.training.loop import Trainer
from phylotools.training.workers import set_threads

POSITIONS = 4096
#: Of each measurement, after a first call that compiles.
SECONDS, MOST_CALLS = 4.0, 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store", type=Path, nargs="?")
    parser.add_argument("--preset", action="append", choices=PRESETS)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        print(measured(given.store, given.preset[0]))
        return
    print("| preset | training, positions/s | inference, positions/s | memory of a step |")
    print("|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        store = given.store or simulated_store(Path(folder))
        for preset in given.preset or PRESETS:
            # In a process of its own: the most memory that one had never falls.
            command = [sys.executable, __file__, str(store), "--preset", preset, "--alone"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            print(done.stdout, end="", flush=True)


def measured(store: Path, preset: str) -> str:
    """The preset's row of the table."""
    set_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "config.toml"
        config.write_text(
            f'[data]\nstores = ["{store.resolve()}"]\n[network]\npreset = "{preset}"\n'
            "[optimiser]\nsteps = 1000000\n"
        )
        before = most_memory()
        trainer = Trainer(read_config(config), folder / "run", torch.device("cpu"))
        batches = list(islice(trainer.data.epoch(0), 4))
        again = cycle(batches)
        rates = rates_of(lambda: trainer.update([next(again)], 1.0))
        memory = most_memory() - before
        optimiser = trainer.config.optimiser
        training = np.median(rates) * optimiser.windows_per_batch * optimiser.window_length
        model = trainer.model.freeze()
        tokens = torch.randint(0, 4, (1, POSITIONS + model.receptive_field - 1))
        with torch.inference_mode():
            inference = np.median(rates_of(lambda: model(tokens))) * POSITIONS
    return f"| `{preset}` | {training:,.0f} | {inference:,.0f} | {memory / 2**20:,.0f} MiB |"


def rates_of(call: Callable[[], object]) -> list[float]:
    """Calls a second of processor time, of each call but the first."""
    call()
    rates: list[float] = []
    began = time.process_time()
    while not rates or (len(rates) < MOST_CALLS and time.process_time() - began < SECONDS):
        start = time.process_time()
        call()
        rates.append(1 / (time.process_time() - start))
    return rates


def most_memory() -> int:
    """Bytes that this process had at most."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
