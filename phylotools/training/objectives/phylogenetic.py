"""The phylogenetic likelihood: the other species of a column, given the base that was read."""

from __future__ import annotations

import torch
from torch import Tensor

from phylotools.model.site_model import SiteModel
from phylotools.phylogeny.likelihood import column_log_likelihood, log_reference_frequency
from phylotools.training.batch import Batch
from phylotools.training.objectives.base import Figures, LossSums, Objective, column_theta


class PhylogeneticObjective(Objective):
    """The conditional log-likelihood of columns, and the prior on log R.

    ``mean[log P(column | theta) - log pi_reference] - mean[(log R - mean)^2 / (2 sd^2)]``: the
    maximum a posteriori estimate with one draw of log R for each site.
    """

    def sums(self, model: SiteModel, batch: Batch) -> LossSums:
        return conditional_sums(model, batch, column_theta(model, batch))

    @torch.no_grad()
    def evaluate(self, model: SiteModel, batch: Batch) -> Figures:
        """Of the species in the loss given the reference base, and of those held out given them."""
        theta = column_theta(model, batch)
        seen, everything = (
            column_log_likelihood(states, theta, batch.plan, model.substitution)
            for states in (batch.states, batch.held_out_states)
        )
        own = log_reference_frequency(batch.reference, theta, model.substitution)
        return Figures(seen - own, everything - seen)


def conditional_sums(model: SiteModel, batch: Batch, theta: Tensor) -> LossSums:
    """The phylogenetic loss of columns whose theta is known."""
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
    return LossSums(total, penalty, batch.weight.sum())
