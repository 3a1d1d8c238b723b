from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from phylotools import threads
from phylotools.evaluate.metrics import compare_scores
from phylotools.evaluate.ordered import compare_ordered, split_name
from phylotools.evaluate.resampling import number_clusters
from phylotools.evaluate.resampling_kernels import draw_clusters

N = 4
NAMES = ("c_index", "kendall", "spearman", *map(split_name, range(1, N)))


@st.composite
def classed(draw):
    size = draw(st.integers(2, 40))
    row = st.tuples(st.integers(-3, 3).map(float), st.integers(0, N - 1), st.integers(0, 2))
    rows = draw(st.lists(row, min_size=size, max_size=size))
    return tuple(map(np.array, zip(*rows, strict=True)))


def oracle(scores, classes):
    """By all pairs, scipy and scikit-learn."""
    wins = [
        0.5 + 0.5 * np.sign(scores[i] - scores[j])
        for i, j in itertools.product(range(len(scores)), repeat=2)
        if classes[i] > classes[j]
    ]
    varies = len(set(scores)) > 1 and len(set(classes)) > 1
    found = [
        np.mean(wins) if wins else math.nan,
        stats.kendalltau(scores, classes)[0] if varies else math.nan,
        stats.spearmanr(scores, classes)[0] if varies else math.nan,
    ]
    for k in range(1, N):
        high = classes >= k
        found.append(roc_auc_score(high, scores) if 0 < high.sum() < len(high) else math.nan)
    return found


def values(found, score=0):
    return [found.metrics[score].estimates[name].value for name in NAMES]


def example(size, seed=0):
    generator = np.random.default_rng(seed)
    classes = generator.integers(0, N, size)
    return np.round(classes + 2 * generator.normal(size=size), 1), classes


@settings(max_examples=40, deadline=None)
@given(classed())
def test_measures_equal_brute_force(case):
    scores, classes, _ = case
    found = compare_ordered(
        scores[None], classes, np.arange(len(classes)), n_classes=N, replicates=0
    )
    assert values(found) == pytest.approx(oracle(scores, classes), abs=1e-12, nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(classed())
def test_within_strata_only_their_pairs_count(case):
    scores, classes, strata = case
    found = compare_ordered(
        scores[None], classes, np.arange(len(classes)), n_classes=N, strata=strata, replicates=0
    )
    of_pairs, rho, weight = np.zeros((N, 2)), 0.0, 0
    for stratum in np.unique(strata):
        own = strata == stratum
        x, y = scores[own], classes[own]
        for k in range(N):
            for i, j in itertools.product(range(len(x)), repeat=2):
                if y[i] > y[j] and (not k or y[i] >= k > y[j]):
                    of_pairs[k] += 0.5 + 0.5 * np.sign(x[i] - x[j]), 1
        value = oracle(x, y)[2]
        if not math.isnan(value):
            rho, weight = rho + value * own.sum(), weight + own.sum()
    expected = [wins / pairs if pairs else math.nan for wins, pairs in of_pairs]
    got = values(found)
    assert [got[0], *got[3:]] == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert got[2] == pytest.approx(rho / weight if weight else math.nan, abs=1e-12, nan_ok=True)


def test_three_classes_by_hand():
    scores, classes = np.array([[1.0, 2, 3, 0]]), np.array([0, 1, 1, 2])
    found = compare_ordered(scores, classes, np.arange(4), n_classes=3, replicates=0)
    estimates = found.metrics[0].estimates
    assert found.n_of_class == (1, 2, 1)
    # 0-1: both right; 0-2: wrong; 1-2: both wrong.
    assert estimates["c_index"].value == pytest.approx(2 / 5)
    assert estimates[split_name(1)].value == pytest.approx(2 / 3)
    assert estimates[split_name(2)].value == 0


def test_two_classes_are_the_auroc_with_its_interval():
    scores, classes = example(200)
    positive = classes > 1
    clusters = np.arange(200) // 2
    whole = compare_scores(scores[None], positive, clusters, replicates=100, seed=5).metrics[0]
    found = compare_ordered(
        scores[None], positive.astype(int), clusters, n_classes=2, replicates=100, seed=5
    )
    for name in ("c_index", split_name(1)):
        got = found.metrics[0].estimates[name]
        assert (got.value, got.low, got.high) == pytest.approx(
            (whole.auroc.value, whole.auroc.low, whole.auroc.high), abs=1e-12
        )


def test_replicates_equal_brute_force_on_the_same_draws():
    scores, classes = example(120)
    clusters = np.arange(120) // 2
    found = compare_ordered(scores[None], classes, clusters, n_classes=N, replicates=20, seed=9)
    numbered = number_clusters(clusters, classes)
    drawn = []
    for seed in np.random.SeedSequence(9).generate_state(20, np.uint64):
        weights = np.empty(60, dtype=np.uint8)
        draw_clusters(seed, numbered.bounds, weights)
        rows = np.repeat(np.arange(120), weights[numbered.of])
        drawn.append(oracle(scores[rows], classes[rows]))
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    estimates = found.metrics[0].estimates
    assert [estimates[name].low for name in NAMES] == pytest.approx(list(low), abs=1e-12)
    assert [estimates[name].high for name in NAMES] == pytest.approx(list(high), abs=1e-12)


def test_clusters_of_one_class_are_strata_of_their_own():
    numbered = number_clusters(np.array([5, 5, 6, 7, 7, 8]), np.array([0, 0, 2, 1, 2, 2]))
    # Highest class first (6 and 8), then class 1 (none), class 0 (5), then the mixed one.
    assert numbered.bounds.tolist() == [0, 2, 2, 3, 4]
    assert numbered.of.tolist() == [2, 2, 0, 3, 3, 1]


def test_intervals_cover():
    """Truth of normal scores one deviation apart, by numbers of pairs of classes."""
    generator = np.random.default_rng(2)
    steps = {1: stats.norm.cdf(1 / math.sqrt(2)), 2: stats.norm.cdf(2 / math.sqrt(2))}
    truth = (2 * steps[1] + steps[2]) / 3
    classes = np.repeat([0, 1, 2], 40)
    inside = 0
    for trial in range(200):
        scores = classes + generator.normal(size=120)
        found = compare_ordered(
            scores[None], classes, np.arange(120), n_classes=3, replicates=240, seed=trial
        ).metrics[0].estimates["c_index"]  # fmt: skip
        inside += found.low <= truth <= found.high
    assert 0.9 < inside / 200 < 0.985


def test_few_clusters_of_a_side_have_no_interval():
    classes = np.array([0] * 20 + [1] * 20 + [2] * 4)
    scores = np.random.default_rng(0).normal(size=(1, 44))
    estimates = (
        compare_ordered(scores, classes, np.arange(44), n_classes=3, replicates=50)
        .metrics[0].estimates
    )  # fmt: skip
    assert math.isnan(estimates[split_name(2)].low)
    assert not math.isnan(estimates[split_name(1)].low)
    assert not math.isnan(estimates["c_index"].low)


@pytest.mark.parametrize("classes", [[0, 0, 0], [2, 2, 2]])
def test_one_class_is_no_number(classes):
    found = compare_ordered(np.arange(3.0)[None], np.array(classes), np.arange(3), n_classes=3)
    assert all(math.isnan(each.value) for each in found.metrics[0].estimates.values())


def test_ties_everywhere():
    _, classes = example(60)
    found = compare_ordered(np.zeros((1, 60)), classes, np.arange(60), n_classes=N, replicates=20)
    got = dict(zip(NAMES, values(found), strict=True))
    assert math.isnan(got["kendall"])
    assert math.isnan(got["spearman"])
    assert got["c_index"] == got[split_name(1)] == 0.5


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="missing"):
        compare_ordered(np.array([[1.0, math.nan]]), np.array([0, 1]), np.arange(2), n_classes=2)
    with pytest.raises(ValueError, match="ordered"):
        compare_ordered(np.zeros((1, 2)), np.array([0, 2]), np.arange(2), n_classes=2)


def test_threads_change_nothing():
    scores, classes = example(150)
    wanted = threads.get_threads()
    try:
        found = []
        for number in (1, 3):
            threads.set_threads(number)
            found.append(
                compare_ordered(
                    np.stack([scores, -scores]),
                    classes,
                    np.arange(150),
                    n_classes=N,
                    replicates=70,
                )
            )
    finally:
        threads.set_threads(wanted)
    assert found[0] == found[1]
    same = found[0].metrics[1].differences["c_index"]
    assert same.value == pytest.approx(1 - 2 * found[0].metrics[0].estimates["c_index"].value)
