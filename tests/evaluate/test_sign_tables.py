from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from phylotools.evaluate.comparison import evaluate
from phylotools.evaluate.details import with_details
from phylotools.evaluate.labelled import LabelKind, LabelledScores
from phylotools.evaluate.outcome import Outcome
from phylotools.evaluate.selection import ScoreColumn
from phylotools.evaluate.sign_tables import SIGNS, sign_table


def evaluation_of(scores, labels, kind=LabelKind.NUMBERS):
    n = len(labels)
    columns = tuple(ScoreColumn(f"s{k}", k == 1) for k in range(len(scores)))
    data = LabelledScores(columns, scores, kind, labels, np.arange(n), counts={"compared": n})
    return evaluate(data, replicates=20)


@pytest.fixture
def effects():
    generator = np.random.default_rng(0)
    labels = generator.normal(size=80)
    noise = generator.normal(size=(3, 80))
    return np.stack([labels + noise[0], -labels + noise[1], np.abs(noise[2])]), labels


def test_rows_of_scores_that_have_a_sign(effects):
    scores, labels = effects
    table = sign_table(evaluation_of(scores, labels), replicates=20, seed=1)
    assert table.file == SIGNS
    # The third score is never negative; the second is low at the damaging end, and is turned.
    assert [row[0] for row in table.rows] == ["s0"] * 3 + ["s1"] * 3
    rows = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    assert rows[0]["spearman"] == pytest.approx(stats.spearmanr(scores[0], labels)[0])
    assert rows[4]["spearman"] == pytest.approx(stats.spearmanr(np.abs(scores[1]), labels)[0])
    assert rows[5]["kendall"] == pytest.approx(
        stats.kendalltau(np.abs(scores[1]), np.abs(labels))[0]
    )
    assert rows[3]["same_sign"] == pytest.approx((np.sign(-scores[1]) == np.sign(labels)).mean())
    assert rows[1]["spearman_less_signed"] == pytest.approx(
        rows[1]["spearman"] - rows[0]["spearman"]
    )
    assert math.isnan(rows[0]["spearman_less_signed"])


def test_no_table_without_signs(effects):
    scores, labels = effects
    assert sign_table(evaluation_of(scores, np.abs(labels)), replicates=20, seed=1) is None
    assert sign_table(evaluation_of(scores[2:], labels), replicates=20, seed=1) is None
    classes = evaluation_of(scores, (labels > 0).astype(float), LabelKind.CLASSES)
    assert sign_table(classes, replicates=20, seed=1) is None


def test_the_report_has_it(effects):
    outcome = Outcome(
        evaluation_of(*effects), label="effect", question={}, verdict=(), findings=(), tables=()
    )
    found = with_details(outcome, prior=0.1, replicates=20, seed=1)
    assert SIGNS in [table.file for table in found.tables]
