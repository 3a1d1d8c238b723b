"""Sentences and warnings of an evaluation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from phylotools.evaluate.comparison import evaluate
from phylotools.evaluate.labelled import Factor, LabelKind, LabelledScores
from phylotools.evaluate.resampling import Estimate
from phylotools.evaluate.selection import ScoreColumn
from phylotools.evaluate.verdict import difference_in_words, findings, verdict


def data_of(scores, labels, **others):
    scores = np.atleast_2d(np.asarray(scores, dtype=float))
    columns = tuple(ScoreColumn(f"s{k}", False) for k in range(len(scores)))
    labels = np.asarray(labels, dtype=float)
    settings = {"kind": LabelKind.CLASSES, "clusters": np.arange(len(labels))} | others
    return LabelledScores(columns, scores, labels=labels, **settings)


def kinds(found):
    return [each.kind for each in found]


def test_scores_of_fitted_sites_are_told_apart_from_predictions():
    labels = np.repeat([0, 1], 50)
    data = data_of([np.arange(100)] * 2, labels)
    assert "site_fits" not in kinds(findings(evaluate(data, replicates=100)))
    columns = (data.columns[0], replace(data.columns[1], holds_site_fits=True))
    found = findings(evaluate(replace(data, columns=columns), replicates=100))
    (told,) = [each for each in found if each.kind == "site_fits"]
    assert told.text.startswith("s1: at positions that the model was trained on")
    assert "--sequence-only" in told.text
    assert not told.is_warning


def in_two_strata(n=200):
    """A score that knows the stratum and nothing else; strata differ in their labels."""
    generator = np.random.default_rng(1)
    stratum = np.repeat([0, 1], n)
    labels = generator.random(2 * n) < np.where(stratum, 0.9, 0.1)
    scores = stratum * 10 + generator.normal(size=2 * n)
    names = Factor("consequence", ("synonymous", "nonsense"), stratum.astype(np.int32))
    return data_of(scores, labels, strata=(names,))


def test_pooling_that_inflates_is_said():
    found = findings(evaluate(in_two_strata(), replicates=200))
    (inflated,) = [each for each in found if each.kind == "inflated_pooling"]
    assert inflated.is_warning
    assert inflated.text.startswith("Pooling inflates AUROC")
    assert "strata by consequence" in inflated.text
    assert "all variants 0.8" in inflated.text or "all variants 0.9" in inflated.text
    # The stratum alone does as well, and that is said too.
    assert "no_better_than_naive" in kinds(found)


def test_a_score_that_is_the_same_within_strata_is_not_blamed():
    generator = np.random.default_rng(2)
    labels = generator.random(400) < 0.5
    strata = (Factor("gene", ("a", "b"), generator.integers(0, 2, 400).astype(np.int32)),)
    scores = generator.normal(size=400) + 2 * labels
    found = findings(evaluate(data_of(scores, labels, strata=strata), replicates=200))
    assert kinds(found) == []


def test_a_score_the_wrong_way_round_is_told_how_to_turn_it():
    labels = np.repeat([0, 1], 50)
    found = findings(evaluate(data_of(-np.arange(100), labels), replicates=100))
    (wrong,) = [each for each in found if each.kind == "wrong_way_round"]
    assert "--score s0:low" in wrong.text


@pytest.mark.parametrize(
    ("n", "said"), [(8, "too few for intervals"), (40, "rough, and rather too narrow")]
)
def test_few_clusters_are_said(n, said):
    labels = np.arange(n) % 2
    found = findings(evaluate(data_of(np.arange(n), labels), replicates=100))
    (few,) = [each for each in found if each.kind == "too_few_clusters"]
    assert said in few.text
    assert f"only {n // 2} independent units (sites) with" in few.text


def test_ties_missing_scores_and_frequencies_are_said():
    labels = np.repeat([0, 1], 100)
    scores = np.where(np.arange(200) < 150, 0, np.arange(200))
    frequency = np.where(np.arange(200) < 20, np.nan, 0.1)
    found = findings(
        evaluate(data_of(scores, labels, lacking={"s0": 300}, frequency=frequency), replicates=50)
    )
    texts = {each.kind: each for each in found}
    assert "one value for 150 of 200" in texts["ties"].text
    assert texts["lacking_scores"].is_warning
    assert "300 labelled variants" in texts["lacking_scores"].text
    assert "20 variants have no allele frequency" in texts["without_frequency"].text
    assert not texts["without_frequency"].is_warning


def test_the_verdict_names_figures_and_differences():
    labels = np.repeat([0, 1], 100)
    perfect, useless = np.arange(200), np.random.default_rng(0).normal(size=200)
    said = verdict(evaluate(data_of([perfect, useless], labels), replicates=100))
    assert said[0].startswith("s0 ranks a positive above a negative in 100.0% of pairs")
    assert "100 positive and 100 negative variants" in said[0]
    assert said[1].startswith("s1: AUROC 0.")
    assert "lower than s0 by 0." in said[1]


def test_numbers_are_not_called_classes():
    generator = np.random.default_rng(4)
    labels = generator.normal(size=300)
    data = data_of(labels + generator.normal(size=300), labels, kind=LabelKind.NUMBERS)
    said = verdict(evaluate(data, replicates=50))
    assert said[0].startswith("s0 orders variants as the labels do: Spearman 0.")
    assert "of 300 variants" in said[0]


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (Estimate(0.1, 0.05, 0.2), "higher than x by 0.100 [0.050, 0.200]"),
        (Estimate(-0.1, -0.2, -0.05), "lower than x by 0.100 [0.050, 0.200]"),
        (Estimate(0.1, -0.05, 0.2), "not shown to differ from x (+0.100 [-0.050, +0.200])"),
        (Estimate(0.1), "+0.100 against x, without an interval"),
        (Estimate(float("nan")), "not comparable with x"),
    ],
)
def test_differences_in_words(difference, words):
    assert difference_in_words(difference, "x") == words
