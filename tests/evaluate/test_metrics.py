from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from phylotools.evaluate.area_kernels import weighted_areas
from phylotools.evaluate.metrics import (
    MIN_CLUSTERS_FOR_INTERVAL,
    compare_scores,
    compare_within,
    rank_variants,
)
from phylotools.evaluate.replicate_lanes import LANES
from phylotools.evaluate.resampling_kernels import draw_clusters

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


def areas(scores, positive, weights=None):
    """AUROC and AUPRC of variants that each have a site of their own."""
    ranked = rank_variants(scores, positive, np.arange(len(scores)))
    if weights is None:
        weights = np.ones(len(scores))
    found = weighted_areas(ranked, np.tile(weights.astype(np.uint8)[:, None], LANES))
    return tuple(found[0])


@settings(max_examples=50, deadline=None)
@given(labelled())
def test_areas_equal_scikit_learn(case):
    scores, positive, weights = case
    arguments = {"y_true": positive, "y_score": finite(scores), "sample_weight": weights}
    expected = roc_auc_score(**arguments), average_precision_score(**arguments)
    assert areas(scores, positive, weights) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(labelled())
def test_auroc_is_the_mann_whitney_statistic(case):
    scores, positive, _ = case
    pairs = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p in scores[positive]
        for n in scores[~positive]
    ]
    assert areas(scores, positive)[0] == pytest.approx(np.mean(pairs), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(labelled())
def test_weights_equal_repeated_variants(case):
    scores, positive, weights = case
    repeat = weights.astype(int)
    again = areas(np.repeat(scores, repeat), np.repeat(positive, repeat))
    assert areas(scores, positive, weights) == pytest.approx(again, abs=1e-12)


def test_turning_the_score_mirrors_auroc():
    generator = np.random.default_rng(0)
    positive = generator.random(200) < 0.3
    scores = np.round(generator.normal(size=200), 1)
    assert areas(scores, positive)[0] + areas(-scores, positive)[0] == pytest.approx(1, abs=1e-12)


def test_large_counts_do_not_overflow():
    n = 200_000
    positive = np.arange(n) % 2 == 0
    weights = np.full(n, 200)
    assert areas(np.zeros(n), positive, weights) == (0.5, 0.5)


def test_missing_score_is_refused():
    with pytest.raises(ValueError, match="missing"):
        areas(np.array([1.0, math.nan]), np.array([True, False]))


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
    n = MIN_CLUSTERS_FOR_INTERVAL
    positive = np.array([True] * n + [False] * 20)
    scores = np.arange(n + 20.0)[None]
    sites = np.arange(n + 20)
    assert not math.isnan(compare_scores(scores, positive, sites).metrics[0].auroc.low)
    sites[1] = sites[0]
    found = compare_scores(scores, positive, sites)
    assert found.n_positive_sites == n - 1
    assert found.metrics[0].auroc.value == 0.0
    assert math.isnan(found.metrics[0].auroc.low)


def test_sites_are_drawn_within_their_stratum():
    bounds = np.array([0, 1, 1, 4, 1004])
    weights = np.empty((400, 1004), dtype=np.uint8)
    for seed, row in enumerate(weights):
        draw_clusters(np.uint64(seed), bounds, row)
    assert (weights[:, 0] == 1).all()
    assert (weights[:, 1:4].sum(axis=1) == 3).all()
    assert (weights[:, 4:].sum(axis=1) == 1000).all()
    # Each of three is drawn once on average.
    assert weights[:, 1:4].mean(axis=0) == pytest.approx([1, 1, 1], abs=0.15)
    # Counts of one site among many are nearly Poisson: variance 1, none in 1 / e of all cases.
    assert weights[:, 4:].var() == pytest.approx(1 - 1 / 1000, rel=0.02)
    assert (weights[:, 4:] == 0).mean() == pytest.approx(math.exp(-1), rel=0.01)


def test_variants_of_a_site_are_drawn_together():
    # Six sites of a positive and a negative each: whatever is drawn, the areas stay the same.
    positive = np.arange(12) % 2 == 0
    scores = np.where(positive, 1.0, 0.0)[None]
    found = compare_scores(scores, positive, np.arange(12) // 2, replicates=100)
    assert found.n_positive_sites == found.n_negative_sites == 6
    assert (found.metrics[0].auroc.low, found.metrics[0].auroc.high) == (1, 1)


def test_an_interval_equals_that_of_scikit_learn_on_the_same_draws():
    generator = np.random.default_rng(6)
    n, n_replicates = 60, 50
    positive = np.arange(n) < 25
    scores = np.round(generator.normal(size=n) + positive, 1)
    found = compare_scores(
        scores[None], positive, np.arange(n), replicates=n_replicates, seed=9
    ).metrics[0]
    drawn = []
    for seed in np.random.SeedSequence(9).generate_state(n_replicates, np.uint64):
        weights = np.empty(n, dtype=np.uint8)
        # Sites are numbered by stratum, and here they stand so already.
        draw_clusters(seed, np.array([0, 25, 60, 60]), weights)
        rows = np.repeat(np.arange(n), weights)
        drawn.append(
            (roc_auc_score(positive[rows], scores[rows]),
             average_precision_score(positive[rows], scores[rows]))
        )  # fmt: skip
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    assert (found.auroc.low, found.auprc.low) == pytest.approx(tuple(low), abs=1e-12)
    assert (found.auroc.high, found.auprc.high) == pytest.approx(tuple(high), abs=1e-12)


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


@given(
    st.lists(
        st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 3)), min_size=1, max_size=40
    )
)
@settings(deadline=None)
def test_auroc_within_strata_counts_pairs_of_one_stratum(rows):
    scores, positive, strata = map(np.array, zip(*rows, strict=True))
    scores = scores.astype(float)
    wins = [
        (scores[i] > scores[j]) + (scores[i] == scores[j]) / 2
        for i in np.flatnonzero(positive)
        for j in np.flatnonzero(~positive)
        if strata[i] == strata[j]
    ]
    sites = np.arange(len(rows))
    found = compare_within(scores[None], positive, sites, strata, replicates=0)
    value = found.metrics[0].auroc.value
    assert math.isnan(found.metrics[0].auprc.value)
    assert math.isnan(value) if not wins else value == pytest.approx(np.mean(wins))


def test_one_stratum_is_the_auroc_with_its_interval():
    generator = np.random.default_rng(3)
    positive = generator.random(200) < 0.4
    scores = generator.normal(size=(2, 200)) + positive
    sites = np.arange(200) // 2
    whole = compare_scores(scores, positive, sites, replicates=200, seed=5)
    within = compare_within(scores, positive, sites, np.full(200, 7), replicates=200, seed=5)
    for first, second in zip(whole.metrics, within.metrics, strict=True):
        assert second.auroc == first.auroc
        assert second.auroc_difference == first.auroc_difference


def test_what_strata_differ_in_cannot_help():
    """A number for each stratum, added to the score, moves the AUROC and not that within."""
    generator = np.random.default_rng(4)
    strata = generator.integers(0, 3, 500)
    positive = generator.random(500) < np.array([0.1, 0.5, 0.8])[strata]
    score = generator.normal(size=500)
    both = np.stack([score, score + 4 * strata])
    sites = np.arange(500)
    pooled = compare_scores(both, positive, sites, replicates=0).metrics
    within = compare_within(both, positive, sites, strata, replicates=0).metrics
    assert pooled[1].auroc.value > pooled[0].auroc.value + 0.2
    assert within[1].auroc.value == within[0].auroc.value
