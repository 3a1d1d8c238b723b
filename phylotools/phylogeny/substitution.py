"""The F81 model in log rates, and the scores it defines.

A site has four numbers theta (A, C, G, T), the log rates of Felsenstein's 1981 model (J. Mol.
Evol. 17:368): ``Q[a, b] = exp(theta_b)`` for a != b. With ``R = sum_b exp(theta_b)`` the
equilibrium frequencies are ``pi = softmax(theta)`` and
``P[a, b](t) = exp(-R t) [a = b] + (1 - exp(-R t)) pi_b``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: log R of a neutral site with uniform frequencies: its expected substitution rate,
#: ``R (1 - sum pi^2) = R * 3/4``, is then one per unit of branch length.
NEUTRAL_LOG_RATE = math.log(4 / 3)


def log_total_rate(theta: Tensor) -> Tensor:
    """log R of each site.

    Parameters
    ----------
    theta : Tensor, shape (..., A)
        Log rates.

    Returns
    -------
    Tensor, shape (...,)
    """
    return torch.logsumexp(theta, dim=-1)


def log_equilibrium_frequencies(theta: Tensor) -> Tensor:
    """log pi, shape (..., A); differences of it are the log-likelihood ratios of alleles."""
    return torch.log_softmax(theta, dim=-1)


def entropy(theta: Tensor) -> Tensor:
    """Entropy of the equilibrium frequencies in nats, shape (...,); at most log 4."""
    log_pi = log_equilibrium_frequencies(theta)
    return -(log_pi.exp() * log_pi).sum(dim=-1)


def site_rate(theta: Tensor) -> Tensor:
    """Expected substitutions per unit of branch length at equilibrium, shape (...,).

    ``R (1 - sum pi^2)``: 1 at a neutral site with uniform frequencies. Unlike R it stays
    meaningful where a conserved column leaves R itself undetermined (pi of one base near 1
    makes every R fit): see the identifiability chapter of the method page.
    """
    log_pi = log_equilibrium_frequencies(theta)
    return log_total_rate(theta).exp() * (log_pi.exp() * -torch.expm1(log_pi)).sum(dim=-1)


def with_log_rate(theta: Tensor, log_rate: float | Tensor) -> Tensor:
    """The same equilibrium frequencies at another total rate.

    Parameters
    ----------
    theta : Tensor, shape (..., A)
    log_rate : float or Tensor of shape (...,)
        log R.
    """
    log_pi = log_equilibrium_frequencies(theta)
    if isinstance(log_rate, Tensor):
        log_rate = log_rate.unsqueeze(-1)
    return log_pi + log_rate


def transition_probabilities(theta: Tensor, branch_length: float) -> Tensor:
    """P(t), shape (..., A, A): row = ancestor, column = descendant."""
    decay = torch.exp(-log_total_rate(theta).exp() * branch_length)[..., None, None]
    pi = log_equilibrium_frequencies(theta).exp().unsqueeze(-2)
    identity = torch.eye(4, dtype=theta.dtype, device=theta.device)
    return decay * identity + (1 - decay) * pi
