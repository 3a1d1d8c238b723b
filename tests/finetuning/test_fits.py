"""Heads against scikit-learn, and correlations against SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression, Ridge

from phylotools.finetuning import features
from phylotools.finetuning.agreement import agreements
from phylotools.finetuning.features import FeatureTable, RowFile, Target, fit_heads

N, N_SCORES = 400, 2


@pytest.fixture
def table() -> FeatureTable:
    rng = np.random.default_rng(4)
    values = rng.normal(size=(N, 7)) * [1, 5, 0.1, 1, 30, 1, 1] + [0, 3, 0, 100, 0, 0, 0]
    values[:, 6] = 2.5  # one that never varies
    return FeatureTable(values.astype(np.float32), N_SCORES)


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(5).permutation(N)[:300]


def labels_of(table: FeatureTable) -> np.ndarray:
    rng = np.random.default_rng(6)
    return table.values[:, 0] + table.values[:, 4] / 20 + rng.normal(size=N)


def units(table: FeatureTable, rows: np.ndarray) -> np.ndarray:
    own = table.values[rows].astype(float)
    return (own - own.mean(0)) / np.where(own.std(0) > 0, own.std(0), 1)


@pytest.mark.parametrize("penalty", [features.SCORE_PENALTY])
def test_classes_are_fitted_as_scikit_learn_fits_them(table, rows, penalty):
    labels = (labels_of(table) > 1).astype(float)
    target = Target(labels, True)
    head = fit_heads(table, target, rows, (1.0, penalty))[-1]
    known = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=5000)
    known.fit(units(table, rows), labels[rows], sample_weight=target.weights(rows))
    assert head.weights == pytest.approx(known.coef_[0], abs=2e-4)
    expected = known.decision_function(units(table, rows))
    assert head.score(table.values[rows]) == pytest.approx(expected, abs=1e-3)
    # Both classes weigh the same, however many there are.
    assert target.weights(rows)[labels[rows] > 0].sum() == pytest.approx(0.5)


def test_numbers_are_fitted_as_ridge_fits_them(table, rows):
    labels = 100 + 20 * labels_of(table)
    penalty = features.SCORE_PENALTY
    head = fit_heads(table, Target(labels, False), rows, (penalty,))[0]
    known = Ridge(alpha=penalty * len(rows)).fit(units(table, rows), labels[rows])
    assert head.weights == pytest.approx(known.coef_, rel=1e-4, abs=1e-6)
    assert head.score(table.values[rows]) == pytest.approx(known.predict(units(table, rows)))


def test_penalties_cost_what_they_say(table, rows):
    target = Target((labels_of(table) > 1).astype(float), True)
    heads = fit_heads(table, target, rows, (math.inf, 10.0, 0.1))
    assert (heads[0].weights[N_SCORES:] == 0).all()
    sizes = [float(np.abs(head.weights[N_SCORES:]).max()) for head in heads]
    assert sizes == sorted(sizes)
    # A fit that begins where a stronger penalty ended ends where any other does.
    alone = fit_heads(table, target, rows, (0.1,))[0]
    assert alone.weights == pytest.approx(heads[2].weights, abs=1e-7)


def test_blocks_do_not_change_a_fit(table, rows, monkeypatch):
    target = Target((labels_of(table) > 1).astype(float), True)
    whole = fit_heads(table, target, rows, (0.1,))[0]
    monkeypatch.setattr(features, "_BLOCK_NUMBERS", 7 * 13)
    assert len(list(table.blocks(rows))) > 20
    in_parts = fit_heads(table, target, rows, (0.1,))[0]
    assert in_parts.weights == pytest.approx(whole.weights, abs=1e-9)


def test_separable_classes_have_a_finite_head(table, rows):
    labels = (table.values[:, 0] > 0).astype(float)
    head = fit_heads(table, Target(labels, True), rows)[0]
    assert np.isfinite(head.weights).all()
    assert ((head.score(table.values) > 0) == (labels > 0)).mean() > 0.97


def test_a_score_depends_on_its_row_alone(table, rows):
    head = fit_heads(table, Target(labels_of(table), False), rows, (0.1,))[0]
    together = head.score(table.values)
    assert all(together[k] == head.score(table.values[k : k + 1])[0] for k in range(0, N, 17))


def test_rows_come_back_from_the_disk(tmp_path):
    values = np.arange(60, dtype=np.uint8).reshape(10, 2, 3)
    with RowFile(str(tmp_path), (2, 3), np.uint8, "out") as file:
        assert file.rows().shape == (0, 2, 3)
        file.append(values[:4])
        file.append(values[4:])
        assert (file.rows() == values).all()
        assert not list(tmp_path.iterdir())


def test_correlations_are_scipys():
    rng = np.random.default_rng(1)
    labels = np.round(rng.normal(size=200), 1)
    scores = {"first": rng.normal(size=200), "second": labels + rng.normal(size=200)}
    clusters = np.repeat(np.arange(20), 10)
    found = agreements(
        scores, labels, clusters, np.zeros(200, np.int32), (".",), replicates=200, seed=1
    )
    for each, values in zip(found, scores.values(), strict=True):
        assert each.spearman.value == pytest.approx(stats.spearmanr(values, labels).statistic)
        assert each.pearson.value == pytest.approx(stats.pearsonr(values, labels).statistic)
        assert each.spearman.low < each.spearman.value < each.spearman.high
    first, second = found
    assert first.difference is None
    assert second.difference.value == pytest.approx(second.spearman.value - first.spearman.value)
    assert second.difference.low > 0
