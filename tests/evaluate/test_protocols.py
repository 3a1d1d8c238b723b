"""Protocols: what ships, what a user's own may say, and what files they refuse."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from phylotools.errors import InputError, UsageError
from phylotools.evaluate.labelled import LabelKind, LabelledScores
from phylotools.evaluate.protocols.applying import ask
from phylotools.evaluate.protocols.protocol import Protocol, first_of
from phylotools.evaluate.protocols.reading import load_protocol, parse_protocol, protocol_names
from phylotools.evaluate.protocols.wording import described, figure_text
from phylotools.evaluate.selection import Question, ScoreColumn, matches

CLINVAR_VCF = (
    Path(__file__).parents[2] / "examples/human_mtdna/data/clinvar_20220525_chrM_snv.vcf.gz"
)
SMALL = """
title = "A title"
question = "A question?"
[data]
file = "a table with label"
url = "https://example.org"
licence = "CC0"
citation = "nobody"
[labels]
column = "label|LABEL"
positive = ["1"]
negative = ["0"]
[compare]
headline = "auroc"
strata = ["kind|class", "absent"]
resample = "gene|sites"
frequency = "AF"
"""


def question(**fields: object) -> Question:
    empty = {"scored": ("s.vcf",), "labels": None, "label_column": ""}
    sets = {"positive": frozenset(), "negative": frozenset(), "scores": ()}
    return Question(**(empty | sets | fields))  # type: ignore[arg-type]


def small(text: str = SMALL) -> Protocol:
    return parse_protocol(text, "small", None)


def test_the_protocols_of_the_issue_ship():
    assert set(protocol_names()) >= {
        "clinvar", "omim-gnomad", "dms", "mpra", "traitgym-mendelian", "traitgym-complex",
        "gnomad-constraint", "allele-frequency",
    }  # fmt: skip


@pytest.mark.parametrize("name", protocol_names())
def test_each_protocol_says_where_data_come_from_and_how_to_run(name):
    protocol = load_protocol(name)
    assert protocol.data.url.startswith("https://")
    assert protocol.data.licence
    assert protocol.data.citation
    assert protocol.caveats
    assert any(
        command.startswith("phylotools evaluate --protocol") for command in protocol.commands
    )
    text = described(protocol)
    assert protocol.title in text
    assert all(len(line) <= 200 for line in text.split("\n"))
    for figure in protocol.published:
        assert figure.source
        assert figure_text(figure) in " ".join(text.split())


def test_stars_choose_review_states():
    two = load_protocol("clinvar:stars=2")
    (kept,) = two.all_filters
    assert kept.column == "CLNREVSTAT"
    values = frozenset(kept.values)
    assert matches("criteria_provided,_multiple_submitters,_no_conflicts", values)
    assert matches("reviewed_by_expert_panel", values)
    assert not matches("criteria_provided,_single_submitter", values)
    assert not matches("criteria_provided|_conflicting_interpretations", values)
    assert not matches("no_assertion_criteria_provided", values)
    assert load_protocol("clinvar:stars=0").all_filters == ()
    # One star by default: a single submitter with criteria counts.
    assert matches(
        "criteria_provided|_single_submitter", load_protocol("clinvar").all_filters[0].values
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clinvr", "did you mean clinvar"),
        ("clinvar:stars=5", "whole number from 0 to 4"),
        ("clinvar:stars=-1", "whole number from 0 to 4"),
        ("clinvar:stars=" + "9" * 5000, "whole number from 0 to 4"),
        ("clinvar:moons=1", "no setting 'moons'; it has stars"),
        ("dms:stars=1", "no setting 'stars'; it has none"),
        ("", "unknown protocol"),
    ],
)
def test_a_protocol_that_is_not_there(text, message):
    with pytest.raises(UsageError, match=message):
        load_protocol(text)


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "own:odd.toml"
    path.write_text(SMALL)
    protocol = load_protocol(str(path))
    assert protocol.name == "own:odd"
    assert protocol.path == str(path)
    settings = (
        '[settings.depth]\ncolumn = "D"\nlevels = ["low", "mid,high"]\ndefault = 0\nmeaning = "m"\n'
    )
    path.write_text(SMALL + settings)
    (kept,) = load_protocol(f"{path}:depth=1").all_filters
    assert kept.values == ("mid", "high")
    assert load_protocol(str(path)).all_filters == ()


def test_the_example_of_the_page_is_a_protocol():
    page = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text()
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    protocol = parse_protocol(text, "my", None)
    assert protocol.labels.column == "broken|BROKEN"
    assert protocol.published[0].low == 0.88
    for name in protocol_names():
        assert f"`{name}`" in page


def test_all_problems_of_a_file_are_named_with_their_lines():
    text = SMALL.replace('title = "A title"', "title = 3").replace('["1"]', '["0"]')
    text = (
        text.replace('"auroc"', '"auroq"') + "bins = [1, 0]\n[[published]]\nvalue = 'x'\n[runn]\n"
    )
    with pytest.raises(InputError) as caught:
        small(text)
    message = str(caught.value)
    for part in (
        "line 2: title must be a text, not 3",
        "0 is both positive and negative",
        "line 14: compare.headline must be one of auroc",
        "unknown key line 18: compare.bins",
        "published[1] must say score",
        "line 20: published[1].value must be a number",
        "unknown table line 21: runn",
    ):
        assert part in message, message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file must say title"),
        ("title = ", "not valid TOML"),
        ("a = " + "[" * 5000, "not valid TOML"),
        ("a = " + "9" * 5000, "not valid TOML"),
        (SMALL + "\x00", "not valid TOML"),
        (SMALL.replace('"A title"', '"a\\u0000b"'), "NUL"),
        (SMALL.replace("[data]", "data = 1\n[datum]"), "data must be a table"),
        (SMALL + "[published]\nx = 1\n", "published must be tables"),
        (SMALL + "[[filters]]\n" * 2000, "1000 times at most"),
        (SMALL + "[settings]\nx = 1\n", "settings.x must be a table"),
        (SMALL + '[settings.x]\ncolumn="a"\nlevels=["a"]\ndefault=1\nmeaning="b"\n', "from 0 to 0"),
        (SMALL.replace('negative = ["0"]\n', ""), "both positive and negative"),
        (SMALL.replace('negative = ["0"]\n', 'order = ["a", "a"]\n'), "two different classes"),
        (SMALL + "[compare.inner]\nx = 1\n", "unknown key line 18: compare.inner"),
        (SMALL.replace('"label|LABEL"', '""'), "labels.column must not be empty"),
    ],
)
def test_a_file_that_is_no_protocol(text, message):
    with pytest.raises(
        InputError, match="(?s)" + message.replace("[", r"\[").replace("]", r"\]")
    ) as c:
        small(text)
    assert len(str(c.value)) < 5000


def test_files_that_are_no_text_or_too_large(tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        load_protocol(str(path))
    path.write_bytes(b"#" * (5 << 20))
    with pytest.raises(InputError, match="too large"):
        load_protocol(str(path))
    with pytest.raises(InputError, match="cannot read"):
        load_protocol(str(tmp_path / "none.toml"))


def test_alternatives_are_found_in_the_files():
    columns = {"a.vcf": ("LABEL", "gene"), "b.tsv": ("class", "LLR")}
    applied = small().applied_to(question(), (), columns)
    assert applied.label_column == "LABEL"
    assert applied.positive == {"1"}
    assert applied.negative == {"0"}
    assert applied.strata == ("class",)
    assert applied.resample == "gene"
    assert applied.frequency_column is None
    assert small().applied_to(question(), (), {"a": ("label",)}).resample == "sites"
    assert first_of("a|b", None) == "a"


def test_what_the_user_gives_counts():
    given = question(label_column="mine", positive=frozenset("x"), negative=frozenset("y"))
    columns = {"a": ("label", "mine", "kind", "gene", "AF")}
    names = ("label_column", "positive", "negative", "strata", "resample")
    applied = small().applied_to(given, names, columns)
    assert (applied.label_column, applied.positive, applied.strata) == ("mine", {"x"}, ())
    assert applied.resample is None
    assert applied.frequency_column == "AF"


def test_matched_groups_are_what_is_resampled():
    protocol = load_protocol("traitgym-mendelian")
    applied = protocol.applied_to(question(), (), {"a": ("label", "match_group", "consequence")})
    assert applied.match_column == "match_group"
    assert applied.resample is None
    assert applied.strata == ("consequence",)


def test_the_wrong_file_is_one_line_that_says_what_is_expected():
    columns = {"s.vcf": ("AC", "LLR")}
    with pytest.raises(InputError) as caught:
        load_protocol("clinvar").applied_to(question(), (), columns)
    message = str(caught.value)
    assert message.startswith(
        "s.vcf: there is no column CLNSIG, CLNREVSTAT, which protocol clinvar"
    )
    assert "it expects ClinVar's VCF" in message
    with pytest.raises(InputError, match="label or LABEL"):
        small().check({"s.vcf": ("x",), "t.vcf": ("y",)})


def test_a_protocol_about_regions_is_applied_likewise():
    applied = load_protocol("gnomad-genes").applied_to(
        question(), (), {"x.tsv": ("gene", "lof.oe_ci.upper", "mane_select")}
    )
    assert applied.label_column == "lof.oe_ci.upper"
    assert applied.label_low
    assert applied.where == (("mane_select", frozenset({"true", "True", "TRUE"})),)


def test_of_a_stream_only_what_is_needed_is_taken():
    applied = small().applied_to(question())
    assert (applied.label_column, applied.strata, applied.resample) == ("label", (), "sites")
    assert applied.frequency_column is None


def test_a_table_that_is_not_prepared_yet(tmp_path):
    path = tmp_path / "assay.csv"
    path.write_text("mutant,DMS_score\nA1V,1\n")
    with pytest.raises(InputError, match=r"give what .*evaluate prepare --protocol dms. makes of"):
        ask(load_protocol("dms"), question(scored=(str(path),)), ())


def test_an_optional_filter_is_left_out_where_no_file_has_it(caplog):
    protocol = load_protocol("allele-frequency")
    applied = protocol.applied_to(question(), (), {"a.tsv": ("AF",)})
    assert applied.where == ()
    assert "FILTER" in caplog.text
    applied = protocol.applied_to(question(), (), {"a.vcf": ("AF_hom", "FILTER")})
    assert applied.where == (("FILTER", frozenset({"PASS"})),)
    assert applied.label_column == "AF_hom"
    assert applied.label_low
    assert applied.kind == LabelKind.NUMBERS


def test_scores_of_complex_traits_count_by_their_size_unless_a_side_is_said():
    columns = (ScoreColumn("a", True), ScoreColumn("b", True))
    zeros = np.zeros(1, dtype=np.int64)
    data = LabelledScores(columns, np.array([[-2.0], [-3.0]]), LabelKind.CLASSES, np.ones(1), zeros)
    turned = load_protocol("traitgym-complex").turned(data, ["b:low"])
    assert turned.turned_scores.tolist() == [[2.0], [3.0]]
    assert turned.columns[0].absolute
    assert not turned.columns[1].absolute
    assert load_protocol("clinvar").turned(data).columns == columns
