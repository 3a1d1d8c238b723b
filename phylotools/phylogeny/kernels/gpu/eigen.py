"""Eigendecomposition of a reversible rate matrix, a column a thread, in float64."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _four(a, b, c, d):
    """Four vectors (BLOCK,) as the bases of (BLOCK, 4)."""
    base = tl.arange(0, 4)[None, :]
    left = tl.where(base == 0, a[:, None], b[:, None])
    right = tl.where(base == 2, c[:, None], d[:, None])
    return tl.where(base < 2, left, right)


@triton.jit
def base_of(values, wanted: tl.constexpr):
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
    q0, q1, q2, q3 = base_of(pi, 0), base_of(pi, 1), base_of(pi, 2), base_of(pi, 3)
    q0, q1, q2, q3 = tl.sqrt(q0), tl.sqrt(q1), tl.sqrt(q2), tl.sqrt(q3)
    row0, row1, row2, row3 = rates
    # Symmetric to the last bit, and with q as eigenvector, however Q was rounded.
    b01 = tl.sqrt(base_of(row0, 1) * base_of(row1, 0))
    b02 = tl.sqrt(base_of(row0, 2) * base_of(row2, 0))
    b03 = tl.sqrt(base_of(row0, 3) * base_of(row3, 0))
    b12 = tl.sqrt(base_of(row1, 2) * base_of(row2, 1))
    b13 = tl.sqrt(base_of(row1, 3) * base_of(row3, 1))
    b23 = tl.sqrt(base_of(row2, 3) * base_of(row3, 2))
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
