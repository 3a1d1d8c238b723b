"""Norm and GELU of positions in the basis of `layout`, forward and backward, in vectors."""

from __future__ import annotations

import math

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from phylotools.model.halved.layout import LANES
from phylotools.phylogeny.kernels.cpu.families import jit
from phylotools.phylogeny.kernels.cpu.lanes import (
    below,
    exp,
    fma,
    largest,
    load,
    spread,
    store,
    where,
)

#: Of torch's layer norm.
EPSILON = 1e-5
_ROOT_HALF = math.sqrt(0.5)
_PER_ROOT_2_PI = 1 / math.sqrt(2 * math.pi)


@intrinsic
def total(typingctx, a):
    """Sum of a vector's lanes."""

    def code(context, builder, sig, args):
        number = a.ir_type.element
        kind = ir.FunctionType(number, [number, a.ir_type])
        reduce = builder.module.declare_intrinsic(
            f"llvm.vector.reduce.fadd.v{a.lanes}f{a.bits}", fnty=kind
        )
        # In whatever order: adding lane by lane would take sixteen steps.
        return builder.call(reduce, [number(0.0), args[0]], fastmath=("reassoc",))

    return {32: types.float32, 64: types.float64}[a.bits](a), code


@jit
def normal(u):
    """Distribution and density of the standard normal.

    The distribution to 3e-7 (Abramowitz and Stegun 7.1.26 in float32).
    """
    zero, one = spread(u, 0.0), spread(u, 1.0)
    bell = exp(u * u * spread(u, -0.5))
    size = where(below(u, zero), zero - u, u)
    t = one / fma(size, spread(u, 0.3275911 * _ROOT_HALF), one)
    series = fma(t, spread(u, 0.5 * 1.061405429), spread(u, 0.5 * -1.453152027))
    series = fma(t, series, spread(u, 0.5 * 1.421413741))
    series = fma(t, series, spread(u, 0.5 * -0.284496736))
    series = fma(t, series, spread(u, 0.5 * 0.254829592))
    tail = t * series * bell
    return where(below(u, zero), tail, one - tail), bell * spread(u, _PER_ROOT_2_PI)


#: Numerator and denominator of `distribution`, by rising powers of u^2.
_ABOVE = (
    0.398942232131958, 0.03437630459666252, 0.004707267042249441, 0.00017385212413500994,
    6.356485755532049e-06, 2.2144822864333946e-08,
)  # fmt: skip
_BELOW = (
    1.0, 0.2528343200683594, 0.028940189629793167, 0.0019129863940179348, 7.510207069572061e-05,
    1.180194090011355e-06,
)  # fmt: skip
#: Beyond, the distribution is 0 or 1 to 1e-8.
_FAR = 5.6


@jit
def distribution(u):
    """Distribution of the standard normal to 2e-7, in half the time of `normal`.

    1/2 + u P(u^2) / Q(u^2), fitted by least squares with weights that make the largest error
    small: 1e-8, and the rest is the rounding of float32. 0 far below, where GELU multiplies what
    is left with a large number.
    """
    near = where(below(u, spread(u, _FAR)), largest(u, spread(u, -_FAR)), spread(u, _FAR))
    square = near * near
    p, q = spread(u, _ABOVE[5]), spread(u, _BELOW[5])
    for power in range(4, -1, -1):
        p, q = fma(p, square, spread(u, _ABOVE[power])), fma(q, square, spread(u, _BELOW[power]))
    value = fma(near, p / q, spread(u, 0.5))
    return where(below(u, spread(u, -_FAR)), spread(u, 0.0), value)


@jit
def measure(x, row, n, moments, moments_row):
    """Mean and reciprocal standard deviation of a position.

    It begins at vector `row` of `x`, n vectors of s and n of a; both go into a row of `moments`.
    """
    first = spread(load(x, row), 0.0)
    for v in range(n):
        first = first + load(x, row + v)
    mean = total(first) / (n * LANES)
    centre, squares_s = spread(first, mean), spread(first, 0.0)
    squares_a = squares_s
    for v in range(n):
        s, a = load(x, row + v) - centre, load(x, row + n + v)
        squares_s, squares_a = fma(s, s, squares_s), fma(a, a, squares_a)
    variance = total(squares_s + squares_a) / (n * LANES)
    moments[moments_row, 0] = mean
    moments[moments_row, 1] = 1.0 / math.sqrt(variance + EPSILON)


@jit
def normalise(x, row, n, weights, scale, moments, moments_row, out, out_row):
    """The norm of a position alone: t and b."""
    mean = spread(load(x, row), moments[moments_row, 0])
    inverse = spread(mean, moments[moments_row, 1])
    for v in range(n):
        w, shift = load(weights, scale + v), load(weights, scale + n + v)
        s, a = (load(x, row + v) - mean) * inverse, load(x, row + n + v) * inverse
        store(out, out_row + v, fma(s + a, w, shift))
        store(out, out_row + n + v, fma(s - a, w, shift))


@jit
def activate(x, row, n, weights, scale, moments, moments_row, out, out_row, is_summed):
    """GELU of the norm of a position: t and b, or their sum and difference.

    Its norm's scale begins at vector `scale` of `weights`, the shift n later.
    """
    mean = spread(load(x, row), moments[moments_row, 0])
    inverse = spread(mean, moments[moments_row, 1])
    for v in range(n):
        w, shift = load(weights, scale + v), load(weights, scale + n + v)
        s, a = (load(x, row + v) - mean) * inverse, load(x, row + n + v) * inverse
        t, b = fma(s + a, w, shift), fma(s - a, w, shift)
        t, b = t * distribution(t), b * distribution(b)
        if is_summed:
            t, b = t + b, t - b
        store(out, out_row + v, t)
        store(out, out_row + n + v, b)


@jit
def activate_again(x, row, n, weights, scale, moments, moments_row, out, slope, out_row, is_summed):
    """As `activate`; also the slopes of GELU, for t and b."""
    mean = spread(load(x, row), moments[moments_row, 0])
    inverse = spread(mean, moments[moments_row, 1])
    for v in range(n):
        w, shift = load(weights, scale + v), load(weights, scale + n + v)
        s, a = (load(x, row + v) - mean) * inverse, load(x, row + n + v) * inverse
        t, b = fma(s + a, w, shift), fma(s - a, w, shift)
        below_t, density_t = normal(t)
        below_b, density_b = normal(b)
        store(slope, out_row + v, fma(t, density_t, below_t))
        store(slope, out_row + n + v, fma(b, density_b, below_b))
        t, b = t * below_t, b * below_b
        if is_summed:
            t, b = t + b, t - b
        store(out, out_row + v, t)
        store(out, out_row + n + v, b)


@jit
def back_to_norm(
    x, row, n, weights, scale, moments, moments_row, slope, outer, outer_row, is_summed, gradient,
    means, means_row,
):  # fmt: skip
    """Gradient with respect to a position's normalised numbers; of scale and shift, added to.

    `outer` holds the gradient with respect to what `activate` gave, and becomes the result; a row
    of `means` becomes its mean and that of its product with the normalised numbers, of s and a
    together.
    """
    mean = spread(load(x, row), moments[moments_row, 0])
    inverse = spread(mean, moments[moments_row, 1])
    to_all, to_spread = spread(mean, 0.0), spread(mean, 0.0)
    for v in range(n):
        w = load(weights, scale + v)
        s, a = (load(x, row + v) - mean) * inverse, load(x, row + n + v) * inverse
        t, b = load(outer, outer_row + v), load(outer, outer_row + n + v)
        if is_summed:
            t, b = t + b, t - b
        t, b = t * load(slope, outer_row + v), b * load(slope, outer_row + n + v)
        both, apart = t + b, t - b
        to_scale = fma(both, s, apart * a)
        store(gradient, scale + v, load(gradient, scale + v) + to_scale)
        store(gradient, scale + n + v, load(gradient, scale + n + v) + both)
        both, apart = both * w, apart * w
        store(outer, outer_row + v, both)
        store(outer, outer_row + n + v, apart)
        to_all = to_all + both
        to_spread = fma(w, to_scale, to_spread)
    means[means_row, 0] = total(to_all) / (n * LANES)
    means[means_row, 1] = total(to_spread) / (n * LANES)


@jit
def back_to_position(
    x, row, n, moments, moments_row, outer, outer_row, means, means_row, out, out_row
):
    """Gradient with respect to a position, from what `back_to_norm` left."""
    mean = spread(load(x, row), moments[moments_row, 0])
    inverse = spread(mean, moments[moments_row, 1])
    share, stretch = spread(mean, means[means_row, 0]), spread(mean, means[means_row, 1])
    for v in range(n):
        s, a = (load(x, row + v) - mean) * inverse, load(x, row + n + v) * inverse
        both, apart = load(outer, outer_row + v), load(outer, outer_row + n + v)
        store(out, out_row + v, (both - share - s * stretch) * inverse)
        store(out, out_row + n + v, (apart - a * stretch) * inverse)
