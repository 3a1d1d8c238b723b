"""HKY in lanes: two steps of F81, within purines and pyrimidines and then among all four.

``u = L + d_g (L - mean_g)``, then ``P(t) L = u + d (u - mean)``, with ``d = exp(-s_v R t) - 1``
and, for a group g of frequency pi_g, ``d_g = exp(-(s_s - s_v) R pi_g t) - 1``; s_v and s_s are the
exchangeabilities of transversions and transitions. The first step leaves the mean as it is. As
long as s_s >= s_v, no difference of near-equal numbers remains in the product.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from phylotools.phylogeny.kernels.cpu import families
from phylotools.phylogeny.kernels.cpu.families import jit
from phylotools.phylogeny.kernels.cpu.lanes import expm1, fma, load, spread, store


class HKYFamily(NamedTuple):
    """Inputs are theta; the gradient is with respect to theta and the two exchangeabilities.

    Attributes
    ----------
    transversion, transition : float
    max_log_rate : float
        As in `F81Family`.
    """

    transversion: float
    transition: float
    max_log_rate: float


class HKYSite(NamedTuple):
    """Equilibrium frequencies, one over those of the groups, and minus the three rates."""

    pi: tuple[Any, Any, Any, Any]
    per_purine: Any
    per_pyrimidine: Any
    minus_rate: Any
    minus_purine: Any
    minus_pyrimidine: Any


@families.implements(families.sizes, HKYFamily)
def _sizes(family):
    return (10, 3, 0, 9, 0)


@families.implements(families.fill_sites, HKYFamily)
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
    rate = math.exp(min(top + math.log(total), family.max_log_rate))
    purine, pyrimidine = rows[0, lane] + rows[2, lane], rows[1, lane] + rows[3, lane]
    more = family.transition - family.transversion
    rows[4, lane], rows[5, lane] = 1.0 / purine, 1.0 / pyrimidine
    rows[6, lane] = -family.transversion * rate
    rows[7, lane], rows[8, lane] = -more * rate * purine, -more * rate * pyrimidine
    rows[9, lane] = rate


@families.implements(families.load_site, HKYFamily)
def _load_site(family, rows):
    return HKYSite(
        (load(rows, 0), load(rows, 1), load(rows, 2), load(rows, 3)),
        load(rows, 4), load(rows, 5), load(rows, 6), load(rows, 7), load(rows, 8),
    )  # fmt: skip


@families.implements(families.exponentials, HKYSite)
def _exponentials(site, kept, row, length):
    t = spread(site.minus_rate, length)
    among, purine = expm1(site.minus_rate * t), expm1(site.minus_purine * t)
    pyrimidine = expm1(site.minus_pyrimidine * t)
    store(kept, row, among)
    store(kept, row + 1, purine)
    store(kept, row + 2, pyrimidine)
    return among, purine, pyrimidine


@families.implements(families.load_exponentials, HKYSite)
def _load_exponentials(site, kept, row):
    return (load(kept, row), load(kept, row + 1), load(kept, row + 2))


@families.implements(families.carry, HKYSite)
def _carry(site, branch, partial):
    (a, c, g, t), pi = partial, site.pi
    among, purine, pyrimidine = branch
    purines, pyrimidines = fma(pi[0], a, pi[2] * g), fma(pi[1], c, pi[3] * t)
    mean = purines + pyrimidines
    purines, pyrimidines = purines * site.per_purine, pyrimidines * site.per_pyrimidine
    a, g = fma(purine, a - purines, a), fma(purine, g - purines, g)
    c, t = fma(pyrimidine, c - pyrimidines, c), fma(pyrimidine, t - pyrimidines, t)
    return (
        fma(among, a - mean, a),
        fma(among, c - mean, c),
        fma(among, g - mean, g),
        fma(among, t - mean, t),
    )


@families.implements(families.load_sums, HKYSite)
def _load_sums(site, gradient):
    zero = spread(site.minus_rate, 0.0)
    pi = (load(gradient, 0), load(gradient, 1), load(gradient, 2), load(gradient, 3))
    return pi, (zero, zero), (zero, zero, zero)


@families.implements(families.back, HKYSite)
def _back(site, sums, branch, length, outer, partial):
    (a, c, g, t), pi = partial, site.pi
    among, purine, pyrimidine = branch
    to_pi, to_groups, to_rates = sums
    zero, one = spread(among, 0.0), spread(among, 1.0)
    purines, pyrimidines = fma(pi[0], a, pi[2] * g), fma(pi[1], c, pi[3] * t)
    mean = purines + pyrimidines
    purines, pyrimidines = purines * site.per_purine, pyrimidines * site.per_pyrimidine
    # Back through the step among all four, from u = L + d_g (L - mean_g).
    total = (outer[0] + outer[1]) + (outer[2] + outer[3])
    keep = one + among
    product = fma(
        outer[0], fma(purine, a - purines, a), outer[1] * fma(pyrimidine, c - pyrimidines, c)
    ) + fma(outer[2], fma(purine, g - purines, g), outer[3] * fma(pyrimidine, t - pyrimidines, t))
    to_mean = zero - among * total
    long = spread(among, length)
    to_rate = fma(product - mean * total, long * keep, to_rates[0])
    # Back through the step within the groups.
    oa, oc, og, ot = keep * outer[0], keep * outer[1], keep * outer[2], keep * outer[3]
    purine_total, pyrimidine_total = oa + og, oc + ot
    keep_purine, keep_pyrimidine = one + purine, one + pyrimidine
    to_purine = fma(oa, a, og * g) - purines * purine_total
    to_pyrimidine = fma(oc, c, ot * t) - pyrimidines * pyrimidine_total
    to_purine_mean = zero - purine * purine_total
    to_pyrimidine_mean = zero - pyrimidine * pyrimidine_total
    to_rates = (
        to_rate,
        fma(to_purine, long * keep_purine, to_rates[1]),
        fma(to_pyrimidine, long * keep_pyrimidine, to_rates[2]),
    )
    to_groups = (
        fma(to_purine_mean, purines, to_groups[0]),
        fma(to_pyrimidine_mean, pyrimidines, to_groups[1]),
    )
    to_purines = fma(to_purine_mean, site.per_purine, to_mean)
    to_pyrimidines = fma(to_pyrimidine_mean, site.per_pyrimidine, to_mean)
    to_pi = (
        fma(to_purines, a, to_pi[0]),
        fma(to_pyrimidines, c, to_pi[1]),
        fma(to_purines, g, to_pi[2]),
        fma(to_pyrimidines, t, to_pi[3]),
    )
    send = (
        fma(keep_purine, oa, to_purines * pi[0]),
        fma(keep_pyrimidine, oc, to_pyrimidines * pi[1]),
        fma(keep_purine, og, to_purines * pi[2]),
        fma(keep_pyrimidine, ot, to_pyrimidines * pi[3]),
    )
    return send, (to_pi, to_groups, to_rates)


@families.implements(families.store_sums, HKYSite)
def _store_sums(site, gradient, sums):
    to_pi, to_groups, to_rates = sums
    store(gradient, 0, to_pi[0])
    store(gradient, 1, to_pi[1])
    store(gradient, 2, to_pi[2])
    store(gradient, 3, to_pi[3])
    store(gradient, 4, to_groups[0])
    store(gradient, 5, to_groups[1])
    store(gradient, 6, to_rates[0])
    store(gradient, 7, to_rates[1])
    store(gradient, 8, to_rates[2])


@families.implements(families.finish_gradients, HKYFamily)
def _finish_gradients(family, wide, rows, gradient, column, used, result):
    for lane in range(used):
        _finish_gradient(family, rows, gradient, lane, result[column[lane]])


@jit
def _finish_gradient(family, rows, gradient, lane, result):
    rate = rows[9, lane]
    more = family.transition - family.transversion
    purine, pyrimidine = rows[0, lane] + rows[2, lane], rows[1, lane] + rows[3, lane]
    # mean_g = (pi.L)_g / pi_g, and the group's rate is -(s_s - s_v) R pi_g.
    to_purine = -gradient[4, lane] * rows[4, lane] - more * rate * gradient[7, lane]
    to_pyrimidine = -gradient[5, lane] * rows[5, lane] - more * rate * gradient[8, lane]
    within = purine * gradient[7, lane] + pyrimidine * gradient[8, lane]
    to_rate = -(family.transversion * gradient[6, lane] + more * within)
    gradient[0, lane] += to_purine
    gradient[2, lane] += to_purine
    gradient[1, lane] += to_pyrimidine
    gradient[3, lane] += to_pyrimidine
    centre = -to_rate * rate
    for a in range(4):
        centre += gradient[a, lane] * rows[a, lane]
    for b in range(4):
        result[b] = rows[b, lane] * (gradient[b, lane] - centre)
    if len(result) > 4:
        result[4] = -rate * (gradient[6, lane] - within)
        result[5] = -rate * within
