"""Any reversible model in lanes, by the eigendecomposition of each site's rate matrix.

``Q = sum_k lambda_k u_k v_k`` with ``lambda_0 = 0, u_0 = 1, v_0 = pi``. Then
``P(t) L = L + sum_k u_k (exp(lambda_k t) - 1) (v_k . L)``, k = 1..3, and for an adjoint ``o`` of it

    d(o . P L) = sum_jk (o . u_j) Phi_jk(t) (v_k . L) (v_j dQ u_k)
    Phi_jk(t)  = (exp(lambda_j t) - exp(lambda_k t)) / (lambda_j - lambda_k)

(Najfeld and Havel, Adv. Appl. Math. 16:321, 1995), so that eigenvectors, which degenerate
eigenvalues leave undetermined, are never differentiated. Summed over branches,
``(o . u_j) Phi_jk (v_k . L)`` is the gradient with respect to Q in the basis of eigenvectors; k = 0
falls out because the rows of dQ sum to zero.

What happens once a site rather than once a branch (rates, eigensystem, the way back from dQ to
theta) is done in float64, `VECTOR_BYTES` of sites at a time, in rows of the array ``wide``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from phylotools.phylogeny.kernels.cpu import families
from phylotools.phylogeny.kernels.cpu.families import jit
from phylotools.phylogeny.kernels.cpu.lanes import (
    any_lane,
    below,
    either,
    exp,
    expm1,
    fma,
    largest,
    load,
    spread,
    sqrt,
    store,
    where,
)

#: Sweeps of Jacobi rotations; a 3 x 3 matrix is diagonal to the last bit after five or six.
_SWEEPS = 8
#: Pairs of bases: AC AG AT CG CT GT.
_FIRST, _SECOND = (0, 0, 0, 1, 1, 2), (1, 2, 3, 2, 3, 3)
#: Rows of `wide`, for each vector of sites.
_THETA, _PI, _ROOT, _RATE, _BIAS, _VALUE, _AXIS, _TO_Q, _G, _RESULT = np.cumsum(
    [0, 4, 4, 4, 6, 6, 3, 12, 16, 16]
).tolist()
_WIDE_ROWS = _RESULT + 14


class ReversibleFamily(NamedTuple):
    """Inputs are theta, within the bounds of `SubstitutionModel.bounded`.

    The gradient is with respect to theta, the six exchangeabilities s and, with selection, the
    logarithms of the four mutation frequencies m. With ``S = theta_b - theta_a``

        Q[a, b] = s_ab exp(theta_b)                     without selection
        Q[a, b] = s_ab m_b R S / (1 - exp(-S))          with it; R = sum_b m_b exp(theta_b)

    Attributes
    ----------
    exchangeabilities : tuple of six floats
        In the order AC, AG, AT, CG, CT, GT.
    log_mutation : tuple of four floats
        log m; zeros without selection.
    selection : bool
    near : float
        Eigenvalues whose difference times t is below this take Phi from its series.
    rarest : float
        Sites with a rarer base at equilibrium are lost: between two rare bases P(t) is a small
        difference of large numbers.
    """

    exchangeabilities: tuple[float, ...]
    log_mutation: tuple[float, ...]
    selection: bool
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


@jit
def _rates(family, wide, first):
    """From theta: pi, its root, and the rates off the diagonal of ``D^(1/2) Q D^(-1/2)``.

    D = diag(pi). That matrix is symmetric. With selection also what S d log(Q[a, b]) / dS is.
    """
    zero = spread(load(wide, first), 0.0)
    one = spread(zero, 1.0)
    top, total = spread(zero, -1e300), zero
    for a in range(4):
        weight = load(wide, first + _THETA + a) + spread(zero, family.log_mutation[a])
        store(wide, first + _PI + a, weight)
        top = largest(top, weight)
    for a in range(4):
        weight = exp(load(wide, first + _PI + a) - top)
        store(wide, first + _PI + a, weight)
        total = total + weight
    for a in range(4):
        pi = load(wide, first + _PI + a) / total
        store(wide, first + _PI + a, pi)
        store(wide, first + _ROOT + a, sqrt(pi))
    rate = exp(top) * total
    for pair in range(6):
        a, b = _FIRST[pair], _SECOND[pair]
        scaled = rate * spread(zero, family.exchangeabilities[pair])
        if family.selection:
            selection = load(wide, first + _THETA + b) - load(wide, first + _THETA + a)
            mean = 0.5 * (family.log_mutation[a] + family.log_mutation[b])
            fixation, bias = _fixation(selection)
            store(wide, first + _RATE + pair, scaled * exp(spread(zero, mean)) * fixation)
            store(wide, first + _BIAS + pair, bias)
        else:
            roots = load(wide, first + _ROOT + a) * load(wide, first + _ROOT + b)
            store(wide, first + _RATE + pair, scaled * roots)
            store(wide, first + _BIAS + pair, one)


@jit
def _fixation(selection):
    """``x / sinh(x)``, x = S / 2, and the derivative of ``log(S / (1 - exp(-S)))``."""
    zero = spread(selection, 0.0)
    one, half = spread(selection, 1.0), spread(selection, 0.5)
    x = half * largest(selection, zero - selection)
    away = largest(x, spread(x, 1e-100))
    lost = zero - expm1(zero - (away + away))  # 1 - exp(-2x)
    ratio = (away + away) * exp(zero - away) / lost
    # (coth(x) - 1 / x) / 2
    square = x * x
    series = fma(square, fma(square, spread(x, 2 / 945), spread(x, -1 / 45)), spread(x, 1 / 3))
    series = fma(square * square * square, spread(x, -1 / 4725), series) * x
    direct = (one + one - lost) / lost - one / away
    excess = half * where(below(x, spread(x, 0.1)), series, direct)
    return ratio, half + where(below(selection, zero), excess, zero - excess)


@jit
def _eigensystem(wide, first):
    """Eigenvalues 1..3 of ``D^(1/2) Q D^(-1/2)`` and its eigenvectors.

    It has the null vector r = sqrt(pi). The reflection ``1 - w w / (1 + r_A)``, w = r + e_A, takes
    that to the first axis and leaves a 3 x 3 matrix for Jacobi's rotations.
    """
    r0, r1, r2, r3 = _four(wide, first + _ROOT)
    ac, ag, at = _three(wide, first + _RATE)
    cg, ct, gt = _three(wide, first + _RATE + 3)
    zero = spread(r0, 0.0)
    one = spread(r0, 1.0)
    aa = zero - (ac * r1 + ag * r2 + at * r3) / r0
    cc = zero - (ac * r0 + cg * r2 + ct * r3) / r1
    gg = zero - (ag * r0 + cg * r1 + gt * r3) / r2
    tt = zero - (at * r0 + ct * r1 + gt * r2) / r3
    scale = one / (one + r0)
    c1, c2, c3 = scale * r1, scale * r2, scale * r3
    d1 = cc - c1 * (ac + ac - c1 * aa)
    d2 = gg - c2 * (ag + ag - c2 * aa)
    d3 = tt - c3 * (at + at - c3 * aa)
    o12 = cg - c1 * ag - c2 * (ac - c1 * aa)
    o13 = ct - c1 * at - c3 * (ac - c1 * aa)
    o23 = gt - c2 * at - c3 * (ag - c2 * aa)
    x, y, z = (one, zero, zero), (zero, one, zero), (zero, zero, one)
    for _ in range(_SWEEPS):
        if not any_lane(either(either(_open(d1, d2, o12), _open(d1, d3, o13)), _open(d2, d3, o23))):
            break
        d1, d2, o12, o13, o23, x, y = _rotate(d1, d2, o12, o13, o23, x, y)
        d1, d3, o13, o12, o23, x, z = _rotate(d1, d3, o13, o12, o23, x, z)
        d2, d3, o23, o12, o13, y, z = _rotate(d2, d3, o23, o12, o13, y, z)
    for k, (value, axis) in enumerate(((d1, x), (d2, y), (d3, z))):
        along = fma(r1, axis[0], fma(r2, axis[1], r3 * axis[2]))
        store(wide, first + _VALUE + k, zero - largest(zero - value, zero))
        store(wide, first + _AXIS + 4 * k, zero - along)
        store(wide, first + _AXIS + 4 * k + 1, axis[0] - c1 * along)
        store(wide, first + _AXIS + 4 * k + 2, axis[1] - c2 * along)
        store(wide, first + _AXIS + 4 * k + 3, axis[2] - c3 * along)


@jit
def _magnitude(x):
    return largest(x, spread(x, 0.0) - x)


@jit
def _open(p, q, pq):
    """Lanes in which an entry off the diagonal still matters."""
    return below(spread(p, 1e-18) * (_magnitude(p) + _magnitude(q)), _magnitude(pq))


@jit
def _rotate(p, q, pq, pk, qk, axis_p, axis_q):
    """One of Jacobi's rotations, of diagonal entries p and q; none where pq does not matter."""
    zero, one = spread(p, 0.0), spread(p, 1.0)
    is_open = _open(p, q, pq)
    ratio = (q - p) / (pq + pq)
    tangent = one / (_magnitude(ratio) + sqrt(fma(ratio, ratio, one)))
    tangent = where(below(ratio, zero), zero - tangent, tangent)
    tangent = where(is_open, tangent, zero)
    cosine = one / sqrt(fma(tangent, tangent, one))
    sine = tangent * cosine
    return (
        p - tangent * pq,
        fma(tangent, pq, q),
        where(is_open, zero, pq),
        cosine * pk - sine * qk,
        fma(sine, pk, cosine * qk),
        _turned(cosine, axis_p, zero - sine, axis_q),
        _turned(sine, axis_p, cosine, axis_q),
    )


@jit
def _turned(a, x, b, y):
    return fma(a, x[0], b * y[0]), fma(a, x[1], b * y[1]), fma(a, x[2], b * y[2])


@families.implements(families.sizes, ReversibleFamily)
def _sizes(family):
    return (38, 3, 4, 16, _WIDE_ROWS)


@families.implements(families.fill_sites, ReversibleFamily)
def _fill_sites(family, inputs, column, wide, rows):
    lanes = wide.shape[1]
    for part in range(rows.shape[1] // lanes):
        first = part * _WIDE_ROWS
        for lane in range(lanes):
            for a in range(4):
                wide[first + _THETA + a, lane] = inputs[column[part * lanes + lane], a]
        _rates(family, wide, first)
        _eigensystem(wide, first)
        for lane in range(lanes):
            _narrow(family, wide, first, lane, rows, part * lanes + lane)


@jit
def _narrow(family, wide, first, lane, rows, to):
    """A site's rows for the branches, in the type of the columns."""
    rarest = 1.0
    for a in range(4):
        pi, root = wide[first + _PI + a, lane], wide[first + _ROOT + a, lane]
        rarest = min(rarest, pi)
        rows[a, to] = pi
        for k in range(3):
            axis = wide[first + _AXIS + 4 * k + a, lane]
            rows[4 + 4 * k + a, to] = axis * root
            rows[16 + 4 * k + a, to] = axis / root
    for k in range(3):
        value = wide[first + _VALUE + k, lane]
        # Pairs of eigenvalues (1, 2), (2, 3), (3, 1).
        gap = value - wide[first + _VALUE + (k + 1) % 3, lane]
        rows[28 + k, to] = value / 2
        rows[31 + k, to] = gap
        rows[34 + k, to] = 1.0 / gap if abs(gap) > 1e-30 else 0.0
    rows[37, to] = family.near
    if not rarest >= family.rarest:
        rows[:, to] = np.nan


@jit
def _four(rows, first):
    return load(rows, first), load(rows, first + 1), load(rows, first + 2), load(rows, first + 3)


@jit
def _three(rows, first):
    return load(rows, first), load(rows, first + 1), load(rows, first + 2)


@families.implements(families.load_site, ReversibleFamily)
def _load_site(family, rows):
    return ReversibleSite(
        _three(rows, 28), _three(rows, 31), _three(rows, 34), _four(rows, 16), _four(rows, 20),
        _four(rows, 24), _four(rows, 0), _four(rows, 4), _four(rows, 8), _four(rows, 12),
        load(rows, 37),
    )  # fmt: skip


@families.implements(families.exponentials, ReversibleSite)
def _exponentials(site, kept, row, length):
    # Of half the exponent: the square root of exp(lambda t) is needed too.
    t = spread(site.near, length)
    first, second = expm1(site.half[0] * t), expm1(site.half[1] * t)
    third = expm1(site.half[2] * t)
    store(kept, row, first)
    store(kept, row + 1, second)
    store(kept, row + 2, third)
    return first, second, third


@families.implements(families.load_exponentials, ReversibleSite)
def _load_exponentials(site, kept, row):
    return (load(kept, row), load(kept, row + 1), load(kept, row + 2))


@jit
def _dot(a, b):
    return fma(a[0], b[0], a[1] * b[1]) + fma(a[2], b[2], a[3] * b[3])


@jit
def _decay(half):
    """exp(x) - 1 from exp(x / 2) - 1."""
    return fma(half, half, half + half)


@families.implements(families.carry, ReversibleSite)
def _carry(site, branch, partial):
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


@families.implements(families.load_sums, ReversibleSite)
def _load_sums(site, gradient):
    zero = spread(site.near, 0.0)
    return (zero, zero, zero), (zero, zero, zero), (zero, zero, zero), (zero, zero, zero)


@jit
def _between(half, other_half, decay, other_decay, gap, per_gap, near, t):
    """Phi of two eigenvalues."""
    one = spread(t, 1.0)
    x = gap * t
    square = x * x
    series = fma(square, fma(square, spread(t, 1 / 1920), spread(t, 1 / 24)), one)
    series = series * t * (one + half) * (one + other_half)
    return where(below(square, near * near), series, (decay - other_decay) * per_gap)


@families.implements(families.back, ReversibleSite)
def _back(site, sums, branch, length, outer, partial):
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


@families.implements(families.store_sums, ReversibleSite)
def _store_sums(site, gradient, sums):
    row = 4
    for part in sums:
        store(gradient, row, part[0])
        store(gradient, row + 1, part[1])
        store(gradient, row + 2, part[2])
        row += 3


@families.implements(families.finish_gradients, ReversibleFamily)
def _finish_gradients(family, wide, rows, gradient, column, used, result):
    lanes = wide.shape[1]
    for part in range(rows.shape[1] // lanes):
        first = part * _WIDE_ROWS
        for row in range(16):
            for lane in range(lanes):
                wide[first + _TO_Q + row, lane] = gradient[row, part * lanes + lane]
        _gradient_of_q(wide, first)
        _gradient_of_theta(family, wide, first)
        for lane in range(min(lanes, used - part * lanes)):
            for i in range(result.shape[1]):
                result[column[part * lanes + lane], i] = wide[first + _RESULT + i, lane]


@jit
def _gradient_of_q(wide, first):
    """From the basis of eigenvectors to that of bases; 16 rows."""
    pi, root = _four(wide, first + _PI), _four(wide, first + _ROOT)
    zero = spread(pi[0], 0.0)
    for k in range(3):
        value, row = load(wide, first + _VALUE + k), first + _TO_Q + 4 + k
        store(wide, row, where(below(value, zero), load(wide, row) / value, zero))
    for a in range(4):
        for b in range(4):
            store(wide, first + _G + 4 * a + b, zero)
        for k in range(3):
            along = zero
            for j in range(3):
                axis = load(wide, first + _AXIS + 4 * j + a)
                along = fma(axis, load(wide, first + _TO_Q + 7 + 3 * j + k), along)
            root_a, pi_a = load(wide, first + _ROOT + a), load(wide, first + _PI + a)
            along = fma(root_a, along, pi_a * load(wide, first + _TO_Q + 4 + k))
            for b in range(4):
                to = first + _G + 4 * a + b
                store(wide, to, fma(along, load(wide, first + _AXIS + 4 * k + b), load(wide, to)))
        for b in range(4):
            to = first + _G + 4 * a + b
            store(wide, to, load(wide, to) / root[b])


@jit
def _gradient_of_theta(family, wide, first):
    """With respect to theta, exchangeabilities and logs of mutation frequencies; 14 rows."""
    zero = spread(load(wide, first), 0.0)
    mean, everything = zero, zero
    for a in range(4):
        mean = fma(load(wide, first + _PI + a), load(wide, first + _TO_Q + a), mean)
    for a in range(4):
        # d pi_a / d weight_b = pi_a ([a = b] - pi_b)
        own = load(wide, first + _PI + a) * (load(wide, first + _TO_Q + a) - mean)
        store(wide, first + _RESULT + a, own)
        store(wide, first + _RESULT + 10 + a, own)
    for pair in range(6):
        a, b = _FIRST[pair], _SECOND[pair]
        rate = load(wide, first + _RATE + pair)
        ratio = load(wide, first + _ROOT + b) / load(wide, first + _ROOT + a)
        to_ab = load(wide, first + _G + 4 * a + b) - load(wide, first + _G + 5 * a)
        to_ba = load(wide, first + _G + 4 * b + a) - load(wide, first + _G + 5 * b)
        # Gradients with respect to log Q[a, b] and log Q[b, a].
        to_ab, to_ba = to_ab * rate * ratio, to_ba * rate / ratio
        everything = everything + (to_ab + to_ba)
        per_rate = spread(zero, 1.0 / family.exchangeabilities[pair])
        store(wide, first + _RESULT + 4 + pair, (to_ab + to_ba) * per_rate)
        if family.selection:
            bias = load(wide, first + _BIAS + pair)
            by_selection = fma(to_ab + to_ba, bias, zero - to_ba)
            _add(wide, first + _RESULT + b, by_selection)
            _add(wide, first + _RESULT + a, zero - by_selection)
            _add(wide, first + _RESULT + 10 + b, to_ab)
            _add(wide, first + _RESULT + 10 + a, to_ba)
        else:
            _add(wide, first + _RESULT + b, to_ab)
            _add(wide, first + _RESULT + a, to_ba)
    if family.selection:
        for a in range(4):
            by_rate = everything * load(wide, first + _PI + a)
            _add(wide, first + _RESULT + a, by_rate)
            _add(wide, first + _RESULT + 10 + a, by_rate)


@jit
def _add(rows, row, value):
    store(rows, row, load(rows, row) + value)
