"""`phylotools evaluate`: consequences, leakage and calibration."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from phylotools.cli.main import run

DATA = Path(__file__).parents[2] / "examples" / "human_mtdna" / "data"
LABELLED = str(DATA / "labelled_snvs.vcf.gz")
QUESTION = ["--label-column", "LABEL", "--positive", "pathogenic", "--negative", "common"]
MORE = ["--score", "PHYLOP", "--bootstrap", "20", "-q"]


def sizes(out):
    """Positives and negatives of each class, out of the table on stdout."""
    cells = [re.split(r"  +", line) for line in out.splitlines()[1:]]
    return {row[0]: tuple(int(n.replace(",", "")) for n in row[3:5]) for row in cells if row[0]}


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture(scope="module")
def genes(tmp_path_factory):
    """GFF3 of the mitochondrial genes as NCBI writes it."""
    path = tmp_path_factory.mktemp("genes") / "genes.gff3"
    lines = ["##gff-version 3"]
    for line in (DATA / "genes.bed").read_text().splitlines():
        _, start, end, name, _, strand = line.split("\t")
        place = f"NC_012920.1\tRefSeq\t%s\t{int(start) + 1}\t{end}\t.\t{strand}\t%s\t"
        lines.append(place % ("gene", ".") + f"ID=gene-{name};Name={name}")
        lines.append(place % ("CDS", "0") + f"ID=cds-{name};Parent=gene-{name};transl_table=2")
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_consequences_by_genes_and_sequence(genes, capsys):
    more = ["--gff", genes, "-f", str(DATA / "chrM.fa")]
    assert run(["evaluate", LABELLED, *QUESTION, *MORE, *more]) == 0
    counts = sizes(capsys.readouterr().out)
    assert counts["all"] == (270, 2636)
    assert counts["missense"] == (87, 544)
    assert counts["synonymous"] == (33, 1322)
    assert counts["stop_gained"] == (13, 0)
    assert counts["intergenic"] == (134, 767)
    assert "within consequence" in counts


def test_a_wrong_genetic_code_is_one_line(genes, capsys):
    more = ["--gff", genes, "-f", str(DATA / "chrM.fa"), "--genetic-code", "1"]
    assert run(["evaluate", LABELLED, *QUESTION, *MORE, *more]) == 1
    err = capsys.readouterr().err
    assert "give --genetic-code 2 if that is the organism's" in err
    assert err.count("\n") == 1


def test_a_gff_of_another_assembly_is_one_line(genes, tmp_path, capsys):
    other = tmp_path / "other.gff3"
    other.write_text(Path(genes).read_text().replace("\t3307\t4260\t", "\t3307\t99999\t"))
    more = ["--gff", str(other), "-f", str(DATA / "chrM.fa"), "-o", str(tmp_path / "report")]
    assert run(["evaluate", LABELLED, *QUESTION, *MORE, *more]) == 1
    err = capsys.readouterr().err
    assert "beyond the end of that contig" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ("-|frameshift_variant|X,T|missense_variant|Y", ["frameshift", "missense"]),
        ("T|missense_variant|Y,-|frameshift_variant|X", ["frameshift", "missense"]),
    ],
)
def test_entries_of_several_alleles_are_not_taken_by_their_place(
    tmp_path, capsys, entries, expected
):
    lines = [
        "##fileformat=VCFv4.2",
        '##INFO=<ID=CSQ,Number=.,Type=String,Description="Format: Allele|Consequence|SYMBOL">',
        '##INFO=<ID=S,Number=A,Type=Float,Description="x">',
        '##INFO=<ID=L,Number=A,Type=String,Description="x">',
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO",
        f"1\t5\t.\tCA\tC,CT\t.\t.\tS=1,2;L=p,n;CSQ={entries}",
    ]
    (tmp_path / "a.vcf").write_text("\n".join(lines) + "\n")
    arguments = ["--label-column", "L", "--positive", "p", "--negative", "n", "--score", "S"]
    more = ["--consequence", "--bootstrap", "0", "-q"]
    assert run(["evaluate", str(tmp_path / "a.vcf"), *arguments, *more]) == 0
    counts = sizes(capsys.readouterr().out)
    assert counts[expected[0]] == (1, 0)
    assert counts[expected[1]] == (0, 1)


def test_what_sides_of_a_split_share(tmp_path, capsys):
    (tmp_path / "t.bed").write_text("MT\t3000\t4000\n")
    more = ["--split-column", "GENE", "--trained-on", str(tmp_path / "t.bed"), "-o"]
    folder = tmp_path / "report"
    arguments = ["evaluate", LABELLED, *QUESTION, *MORE[:-1], *more, str(folder)]
    assert run([*arguments, "-f", str(DATA / "chrM.fa")]) == 0
    err = capsys.readouterr().err
    assert "Leakage: the sides of GENE know of each other" in err
    assert "t.bed was trained on what judges it here" in err
    table = rows_of(folder / "leakage.tsv")
    assert {row["split"] for row in table} == {"GENE", "t.bed"}
    own = [row for row in table if row["split"] == "t.bed" and row["side"] == "judged here"]
    n = {row["shared"]: int(row["n"]) for row in own}
    assert 0 < n["same position"] < n["within 500 bases"]
    findings = json.loads((folder / "metrics.json").read_text())["findings"]
    assert [each["kind"] for each in findings].count("leakage") == 2
    assert "leakage" in (folder / "report.html").read_text().lower()
    # The column is no stratum.
    assert {row["level"] for row in rows_of(folder / "metrics.tsv")} == {"overall", "within"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--split-column", "LABELS"], "no column 'LABELS'"),
        (["--split-column", "AC_HOM"], "no split has so many"),
        (["--trained-on", "no.bed"], "no.bed"),
        (["-f", "genome.fa"], "-f is for --gff, --split-column and --trained-on"),
    ],
)
def test_splits_that_are_none(tmp_path, capsys, more, message):
    folder = tmp_path / "report"
    assert run(["evaluate", LABELLED, *QUESTION, *MORE, *more, "-o", str(folder)]) != 0
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not folder.exists()


def test_whether_calibration_helped_is_said(tmp_path, capsys):
    draw = np.random.default_rng(1)
    lines = ["chrom\tpos\tref\talt\tlabel\tT_LLR\tT_CALIBRATED"]
    for place in range(1, 401):
        is_bad = place % 3 == 0
        signal = draw.normal() - is_bad
        lines.append(f"1\t{place}\tA\tC\t{int(is_bad)}\t{signal}\t{signal - 2 * is_bad}")
    (tmp_path / "t.tsv").write_text("\n".join(lines) + "\n")
    arguments = ["--label-column", "label", "--positive", "1", "--negative", "0"]
    scores = ["--score", "T_LLR", "--score", "T_CALIBRATED", "--bootstrap", "100"]
    assert run(["evaluate", str(tmp_path / "t.tsv"), *arguments, *scores]) == 0
    err = capsys.readouterr().err
    assert "Calibration: AUROC of T_CALIBRATED is higher than T_LLR by" in err
    assert "Within mutation type: higher than T_LLR by" in err
