"""A run's folder: the names in it, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phylotools.errors import OutputError
from phylotools.model.folder import TRAINING_REGIONS
from phylotools.training.checkpoint import describe_checkpoint
from phylotools.training.metrics import COLUMNS, read_rows

CHECKPOINT, METRICS = "checkpoint.safetensors", "metrics.tsv"


def refuse_run(folder: Path, allowed: bool) -> None:
    """Raise `OutputError` if the folder holds a run and neither resuming nor force was asked."""
    path = folder / CHECKPOINT
    if path.exists() and not allowed:
        raise OutputError(
            f"{path}: a run is here already; give --resume to go on, --force to start anew"
        )


def start_anew(folder: Path) -> None:
    """Delete the files of an earlier run, and nothing else, from its folder."""
    for name in (CHECKPOINT, METRICS, TRAINING_REGIONS):
        (folder / name).unlink(missing_ok=True)


def describe_run(folder: str | Path) -> dict[str, Any]:
    """What `inspect` says of a run: how far it is, its last figures, then its checkpoint.

    Raises
    ------
    InputError
        If the checkpoint or the figures are damaged.
    """
    folder = Path(folder)
    checkpoint = describe_checkpoint(folder / CHECKPOINT)
    rows = read_rows(folder / METRICS)
    # Figures that are not measured at every step: the last that there are.
    last = {
        name: next((float(row[k]) for row in reversed(rows) if row[k]), None)
        for k, name in enumerate(COLUMNS)
        if k
    }
    return {
        "kind": "training run",
        "path": str(folder),
        "steps_to_do": checkpoint["configuration"].get("optimiser", {}).get("steps"),
        "last_figures": last,
        **checkpoint,
    }
