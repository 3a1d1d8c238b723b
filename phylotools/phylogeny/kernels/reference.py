"""F81 pruning in plain torch, for any device: differentiable, level by level."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from phylotools.phylogeny.kernels.plan import PruningPlan


def f81_log_likelihood(states: Tensor, theta: Tensor, plan: PruningPlan) -> Tensor:
    """Log-likelihood of each column; gradients by autograd.

    Parameters
    ----------
    states : Tensor of uint8, shape (C, S)
        0..3 are A, C, G, T; anything else is missing data.
    theta : Tensor of float, shape (C, A)
        Log rates, finite.
    plan : PruningPlan

    Returns
    -------
    Tensor, shape (C,)
        Natural logarithms; -inf where branches of length zero join different bases.
    """
    if theta.dtype == torch.float32 and _beyond_float32(theta.detach(), plan):
        return f81_log_likelihood(states, theta.double(), plan).to(theta.dtype)
    pi = torch.softmax(theta, dim=-1)
    # Beyond this every branch is saturated; the bound keeps R * 0 from becoming inf * 0.
    rate = torch.logsumexp(theta, dim=-1).clamp(max=60.0).exp()
    partial = _tip_partials(states, theta.dtype)
    log_scale = theta.new_zeros(theta.shape[0])
    # partials of finished merges, and the column of that table in which each slot stands
    table, column = partial, torch.arange(plan.n_tips + len(plan.child), device=theta.device)
    for level in plan.levels:
        slots = torch.from_numpy(plan.child[level]).to(theta.device).long()
        lengths = torch.from_numpy(plan.branch_length[level]).to(theta)
        below = table[:, column[slots]]  # (C, merges, 2, A)
        loss = -torch.expm1(-rate[:, None, None] * lengths)[..., None]
        mean = (below * pi[:, None, None]).sum(-1, keepdim=True)
        merged = (loss * mean + (1 - loss) * below).prod(dim=2)
        # Rescaling by a constant leaves the gradient as it is.
        largest = merged.detach().amax(dim=-1, keepdim=True)
        safe = torch.where(largest > 0, largest, torch.ones_like(largest))
        log_scale = log_scale + safe.log().sum(dim=(1, 2))
        column[plan.n_tips + torch.from_numpy(level).to(theta.device)] = (
            torch.arange(len(level), device=theta.device) + table.shape[1]
        )
        table = torch.cat([table, merged / safe], dim=1)
    total = (pi * table[:, -1]).sum(dim=-1)
    possible = total > 0
    # log of a stand-in: the gradient of log 0 would be NaN where it must be 0.
    value = torch.where(possible, total, torch.ones_like(total)).log() + log_scale
    return torch.where(possible, value, torch.full_like(value, -torch.inf))


def _beyond_float32(theta: Tensor, plan: PruningPlan) -> bool:
    """Whether some column's partials, or their adjoints, may leave the range of float32.

    No tip's contribution is below d = min(pi, exp(theta) t) over bases and branches; adjoints
    stay below 1 / d^2, and float32 ends at 3e38 = exp(88).
    """
    branches = plan.branch_length[plan.branch_length > 0]
    if not len(theta) or not len(branches):
        return False
    shortest = math.log(branches.min())
    smallest = torch.minimum(torch.log_softmax(theta, dim=-1), theta + shortest)
    return bool(smallest.min() < -40)


def _tip_partials(states: Tensor, dtype: torch.dtype) -> Tensor:
    """One-hot rows for A, C, G, T and all-ones rows for missing data, shape (C, S, A)."""
    lookup = torch.ones(256, 4, dtype=dtype, device=states.device)
    lookup[:4] = torch.eye(4, dtype=dtype, device=states.device)
    return lookup[states.long()]
