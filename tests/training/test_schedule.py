"""The learning rate, patience, and what is kept: `schedule` alone, without training."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from phylotools.training.checkpoint import Progress
from phylotools.training.config import (
    DataConfig,
    OptimiserConfig,
    RunConfig,
    TrainingConfig,
)
from phylotools.training.schedule import FALL, judged, learning_rate_share


def shares(optimiser: OptimiserConfig, length: int) -> list[float]:
    return [learning_rate_share(Progress(step=k), optimiser, length) for k in range(length)]


def test_a_cosine_after_its_warm_up():
    rates = shares(OptimiserConfig(schedule="cosine", warmup_steps=10), 100)
    assert rates[0] == pytest.approx(0.1, rel=1e-3)
    assert max(rates) <= 1.0
    assert rates.index(max(rates)) == 9
    assert all(a > b for a, b in itertools.pairwise(rates[9:]))
    assert 0 < rates[-1] < 0.0125
    cosine = OptimiserConfig(schedule="cosine", warmup_steps=0)
    assert learning_rate_share(Progress(), cosine, 100) == 1
    assert learning_rate_share(Progress(step=300), cosine, 100) == cosine.final_fraction


def test_a_plateau_is_flat_but_for_its_falls():
    plateau = OptimiserConfig(schedule="plateau", warmup_steps=4)
    assert shares(plateau, 8) == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert learning_rate_share(Progress(step=9, falls=2), plateau, 8) == pytest.approx(FALL**2)


def history(config: TrainingConfig, figures: list[float]) -> list[Progress]:
    """Progress after each of several evaluations, 10 steps apart, until training stops."""
    progress, found = Progress(), []
    for figure in figures:
        progress = dataclasses.replace(progress, step=progress.step + 10)
        progress = judged(progress, figure, config)
        found.append(progress)
        if progress.complete:
            break
    return found


def config(schedule: str, patience: int | None = 3) -> TrainingConfig:
    return TrainingConfig(
        DataConfig(["x"]),
        optimiser=OptimiserConfig(schedule=schedule),
        run=RunConfig(patience=patience),
    ).with_defaults()


def test_a_plateau_falls_and_stops():
    found = history(config("plateau"), [-5.0, -4.0, -6.0, -4.0, -4.1, -3.0] + [-9.0] * 99)
    assert [p.best_step for p in found[:6]] == [10, 20, 20, 20, 20, 60]
    # Of three evaluations that are no better, also one that is as good, the third makes it fall.
    assert [p.stale for p in found[:6]] == [0, 0, 1, 2, 0, 0]
    assert [p.falls for p in found[:6]] == [0, 0, 0, 0, 1, 1]
    last = found[-1]
    assert (last.best_metric, last.best_step) == (-3.0, 60)
    # 0.3, 0.09, 0.027; 0.0081 would be below the final fraction.
    assert last.falls == 3
    assert last.complete
    assert len(found) == 6 + 3 * 3
    assert (
        last.stopped
        == "3 evaluations without better prediction of held out columns at the lowest rate"
    )


def test_a_cosine_stops_by_patience_alone():
    found = history(config("cosine"), [-5.0, -4.0] + [-6.0] * 99)
    assert (len(found), found[-1].falls) == (5, 0)
    assert found[-1].complete
    endless = history(config("cosine", None), [-5.0] + [-6.0] * 99)
    assert len(endless) == 100
    assert endless[-1].best_step == 10


def test_without_patience_a_plateau_never_falls():
    found = history(config("plateau", 0), [-5.0] + [-6.0] * 99)
    assert (len(found), found[-1].falls) == (100, 0)
