"""Compiled loops that write numbers as text, as C's printf does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phylotools.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MINUS, _POINT, _ZERO, _MISSING = b"-.0."
#: Beyond it a double holds no four decimals.
_LARGEST_FIXED = 1e11
_TEN_THOUSAND = 10000


@compiled
def _put_digits(value: int, n_digits: int, row: NDArray[np.uint8], at: int) -> None:
    """Write an integer into so many places."""
    for k in range(n_digits):
        row[at + n_digits - 1 - k] = np.uint8(_ZERO + value % 10)
        value //= 10


@compiled
def put_fixed(
    values: NDArray[np.float64], text: NDArray[np.uint8], lengths: NDArray[np.int64]
) -> None:
    """Write numbers with four decimals, ``.`` where they are NaN; never ``-0.0000``.

    Parameters
    ----------
    values : float64 array [K]
    text : uint8 array [K, W], written
    lengths : int64 array [K], written
        0 where a number is too large, or so near the middle of two that its product with a power
        of ten cannot tell on which side it lies.
    """
    for i in range(len(values)):
        value = values[i]
        row = text[i]
        if np.isnan(value):
            row[0] = _MISSING
            lengths[i] = 1
            continue
        if not abs(value) < _LARGEST_FIXED:
            lengths[i] = 0
            continue
        product = abs(value) * _TEN_THOUSAND
        if product - np.floor(product) == 0.5:
            lengths[i] = 0
            continue
        scaled = int(np.rint(product))
        at = 0
        if value < 0 and scaled:
            row[0] = _MINUS
            at = 1
        whole = scaled // _TEN_THOUSAND
        n_digits = 1
        rest = whole // 10
        while rest:
            n_digits += 1
            rest //= 10
        _put_digits(whole, n_digits, row, at)
        row[at + n_digits] = _POINT
        _put_digits(scaled % _TEN_THOUSAND, 4, row, at + n_digits + 1)
        lengths[i] = at + n_digits + 5


@compiled
def put_general(
    values: NDArray[np.float64], text: NDArray[np.uint8], lengths: NDArray[np.int64]
) -> None:
    """Write numbers with four significant digits (``%.4g``), ``.`` where they are NaN.

    Parameters
    ----------
    values : float64 array [K]
    text : uint8 array [K, W], written
    lengths : int64 array [K], written
        0 where a number is negative or needs an exponent, or as for `put_fixed`.
    """
    for i in range(len(values)):
        value = values[i]
        row = text[i]
        if np.isnan(value):
            row[0] = _MISSING
            lengths[i] = 1
            continue
        if not 1e-4 <= value < 9999.0:
            lengths[i] = 0
            continue
        # Decimals that leave four significant digits.
        n_decimals = 0
        factor = 1.0
        while value * factor < 1000.0:
            n_decimals += 1
            factor *= 10.0
        product = value * factor
        if product - np.floor(product) == 0.5:
            lengths[i] = 0
            continue
        scaled = int(np.rint(product))
        if scaled >= _TEN_THOUSAND:
            scaled //= 10
            n_decimals -= 1
        while n_decimals and scaled % 10 == 0:
            scaled //= 10
            n_decimals -= 1
        power = 1
        for _ in range(n_decimals):
            power *= 10
        whole = scaled // power
        n_digits = 1
        rest = whole // 10
        while rest:
            n_digits += 1
            rest //= 10
        _put_digits(whole, n_digits, row, 0)
        at = n_digits
        if n_decimals:
            row[at] = _POINT
            _put_digits(scaled % power, n_decimals, row, at + 1)
            at += n_decimals + 1
        lengths[i] = at
