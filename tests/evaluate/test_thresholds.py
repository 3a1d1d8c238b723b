from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss

from phylotools import threads
from phylotools.evaluate import evidence
from phylotools.evaluate.operating_points import TARGETS, choose_threshold
from phylotools.evaluate.reliability import (
    fit_isotonic,
    fit_logistic,
    held_out_probabilities,
)
from phylotools.evaluate.resampling import deal_folds, number_clusters
from phylotools.evaluate.resampling_kernels import draw_clusters
from phylotools.evaluate.thresholds import judge_thresholds

SCORES = st.one_of(st.integers(-3, 3).map(float), st.sampled_from([math.inf, -math.inf]))


@st.composite
def labelled(draw):
    size = draw(st.integers(2, 40))
    scores = np.array(draw(st.lists(SCORES, min_size=size, max_size=size)))
    positive = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    positive[:2] = True, False
    return scores, positive


def example(n=400, seed=0, shift=1.5, digits=1):
    generator = np.random.default_rng(seed)
    positive = generator.random(n) < 0.4
    return np.round(generator.normal(size=n) + shift * positive, digits), positive


def judge(scores, positive, **options):
    return judge_thresholds(scores[None], positive, np.arange(len(scores)), **options)[0]


def brute_threshold(scores, positive, kind, rate):
    """Try them all."""
    best = math.inf if kind == "specificity" else None
    for threshold in np.unique(scores)[::-1]:
        called = scores >= threshold
        if kind == "specificity":
            if (~called[~positive]).mean() >= rate - 1e-12:
                best = threshold
        elif called[positive].mean() >= rate - 1e-12:
            return threshold
    return best


@settings(max_examples=40, deadline=None)
@given(labelled())
def test_operating_points_by_trying_all_thresholds(case):
    scores, positive = case
    for point, (kind, rate) in zip(judge(*case, replicates=0).points, TARGETS, strict=True):
        threshold = brute_threshold(scores, positive, kind, rate)
        assert point.threshold.value == threshold
        assert choose_threshold(scores, positive, kind, rate) == threshold
        called = scores >= threshold
        if threshold == math.inf and point.called_positive + point.called_negative == 0:
            called = np.zeros(len(scores), dtype=bool)
        assert point.sensitivity.value == pytest.approx(called[positive].mean())
        assert point.specificity.value == pytest.approx((~called[~positive]).mean())
        assert point.called_positive + point.missed_positive == positive.sum()
        assert point.called_negative == (called & ~positive).sum()


def test_likelihood_ratios_by_hand():
    # 20 of 100 positives and 1 of 100 negatives at the top; then 80 and 99 below.
    scores = np.repeat([2.0, 2.0, 1.0, 1.0], [20, 1, 80, 99])
    positive = np.repeat([True, False, True, False], [20, 1, 80, 99])
    point = judge(scores, positive, replicates=0).points[2]
    assert (point.kind, point.rate) == ("specificity", 0.99)
    assert point.threshold.value == 2
    assert point.positive_ratio.value == pytest.approx(0.2 / 0.01)
    assert point.negative_ratio.value == pytest.approx(0.8 / 0.99)


def test_a_zero_in_the_table():
    """Half a variant in each cell, Simel's interval, Wilson's for the rate."""
    positive = np.arange(40) < 20
    scores = positive.astype(float)
    point = judge(scores, positive, replicates=50).points[0]
    assert point.positive_ratio.value == pytest.approx((20.5 / 21) / (0.5 / 21))
    error = math.sqrt(1 / 20.5 - 1 / 21 + 1 / 0.5 - 1 / 21)
    assert point.positive_ratio.low == pytest.approx(41 / math.exp(1.959964 * error))
    # Wilson's lower end of 20 of 20: n / (n + z^2).
    assert point.sensitivity.low == pytest.approx(20 / (20 + 1.959964**2))
    assert point.sensitivity.high == pytest.approx(1)


def test_intervals_at_a_threshold_equal_those_of_the_same_draws():
    scores, positive = example(120)
    found = judge(scores, positive, replicates=40, seed=5)
    numbered = number_clusters(np.arange(120), positive.astype(int))
    rates, attained, thresholds = [], [], []
    for seed in np.random.SeedSequence(5).generate_state(40, np.uint64):
        weights = np.empty(120, dtype=np.uint8)
        draw_clusters(seed, numbered.bounds, weights)
        rows = np.repeat(np.arange(120), weights[numbered.of])
        x, y = scores[rows], positive[rows]
        row = []
        for point in found.points:
            called = x >= point.threshold.value
            row.append((called[y].mean(), (~called[~y]).mean()))
        rates.append(row)
        chosen = [brute_threshold(x, y, kind, rate) for kind, rate in TARGETS]
        attained.append(
            [
                (x[y] >= t).mean() if kind == "specificity" else (x[~y] < t).mean()
                for t, (kind, _) in zip(chosen, TARGETS, strict=True)
            ]
        )
        thresholds.append(chosen)
    low = np.percentile(rates, 2.5, axis=0)
    for k, point in enumerate(found.points):
        if point.missed_positive:
            assert point.sensitivity.low == pytest.approx(low[k][0])
        if point.called_negative:
            assert point.specificity.low == pytest.approx(low[k][1])
        high = np.percentile(np.array(attained)[:, k], 97.5)
        assert point.attained.high == pytest.approx(high)


def test_crossfitted_rates_come_from_thresholds_of_other_folds():
    scores, positive = example(200)
    found = judge(scores, positive, replicates=0, seed=4)
    folds = deal_folds(number_clusters(np.arange(200), positive.astype(int)), 5, [4, 1])
    for point, (kind, rate) in zip(found.points, TARGETS, strict=True):
        called = np.zeros(200, dtype=bool)
        for fold in range(5):
            own = folds == fold
            called[own] = scores[own] >= brute_threshold(scores[~own], positive[~own], kind, rate)
        assert point.crossfit_sensitivity == pytest.approx(called[positive].mean())
        assert point.crossfit_specificity == pytest.approx((~called[~positive]).mean())


def test_odds_as_published():
    """Tavtigian et al. (2018) at a prior of 0.10; Pejaver et al. (2022) print 2.41, 5.79, 33.5."""
    ratios = evidence.required_ratios(0.10)
    assert [round(ratio, 2) for ratio in ratios.values()] == [2.08, 4.33, 18.72, 350.47]
    other = list(evidence.required_ratios(0.0441).values())
    assert other[:3] == pytest.approx([2.41, 5.79, 33.5], rel=0.005)
    for prior in (0.0, 0.9, -1.0, math.nan):
        with pytest.raises(ValueError, match="prior"):
            evidence.required_ratios(prior)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (2.0, 9.0, None),
        (2.1, 9.0, ("pathogenic", "supporting")),
        (400.0, 500.0, ("pathogenic", "very strong")),
        (0.01, 0.05, ("benign", "strong")),
        (0.01, 0.3, ("benign", "supporting")),
        (math.nan, math.nan, None),
    ],
)
def test_strength_of_an_interval(low, high, expected):
    assert evidence.strength_of(low, high, 0.1) == expected


def test_windows_by_brute_force():
    scores, positive = example(300)
    scores = np.round(10 * scores)  # Whole numbers, whose distances are exact.
    local = judge(scores, positive, window=40, replicates=20).local
    assert (np.diff(local.centres) > 0).all()
    for k, centre in enumerate(local.centres):
        far = np.sort(np.abs(scores - centre))[39]
        held = np.abs(scores - centre) <= far
        hits, misses = (held & positive).sum(), (held & ~positive).sum()
        assert (local.n_positive[k], local.n_negative[k]) == (hits, misses)
        if hits and misses:
            ratio = hits / positive.sum() / (misses / (~positive).sum())
            assert local.ratios[k] == pytest.approx(ratio)
        assert local.low[k] <= local.high[k]


def test_evidence_intervals_follow_from_the_bounds():
    scores, positive = example(3000, shift=2.5, digits=2)
    found = judge(scores, positive, replicates=200)
    local = found.local
    assert len(local.intervals) == 8
    by_name = {(each.direction, each.strength): each for each in local.intervals}
    for (direction, name), each in by_name.items():
        ratio = evidence.required_ratios(0.1)[name]
        if direction == "pathogenic":
            assert each.ratio == ratio
            beyond = local.centres >= each.threshold
            assert (local.low[beyond] >= ratio).all()
        else:
            beyond = local.centres <= each.threshold
            assert (local.high[beyond] <= 1 / ratio).all()
    strong = by_name["pathogenic", "strong"]
    assert strong.threshold > by_name["pathogenic", "supporting"].threshold
    assert strong.n_positive == (scores[positive] >= strong.threshold).sum()
    assert strong.crossfit_ratio > 10
    # The true local ratio of two normal classes 2.5 apart is exp(2.5 (x - 1.25)).
    supporting = by_name["pathogenic", "supporting"].threshold
    assert 2.08 < math.exp(2.5 * (supporting - 1.25)) < 8


def test_too_few_variants_for_a_window():
    scores, positive = example(60)
    found = judge(scores, positive, replicates=20)
    assert len(found.local.centres) == 0
    assert all(math.isnan(each.threshold) for each in found.local.intervals)


@settings(max_examples=30, deadline=None)
@given(labelled())
def test_isotonic_map_equals_scikit_learn(case):
    scores, positive = case
    scores = np.clip(scores, -5, 5)
    expected = IsotonicRegression(out_of_bounds="clip").fit(scores, positive)
    at = np.linspace(-6, 6, 49)
    assert fit_isotonic(scores, positive)(at) == pytest.approx(expected.predict(at), abs=1e-9)


@pytest.mark.parametrize("shift", [0.0, 1.5, 50.0])
def test_logistic_map_equals_scikit_learn(shift):
    scores, positive = example(300, shift=shift)
    expected = _SigmoidCalibration().fit(scores, positive)
    at = np.linspace(-4, 54, 59)
    assert fit_logistic(scores, positive)(at) == pytest.approx(expected.predict(at), abs=2e-3)


def test_reliability_table():
    scores, positive = example(500)
    clusters = np.arange(500) // 2
    found = judge_thresholds(scores[None], positive, clusters, replicates=100, seed=3)[0]
    numbered = number_clusters(clusters, positive.astype(int))
    folds = deal_folds(numbered, 5, [3, 1])
    assert all(len(set(folds[clusters == cluster])) == 1 for cluster in range(250))
    assert np.bincount(folds).min() > 80
    for each in found.reliability:
        probabilities = held_out_probabilities(scores, positive, folds, each.method)
        assert (each.probabilities == probabilities).all()
        assert each.brier.value == pytest.approx(brier_score_loss(positive, probabilities))
        assert each.brier.low < each.brier.value < each.brier.high < each.brier_of_share
        assert sum(part.n for part in each.bins) == 500
        assert sum(part.n * part.share_positive.value for part in each.bins) == positive.sum()
        total = sum(part.n * part.mean_probability for part in each.bins)
        assert total == pytest.approx(probabilities.sum())
        error = sum(part.n * abs(part.mean_probability - part.share_positive.value)
                    for part in each.bins) / 500  # fmt: skip
        assert each.expected_error == pytest.approx(error)
        means = [part.mean_probability for part in each.bins]
        assert means == sorted(means)


def test_attained_sensitivity_covers():
    """Sensitivity at a specificity of 0.90 of two normal classes 1.5 apart: truth .5866."""
    truth = 0.5 * math.erfc((1.2815515655446004 - 1.5) / math.sqrt(2))
    inside = 0
    for trial in range(40):
        scores, positive = example(300, seed=trial, digits=6)
        point = judge(scores, positive, window=1000, replicates=160).points[0]
        inside += point.attained.low <= truth <= point.attained.high
    assert inside / 40 > 0.86


@pytest.mark.parametrize("label", [True, False])
def test_one_class_has_nothing(label):
    found = judge(np.arange(6.0), np.full(6, label))
    assert found.points == ()
    assert found.reliability == ()
    assert found.local.intervals == ()


def test_ties_everywhere():
    positive = np.arange(200) % 2 == 0
    found = judge(np.zeros(200), positive, replicates=20)
    assert found.points[0].threshold.value == math.inf
    assert found.points[0].sensitivity.value == 0
    assert found.points[3].threshold.value == 0
    assert found.points[3].specificity.value == 0
    assert all(math.isnan(each.threshold) for each in found.local.intervals)
    assert found.reliability[0].brier.value == pytest.approx(0.25, abs=0.01)


def test_few_clusters_have_values_without_intervals():
    scores, positive = example(40)
    found = judge_thresholds(scores[None], positive, np.arange(40) % 3, replicates=50)[0]
    assert math.isnan(found.points[0].sensitivity.low)
    assert math.isnan(found.points[0].crossfit_sensitivity)
    assert found.reliability == ()


def test_bad_input_is_refused():
    scores, positive = example(20)
    with pytest.raises(ValueError, match="prior"):
        judge(scores, positive, prior=1.0)
    scores[0] = math.nan
    with pytest.raises(ValueError, match="missing"):
        judge(scores, positive)


def test_neither_threads_nor_other_scores_change_anything():
    scores, positive = example(300)
    other = example(300, seed=9)[0]
    wanted = threads.get_threads()
    try:
        found = []
        for number in (1, 3):
            threads.set_threads(number)
            both = np.stack([other, scores])
            found.append(judge_thresholds(both, positive, np.arange(300), replicates=70)[1])
    finally:
        threads.set_threads(wanted)
    alone = judge(scores, positive, replicates=70)
    for each in found:
        assert each.points == alone.points
        assert (each.local.low == alone.local.low).all()
        assert each.reliability[0].bins == alone.reliability[0].bins
