"""Arrays that the scan of TAF text works on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Rows(NamedTuple):
    """The rows that the next column has; N places for them, most of which are free.

    Attributes
    ----------
    order : int64 array [N]
        A permutation of the places; the first ``state[N_ROWS]`` are in use, in this order.
    numbers : int64 array [N, 5]
        Numbers of each row, as `taf_kernels` names them.
    names : uint8 array [N, longest name]
    """

    order: NDArray[np.int64]
    numbers: NDArray[np.int64]
    names: NDArray[np.uint8]


class Table(NamedTuple):
    """The table of rows that is being filled.

    Attributes
    ----------
    buffer : uint8 array
        Letters and names.
    numbers : int64 array [8, most rows]
        Numbers of each row of the table.
    first_row : int64 array [most blocks + 1]
    width : int64 array [most blocks]
    """

    buffer: NDArray[np.uint8]
    numbers: NDArray[np.int64]
    first_row: NDArray[np.int64]
    width: NDArray[np.int64]
