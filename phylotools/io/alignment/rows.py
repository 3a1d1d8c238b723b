"""What every alignment format is read into: the rows of many blocks, as arrays over one buffer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class RowTable:
    """Rows of K consecutive blocks, R rows in all, in the order of the file.

    A row is what an ``s`` line of a MAF file says (https://genome.ucsc.edu/FAQ/FAQformat.html#format5).
    Nothing is decided here about species or reference; letters and names are as in the file.

    Attributes
    ----------
    buffer : uint8 array
        ASCII bytes that the offsets below point into.
    first_row : int64 array [K + 1]
        Index of each block's first row; the last number is R. A block has at least one row.
    width : int64 array [K]
        Columns of each block, at least 1: all its rows are so long.
    source_at, source_length : int64 arrays [R]
        Where the name of each row's source (``species.contig``) stands in `buffer`.
    start : int64 array [R]
        0-based start of the row on its own strand.
    size : int64 array [R]
        Bases of the row, as the file states them.
    is_reverse : uint8 array [R]
        1 where the row lies on the reverse strand.
    source_size : int64 array [R]
        Length of the source sequence; ``start + size`` is not larger.
    letters_at : int64 array [R]
        Where the row's letters begin in `buffer`: ``width`` of them, without a break.
    line : int64 array [R]
        1-based line number of each row, counted from where reading began.
    """

    buffer: NDArray[np.uint8]
    first_row: NDArray[np.int64]
    width: NDArray[np.int64]
    source_at: NDArray[np.int64]
    source_length: NDArray[np.int64]
    start: NDArray[np.int64]
    size: NDArray[np.int64]
    is_reverse: NDArray[np.uint8]
    source_size: NDArray[np.int64]
    letters_at: NDArray[np.int64]
    line: NDArray[np.int64]
