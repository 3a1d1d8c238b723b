"""Where the figures of a run go: tables in its folder, and TensorBoard."""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from phylotools.errors import UsageError
from phylotools.io.files import naming_output
from phylotools.training.checkpoint import Progress
from phylotools.training.config import RunConfig, TrainingConfig
from phylotools.training.run_folder import METRICS, SPEED, SPEED_COLUMNS, MetricsFile

logger = logging.getLogger("phylotools")

#: Folder of the files of events within that of the run.
EVENTS = "tensorboard"
_GIB = 1 << 30


class Report:
    """Figures of a run, row by row: what follows from the configuration, and how fast it went.

    Parameters
    ----------
    folder : Path
    config : RunConfig
    device : torch.device
    keep_until_step : int
        Rows of later steps are dropped: a resumed run writes them again.

    """

    def __init__(
        self, folder: Path, config: RunConfig, device: torch.device, keep_until_step: int = 0
    ) -> None:
        self._folder, self._device = folder, device
        self._events = _events(folder / EVENTS, keep_until_step) if config.tensorboard else None
        self._metrics = MetricsFile(folder / METRICS, keep_until_step)
        self._speed = MetricsFile(folder / SPEED, keep_until_step, SPEED_COLUMNS)
        self._begin()

    def _begin(self) -> None:
        self._began, self._positions = time.monotonic(), 0
        self._waiting = self._evaluating = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time spent here was spent waiting for a batch."""
        start = time.monotonic()
        yield
        self._waiting += time.monotonic() - start

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Time spent here was spent evaluating."""
        start = time.monotonic()
        yield
        self._evaluating += time.monotonic() - start

    def count(self, positions: int) -> None:
        """So many positions were trained on in a step."""
        self._positions += positions

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Write the figures of a step, and how fast the steps were since the last row."""
        speed = self._speed_figures()
        self._metrics.write(step, figures)
        self._speed.write(step, speed)
        if self._events is not None:
            with naming_output(self._folder / EVENTS):
                for name, value in {**figures, **speed}.items():
                    self._events.add_scalar(name, value, step)
        self._begin()

    def _speed_figures(self) -> dict[str, float]:
        seconds = time.monotonic() - self._began
        training = max(seconds - self._evaluating, 1e-9)
        figures = {
            "seconds": seconds,
            "positions_per_second": self._positions / training,
            "seconds_waiting_for_data": self._waiting,
            "seconds_evaluating": self._evaluating,
        }
        if self._device.type == "cuda":
            figures["gpu_memory_gib"] = torch.cuda.max_memory_allocated(self._device) / _GIB
        return figures

    def flush(self) -> None:
        """Bring every row to the disk."""
        self._metrics.flush()
        self._speed.flush()
        if self._events is not None:
            with naming_output(self._folder / EVENTS):
                self._events.flush()


class Silence(Report):
    """What a process says that does not speak for its run."""

    def __init__(self) -> None:
        self._begin()

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        self._begin()

    def flush(self) -> None:
        pass


def say_end(
    progress: Progress, config: TrainingConfig, steps_per_epoch: int, evaluating: float
) -> None:
    """Say in the log how a run ended; `evaluating` is the share of the time for evaluations."""
    best = progress.best_metric
    logger.info(
        "ended after step %d (epoch %.1f): %s; kept are the weights of step %d%s; evaluations "
        "took %.0f %% of the time",
        progress.step, progress.step / steps_per_epoch, progress.stopped,
        progress.selected_step,
        "" if best is None else f", {in_words(config.run.select_by)} {best:.4f}",
        100 * evaluating,
    )  # fmt: skip


def in_words(figure: str | None) -> str:
    """A figure's name as a sentence has it."""
    return str(figure).replace("_", " ")


def check_sinks(config: RunConfig) -> None:
    """Raise `UsageError` if TensorBoard is asked for and not installed."""
    if config.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise UsageError(
            "run.tensorboard needs the package tensorboard, which is not installed; "
            "pip install 'phylotools[tensorboard]', or leave the key out"
        )


def _events(folder: Path, keep_until_step: int) -> Any:
    """What writes for TensorBoard; it leaves out later steps of files that are there."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=keep_until_step + 1)
