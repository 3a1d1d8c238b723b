"""The page of an evaluation stands alone, and text of files stays text in it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from phylotools.evaluate.comparison import evaluate
from phylotools.evaluate.folder import FILES, write_folder
from phylotools.evaluate.labelled import Factor, LabelKind, LabelledScores
from phylotools.evaluate.left_out import left_out_table
from phylotools.evaluate.outcome import Finding, Outcome
from phylotools.evaluate.selection import ScoreColumn
from phylotools.evaluate.verdict import findings, verdict
from phylotools.provenance import RunRecord

HOSTILE = (
    "<script>alert(1)</script>\"'><img src=http://x.example/y onerror=alert(2)>$\\frac\x1b[31m"
)


def outcome_of(kind=LabelKind.CLASSES, name=HOSTILE, n=120):
    generator = np.random.default_rng(0)
    labels = {
        LabelKind.CLASSES: generator.integers(0, 2, n),
        LabelKind.ORDERED: generator.integers(0, 3, n),
        LabelKind.NUMBERS: generator.normal(size=n),
    }[kind].astype(float)
    codes = generator.integers(0, 3, n).astype(np.int32)
    data = LabelledScores(
        (ScoreColumn(name, True), ScoreColumn("plain", False)),
        generator.normal(size=(2, n)) + labels,
        kind,
        labels,
        np.arange(n),
        order=("benign", name, "worst") if kind == LabelKind.ORDERED else (),
        strata=(Factor(name, (name, "b", "."), codes), Factor("gene", ("x", "y", "z"), codes)),
        frequency=np.where(np.arange(n) % 3, 0.01, np.nan),
        lacking={name: 3, "plain": 0},
        counts={"labelled_positive": n, "contradictory_labels": 2, "compared": n},
    )
    found = evaluate(data, replicates=50)
    return Outcome(
        found,
        label=name,
        question={"labels": name, name: "x"},
        verdict=verdict(found),
        findings=(*findings(found), Finding("odd", name)),
        tables=(left_out_table(data),),
        sources={name: name},
    )


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in ("src", "href")]


@pytest.mark.parametrize("kind", list(LabelKind))
def test_the_page_stands_alone_and_runs_nothing(tmp_path, kind):
    names = write_folder(tmp_path, outcome_of(kind), RunRecord(command=f"x {HOSTILE}"))
    assert set(names) <= set(FILES)
    text = (tmp_path / "report.html").read_text()
    seen = Seen()
    seen.feed(text)
    assert not {"script", "iframe", "object", "a", "form"} & set(seen.tags)
    assert seen.tags.count("img") == 2
    assert all(link.startswith("data:image/svg+xml;base64,") for link in seen.links)
    assert "\x1b" not in text
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "Content-Security-Policy" in text
    # Every line of a table has as many cells as its header.
    for name in names:
        if name.endswith(".tsv"):
            lines = (tmp_path / name).read_text().splitlines()
            assert len({line.count("\t") for line in lines}) == 1, name


def test_pictures_hold_no_live_text(tmp_path):
    write_folder(tmp_path, outcome_of(), RunRecord(command="x"))
    for picture in tmp_path.glob("*.svg"):
        assert "<script" not in picture.read_text()


def test_json_says_what_the_page_says(tmp_path):
    outcome = outcome_of(name="score")
    write_folder(tmp_path, outcome, RunRecord(command="x"))
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["verdict"] == list(outcome.verdict)
    assert [each["kind"] for each in found["findings"]] == [e.kind for e in outcome.findings]
    assert found["labels"] == {"kind": "classes", "order": [], "damaging_at": "high"}
    page = (tmp_path / "report.html").read_text()
    for sentence in outcome.verdict:
        assert re.sub(r"[^a-z]", "", sentence)[:40] in re.sub(r"[^a-z]", "", page)


def test_rows_left_out_are_counted(tmp_path):
    write_folder(tmp_path, outcome_of(name="score"), RunRecord(command="x"))
    rows = dict(
        line.split("\t") for line in (tmp_path / "left_out.tsv").read_text().splitlines()[1:]
    )
    assert rows["labelled: positive"] == "120"
    assert rows["left out: more than one label"] == "2"
    assert rows["left out: no value of score"] == "3"
    assert rows["compared: these are in all figures"] == "120"
    assert rows["compared, without an allele frequency"] == "40"
    assert int(rows["compared, with nothing in column score"]) > 0
