"""Learning curves: the figures of runs, read back however far a run is and whatever wrote them."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, counted
from phylotools.io.documents import read_text
from phylotools.training.checkpoint import Progress, read_objective, read_progress
from phylotools.training.run_folder import CHECKPOINT, METRICS, is_step

logger = logging.getLogger("phylotools")

#: Figures of an evaluation, in nats a column: column of ``metrics.tsv`` -> what it is.
EVALUATIONS = {
    "evaluation_training": "training columns",
    "evaluation_held_out_columns": "held-out columns",
    "evaluation_held_out_species": "held-out species",
    "null_constants": "null model: constants",
    "null_tree": "null model: the neutral tree",
}
#: What the null model is called whose every theta is one, by whether bases are masked.
CONSTANTS = {False: "constants of the reference base", True: "base composition"}
_LARGEST_STEP = 1 << 53
#: Beyond it, or its inverse, a figure is damaged or infinite, and its axis overflows.
_LARGEST_FIGURE = 1e30


@dataclass(frozen=True, eq=False)
class LearningCurves:
    """The figures of one run.

    Attributes
    ----------
    name : str
    step : int64 array [K]
        Rising.
    figures : dict of str to float64 array [K]
        By their column of ``metrics.tsv``; NaN where a figure was not measured.
    kept_step : int or None
        The step whose weights become the model, as far as the last checkpoint knows.
    is_complete : bool
        Whether the run has ended.
    is_masked : bool
        Whether its figures are those of masked bases, not of columns given their base.
    """

    name: str
    step: NDArray[np.int64]
    figures: Mapping[str, NDArray[np.float64]]
    kept_step: int | None
    is_complete: bool
    is_masked: bool = False

    @property
    def evaluations(self) -> dict[str, str]:
        """`EVALUATIONS`, as this run's objective has them."""
        return EVALUATIONS | {"null_constants": f"null model: {CONSTANTS[self.is_masked]}"}

    def measured(self, figure: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Steps at which a figure was measured, and its values; both [M]."""
        values = self.figures.get(figure)
        if values is None:
            return self.step[:0], np.empty(0)
        is_there = np.isfinite(values)
        return self.step[is_there], values[is_there]

    def points(self, most: int = 200) -> dict[str, list[tuple[int, float]]]:
        """Steps and values of each of `evaluations` that was measured; at most so many, spread."""
        found = {}
        for figure, name in self.evaluations.items():
            steps, values = self.measured(figure)
            kept = np.unique(np.linspace(0, len(steps) - 1, min(most, len(steps))).astype(int))
            if len(steps):
                found[name] = list(zip(steps[kept].tolist(), values[kept].tolist(), strict=True))
        return found

    def value_at(self, figure: str, step: int | None) -> float | None:
        """A figure as last measured at a step or before it; None if it was not."""
        steps, values = self.measured(figure)
        index = int(np.searchsorted(steps, _LARGEST_STEP if step is None else step, side="right"))
        return float(values[index - 1]) if index else None

    @property
    def steps_per_epoch(self) -> float | None:
        """Steps in a pass over the training columns; None where the run does not say."""
        steps, epochs = self.measured("epoch")
        return float(steps[-1] / epochs[-1]) if len(steps) and epochs[-1] > 0 else None

    def summary(self) -> dict[str, Any]:
        """How far the run is, and its figures at the step that was kept; JSON-ready."""
        return {
            "run": self.name,
            "step": int(self.step[-1]),
            "is_complete": self.is_complete,
            "kept_step": self.kept_step,
            "figures": {figure: self.value_at(figure, self.kept_step) for figure in self.figures},
        }


def read_curves(run: str | os.PathLike[str], name: str | None = None) -> LearningCurves:
    """The figures of a run, which may be going on, or be of an older phylotools.

    Rows that are no rows of figures are left out with a warning; a last line without an end is
    one that is being written.

    Parameters
    ----------
    run : str or PathLike
        A run's folder, or its file of figures.
    name : str, optional
        What the run is called; that of its folder unless given.

    Raises
    ------
    InputError
        If there is no run, it has no figures yet, or they are damaged.
    """
    path = Path(run)
    figures_path = path / METRICS if path.is_dir() else path
    if not figures_path.exists():
        raise InputError("there is no run here", path=path, remedy=f"a run's folder has {METRICS}")
    progress, is_masked = _progress(figures_path.parent / CHECKPOINT)
    step, figures = _read_figures(figures_path)
    kept = progress.best_step or (progress.step if progress.complete else 0)
    return LearningCurves(
        name if name is not None else figures_path.absolute().parent.name,
        step,
        figures,
        kept or None,
        progress.complete,
        is_masked,
    )


def read_runs(runs: Sequence[str]) -> list[LearningCurves]:
    """`read_curves` of several runs: by the names of their folders, or by their paths where two
    have one name.

    Raises
    ------
    InputError
    """
    names = [Path(run).absolute().name for run in runs]
    is_clear = len(set(names)) == len(names) and METRICS not in names
    return [
        read_curves(run, name if is_clear else run) for run, name in zip(runs, names, strict=True)
    ]


def figures_of(runs: Sequence[LearningCurves]) -> list[str]:
    """The figures that any of the runs has, in their order."""
    return list(dict.fromkeys(figure for run in runs for figure in run.figures))


def curves_rows(runs: Sequence[LearningCurves], figures: Sequence[str]) -> Iterator[list[Any]]:
    """Rows of a table: run, step, whether that step was kept, then each figure, or None."""
    for run in runs:
        columns = [run.figures.get(figure) for figure in figures]
        for index, step in enumerate(run.step.tolist()):
            values = [None if column is None else float(column[index]) for column in columns]
            yield [run.name, step, "yes" if step == run.kept_step else "no", *values]


def _progress(path: Path) -> tuple[Progress, bool]:
    """Where a run stands and whether it masks, as far as its checkpoint can be read."""
    if not path.exists():
        return Progress(), False
    try:
        return read_progress(path), read_objective(path) == "masked"
    except InputError as error:
        logger.warning("%s; the step that was kept is not known", error)
        return Progress(), False


def _read_figures(path: Path) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """Steps, and figures by column."""
    text = read_text(path, remedy="look at another run")
    lines = text.split("\n")[:-1]
    columns = lines[0].split("\t") if lines else [""]
    if columns[0] != "step" or len(set(columns)) != len(columns):
        raise InputError(
            f"these are not the figures of a run: {METRICS} begins with a line of its columns, "
            "of which the first is step",
            path=path,
        )
    found = list(_parse_rows(lines[1:], len(columns)))
    n_damaged = sum(map(bool, lines[1:])) - len(found)
    if n_damaged:
        logger.warning("%s: %s left out", path, counted(n_damaged, "damaged row"))
    if not found:
        raise InputError("has no figures yet", path=path, remedy="wait for the run's first steps")
    # The last of a step: one that is there twice was repeated after a kill.
    rows = dict(found)
    step = np.array(sorted(rows), dtype=np.int64)
    table = np.array([rows[number] for number in step.tolist()])
    return step, {column: table[:, k] for k, column in enumerate(columns[1:])}


def _parse_rows(lines: Sequence[str], n_columns: int) -> Iterator[tuple[int, list[float]]]:
    """Step and figures of every line that is a row."""
    for line in lines:
        step, *cells = line.split("\t")
        if len(cells) + 1 != n_columns or not is_step(step):
            continue
        try:
            yield int(step), [_number(cell) for cell in cells]
        except ValueError:
            continue


def _number(cell: str) -> float:
    """A figure; NaN where there is none, or none that can be drawn."""
    value = float(cell) if cell else math.nan
    is_drawable = value == 0 or 1 / _LARGEST_FIGURE <= abs(value) <= _LARGEST_FIGURE
    return value if is_drawable else math.nan
