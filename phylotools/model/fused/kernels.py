"""What is done between two matrix products, compiled by Triton: see `steps` for who calls it.

Positions are rows of `half` numbers in two planes, one behind the other: s and a, or, after a GELU,
t and b or their sum and difference. A program holds some whole rows of both planes in registers, so
that a position's norm needs no second look at memory. Sums are float32, in any case.
"""

from __future__ import annotations

import triton
import triton.language as tl

#: Of torch's layer norm.
EPSILON = tl.constexpr(1e-5)
_ROOT_HALF = tl.constexpr(0.7071067811865476)
#: What `activate` does about the norm: measures each position and uses that; measures alone, for a
#: norm over positions; uses what was measured.
BY_POSITION = tl.constexpr(0)
MEASURE = tl.constexpr(1)
GIVEN = tl.constexpr(2)


@triton.jit
def _gelu(x):
    return 0.5 * x * (1.0 + tl.math.erf(x * _ROOT_HALF))


@triton.jit(do_not_specialize=["n_rows", "n_around", "rows", "rows_around", "crop"])
def activate(
    around, product, bias, total, norm, moments, out,
    n_rows, n_around, rows, rows_around, crop, half,
    STEP: tl.constexpr, HAS_AROUND: tl.constexpr, HAS_PRODUCT: tl.constexpr,
    IS_SUMMED: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """GELU of the norm of what a product gave, of what flows around it, or of the sum of both.

    Parameters
    ----------
    around : pointer to float32, (2, n_around, half)
        Residual stream before the block, read `crop` rows after the start of each window.
    product : pointer to float, (2, n_rows, half)
    bias : pointer to float32, (half,)
        Of the product; belongs to s alone.
    total : pointer to float32, (2, n_rows, half)
        Gets the sum, where there are both.
    norm : pointer to float32, (4, half)
        Scale of t and of b, shift of t and of b.
    moments : pointer to float32
        `MEASURE`: (n_rows, 2), gets mean and variance of each position. `GIVEN`: (windows, 2), mean
        and reciprocal deviation of each window.
    out : pointer to float, (2, n_rows, half)
        Gets t + b and t - b, or t and b.
    rows, rows_around : int
        Of a window.
    """
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    inside = (row < n_rows)[:, None] & (column < half)[None, :]
    place = row[:, None] * half + column[None, :]
    plane = n_rows.to(tl.int64) * half
    window = row // rows
    s = tl.zeros([ROWS, WIDTH], tl.float32)
    a = tl.zeros([ROWS, WIDTH], tl.float32)
    if HAS_PRODUCT:
        s += tl.load(product + place, mask=inside, other=0.0).to(tl.float32)
        a += tl.load(product + plane + place, mask=inside, other=0.0).to(tl.float32)
        s += tl.load(bias + column, mask=column < half, other=0.0)[None, :]
    if HAS_AROUND:
        there = (window * rows_around + crop + row % rows)[:, None] * half + column[None, :]
        s += tl.load(around + there, mask=inside, other=0.0)
        a += tl.load(around + n_around.to(tl.int64) * half + there, mask=inside, other=0.0)
        if HAS_PRODUCT:
            tl.store(total + place, s, mask=inside)
            tl.store(total + plane + place, a, mask=inside)
    if STEP == GIVEN:
        mean = tl.load(moments + 2 * window, mask=row < n_rows, other=0.0)
        inverse = tl.load(moments + 2 * window + 1, mask=row < n_rows, other=0.0)
    else:
        mean = tl.sum(s, axis=1) / half
        apart = tl.where(inside, s - mean[:, None], 0.0)
        variance = (tl.sum(apart * apart, axis=1) + tl.sum(a * a, axis=1)) / half
        inverse = 1.0 / tl.sqrt(variance + EPSILON)
    if STEP == MEASURE:
        tl.store(moments + 2 * row, mean, mask=row < n_rows)
        tl.store(moments + 2 * row + 1, variance, mask=row < n_rows)
    else:
        s = (s - mean[:, None]) * inverse[:, None]
        a = a * inverse[:, None]
        known = column < half
        top_scale = tl.load(norm + column, mask=known, other=0.0)[None, :]
        low_scale = tl.load(norm + half + column, mask=known, other=0.0)[None, :]
        top_shift = tl.load(norm + 2 * half + column, mask=known, other=0.0)[None, :]
        low_shift = tl.load(norm + 3 * half + column, mask=known, other=0.0)[None, :]
        top = _gelu((s + a) * top_scale + top_shift)
        low = _gelu((s - a) * low_scale + low_shift)
        first = top + low if IS_SUMMED else top
        second = top - low if IS_SUMMED else low
        tl.store(out + place, first.to(out.dtype.element_ty), mask=inside)
        tl.store(out + plane + place, second.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["n_rows", "n_source", "rows", "rows_source", "dilation"])
def pack(
    source, packed, n_rows, n_source, rows, rows_source, dilation, half,
    TAPS: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Taps side by side, for a dilated product: t there plus and minus b at the opposite tap.

    Parameters
    ----------
    source : pointer to float, (2, n_source, half)
        t and b.
    packed : pointer to float, (2, n_rows, TAPS * half)
    rows, rows_source : int
        Of a window.
    """
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    tap = tl.program_id(1)
    column = tl.arange(0, WIDTH)
    inside = (row < n_rows)[:, None] & (column < half)[None, :]
    first = (row // rows) * rows_source + row % rows
    ahead = (first + tap * dilation)[:, None] * half + column[None, :]
    behind = (first + (TAPS - 1 - tap) * dilation)[:, None] * half + column[None, :]
    top = tl.load(source + ahead, mask=inside, other=0.0).to(tl.float32)
    low = tl.load(source + n_source.to(tl.int64) * half + behind, mask=inside, other=0.0)
    low = low.to(tl.float32)
    place = row[:, None] * (TAPS * half) + tap * half + column[None, :]
    plane = n_rows.to(tl.int64) * (TAPS * half)
    tl.store(packed + place, (top + low).to(packed.dtype.element_ty), mask=inside)
    tl.store(packed + plane + place, (top - low).to(packed.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["n_rows", "n_source", "rows", "rows_source", "dilation"])
def dilated_product(
    source, weights, product, n_rows, n_source, rows, rows_source, dilation, half, columns,
    TAPS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """The dilated product without its taps ever lying in memory side by side.

    Parameters
    ----------
    source : pointer to float, (2, n_source, half)
        t and b.
    weights : pointer to float, (2, TAPS * half, columns)
    product : pointer to float, (2, n_rows, columns)
    rows, rows_source : int
        Of a window.
    """
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    plane = tl.program_id(1)
    column = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    sign = tl.where(plane == 0, 1.0, -1.0)
    first = (row // rows) * rows_source + row % rows
    low = source + n_source.to(tl.int64) * half
    weights += plane * (TAPS * half * columns)
    sums = tl.zeros([ROWS, COLUMNS], tl.float32)
    for tap in range(TAPS):
        ahead = (first + tap * dilation)[:, None] * half
        behind = (first + (TAPS - 1 - tap) * dilation)[:, None] * half
        for start in range(0, half, CHUNK):
            k = start + tl.arange(0, CHUNK)
            inside = (row < n_rows)[:, None] & (k < half)[None, :]
            top = tl.load(source + ahead + k[None, :], mask=inside, other=0.0)
            bottom = tl.load(low + behind + k[None, :], mask=inside, other=0.0)
            taken = top.to(tl.float32) + sign * bottom.to(tl.float32)
            place = (tap * half + k)[:, None] * columns + column[None, :]
            there = (k < half)[:, None] & (column < columns)[None, :]
            block = tl.load(weights + place, mask=there, other=0.0)
            sums = tl.dot(taken.to(source.dtype.element_ty), block, sums)
    to = row[:, None] * columns + column[None, :]
    inside = (row < n_rows)[:, None] & (column < columns)[None, :]
    to += plane * n_rows.to(tl.int64) * columns
    tl.store(product + to, sums.to(product.dtype.element_ty), mask=inside)
