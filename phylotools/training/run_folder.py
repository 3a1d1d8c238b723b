"""The folder of a training run: its files, the table of its figures, its description."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from phylotools.errors import OutputError
from phylotools.io.documents import read_text
from phylotools.io.files import naming_output, write_atomic
from phylotools.model.folder import SITE_FITS, TRAINING_REGIONS
from phylotools.training.checkpoint import describe_checkpoint

CHECKPOINT, METRICS = "checkpoint.safetensors", "metrics.tsv"
#: What is held out: as BED, which another configuration may name.
HELD_OUT_REGIONS = "held_out_regions.bed"
#: Digits of a step: each float holds it exactly.
_LONGEST_STEP = 15
#: Of ``metrics.tsv``.
METRICS_COLUMNS = (
    "step",
    "epoch",
    "loss",
    "log_likelihood",
    "gradient_norm",
    "learning_rate",
    "evaluation_training",
    "evaluation_held_out_species",
    "evaluation_held_out_columns",
    "null_constants",
    "null_tree",
)


def refuse_run(folder: Path, allowed: bool) -> None:
    """Raise `OutputError` if the folder holds a run and neither resuming nor force was asked."""
    path = folder / CHECKPOINT
    if path.exists() and not allowed:
        raise OutputError(
            f"{path}: a run is here already; give --resume to go on, --extend to train a complete "
            "run for longer, --force to start anew"
        )


def start_anew(folder: Path) -> None:
    """Delete the files of an earlier run, and nothing else, from its folder."""
    for name in (CHECKPOINT, METRICS, TRAINING_REGIONS, HELD_OUT_REGIONS, SITE_FITS):
        (folder / name).unlink(missing_ok=True)


def describe_run(folder: str | Path) -> dict[str, Any]:
    """Describe a run for `inspect`: how far it is, its last figures, then its checkpoint.

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
        for k, name in enumerate(METRICS_COLUMNS)
        if k
    }
    return {
        "kind": "training run",
        "path": str(folder),
        "steps_to_do": checkpoint["length"],
        "last_figures": last,
        **checkpoint,
    }


def read_rows(path: Path) -> list[list[str]]:
    """Cells of every whole row of a file of figures, the header apart; none if there is no file.

    Raises
    ------
    InputError
        If it is no text.
    """
    if not path.exists():
        return []
    text = read_text(path, remedy="remove it: the run goes on without its earlier rows")
    rows = [line.split("\t") for line in text.splitlines()[1:]]
    return [row for row in rows if len(row) == len(METRICS_COLUMNS) and _are_figures(row)]


def is_step(text: str) -> bool:
    """Whether a cell is a number of steps, as a run can have them."""
    return text.isascii() and text.isdecimal() and len(text) <= _LONGEST_STEP


def _are_figures(row: Sequence[str]) -> bool:
    try:
        return is_step(row[0]) and all(not cell or math.isfinite(float(cell)) for cell in row[1:])
    except ValueError:
        return False


class MetricsFile:
    """A tab-separated file that grows row by row.

    Parameters
    ----------
    path : Path
    keep_until_step : int
        Rows of later steps are dropped: a resumed run writes them again.

    Raises
    ------
    InputError
        If there is such a file that is no text.
    """

    def __init__(self, path: Path, keep_until_step: int = 0) -> None:
        kept = [row for row in read_rows(path) if int(row[0]) <= keep_until_step]
        lines = ["\t".join(row) for row in [list(METRICS_COLUMNS), *kept]]
        write_atomic(path, "\n".join(lines) + "\n", force=True)
        self._path = path
        self._handle = open(path, "a", buffering=1)  # noqa: SIM115

    def write(self, step: int, values: dict[str, float]) -> None:
        """Append one row; figures that were not measured are empty."""
        cells = [f"{values[name]:.7g}" if name in values else "" for name in METRICS_COLUMNS[1:]]
        with naming_output(self._path):
            self._handle.write("\t".join([str(step), *cells]) + "\n")

    def flush(self) -> None:
        """Bring every row to the disk."""
        with naming_output(self._path):
            self._handle.flush()
            os.fsync(self._handle.fileno())
