from __future__ import annotations

import numba
import numpy as np
import pytest

from phylotools.phylogeny.kernels.cpu import dispatch
from phylotools.phylogeny.kernels.cpu.lanes import exp, expm1, load, n_lanes, spread, sqrt, store
from phylotools.phylogeny.kernels.cpu.pruning import _read_states


@numba.njit
def apply(x, result):
    for row in range(len(x)):
        vector = load(x, row)
        zero = spread(vector, 0.0)
        store(result[0], row, exp(vector))
        store(result[1], row, expm1(vector))
        store(result[2], row, sqrt(zero - vector))


@pytest.mark.parametrize(("kind", "least"), [(np.float32, -86.0), (np.float64, -700.0)])
def test_functions_to_a_few_units_of_the_last_place(kind, least):
    rng = np.random.default_rng(0)
    exponents = rng.uniform(-30, np.log10(-least), (500, n_lanes(kind)))
    x = (-(10.0**exponents)).astype(kind)
    result = np.empty((3, *x.shape), dtype=kind)
    apply(x, result)
    wide = x.astype(np.longdouble)
    for found, expected in zip(result, (np.exp(wide), np.expm1(wide), np.sqrt(-wide)), strict=True):
        assert np.abs(found / expected - 1).max() < 3 * np.finfo(kind).eps


def some_states(n_columns: int, n_tips: int) -> np.ndarray:
    """Codes of all kinds, tips all missing now and then, and columns with one base or none."""
    rng = np.random.default_rng(n_tips)
    states = rng.integers(0, 8, (n_columns, n_tips), dtype=np.uint8)
    states[: n_columns // 2][rng.random((n_columns // 2, n_tips)) < 0.98] = 255
    states[:3] = 4
    states[1, -1], states[2, 0] = 3, 0
    return states


@numba.njit
def read(states, columns, sets):
    _read_states(states, columns, sets)


@pytest.mark.parametrize("lanes", [8, 16, 32])
@pytest.mark.parametrize("n_tips", [2, 15, 16, 17, 100])
def test_states_become_sets_of_bases(lanes, n_tips):
    states = some_states(50, n_tips)
    columns = np.random.default_rng(1).integers(0, 50, lanes)
    sets = np.zeros((n_tips, lanes), dtype=np.uint8)
    read(states, columns, sets)
    chosen = states[columns].T
    assert (sets == np.where(chosen < 4, 1 << (chosen % 4), 15)).all()


@pytest.mark.parametrize("n_tips", [1, 5, 63, 64, 65, 127, 128, 447, 671, 4096, 9000])
def test_keys_say_which_runs_of_tips_have_a_base(n_tips):
    states = some_states(40, n_tips)
    keys = np.empty(len(states), dtype=np.uint64)
    dispatch._compiled_keys(states, keys)
    run = 1
    while 64 * run < n_tips:
        run *= 2
    for key, column in zip(keys.tolist(), states, strict=True):
        known = [bool((column[i : i + run] < 4).any()) for i in range(0, n_tips, run)]
        assert key == sum(1 << bit for bit, is_known in enumerate(known) if is_known)
