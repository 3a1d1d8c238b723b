"""Arithmetic that the GPU kernel's functions share, in float32 and float64."""

from __future__ import annotations

import triton
import triton.language as tl

_INVERSE_LOG_2 = tl.constexpr(1.4426950408889634)


@triton.jit
def exp_and_expm1(x):
    """exp(x) and exp(x) - 1 for x <= 0, both to a few units in the last place.

    On [-log(2)/2, log(2)/2] the series of expm1; elsewhere scaled by a power of two. One costs
    nothing beside the other, and neither calls the special-function unit.
    """
    if x.dtype == tl.float32:
        x = tl.maximum(x, -86.0)
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
        x = tl.maximum(x, -700.0)
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
def power_scale(product):
    """Power of two that brings the largest of four to [1, 2), and the exponent that it undoes."""
    top = tl.max(product, axis=1)
    if product.dtype == tl.float32:
        bits = top.to(tl.int32, bitcast=True) & 0x7F800000
        return (0x7F000000 - bits).to(tl.float32, bitcast=True), (bits >> 23) - 127
    else:
        bits = top.to(tl.int64, bitcast=True) & 0x7FF0000000000000
        scale = (0x7FE0000000000000 - bits).to(tl.float64, bitcast=True)
        return scale, ((bits >> 52) - 1023).to(tl.int32)
