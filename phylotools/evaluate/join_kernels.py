"""Compiled loops of the join: variants found by place and alleles, and values put beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phylotools.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MIX, _MIX_MORE = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


@compiled
def _slot(place: int, key: np.uint64, n_slots: int) -> np.int64:
    state = (np.uint64(place) ^ (key * _MIX)) * _MIX_MORE
    state = (state ^ (state >> np.uint64(31))) * _MIX
    return np.int64((state ^ (state >> np.uint64(29))) & np.uint64(n_slots - 1))


@compiled
def refill(
    slots: NDArray[np.int32], places: NDArray[np.int64], keys: NDArray[np.uint64], n: int
) -> None:
    """Fill empty slots (-1) with the numbers of the first n entries."""
    for number in range(n):
        at = _slot(places[number], keys[number], len(slots))
        while slots[at] >= 0:
            at = (at + 1) & (len(slots) - 1)
        slots[at] = number


@compiled
def find(
    slots: NDArray[np.int32],
    places: NDArray[np.int64],
    keys: NDArray[np.uint64],
    wanted_places: NDArray[np.int64],
    wanted_keys: NDArray[np.uint64],
    found: NDArray[np.int64],
) -> None:
    """Number of each wanted entry; -1 where there is none."""
    for row in range(len(wanted_places)):
        place, key = wanted_places[row], wanted_keys[row]
        found[row] = -1
        if place < 0:
            continue
        at = _slot(place, key, len(slots))
        while slots[at] >= 0:
            number = slots[at]
            if places[number] == place and keys[number] == key:
                found[row] = number
                break
            at = (at + 1) & (len(slots) - 1)


@compiled
def add(
    slots: NDArray[np.int32],
    places: NDArray[np.int64],
    keys: NDArray[np.uint64],
    n: int,
    new_places: NDArray[np.int64],
    new_keys: NDArray[np.uint64],
    found: NDArray[np.int64],
) -> int:
    """Number of each entry, new ones at the end in their order; returns how many there are."""
    for row in range(len(new_places)):
        place, key = new_places[row], new_keys[row]
        at = _slot(place, key, len(slots))
        while slots[at] >= 0:
            number = slots[at]
            if places[number] == place and keys[number] == key:
                break
            at = (at + 1) & (len(slots) - 1)
        if slots[at] < 0:
            slots[at] = n
            places[n], keys[n] = place, key
            n += 1
        found[row] = slots[at]
    return n


@compiled
def put_numbers(
    column: NDArray[np.float64],
    rows: NDArray[np.int64],
    values: NDArray[np.float64],
    is_contradictory: NDArray[np.bool_],
) -> None:
    """Put values into their rows: the first that is one stays, another one contradicts it."""
    for k in range(len(rows)):
        row, value = rows[k], values[k]
        if np.isnan(column[row]):
            column[row] = value
        elif not np.isnan(value) and value != column[row]:
            is_contradictory[row] = True


@compiled
def put_codes(column: NDArray[np.int32], rows: NDArray[np.int64], codes: NDArray[np.int64]) -> int:
    """As `put_numbers`, for codes of texts, -1 for none; returns how many were too many."""
    n_ignored = 0
    for k in range(len(rows)):
        row, code = rows[k], codes[k]
        if column[row] < 0:
            column[row] = code
        elif code >= 0 and code != column[row]:
            n_ignored += 1
    return n_ignored


@compiled
def put_labels(
    labels: NDArray[np.float64],
    n_known: int,
    rows: NDArray[np.int64],
    values: NDArray[np.float64],
    is_contradictory: NDArray[np.bool_],
) -> None:
    """Give rows from `n_known` on their first label; another label contradicts it, NaN itself."""
    for k in range(len(rows)):
        row, value = rows[k], values[k]
        if row >= n_known:
            labels[row] = value
            is_contradictory[row] = np.isnan(value)
            n_known = row + 1
        elif labels[row] != value:
            is_contradictory[row] = True
