"""Many numbers as text at once, as C's printf writes them, with the roundings of score files."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.compiling import compiled

#: The longest: a float32 with four decimals.
_WIDTH = 48
_MINUS, _POINT, _ZERO, _MISSING = b"-.0."
#: Beyond it a double holds no four decimals.
_LARGEST_FIXED = 1e11
_TEN_THOUSAND = 10000


class NumberText(NamedTuple):
    """Numbers as text.

    Attributes
    ----------
    text : uint8 array [K, W]
        ASCII, left-aligned.
    lengths : int64 array [K]
    """

    text: NDArray[np.uint8]
    lengths: NDArray[np.int64]

    def row(self, index: int) -> bytes:
        """One of the texts."""
        return self.text[index, : self.lengths[index]].tobytes()


def fixed_text(values: NDArray[np.float64]) -> NumberText:
    """Four decimals (``%.4f``), ``.`` where a number is NaN; never ``-0.0000``.

    Parameters
    ----------
    values : float64 array [K]
    """
    return _written(values, _put_fixed, b"%.4f")


def general_text(values: NDArray[np.float64]) -> NumberText:
    """Four significant digits (``%.4g``), ``.`` where a number is NaN.

    Parameters
    ----------
    values : float64 array [K]
    """
    return _written(values, _put_general, b"%.4g")


def _written(values: NDArray[np.float64], put: Callable[..., None], form: bytes) -> NumberText:
    text = np.empty((len(values), _WIDTH), dtype=np.uint8)
    lengths = np.empty(len(values), dtype=np.int64)
    put(np.ascontiguousarray(values, dtype=np.float64), text, lengths)
    # The rare ones that the compiled loop leaves.
    for row in np.flatnonzero(lengths == 0).tolist():
        written = form % values[row]
        if float(written) == 0:
            written = written.removeprefix(b"-")
        text[row, : len(written)] = np.frombuffer(written, dtype=np.uint8)
        lengths[row] = len(written)
    return NumberText(text, lengths)


@compiled
def _put_digits(value: int, n_digits: int, row: NDArray[np.uint8], at: int) -> None:
    """Write an integer into so many places."""
    for k in range(n_digits):
        row[at + n_digits - 1 - k] = np.uint8(_ZERO + value % 10)
        value //= 10


@compiled
def _put_fixed(
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
def _put_general(
    values: NDArray[np.float64], text: NDArray[np.uint8], lengths: NDArray[np.int64]
) -> None:
    """Write numbers with four significant digits (``%.4g``), ``.`` where they are NaN.

    Parameters
    ----------
    values : float64 array [K]
    text : uint8 array [K, W], written
    lengths : int64 array [K], written
        0 where a number is negative or needs an exponent, or as for `_put_fixed`.
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
