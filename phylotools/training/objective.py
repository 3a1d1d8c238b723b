"""The loss of training, and the log-likelihoods of its evaluations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phylotools.model.site_model import SiteModel
from phylotools.phylogeny.likelihood import column_log_likelihood, log_reference_frequency
from phylotools.training.batch import Batch
from phylotools.training.shared_prior import FrequencyPrior


@dataclass(frozen=True)
class LossTerms:
    """Means over the columns of a batch.

    Attributes
    ----------
    log_likelihood : Tensor, scalar
        Of the other species given the reference base, in nats a column.
    penalty : Tensor, scalar
        Minus the log densities of the priors, up to a constant.
    """

    log_likelihood: Tensor
    penalty: Tensor

    @property
    def loss(self) -> Tensor:
        return self.penalty - self.log_likelihood


@dataclass(frozen=True)
class LossSums:
    """Weighted sums over the columns of a batch, or of a part of one, as those of `LossTerms`."""

    log_likelihood: Tensor
    penalty: Tensor

    def over(self, weight: float) -> LossTerms:
        """Divided by a weight, that of all parts of a batch: what the parts' terms add up to."""
        return LossTerms(self.log_likelihood / weight, self.penalty / weight)


def column_theta(model: SiteModel, batch: Batch) -> Tensor:
    """Theta at every column of a batch, shape (C, A)."""
    theta: Tensor = model(batch.tokens, spans_of_columns(batch, model.receptive_field))
    return theta.flatten(0, 1)[batch.site]


def spans_of_columns(batch: Batch, receptive_field: int) -> Tensor:
    """Position of each window's first column, and the one after its last: int64, shape (B, 2).

    Both are 0 where a window has none.
    """
    windows, length = batch.tokens.shape
    width = length - receptive_field + 1
    window, position = batch.site // width, batch.site % width
    first, last = batch.site.new_zeros(windows), batch.site.new_full((windows,), -1)
    first.scatter_reduce_(0, window, position, "amin", include_self=False)
    last.scatter_reduce_(0, window, position, "amax", include_self=False)
    return torch.stack([first, last + 1], dim=1)


class Objective:
    """The negative conditional log-likelihood and the penalty of the prior on the rate.

    ``-mean[log P(column | theta) - log pi_reference] + mean[(log R - mean)^2 / (2 sd^2)]``:
    the maximum a posteriori estimate with one draw of log R for each site.
    """

    def weight(self, batch: Batch) -> float:
        """What `sums` are divided by; of a batch in parts, the sum of the parts' weights."""
        return max(batch.weight.sum().item(), 1e-12)

    def sums(self, model: SiteModel, batch: Batch) -> LossSums:
        """The loss of a batch as weighted sums over its columns."""
        theta = column_theta(model, batch)
        substitution = model.substitution
        conditional = column_log_likelihood(
            batch.states, theta, batch.plan, substitution
        ) - log_reference_frequency(batch.reference, theta, substitution)
        total = (conditional * batch.weight).sum()
        penalty = torch.zeros_like(total)
        rate = model.rate
        if rate.treatment == "prior":
            assert rate.mean is not None
            assert rate.sd is not None
            distance = (substitution.log_rate(theta) - rate.mean) / rate.sd
            penalty = (distance.square() / 2 * batch.weight).sum()
        return LossSums(total, penalty)


def loss_terms(
    model: SiteModel, batch: Batch, frequency_prior: FrequencyPrior | None = None
) -> LossTerms:
    """The loss of a whole batch, with the prior on the mutation frequencies."""
    objective = Objective()
    terms = objective.sums(model, batch).over(objective.weight(batch))
    if frequency_prior is None:
        return terms
    penalty = terms.penalty + frequency_prior.penalty(model.substitution)
    return LossTerms(terms.log_likelihood, penalty)


@torch.no_grad()
def conditional_log_likelihoods(model: SiteModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Conditional log-likelihoods of the columns of a batch.

    Returns
    -------
    shown : Tensor, shape (C,)
        log P(species in the loss | reference base).
    held_out : Tensor, shape (C,)
        log P(held-out species | species in the loss): 0 where there is none.
    """
    theta = column_theta(model, batch)
    seen, everything = (
        column_log_likelihood(states, theta, batch.plan, model.substitution)
        for states in (batch.states, batch.held_out_states)
    )
    own = log_reference_frequency(batch.reference, theta, model.substitution)
    return seen - own, everything - seen
