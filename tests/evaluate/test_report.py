from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.image import imread
from sklearn.metrics import average_precision_score, roc_auc_score

from phylotools.evaluate.comparison import evaluate
from phylotools.evaluate.plots import curve_points
from phylotools.evaluate.report import (
    metrics_json,
    metrics_tsv,
    plain_table,
    table_rows,
    write_report,
)
from phylotools.evaluate.selection import ScoreColumn
from phylotools.evaluate.tables import LabelledScores
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
        positive,
        np.arange(n),
        None if names is None else tuple(map(str, names)),
        tuple(np.array(["A>G", "A>C", "mnv"])[generator.integers(0, 3, n)].tolist()),
        {"a$b_LLR": 3, "_phyloP": 0},
        {"compared": n},
    )


@pytest.fixture(scope="module")
def evaluation():
    return evaluate(labelled(), replicates=100, seed=1)


def test_low_scores_are_turned(evaluation):
    assert evaluation.overall.metrics[0].auroc.value > 0.6
    assert evaluation.overall.metrics[1].auroc.value > 0.6


def test_classes_partition_the_variants(evaluation):
    parts = evaluation.by_class.values()
    assert sum(part.n_positive for part in parts) == evaluation.overall.n_positive
    assert sum(part.n_negative for part in parts) == evaluation.overall.n_negative
    assert list(evaluation.by_class)[-1] == "bare"


def test_intervals_of_a_class_do_not_depend_on_other_classes():
    data = labelled(n=200)
    whole = evaluate(data, replicates=50)
    rows = np.array([name == "one" for name in data.classes])
    alone = evaluate(
        LabelledScores(
            data.columns,
            data.scores[:, rows],
            data.positive[rows],
            data.sites[rows],
            ("one",) * int(rows.sum()),
            tuple(kind for kind, chosen in zip(data.types, rows, strict=True) if chosen),
            data.lacking,
            data.counts,
        ),
        replicates=50,
    )
    assert alone.by_class["one"] == whole.by_class["one"]


def test_types_partition_the_variants():
    found = evaluate(labelled(), types="two", replicates=0)
    assert set(found.by_type) == {"transition", "transversion", "mnv"}
    assert sum(part.n_positive for part in found.by_type.values()) == found.overall.n_positive
    for part in found.by_type.values():
        assert set(part.baselines) == {"class alone"}


def test_baselines_rank_by_the_share_of_positives():
    data = labelled()
    found = evaluate(data, replicates=50)
    for kinds, name in ((data.classes, "class alone"), (data.types, "mutation type alone")):
        share = {
            kind: np.mean([p for p, k in zip(data.positive, kinds, strict=True) if k == kind])
            for kind in set(kinds)
        }
        expected = roc_auc_score(data.positive, [share[kind] for kind in kinds])
        baseline = found.overall.baselines[name]
        assert baseline.auroc.value == pytest.approx(expected)
        assert baseline.auroc.low <= baseline.auroc.value <= baseline.auroc.high
        difference = baseline.auroc.value - found.overall.metrics[0].auroc.value
        assert baseline.auroc_difference.value == pytest.approx(difference)


def test_without_classes_there_is_no_ranking_by_class():
    found = evaluate(labelled(None), replicates=0)
    assert set(found.overall.baselines) == {"mutation type alone"}
    assert set(found.within) == {"types"}


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
    assert {line.count("\t") for line in metrics_tsv(found).splitlines()} == {20}
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
    assert len({path.stat().st_size for path in tmp_path.iterdir()}) == 4


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
