from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pysam.bcftools
import pytest

from phylotools.cli.main import run

DATA = Path(__file__).parents[2] / "examples" / "human_mtdna" / "data"
LABELS = str(DATA / "chrM_all_snvs_labels.tsv.gz")
QUESTION = ["--label-column", "label", "--positive", "pathogenic", "--negative", "common"]


def evaluate(*arguments):
    return run(["evaluate", *map(str, arguments)])


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate") / "report"
    code = evaluate(
        *(LABELS, *QUESTION, "--score", "phyloP100way", "--score", "gnomad_AC_hom:low"),
        *("--class-column", "gene", "-R", DATA / "genes.bed", "--bootstrap", 500),
        *("-o", folder, "--summary-json", folder.parent / "summary.json"),
    )
    assert code == 0
    return folder


def test_known_values_on_human_mtdna(report):
    with open(report / "metrics.tsv", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    overall = rows[0]
    assert (overall["level"], overall["class"], overall["score"]) == (
        "overall",
        "all",
        "phyloP100way",
    )
    assert (overall["n_positive"], overall["n_negative"]) == ("136", "1869")
    # Computed independently with scikit-learn.
    assert float(overall["auroc"]) == pytest.approx(0.823289, abs=1e-6)
    assert float(overall["auprc"]) == pytest.approx(0.446780, abs=1e-6)
    assert 0.76 < float(overall["auroc_low"]) < 0.79
    assert 0.85 < float(overall["auroc_high"]) < 0.88
    genes = [row for row in rows if row["level"] == "class" and row["score"] == "phyloP100way"]
    assert sum(int(row["n_positive"]) for row in genes) == 136
    assert genes[0]["class"] == "MT-CYB"


def test_report_says_how_it_was_made(report):
    found = json.loads((report / "metrics.json").read_text())
    digest = hashlib.sha256(Path(LABELS).read_bytes()).hexdigest()
    assert found["run"]["inputs"] == {LABELS: digest}
    assert found["run"]["parameters"]["positive"] == ["pathogenic"]
    assert [score["positive_at"] for score in found["scores"]] == ["high", "low"]
    assert found["counts"]["compared"] == 2005
    summary = json.loads((report.parent / "summary.json").read_text())
    assert summary["auroc"]["phyloP100way"] == found["metrics"][0]["auroc"]
    assert sorted(path.name for path in report.iterdir()) == [
        "calibration.png",
        "calibration.svg",
        "calibration.tsv",
        "curves.png",
        "curves.svg",
        "evidence.tsv",
        "forest.png",
        "forest.svg",
        "left_out.tsv",
        "metrics.json",
        "metrics.tsv",
        "report.html",
        "thresholds.tsv",
    ]


def test_without_an_output_the_table_goes_to_stdout(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert evaluate(LABELS, *QUESTION, "--score", "phyloP100way", "--bootstrap", 0) == 0
    out, err = capsys.readouterr()
    line = " ".join(out.splitlines()[1].split())
    assert line == "all phyloP100way high 270 2,636 0.854 0.489 0.093"
    assert "compared 1 score on 2,906 variants" in err
    assert not list(tmp_path.iterdir())


def test_several_scored_files_side_by_side(tmp_path, capsys):
    vcf = tmp_path / "scored.vcf"
    vcf.write_text(
        "##fileformat=VCFv4.2\n"
        '##INFO=<ID=A_LLR,Number=A,Type=Float,Description="x">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        "chrM\t1\t.\tA\tC,G\t.\t.\tA_LLR=-1,-2\nchrM\t2\t.\tA\tC\t.\t.\tA_LLR=-3\n"
    )
    other = tmp_path / "other.csv"
    other.write_text("chrom,pos,ref,alt,phyloP\nMT,1,A,C,1\nMT,1,A,G,0\nMT,2,A,C,5\n")
    labels = tmp_path / "labels.tsv"
    labels.write_text("contig\tpos\tref\talt\ty\nM\t1\tA\tC\t0\nM\t1\tA\tG\t0\nM\t2\tA\tC\t1\n")
    code = evaluate(
        *(vcf, other, "--labels", labels, "--label-column", "y", "--positive", 1),
        *("--negative", 0, "--score", "A_LLR", "--score", "phyloP"),
    )
    assert code == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert lines == [
        ["all", "A_LLR", "low", "1", "2", "1.000", "1.000", "0.333"],
        ["phyloP", "high", "1", "2", "1.000", "1.000", "0.333", "+0.000"],
        # A>C at half positives, A>G at none: the positive ties with one negative.
        ["(mutation", "type", "alone)", "1", "2", "0.750", "0.500", "0.333", "-0.250"],
        ["within", "types", "A_LLR", "low", "1", "2", "1.000", "0.333"],
        ["phyloP", "high", "1", "2", "1.000", "0.333", "+0.000"],
    ]


@pytest.mark.parametrize("kind", ["vcf", "bcf", "csv", "parquet"])
def test_the_same_variants_in_every_form_give_the_same_table(tmp_path, capsys, kind):
    header = (
        "##fileformat=VCFv4.2\n##contig=<ID=chrM>\n"
        '##INFO=<ID=A_LLR,Number=A,Type=Float,Description="x">\n'
        '##INFO=<ID=LABEL,Number=1,Type=String,Description="x">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    )
    rows = [(i, "P" if i % 3 else "B", (i * 7 % 20) / 8 - i % 3) for i in range(1, 40)]
    path = tmp_path / f"scored.{kind}"
    if kind in ("vcf", "bcf"):
        lines = [f"chrM\t{i}\t.\tA\tC\t.\t.\tA_LLR={x};LABEL={y}\n" for i, y, x in rows]
        (tmp_path / "scored.vcf").write_text(header + "".join(lines))
    if kind == "bcf":
        pysam.bcftools.view(
            "-O", "b", "-o", str(path), str(tmp_path / "scored.vcf"), catch_stdout=False
        )
    elif kind == "csv":
        lines = [f'"{i}";"chrM";{i}.0;A;C;{x};{y}\n' for i, y, x in rows]
        path.write_text('\ufeff"";CHROM;POS;REF;ALT;A_LLR;LABEL\n' + "".join(lines))
    elif kind == "parquet":
        columns = {"CHROM": ["chrM"] * 39, "POS": [i for i, _, _ in rows]}
        columns |= {"REF": ["A"] * 39, "ALT": ["C"] * 39}
        columns |= {"A_LLR": [x for _, _, x in rows], "LABEL": [y for _, y, _ in rows]}
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    arguments = ("--label-column", "LABEL", "--positive", "P", "--negative", "B")
    assert evaluate(path, *arguments, "--score", "A_LLR", "--bootstrap", 100) == 0
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row[:5] == ["all", "A_LLR", "low", "26", "13"]
    # By scikit-learn: 0.8077 and 0.9003.
    assert (row[5], row[8]) == ("0.808", "0.900")
    plot = ["plot", "llr", str(path), "--score", "A_LLR", "--classes", "LABEL", "-o"]
    assert run([*plot, str(tmp_path / "p")]) == 0
    numbers = (tmp_path / "p.tsv").read_text().splitlines()
    assert [line.split("\t")[:2] for line in numbers[2:]] == [["P", "26"], ["B", "13"]]


def test_existing_output_is_refused_before_any_work(tmp_path, capsys):
    output = tmp_path / "report"
    output.mkdir()
    arguments = (LABELS, *QUESTION, "--score", "phyloP100way", "--bootstrap", 0, "-o", output)
    assert evaluate(*arguments) == 1
    assert "already exists; give --force" in capsys.readouterr().err
    assert evaluate(*arguments, "--force") == 0
    assert (output / "curves.png").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--score", "phylop"], 1, "no column 'phylop'"),
        (["--score", "phyloP100way", "--where", "gene"], 2, "is not COLUMN=VALUE"),
        (["--score", "phyloP100way", "--seed", "-1"], 2, "must not be negative"),
        (["--score", "phyloP100way", "-R", "absent.bed"], 1, "absent.bed"),
        (["--score", "phyloP100way", "-r", "chr7"], 1, "lies in the regions"),
        (["--score", "phyloP100way", "--bootstrap", "-1"], 2, "range"),
        ([], 2, "--score"),
    ],
)
def test_bad_usage_leaves_nothing(tmp_path, capsys, arguments, code, message):
    output = tmp_path / "report"
    assert evaluate(LABELS, *QUESTION, *arguments, "-o", output) == code
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())
