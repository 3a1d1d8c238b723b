"""Train a model without each gene in turn: what the network knows beyond its training columns.

    python leave_gene_out.py STORE FOLDER [--config train.toml] [--steps N] [--genes ND1 CytB ...]

Makes FOLDER/GENE, a model folder, of each gene in genes.bed; those that are there are kept, so that
what was interrupted goes on. As many steps for all, not chosen by the gene that is left out.
`examples/models_study` measures them together: ``evaluate.sh mtdna WORK 'left-out=FOLDER/{gene}'``.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import torch

from phylotools.io.bed import bed_rows
from phylotools.io.regions import Region
from phylotools.training.config import TrainingConfig
from phylotools.training.config_file import parse_config
from phylotools.training.export import ExportRequest, export_model
from phylotools.training.loop import Trainer
from phylotools.training.workers import set_threads

HERE = Path(__file__).parent
#: As for the shipped model.
STEPS = 150


def configuration(tables: dict[str, Any], store: Path, gene: Region, steps: int) -> TrainingConfig:
    """The configuration that leaves a gene out and keeps the last weights."""
    changed = {name: dict(values) for name, values in tables.items()}
    changed["data"] |= {"stores": [str(store.absolute())], "held_out_regions": [str(gene)]}
    changed["data"].pop("held_out_fraction", None)
    changed.setdefault("optimiser", {}).pop("epochs", None)
    changed["optimiser"] |= {"steps": steps, "schedule": "cosine"}
    # The gene is scored by the network alone: nothing is fitted to columns that were seen.
    changed["run"] = changed.get("run", {}) | {"select_by": "last", "site_fits": False}
    config, errors = parse_config(changed, HERE)
    if config is None:
        raise SystemExit("; ".join(errors))
    return config


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--config", type=Path, default=HERE / "train.toml")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--genes", nargs="*", help="by default all")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    set_threads(given.threads)
    given.folder.mkdir(parents=True, exist_ok=True)
    tables = tomllib.loads(given.config.read_text())
    for region, cells, _ in bed_rows(str(HERE / "data" / "genes.bed")):
        gene = cells[3]
        if (given.genes and gene not in given.genes) or (given.folder / gene).exists():
            continue
        config = configuration(tables, given.store, region, given.steps)
        with tempfile.TemporaryDirectory() as run:
            Trainer(config, Path(run) / "run", torch.device("cpu")).run()
            export_model(Path(run) / "run", given.folder / gene, ExportRequest(f"without-{gene}"))


if __name__ == "__main__":
    main()
