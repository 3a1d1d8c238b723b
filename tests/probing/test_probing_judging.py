from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from phylotools.evaluate.resampling import number_clusters
from phylotools.probing.judging import (
    Groups,
    groups_of,
    judge_classes,
    judge_labels,
    matthews,
)

NAMES = ("a", "b", "c")


def groups(n_cells: int, size: int = 10) -> Groups:
    return Groups(number_clusters(np.arange(n_cells) // size), "contigs")


def test_mcc_by_hand():
    # Two classes: (6 x 3 - 1 x 2) / sqrt(8 x 4 x 5 x 7).
    assert matthews(np.array([[6, 1], [2, 3]])) == pytest.approx(16 / np.sqrt(8 * 4 * 5 * 7))
    assert matthews(np.array([[5, 0], [5, 0]])) == 0
    assert matthews(np.zeros((2, 3, 3))).tolist() == [0, 0]


@pytest.mark.filterwarnings("ignore:A single label")
@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60))
def test_mcc_is_that_of_scikit_learn(pairs):
    true, said = np.array(pairs).T
    table = metrics.confusion_matrix(true, said, labels=range(4))
    assert matthews(table) == pytest.approx(metrics.matthews_corrcoef(true, said), abs=1e-12)


def test_classes_are_judged_as_scikit_learn_does():
    random = np.random.default_rng(1)
    labels = random.integers(0, 3, 400)
    good = np.where(random.random(400) < 0.8, labels, random.integers(0, 3, 400))
    said = {"embedding": good, "other": random.integers(0, 3, 400)}
    own, other = judge_classes(labels, said, NAMES, groups(400), replicates=300, seed=1)
    assert own.value.value == pytest.approx(metrics.matthews_corrcoef(labels, good))
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(labels, good)
    assert [own.parts[n].value for n in NAMES] == pytest.approx(f1.tolist())
    assert [own.recall[n] for n in NAMES] == pytest.approx(recall.tolist())
    assert [own.precision[n] for n in NAMES] == pytest.approx(precision.tolist())
    assert own.value.low < own.value.value < own.value.high
    assert own.difference is None
    assert other.difference.value == pytest.approx(own.value.value - other.value.value)
    assert other.difference.low > 0


def test_labels_are_judged_as_scikit_learn_does():
    random = np.random.default_rng(2)
    labels = (random.random((300, 3)) < 0.3).astype(np.int8)
    scores = (labels + random.normal(size=(300, 3)) * [0.5, 1, 2]).astype(np.float32)
    chance = np.zeros_like(scores)
    for by_precision, measure in ((False, metrics.roc_auc_score),
                                  (True, metrics.average_precision_score)):  # fmt: skip
        own, other = judge_labels(
            labels, {"embedding": scores, "majority": chance}, NAMES, groups(300),
            by_precision=by_precision, replicates=200, seed=1,
        )  # fmt: skip
        assert own.value.value == pytest.approx(measure(labels, scores, average="macro"))
        assert own.parts["b"].value == pytest.approx(measure(labels[:, 1], scores[:, 1]))
        assert own.value.low < own.value.value < own.value.high
        expected = labels.mean(axis=0).mean() if by_precision else 0.5
        assert other.value.value == pytest.approx(expected)
        assert other.difference.value == pytest.approx(own.value.value - expected)


def test_what_cannot_be_judged_is_left_out_of_the_mean():
    labels = np.array([[1, 0, -1], [0, 0, 1], [1, 0, 0], [0, 0, 1]], dtype=np.int8)
    scores = np.array([[2, 1, 9], [1, 1, 1], [3, 1, 2], [0, 1, 3]], dtype=np.float32)
    (own,) = judge_labels(
        labels, {"embedding": scores}, NAMES, groups(4), by_precision=False, replicates=9, seed=1
    )
    # One label is told perfectly; of the third one of two pairs of known cells is right.
    assert own.parts["a"].value == 1
    assert np.isnan(own.parts["b"].value)
    assert own.parts["c"].value == 0.5
    assert own.value.value == pytest.approx(0.75)
    assert np.isnan(own.value.low)


def test_replicates_draw_the_same_groups_for_every_label():
    """Of two equal labels the mean has the interval of each."""
    random = np.random.default_rng(3)
    one = (random.random(200) < 0.4).astype(np.int8)
    score = (one + random.normal(size=200)).astype(np.float32)
    (own,) = judge_labels(
        np.stack([one, one], axis=1), {"embedding": np.stack([score, score], axis=1)}, NAMES[:2],
        groups(200), by_precision=False, replicates=100, seed=4,
    )  # fmt: skip
    assert (own.value.low, own.value.high) == (own.parts["a"].low, own.parts["a"].high)


def test_contigs_are_resampled_where_there_are_enough():
    contigs, samples = np.array([7, 7, 3, 3]), np.array([0, 1, 2, 3])
    found = groups_of(contigs, samples)
    assert (found.what, found.n, found.have_intervals) == ("samples", 4, False)
    found = groups_of(np.arange(6) + 5, np.arange(6))
    assert (found.what, found.clusters.of.tolist()) == ("contigs", list(range(6)))
