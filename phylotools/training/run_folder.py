"""The folder of a training run: its files, the table of its figures, its description."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from phylotools.errors import OutputError
from phylotools.io.documents import read_text
from phylotools.io.files import naming_output, write_atomic
from phylotools.model.folder import SITE_FITS, TRAINING_REGIONS
from phylotools.training.checkpoint import describe_checkpoint

CHECKPOINT, METRICS = "checkpoint.safetensors", "metrics.tsv"
#: What depends on the machine, apart from the figures that follow from the configuration.
SPEED = "speed.tsv"
#: Folder of older checkpoints, each named by its step.
KEPT = "checkpoints"
_KEPT_NAME = re.compile(r"step-(\d{7,15})\.safetensors", re.ASCII)
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
#: Of ``speed.tsv``; each but the step since the row before.
SPEED_COLUMNS = (
    "step",
    "seconds",
    "positions_per_second",
    "seconds_waiting_for_data",
    "seconds_evaluating",
    "gpu_memory_gib",
)


def kept_path(folder: Path, step: int) -> Path:
    """Where a run keeps its checkpoint of a step when a newer one takes its place."""
    return folder / KEPT / f"step-{step:07d}.safetensors"


def kept_checkpoints(folder: Path) -> dict[int, Path]:
    """Older checkpoints of a run, by their steps, which rise."""
    with contextlib.suppress(OSError):
        matches = [_KEPT_NAME.fullmatch(name) for name in os.listdir(folder / KEPT)]
        found = {int(match[1]): folder / KEPT / match[0] for match in matches if match}
        return dict(sorted(found.items()))
    return {}


def has_run(folder: Path) -> bool:
    """Whether there is any checkpoint in a run's folder."""
    return (folder / CHECKPOINT).exists() or bool(kept_checkpoints(folder))


def refuse_run(folder: Path, allowed: bool) -> None:
    """Raise `OutputError` if the folder holds a run and neither resuming nor force was asked."""
    if has_run(folder) and not allowed:
        raise OutputError(
            f"{folder / CHECKPOINT}: a run is here already; give --resume to go on, --extend to "
            "train a complete run for longer, --force to start anew"
        )


def start_anew(folder: Path) -> None:
    """Delete the files of an earlier run, and nothing else, from its folder."""
    kept = kept_checkpoints(folder)
    for name in (CHECKPOINT, METRICS, SPEED, TRAINING_REGIONS, HELD_OUT_REGIONS, SITE_FITS):
        (folder / name).unlink(missing_ok=True)
    for path in kept.values():
        path.unlink(missing_ok=True)
    if kept:
        with contextlib.suppress(OSError):  # it holds something else
            (folder / KEPT).rmdir()


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
    speed = read_rows(folder / SPEED, SPEED_COLUMNS)
    return {
        "kind": "training run",
        "path": str(folder),
        "steps_to_do": checkpoint["length"],
        "last_figures": last,
        "last_speed": _figures(speed[-1], SPEED_COLUMNS) if speed else None,
        **checkpoint,
    }


def _figures(row: Sequence[str], columns: Sequence[str]) -> dict[str, float | None]:
    """A row but for its step."""
    return {
        name: float(cell) if cell else None for name, cell in zip(columns[1:], row[1:], strict=True)
    }


def read_rows(path: Path, columns: Sequence[str] = METRICS_COLUMNS) -> list[list[str]]:
    """Cells of every whole row of a file of figures, the header apart; none if there is no file.

    A file of another version may have fewer columns, whose cells are empty then, or more, which
    are left out.

    Raises
    ------
    InputError
        If it is no text.
    """
    if not path.exists():
        return []
    text = read_text(path, remedy="remove it: the run goes on without its earlier rows")
    header, *rows = [line.split("\t") for line in text.splitlines()] or [[""]]
    place = {name: k for k, name in enumerate(header)}
    return [
        [row[place[name]] if name in place else "" for name in columns]
        for row in rows
        if header[0] == "step" and len(row) == len(header) and _are_figures(row)
    ]


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
    columns : sequence of str
        The first is the step.

    Raises
    ------
    InputError
        If there is such a file that is no text.
    """

    def __init__(
        self,
        path: Path,
        keep_until_step: int = 0,
        columns: Sequence[str] = METRICS_COLUMNS,
    ) -> None:
        kept = [row for row in read_rows(path, columns) if int(row[0]) <= keep_until_step]
        lines = ["\t".join(row) for row in [list(columns), *kept]]
        write_atomic(path, "\n".join(lines) + "\n", force=True)
        self._path, self._columns = path, columns
        self._handle = open(path, "a", buffering=1)  # noqa: SIM115

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append one row; figures that were not measured are empty."""
        cells = [f"{values[name]:.7g}" if name in values else "" for name in self._columns[1:]]
        with naming_output(self._path):
            self._handle.write("\t".join([str(step), *cells]) + "\n")

    def flush(self) -> None:
        """Bring every row to the disk."""
        with naming_output(self._path):
            self._handle.flush()
            os.fsync(self._handle.fileno())
