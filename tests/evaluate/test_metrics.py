from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from phylotools.evaluate.metrics import (
    MIN_SITES_FOR_INTERVAL,
    Ranking,
    auprc,
    auroc,
    compare_scores,
    cumulative_counts,
    site_weights,
)

# Few distinct values, so that ties are the rule; infinities are ordinary values.
SCORES = st.one_of(st.integers(-3, 3).map(float), st.sampled_from([math.inf, -math.inf]))


@st.composite
def labelled(draw):
    size = draw(st.integers(2, 40))
    scores = np.array(draw(st.lists(SCORES, min_size=size, max_size=size)))
    positive = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    positive[0], positive[1] = True, False
    weights = np.array(draw(st.lists(st.integers(0, 4), min_size=size, max_size=size)), float)
    weights[:2] = np.maximum(weights[:2], 1)
    return scores, positive, weights


def finite(scores):
    """The same order without infinities, which scikit-learn refuses."""
    return np.clip(scores, -10, 10)


@settings(max_examples=120, deadline=None)
@given(labelled())
def test_areas_equal_scikit_learn(case):
    scores, positive, weights = case
    counts = cumulative_counts(Ranking.of(scores), positive, weights)
    arguments = {"y_true": positive, "y_score": finite(scores), "sample_weight": weights}
    assert auroc(*counts) == pytest.approx(roc_auc_score(**arguments), abs=1e-12)
    assert auprc(*counts) == pytest.approx(average_precision_score(**arguments), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(labelled())
def test_auroc_is_the_mann_whitney_statistic(case):
    scores, positive, _ = case
    pairs = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p in scores[positive]
        for n in scores[~positive]
    ]
    counts = cumulative_counts(Ranking.of(scores), positive)
    assert auroc(*counts) == pytest.approx(np.mean(pairs), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(labelled())
def test_weights_in_a_block_equal_repeated_variants(case):
    scores, positive, weights = case
    block = np.stack([weights, np.ones_like(weights)])
    areas = auroc(*cumulative_counts(Ranking.of(scores), positive, block))
    repeat = weights.astype(int)
    again = cumulative_counts(Ranking.of(np.repeat(scores, repeat)), np.repeat(positive, repeat))
    assert areas[0] == pytest.approx(auroc(*again), abs=1e-12)
    assert areas.shape == (2,)


def test_turning_the_score_mirrors_auroc():
    generator = np.random.default_rng(0)
    positive = generator.random(200) < 0.3
    scores = np.round(generator.normal(size=200), 1)
    there = auroc(*cumulative_counts(Ranking.of(scores), positive))
    back = auroc(*cumulative_counts(Ranking.of(-scores), positive))
    assert there + back == pytest.approx(1, abs=1e-12)


def test_missing_score_is_refused():
    with pytest.raises(ValueError, match="missing"):
        Ranking.of(np.array([1.0, math.nan]))


@pytest.mark.parametrize("positive", [[True, True], [False, False]])
def test_one_class_only_is_no_number_and_no_crash(positive):
    found = compare_scores(np.zeros((2, 2)), np.array(positive), np.arange(2), replicates=5)
    assert math.isnan(found.metrics[0].auroc.value)
    assert math.isnan(found.metrics[1].auprc_difference.value)
    assert found.n_positive + found.n_negative == 2


def test_no_variants_is_no_crash():
    empty = np.zeros(0, dtype=np.int64)
    found = compare_scores(np.zeros((1, 0)), empty.astype(bool), empty)
    assert (found.n_positive, found.n_negative) == (0, 0)
    assert math.isnan(found.prevalence)


def test_few_sites_give_a_value_without_an_interval():
    n = MIN_SITES_FOR_INTERVAL
    positive = np.array([True] * n + [False] * 20)
    scores = np.arange(n + 20.0)[None]
    sites = np.arange(n + 20)
    assert not math.isnan(compare_scores(scores, positive, sites).metrics[0].auroc.low)
    sites[1] = sites[0]
    found = compare_scores(scores, positive, sites)
    assert found.n_positive_sites == n - 1
    assert found.metrics[0].auroc.value == 0.0
    assert math.isnan(found.metrics[0].auroc.low)


def test_whole_sites_are_drawn_within_their_stratum():
    positive = np.array([True, False, True, True, False, False, False])
    sites = np.array([0, 0, 1, 1, 2, 3, 4])
    weights = np.concatenate(list(site_weights(positive, sites, 500, 3)))
    assert weights.shape == (500, 5)
    assert (weights[:, 0] == 1).all()
    assert (weights[:, 1] == 1).all()
    assert (weights[:, 2:].sum(axis=1) == 3).all()
    # Each of the three negative sites is drawn once on average.
    assert weights[:, 2:].mean(axis=0) == pytest.approx([1, 1, 1], abs=0.15)


def test_intervals_do_not_depend_on_the_order_of_variants():
    generator = np.random.default_rng(1)
    positive = generator.random(300) < 0.3
    scores = generator.normal(size=(2, 300)) + positive
    sites = np.sort(generator.integers(0, 150, 300))
    one = compare_scores(scores, positive, sites, replicates=200, seed=7)
    shuffled = generator.permutation(300)
    other = compare_scores(
        scores[:, shuffled], positive[shuffled], sites[shuffled], replicates=200, seed=7
    )
    assert one == other


def test_copies_at_a_site_do_not_narrow_the_interval():
    generator = np.random.default_rng(2)
    positive = np.arange(120) < 40
    scores = (generator.normal(size=120) + positive)[None]
    sites = np.arange(120)
    once = compare_scores(scores, positive, sites, seed=5).metrics[0].auroc
    thrice = (
        compare_scores(
            np.repeat(scores, 3, axis=1), np.repeat(positive, 3), np.repeat(sites, 3), seed=5
        )
        .metrics[0]
        .auroc
    )
    assert (thrice.value, thrice.low, thrice.high) == pytest.approx(
        (once.value, once.low, once.high), abs=1e-12
    )


def test_interval_has_the_width_that_theory_predicts():
    # Hanley and McNeil 1982: standard error of an AUROC.
    generator = np.random.default_rng(3)
    n_positive, n_negative = 150, 400
    positive = np.arange(n_positive + n_negative) < n_positive
    scores = generator.normal(size=(1, len(positive))) + positive
    found = compare_scores(scores, positive, np.arange(len(positive))).metrics[0].auroc
    a = found.value
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    variance = a * (1 - a) + (n_positive - 1) * (q1 - a * a) + (n_negative - 1) * (q2 - a * a)
    expected = 2 * 1.96 * math.sqrt(variance / (n_positive * n_negative))
    assert found.high - found.low == pytest.approx(expected, rel=0.15)


def test_difference_is_paired():
    generator = np.random.default_rng(4)
    positive = np.arange(200) < 60
    first = generator.normal(size=200) + positive
    found = compare_scores(np.stack([first, 2 * first]), positive, np.arange(200))
    difference = found.metrics[1].auroc_difference
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)
    assert found.metrics[0].auroc_difference is None


def test_no_replicates_no_intervals():
    positive = np.arange(40) < 20
    found = compare_scores(np.arange(40.0)[None], positive, np.arange(40), replicates=0)
    assert found.metrics[0].auroc.value == 0
    assert math.isnan(found.metrics[0].auroc.high)
