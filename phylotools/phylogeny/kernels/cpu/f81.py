"""F81 in lanes: ``P(t) L = L + d (L - pi.L)`` with ``d = exp(-R t) - 1``."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from phylotools.phylogeny.kernels.cpu import families
from phylotools.phylogeny.kernels.cpu.families import jit
from phylotools.phylogeny.kernels.cpu.lanes import expm1, fma, load, spread, store


class F81Family(NamedTuple):
    """Inputs are theta, and so is what the gradient is taken with respect to.

    Attributes
    ----------
    max_log_rate : float
        Beyond this log R every branch is saturated; keeps R * 0 from becoming inf * 0.
    """

    max_log_rate: float


class F81Site(NamedTuple):
    """Equilibrium frequencies and minus the rate, vectors."""

    pi: tuple[Any, Any, Any, Any]
    minus_rate: Any


@families.implements(families.sizes, F81Family)
def _sizes(family):
    return (5, 1, 0, 5, 0)


@families.implements(families.fill_sites, F81Family)
def _fill_sites(family, inputs, column, wide, rows):
    for lane in range(rows.shape[1]):
        _fill_site(family, inputs, column[lane], rows, lane)


@jit
def _fill_site(family, inputs, column, rows, lane):
    top = inputs[column, 0]
    for a in range(1, 4):
        top = max(top, inputs[column, a])
    total = 0.0 * top
    for a in range(4):
        rows[a, lane] = math.exp(inputs[column, a] - top)
        total += rows[a, lane]
    for a in range(4):
        rows[a, lane] /= total
    rows[4, lane] = -math.exp(min(top + math.log(total), family.max_log_rate))


@families.implements(families.load_site, F81Family)
def _load_site(family, rows):
    return F81Site((load(rows, 0), load(rows, 1), load(rows, 2), load(rows, 3)), load(rows, 4))


@families.implements(families.exponentials, F81Site)
def _exponentials(site, kept, row, length):
    decay = expm1(site.minus_rate * spread(site.minus_rate, length))
    store(kept, row, decay)
    return decay


@families.implements(families.load_exponentials, F81Site)
def _load_exponentials(site, kept, row):
    return load(kept, row)


@families.implements(families.carry, F81Site)
def _carry(site, branch, partial):
    pi = site.pi
    mean = fma(pi[0], partial[0], pi[1] * partial[1]) + fma(pi[2], partial[2], pi[3] * partial[3])
    return (
        fma(branch, partial[0] - mean, partial[0]),
        fma(branch, partial[1] - mean, partial[1]),
        fma(branch, partial[2] - mean, partial[2]),
        fma(branch, partial[3] - mean, partial[3]),
    )


@families.implements(families.load_sums, F81Site)
def _load_sums(site, gradient):
    pi = (load(gradient, 0), load(gradient, 1), load(gradient, 2), load(gradient, 3))
    return pi, spread(site.minus_rate, 0.0)


@families.implements(families.back, F81Site)
def _back(site, sums, branch, length, outer, partial):
    pi, (to_pi, to_rate) = site.pi, sums
    mean = fma(pi[0], partial[0], pi[1] * partial[1]) + fma(pi[2], partial[2], pi[3] * partial[3])
    total = (outer[0] + outer[1]) + (outer[2] + outer[3])
    product = fma(outer[0], partial[0], outer[1] * partial[1]) + fma(
        outer[2], partial[2], outer[3] * partial[3]
    )
    one = spread(branch, 1.0)
    keep = one + branch
    to_decay = product - mean * total
    to_mean = spread(branch, 0.0) - branch * total
    to_pi = (
        fma(to_mean, partial[0], to_pi[0]),
        fma(to_mean, partial[1], to_pi[1]),
        fma(to_mean, partial[2], to_pi[2]),
        fma(to_mean, partial[3], to_pi[3]),
    )
    # d decay / d(-R) = t exp(-R t)
    to_rate = fma(to_decay, spread(branch, length) * keep, to_rate)
    send = (
        fma(keep, outer[0], to_mean * pi[0]),
        fma(keep, outer[1], to_mean * pi[1]),
        fma(keep, outer[2], to_mean * pi[2]),
        fma(keep, outer[3], to_mean * pi[3]),
    )
    return send, (to_pi, to_rate)


@families.implements(families.store_sums, F81Site)
def _store_sums(site, gradient, sums):
    to_pi, to_rate = sums
    store(gradient, 0, to_pi[0])
    store(gradient, 1, to_pi[1])
    store(gradient, 2, to_pi[2])
    store(gradient, 3, to_pi[3])
    store(gradient, 4, to_rate)


@families.implements(families.finish_gradients, F81Family)
def _finish_gradients(family, wide, rows, gradient, column, used, result):
    for lane in range(used):
        _finish_gradient(family, rows, gradient, lane, result[column[lane]])


@jit
def _finish_gradient(family, rows, gradient, lane, result):
    # dR/dtheta_b = R pi_b; dpi_a/dtheta_b = pi_a ([a = b] - pi_b)
    centre = gradient[4, lane] * -rows[4, lane]
    for a in range(4):
        centre += gradient[a, lane] * rows[a, lane]
    for b in range(4):
        result[b] = rows[b, lane] * (gradient[b, lane] - centre)
