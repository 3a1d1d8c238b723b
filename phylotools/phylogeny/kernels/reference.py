"""Pruning in plain torch: any model, any device, differentiable by autograd.

It works with logarithms, so that nothing underflows however large the tree, however long a
polytomy and however slow the site. The other kernels, which multiply probabilities, hand over to
this one the columns that leave the range of their numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from phylotools.phylogeny.kernels.plan import PruningPlan
from phylotools.phylogeny.substitution.base import NEVER, SubstitutionModel


def log_likelihood(
    states: Tensor, theta: Tensor, plan: PruningPlan, model: SubstitutionModel
) -> Tensor:
    """Log-likelihood of each column.

    Parameters
    ----------
    states : Tensor of uint8, shape (C, S)
        0..3 are A, C, G, T; anything else is missing data.
    theta : Tensor of float, shape (C, A)
        Finite.
    plan : PruningPlan
    model : SubstitutionModel

    Returns
    -------
    Tensor, shape (C,)
        Natural logarithms; 0 for a column without any species; -inf, with gradient 0, where
        branches of length zero join different bases.
    """
    carry = model.log_propagator(theta)
    log_scale = theta.new_zeros(theta.shape[0])
    # log partials of tips and finished merges, and the place of each slot in that table
    table = _tip_log_partials(states, theta.dtype)
    place = torch.arange(plan.n_tips + len(plan.child), device=theta.device)
    for level in plan.levels:
        slots = torch.from_numpy(plan.child[level]).to(theta.device).long()
        lengths = torch.from_numpy(plan.branch_length[level]).to(theta)
        below = table[:, place[slots.flatten()]]  # (C, 2 merges, A)
        merged = carry(below, lengths.flatten()).unflatten(1, (-1, 2)).sum(dim=2)
        # Values near 0 keep their digits; a constant leaves the gradient as it is.
        largest = merged.detach().amax(dim=-1)
        log_scale = log_scale + largest.sum(dim=1)
        place[plan.n_tips + torch.from_numpy(level).to(theta.device)] = (
            torch.arange(len(level), device=theta.device) + table.shape[1]
        )
        table = torch.cat([table, (merged - largest.unsqueeze(-1)).clamp(min=NEVER)], dim=1)
    value = torch.logsumexp(model.log_equilibrium_frequencies(theta) + table[:, -1], dim=-1)
    value = value + log_scale
    value = torch.where(value > NEVER / 10, value, torch.full_like(value, -torch.inf))
    # A column without any species has probability 1, not 1 give or take a rounding error.
    return torch.where((states < 4).any(dim=1), value, torch.zeros_like(value))


def _tip_log_partials(states: Tensor, dtype: torch.dtype) -> Tensor:
    """0 for a tip's base and `NEVER` for others; all 0 for missing data; shape (C, S, A)."""
    lookup = torch.zeros(256, 4, dtype=dtype, device=states.device)
    lookup[:4] = NEVER * (1 - torch.eye(4, dtype=dtype, device=states.device))
    return lookup[states.long()]
