"""The commands of docs/evaluate.md run, and find what the page says."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path

import pytest
from documented_commands import shell_blocks

from phylotools.cli.main import run

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "evaluate.md"
DATA = "examples/human_mtdna/data"


def commands():
    """Those on the data of the example, as lists of words."""
    page = PAGE.read_text().split("## Files")[0]
    blocks = [block for block in shell_blocks(PAGE) if block in page]
    text = "".join(blocks).replace("\\\n", " ").replace("$data", str(ROOT / DATA))
    return [shlex.split(line) for line in text.splitlines() if not line.startswith("data=")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where all of them have run, with few replicates: figures do not depend on them."""
    home = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for program, *words in commands():
            assert program == "phylotools"
            more = ["--bootstrap", "40"] if words[0] == "evaluate" else []
            assert run([*words, *more, "-q"]) == 0, words
    return home


def figures(folder, column):
    """Of each level, class and score."""
    with open(folder / "metrics.tsv", newline="") as handle:
        rows = csv.DictReader(handle, delimiter="\t")
        return {(row["class"], row["score"]): round(float(row[column]), 3) for row in rows
                if row[column] != "NA"}  # fmt: skip


def test_what_is_run_is_what_is_shown(folder):
    assert len(commands()) == 6
    for name in ("classes", "ordered", "numbers"):
        assert (folder / name / "report.html").is_file()


def test_two_classes(folder):
    found = figures(folder / "classes", "auroc")
    assert found["all", "PHYLOGPN_FIXATION"] == 0.780
    assert found["all", "PHYLOP"] == 0.854
    assert found["all", "(class alone)"] == 0.803
    complexes = [found[f"complex_{k}", "PHYLOGPN_FIXATION"] for k in ("I", "IV", "V")]
    assert (round(min(complexes), 2), round(max(complexes), 2)) == (0.93, 0.97)
    assert found["tRNA", "PHYLOGPN_FIXATION"] < 0.5
    page = (folder / "classes" / "report.html").read_text()
    assert "A ranking by class alone is not shown to be worse than PHYLOGPN_FIXATION" in page


def test_ordered_classes(folder):
    found = figures(folder / "ordered", "c_index")
    assert found["all", "PHYLOGPN_FIXATION"] == 0.622
    assert found["all", "phyloP100way"] == 0.643
    assert found["all", "(mutation type alone)"] == 0.585


def test_numbers(folder):
    found = figures(folder / "numbers", "spearman")
    assert found["all", "PHYLOGPN_FIXATION"] == 0.287
    assert found["all", "(mutation type alone)"] == 0.241
    assert found["within types", "PHYLOGPN_FIXATION"] == 0.268
    assert figures(folder / "numbers", "pearson")["all", "PHYLOGPN_FIXATION"] == 0.015
    assert (folder / "numbers" / "frequency_bins.tsv").is_file()
