"""Figures of a model on fixed samples of training and held-out columns, and how often they come."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch

from phylotools.errors import PhylotoolsError
from phylotools.model.site_model import SiteModel
from phylotools.training.batch import Batch
from phylotools.training.config import TrainingConfig
from phylotools.training.dataset import TrainingData
from phylotools.training.objectives import make_objective
from phylotools.training.workers import ALONE, Workers

#: Part of the training time that evaluations may take where an epoch is short.
_SHARE = 0.1
#: Work of a column that is evaluated, in columns trained on: no gradient, and no moments.
_COST = 1 / 3
#: Evaluations are half an epoch apart, where that is between these numbers of steps: in fewer,
#: little changes, and in more the best weights may come and go unseen.
_PER_EPOCH = 2
_FEWEST, _MOST = 10, 250


@dataclass(frozen=True)
class Evaluation:
    """Mean log-likelihoods in nats a column; ``None`` where nothing is held out.

    Attributes
    ----------
    training : float
        At the training columns: of the species in the loss given the reference base or, of a model
        of masked bases, of the reference base given the sequence around it.
    held_out_species : float or None
        Held-out species at the training columns, given all others. None of a model of masked bases.
    held_out_columns : float or None
        At the held-out columns, what `training` is at the training columns.
    """

    training: float
    held_out_species: float | None
    held_out_columns: float | None

    def figures(self) -> dict[str, float]:
        """Those that there are."""
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if value is not None}


def evaluate_model(
    model: SiteModel,
    data: TrainingData,
    config: TrainingConfig,
    device: torch.device,
    workers: Workers = ALONE,
) -> Evaluation:
    """Score fixed samples of training and held-out columns.

    The batches are dealt out to the workers, and their sums added in the order of the batches: no
    figure depends on how many workers there are.
    """
    objective = make_objective(config)

    def sums(batch: Batch) -> tuple[float, float, int]:
        shown, hidden = objective.evaluate(model, batch.to(device))
        of_hidden = 0.0 if hidden is None else hidden.double().sum().item()
        return shown.double().sum().item(), of_hidden, len(shown)

    def mean(held_out: bool, limit: int) -> tuple[float | None, float | None]:
        rows = [
            sums(batch) if number % workers.size == workers.rank else (0.0, 0.0, 0)
            for number, batch in enumerate(data.evaluation(held_out, limit))
        ]
        shown, hidden, columns = map(sum, zip((0.0, 0.0, 0), *workers.sum_rows(rows), strict=True))
        return (shown / columns, hidden / columns) if columns else (None, None)

    n_training, n_held_out = sample_sizes(data, config)
    training, hidden = mean(held_out=False, limit=n_training)
    columns, _ = mean(held_out=True, limit=n_held_out)
    if training is None:
        raise PhylotoolsError("no column of the training sample has a reference base A, C, G or T")
    predicts_species = _holds_species(data) and objective.predicts_species
    return Evaluation(training, hidden if predicts_species else None, columns)


def sample_sizes(data: TrainingData, config: TrainingConfig) -> tuple[int, int]:
    """Training and held-out columns that are scored at an evaluation, at most.

    Of training columns no more than of held-out ones, whose figure they stand beside, unless
    species are held out: these are predicted at the training columns.
    """
    most = config.run.evaluation_columns
    n_held_out = min(most, sum(source.held_out.n_columns for source in data.stores))
    if _holds_species(data) or not n_held_out:
        return most, n_held_out
    return n_held_out, n_held_out


def steps_between(data: TrainingData, config: TrainingConfig) -> int:
    """Steps from one evaluation to the next, where ``run.evaluate_every`` does not say it."""
    if config.run.evaluate_every is not None:
        return config.run.evaluate_every
    optimiser = config.optimiser
    n_training, n_held_out = sample_sizes(data, config)
    n_training = min(n_training, sum(source.training.n_columns for source in data.stores))
    per_step = optimiser.windows_per_batch * optimiser.window_length
    cost = _COST * make_objective(config).n_passes
    cheap = math.ceil(cost * (n_training + n_held_out) / (_SHARE * per_step))
    usual = min(max(data.steps_per_epoch // _PER_EPOCH, _FEWEST), _MOST)
    return max(usual, min(cheap, _MOST))


def _holds_species(data: TrainingData) -> bool:
    return any(len(source.held_out_species) for source in data.stores)
