"""Training steps (network, likelihood, optimiser) with one thread, by default, and with two.

GOMP_SPINCOUNT=10000 python benchmarks/training_threads.py CONFIG.toml

The variable is what the command line sets for itself.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import torch
from paired import compare

from phylotools.training.config_file import read_config
from phylotools.training.loop import Trainer
from phylotools.training.workers import set_threads

STEPS = 3


def main() -> None:
    config = read_config(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, Path(folder), torch.device("cpu"))
        batches = list(islice(trainer.data.epoch(0), STEPS))

        def steps(threads: int | None) -> Callable[[], None]:
            def run() -> None:
                set_threads(threads)
                for batch in batches:
                    trainer.update([batch], 1.0)

            return run

        positions = sum(batch.tokens.shape[0] for batch in batches) * config.optimiser.window_length
        ways = {"one thread": steps(1), "default": steps(None), "two threads": steps(2)}
        compare(ways, work=positions, unit="positions/s")


if __name__ == "__main__":
    main()
