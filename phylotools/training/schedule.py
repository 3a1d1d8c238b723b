"""When the learning rate falls and when training stops, as a function of a run's progress."""

from __future__ import annotations

import dataclasses
import math

from phylotools.training.checkpoint import Progress
from phylotools.training.config import OptimiserConfig, TrainingConfig

#: By what a plateau's learning rate falls.
FALL = 0.3


def learning_rate_share(progress: Progress, optimiser: OptimiserConfig, length: int) -> float:
    """Share of the learning rate at the next step.

    A linear warm-up, and then, by the schedule, half a cosine from the full rate down to its
    final fraction over `length` steps, or the full rate times `FALL` for every fall.
    """
    step = progress.step
    warm = min(1.0, (step + 1) / max(optimiser.warmup_steps, 1))
    if optimiser.schedule == "plateau":
        return float(warm * FALL**progress.falls)
    cosine = (1 + math.cos(math.pi * min(step / length, 1))) / 2
    final = optimiser.final_fraction
    return warm * (final + (1 - final) * cosine)


def judged(progress: Progress, metric: float, config: TrainingConfig) -> Progress:
    """Progress after an evaluation, by the figure that selects the weights.

    A better figure than ever makes this step the best. After ``run.patience`` others the learning
    rate of a plateau falls, so that the weights go back to the best, or training stops.
    """
    if progress.best_metric is None or metric > progress.best_metric:
        return dataclasses.replace(progress, best_metric=metric, best_step=progress.step, stale=0)
    progress = dataclasses.replace(progress, stale=progress.stale + 1)
    patience, optimiser = config.run.patience or 0, config.optimiser
    if not patience or progress.stale < patience:
        return progress
    what = str(config.run.select_by).replace("_", " ")
    if optimiser.schedule != "plateau":
        reason = f"{patience} evaluations without better prediction of {what}"
        return dataclasses.replace(progress, complete=True, stopped=reason)
    if FALL ** (progress.falls + 1) < optimiser.final_fraction:
        reason = f"{patience} evaluations without better prediction of {what} at the lowest rate"
        return dataclasses.replace(progress, complete=True, stopped=reason)
    return dataclasses.replace(progress, stale=0, falls=progress.falls + 1)
