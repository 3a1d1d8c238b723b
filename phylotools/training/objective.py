"""What training minimises, and what its evaluations report."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phylotools.model.network import ByteNet
from phylotools.phylogeny.likelihood import column_log_likelihood, log_reference_frequency
from phylotools.phylogeny.substitution import log_total_rate
from phylotools.training.config import RateConfig
from phylotools.training.dataset import Batch


@dataclass(frozen=True)
class LossTerms:
    """Means over the columns of a batch.

    Attributes
    ----------
    log_likelihood : Tensor, scalar
        Of the other species given the reference base, in nats a column.
    penalty : Tensor, scalar
        Minus the log density of the prior on log R, up to a constant.
    """

    log_likelihood: Tensor
    penalty: Tensor

    @property
    def loss(self) -> Tensor:
        return self.penalty - self.log_likelihood


def column_log_rates(network: ByteNet, batch: Batch) -> Tensor:
    """Theta at every column of a batch, shape (C, A)."""
    return network(batch.tokens).flatten(0, 1)[batch.site]


def loss_terms(network: ByteNet, batch: Batch, rate: RateConfig) -> LossTerms:
    """The negative conditional log-likelihood and the prior's penalty.

    ``-mean[log P(column | theta) - log pi_reference] + mean[(log R - mean)^2 / (2 sd^2)]``:
    the maximum a posteriori estimate with one draw of log R for each site.
    """
    theta = column_log_rates(network, batch)
    conditional = column_log_likelihood(batch.states, theta, batch.plan) - log_reference_frequency(
        batch.reference, theta
    )
    total = batch.weight.sum().clamp(min=1e-12)
    mean = (conditional * batch.weight).sum() / total
    if rate.treatment != "prior":
        return LossTerms(mean, torch.zeros_like(mean))
    distance = (log_total_rate(theta) - rate.mean) / rate.sd
    return LossTerms(mean, (distance.square() / 2 * batch.weight).sum() / total)


@torch.no_grad()
def conditional_log_likelihoods(network: ByteNet, batch: Batch) -> tuple[Tensor, Tensor]:
    """How well a network predicts the columns of a batch.

    Returns
    -------
    shown : Tensor, shape (C,)
        log P(species in the loss | reference base).
    held_out : Tensor, shape (C,)
        log P(held-out species | species in the loss): 0 where there is none.
    """
    theta = column_log_rates(network, batch)
    seen = column_log_likelihood(batch.states, theta, batch.plan)
    everything = column_log_likelihood(batch.held_out_states, theta, batch.plan)
    return seen - log_reference_frequency(batch.reference, theta), everything - seen
