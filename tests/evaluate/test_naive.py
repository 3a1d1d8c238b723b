"""Rankings that know no score."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from phylotools.evaluate.labelled import LabelKind
from phylotools.evaluate.naive import by_frequency_alone, by_kind_alone


def test_shares_of_positives_by_hand():
    codes = np.array([0, 0, 0, 7, 7, 3])
    labels = np.array([1.0, 1.0, 0.0, 0.0, 0.0, 1.0])
    shares = by_kind_alone(codes, labels, LabelKind.CLASSES)
    assert shares == pytest.approx([2 / 3, 2 / 3, 2 / 3, 0, 0, 1])


def test_mean_ranks_by_hand():
    codes = np.array([0, 0, 1, 1])
    # Ranks 1, 2.5, 2.5 and 4.
    labels = np.array([-5.0, 1.0, 1.0, np.inf])
    for kind in (LabelKind.NUMBERS, LabelKind.ORDERED):
        assert by_kind_alone(codes, labels, kind) == pytest.approx([1.75, 1.75, 3.25, 3.25])


def test_no_ranking_by_kind_has_a_higher_auroc():
    generator = np.random.default_rng(3)
    codes = generator.integers(0, 4, 60)
    labels = (generator.random(60) < 0.1 + 0.2 * codes).astype(float)
    best = roc_auc_score(labels, by_kind_alone(codes, labels, LabelKind.CLASSES))
    for _ in range(200):
        assert roc_auc_score(labels, generator.normal(size=4)[codes]) <= best + 1e-12


def test_unknown_frequencies_are_the_rarest():
    ranks = by_frequency_alone(np.array([0.5, np.nan, 0.0]))
    assert np.argsort(ranks).tolist() == [0, 2, 1]
