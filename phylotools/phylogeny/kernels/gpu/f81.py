"""F81 on a branch.

``contribution_a = e L_a - (e - 1) m``, with ``m = sum_b pi_b L_b`` and ``e = exp(-R t)``.
"""

from __future__ import annotations

import triton
import triton.language as tl

from phylotools.phylogeny.kernels.gpu.arithmetic import (
    dot,
    exp_and_expm1,
    finite,
    load_bases,
    store_bases,
)


@triton.jit
def log_rates(theta):
    """Frequencies pi (BLOCK, 4) and rate R (BLOCK,) of log rates theta."""
    top = tl.max(theta, axis=1)
    pi = tl.exp(theta - top[:, None])
    total = tl.sum(pi, axis=1)
    return pi / total[:, None], tl.exp(top) * total


@triton.jit
def log_rates_gradient(pi, rate, grad_pi, grad_rate):
    """The gradient with respect to theta from those with respect to pi and R.

    ``dR/dtheta_b = R pi_b``, ``dpi_a/dtheta_b = pi_a ([a = b] - pi_b)``.
    """
    return pi * ((grad_rate * rate - dot(grad_pi, pi))[:, None] + grad_pi)


@triton.jit
def f81_site(theta, unused, column, inside):
    """pi and R from theta (C, 4)."""
    return log_rates(load_bases(theta, column, inside, 4))


@triton.jit
def f81_carry(site, partial, t):
    pi, rate = site
    e, d = exp_and_expm1(-rate * t)
    return e[:, None] * partial - (d * dot(pi, partial))[:, None]


@triton.jit
def f81_start(site, grad_pi):
    return grad_pi, tl.zeros_like(site[1])


@triton.jit
def f81_back(site, sums, outer, partial, t):
    pi, rate = site
    grad_pi, grad_rate = sums
    e, d = exp_and_expm1(-rate * t)
    total = tl.sum(outer, axis=1)
    grad_mean = -d * total
    grad_rate -= (dot(outer, partial) - dot(pi, partial) * total) * (t * e)
    grad_pi += grad_mean[:, None] * partial
    return e[:, None] * outer + grad_mean[:, None] * pi, (grad_pi, grad_rate)


@triton.jit
def f81_finish(site, sums, good, value, theta_gradient, unused, column, n_columns):
    gradient = log_rates_gradient(site[0], site[1], sums[0], sums[1])
    good = good & finite(gradient)
    store_bases(theta_gradient, gradient, good, column, n_columns, 4)
    return good
