from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.image import imread
from sklearn.metrics import average_precision_score, roc_auc_score

from phylotools.evaluate.comparison import evaluate
from phylotools.evaluate.labelled import Factor, LabelKind, LabelledScores
from phylotools.evaluate.plots import curve_points
from phylotools.evaluate.report import (
    metrics_json,
    metrics_tsv,
    plain_table,
    table_rows,
    write_report,
)
from phylotools.evaluate.selection import ScoreColumn
from phylotools.provenance import RunRecord

SCORES = (ScoreColumn("a$b_LLR", True), ScoreColumn("_phyloP", False))


def labelled(classes=("one", "two", "bare"), n=300):
    generator = np.random.default_rng(0)
    positive = generator.random(n) < 0.3
    names = np.array(classes)[generator.integers(0, len(classes), n)] if classes else None
    if names is not None:
        positive &= names != "bare"
    scores = np.stack([generator.normal(size=n) - positive, generator.normal(size=n) + positive])
    return LabelledScores(
        SCORES,
        scores,
        LabelKind.CLASSES,
        positive.astype(float),
        np.arange(n),
        strata=() if names is None else (Factor.of("class", map(str, names)),),
        types=Factor("mutation type", ("A>G", "A>C", "mnv"), generator.integers(0, 3, n)),
        lacking={"a$b_LLR": 3, "_phyloP": 0},
        counts={"compared": n},
    )


@pytest.fixture(scope="module")
def evaluation():
    return evaluate(labelled(), replicates=100, seed=1)


def test_low_scores_are_turned(evaluation):
    for figures in evaluation.overall.figures:
        assert figures.estimates["auroc"].value > 0.6


def test_classes_partition_the_variants(evaluation):
    parts = evaluation.at("class")
    assert sum(part.n_positive for part in parts) == evaluation.overall.n_positive
    assert sum(part.n_negative for part in parts) == evaluation.overall.n_negative
    assert parts[-1].name == "bare"


def test_intervals_of_a_class_do_not_depend_on_other_classes():
    data = labelled(n=200)
    whole = evaluate(data, replicates=50)
    rows = data.strata[0].codes == data.strata[0].levels.index("one")
    alone = evaluate(data.take(rows), replicates=50)
    assert alone.at("class")[0] == next(row for row in whole.at("class") if row.name == "one")


def test_types_partition_the_variants():
    found = evaluate(labelled(), types="two", replicates=0)
    assert {part.name for part in found.at("type")} == {"transition", "transversion", "mnv"}
    assert sum(part.n_positive for part in found.at("type")) == found.overall.n_positive
    for part in found.at("type"):
        assert set(part.baselines) == {"class alone"}


def test_baselines_rank_by_the_share_of_positives():
    data = labelled()
    found = evaluate(data, replicates=50)
    for kinds, name in (
        (data.strata[0].texts, "class alone"),
        (data.types.texts, "mutation type alone"),
    ):
        share = {
            kind: np.mean([p for p, k in zip(data.positive, kinds, strict=True) if k == kind])
            for kind in set(kinds)
        }
        expected = roc_auc_score(data.positive, [share[kind] for kind in kinds])
        baseline = found.overall.baselines[name]
        assert baseline.estimates["auroc"].value == pytest.approx(expected)
        assert (
            baseline.estimates["auroc"].low
            <= baseline.estimates["auroc"].value
            <= baseline.estimates["auroc"].high
        )
        difference = (
            baseline.estimates["auroc"].value - found.overall.figures[0].estimates["auroc"].value
        )
        assert baseline.differences["auroc"].value == pytest.approx(difference)


def test_without_classes_there_is_no_ranking_by_class():
    found = evaluate(labelled(None), replicates=0)
    assert set(found.overall.baselines) == {"mutation type alone"}
    assert [row.name for row in found.at("within")] == ["within types"]


def test_table_has_a_row_per_class_and_score(evaluation):
    header, rows = table_rows(evaluation)
    # Overall with two baselines, among variants of one class or type, three classes with one.
    assert len(rows) == 2 + 2 + 2 * 2 + 3 * (2 + 1)
    assert {len(row) for row in rows} == {len(header)}
    assert rows[0][:3] == ("all", "a$b_LLR", "low")
    assert [row[1:3] for row in rows[2:4]] == [("(class alone)", ""), ("(mutation type alone)", "")]
    assert [row[0] for row in rows[4:8]] == ["within classes", "", "within types", ""]
    assert {row[6] for row in rows[4:8]} == {""}
    assert rows[-1][5] == "n/a"
    lines = plain_table(evaluation).splitlines()
    assert len(lines) == 1 + len(rows)
    assert len({line.index("_phyloP") for line in lines if "_phyloP" in line}) == 1


def test_tsv_and_json_hold_the_same_numbers(evaluation):
    lines = [line.split("\t") for line in metrics_tsv(evaluation).splitlines()]
    table = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
    text = json.dumps(metrics_json(evaluation, RunRecord(command="x")), allow_nan=False)
    found = json.loads(text)
    assert found["scores"][0]["labelled_variants_without_it"] == 3
    assert found["scores"][0]["positive_at"] == "low"
    assert found["bootstrap"]["replicates"] == 100
    assert found["run"]["command"] == "x"
    for row, record in zip(table, found["metrics"], strict=True):
        assert row["class"] == record["class"]
        for key in ("auroc", "auroc_low", "auprc_high", "auroc_difference", "prevalence"):
            if record[key] is None:
                assert row[key] == "NA"
            else:
                assert float(row[key]) == pytest.approx(record[key], rel=1e-4)
    assert found["metrics"][-1]["auroc"] is None


def test_class_names_cannot_break_the_table():
    data = labelled(("a\tb\nc", "d\x1b[31m"))
    found = evaluate(data, replicates=0)
    assert {line.count("\t") for line in metrics_tsv(found).splitlines()} == {21}
    assert len(plain_table(found).splitlines()) == 1 + 2 + 2 + 2 * 2 + 2 * (2 + 1)
    assert "\x1b" not in plain_table(found)


@pytest.mark.parametrize("classes", [None, ("one", "two"), tuple(f"gene {i}" for i in range(30))])
def test_pictures_are_written(tmp_path, classes):
    found = evaluate(labelled(classes), replicates=50)
    names = write_report(tmp_path, found, RunRecord())
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    picture = imread(tmp_path / "curves.png")
    assert picture.shape[1] >= 1400
    assert picture[..., :3].std() > 0.05
    svg = ElementTree.parse(tmp_path / "curves.svg").getroot()
    assert svg.tag.endswith("svg")
    assert len({path.stat().st_size for path in tmp_path.iterdir()}) == 6


def test_equal_numbers_give_equal_pictures(tmp_path, evaluation):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_report(tmp_path / name, evaluation, RunRecord())
    for picture in ("curves.png", "curves.svg"):
        assert (tmp_path / "one" / picture).read_bytes() == (
            tmp_path / "two" / picture
        ).read_bytes()


def test_thinned_curves_keep_their_areas():
    generator = np.random.default_rng(1)
    positive = generator.random(50_000) < 0.02
    scores = generator.normal(size=50_000) + 1.5 * positive
    rate, recall, precision = curve_points(scores, positive)
    assert len(rate) < 2100
    assert (rate[0], recall[0], rate[-1], recall[-1]) == (0, 0, 1, 1)
    auroc, auprc = roc_auc_score(positive, scores), average_precision_score(positive, scores)
    assert np.trapezoid(recall, rate) == pytest.approx(auroc, abs=2e-3)
    area = np.sum(np.diff(recall) * precision[1:])
    assert area == pytest.approx(auprc, abs=1e-2)
    assert not math.isnan(area)
