"""`evaluate protocols`, `evaluate prepare` and `evaluate --protocol`, as a shell calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from phylotools.evaluate.protocols.reading import protocol_names

DATA = Path(__file__).parents[2] / "examples/human_mtdna/data"
CLINVAR = DATA / "clinvar_20220525_chrM_snv.vcf.gz"


def run(*arguments, cwd=None):
    code = "import sys; from phylotools.cli.main import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


def test_a_list_and_one_in_full():
    done = run("evaluate", "protocols")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == protocol_names()
    done = run("evaluate", "protocols", "clinvar:stars=2")
    assert "stars=2 (0 to 4)" in done.stdout
    assert "https://ftp.ncbi.nlm.nih.gov/pub/clinvar/" in done.stdout
    assert "phylotools evaluate --protocol clinvar" in done.stdout


def test_from_clinvar_to_a_report(tmp_path):
    done = run(
        "evaluate", "prepare", "--protocol", "clinvar:stars=2", CLINVAR, "-f", DATA / "chrM.fa",
        "-o", "labelled.vcf.gz", "--summary-json", "summary.json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["counts"]["alleles"] == 2749
    assert (tmp_path / "labelled.vcf.gz.tbi").exists()
    # PHYLOP is a column of the labelled SNVs that ship beside.
    done = run(
        "evaluate", "--protocol", "clinvar:stars=2", DATA / "labelled_snvs.vcf.gz", "--labels",
        "labelled.vcf.gz", "--score", "PHYLOP", "--bootstrap", "20", "-o", "result", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "PHYLOP" in done.stdout
    page = (tmp_path / "result" / "report.html").read_text()
    assert "Albors et al. 2025" in page
    assert "clinvar (stars from 2 on)" in page
    assert (tmp_path / "result" / "published.tsv").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["evaluate", "protocols", "clinvr"], 2, "did you mean clinvar?"),
        (["evaluate", "protocols", "own.toml"], 1, "own.toml: unknown key line 1: tittle"),
        (
            ["evaluate", "--protocol", "clinvar", DATA / "labelled_snvs.vcf.gz"],
            1,
            "it expects Clin",
        ),
        (
            ["evaluate", "prepare", "--protocol", "dms", DATA / "labelled_snvs.vcf.gz"],
            2,
            "needs --transcripts",
        ),
        (
            ["evaluate", "prepare", "--protocol", "clinvar", CLINVAR, "-o", CLINVAR],
            2,
            "the output is the input",
        ),
    ],
)
def test_mistakes_are_one_line(tmp_path, arguments, code, message):
    (tmp_path / "own.toml").write_text("tittle = 1\n")
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in done.stderr
