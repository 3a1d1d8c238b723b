from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from phylotools.evaluate.frequency_bins import frequency_windows, slide_over_frequency
from phylotools.evaluate.signs import compare_signs


@settings(max_examples=75, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=0, max_size=120), st.integers(1, 12))
def test_windows_hold_all_and_tear_no_frequency(numbers, n_windows):
    rising = np.sort(np.array(numbers, dtype=float))
    spans = frequency_windows(rising, n_windows)
    assert {i for first, end in spans for i in range(first, end)} == set(range(len(rising)))
    for first, end in spans:
        assert first == 0 or rising[first - 1] < rising[first]
        assert end == len(rising) or rising[end - 1] < rising[end]
    assert spans == sorted(set(spans))
    sizes = np.array([end - first for first, end in spans])
    assert sizes.sum() <= 5 * len(rising)


def test_windows_of_distinct_frequencies():
    assert frequency_windows(np.arange(100.0), 4) == [(0, 40), (20, 60), (40, 80), (60, 100)]
    # Seventy singletons are a window of their own.
    rising = np.concatenate([np.zeros(70), np.arange(1.0, 61)])
    assert frequency_windows(rising, 4) == [(0, 70), (70, 122), (96, 130)]


def example(n=600, seed=0):
    generator = np.random.default_rng(seed)
    frequency = 10 ** generator.uniform(-5, 0, n)
    score = -np.log10(frequency) + generator.normal(size=n)
    return score, frequency


def test_means_and_areas_of_windows():
    score, frequency = example()
    order = np.argsort(frequency)
    found = slide_over_frequency(
        score[None], frequency, np.arange(600), n_windows=5, replicates=100
    )
    assert [window.n for window in found.windows] == [200] * 5
    commonest = order[400:]
    for k, window in enumerate(found.windows):
        own = order[100 * k : 100 * k + 200]
        (mean,) = window.scores
        assert mean.value == pytest.approx(score[own].mean())
        assert mean.low < mean.value < mean.high
        error = 1.96 * score[own].std() / math.sqrt(200)
        assert mean.high - mean.low == pytest.approx(2 * error, rel=0.3)
        assert window.lowest == frequency[own].min()
        assert window.highest == frequency[own].max()
        assert window.label is None
        (area,) = window.against_commonest
        if k < 3:
            both = np.concatenate([own, commonest])
            expected = roc_auc_score(np.isin(both, own), score[both])
            assert area.value == pytest.approx(expected)
        else:
            assert math.isnan(area.value)
    assert found.trend.metrics[0].estimates["spearman"].value == pytest.approx(
        stats.spearmanr(score, -frequency)[0]
    )


@pytest.mark.parametrize("agreement", ["auroc", "c_index", "spearman"])
def test_agreement_within_windows(agreement):
    score, frequency = example(200)
    generator = np.random.default_rng(1)
    raw = score + generator.normal(size=200)
    labels = {
        "auroc": (raw > 2).astype(float),
        "c_index": np.digitize(raw, [1, 3]).astype(float),
        "spearman": raw,
    }[agreement]
    found = slide_over_frequency(
        score[None], frequency, np.arange(200), labels=labels, agreement=agreement, n_windows=3,
        replicates=20,
    )  # fmt: skip
    assert found.agreement == agreement
    own = np.argsort(frequency)[: found.windows[0].n]
    got = found.windows[0].agreement[0].value
    if agreement == "auroc":
        assert got == pytest.approx(roc_auc_score(labels[own], score[own]))
    elif agreement == "spearman":
        assert got == pytest.approx(stats.spearmanr(score[own], labels[own])[0])
    else:
        pairs = [(i, j) for i in own for j in own if labels[i] > labels[j]]
        assert got == pytest.approx(np.mean([score[i] > score[j] for i, j in pairs]))
    assert found.windows[0].label.value == pytest.approx(labels[own].mean())


def test_missing_frequencies_are_counted_and_others_refused():
    score, frequency = example(60)
    frequency[:7] = math.nan
    found = slide_over_frequency(score[None], frequency, np.arange(60), replicates=0)
    assert found.n_without == 7
    assert found.trend.n == 53
    frequency[10] = 1.5
    with pytest.raises(ValueError, match="frequency"):
        slide_over_frequency(score[None], frequency, np.arange(60))
    frequency[10], score[3] = 0.1, math.nan
    with pytest.raises(ValueError, match="missing"):
        slide_over_frequency(score[None], frequency, np.arange(60))
    nothing = slide_over_frequency(np.zeros((1, 2)), np.full(2, math.nan), np.arange(2))
    assert nothing.windows == ()


def test_infinite_scores_have_no_mean():
    score, frequency = example(60)
    score[0] = math.inf
    found = slide_over_frequency(score[None], frequency, np.arange(60), replicates=20)
    assert any(math.isnan(window.scores[0].value) for window in found.windows)


def test_signs():
    generator = np.random.default_rng(3)
    labels = generator.normal(size=300)
    labels[:5] = 0
    score = np.abs(labels) + 0.3 * generator.normal(size=300)
    (found,) = compare_signs(score[None], labels, np.arange(300), replicates=60)
    for figures, x, y in (
        (found.signed, score, labels),
        (found.size, np.abs(score), labels),
        (found.sizes, np.abs(score), np.abs(labels)),
    ):
        assert figures.estimates["spearman"].value == pytest.approx(stats.spearmanr(x, y)[0])
        assert figures.estimates["kendall"].value == pytest.approx(stats.kendalltau(x, y)[0])
    assert found.sizes.estimates["pearson"].value > 0.7
    assert set(found.size.differences) == {"spearman", "kendall", "pearson"}
    assert found.n_with_sign == 295
    same = (np.sign(score) == np.sign(labels))[5:].mean()
    assert found.same_sign.value == pytest.approx(same)
    assert found.same_sign.low < same < found.same_sign.high


def test_no_sign_at_all():
    (found,) = compare_signs(np.zeros((1, 10)), np.arange(10.0), np.arange(10), replicates=10)
    assert math.isnan(found.same_sign.value)
    assert math.isnan(found.signed.estimates["spearman"].value)
