"""HKY on a branch: an F81 step within purines and within pyrimidines, then one over all bases.

With group g of base a, ``share_b = pi_b / pi_g`` and ``g = sum_{b in g} share_b L_b``,

    u_a = e_g L_a - d_g g,   contribution_a = e u_a - d m,   m = sum_g pi_g g

``d = e - 1 = expm1(-s_tv R t)`` and ``d_g = e_g - 1 = expm1(-(s_ts - s_tv) R pi_g t)``. Nothing is
ever subtracted, as long as transversions are not the faster.
"""

from __future__ import annotations

import triton
import triton.language as tl

from phylotools.phylogeny.kernels.gpu.arithmetic import (
    exp_and_expm1,
    finite,
    load_bases,
    store_bases,
)
from phylotools.phylogeny.kernels.gpu.f81 import log_rates, log_rates_gradient


@triton.jit
def _purines(values):
    """Sum over A and G, (BLOCK,)."""
    base = tl.arange(0, 4)[None, :]
    return tl.sum(tl.where(base % 2 == 0, values, 0.0), axis=1)


@triton.jit
def _pyrimidines(values):
    """Sum over C and T, (BLOCK,)."""
    base = tl.arange(0, 4)[None, :]
    return tl.sum(tl.where(base % 2 == 1, values, 0.0), axis=1)


@triton.jit
def _by_group(purine, pyrimidine):
    """The value of each base's group, (BLOCK, 4)."""
    base = tl.arange(0, 4)[None, :]
    return tl.where(base % 2 == 0, purine[:, None], pyrimidine[:, None])


@triton.jit
def hky_site(theta, exchangeabilities, column, inside):
    """From theta (C, 4), and of all columns s_tv and s_ts."""
    pi, rate = log_rates(load_bases(theta, column, inside, 4))
    pi_r, pi_y = _purines(pi), _pyrimidines(pi)
    transversion = tl.load(exchangeabilities)
    excess = tl.load(exchangeabilities + 1) - transversion
    share = pi / _by_group(pi_r, pi_y)
    within_r, within_y = excess * rate * pi_r, excess * rate * pi_y
    between = transversion * rate
    return pi, rate, share, pi_r, pi_y, between, within_r, within_y, transversion, excess


@triton.jit
def hky_carry(site, partial, t):
    _, _, share, pi_r, pi_y, between, within_r, within_y, _, _ = site
    e, d = exp_and_expm1(-between * t)
    e_r, d_r = exp_and_expm1(-within_r * t)
    e_y, d_y = exp_and_expm1(-within_y * t)
    parts = share * partial
    mean_r, mean_y = _purines(parts), _pyrimidines(parts)
    lost = d * (pi_r * mean_r + pi_y * mean_y)
    rest = _by_group(-e * d_r * mean_r - lost, -e * d_y * mean_y - lost)
    return _by_group(e * e_r, e * e_y) * partial + rest


@triton.jit
def hky_start(site, grad_pi):
    _, _, share, pi_r, pi_y, _, _, _, _, _ = site
    parts = grad_pi * share
    zero = tl.zeros_like(pi_r)
    grad_share = grad_pi * _by_group(pi_r, pi_y)
    return grad_share, _purines(parts), _pyrimidines(parts), zero, zero, zero


@triton.jit
def hky_back(site, sums, outer, partial, t):
    _, _, share, pi_r, pi_y, between, within_r, within_y, _, _ = site
    grad_share, grad_pi_r, grad_pi_y, grad_between, grad_r, grad_y = sums
    e, d = exp_and_expm1(-between * t)
    e_r, d_r = exp_and_expm1(-within_r * t)
    e_y, d_y = exp_and_expm1(-within_y * t)
    parts, joint = share * partial, outer * partial
    mean_r, mean_y = _purines(parts), _pyrimidines(parts)
    total_r, total_y = _purines(outer), _pyrimidines(outer)
    total = total_r + total_y
    joint_r, joint_y = _purines(joint), _pyrimidines(joint)
    mixed_r, mixed_y = mean_r * total_r, mean_y * total_y
    within = (e_r * joint_r - d_r * mixed_r) + (e_y * joint_y - d_y * mixed_y)
    grad_between -= (within - (pi_r * mean_r + pi_y * mean_y) * total) * (t * e)
    grad_r -= (joint_r - mixed_r) * (t * e * e_r)
    grad_y -= (joint_y - mixed_y) * (t * e * e_y)
    grad_mean = -d * total
    grad_pi_r += grad_mean * mean_r
    grad_pi_y += grad_mean * mean_y
    grad_means = _by_group(
        pi_r * grad_mean - e * d_r * total_r, pi_y * grad_mean - e * d_y * total_y
    )
    grad_share += grad_means * partial
    below = _by_group(e * e_r, e * e_y) * outer + grad_means * share
    return below, (grad_share, grad_pi_r, grad_pi_y, grad_between, grad_r, grad_y)


@triton.jit
def hky_finish(site, sums, good, value, theta_gradient, rate_gradient, column, n_columns):
    """The gradient with respect to theta, and for each column that to s_tv and s_ts."""
    pi, rate, share, pi_r, pi_y, _, _, _, transversion, excess = site
    grad_share, grad_pi_r, grad_pi_y, grad_between, grad_r, grad_y = sums
    within = grad_r * pi_r + grad_y * pi_y
    grad_rate = grad_between * transversion + within * excess
    grad_pi = _by_group(grad_pi_r + grad_r * excess * rate, grad_pi_y + grad_y * excess * rate)
    gradient = log_rates_gradient(pi, rate, grad_pi, grad_rate)
    parts = grad_share * share
    gradient += parts - share * _by_group(_purines(parts), _pyrimidines(parts))
    grad_transition = within * rate
    grad_transversion = grad_between * rate - grad_transition
    good = good & finite(gradient) & (grad_transversion - grad_transversion == 0)
    store_bases(theta_gradient, gradient, good, column, n_columns, 4)
    place = rate_gradient + column.to(tl.int64) * 2
    inside = column < n_columns
    tl.store(place, tl.where(good, grad_transversion, 0.0), mask=inside)
    tl.store(place + 1, tl.where(good, grad_transition, 0.0), mask=inside)
    return good
