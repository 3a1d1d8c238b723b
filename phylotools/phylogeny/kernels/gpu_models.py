"""How partial likelihoods pass over a branch, for each family of models: Triton functions.

Each family has four functions, which `gpu_traversal` is compiled with:

- ``site``: what a column's branches share, a tuple, from the family's inputs;
- ``pull``: ``P(t) L``, from the partials L (BLOCK, 4) below a branch, with t (BLOCK,);
- ``push``: from the adjoint of that, the adjoint of L and the sums of the gradient so far;
- ``finish``: those sums as the gradient with respect to the family's inputs.

A column is a row, its four bases stand side by side, so that a thread holds a whole column.
"""

from __future__ import annotations

import triton
import triton.language as tl

from phylotools.phylogeny.kernels.gpu_numbers import (
    dot,
    exp_and_expm1,
    finite,
    load_bases,
    store_bases,
)

#: log R beyond which every branch is saturated; keeps R * 0 from becoming inf * 0.
MAX_LOG_RATE = tl.constexpr(60.0)


@triton.jit
def log_rates(theta):
    """Frequencies pi and rate R of log rates theta."""
    top = tl.max(theta, axis=1)
    pi = tl.exp(theta - top[:, None])
    total = tl.sum(pi, axis=1)
    rate = tl.exp(tl.minimum(top + tl.log(total), MAX_LOG_RATE))
    return pi / total[:, None], rate


@triton.jit
def log_rates_gradient(pi, rate, grad_pi, grad_rate):
    """From those with respect to pi and R: dR/dtheta_b = R pi_b, dpi_a/dtheta_b = pi_a ([a = b] - pi_b)."""
    return pi * ((grad_rate * rate - dot(grad_pi, pi))[:, None] + grad_pi)


@triton.jit
def f81_site(theta, exchangeabilities, column, inside):
    return log_rates(load_bases(theta, column, inside, 4))


@triton.jit
def f81_pull(site, partial, t):
    pi, rate = site
    e, d = exp_and_expm1(-rate * t)
    return e[:, None] * partial - (d * dot(pi, partial))[:, None]


@triton.jit
def f81_start(site, grad_pi):
    return grad_pi, tl.zeros_like(site[1])


@triton.jit
def f81_push(site, sums, outer, partial, t):
    pi, rate = site
    grad_pi, grad_rate = sums
    e, d = exp_and_expm1(-rate * t)
    total = tl.sum(outer, axis=1)
    grad_mean = -d * total
    grad_rate -= (dot(outer, partial) - dot(pi, partial) * total) * (t * e)
    grad_pi += grad_mean[:, None] * partial
    return e[:, None] * outer + grad_mean[:, None] * pi, (grad_pi, grad_rate)


@triton.jit
def f81_finish(site, sums, good, theta_gradient, rate_gradient, column, n_columns):
    gradient = log_rates_gradient(site[0], site[1], sums[0], sums[1])
    good = good & finite(gradient)
    store_bases(theta_gradient, gradient, good, column, n_columns, 4)
    return good


# HKY: an F81 step within purines and within pyrimidines, then one over all bases,
#   u_a = e_g L_a - d_g g,  g = sum_{b in g} share_b L_b,  share_b = pi_b / pi_g
#   contribution_a = e u_a - d m,  m = sum_g pi_g g
# e_g = d_g + 1 = exp(-(s_ts - s_tv) R pi_g t),  e = d + 1 = exp(-s_tv R t)


@triton.jit
def purine_sum(values):
    """Sum over A and G, (BLOCK,)."""
    base = tl.arange(0, 4)[None, :]
    return tl.sum(tl.where(base % 2 == 0, values, 0.0), axis=1)


@triton.jit
def pyrimidine_sum(values):
    """Sum over C and T, (BLOCK,)."""
    base = tl.arange(0, 4)[None, :]
    return tl.sum(tl.where(base % 2 == 1, values, 0.0), axis=1)


@triton.jit
def by_group(purine, pyrimidine):
    """The value of each base's group, (BLOCK, 4)."""
    base = tl.arange(0, 4)[None, :]
    return tl.where(base % 2 == 0, purine[:, None], pyrimidine[:, None])


@triton.jit
def hky_site(theta, exchangeabilities, column, inside):
    theta = load_bases(theta, column, inside, 4)
    pi, rate = log_rates(theta)
    base = tl.arange(0, 4)[None, :]
    lowest = tl.min(theta, axis=1)[:, None]
    top_r = tl.max(tl.where(base % 2 == 0, theta, lowest), axis=1)
    top_y = tl.max(tl.where(base % 2 == 1, theta, lowest), axis=1)
    # From theta, not from pi: a group as a whole may be too rare for these numbers.
    share = tl.exp(theta - by_group(top_r, top_y))
    share = share / by_group(purine_sum(share), pyrimidine_sum(share))
    pi_r, pi_y = purine_sum(pi), pyrimidine_sum(pi)
    transversion = tl.load(exchangeabilities)
    excess = tl.load(exchangeabilities + 1) - transversion
    between, within_r, within_y = transversion * rate, excess * rate * pi_r, excess * rate * pi_y
    return pi, rate, share, pi_r, pi_y, between, within_r, within_y, transversion, excess


@triton.jit
def hky_pull(site, partial, t):
    _, _, share, pi_r, pi_y, between, within_r, within_y, _, _ = site
    e, d = exp_and_expm1(-between * t)
    e_r, d_r = exp_and_expm1(-within_r * t)
    e_y, d_y = exp_and_expm1(-within_y * t)
    parts = share * partial
    mean_r, mean_y = purine_sum(parts), pyrimidine_sum(parts)
    mean = d * (pi_r * mean_r + pi_y * mean_y)
    rest = by_group(-e * d_r * mean_r - mean, -e * d_y * mean_y - mean)
    return by_group(e * e_r, e * e_y) * partial + rest


@triton.jit
def hky_start(site, grad_pi):
    _, _, share, pi_r, pi_y, _, _, _, _, _ = site
    parts = grad_pi * share
    zero = tl.zeros_like(pi_r)
    grad_share = grad_pi * by_group(pi_r, pi_y)
    return grad_share, purine_sum(parts), pyrimidine_sum(parts), zero, zero, zero


@triton.jit
def hky_push(site, sums, outer, partial, t):
    _, _, share, pi_r, pi_y, between, within_r, within_y, _, _ = site
    grad_share, grad_pi_r, grad_pi_y, grad_between, grad_r, grad_y = sums
    e, d = exp_and_expm1(-between * t)
    e_r, d_r = exp_and_expm1(-within_r * t)
    e_y, d_y = exp_and_expm1(-within_y * t)
    parts, joint = share * partial, outer * partial
    mean_r, mean_y = purine_sum(parts), pyrimidine_sum(parts)
    total_r, total_y = purine_sum(outer), pyrimidine_sum(outer)
    total = total_r + total_y
    above_r = purine_sum(joint) - mean_r * total_r
    above_y = pyrimidine_sum(joint) - mean_y * total_y
    within = e_r * above_r + mean_r * total_r + e_y * above_y + mean_y * total_y
    grad_between -= (within - (pi_r * mean_r + pi_y * mean_y) * total) * (t * e)
    grad_r -= above_r * (t * e * e_r)
    grad_y -= above_y * (t * e * e_y)
    grad_mean = -d * total
    grad_pi_r += grad_mean * mean_r
    grad_pi_y += grad_mean * mean_y
    grad_means = by_group(
        pi_r * grad_mean - e * d_r * total_r, pi_y * grad_mean - e * d_y * total_y
    )
    grad_share += grad_means * partial
    below = by_group(e * e_r, e * e_y) * outer + grad_means * share
    return below, (grad_share, grad_pi_r, grad_pi_y, grad_between, grad_r, grad_y)


@triton.jit
def hky_finish(site, sums, good, theta_gradient, rate_gradient, column, n_columns):
    pi, rate, share, pi_r, pi_y, _, _, _, transversion, excess = site
    grad_share, grad_pi_r, grad_pi_y, grad_between, grad_r, grad_y = sums
    grad_excess = rate * (grad_r * pi_r + grad_y * pi_y)
    grad_rate = grad_between * transversion + excess * (grad_r * pi_r + grad_y * pi_y)
    grad_pi_r += grad_r * excess * rate
    grad_pi_y += grad_y * excess * rate
    gradient = log_rates_gradient(pi, rate, by_group(grad_pi_r, grad_pi_y), grad_rate)
    parts = grad_share * share
    gradient += parts - share * by_group(purine_sum(parts), pyrimidine_sum(parts))
    grad_transversion = grad_between * rate - grad_excess
    good = good & finite(gradient) & (grad_transversion - grad_transversion == 0)
    store_bases(theta_gradient, gradient, good, column, n_columns, 4)
    inside = column < n_columns
    place = rate_gradient + column.to(tl.int64) * 2
    tl.store(place, tl.where(good, grad_transversion, 0.0), mask=inside)
    tl.store(place + 1, tl.where(good, grad_excess, 0.0), mask=inside)
    return good
