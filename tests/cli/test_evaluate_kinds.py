"""`phylotools evaluate` for labels that are numbers or ordered classes, and what it refuses."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau, pearsonr, spearmanr
from waiting import PATIENCE

from phylotools.cli.main import run

DATA = Path(__file__).parents[2] / "examples" / "human_mtdna" / "data"
LABELS = str(DATA / "chrM_all_snvs_labels.tsv.gz")
ORDER = "Benign,Likely_benign,Uncertain_significance,Likely_pathogenic,Pathogenic"


def evaluate(*arguments):
    return run(["evaluate", *map(str, arguments)])


def table(path):
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def write_table(path, **columns):
    n = len(next(iter(columns.values())))
    fixed = {"chrom": ["chr1"] * n, "pos": range(1, n + 1), "ref": ["A"] * n, "alt": ["C"] * n}
    with open(path, "w", newline="") as handle:
        writer = csv.writer(handle, delimiter="\t")
        writer.writerow([*fixed, *columns])
        writer.writerows(zip(*fixed.values(), *columns.values(), strict=True))
    return path


@pytest.fixture
def numbers(tmp_path):
    generator = np.random.default_rng(0)
    effect = generator.normal(size=150)
    good = effect + generator.normal(size=150)
    return write_table(
        tmp_path / "numbers.tsv",
        effect=effect,
        good=good,
        turned_llr=-good,
        size=np.where(np.arange(150) % 2, good, -good),
        gene=[f"g{i % 4}" for i in range(150)],
    )


def test_numbers_agree_with_scipy(numbers, tmp_path):
    folder = tmp_path / "report"
    code = evaluate(
        *(numbers, "--label-column", "effect", "--score", "good", "--score", "turned_llr:low"),
        *("--stratum", "gene", "--bootstrap", 200, "-o", folder),
        *("--summary-json", tmp_path / "s.json"),
    )
    assert code == 0
    rows = table(folder / "metrics.tsv")
    values = table(numbers)
    effect, good = (np.array([float(row[name]) for row in values]) for name in ("effect", "good"))
    for row in rows[:2]:
        assert (row["level"], row["class"], row["n"]) == ("overall", "all", "150")
        assert float(row["spearman"]) == pytest.approx(spearmanr(effect, good)[0], abs=1e-5)
        assert float(row["pearson"]) == pytest.approx(pearsonr(effect, good)[0], abs=1e-5)
        assert float(row["kendall"]) == pytest.approx(kendalltau(effect, good)[0], abs=1e-5)
        assert float(row["spearman_low"]) < float(row["spearman"]) < float(row["spearman_high"])
    # The same score the other way round, turned back: no difference at all.
    assert float(rows[1]["spearman_difference"]) == pytest.approx(0, abs=1e-12)
    assert [row["score"] for row in rows[2:4]] == ["(class alone)", "(mutation type alone)"]
    genes = [row for row in rows if row["level"] == "class" and row["score"] == "good"]
    assert {row["factor"] for row in genes} == {"gene"}
    within = next(row for row in rows if row["class"] == "within classes")
    mean = sum(float(row["spearman"]) * int(row["n"]) for row in genes) / 150
    assert float(within["spearman"]) == pytest.approx(mean, abs=1e-5)
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["labels"] == "numbers"
    assert summary["spearman"]["good"] == pytest.approx(float(rows[0]["spearman"]), abs=1e-5)
    assert (folder / "scatter.svg").exists()
    assert not (folder / "curves.svg").exists()


def test_low_labels_turn_the_sign(numbers, capsys):
    shown = []
    for label in ("effect", "effect:low"):
        arguments = ("--label-column", label, "--score", "good", "--bootstrap", 0)
        assert evaluate(numbers, *arguments) == 0
        shown.append(float(capsys.readouterr().out.splitlines()[1].split()[4]))
    assert shown[0] > 0.5
    assert shown[1] == -shown[0]


def test_absolute_scores(tmp_path, capsys):
    generator = np.random.default_rng(1)
    size = generator.exponential(size=80)
    path = write_table(tmp_path / "x.tsv", size=size, s=size * generator.choice([-1, 1], 80))
    arguments = ("--label-column", "size", "--score", "s:absolute", "--bootstrap", 0)
    assert evaluate(path, *arguments) == 0
    line = capsys.readouterr().out.splitlines()[1].split()
    assert line[:5] == ["all", "s", "absolute", "80", "1.000"]


def test_ordered_classes_of_clinvar(tmp_path):
    folder = tmp_path / "report"
    code = evaluate(
        *(LABELS, "--label-column", "clinvar", "--order", ORDER, "--score", "phyloP100way"),
        *("--bootstrap", 100, "-o", folder),
    )
    assert code == 0
    overall = table(folder / "metrics.tsv")[0]
    found = json.loads((folder / "metrics.json").read_text())
    assert found["labels"]["order"] == ORDER.split(",")
    assert found["counts"]["labelled_Pathogenic"] == 154
    assert 0.2 < float(overall["spearman"]) < 0.6
    assert (folder / "ordered.svg").exists()


def test_several_strata_are_told_apart(tmp_path, capsys):
    names = [f"g{i % 3}" for i in range(90)]
    path = write_table(
        tmp_path / "x.tsv", y=[i % 2 for i in range(90)], s=range(90), gene=names, kind=names[::-1]
    )
    arguments = ("--label-column", "y", "--positive", 1, "--negative", 0, "--score", "s")
    folder = tmp_path / "report"
    strata = ("--class-column", "gene", "--stratum", "kind")
    assert evaluate(path, *arguments, *strata, "--bootstrap", 0, "-o", folder) == 0
    rows = table(folder / "metrics.tsv")
    assert [row["score"] for row in rows[:4]] == [
        "s",
        "(gene alone)",
        "(kind alone)",
        "(mutation type alone)",
    ]
    assert [row["class"] for row in rows if row["level"] == "within"] == [
        "within gene",
        "within kind",
        "within types",
    ]
    assert {row["factor"] for row in rows if row["class"] == "g1"} == {"gene", "kind"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "name the column of labels: --label-column"),
        (("--label-column", "effect", "--positive", "1"), 2, "--negative is not"),
        (("--label-column", "effect", "--negative", "1"), 2, "--positive is not"),
        (
            ("--label-column", "effect", "--positive", "a,b", "--negative", "c,b"),
            2,
            "a label is positive or negative, not both: b",
        ),
        (
            ("--label-column", "effect", "--order", "a,b", "--positive", "a", "--negative", "b"),
            2,
            "exclude each other",
        ),
        (("--label-column", "effect", "--order", "a"), 2, "two classes or more"),
        (("--label-column", "effect", "--order", "a,b,a"), 2, "each once"),
        (("--label-column", "gene", "--score", "good"), 1, "'g0' in column 'gene' is not a number"),
        (("--label-column", "effect", "--gff", "x.gff"), 2, "both: --gff GFF3 and -f FASTA"),
        (("--label-column", "effect", "--consequence"), 1, "neither CSQ, ANN, BCSQ nor MC"),
        (("--label-column", "effect", "--store", "no.store"), 1, "no.store"),
        (("--label-column", "effect", "--resample", "nowhere"), 1, "no column 'nowhere'"),
    ],
)
def test_what_cannot_be_meant_is_refused(numbers, tmp_path, capsys, arguments, code, message):
    score = () if "--score" in arguments else ("--score", "good")
    folder = tmp_path / "report"
    assert evaluate(numbers, *arguments, *score, "-o", folder) == code
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert os.listdir(tmp_path) == ["numbers.tsv"]


def test_one_value_everywhere_has_no_figure(tmp_path, capsys):
    path = write_table(tmp_path / "x.tsv", y=range(40), s=[1.0] * 40)
    folder = tmp_path / "report"
    assert evaluate(path, "--label-column", "y", "--score", "s", "-o", folder) == 0
    out, err = capsys.readouterr()
    assert "one value for 40 of 40 variants" in err
    assert out.splitlines()[1].split()[4] == "n/a"
    assert math.isnan(float(table(folder / "metrics.tsv")[0]["spearman"].replace("NA", "nan")))


#: Resamples for ever, and says when it begins.
RESAMPLES = """
from phylotools.cli.main import main
from phylotools.evaluate import correlation

resample = correlation.resample

def again_and_again(*arguments, **options):
    print("begun", flush=True)
    while True:
        resample(*arguments, **options)

correlation.resample = again_and_again
main()
"""


def test_an_interrupted_evaluation_leaves_nothing(numbers, tmp_path):
    arguments = [str(numbers), "--label-column", "effect", "--score", "good"]
    command = [sys.executable, "-c", RESAMPLES, "evaluate", *arguments]
    child = subprocess.Popen(
        [*command, "-o", str(tmp_path / "report")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout.readline() == "begun\n"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 130
    assert err.splitlines()[-1] == "error: interrupted"
    assert os.listdir(tmp_path) == ["numbers.tsv"]
