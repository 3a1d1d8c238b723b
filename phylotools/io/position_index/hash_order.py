"""The order in which htslib writes the bins of a contig: that of its hash table.

No reader minds the order. It is kept so that an index made here can be compared with htslib's
byte by byte; the table is khash's, whose order follows from what was put in, and when.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phylotools.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: How full the table may be.
_FULL = 0.77
_FEWEST = 4


@compiled
def _grown(
    keys: NDArray[np.int64], rows: NDArray[np.int64], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A table of `n` places, filled as khash does it: place by place, pushing out what is there."""
    old = len(keys)
    new_keys, new_rows = np.full(n, -1, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    new_keys[:old], new_rows[:old] = keys, rows
    waits = np.zeros(n, dtype=np.bool_)
    waits[:old] = keys >= 0
    is_taken = np.zeros(n, dtype=np.bool_)
    for j in range(old):
        if not waits[j]:
            continue
        key, row = new_keys[j], new_rows[j]
        waits[j] = False
        while True:
            step = 0
            i = key & (n - 1)
            while is_taken[i]:
                step += 1
                i = (i + step) & (n - 1)
            is_taken[i] = True
            pushed_key, pushed_row = new_keys[i], new_rows[i]
            new_keys[i], new_rows[i] = key, row
            if not waits[i]:
                break
            waits[i] = False
            key, row = pushed_key, pushed_row
    for i in range(n):
        if not is_taken[i]:
            new_keys[i] = new_rows[i] = -1
    return new_keys, new_rows


@compiled
def hash_order(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Order of keys in a khash table of 32-bit integers.

    Parameters
    ----------
    keys : int64 array [K]
        Each once, as they are put in; the last is put in again.

    Returns
    -------
    int64 array [K]
        Rows of `keys`.
    """
    table, rows = np.full(0, -1, dtype=np.int64), np.full(0, -1, dtype=np.int64)
    most = 0
    # One turn more: putting in a key that is there makes a full table grow, too.
    for k in range(len(keys) + 1):
        if k >= most:
            table, rows = _grown(table, rows, max(2 * len(table), _FEWEST))
            most = int(len(table) * _FULL + 0.5)
        if k == len(keys):
            break
        step = 0
        i = keys[k] & (len(table) - 1)
        while table[i] >= 0:
            step += 1
            i = (i + step) & (len(table) - 1)
        table[i], rows[i] = keys[k], k
    return rows[rows >= 0]
