"""Whole training steps (network, likelihood, optimiser) on one thread: dense network and halved.

python benchmarks/training.py CONFIG.toml

Measured in processor time, so that other work on the machine matters less.
"""

from __future__ import annotations

import sys
import tempfile
import time
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
    set_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, Path(folder), torch.device("cpu"))
        network = trainer.model.network
        batches = list(islice(trainer.data.epoch(0), STEPS))

        def dense(tokens: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
            return network.dense(tokens)

        def steps(forward: Callable[..., torch.Tensor]) -> Callable[[], None]:
            def run() -> None:
                network.forward = forward
                for batch in batches:
                    trainer.update([batch], 1.0)

            return run

        ways = {"dense": steps(dense), "halved": steps(network.forward)}
        positions = sum(batch.tokens.shape[0] for batch in batches) * config.optimiser.window_length
        compare(ways, work=positions, unit="positions/s", runs=11, clock=time.process_time)


if __name__ == "__main__":
    main()
