"""Any reversible model on a branch, by the eigendecomposition of each site's rate matrix.

``Q = U diag(lambda) V``, ``V = U^-1``: lambda_0 = 0 with U_0 = 1 and V_0 = pi, and for the others
``V_k = pi U_k``. So a branch takes partials L to ``L + sum_k U_k expm1(lambda_k t) y_k``,
``y_k = sum_a pi_a U_ka L_a``.

The gradient with respect to Q is the adjoint of the exponential's derivative in the basis of
eigenvectors (Najfeld, Havel, Adv. Appl. Math. 16:321, 1995),

    dl/dQ = sum over branches of V' (Phi o z y') U',   z_j = sum_a outer_a U_ja,
    Phi_jj = t exp(lambda_j t),
    Phi_jk = (exp(lambda_j t) - exp(lambda_k t)) / (lambda_j - lambda_k)

Eigenvectors are never differentiated, so that equal eigenvalues do no harm.
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
from phylotools.phylogeny.kernels.gpu.eigen import base_of, decompose


@triton.jit
def reversible_site(log_pi, matrix, column, inside):
    """From log pi (C, 4) and Q (C, 4, 4)."""
    pi = tl.exp(load_bases(log_pi, column, inside, 4))
    rates = (
        load_bases(matrix, column, inside, 16).to(tl.float64),
        load_bases(matrix + 4, column, inside, 16).to(tl.float64),
        load_bases(matrix + 8, column, inside, 16).to(tl.float64),
        load_bases(matrix + 12, column, inside, 16).to(tl.float64),
    )
    values, vectors = decompose(rates, pi.to(tl.float64))
    kind = pi.dtype
    unit: tl.constexpr = 1.2e-7 if kind == tl.float32 else 2.3e-16
    a, b, c = values
    u1, u2, u3 = vectors
    return (
        pi, unit / tl.sqrt(pi), a.to(kind), b.to(kind), c.to(kind),
        u1.to(kind), u2.to(kind), u3.to(kind),
        _inverse(a).to(kind), _inverse(b).to(kind), _inverse(c).to(kind),
        _inverse(a - b).to(kind), _inverse(a - c).to(kind), _inverse(b - c).to(kind),
    )  # fmt: skip


@triton.jit
def _inverse(x):
    """1/x, and 0 for 0: the value is not used there."""
    return tl.where(x == 0, 0.0, 1 / tl.where(x == 0, 1.0, x))


@triton.jit
def _decay(value, t):
    """exp(x/2) and exp(x) - 1, x = lambda t."""
    half, d = exp_and_expm1(value * t * 0.5)
    return half, d * (half + 1.0)


@triton.jit
def _carried(pi, unit, u1, u2, u3, d1, d2, d3, partial):
    """P(t) L and how far rounding may have moved it.

    The sum over eigenvectors cancels where a rare base replaces another. By Cauchy and Schwarz its
    terms are bounded: sum_k U_ka^2 <= 1 / pi_a, sum_k y_k^2 <= sum_a pi_a L_a^2.
    """
    weighted = pi * partial
    step = (
        u1 * (d1 * dot(weighted, u1))[:, None]
        + u2 * (d2 * dot(weighted, u2))[:, None]
        + u3 * (d3 * dot(weighted, u3))[:, None]
    )
    lost = -tl.minimum(d1, tl.minimum(d2, d3))
    error = unit * (lost * tl.sqrt(dot(weighted, partial)))[:, None]
    # Never below its own error, so that the bound sees every way a column may have come about.
    return tl.maximum(partial + step, error), error


@triton.jit
def reversible_carry(site, partial, t):
    pi, unit, v1, v2, v3, u1, u2, u3, _, _, _, _, _, _ = site
    _, d1 = _decay(v1, t)
    _, d2 = _decay(v2, t)
    _, d3 = _decay(v3, t)
    carried, _ = _carried(pi, unit, u1, u2, u3, d1, d2, d3, partial)
    return carried


@triton.jit
def reversible_start(site, grad_pi):
    zero = tl.zeros_like(site[2])
    row = (zero, zero, zero, zero)
    return grad_pi, zero, row, row, row, row


@triton.jit
def _difference(t, value_gap, inverse_gap, half_j, half_k, d_j, d_k):
    """Phi_jk; by its series, sinh(x/2) / (x/2), where the exponents are close."""
    x = value_gap * t
    square = x * x
    series = square * (1 / 24.0 + square * (1 / 1920.0))
    if x.dtype == tl.float64:
        series += square * square * square * (1 / 322560.0 + square * (1 / 92897280.0))
    series = t * half_j * half_k * (1.0 + series)
    return tl.where(square < 0.25, series, (d_j - d_k) * inverse_gap)


@triton.jit
def _add_row(row, z, phi, y):
    """One row of the sum of Phi o z y'."""
    return (
        row[0] + phi[0] * (z * y[0]),
        row[1] + phi[1] * (z * y[1]),
        row[2] + phi[2] * (z * y[2]),
        row[3] + phi[3] * (z * y[3]),
    )


@triton.jit
def reversible_back(site, sums, outer, partial, t):
    pi, unit, v1, v2, v3, u1, u2, u3, i1, i2, i3, i12, i13, i23 = site
    grad_pi, error, row0, row1, row2, row3 = sums
    h1, d1 = _decay(v1, t)
    h2, d2 = _decay(v2, t)
    h3, d3 = _decay(v3, t)
    _, rounding = _carried(pi, unit, u1, u2, u3, d1, d2, d3, partial)
    error += dot(outer, rounding)

    weighted = pi * partial
    y = (tl.sum(weighted, axis=1), dot(weighted, u1), dot(weighted, u2), dot(weighted, u3))
    z1, z2, z3 = dot(outer, u1), dot(outer, u2), dot(outer, u3)
    phi01 = _difference(t, v1, i1, h1, 1.0, d1, 0.0)
    phi02 = _difference(t, v2, i2, h2, 1.0, d2, 0.0)
    phi03 = _difference(t, v3, i3, h3, 1.0, d3, 0.0)
    phi12 = _difference(t, v1 - v2, i12, h1, h2, d1, d2)
    phi13 = _difference(t, v1 - v3, i13, h1, h3, d1, d3)
    phi23 = _difference(t, v2 - v3, i23, h2, h3, d2, d3)
    row0 = _add_row(row0, tl.sum(outer, axis=1), (t, phi01, phi02, phi03), y)
    row1 = _add_row(row1, z1, (phi01, t * h1 * h1, phi12, phi13), y)
    row2 = _add_row(row2, z2, (phi02, phi12, t * h2 * h2, phi23), y)
    row3 = _add_row(row3, z3, (phi03, phi13, phi23, t * h3 * h3), y)
    step = u1 * (d1 * z1)[:, None] + u2 * (d2 * z2)[:, None] + u3 * (d3 * z3)[:, None]
    return outer + pi * step, (grad_pi, error, row0, row1, row2, row3)


@triton.jit
def _matrix_row(pi, u1, u2, u3, row0, row1, row2, row3, a: tl.constexpr):
    """dl/dQ[a, :] = sum_jk V[j, a] M_jk U[:, k], (BLOCK, 4), M the sum of Phi o z y'."""
    x1, x2, x3 = base_of(u1, a), base_of(u2, a), base_of(u3, a)
    w0 = row0[0] + x1 * row1[0] + x2 * row2[0] + x3 * row3[0]
    w1 = row0[1] + x1 * row1[1] + x2 * row2[1] + x3 * row3[1]
    w2 = row0[2] + x1 * row1[2] + x2 * row2[2] + x3 * row3[2]
    w3 = row0[3] + x1 * row1[3] + x2 * row2[3] + x3 * row3[3]
    row = w0[:, None] + w1[:, None] * u1 + w2[:, None] * u2 + w3[:, None] * u3
    return base_of(pi, a)[:, None] * row


@triton.jit
def _square(row):
    return row[0] * row[0] + row[1] * row[1] + row[2] * row[2] + row[3] * row[3]


@triton.jit
def reversible_finish(site, sums, good, value, log_pi_gradient, matrix_gradient, column, n_columns):
    """The gradient with respect to log pi, by the root alone, and to Q.

    Columns are given up where rounding may have moved the log-likelihood, or the gradient, by more
    than a tolerance: bounds that errors seldom come within a factor of twenty of.
    """
    pi, _, v1, v2, v3, u1, u2, u3, _, _, _, _, _, _ = site
    grad_pi, error, row0, row1, row2, row3 = sums
    unit: tl.constexpr = 1.2e-7 if error.dtype == tl.float32 else 2.3e-16
    tolerance: tl.constexpr = 1e-4 if error.dtype == tl.float32 else 1e-9
    norm = tl.sqrt(_square(row0) + _square(row1) + _square(row2) + _square(row3))
    gradient_error = unit * norm * -tl.minimum(v1, tl.minimum(v2, v3))
    good = good & (error <= tolerance) & (gradient_error <= tolerance / 2)
    to0 = _matrix_row(pi, u1, u2, u3, row0, row1, row2, row3, 0)
    to1 = _matrix_row(pi, u1, u2, u3, row0, row1, row2, row3, 1)
    to2 = _matrix_row(pi, u1, u2, u3, row0, row1, row2, row3, 2)
    to3 = _matrix_row(pi, u1, u2, u3, row0, row1, row2, row3, 3)
    good = good & finite(to0) & finite(to1) & finite(to2) & finite(to3)
    store_bases(log_pi_gradient, pi * grad_pi, good, column, n_columns, 4)
    store_bases(matrix_gradient, to0, good, column, n_columns, 16)
    store_bases(matrix_gradient + 4, to1, good, column, n_columns, 16)
    store_bases(matrix_gradient + 8, to2, good, column, n_columns, 16)
    store_bases(matrix_gradient + 12, to3, good, column, n_columns, 16)
    return good
