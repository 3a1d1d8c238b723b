"""Train a shipped model's configuration with one thing changed, for the tables of the study.

    python train_variants.py CONFIG.toml FOLDER [--only NAME...] [--seeds 1 2 3] [--epochs N]

Makes FOLDER/NAME-seedN, a run, of each variation; complete ones are kept and others go on, so that
what was interrupted can be repeated. Stores and BED files of the configuration are found beside it.
`evaluate.sh SET WORK FOLDER/*` compares them.
"""

from __future__ import annotations

import argparse
import logging
import tomllib
from pathlib import Path
from typing import Any

import torch
from configurations import Tables, changed, parsed

from phylotools.training.checkpoint import read_checkpoint
from phylotools.training.config import TrainingConfig
from phylotools.training.loop import Trainer
from phylotools.training.run_folder import CHECKPOINT
from phylotools.training.workers import set_threads


def _model(name: str, **settings: Any) -> Tables:
    return {"substitution": {"model": name, **settings}}


#: Name -> what it changes, table by table; None leaves a key to its default.
VARIATIONS: dict[str, Tables] = {
    "shipped": {},
    # What of the mutation matrix is learned with the network.
    "matrix-all": _model("mutation-selection", learn="all"),
    "matrix-exchangeabilities": _model("mutation-selection", learn="exchangeabilities"),
    "matrix-none": _model("mutation-selection", learn="none"),
    "matrix-prior": _model("mutation-selection", learn="all", frequency_prior_sd=0.1),
    "f81": _model("f81", strand_symmetric=None, learn=None),
    "hky": _model("hky", strand_symmetric=None, learn=None),
    "gtr": _model("gtr", learn=None),
    "rate-fixed": {"rate": {"treatment": "fixed", "sd": None}},
    "rate-sd-0.5": {"rate": {"sd": 0.5}},
    "rate-sd-2": {"rate": {"sd": 2.0}},
    # What the network reads.
    "any-row": {"data": {"any_row_weight": 0.5, "any_row_until": 1.0}},
    "any-row-then-reference": {"data": {"any_row_weight": 0.5, "any_row_until": 0.7}},
    "reference-alone": {"data": {"any_row_weight": 0.0}},
    "field-97": {"network": {"dilations": [1, 5, 1, 5, 1, 5, 1, 5]}},
    "field-197": {"network": {"dilations": [1, 3, 1, 9, 1, 9, 1, 24]}},
    "field-217": {"network": {"dilations": [1, 3, 9, 27, 9, 3, 1, 1]}},
}


def configuration(
    tables: Tables, folder: Path, name: str, seed: int, epochs: float | None
) -> TrainingConfig:
    """A variation as a configuration; relative paths start at `folder`."""
    length = {} if epochs is None else {"steps": None, "epochs": epochs}
    run = {"run": {"seed": seed}, "optimiser": length}
    return parsed(changed(tables, VARIATIONS[name], run), folder)


def is_complete(run: Path) -> bool:
    path = run / CHECKPOINT
    return path.exists() and read_checkpoint(path).progress.complete


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", choices=[*VARIATIONS], default=[*VARIATIONS])
    parser.add_argument("--seeds", nargs="*", type=int, default=[1])
    parser.add_argument("--epochs", type=float, help="instead of the configuration's length")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    set_threads(given.threads)
    given.folder.mkdir(parents=True, exist_ok=True)
    tables = tomllib.loads(given.config.read_text())
    for seed in given.seeds:
        for name in given.only:
            run = given.folder / f"{name}-seed{seed}"
            if not is_complete(run):
                config = configuration(tables, given.config.parent, name, seed, given.epochs)
                Trainer(config, run, torch.device("cpu"), resume=run.exists()).run()
            print(run, flush=True)


if __name__ == "__main__":
    main()
