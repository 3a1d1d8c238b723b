"""Any reversible model on a GPU, by the eigendecomposition of each site's rate matrix.

``Q = U diag(lambda) V``, ``V = U^-1``: lambda_0 = 0 with U_0 = 1 and V_0 = pi, and for the others
``V_k = pi U_k``. So a branch takes partials L to ``L + sum_k U_k expm1(lambda_k t) y_k``,
``y_k = sum_a pi_a U_ka L_a``.

The gradient with respect to Q is the adjoint of its exponential's Frechet derivative (Daleckii and
Krein): eigenvectors are never differentiated, so that equal eigenvalues do no harm.
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

#: Most that rounding may have moved a column's log-likelihood, by a bound that is seldom approached.
_TOLERANCE = tl.constexpr(1e-4)


@triton.jit
def _four(a, b, c, d):
    """Four vectors (BLOCK,) as the bases of (BLOCK, 4)."""
    base = tl.arange(0, 4)[None, :]
    left = tl.where(base == 0, a[:, None], b[:, None])
    right = tl.where(base == 2, c[:, None], d[:, None])
    return tl.where(base < 2, left, right)


@triton.jit
def _base(values, wanted: tl.constexpr):
    """One base of (BLOCK, 4)."""
    return tl.sum(tl.where(tl.arange(0, 4)[None, :] == wanted, values, 0.0), axis=1)


@triton.jit
def _rotate(p, q, pq, rp, rq, wp0, wp1, wp2, wq0, wq1, wq2):
    """Jacobi's rotation of rows and columns p and q that makes their entry zero.

    p, q, pq, rp, rq are the entries of a symmetric 3 x 3 matrix, r the third row; wp and wq two
    columns of the product of rotations so far.
    """
    gap = q - p
    root = tl.sqrt(gap * gap + 4 * pq * pq)
    below = tl.abs(gap) + root
    tangent = 2 * pq / tl.where(below > 0, below, 1.0)
    tangent = tl.where(gap < 0, -tangent, tangent)
    c = 1 / tl.sqrt(tangent * tangent + 1)
    s = tangent * c
    return (
        p - tangent * pq, q + tangent * pq, c * rp - s * rq, s * rp + c * rq,
        c * wp0 - s * wq0, c * wp1 - s * wq1, c * wp2 - s * wq2,
        s * wp0 + c * wq0, s * wp1 + c * wq1, s * wp2 + c * wq2,
    )  # fmt: skip


@triton.jit
def _eigenvector(q0, q1, q2, q3, x1, x2, x3):
    """An eigenvector of the 3 x 3 part, reflected back, as a right eigenvector of Q, (BLOCK, 4)."""
    along = q1 * x1 + q2 * x2 + q3 * x3
    f = along / (1 + q0)
    return _four(-along / q0, (x1 - f * q1) / q1, (x2 - f * q2) / q2, (x3 - f * q3) / q3)


@triton.jit
def decompose(rates, pi):
    """Eigenvalues but the first, (BLOCK,) each, and right eigenvectors, (BLOCK, 4) each.

    float64 whatever the input: what is rare is a small difference of large numbers. With
    ``q = sqrt(pi)``, ``B_ab = q_a Q_ab / q_b`` is symmetric and has q as eigenvector of 0; the
    Householder reflection that takes q to the first axis leaves a 3 x 3 matrix to be diagonalised.
    """
    q0, q1, q2, q3 = _base(pi, 0), _base(pi, 1), _base(pi, 2), _base(pi, 3)
    q0, q1, q2, q3 = tl.sqrt(q0), tl.sqrt(q1), tl.sqrt(q2), tl.sqrt(q3)
    row0, row1, row2, row3 = rates
    # Symmetric to the last bit, and with q as eigenvector, however Q was rounded.
    b01 = tl.sqrt(_base(row0, 1) * _base(row1, 0))
    b02 = tl.sqrt(_base(row0, 2) * _base(row2, 0))
    b03 = tl.sqrt(_base(row0, 3) * _base(row3, 0))
    b12 = tl.sqrt(_base(row1, 2) * _base(row2, 1))
    b13 = tl.sqrt(_base(row1, 3) * _base(row3, 1))
    b23 = tl.sqrt(_base(row2, 3) * _base(row3, 2))
    b00 = -(b01 * q1 + b02 * q2 + b03 * q3) / q0
    b11 = -(b01 * q0 + b12 * q2 + b13 * q3) / q1
    b22 = -(b02 * q0 + b12 * q1 + b23 * q3) / q2
    b33 = -(b03 * q0 + b13 * q1 + b23 * q2) / q3
    # v = q + first axis; H = 1 - v v' / (1 + q0); H B H from w = B v, which is B's first column
    f = 1 / (1 + q0)
    h = b00 * f * f
    g1, g2, g3 = b01 * f, b02 * f, b03 * f
    a11 = b11 - 2 * g1 * q1 + h * q1 * q1
    a22 = b22 - 2 * g2 * q2 + h * q2 * q2
    a33 = b33 - 2 * g3 * q3 + h * q3 * q3
    a12 = b12 - g1 * q2 - g2 * q1 + h * q1 * q2
    a13 = b13 - g1 * q3 - g3 * q1 + h * q1 * q3
    a23 = b23 - g2 * q3 - g3 * q2 + h * q2 * q3

    one, zero = tl.full(q0.shape, 1.0, tl.float64), tl.zeros_like(q0)
    x1, x2, x3, y1, y2, y3, z1, z2, z3 = one, zero, zero, zero, one, zero, zero, zero, one
    for _ in range(6):  # each sweep squares what is left off the diagonal
        a11, a22, a13, a23, x1, x2, x3, y1, y2, y3 = _rotate(
            a11, a22, a12, a13, a23, x1, x2, x3, y1, y2, y3
        )
        a12 = zero
        a11, a33, a12, a23, x1, x2, x3, z1, z2, z3 = _rotate(
            a11, a33, a13, a12, a23, x1, x2, x3, z1, z2, z3
        )
        a13 = zero
        a22, a33, a12, a13, y1, y2, y3, z1, z2, z3 = _rotate(
            a22, a33, a23, a12, a13, y1, y2, y3, z1, z2, z3
        )
        a23 = zero
    values = (tl.minimum(a11, 0.0), tl.minimum(a22, 0.0), tl.minimum(a33, 0.0))
    vectors = (
        _eigenvector(q0, q1, q2, q3, x1, x2, x3),
        _eigenvector(q0, q1, q2, q3, y1, y2, y3),
        _eigenvector(q0, q1, q2, q3, z1, z2, z3),
    )
    return values, vectors


@triton.jit
def reversible_site(log_pi, matrix, column, inside):
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
    gap12, gap13, gap23 = values[0] - values[1], values[0] - values[2], values[1] - values[2]
    return (
        pi, unit / tl.sqrt(pi),
        values[0].to(kind), values[1].to(kind), values[2].to(kind),
        vectors[0].to(kind), vectors[1].to(kind), vectors[2].to(kind),
        _inverse(values[0]).to(kind), _inverse(values[1]).to(kind), _inverse(values[2]).to(kind),
        _inverse(gap12).to(kind), _inverse(gap13).to(kind), _inverse(gap23).to(kind),
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
def _carry(site, partial, d1, d2, d3):
    """P(t) L and how far rounding may have moved it.

    The sum over eigenvectors cancels where a rare base replaces another. Its terms are bounded by
    Cauchy and Schwarz: sum_k U_ka^2 <= 1 / pi_a, sum_k y_k^2 <= sum_a pi_a L_a^2.
    """
    pi, unit = site[0], site[1]
    weighted = pi * partial
    step = (
        site[5] * (d1 * dot(weighted, site[5]))[:, None]
        + site[6] * (d2 * dot(weighted, site[6]))[:, None]
        + site[7] * (d3 * dot(weighted, site[7]))[:, None]
    )
    largest = -tl.minimum(d1, tl.minimum(d2, d3))
    error = unit * (largest * tl.sqrt(dot(weighted, partial)))[:, None]
    # Never below its own error, so that the bound sees every way a column may have come about.
    return tl.maximum(partial + step, error), error


@triton.jit
def reversible_pull(site, partial, t):
    _, d1 = _decay(site[2], t)
    _, d2 = _decay(site[3], t)
    _, d3 = _decay(site[4], t)
    carried, _ = _carry(site, partial, d1, d2, d3)
    return carried


@triton.jit
def reversible_start(site, grad_pi):
    zero = tl.zeros_like(site[2])
    return (
        grad_pi, zero,
        zero, zero, zero, zero, zero, zero, zero, zero,
        zero, zero, zero, zero, zero, zero, zero, zero,
    )  # fmt: skip


@triton.jit
def _difference(t, value_gap, inverse_gap, half_j, half_k, d_j, d_k):
    """(e^{lambda_j t} - e^{lambda_k t}) / (lambda_j - lambda_k), by its series where they are close."""
    x = value_gap * t
    square = x * x
    series = square * (1 / 24.0 + square * (1 / 1920.0))
    if x.dtype == tl.float64:
        series += square * square * square * (1 / 322560.0 + square * (1 / 92897280.0))
    series = t * half_j * half_k * (1.0 + series)
    return tl.where(square < 0.25, series, (d_j - d_k) * inverse_gap)


@triton.jit
def reversible_push(site, sums, outer, partial, t):
    pi, _, v1, v2, v3, u1, u2, u3, i1, i2, i3, i12, i13, i23 = site
    (
        grad_pi, error,
        m00, m01, m02, m03, m10, m11, m12, m13, m20, m21, m22, m23, m30, m31, m32, m33,
    ) = sums  # fmt: skip
    h1, d1 = _decay(v1, t)
    h2, d2 = _decay(v2, t)
    h3, d3 = _decay(v3, t)
    _, rounding = _carry(site, partial, d1, d2, d3)
    error += dot(outer, rounding)
    weighted = pi * partial
    y0, y1, y2, y3 = tl.sum(weighted, axis=1), dot(weighted, u1), dot(weighted, u2), dot(weighted, u3)
    z0, z1, z2, z3 = tl.sum(outer, axis=1), dot(outer, u1), dot(outer, u2), dot(outer, u3)
    p01 = _difference(t, v1, i1, h1, 1.0, d1, 0.0)
    p02 = _difference(t, v2, i2, h2, 1.0, d2, 0.0)
    p03 = _difference(t, v3, i3, h3, 1.0, d3, 0.0)
    p12 = _difference(t, v1 - v2, i12, h1, h2, d1, d2)
    p13 = _difference(t, v1 - v3, i13, h1, h3, d1, d3)
    p23 = _difference(t, v2 - v3, i23, h2, h3, d2, d3)
    m00 += t * z0 * y0
    m01 += p01 * z0 * y1
    m02 += p02 * z0 * y2
    m03 += p03 * z0 * y3
    m10 += p01 * z1 * y0
    m11 += t * h1 * h1 * z1 * y1
    m12 += p12 * z1 * y2
    m13 += p13 * z1 * y3
    m20 += p02 * z2 * y0
    m21 += p12 * z2 * y1
    m22 += t * h2 * h2 * z2 * y2
    m23 += p23 * z2 * y3
    m30 += p03 * z3 * y0
    m31 += p13 * z3 * y1
    m32 += p23 * z3 * y2
    m33 += t * h3 * h3 * z3 * y3
    step = u1 * (d1 * z1)[:, None] + u2 * (d2 * z2)[:, None] + u3 * (d3 * z3)[:, None]
    return outer + pi * step, (
        grad_pi, error,
        m00, m01, m02, m03, m10, m11, m12, m13, m20, m21, m22, m23, m30, m31, m32, m33,
    )  # fmt: skip


@triton.jit
def _matrix_row(site, m, a: tl.constexpr):
    """dl/dQ[a, :] = sum_jk V[j, a] M_jk U[:, k], (BLOCK, 4)."""
    pi, u1, u2, u3 = site[0], site[5], site[6], site[7]
    x1, x2, x3 = _base(u1, a), _base(u2, a), _base(u3, a)
    w0 = m[0] + x1 * m[4] + x2 * m[8] + x3 * m[12]
    w1 = m[1] + x1 * m[5] + x2 * m[9] + x3 * m[13]
    w2 = m[2] + x1 * m[6] + x2 * m[10] + x3 * m[14]
    w3 = m[3] + x1 * m[7] + x2 * m[11] + x3 * m[15]
    row = w0[:, None] + w1[:, None] * u1 + w2[:, None] * u2 + w3[:, None] * u3
    return _base(pi, a)[:, None] * row


@triton.jit
def reversible_finish(site, sums, good, log_pi_gradient, matrix_gradient, column, n_columns):
    grad_log_pi = site[0] * sums[0]
    m = sums[2:]
    row0, row1 = _matrix_row(site, m, 0), _matrix_row(site, m, 1)
    row2, row3 = _matrix_row(site, m, 2), _matrix_row(site, m, 3)
    good = good & (sums[1] <= _TOLERANCE) & finite(row0) & finite(row1) & finite(row2) & finite(row3)
    store_bases(log_pi_gradient, grad_log_pi, good, column, n_columns, 4)
    store_bases(matrix_gradient, row0, good, column, n_columns, 16)
    store_bases(matrix_gradient + 4, row1, good, column, n_columns, 16)
    store_bases(matrix_gradient + 8, row2, good, column, n_columns, 16)
    store_bases(matrix_gradient + 12, row3, good, column, n_columns, 16)
    return good
