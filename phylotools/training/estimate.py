"""What a run will take: memory, time and disk, from a few of its steps, without beginning it."""

from __future__ import annotations

import copy
import dataclasses
import functools
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phylotools.errors import PhylotoolsError, UsageError, counted
from phylotools.io.regions import Region
from phylotools.training.batch import Batch
from phylotools.training.config import TrainingConfig
from phylotools.training.dataset import TrainingData
from phylotools.training.evaluation import evaluate_model, sample_sizes, steps_between
from phylotools.training.memory_use import MemoryUse
from phylotools.training.objectives import make_objective
from phylotools.training.shared_prior import frequency_prior
from phylotools.training.site_fits import can_be_fitted, fit_regions
from phylotools.training.start import new_model
from phylotools.training.step import Update
from phylotools.training.workers import ALONE, Workers

#: Steps that are measured, at most, and seconds after which no other is begun.
_STEPS, _SECONDS = 5, 20.0
#: Columns of the measured evaluation and site fits.
_COLUMNS = 2000
#: Of the free memory, what the measured steps may take.
_SHARE = 0.8
#: Copies of its tensors that a checkpoint takes in memory while it is written.
_COPIES = 2
_HOUR = 3600


@dataclass(frozen=True)
class Estimate:
    """What each worker of a run takes, and the run as a whole.

    Attributes
    ----------
    device : str
    workers : int
    positions : int
        Predicted in a step, by all workers.
    memory : dict of str to int
        Bytes of a worker on its device when it takes most, by what they hold.
    free : int
        Bytes that are free there now.
    checkpoint : int
        Bytes of one.
    kept : int
        Checkpoints that stay, the newest included.
    steps, evaluations : int
        Of the whole run, at most.
    step_seconds, evaluation_seconds, site_fit_seconds : float
        Of a step, an evaluation, and all site fits.
    own_windows, measured_windows : int
        Windows of a worker in a step, and in the steps that were measured: fewer where memory is
        short.
    """

    device: str
    workers: int
    positions: int
    memory: dict[str, int]
    free: int
    checkpoint: int
    kept: int
    steps: int
    evaluations: int
    step_seconds: float
    evaluation_seconds: float
    site_fit_seconds: float
    own_windows: int
    measured_windows: int

    @property
    def most_memory(self) -> int:
        """Bytes that a worker takes on its device."""
        return sum(self.memory.values())

    @property
    def seconds(self) -> float:
        """Of the whole run, at most."""
        evaluating = self.evaluations * self.evaluation_seconds
        return self.steps * self.step_seconds + evaluating + self.site_fit_seconds

    def cost(self, price: float) -> float:
        """Of all workers, from the price of one of them an hour."""
        return price * self.workers * self.seconds / _HOUR

    def facts(self, price: float | None = None) -> dict[str, object]:
        """All of it as plain values; with a price also what it costs."""
        facts = dataclasses.asdict(self) | {
            "most_memory": self.most_memory,
            "seconds": self.seconds,
        }
        return facts if price is None else facts | {"cost": self.cost(price)}

    def lines(self, price: float | None = None) -> list[str]:
        """All of it in words; with a price also what it costs."""
        each = " a worker" if self.workers > 1 else ""
        held = ", ".join(f"{name} {_mib(size)}" for name, size in self.memory.items() if size)
        is_whole = self.measured_windows >= self.own_windows
        how = "measured" if is_whole else f"extrapolated from {self.measured_windows} windows"
        rate = self.positions / self.step_seconds
        parts = {
            "training": self.steps * self.step_seconds,
            "evaluations": self.evaluations * self.evaluation_seconds,
            "site fits": self.site_fit_seconds,
        }
        spent = ", ".join(f"{name} {_duration(value)}" for name, value in parts.items() if value)
        found = [
            f"step\t{self.step_seconds:.3g} s, {how} on {self.device}: {rate:,.0f} positions/s",
            f"memory\t{_mib(self.most_memory)}{each} ({_mib(self.free)} are free here): {held}",
            f"disk\t{_mib(self.checkpoint * self.kept)}: {counted(self.kept, 'checkpoint')} of "
            f"{_mib(self.checkpoint)}",
            f"length\t{counted(self.steps, 'step')} at most, "
            f"{counted(self.evaluations, 'evaluation')} of {self.evaluation_seconds:.3g} s",
            f"time\t{_duration(self.seconds)} at most: {spent}",
        ]
        if self.workers > 1:
            found.append(
                f"workers\t{self.workers}; the exchange of {_mib(self.memory['gradients'])} of "
                "gradients in each step is not in the time"
            )
        if price is not None:
            found.append(f"cost\t{self.cost(price):,.2f} at most, at {price:g} an hour and worker")
        return found


def estimate_run(
    config: TrainingConfig, device: torch.device, workers: int | None = None
) -> Estimate:
    """Take some steps of a run, and say what the whole will take. Nothing is written.

    Parameters
    ----------
    config : TrainingConfig
    device : torch.device
        Of each worker.
    workers : int, optional
        ``optimiser.parts``, else one, unless given.

    Raises
    ------
    UsageError
        If so many workers cannot share a batch.
    InputError
        If the configuration does not fit its stores.
    PhylotoolsError
        If there is not enough memory for a step of one window.
    """
    workers = workers or config.optimiser.parts or 1
    parts = config.optimiser.parts or workers
    optimiser = config.optimiser
    if not workers <= parts <= optimiser.windows_per_batch:
        raise UsageError(
            f"{workers} workers cannot share a batch of {optimiser.windows_per_batch} windows in "
            f"{parts} parts"
        )
    config = config.with_parts(parts)
    data = TrainingData(config, parts)
    trial = _Trial(config, data, device)
    # The last worker has as many as any.
    n_own = len(Workers(workers - 1, workers).share(parts))
    steps = trial.measure(n_own, optimiser.windows_per_batch // parts)
    n_steps = optimiser.length(data.steps_per_epoch)
    return Estimate(
        device=str(device),
        workers=workers,
        positions=optimiser.windows_per_batch * optimiser.window_length,
        memory=trial.memory(steps),
        free=trial.free,
        checkpoint=trial.checkpoint,
        kept=1 + config.run.keep_checkpoints,
        steps=n_steps,
        evaluations=-(-n_steps // steps_between(data, config)),
        step_seconds=steps.seconds,
        evaluation_seconds=trial.evaluation_seconds() / workers,
        site_fit_seconds=trial.site_fit_seconds(),
        own_windows=n_own * (optimiser.windows_per_batch // parts),
        measured_windows=steps.windows,
    )


@dataclass(frozen=True)
class _Steps:
    """Measured steps of so many windows: seconds, and bytes beside what stays between steps."""

    windows: int
    seconds: float
    bytes: int


class _Trial:
    """A model of a run that takes steps, and the memory around it."""

    def __init__(self, config: TrainingConfig, data: TrainingData, device: torch.device) -> None:
        self._config, self._data, self._device = config, data, device
        self._use = MemoryUse(device)
        self.free = self._use.free()
        self._model = new_model(config).to(device)
        n_columns = sum(source.training.n_columns for source in data.stores)
        prior = frequency_prior(config, self._model, n_columns)
        self._objective = make_objective(config)
        self._update = Update(self._model, self._objective, prior, config, ALONE, 1)
        weights = _bytes(self._model.state_dict().values())
        learned = _bytes(p for p in self._model.parameters() if p.requires_grad)
        self._state = {
            "weights": weights,
            "gradients": learned,
            "moments": 2 * learned,
            "best weights": 0 if config.run.select_by == "last" else weights,
            "averaged weights": weights if config.optimiser.average else 0,
        }
        self.checkpoint = sum(self._state.values()) - learned
        self._between = 0

    def measure(self, n_parts: int, n_windows: int) -> _Steps:
        """Steps of so many parts of so many windows; extrapolated where memory is short."""
        if sum(self._state.values()) > _SHARE * self.free:
            raise PhylotoolsError(
                f"weights, gradients and moments alone take {sum(self._state.values()) >> 20:,} "
                f"MiB, of which {self.free >> 20:,} are free on {self._device}; ask where there "
                "is more"
            )
        alone = [self._part(1)]
        self._step(alone)  # compiles, and makes the moments
        self._update.optimiser.zero_grad(set_to_none=True)
        self._between = self._use.now()
        one, some = (self._measured([self._part(n)], most=1) for n in (1, max(n_windows // 2, 1)))
        extra = max(some.windows - one.windows, 1)
        bytes_each = max(some.bytes - one.bytes, 0) / extra
        expected = round(one.bytes + bytes_each * (n_windows - 1))
        if expected < _SHARE * self._use.free():
            return self._measured([self._part(n_windows)] * n_parts)
        seconds_each = max((some.seconds - one.seconds) / extra, one.seconds / 10)
        seconds = one.seconds + seconds_each * (n_parts * n_windows - 1)
        return _Steps(some.windows, seconds, expected)

    def _part(self, n_windows: int) -> Batch:
        """So many training windows, or all, of the store with most species."""
        source = max(self._data.stores, key=lambda source: len(source.store.species))
        width = self._config.optimiser.window_length
        batch = next(source.sample(n_windows * width, self._config.run.seed, n_windows))
        return self._objective.prepared(batch, np.random.default_rng(self._config.run.seed))

    def _measured(self, parts: Sequence[Batch], most: int = _STEPS) -> _Steps:
        self._use.begin()
        seconds = _median_seconds(lambda: self._step(parts), most)
        taken = max(self._use.most() - self._between, 0)
        return _Steps(_n_windows(parts), seconds, taken)

    def _step(self, parts: Sequence[Batch]) -> None:
        # Its figures are looked at, so that a GPU has ended.
        self._update(parts, 1e-3)

    def memory(self, steps: _Steps) -> dict[str, int]:
        """Bytes by what they hold, when most are held."""
        in_memory = sum(
            source.training.n_columns * len(source.store.species)
            for source in self._data.stores
            if source.table(False).runs is not None
        )
        is_resident = self._device.type == "cpu"
        known = self._state["weights"] + self._state["moments"]
        columns = in_memory or self._config.data.buffer
        activations = max(steps.bytes - self._state["gradients"], 0)
        writing = _COPIES * self.checkpoint if is_resident else 0
        return {
            "program": max(self._between - known - in_memory * is_resident, 0),
            "columns": columns * is_resident,
            **self._state,
            "activations, or a checkpoint being written": max(activations, writing),
        }

    def evaluation_seconds(self) -> float:
        """Of one evaluation, from those of one batch and of two."""
        config, optimiser = self._config, self._config.optimiser

        def smaller(limit: int) -> TrainingConfig:
            run = dataclasses.replace(config.run, evaluation_columns=limit)
            return dataclasses.replace(config, run=run)

        @functools.cache
        def columns(limit: int) -> int:
            limits = zip((False, True), sample_sizes(self._data, smaller(limit)), strict=True)
            batches = (self._data.evaluation(*one) for one in limits if one[1])
            return sum(len(batch.site) for found in batches for batch in found)

        def evaluate(limit: int) -> int:
            evaluate_model(self._model, self._data, smaller(limit), self._device)
            return columns(limit)

        whole = sum(
            min(size, sum(source.table(held_out).n_columns for source in self._data.stores))
            for held_out, size in zip((False, True), sample_sizes(self._data, config), strict=True)
        )
        sizes = 1, optimiser.windows_per_batch * optimiser.window_length + 1
        for limit in sizes:
            columns(limit)  # counted apart
        return _extrapolated(evaluate, sizes, whole)

    def site_fit_seconds(self) -> float:
        """Of all site fits, from those of some columns; 0 where there are none."""
        stores = self._data.stores
        if not self._config.run.site_fits or not can_be_fitted(stores):
            return 0.0
        model = copy.deepcopy(self._model).freeze()

        def fit(columns: int) -> int:
            parts, room = [], columns
            for region in stores[0].regions():
                end = min(region.end, region.start + room)
                parts.append(Region(region.contig, region.start, end))
                room -= len(parts[-1])
                if not room:
                    break
            fit_regions(model, stores[0], parts, self._device)
            return columns - room

        whole = sum(source.training.n_columns for source in stores)
        return _extrapolated(fit, (_COLUMNS // 4, _COLUMNS), whole)


def _extrapolated(call: Callable[[int], int], sizes: tuple[int, int], whole: int) -> float:
    """Seconds of a whole, from two parts: work and waste that does not grow with it.

    Parameters
    ----------
    call : callable
        Does a part of about so large a size, and says how large it was.
    sizes : (int, int)
    whole : int
    """
    call(sizes[0])  # compiles
    small, large = (_clocked(call, size) for size in sizes)
    if large[0] <= small[0]:
        return large[1] * whole / max(large[0], 1)
    each = max(large[1] - small[1], 0) / (large[0] - small[0])
    return max(large[1] + each * (whole - large[0]), 0)


def _clocked(call: Callable[[int], int], size: int) -> tuple[int, float]:
    start = time.monotonic()
    done = call(size)
    return done, time.monotonic() - start


def _median_seconds(call: Callable[[], object], most: int) -> float:
    """Of some calls, at most so many."""
    seconds: list[float] = []
    while len(seconds) < most and sum(seconds) < _SECONDS:
        start = time.monotonic()
        call()
        seconds.append(time.monotonic() - start)
    return statistics.median(seconds)


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.3g} MiB" if size < 1 << 30 else f"{size / (1 << 30):,.3g} GiB"


def _duration(seconds: float) -> str:
    for length, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def _n_windows(parts: Sequence[Batch]) -> int:
    return sum(len(part.tokens) for part in parts)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
