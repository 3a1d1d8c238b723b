"""Thresholds, evidence, calibration and allele frequency as tables of a report."""

from __future__ import annotations

import math

import numpy as np
import pytest

from phylotools.errors import InputError
from phylotools.evaluate import details
from phylotools.evaluate.comparison import evaluate
from phylotools.evaluate.details import reduced, with_details
from phylotools.evaluate.frequency_tables import check_frequencies
from phylotools.evaluate.labelled import LabelKind, LabelledScores
from phylotools.evaluate.outcome import Outcome
from phylotools.evaluate.selection import ScoreColumn


def outcome_of(scores, labels, low=False, frequency=None, kind=LabelKind.CLASSES, clusters=None):
    labels = np.asarray(labels, dtype=float)
    data = LabelledScores(
        (ScoreColumn("s", low),),
        np.asarray(scores, dtype=float)[None],
        kind,
        labels,
        np.arange(len(labels)) if clusters is None else clusters,
        frequency=frequency,
    )
    return Outcome(evaluate(data, replicates=0), "y", {}, (), ())


def tables_of(outcome, replicates=0):
    found = with_details(outcome, prior=0.1, replicates=replicates, seed=1)
    return {
        table.file: [dict(zip(table.header, row, strict=True)) for row in table.rows]
        for table in found.tables
    }


@pytest.mark.parametrize("low", [False, True])
def test_thresholds_by_hand_in_the_scores_own_direction(low):
    # Negatives 0 to 99, positives 95 to 104: of the negatives ten lie at 90 and above.
    scores = np.concatenate([np.arange(100), np.arange(95, 105)])
    labels = np.repeat([0, 1], [100, 10])
    tables = tables_of(outcome_of(-scores if low else scores, labels, low))
    first = tables["thresholds.tsv"][0]
    assert (first["kept"], first["rate"]) == ("specificity", 0.9)
    assert first["call"] == ("s <=" if low else "s >=")
    assert first["threshold"] == (-90 if low else 90)
    assert first["specificity"] == pytest.approx(0.9)
    assert first["sensitivity"] == 1
    # No positive is missed, so one half is added to every count.
    assert first["positive_ratio"] == pytest.approx((10.5 / 11) / (10.5 / 101))
    at_99 = tables["thresholds.tsv"][2]
    assert at_99["threshold"] == (-99 if low else 99)
    assert at_99["sensitivity"] == pytest.approx(0.6)
    benign = [row for row in tables["evidence.tsv"] if row["direction"] == "benign"]
    assert {row["call"] for row in benign} == {"s >=" if low else "s <="}


def test_numbers_have_no_thresholds():
    outcome = outcome_of(np.arange(40), np.arange(40), kind=LabelKind.NUMBERS)
    assert tables_of(outcome) == {}


def test_windows_of_frequency():
    generator = np.random.default_rng(0)
    frequency = np.where(np.arange(400) % 40, generator.random(400), np.nan)
    labels = (frequency < 0.3).astype(float)
    rows = tables_of(outcome_of(generator.normal(size=400) + labels, labels, frequency=frequency))
    windows = rows["frequency_bins.tsv"]
    assert sum(row["lowest"] <= 0.01 for row in windows) == 1
    assert windows[0]["above_commonest"] > 0.6
    assert math.isnan(windows[-1]["above_commonest"])
    assert windows[0]["mean_label"] == 1


@pytest.mark.parametrize("wrong", [-0.1, 3.0])
def test_counts_are_no_frequencies(wrong):
    frequency = np.array([0.1, np.nan, wrong, 0.5])
    data = outcome_of([1, 2, 3, 4], [0, 1, 0, 1]).evaluation.data
    with pytest.raises(InputError, match="no allele frequency"):
        check_frequencies(
            LabelledScores(
                data.columns, data.scores, data.kind, data.labels, data.clusters,
                frequency=frequency,
            ),
            "AC",
        )  # fmt: skip


def test_very_many_rows_are_reduced_by_whole_clusters_and_that_is_said(monkeypatch):
    monkeypatch.setattr(details, "MOST_ROWS", 300)
    generator = np.random.default_rng(1)
    clusters = np.sort(generator.integers(0, 250, 1000))
    clusters = np.unique(clusters, return_inverse=True)[1].astype(np.int64)
    labels = generator.integers(0, 2, 1000)
    outcome = outcome_of(generator.normal(size=1000) + labels, labels, clusters=clusters)
    part, replicates = reduced(outcome.evaluation, 2000, 1)
    assert 280 < len(part.data) <= 300
    assert replicates == 2000
    whole = np.bincount(clusters)
    assert np.isin(np.bincount(part.data.clusters), whole).all()
    again, _ = reduced(outcome.evaluation, 2000, 1)
    assert np.array_equal(part.data.scores, again.data.scores)
    found = with_details(outcome, prior=0.1, replicates=0, seed=1)
    said = f"{len(part.data)} of 1,000 variants, at random"
    assert all(said in table.note for table in found.tables)
