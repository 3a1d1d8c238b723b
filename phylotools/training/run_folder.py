"""A run's folder: the names in it."""

from __future__ import annotations

from pathlib import Path

from phylotools.errors import OutputError

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
    for name in (CHECKPOINT, METRICS):
        (folder / name).unlink(missing_ok=True)
