"""The figures of a run, one row a logged step."""

from __future__ import annotations

import os
from pathlib import Path

from phylotools.io.documents import read_text
from phylotools.io.files import naming_output, write_atomic

COLUMNS = (
    "step",
    "loss",
    "log_likelihood",
    "gradient_norm",
    "learning_rate",
    "evaluation_training",
    "evaluation_held_out_species",
    "evaluation_held_out_columns",
)


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
    return [row for row in rows if len(row) == len(COLUMNS) and row[0].isdecimal()]


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
        lines = ["\t".join(row) for row in [list(COLUMNS), *kept]]
        write_atomic(path, "\n".join(lines) + "\n", force=True)
        self._path = path
        self._handle = open(path, "a", buffering=1)  # noqa: SIM115

    def write(self, step: int, values: dict[str, float]) -> None:
        """Append one row; figures that were not measured are empty."""
        cells = [f"{values[name]:.7g}" if name in values else "" for name in COLUMNS[1:]]
        with naming_output(self._path):
            self._handle.write("\t".join([str(step), *cells]) + "\n")

    def flush(self) -> None:
        """Bring every row to the disk."""
        with naming_output(self._path):
            self._handle.flush()
            os.fsync(self._handle.fileno())
