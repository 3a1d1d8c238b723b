"""How partial likelihoods pass over a branch, for each family of models: Triton functions.

Each family has four functions, which `gpu_traversal` is compiled with:

- ``site``: what a column's branches share, a tuple, from the family's inputs;
- ``pull``: ``P(t) L``, from the partials L (BLOCK, 4) below a branch, with t (BLOCK,);
- ``push``: from the adjoint of that, the adjoint of L and the sums of the gradient so far;
- ``finish``: those sums as the gradient with respect to the family's inputs.

A column is a row, its four bases stand side by side, so that a thread holds a whole column.
"""

# Triton traces these functions: annotations other than constexpr would say nothing.
from __future__ import annotations

import triton
import triton.language as tl

#: log R beyond which every branch is saturated; keeps R * 0 from becoming inf * 0.
MAX_LOG_RATE = tl.constexpr(60.0)
_INVERSE_LOG_2 = tl.constexpr(1.4426950408889634)


@triton.jit
def exp_and_expm1(x):
    """exp(x) and exp(x) - 1, both to a few units in the last place.

    On [-log(2)/2, log(2)/2] the series of expm1; elsewhere scaled by a power of two. One costs
    nothing beside the other, and neither calls the special-function unit.
    """
    if x.dtype == tl.float32:
        x = tl.minimum(tl.maximum(x, -86.0), 86.0)
        shifted = x * _INVERSE_LOG_2 + 12582912.0  # 1.5 * 2^23: rounds to a whole number
        n = shifted - 12582912.0
        r = (x - n * 0.693359375) + n * 2.12194440e-4
        p = r * 1.9841270e-4 + 1.3888889e-3
        p = p * r + 8.3333333e-3
        p = p * r + 4.1666668e-2
        p = p * r + 1.6666667e-1
        p = p * r + 0.5
        p = p * (r * r) + r
        power = ((shifted.to(tl.int32, bitcast=True) << 23) + 0x3F800000).to(
            tl.float32, bitcast=True
        )
    else:
        x = tl.minimum(tl.maximum(x, -700.0), 700.0)
        shifted = x * _INVERSE_LOG_2 + 6755399441055744.0  # 1.5 * 2^52
        n = shifted - 6755399441055744.0
        r = (x - n * 0.6931471803691238) - n * 1.9082149292705877e-10
        p = r * (1 / 6227020800.0) + 1 / 479001600.0
        p = p * r + 1 / 39916800.0
        p = p * r + 1 / 3628800.0
        p = p * r + 1 / 362880.0
        p = p * r + 1 / 40320.0
        p = p * r + 1 / 5040.0
        p = p * r + 1 / 720.0
        p = p * r + 1 / 120.0
        p = p * r + 1 / 24.0
        p = p * r + 1 / 6.0
        p = p * r + 0.5
        p = p * (r * r) + r
        power = ((shifted.to(tl.int64, bitcast=True) << 52) + 0x3FF0000000000000).to(
            tl.float64, bitcast=True
        )
    return power * p + power, power * p + (power - 1.0)


@triton.jit
def dot(a, b):
    """Sum over the bases, (BLOCK,)."""
    return tl.sum(a * b, axis=1)


# F81: contribution_a = e L_a - (e - 1) m, m = sum_b pi_b L_b, e = exp(-R t)


@triton.jit
def load_bases(pointer, column, inside, row: tl.constexpr):
    """Four numbers of each column, (BLOCK, 4); every column has `row` of them."""
    place = column.to(tl.int64)[:, None] * row + tl.arange(0, 4)[None, :]
    return tl.load(pointer + place, mask=inside[:, None], other=0.0)


@triton.jit
def store_bases(pointer, values, good, column, n_columns, row: tl.constexpr):
    place = column.to(tl.int64)[:, None] * row + tl.arange(0, 4)[None, :]
    values = tl.where(good[:, None], values, 0.0)
    tl.store(pointer + place, values, mask=(column < n_columns)[:, None])


@triton.jit
def finite(values):
    """Whether all four are finite, (BLOCK,)."""
    return tl.max((values - values != 0).to(tl.int32), axis=1) == 0


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
def f81_site(theta, shared, column, inside):
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
def f81_finish(site, sums, good, theta_gradient, shared_gradient, column, n_columns):
    gradient = log_rates_gradient(site[0], site[1], sums[0], sums[1])
    good = good & finite(gradient)
    store_bases(theta_gradient, gradient, good, column, n_columns, 4)
    return good


# HKY: an F81 step within purines and within pyrimidines, then one over all bases,
#   u_a = L_a + d_g (L_a - g),  g = sum_{b in g} pi_b L_b / pi_g,  d_g = expm1(-(s_ts - s_tv) R pi_g t)
#   contribution_a = u_a + d (u_a - m),  d = expm1(-s_tv R t)


@triton.jit
def purine_sum(values):
    """Sum over A and G, (BLOCK,)."""
    base = tl.arange(0, 4)[None, :]
    return tl.sum(tl.where(base % 2 == 0, values, 0.0), axis=1)


@triton.jit
def pyrimidine_sum(values):
    base = tl.arange(0, 4)[None, :]
    return tl.sum(tl.where(base % 2 == 1, values, 0.0), axis=1)


@triton.jit
def by_group(purine, pyrimidine):
    """Each base the value of its group, (BLOCK, 4)."""
    base = tl.arange(0, 4)[None, :]
    return tl.where(base % 2 == 0, purine[:, None], pyrimidine[:, None])


@triton.jit
def hky_site(theta, shared, column, inside):
    pi, rate = log_rates(load_bases(theta, column, inside, 4))
    transversion = tl.load(shared)
    excess = tl.load(shared + 1) - transversion
    purine, pyrimidine = purine_sum(pi), pyrimidine_sum(pi)
    # A group of frequency zero in these numbers is never seen; 0/0 would be worse than a zero.
    share = pi / by_group(purine, pyrimidine)
    within_r, within_y = excess * rate * purine, excess * rate * pyrimidine
    return pi, rate, share, transversion * rate, within_r, within_y, transversion, excess


@triton.jit
def hky_pull(site, partial, t):
    pi, _, share, between, within_r, within_y, _, _ = site
    e, d = exp_and_expm1(-between * t)
    e_r, d_r = exp_and_expm1(-within_r * t)
    e_y, d_y = exp_and_expm1(-within_y * t)
    parts = share * partial
    mean = d * dot(pi, partial)
    rest_r = -e * d_r * purine_sum(parts) - mean
    rest_y = -e * d_y * pyrimidine_sum(parts) - mean
    return by_group(e * e_r, e * e_y) * partial + by_group(rest_r, rest_y)


@triton.jit
def hky_start(site, grad_pi):
    zero = tl.zeros_like(site[1])
    return grad_pi, zero, zero, zero


@triton.jit
def hky_push(site, sums, outer, partial, t):
    pi, _, share, between, within_r, within_y, _, _ = site
    grad_pi, grad_between, grad_r, grad_y = sums
    e, d = exp_and_expm1(-between * t)
    e_r, d_r = exp_and_expm1(-within_r * t)
    e_y, d_y = exp_and_expm1(-within_y * t)
    parts, joint = share * partial, outer * partial
    mean_r, mean_y = purine_sum(parts), pyrimidine_sum(parts)
    mean = dot(pi, partial)
    total_r, total_y = purine_sum(outer), pyrimidine_sum(outer)
    joint_r, joint_y = purine_sum(joint), pyrimidine_sum(joint)
    total = total_r + total_y
    # How much of a purine's u lies above the mean of purines, and above that of all bases.
    above_r, above_y = joint_r - mean_r * total_r, joint_y - mean_y * total_y
    u = e_r * above_r + mean_r * total_r + e_y * above_y + mean_y * total_y
    grad_between -= (u - mean * total) * (t * e)
    grad_r -= above_r * (t * e * e_r)
    grad_y -= above_y * (t * e * e_y)
    grad_mean = -d * total
    grad_mean_r, grad_mean_y = -e * d_r * total_r, -e * d_y * total_y
    return to_below(), (grad_pi, grad_between, grad_r, grad_y)
