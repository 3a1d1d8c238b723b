"""Many numbers as text at once, with the roundings that score files have."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.io.number_kernels import put_fixed, put_general

#: The longest: a float32 with four decimals.
_WIDTH = 48


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
    return _written(values, put_fixed, b"%.4f")


def general_text(values: NDArray[np.float64]) -> NumberText:
    """Four significant digits (``%.4g``), ``.`` where a number is NaN.

    Parameters
    ----------
    values : float64 array [K]
    """
    return _written(values, put_general, b"%.4g")


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
