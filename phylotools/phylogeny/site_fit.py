"""Per-site maximum a posteriori parameters from columns: the baseline without a network."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from phylotools.phylogeny.likelihood import (
    PruningPlan,
    column_log_likelihood,
    log_reference_frequency,
)
from phylotools.phylogeny.substitution import (
    NEUTRAL_LOG_RATE,
    log_equilibrium_frequencies,
    log_total_rate,
)

#: Adam's first step size in log-rate units, and how often it steps. On 11,317 mitochondrial
#: columns of 671 mammals the mean log posterior rises by less than 0.01 nats after step 120.
_STEP_SIZE, _STEPS = 0.15, 200


@dataclass(frozen=True)
class SitePrior:
    """Independent normal priors of one site.

    Attributes
    ----------
    log_rate_mean, log_rate_sd : float
        Of log R; an infinite sd leaves the rate free.
    log_frequency_sd : float
        Of each log pi about the mean of the four; keeps the frequencies of a fully conserved
        column finite.
    """

    log_rate_mean: float = NEUTRAL_LOG_RATE
    log_rate_sd: float = 1.0
    log_frequency_sd: float = 3.0

    def log_density(self, theta: Tensor) -> Tensor:
        """Log density up to a constant, shape (C,), of theta of shape (C, A)."""
        log_pi = log_equilibrium_frequencies(theta)
        contrast = (log_pi - log_pi.mean(dim=-1, keepdim=True)) / self.log_frequency_sd
        distance = (log_total_rate(theta) - self.log_rate_mean) / self.log_rate_sd
        return -(contrast.square().sum(dim=-1) + distance.square()) / 2


def fit_sites(
    states: Tensor, reference: Tensor, plan: PruningPlan, prior: SitePrior | None = None
) -> Tensor:
    """Maximise ``log P(column | theta) - log pi_reference + log prior`` at every site.

    Parameters
    ----------
    states : Tensor of uint8, shape (C, S)
        0..3, anything else missing.
    reference : Tensor of uint8, shape (C,)
        Base of the species whose base is given, not predicted.
    plan : PruningPlan
    prior : SitePrior, optional

    Returns
    -------
    Tensor of float32, shape (C, A)
        Log rates theta.
    """
    prior = prior or SitePrior()
    theta = torch.full((len(states), 4), NEUTRAL_LOG_RATE - math.log(4), device=states.device)
    theta.requires_grad_()
    optimiser = torch.optim.Adam([theta])
    for step in range(_STEPS):
        for group in optimiser.param_groups:
            group["lr"] = _STEP_SIZE * (1 - step / _STEPS) + 1e-3
        optimiser.zero_grad()
        posterior = (
            column_log_likelihood(states, theta, plan)
            - log_reference_frequency(reference, theta)
            + prior.log_density(theta)
        )
        (-posterior.sum()).backward()
        optimiser.step()
    return theta.detach()
