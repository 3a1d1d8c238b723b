"""What a model must beat: predictors of held-out columns that read no sequence around a site."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from phylotools.model.site_model import SiteModel
from phylotools.phylogeny.likelihood import column_log_likelihood, log_reference_frequency
from phylotools.phylogeny.site_fit.optimiser import maximise
from phylotools.phylogeny.substitution import SubstitutionModel
from phylotools.training.batch import Batch
from phylotools.training.config import TrainingConfig
from phylotools.training.dataset import TrainingData
from phylotools.training.evaluation import sample_sizes
from phylotools.training.objectives.masks import can_be_masked

logger = logging.getLogger("phylotools")

#: Training columns that the null models are fitted to: many for two dozen numbers.
_COLUMNS = 2000
#: Nats a column left to gain at the end of a fit.
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class NullModels:
    """Mean log-likelihoods of the held-out columns, in nats: of what the objective predicts there.

    Attributes
    ----------
    constants : float
        Given the reference base, theta depends on it alone. Of masked bases, theta is the same
        everywhere: the composition of the training columns.
    tree : float or None
        Given the reference base, every site is neutral. None of masked bases.
    """

    constants: float
    tree: float | None


def null_models(
    data: TrainingData, model: SiteModel, config: TrainingConfig, device: torch.device
) -> NullModels | None:
    """Fit the null models to training columns and score the held-out ones; None without any.

    What the run learns of the substitution model is fitted for each of the two, from where the
    model stands; `model` is left as it is.
    """
    _, n_held_out = sample_sizes(data, config)
    if not n_held_out:
        return None
    if config.objective.kind == "masked":
        return _composition(data, n_held_out)
    training = [batch.to(device) for batch in data.evaluation(False, _COLUMNS)]
    neutral = _neutral_theta(model.substitution).to(device)
    # The reference base reads theta from its row.
    start = neutral.repeat(4, 1)
    figures = []
    for theta, is_learned in ((start, True), (start, False)):
        theta, substitution = _fitted(training, theta, model.substitution, is_learned)
        total, columns = 0.0, 0
        for batch in data.evaluation(True, n_held_out):
            batch = batch.to(device)
            with torch.no_grad():
                values = _log_likelihoods(batch, theta, substitution)
            total, columns = total + values.double().sum().item(), columns + len(values)
        figures.append(total / columns)
    found = NullModels(*figures)
    logger.info(
        "null models at the held-out columns: constants %.4f, neutral tree %.4f",
        found.constants, found.tree,
    )  # fmt: skip
    return found


def _composition(data: TrainingData, n_held_out: int) -> NullModels:
    """Masked bases by how often each stands in the training columns, once more than counted."""
    counts = 1 + _base_counts(data.evaluation(False, n_held_out))
    held_out = _base_counts(data.evaluation(True, n_held_out))
    log_share = (counts / counts.sum()).log()
    figure = (held_out * log_share).sum().item() / max(held_out.sum().item(), 1)
    logger.info("null model at the held-out columns: base composition %.4f", figure)
    return NullModels(figure, None)


def _base_counts(batches: Iterable[Batch]) -> Tensor:
    """How often A, C, G and T are the base of a column that can be masked: float64, shape (4,)."""
    counts = torch.zeros(4, dtype=torch.float64)
    for batch in batches:
        counts += torch.bincount(batch.reference[can_be_masked(batch)].long(), minlength=4)
    return counts


def _neutral_theta(substitution: SubstitutionModel) -> Tensor:
    return substitution.with_log_rate(torch.zeros(4), substitution.neutral_log_rate).detach()


def _log_likelihoods(batch: Batch, theta: Tensor, substitution: SubstitutionModel) -> Tensor:
    """Of the species in the loss given the reference base; an unknown one reads the mean theta."""
    rows = torch.cat([theta, theta.mean(dim=0, keepdim=True)])
    own = rows[batch.reference.long().clamp(max=4)]
    joint = column_log_likelihood(batch.states, own, batch.plan, substitution)
    return joint - log_reference_frequency(batch.reference, own, substitution)


def _fitted(
    batches: list[Batch], theta: Tensor, substitution: SubstitutionModel, is_learned: bool
) -> tuple[Tensor, SubstitutionModel]:
    """Theta by reference base, and the substitution model, that fit the columns best."""
    substitution = copy.deepcopy(substitution)
    constants = nn.Parameter(theta.clone(), requires_grad=is_learned)
    learned = [p for p in (constants, *substitution.parameters()) if p.requires_grad]
    columns = sum(len(batch.site) for batch in batches)
    if learned:
        start = parameters_to_vector(learned).detach().double().reshape(1, -1)
        best = maximise(
            _objective(batches, constants, substitution, learned),
            start,
            tolerance=_TOLERANCE * columns,
        )
        vector_to_parameters(best.point[0].float(), learned)
    return constants.detach(), substitution


def _objective(
    batches: list[Batch],
    constants: Tensor,
    substitution: SubstitutionModel,
    learned: list[nn.Parameter],
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Sum of the log-likelihoods, with its gradient, as `maximise` takes it."""

    def evaluate(rows: Tensor, point: Tensor) -> tuple[Tensor, Tensor]:
        vector_to_parameters(point[0].float(), learned)
        value, slope = torch.zeros(1, dtype=torch.float64), torch.zeros_like(point)
        for batch in batches:
            values = _log_likelihoods(batch, constants, substitution)
            # Where branches of length zero join different bases no theta helps.
            total = values[values.isfinite()].double().sum()
            gradient = torch.autograd.grad(total, learned)
            value += total.detach().cpu()
            slope += parameters_to_vector(gradient).double()
        return value.to(point.device), slope

    return evaluate
