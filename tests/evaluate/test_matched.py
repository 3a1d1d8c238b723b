from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from phylotools import threads
from phylotools.evaluate.matched import MEASURES, compare_matched
from phylotools.evaluate.resampling import number_clusters
from phylotools.evaluate.resampling_kernels import draw_clusters


@st.composite
def grouped(draw):
    size = draw(st.integers(2, 40))
    row = st.tuples(
        st.integers(-3, 3).map(float), st.booleans(), st.integers(0, 5), st.integers(0, 2)
    )
    return tuple(
        map(np.array, zip(*draw(st.lists(row, min_size=size, max_size=size)), strict=True))
    )


def two_sided(positive, of):
    return [each for each in np.unique(of) if 0 < positive[of == each].sum() < (of == each).sum()]


def mean(values, weights):
    return np.average(values, weights=weights) if len(values) else math.nan


def oracle(scores, positive, groups, blocks):
    """By scikit-learn, group by group."""
    kept = np.isin(groups, two_sided(positive, groups))
    scores, positive, groups, blocks = (a[kept] for a in (scores, positive, groups, blocks))
    if not len(scores):
        return [math.nan] * len(MEASURES)
    found = []
    for of in (groups, blocks):
        rows = [of == each for each in two_sided(positive, of)]
        pairs = [positive[r].sum() * (~positive[r]).sum() for r in rows]
        weights = [positive[r].sum() if of is groups else r.sum() for r in rows]
        found.append(mean([roc_auc_score(positive[r], scores[r]) for r in rows], pairs))
        areas = [average_precision_score(positive[r], scores[r]) for r in rows]
        found.append(mean(areas, weights))
    pooled = roc_auc_score(positive, scores), average_precision_score(positive, scores)
    return [*found[:2], *pooled, *found[2:]]


def values(found, score=0):
    return [found.metrics[score].estimates[name].value for name in MEASURES]


def one_to_nine(n_groups, seed=0):
    generator = np.random.default_rng(seed)
    positive = np.arange(10 * n_groups) % 10 == 0
    groups = np.arange(10 * n_groups) // 10
    level = generator.normal(size=n_groups)[groups]
    scores = np.round(level + generator.normal(size=len(groups)) + positive, 2)
    return scores, positive, groups, groups % 6


@settings(max_examples=40, deadline=None)
@given(grouped())
def test_measures_equal_scikit_learn(case):
    scores, positive, groups, blocks = case
    found = compare_matched(scores[None], positive, groups, blocks=blocks, replicates=0)
    assert values(found) == pytest.approx(oracle(*case), abs=1e-12, nan_ok=True)
    assert found.n_groups == len(two_sided(positive, groups))


def test_two_groups_by_hand():
    # Group 1: the positive is second of three. Group 2: first of two. Group 3 has no negative.
    scores = np.array([5.0, 4, 3, 2, 1, 9])
    positive = np.array([False, True, False, True, False, True])
    groups = np.array([1, 1, 1, 2, 2, 3])
    found = compare_matched(
        scores[None], positive, groups, blocks=np.array([7, 7, 7, 8, 8, 8]), replicates=0
    )
    expected = {
        "auroc_within_groups": 2 / 3,
        "auprc_within_groups": (1 / 2 + 1) / 2,
        # Ranked: - + - + -.
        "auroc": 3 / 6,
        "auprc": (1 / 2 + 2 / 4) / 2,
        "auroc_by_block": 2 / 3,
        "auprc_by_block": (3 * 1 / 2 + 2 * 1) / 5,
    }
    assert dict(zip(MEASURES, values(found), strict=True)) == pytest.approx(expected)
    assert (found.n_positive, found.n_negative, found.n_groups, found.n_blocks) == (2, 3, 2, 2)
    assert found.groups_without_negative.tolist() == [3]
    assert found.groups_without_positive.tolist() == []


def test_blocks_of_one_label_are_named():
    scores, positive, groups, _ = one_to_nine(3)
    blocks = np.where(positive, 1, groups)
    found = compare_matched(scores[None], positive, groups, blocks=blocks, replicates=0)
    assert found.blocks_without_positive.tolist() == [0, 2]
    assert found.n_blocks == 1


def test_replicates_equal_scikit_learn_on_the_same_draws():
    scores, positive, groups, blocks = one_to_nine(40)
    found = compare_matched(
        scores[None], positive, groups, blocks=blocks, replicates=24, seed=9
    ).metrics[0]
    numbered = number_clusters(groups, positive.astype(int))
    drawn = []
    for seed in np.random.SeedSequence(9).generate_state(24, np.uint64):
        weights = np.empty(40, dtype=np.uint8)
        draw_clusters(seed, numbered.bounds, weights)
        rows = np.repeat(np.arange(400), weights[numbered.of])
        drawn.append(oracle(scores[rows], positive[rows], groups[rows], blocks[rows]))
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    assert [found.estimates[n].low for n in MEASURES] == pytest.approx(list(low), abs=1e-12)
    assert [found.estimates[n].high for n in MEASURES] == pytest.approx(list(high), abs=1e-12)


def test_what_groups_differ_in_cannot_help_within_them():
    scores, positive, groups, blocks = one_to_nine(50)
    both = np.stack([scores, scores + 100 * groups])
    found = compare_matched(both, positive, groups, blocks=blocks, replicates=30)
    for name in ("auroc_within_groups", "auprc_within_groups"):
        difference = found.metrics[1].differences[name]
        assert (difference.value, difference.low, difference.high) == (0, 0, 0)
    assert found.metrics[1].differences["auroc"].value < -0.05


def test_without_blocks_there_are_no_figures_by_block():
    scores, positive, groups, _ = one_to_nine(10)
    found = compare_matched(scores[None], positive, groups, replicates=20)
    assert tuple(found.metrics[0].estimates) == MEASURES[:4]
    assert found.n_blocks == 0


def test_intervals_cover():
    """Of a score that knows nothing, one positive among ten: the mean of 1 / rank."""
    truth = sum(1 / rank for rank in range(1, 11)) / 10
    generator = np.random.default_rng(0)
    positive, groups = np.arange(600) % 10 == 0, np.arange(600) // 10
    inside = 0
    for trial in range(200):
        scores = generator.normal(size=(1, 600))
        found = compare_matched(scores, positive, groups, replicates=240, seed=trial)
        estimate = found.metrics[0].estimates["auprc_within_groups"]
        inside += estimate.low <= truth <= estimate.high
    assert 0.89 < inside / 200 < 0.985


def test_few_groups_have_no_interval():
    scores, positive, groups, _ = one_to_nine(4)
    estimate = compare_matched(scores[None], positive, groups).metrics[0].estimates["auroc"]
    assert not math.isnan(estimate.value)
    assert math.isnan(estimate.low)


@pytest.mark.parametrize("label", [True, False])
def test_one_label_only_is_no_number_and_no_crash(label):
    found = compare_matched(np.zeros((1, 6)), np.full(6, label), np.arange(6), blocks=np.zeros(6))
    assert all(math.isnan(value) for value in values(found))
    assert found.n_groups == 0
    assert len(found.groups_without_positive if not label else found.groups_without_negative) == 6


def test_ties_everywhere():
    _, positive, groups, blocks = one_to_nine(20)
    found = compare_matched(np.zeros((1, 200)), positive, groups, blocks=blocks, replicates=20)
    assert values(found) == pytest.approx([0.5, 0.1] * 3)


def test_missing_scores_are_refused():
    with pytest.raises(ValueError, match="missing"):
        compare_matched(np.full((1, 2), math.nan), np.array([True, False]), np.zeros(2))


def test_threads_change_nothing():
    scores, positive, groups, blocks = one_to_nine(30)
    wanted = threads.get_threads()
    try:
        found = []
        for number in (1, 3):
            threads.set_threads(number)
            arguments = scores[None], positive, groups
            found.append(compare_matched(*arguments, blocks=blocks, replicates=70).metrics)
    finally:
        threads.set_threads(wanted)
    assert found[0] == found[1]
