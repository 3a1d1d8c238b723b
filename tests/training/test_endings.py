"""How runs end: patience, the plateau, more epochs, warnings, and what is not a number."""

from __future__ import annotations

import dataclasses
import logging
import math

import pytest
import torch
from small_runs import CPU, metrics_of, train_until

from phylotools.errors import InputError, PhylotoolsError
from phylotools.training.checkpoint import Progress, read_checkpoint
from phylotools.training.dataset import TrainingData
from phylotools.training.doubts import doubts_of_figures
from phylotools.training.evaluation import Evaluation, sample_sizes, steps_between
from phylotools.training.loop import Trainer
from phylotools.training.run_folder import CHECKPOINT, METRICS
from phylotools.training.schedule import FALL

pytestmark = pytest.mark.usefixtures("one_thread")
HELD_OUT = {"held_out_fraction": 0.2}


@pytest.fixture
def overfitting(config_of, mammals_store):
    """A run that learns 778 columns by heart within seconds, on a plateau."""

    def make(**changes):
        optimiser = {"learning_rate": 0.05, "warmup_steps": 2, "epochs": 40} | changes.pop(
            "optimiser", {}
        )
        run = {"evaluate_every": 4, "patience": 2, "checkpoint_every": 7} | changes.pop("run", {})
        config = config_of(mammals_store, data=HELD_OUT, optimiser=optimiser, run=run, **changes)
        return dataclasses.replace(
            config, optimiser=dataclasses.replace(config.optimiser, steps=None)
        )

    return make


def test_a_plateau_runs_to_its_end(overfitting, tmp_path, caplog):
    caplog.set_level(logging.INFO, "phylotools")
    trainer = Trainer(overfitting(), tmp_path / "run", CPU)
    progress = trainer.run()
    assert progress.complete
    assert progress.step < trainer.length
    assert progress.falls == 3
    assert "at the lowest rate" in progress.stopped
    rows = metrics_of(tmp_path / "run")
    figures = {
        int(row["step"]): float(row["evaluation_held_out_columns"])
        for row in rows
        if row["evaluation_held_out_columns"]
    }
    assert progress.best_step == max(figures, key=figures.__getitem__)
    assert progress.best_metric == pytest.approx(figures[progress.best_step], rel=1e-6)
    # Two evaluations in vain before each fall and before the end.
    assert progress.step >= progress.best_step + 2 * 4
    rates = [float(row["learning_rate"]) for row in rows[1:]]
    assert sorted(set(rates), reverse=True) == pytest.approx([0.05 * FALL**k for k in range(4)])
    assert rates == sorted(rates, reverse=True)
    said = caplog.text
    assert f"kept are the weights of step {progress.best_step}, held out columns" in said
    assert "evaluations took" in said
    # The null models stand beside every evaluation, the epoch in every row.
    for row in rows:
        assert (row["null_tree"] != "") == (row["evaluation_training"] != "")
        steps = trainer.data.steps_per_epoch
        assert float(row["epoch"]) == pytest.approx(int(row["step"]) / steps, rel=1e-6)


def test_after_a_fall_the_best_weights_are_gone_on_with(overfitting, tmp_path):
    trainer = Trainer(overfitting(), tmp_path / "run", CPU)
    take, seen = trainer._step, []

    def look(batch):
        falls = trainer.progress.falls
        if len(seen) < falls:
            state = trainer.model.state_dict()
            seen.append(all(torch.equal(trainer.best[name], state[name]) for name in state))
        return take(batch)

    trainer._step = look
    trainer.run()
    assert seen == [True] * 3


@pytest.mark.parametrize("stop", [23])
def test_a_plateau_resumes_to_the_same_losses(overfitting, tmp_path, stop):
    config = overfitting()
    Trainer(config, tmp_path / "whole", CPU).run()
    train_until(config, tmp_path / "parts", stop)
    Trainer(config, tmp_path / "parts", CPU, resume=True).run()
    whole, parts = (tmp_path / name for name in ("whole", "parts"))
    assert (whole / METRICS).read_bytes() == (parts / METRICS).read_bytes()
    a, b = read_checkpoint(whole / CHECKPOINT), read_checkpoint(parts / CHECKPOINT)
    assert a.progress == b.progress
    assert all(torch.equal(a.tensors[name], b.tensors[name]) for name in a.tensors)


def test_a_cosine_ends_by_patience_or_length(overfitting, tmp_path):
    patient = overfitting(optimiser={"schedule": "cosine"})
    progress = Trainer(patient, tmp_path / "a", CPU).run()
    assert "evaluations without better prediction" in progress.stopped
    endless = overfitting(optimiser={"schedule": "cosine", "epochs": 3}, run={"patience": 0})
    trainer = Trainer(endless, tmp_path / "b", CPU)
    progress = trainer.run()
    assert progress.stopped == "its length is reached"
    assert progress.step == trainer.length == 3 * trainer.data.steps_per_epoch


def test_a_complete_run_is_extended(overfitting, tmp_path, caplog):
    short = overfitting(optimiser={"epochs": 3})
    first = Trainer(short, tmp_path / "run", CPU).run()
    before = metrics_of(tmp_path / "run")
    for config in (short, overfitting(optimiser={"epochs": 0.5})):
        with pytest.raises(InputError, match=r"complete after .* raise optimiser\.epochs"):
            Trainer(config, tmp_path / "run", CPU, extend=True)
    with pytest.raises(InputError, match=r"\(run\.seed changed\)"):
        Trainer(overfitting(run={"seed": 9}), tmp_path / "run", CPU, extend=True)
    longer = overfitting(optimiser={"epochs": 6}, run={"patience": 3})
    with pytest.raises(InputError, match=r"optimiser\.epochs, run\.patience changed"):
        Trainer(longer, tmp_path / "run", CPU, resume=True)
    train_until(longer, tmp_path / "run", first.step + 9, extend=True)
    # It has a checkpoint of its own by then: --resume goes on.
    last = Trainer(longer, tmp_path / "run", CPU, resume=True).run()
    assert last.complete
    assert last.step == 2 * first.step
    rows = metrics_of(tmp_path / "run")
    assert rows[: len(before)] == before
    assert [int(row["step"]) for row in rows] == list(range(1, last.step + 1))


def test_a_killed_extension_equals_one_that_was_not(overfitting, tmp_path):
    longer = overfitting(optimiser={"epochs": 6})
    for name in ("whole", "parts"):
        Trainer(overfitting(optimiser={"epochs": 3}), tmp_path / name, CPU).run()
    Trainer(longer, tmp_path / "whole", CPU, extend=True).run()
    train_until(longer, tmp_path / "parts", 24, extend=True)
    Trainer(longer, tmp_path / "parts", CPU, extend=True).run()
    whole, parts = (tmp_path / name for name in ("whole", "parts"))
    assert (whole / METRICS).read_bytes() == (parts / METRICS).read_bytes()


def test_there_must_be_a_run_to_extend(overfitting, tmp_path):
    with pytest.raises(InputError, match="no run to extend"):
        Trainer(overfitting(), tmp_path / "run", CPU, extend=True)


def _poisoned_weights(trainer):
    with torch.no_grad():
        next(trainer.model.network.parameters()).fill_(math.nan)


def _poisoned_step(trainer):
    optimise = trainer.optimiser.step

    def step():
        optimise()
        _poisoned_weights(trainer)

    trainer.optimiser.step = step


def _poisoned_loss(trainer):
    trainer.model.substitution.log_rate = lambda theta: theta.sum(dim=-1) * math.nan


def _poisoned_gradient(trainer):
    parameter = next(trainer.model.parameters())
    parameter.register_hook(lambda gradient: gradient * math.nan)


@pytest.mark.parametrize(
    ("poison", "what"),
    [
        (_poisoned_step, "norm of the weights"),
        (_poisoned_loss, "loss"),
        (_poisoned_gradient, "gradient"),
    ],
)
def test_what_is_not_a_number_never_reaches_a_checkpoint(overfitting, tmp_path, poison, what):
    config = overfitting()
    train_until(config, tmp_path / "run", 16)
    kept = (tmp_path / "run" / CHECKPOINT).read_bytes()
    trainer = Trainer(config, tmp_path / "run", CPU, resume=True)
    poison(trainer)
    with pytest.raises(
        PhylotoolsError, match=rf"{what} is not finite at step 15; lower .* stays as it was"
    ):
        trainer.run()
    assert (tmp_path / "run" / CHECKPOINT).read_bytes() == kept
    assert Trainer(config, tmp_path / "run", CPU, resume=True).run().complete


def test_an_evaluation_that_is_not_a_number_stops_the_run(overfitting, tmp_path, monkeypatch):
    def evaluate(*arguments):
        result = real(*arguments)
        return dataclasses.replace(result, held_out_columns=math.nan)

    import phylotools.training.loop as loop

    real = loop.evaluate_model
    monkeypatch.setattr(loop, "evaluate_model", evaluate)
    with pytest.raises(PhylotoolsError, match="log-likelihood of held out columns is not finite"):
        Trainer(overfitting(), tmp_path / "run", CPU).run()


# Warnings


def test_warnings_are_said_once_and_kept(overfitting, tmp_path, caplog, monkeypatch):
    figures = iter([-10.0, -10.05, -10.2, -10.4, -10.3])

    def evaluate(*arguments):
        return Evaluation(-9.0, None, next(figures))

    monkeypatch.setattr("phylotools.training.loop.evaluate_model", evaluate)
    cosine = {"schedule": "cosine", "epochs": 4}
    config = overfitting(run={"patience": 0}, optimiser=cosine)
    trainer = Trainer(config, tmp_path / "run", CPU)
    assert trainer.length == 20
    progress = trainer.run()
    assert "at step 4 to -10.2000 at step 12" in progress.warnings["fall"]
    assert caplog.text.count("learns its training columns by heart") == 1
    assert read_checkpoint(tmp_path / "run" / CHECKPOINT).progress.warnings == progress.warnings


def test_doubts_of_figures():
    best = Progress(
        step=30, best_held_out=-10.0, best_held_out_step=20, null_constants=-11.0, null_tree=-12.0
    )
    assert doubts_of_figures(best, -10.05, is_settled=True, keeps_best=True) == {}
    (text,) = doubts_of_figures(best, -10.2, is_settled=False, keeps_best=True).values()
    assert "fell from -10.0000 at step 20 to -10.2000 at step 30" in text
    assert text.endswith("the best weights are kept")
    (text,) = doubts_of_figures(best, -10.2, is_settled=False, keeps_best=False).values()
    assert text.endswith("other weights are kept")
    worse = dataclasses.replace(best, best_held_out=-11.5)
    assert doubts_of_figures(worse, -11.5, is_settled=False, keeps_best=True) == {}
    found = doubts_of_figures(worse, -11.5, is_settled=True, keeps_best=True)
    assert list(found) == ["constants"]
    assert "below that of constants for each reference base, -11.0000" in found["constants"]
    lost = dataclasses.replace(best, best_held_out=-12.5)
    assert set(doubts_of_figures(lost, -12.5, is_settled=True, keeps_best=True)) == {
        "constants",
        "tree",
    }
    assert doubts_of_figures(Progress(), None, is_settled=True, keeps_best=True) == {}


# How often evaluations come, and on how many columns


def test_evaluations_are_a_part_of_an_epoch_apart(config_of, many_segments):
    def every(**changes):
        run = {"evaluate_every": None} | changes.pop("run", {})
        config = config_of(many_segments, **changes)
        config = dataclasses.replace(config, run=dataclasses.replace(config.run, **run))
        return steps_between(TrainingData(config), config)

    # 22,000 columns in windows of 48, four a step.
    steps = TrainingData(config_of(many_segments)).steps_per_epoch
    assert every(run={"evaluation_columns": 100}) == steps // 2
    # A tenth of the time, where as many columns are scored as a step trains on in 50: 50 / 0.3.
    assert every(run={"evaluation_columns": 10**6}) == min(
        250, max(steps // 2, math.ceil(22_652 / 3 / (0.1 * 4 * 48)))
    )
    assert every(run={"evaluate_every": 3}) == 3
    assert every(optimiser={"windows_per_batch": 1000, "window_length": 400}) == 10


def test_as_many_training_as_held_out_columns_are_scored(config_of, mammals_store):
    def sizes(**data):
        config = config_of(mammals_store, data=data)
        return sample_sizes(TrainingData(config), config)

    assert sizes() == (20_000, 0)
    assert sizes(held_out_fraction=0.1) == (97, 97)
    assert sizes(held_out_fraction=0.1, held_out_species_fraction=0.2) == (20_000, 97)
