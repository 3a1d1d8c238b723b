"""The data model of evaluate."""

from __future__ import annotations

import numpy as np
import pytest

from phylotools.evaluate.labelled import Factor, LabelKind, LabelledScores, Variants, dense
from phylotools.evaluate.selection import Question, ScoreColumn, parse_label_column, parse_score


def data() -> LabelledScores:
    return LabelledScores(
        columns=(ScoreColumn("a", True), ScoreColumn("b", False), ScoreColumn("c", False, True)),
        scores=np.array([[1.0, 2, 3], [4, 5, 6], [-7, 8, -9]]),
        kind=LabelKind.NUMBERS,
        labels=np.array([0.5, 0.1, 0.3]),
        clusters=np.array([0, 1, 2]),
        label_low=True,
        matches=Factor.of("match", ["x", "y", "x"]),
        strata=(Factor.of("gene", ["g", ".", "h"]),),
        types=Factor.of("mutation type", ["A>C", "A>C", "deletion"]),
        frequency=np.array([0.1, np.nan, 0.2]),
        variants=Variants(
            ("1", "2"), np.array([0, 0, 1], dtype=np.int32), np.array([5, 6, 7]),
            ("A", "A", "AC"), ("C", "C", "A"),
        ),
    )  # fmt: skip


def test_high_is_the_damaging_end_when_turned():
    assert data().turned_scores.tolist() == [[-1, -2, -3], [4, 5, 6], [7, 8, 9]]
    assert data().turned_labels.tolist() == [-0.5, -0.1, -0.3]


@pytest.mark.parametrize("rows", [np.array([False, True, True]), np.array([1, 2])])
def test_rows_are_taken_from_every_column(rows):
    part = data().take(rows)
    assert part.scores[0].tolist() == [2, 3]
    assert part.labels.tolist() == [0.1, 0.3]
    assert part.clusters.tolist() == [0, 1]
    assert part.matches.texts == ("y", "x")
    assert part.strata[0].texts == (".", "h")
    assert part.types.texts == ("A>C", "deletion")
    assert part.variants.refs == ("A", "AC")
    assert part.variants.positions.tolist() == [6, 7]
    assert len(part) == 2


def test_strata_are_added_behind_the_others():
    added = data().with_strata(Factor.of("consequence", ["m", "m", "s"]))
    assert [each.name for each in added.strata] == ["gene", "consequence"]


def test_only_two_classes_have_positives():
    with pytest.raises(ValueError, match="numbers"):
        _ = data().positive


def test_dense_codes_keep_their_order():
    assert dense([7, 3, 7, 9]).tolist() == [1, 0, 1, 2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gpn=s.tsv:score:low", ScoreColumn("gpn", True, source="s.tsv", column="score")),
        ("gpn=s.tsv", ScoreColumn("gpn", False, source="s.tsv")),
        ("gpn=s.tsv:low", ScoreColumn("gpn", True, source="s.tsv")),
        ("p=missing.bw:absolute", ScoreColumn("p", False, True, "missing.bw")),
        ("x=s.tsv:llr", ScoreColumn("x", True, source="s.tsv", column="llr")),
        ("x=s.tsv:a:b", ScoreColumn("x", False, source="s.tsv", column="a:b")),
        ("x=odd:low", ScoreColumn("x", False, source="odd:low")),
        ("x=odd:low:low", ScoreColumn("x", True, source="odd:low")),
        ("x=none:s", ScoreColumn("x", False, source="none", column="s")),
        ("x=C:\\data\\s.tsv", ScoreColumn("x", False, source="C:\\data\\s.tsv")),
        ("x=C:\\data\\s.tsv:y:high", ScoreColumn("x", False, source="C:\\data\\s.tsv", column="y")),
        ("x=https://host/s.tsv", ScoreColumn("x", False, source="https://host/s.tsv")),
        ("y:absolute", ScoreColumn("y", False, True)),
        ("=s.tsv", ScoreColumn("=s.tsv", False)),
    ],
)
def test_sources_of_scores(tmp_path, monkeypatch, text, expected):
    monkeypatch.chdir(tmp_path)
    for name in ("s.tsv", "odd:low"):
        (tmp_path / name).touch()
    assert parse_score(text) == expected


def test_label_columns_and_kinds():
    assert parse_label_column("fitness:low") == ("fitness", True)
    assert parse_label_column("a:b") == ("a:b", False)
    question = Question(("f",), None, "L", frozenset(), frozenset(), ())
    assert question.kind == LabelKind.NUMBERS
    assert Question(("f",), None, "L", frozenset("p"), frozenset("n"), ()).kind == "classes"
    ordered = Question(("f",), None, "L", frozenset(), frozenset(), (), order=("a", "b"))
    assert ordered.kind == LabelKind.ORDERED


def test_columns_that_are_needed_are_named_once():
    question = Question(
        ("f",), None, "L", frozenset("p"), frozenset("n"), (), strata=("gene", "match"),
        match_column="match", resample="gene", frequency_column="AF",
    )  # fmt: skip
    assert question.attribute_names == ["gene", "match"]
    assert question.cluster_column == "gene"
