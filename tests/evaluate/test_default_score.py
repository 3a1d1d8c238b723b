"""Which score of a file is taken where none is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from phylotools.errors import UsageError
from phylotools.evaluate.default_score import default_column, default_columns, is_low_where_bad
from phylotools.evaluate.selection import Question, ScoreColumn, parse_score
from phylotools.evaluate.tables import join_tables
from phylotools.io.scored import open_scored


def write_vcf(path: Path, runs: dict[str, str], keys: list[str]) -> str:
    """A VCF as runs of annotate leave it, by tag and default score, with INFO fields."""
    lines = ["##fileformat=VCFv4.2", "##contig=<ID=c>"]
    lines += [
        f'##phylotools_annotate=<ID={tag},Model="m",DefaultScore="{score}",Command="a, b">'
        for tag, score in runs.items()
    ]
    lines += [f'##INFO=<ID={key},Number=A,Type=Float,Description="x">' for key in keys]
    lines += ['##INFO=<ID=L,Number=1,Type=String,Description="x">']
    lines += ["#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    for place, label in enumerate("pnpn", start=1):
        info = ";".join([*(f"{key}={-place}" for key in keys), f"L={label}"])
        lines.append(f"c\t{place}\t.\tA\tC\t.\t.\t{info}")
    path.write_text("\n".join(lines) + "\n")
    return str(path)


KEYS = ["PHYLOGPN_LLR", "PHYLOGPN_RATE_TO_ALT", "MINE_LLR", "MINE_FIXATION"]


def joined(path: str, *scores: ScoreColumn):
    return join_tables(Question((path,), None, "L", frozenset("p"), frozenset("n"), scores=scores))


def test_each_run_of_annotate_names_its_own(tmp_path):
    path = write_vcf(tmp_path / "a.vcf", {"PHYLOGPN": "rate-to-alt", "MINE": "fixation"}, KEYS)
    with open_scored(path) as file:
        assert default_columns(file) == ["PHYLOGPN_RATE_TO_ALT", "MINE_FIXATION"]
        assert default_column(file, "MINE") == "MINE_FIXATION"
        assert default_column(file, "OTHER") == "OTHER_LLR"
    assert joined(path).columns == (
        ScoreColumn("PHYLOGPN_RATE_TO_ALT", True), ScoreColumn("MINE_FIXATION", True),
    )  # fmt: skip
    named = ScoreColumn("MINE_LLR", False)
    assert joined(path, named).columns == (named,)


@pytest.mark.parametrize("score", ["telepathy", "fitness"])
def test_a_header_that_names_what_is_not_there(tmp_path, score):
    path = write_vcf(tmp_path / "a.vcf", {"PHYLOGPN": score}, KEYS)
    with open_scored(path) as file:
        assert default_columns(file) == ["PHYLOGPN_LLR"]


def test_a_header_that_tells_of_site_fits(tmp_path):
    """Of the run that had them alone, whichever of its columns is named and under whatever name."""
    path = tmp_path / "a.vcf"
    write_vcf(path, {"PHYLOGPN": "rate-to-alt", "MINE": "fixation"}, KEYS)
    path.write_text(path.read_text().replace("=<ID=MINE,", '=<ID=MINE,SiteFits="yes",'))
    renamed = ScoreColumn("fits", True, source=str(path), column="MINE_LLR")
    data = joined(str(path), *map(parse_score, KEYS), renamed)
    assert [each.holds_site_fits for each in data.columns] == [False, False, True, True, True]


def test_a_tag_that_begins_as_another_has_its_own_header(tmp_path):
    keys = ["MINE_LLR", "MINE_SEQ_LLR"]
    path = tmp_path / "a.vcf"
    write_vcf(path, {"MINE": "llr", "MINE_SEQ": "llr"}, keys)
    path.write_text(path.read_text().replace("=<ID=MINE,", '=<ID=MINE,SiteFits="yes",'))
    data = joined(str(path), *map(parse_score, keys))
    assert [each.holds_site_fits for each in data.columns] == [True, False]


def test_tables(tmp_path):
    header = '##phylotools_scores=<Model="m",DefaultScore="fixation">\n'
    columns = "#contig\tpos\tref\talt\tllr\trate\tentropy\tfixation\tL\n"
    rows = "c\t1\tA\tC\t-1\t1\t1\t-2\tp\nc\t2\tA\tC\t-2\t1\t1\t-3\tn\n"
    table = tmp_path / "t.tsv"
    for text, expected in ((header, "fixation"), ("", "llr")):
        table.write_text(text + columns + rows)
        assert joined(str(table)).columns == (ScoreColumn(expected, True),)
    table.write_text(columns.replace("llr", "x").replace("fixation", "y") + rows)
    with pytest.raises(UsageError, match=r"name a column of scores with --score: .*t\.tsv has x,"):
        joined(str(table))


@pytest.mark.parametrize(
    ("name", "is_low"),
    [
        ("PHYLOGPN_LLR", True), ("llr_A", True), ("MINE_RATE_TO_ALT", True), ("fixation", True),
        ("X_SITE_RATE", True), ("fitness", True), ("PHYLOGPN_RATE", False), ("phyloP", False),
        ("prefixation", False), ("PHYLOGPN_ENTROPY", False),
    ],
)  # fmt: skip
def test_low_values_of_our_scores_are_bad(name, is_low):
    assert is_low_where_bad(name) == is_low
