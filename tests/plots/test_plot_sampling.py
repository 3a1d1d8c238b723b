from __future__ import annotations

import math

import numpy as np
import pytest

from phylotools.plots.sampling import QUANTILES, Reservoir, Tally


def test_a_short_stream_is_kept_whole_and_in_order():
    reservoir = Reservoir([1], size=10, width=2)
    for number in range(10):
        reservoir.add(number, -number)
    assert reservoir.n == 10
    assert reservoir.rows.tolist() == [[n, -n] for n in range(10)]


def test_every_row_of_a_long_stream_is_as_likely_to_stay():
    # 400 streams of 100 numbers, 20 kept: each number stays 80 times, standard deviation 8.
    counts = np.zeros(100)
    for seed in range(400):
        reservoir = Reservoir([seed], size=20)
        for number in range(100):
            reservoir.add(number)
        kept = reservoir.rows[:, 0].astype(int)
        assert len(set(kept)) == 20
        counts[kept] += 1
    assert np.abs(counts - 80).max() < 5 * 8
    assert abs(counts[:50].sum() - 4000) < 5 * math.sqrt(8000 * 0.25)


def test_of_two_rows_either_stays_as_often():
    kept = 0
    for seed in range(400):
        reservoir = Reservoir([seed], size=1)
        reservoir.add(0)
        reservoir.add(1)
        kept += int(reservoir.rows[0, 0])
    assert abs(kept - 200) < 5 * 10


def test_long_streams_cross_batches():
    reservoir = Reservoir([3], size=1000)
    for number in range(30_000):
        reservoir.add(number)
    kept = reservoir.rows[:, 0]
    assert reservoir.n == 30_000
    assert len(np.unique(kept)) == 1000
    # Standard error of the mean: 30000 / sqrt(12 * 1000) = 274.
    assert abs(kept.mean() - 15_000) < 5 * 274


def test_the_same_seed_gives_the_same_sample():
    def rows(seed):
        reservoir = Reservoir([seed], size=5)
        for number in range(9000):
            reservoir.add(number)
            if number % 1000 == 0:
                _ = reservoir.n
        return reservoir.rows.tolist()

    assert rows(1) == rows(1)
    assert rows(1) != rows(2)


def test_a_tally_of_few_numbers_is_exact():
    values = np.random.default_rng(1).normal(size=999)
    tally = Tally([1])
    for value in values:
        tally.add(float(value))
    assert tally.n == 999
    assert tally.mean == pytest.approx(values.mean())
    assert (tally.lowest, tally.highest) == (values.min(), values.max())
    assert tally.quantiles() == pytest.approx(np.quantile(values, QUANTILES))
    assert (np.diff(tally.sample) >= 0).all()


def test_counts_mean_and_ends_hold_for_all_numbers_of_a_long_stream():
    tally = Tally([1], size=100)
    for number in range(10_001):
        tally.add(number)
    assert (tally.n, len(tally.sample)) == (10_001, 100)
    assert (tally.mean, tally.lowest, tally.highest) == (5000, 0, 10_000)


def test_nothing_has_no_quantiles():
    tally = Tally([1])
    assert tally.n == 0
    assert all(math.isnan(x) for x in [tally.mean, tally.lowest, *tally.quantiles()])
