"""Any reversible model in lanes, by the eigendecomposition of each site's rate matrix.

``Q = sum_k lambda_k u_k v_k`` with ``lambda_0 = 0, u_0 = 1, v_0 = pi``. Then
``P(t) L = L + sum_k u_k (exp(lambda_k t) - 1) (v_k . L)``, k = 1..3, and for an adjoint ``o`` of it

    d(o . P L) = sum_jk (o . u_j) Phi_jk(t) (v_k . L) (v_j dQ u_k)
    Phi_jk(t)  = (exp(lambda_j t) - exp(lambda_k t)) / (lambda_j - lambda_k)

(Najfeld and Havel, Adv. Appl. Math. 16:321, 1995), so that eigenvectors, which degenerate
eigenvalues leave undetermined, are never differentiated. Summed over branches,
``(o . u_j) Phi_jk (v_k . L)`` is the gradient with respect to Q in the basis of eigenvectors; k = 0
falls out because the rows of dQ sum to zero.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.extending import overload

from phylotools.phylogeny.kernels.cpu import families
from phylotools.phylogeny.kernels.cpu.families import is_kind
from phylotools.phylogeny.kernels.cpu.lanes import (
    below,
    expm1,
    fma,
    largest,
    load,
    spread,
    store,
    where,
)

#: Sweeps of Jacobi rotations; a 3 x 3 matrix is diagonal to the last bit after five or six.
_SWEEPS = 8


class ReversibleFamily(NamedTuple):
    """Inputs are Q, row by row, and pi; the gradient is with respect to both.

    Attributes
    ----------
    near : float
        Eigenvalues whose difference times t is below this take Phi from its series.
    rarest : float
        Sites with a rarer base at equilibrium are lost: between two rare bases P(t) is a small
        difference of large numbers.
    """

    near: float
    rarest: float


class ReversibleSite(NamedTuple):
    """Vectors: eigenvalues, their differences, and right (u) and left (v) eigenvectors."""

    half: tuple[Any, Any, Any]
    gap: tuple[Any, Any, Any]
    per_gap: tuple[Any, Any, Any]
    u1: tuple[Any, Any, Any, Any]
    u2: tuple[Any, Any, Any, Any]
    u3: tuple[Any, Any, Any, Any]
    v0: tuple[Any, Any, Any, Any]
    v1: tuple[Any, Any, Any, Any]
    v2: tuple[Any, Any, Any, Any]
    v3: tuple[Any, Any, Any, Any]
    near: Any


@numba.njit(nogil=True)
def _product(a, b):
    """Matrix product of two (4, 4) arrays; numba's own needs scipy, which no user has to have."""
    product = np.zeros((4, 4))
    for i in range(4):
        for j in range(4):
            for k in range(4):
                product[i, j] += a[i, k] * b[k, j]
    return product


@numba.njit(nogil=True, error_model="numpy")
def _eigensystem(q, pi, values, right, left):
    """Eigenvalues 1..3 and eigenvectors of a reversible rate matrix, in float64.

    ``D^(1/2) Q D^(-1/2)``, D = diag(pi), is symmetric with the known null vector sqrt(pi). A
    reflection that takes it to the first axis leaves a 3 x 3 matrix for Jacobi's rotations.
    """
    root = np.sqrt(pi)
    w = root / np.sqrt((root * root).sum())
    sign = 1.0 if w[0] >= 0 else -1.0
    w[0] += sign
    w /= np.sqrt((w * w).sum())
    reflect = np.eye(4) - 2.0 * np.outer(w, w)
    symmetric = np.empty((4, 4))
    for a in range(4):
        for b in range(4):
            if a != b:
                # Both halves carry the same number; their mean rounds less.
                symmetric[a, b] = 0.5 * (q[a, b] * root[a] / root[b] + q[b, a] * root[b] / root[a])
        symmetric[a, a] = q[a, a]
    small = _product(_product(reflect, symmetric), reflect)[1:, 1:].copy()
    vectors = np.eye(3)
    for _ in range(_SWEEPS):
        for i in range(2):
            for j in range(i + 1, 3):
                off = small[i, j]
                if abs(off) > 1e-18 * (abs(small[i, i]) + abs(small[j, j])):
                    ratio = (small[j, j] - small[i, i]) / (2.0 * off)
                    tangent = 1.0 / (abs(ratio) + math.sqrt(1.0 + ratio * ratio))
                    if ratio < 0:
                        tangent = -tangent
                    cosine = 1.0 / math.sqrt(1.0 + tangent * tangent)
                    sine = tangent * cosine
                    for k in range(3):
                        x, y = small[k, i], small[k, j]
                        small[k, i], small[k, j] = cosine * x - sine * y, sine * x + cosine * y
                    for k in range(3):
                        x, y = small[i, k], small[j, k]
                        small[i, k], small[j, k] = cosine * x - sine * y, sine * x + cosine * y
                    for k in range(3):
                        x, y = vectors[k, i], vectors[k, j]
                        vectors[k, i], vectors[k, j] = cosine * x - sine * y, sine * x + cosine * y
    for k in range(3):
        values[k] = min(small[k, k], 0.0)
        for a in range(4):
            x = 0.0
            for i in range(3):
                x += reflect[a, i + 1] * vectors[i, k]
            right[k, a] = x / root[a]
            left[k, a] = x * root[a]


@overload(families.sizes)
def _sizes(family):
    if is_kind(family, ReversibleFamily):
        return lambda family: (38, 3, 16)
    return None


@overload(families.fill_site)
def _fill_site(family, inputs, column, rows, lane):
    if not is_kind(family, ReversibleFamily):
        return None

    def code(family, inputs, column, rows, lane):
        q, pi = np.empty((4, 4)), np.empty(4)
        values, right, left = np.empty(3), np.empty((3, 4)), np.empty((3, 4))
        for a in range(4):
            pi[a] = inputs[column, 16 + a]
            for b in range(4):
                q[a, b] = inputs[column, 4 * a + b]
        if pi.min() < family.rarest:
            rows[:, lane] = np.nan
            return
        _eigensystem(q, pi, values, right, left)
        for a in range(4):
            rows[a, lane] = pi[a]
            for k in range(3):
                rows[4 + 4 * k + a, lane] = left[k, a]
                rows[16 + 4 * k + a, lane] = right[k, a]
        for k in range(3):
            rows[28 + k, lane] = values[k] / 2
            # Pairs of eigenvalues (1, 2), (2, 3), (3, 1).
            gap = values[k] - values[(k + 1) % 3]
            rows[31 + k, lane] = gap
            rows[34 + k, lane] = 1.0 / gap if abs(gap) > 1e-30 else 0.0
        rows[37, lane] = family.near

    return code


@numba.njit
def _four(rows, first):
    return load(rows, first), load(rows, first + 1), load(rows, first + 2), load(rows, first + 3)


@numba.njit
def _three(rows, first):
    return load(rows, first), load(rows, first + 1), load(rows, first + 2)


@overload(families.load_site)
def _load_site(family, rows):
    if is_kind(family, ReversibleFamily):
        return lambda family, rows: ReversibleSite(
            _three(rows, 28), _three(rows, 31), _three(rows, 34), _four(rows, 16), _four(rows, 20),
            _four(rows, 24), _four(rows, 0), _four(rows, 4), _four(rows, 8), _four(rows, 12),
            load(rows, 37),
        )  # fmt: skip
    return None


@overload(families.exponentials)
def _exponentials(site, kept, row, length):
    if not is_kind(site, ReversibleSite):
        return None

    def code(site, kept, row, length):
        # Of half the exponent: the square root of exp(lambda t) is needed too.
        t = spread(site.near, length)
        first, second = expm1(site.half[0] * t), expm1(site.half[1] * t)
        third = expm1(site.half[2] * t)
        store(kept, row, first)
        store(kept, row + 1, second)
        store(kept, row + 2, third)
        return first, second, third

    return code


@overload(families.load_exponentials)
def _load_exponentials(site, kept, row):
    if is_kind(site, ReversibleSite):
        return lambda site, kept, row: (load(kept, row), load(kept, row + 1), load(kept, row + 2))
    return None


@numba.njit
def _dot(a, b):
    return fma(a[0], b[0], a[1] * b[1]) + fma(a[2], b[2], a[3] * b[3])


@numba.njit
def _decay(half):
    """exp(x) - 1 from exp(x / 2) - 1."""
    return fma(half, half, half + half)


@overload(families.carry)
def _carry(site, branch, partial):
    if not is_kind(site, ReversibleSite):
        return None

    def code(site, branch, partial):
        x = _decay(branch[0]) * _dot(site.v1, partial)
        y = _decay(branch[1]) * _dot(site.v2, partial)
        z = _decay(branch[2]) * _dot(site.v3, partial)
        zero = spread(x, 0.0)
        # Rounding may leave a probability of almost nothing below zero.
        return (
            largest(zero, fma(site.u1[0], x, fma(site.u2[0], y, fma(site.u3[0], z, partial[0])))),
            largest(zero, fma(site.u1[1], x, fma(site.u2[1], y, fma(site.u3[1], z, partial[1])))),
            largest(zero, fma(site.u1[2], x, fma(site.u2[2], y, fma(site.u3[2], z, partial[2])))),
            largest(zero, fma(site.u1[3], x, fma(site.u2[3], y, fma(site.u3[3], z, partial[3])))),
        )

    return code


@overload(families.load_sums)
def _load_sums(site, gradient):
    if not is_kind(site, ReversibleSite):
        return None

    def code(site, gradient):
        zero = spread(site.near, 0.0)
        return (zero, zero, zero), (zero, zero, zero), (zero, zero, zero), (zero, zero, zero)

    return code


@numba.njit
def _between(half, other_half, decay, other_decay, gap, per_gap, near, t):
    """Phi of two eigenvalues."""
    one = spread(t, 1.0)
    x = gap * t
    square = x * x
    series = fma(square, fma(square, spread(t, 1 / 1920), spread(t, 1 / 24)), one)
    series = series * t * (one + half) * (one + other_half)
    return where(below(square, near * near), series, (decay - other_decay) * per_gap)


@overload(families.back)
def _back(site, sums, branch, length, outer, partial):
    if not is_kind(site, ReversibleSite):
        return None

    def code(site, sums, branch, length, outer, partial):
        to_0, to_1, to_2, to_3 = sums
        t, one = spread(branch[0], length), spread(branch[0], 1.0)
        x, y, z = _dot(site.v1, partial), _dot(site.v2, partial), _dot(site.v3, partial)
        total = (outer[0] + outer[1]) + (outer[2] + outer[3])
        ox, oy, oz = _dot(outer, site.u1), _dot(outer, site.u2), _dot(outer, site.u3)
        h1, h2, h3 = branch
        d1, d2, d3 = _decay(h1), _decay(h2), _decay(h3)
        # Phi_0k = d_k / lambda_k: the division is left to the end.
        to_0 = (
            fma(total, d1 * x, to_0[0]),
            fma(total, d2 * y, to_0[1]),
            fma(total, d3 * z, to_0[2]),
        )
        xy = _between(h1, h2, d1, d2, site.gap[0], site.per_gap[0], site.near, t)
        yz = _between(h2, h3, d2, d3, site.gap[1], site.per_gap[1], site.near, t)
        zx = _between(h3, h1, d3, d1, site.gap[2], site.per_gap[2], site.near, t)
        to_1 = (
            fma(ox * x, t * (one + d1), to_1[0]),
            fma(ox * y, xy, to_1[1]),
            fma(ox * z, zx, to_1[2]),
        )
        to_2 = (
            fma(oy * x, xy, to_2[0]),
            fma(oy * y, t * (one + d2), to_2[1]),
            fma(oy * z, yz, to_2[2]),
        )
        to_3 = (
            fma(oz * x, zx, to_3[0]),
            fma(oz * y, yz, to_3[1]),
            fma(oz * z, t * (one + d3), to_3[2]),
        )
        ox, oy, oz = d1 * ox, d2 * oy, d3 * oz
        send = (
            fma(ox, site.v1[0], fma(oy, site.v2[0], fma(oz, site.v3[0], outer[0]))),
            fma(ox, site.v1[1], fma(oy, site.v2[1], fma(oz, site.v3[1], outer[1]))),
            fma(ox, site.v1[2], fma(oy, site.v2[2], fma(oz, site.v3[2], outer[2]))),
            fma(ox, site.v1[3], fma(oy, site.v2[3], fma(oz, site.v3[3], outer[3]))),
        )
        return send, (to_0, to_1, to_2, to_3)

    return code


@overload(families.store_sums)
def _store_sums(site, gradient, sums):
    if not is_kind(site, ReversibleSite):
        return None

    def code(site, gradient, sums):
        row = 4
        for part in sums:
            store(gradient, row, part[0])
            store(gradient, row + 1, part[1])
            store(gradient, row + 2, part[2])
            row += 3

    return code


@overload(families.finish_gradient)
def _finish_gradient(family, rows, gradient, lane, inputs, column, result):
    if not is_kind(family, ReversibleFamily):
        return None

    def code(family, rows, gradient, lane, inputs, column, result):
        for k in range(3):
            value = 2 * rows[28 + k, lane]
            gradient[4 + k, lane] = gradient[4 + k, lane] / value if value < 0 else 0.0 * value
        for a in range(4):
            result[column, 16 + a] = gradient[a, lane]
            for b in range(4):
                total = 0.0 * rows[0, lane]
                for k in range(3):
                    along = 0.0 * rows[0, lane]
                    for j in range(4):
                        along += rows[4 * j + a, lane] * gradient[4 + 3 * j + k, lane]
                    total += along * rows[16 + 4 * k + b, lane]
                result[column, 4 * a + b] = total

    return code
