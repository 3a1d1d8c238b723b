from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from phylotools import threads
from phylotools.evaluate import correlation
from phylotools.evaluate.correlation import compare_correlations
from phylotools.evaluate.resampling import number_in_order
from phylotools.evaluate.resampling_kernels import draw_clusters

MEASURES = ("spearman", "kendall", "pearson")
# Few distinct values, so that ties are the rule.
VALUES = st.integers(-3, 3).map(float)


@st.composite
def agreeing(draw):
    size = draw(st.integers(3, 40))
    columns = st.lists(VALUES, min_size=size, max_size=size).map(np.array)
    return draw(columns), draw(columns)


def oracle(scores, labels):
    if len(set(scores)) < 2 or len(set(labels)) < 2:
        return [math.nan] * 3
    measures = stats.spearmanr, stats.kendalltau, stats.pearsonr
    return [float(measure(scores, labels)[0]) for measure in measures]


def values(found, score=0):
    return [found.metrics[score].estimates[name].value for name in MEASURES]


def limit_exact_pairs(monkeypatch, limit):
    """Of 0: project Kendall's numerator, however few variants and clusters there are."""
    monkeypatch.setattr(correlation, "EXACT_KENDALL", limit)
    monkeypatch.setattr(correlation, "FEW_CLUSTERS", limit)


def correlated(size, seed=0, digits=1):
    generator = np.random.default_rng(seed)
    labels = np.round(generator.normal(size=size), digits)
    return np.round(labels + generator.normal(size=size), digits), labels


@settings(max_examples=40, deadline=None)
@given(agreeing())
def test_correlations_equal_scipy(case):
    scores, labels = case
    found = compare_correlations(scores[None], labels, np.arange(len(labels)), replicates=0)
    assert values(found) == pytest.approx(oracle(scores, labels), abs=1e-12, nan_ok=True)


def test_correlations_computed_by_hand():
    # 1 2 2 3 against 1 3 2 3. Doubled, centred ranks: -3 0 0 3 and -3 2 -1 2. Products 15; squares
    # 18 and 18. Five pairs differ in scores, five in labels, four in both, and all four agree.
    found = compare_correlations(
        np.array([[1.0, 2, 2, 3]]), np.array([1.0, 3, 2, 3]), np.arange(4), replicates=0
    )
    spearman, kendall, pearson = values(found)
    assert spearman == pytest.approx(15 / 18)
    assert kendall == pytest.approx(4 / 5)
    assert pearson == pytest.approx(2 / math.sqrt(2 * 2.75))


@pytest.mark.parametrize("is_projected", [False, True])
def test_replicates_equal_scipy_on_the_same_draws(monkeypatch, is_projected):
    """All but the projection of Kendall's numerator, which is close."""
    if is_projected:
        limit_exact_pairs(monkeypatch, 0)
    scores, labels = correlated(400)
    clusters = np.arange(400) // 2
    n_replicates = 40
    found = compare_correlations(
        scores[None], labels, clusters, replicates=n_replicates, seed=9
    ).metrics[0]
    numbered = number_in_order(clusters, np.lexsort((clusters, labels)))
    drawn = []
    for seed in np.random.SeedSequence(9).generate_state(n_replicates, np.uint64):
        weights = np.empty(200, dtype=np.uint8)
        draw_clusters(seed, numbered.bounds, weights)
        rows = np.repeat(np.arange(400), weights[numbered.of])
        drawn.append(oracle(scores[rows], labels[rows]))
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    for k, name in enumerate(MEASURES):
        error = 0.01 if is_projected and name == "kendall" else 1e-12
        assert found.estimates[name].low == pytest.approx(low[k], abs=error)
        assert found.estimates[name].high == pytest.approx(high[k], abs=error)


@settings(max_examples=50, deadline=None)
@given(agreeing(), st.data())
def test_within_strata(case, data):
    scores, labels = case
    size = len(labels)
    strata = np.array(data.draw(st.lists(st.integers(0, 2), min_size=size, max_size=size)))
    found = compare_correlations(scores[None], labels, np.arange(size), strata=strata, replicates=0)
    sums = np.zeros((2, 2))
    concordant = of_scores = of_labels = 0
    for stratum in np.unique(strata):
        own = strata == stratum
        x, y = scores[own], labels[own]
        for k, value in enumerate(np.array(oracle(x, y))[[0, 2]]):
            if not math.isnan(value):
                sums[k] += value * own.sum(), own.sum()
        signs = np.sign(np.subtract.outer(x, x)), np.sign(np.subtract.outer(y, y))
        concordant += (signs[0] * signs[1]).sum()
        of_scores, of_labels = of_scores + (signs[0] ** 2).sum(), of_labels + (signs[1] ** 2).sum()
    size_of_pairs = math.sqrt(of_scores * of_labels)
    expected = [
        sums[0, 0] / sums[0, 1] if sums[0, 1] else math.nan,
        concordant / size_of_pairs if size_of_pairs else math.nan,
        sums[1, 0] / sums[1, 1] if sums[1, 1] else math.nan,
    ]
    assert found.n_strata == len(np.unique(strata))
    assert values(found) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_one_stratum_is_the_whole():
    scores, labels = correlated(200)
    arguments = scores[None], labels, np.arange(200)
    whole = compare_correlations(*arguments, replicates=50)
    assert compare_correlations(*arguments, strata=np.full(200, 7), replicates=50) == whole


@pytest.mark.parametrize("limit", [0, 10_000])
def test_projection_within_strata(monkeypatch, limit):
    """The projection sees no pair across strata: what strata differ in moves nothing."""
    limit_exact_pairs(monkeypatch, limit)
    scores, labels = correlated(300, digits=6)
    strata = np.arange(300) % 3
    plain, shifted = (
        compare_correlations(
            (scores + by * strata)[None], labels, np.arange(300), strata=strata, replicates=64
        ).metrics[0].estimates["kendall"]
        for by in (0, 100)
    )  # fmt: skip
    assert shifted.value == pytest.approx(plain.value, abs=1e-12)
    assert (shifted.low, shifted.high) == pytest.approx((plain.low, plain.high), abs=1e-9)
    assert plain.low < plain.value < plain.high


@pytest.mark.parametrize("limit", [0, 10_000])
def test_intervals_cover(monkeypatch, limit):
    """95 % intervals of correlated normal values hold the truth in about 95 % of all samples."""
    limit_exact_pairs(monkeypatch, limit)
    generator = np.random.default_rng(5)
    rho, n, trials = 0.5, 150, 300
    truth = [6 / math.pi * math.asin(rho / 2), 2 / math.pi * math.asin(rho), rho]
    inside = np.zeros(3)
    for trial in range(trials):
        labels = generator.normal(size=n)
        scores = rho * labels + math.sqrt(1 - rho**2) * generator.normal(size=n)
        found = compare_correlations(
            scores[None], labels, np.arange(n), replicates=320, seed=trial
        ).metrics[0]
        for k, name in enumerate(MEASURES):
            inside[k] += found.estimates[name].low <= truth[k] <= found.estimates[name].high
    assert (inside / trials > 0.90).all()
    assert (inside / trials < 0.98).all()


@pytest.mark.parametrize("limit", [0, 10_000])
def test_copies_in_a_cluster_do_not_narrow_the_interval(monkeypatch, limit):
    limit_exact_pairs(monkeypatch, limit)
    scores, labels = correlated(120, digits=4)
    once = compare_correlations(scores[None], labels, np.arange(120), replicates=200)
    thrice = compare_correlations(
        np.repeat(scores, 3)[None], np.repeat(labels, 3), np.repeat(np.arange(120), 3),
        replicates=200,
    )  # fmt: skip
    for name in ("spearman", "pearson", "kendall"):
        one, three = (found.metrics[0].estimates[name] for found in (once, thrice))
        assert (three.value, three.low, three.high) == pytest.approx(
            (one.value, one.low, one.high), abs=1e-9
        )


def test_differences_are_paired_and_scores_independent():
    scores, labels = correlated(200)
    other = correlated(200, seed=8)[0]
    found = compare_correlations(
        np.stack([scores, np.exp(scores), other]), labels, np.arange(200), replicates=100
    )
    assert found.metrics[0].differences == {}
    same = found.metrics[1].differences["spearman"]
    assert (same.value, same.low, same.high) == (0, 0, 0)
    alone = compare_correlations(other[None], labels, np.arange(200), replicates=100)
    assert alone.metrics[0].estimates == found.metrics[2].estimates


@pytest.mark.parametrize("limit", [0, 10_000])
def test_threads_change_nothing(monkeypatch, limit):
    limit_exact_pairs(monkeypatch, limit)
    scores, labels = correlated(300)
    arguments = np.stack([scores, -scores]), labels, np.arange(300) // 3
    wanted = threads.get_threads()
    try:
        found = []
        for number in (1, 3):
            threads.set_threads(number)
            found.append(compare_correlations(*arguments, replicates=100, seed=3))
    finally:
        threads.set_threads(wanted)
    assert found[0] == found[1]


def test_infinite_scores_have_ranks_and_no_pearson():
    scores, labels = correlated(60)
    infinite = scores.copy()
    infinite[scores.argmax()] = math.inf
    clusters = np.arange(60)
    found = compare_correlations(np.stack([scores, infinite]), labels, clusters, replicates=20)
    assert values(found, 1)[:2] == pytest.approx(
        oracle(np.where(np.isinf(infinite), 1e9, infinite), labels)[:2], abs=1e-12
    )
    assert math.isnan(values(found, 1)[2])
    assert found.metrics[1].notes == {"pearson": "a score is infinite"}
    assert found.metrics[0].notes == {}
    endless = compare_correlations(scores[None], np.append(labels[1:], np.inf), clusters)
    assert endless.metrics[0].notes == {"pearson": "a label is infinite"}


@pytest.mark.parametrize("limit", [0, 10_000])
@pytest.mark.parametrize("constant", [0.0, 0.1, -1e300])
def test_ties_everywhere_are_no_number(monkeypatch, limit, constant):
    limit_exact_pairs(monkeypatch, limit)
    scores, labels = correlated(50)
    same = np.full(50, constant)
    for x, y in ((same, labels), (scores, same)):
        found = compare_correlations(x[None], y, np.arange(50), replicates=40)
        for estimate in found.metrics[0].estimates.values():
            assert math.isnan(estimate.value)
            assert math.isnan(estimate.low)


@pytest.mark.parametrize("which", ["scores", "labels"])
def test_missing_values_are_refused(which):
    scores, labels = correlated(20)
    (scores if which == "scores" else labels)[3] = math.nan
    with pytest.raises(ValueError, match="missing"):
        compare_correlations(scores[None], labels, np.arange(20))


@pytest.mark.parametrize("n_clusters", [1, 4])
def test_few_clusters_have_no_interval(n_clusters):
    scores, labels = correlated(40)
    found = compare_correlations(scores[None], labels, np.arange(40) % n_clusters)
    assert found.n_clusters == n_clusters
    assert not math.isnan(values(found)[0])
    assert math.isnan(found.metrics[0].estimates["spearman"].low)


def test_nothing_is_no_crash():
    empty = np.zeros(0)
    found = compare_correlations(np.zeros((1, 0)), empty, empty.astype(np.int64))
    assert found.n == 0
    assert all(math.isnan(value) for value in values(found))
    one = compare_correlations(np.zeros((1, 1)), np.ones(1), np.zeros(1, dtype=np.int64))
    assert all(math.isnan(value) for value in values(one))


def test_the_order_of_variants_does_not_matter():
    scores, labels = correlated(200)
    clusters = np.arange(200) // 2
    shuffled = np.random.default_rng(0).permutation(200)
    found = [
        compare_correlations(scores[None, rows], labels[rows], clusters[rows], replicates=50)
        for rows in (np.arange(200), shuffled)
    ]
    for one, other in zip(*(each.metrics[0].estimates.values() for each in found), strict=True):
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))


def test_pairs_are_counted_where_clusters_are_few(monkeypatch):
    monkeypatch.setattr(correlation, "EXACT_KENDALL", 100)
    scores, labels = correlated(300)
    few, many = (
        compare_correlations(scores[None], labels, np.arange(300) % n, replicates=20)
        for n in (200, 201)
    )
    assert (few.kendall_is_projected, many.kendall_is_projected) == (False, True)
