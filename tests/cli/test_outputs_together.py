"""All files of one command appear together, or none of them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from phylotools.cli.main import run
from phylotools.errors import OutputError

pytestmark = pytest.mark.usefixtures("one_thread")

#: Command -> the files it makes, the summary apart.
VERBS = {
    "annotate v.vcf -o o.vcf.gz": {"o.vcf.gz", "o.vcf.gz.tbi"},
    "embed -r chrM:3307-3330 -o o.npz --pca o.bed.gz": {"o.npz", "o.bed.gz", "o.bed.gz.tbi"},
    "fit-sites s -o o.tsv.gz --bigwig o": {
        *("o.tsv.gz", "o.tsv.gz.tbi", "o.conservation.bw", "o.rate.bw", "o.llr_mean.bw")
    },
    "simulate t.nh --length 50 -o o.maf --truth o.tsv.gz --output-fasta o.fa": {
        *("o.maf", "o.tsv.gz", "o.tsv.gz.tbi", "o.fa")
    },
    "tree fit s -o o.nh --branches o.tsv --into o.store": {"o.nh", "o.tsv", "o.store"},
    "plot logo -r chrM:3307-3330 -o o": {"o.svg", "o.png", "o.tsv"},
}


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("t.nh").write_text("((A:0.4,B:0.3):0.2,C:0.8);")
    Path("a.maf").write_text(
        "a\ns A.1 2 6 + 10 CGTAAC\ns B.1 0 5 + 5 A-GTAC\ns C.1 0 6 + 6 CGTTAC\n\n"
    )
    Path("v.vcf").write_text(
        "##fileformat=VCFv4.2\n##contig=<ID=chrM,length=16569>\n"
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\nchrM\t3308\t.\tT\tC\t.\t.\t.\n"
    )
    assert run(["preprocess", "a.maf", "--tree", "t.nh", "-o", "s", "-q"]) == 0
    return tmp_path


def out_of_space(path, data, **options):
    raise OutputError(f"{path}: cannot write: No space left on device")


@pytest.mark.parametrize("command", VERBS)
def test_when_the_last_output_fails_none_appears(workplace, capsys, monkeypatch, command):
    before = set(os.listdir())
    arguments = [*command.split(), "-q", "--summary-json", "o.json"]
    with monkeypatch.context() as patch:
        patch.setattr("phylotools.io.files.write_atomic", out_of_space)
        assert run(arguments) == 1
    assert "error: o.json: cannot write" in capsys.readouterr().err
    assert set(os.listdir()) == before
    assert run(arguments) == 0
    assert set(os.listdir()) - before == {"o.json", *VERBS[command]}


def test_a_store_and_its_report(workplace, capsys, monkeypatch):
    arguments = ["preprocess", "a.maf", "--tree", "t.nh", "-o", "o", "--report", "r", "-q"]
    before = set(os.listdir())
    with monkeypatch.context() as patch:
        patch.setattr("phylotools.report.write._write_files", lambda *a: out_of_space("r", b""))
        assert run(arguments) == 1
    assert "error: r: cannot write" in capsys.readouterr().err
    # What is finished of the work is kept; the same command goes on from there.
    assert set(os.listdir()) - before == {"o.work"}
    assert run(arguments) == 0
    assert set(os.listdir()) - before == {"o", "r"}
    assert ".part" not in Path("r/report.html").read_text()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("preprocess a.maf --tree t.nh -o o --work o", "--work must not be -o"),
        ("preprocess a.maf --tree t.nh -o o --work o/w", "--work must not be -o"),
        ("preprocess a.maf --tree t.nh -o o/s --work o", "-o must not be --work"),
        ("preprocess a.maf --tree t.nh -o o --report ./o", "--report must not be -o"),
        ("preprocess a.maf --tree t.nh -o o --report o.work/r", "--report must not be --work"),
        ("preprocess a.maf --tree t.nh -o s --force --summary-json s/o", "--summary-json must not"),
        ("preprocess-finalise s -o s", "-o must not be WORK"),
        ("tracks -o o --work o/", "--work must not be -o"),
        ("tracks-finalise s -o s/o", "-o must not be WORK"),
        ("inspect s --report s/r", "--report must not be STORE"),
        ("fit-sites s -o s/o.tsv", "-o must not be STORE"),
        ("fit-sites s -o o.tsv --bigwig s/o", "track [a-z_]+ must not be STORE"),
        (
            "fit-sites s --bigwig o --summary-json o.rate.bw",
            "track rate must not be --s",
        ),
        ("embed -r chrM:1-9 -o o.npz --pca o.npz/o.bed", "--pca must not be -o"),
        ("embed -r chrM:1-9 -o o.npz --pca o --summary-json o", "--summary-json must not be --pca"),
    ],
)
def test_paths_of_a_command_lie_apart(workplace, capsys, command, message):
    before = sorted(Path().rglob("*"))
    assert run([*command.split(), "-q"] if "inspect" not in command else command.split()) != 0
    errors = capsys.readouterr().err
    assert re.fullmatch(f"error: {message}.*, nor lie in it; choose another name\n", errors), errors
    assert sorted(Path().rglob("*")) == before
