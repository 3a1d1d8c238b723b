from __future__ import annotations

import math

import numba
import numpy as np
import pytest

from phylotools.model.halved.activation import distribution, normal, total
from phylotools.model.halved.layout import LANES
from phylotools.phylogeny.kernels.cpu.lanes import load, store


@numba.njit
def distribution_and_density(u, below, density):
    for row in range(len(u)):
        a, b = normal(load(u, row))
        store(below, row, a)
        store(density, row, b)


@numba.njit
def distributions(u, below):
    for row in range(len(u)):
        store(below, row, distribution(load(u, row)))


@numba.njit
def totals(rows, result):
    for row in range(len(rows)):
        result[row] = total(load(rows, row))


def numbers() -> np.ndarray:
    edge = [0.0, -0.0, 1e-30, -1e-30, 12.0, -12.0, 14.0, -14.0, 1e4, -1e4, np.inf, -np.inf]
    values = np.concatenate([np.linspace(-9, 9, 4 * LANES * 500 - len(edge)), edge])
    return values.astype(np.float32).reshape(-1, LANES)


def test_distribution_and_the_gelu_that_it_gives():
    u = numbers()
    below = np.empty_like(u)
    distributions(u, below)
    exact, found = u.ravel().astype(float), below.ravel().astype(float)
    wanted = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in exact])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-7)
    finite = np.isfinite(exact)
    gelu, wanted = (exact[finite] * each[finite] for each in (found, wanted))
    np.testing.assert_allclose(gelu, wanted, rtol=2e-7, atol=1e-6)
    assert (gelu[exact[finite] < -9] == 0).all()


def test_gelu_of_nan_is_nan():
    u = np.full((1, LANES), np.nan, dtype=np.float32)
    below = np.empty_like(u)
    distributions(u, below)
    assert np.isnan(u * below).all()


def test_normal_distribution_and_density():
    u = numbers()
    below, density = np.empty_like(u), np.empty_like(u)
    distribution_and_density(u, below, density)
    exact = u.ravel().astype(float)
    wanted = [0.5 * math.erfc(-value / math.sqrt(2)) for value in exact]
    np.testing.assert_allclose(below.ravel(), wanted, rtol=0, atol=3e-7)
    wanted = np.exp(-(exact**2) / 2) / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(density.ravel(), wanted, rtol=0, atol=1e-7)


def test_normal_of_nan_is_nan():
    u = np.full((1, LANES), np.nan, dtype=np.float32)
    below, density = np.empty_like(u), np.empty_like(u)
    distribution_and_density(u, below, density)
    assert np.isnan(below).all()


@pytest.mark.parametrize("kind", [np.float32])
def test_total(kind):
    rows = np.random.default_rng(0).standard_normal((50, LANES)).astype(kind)
    result = np.empty(50, dtype=kind)
    totals(rows, result)
    np.testing.assert_allclose(result, rows.sum(axis=1, dtype=float), rtol=0, atol=1e-5)
