from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from field_tools import require
from toy_models import write_toy_model

from phylotools.annotate.fields import InfoFields
from phylotools.cli.main import run
from phylotools.cli.options import SCORES
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.model.folder import ModelDraft, write_model
from phylotools.model.registry import load_model
from phylotools.model.site_model import SiteModel
from phylotools.phylogeny.score_meaning import (
    DEFAULT_SCORES,
    SCORE_NAMES,
    score_key,
    score_meaning,
    written_scores,
)
from phylotools.phylogeny.substitution import make_substitution_model
from phylotools.scoring.scorer import Scorer

DATA = Path(__file__).parents[1] / "data"
EDGE_CASES = DATA / "vcf_edge_cases"
MTDNA = Path(__file__).parents[2] / "examples" / "human_mtdna" / "data"
GNOMAD = MTDNA / "gnomad_v3.1_chrM.vcf.gz"
CLINVAR = MTDNA / "clinvar_20220525_chrM_snv.vcf.gz"
FIELDS = InfoFields().keys  # of the toy model
BROKEN = {
    "bgzf_no_eof.vcf.gz",
    "chrom_unknown.vcf",
    "empty.vcf",
    "seven_columns.vcf",
    "spaces.vcf",
    "truncated.vcf.gz",
}


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_toy_model(tmp_path_factory.mktemp("models") / "toy"))


def bcftools(*arguments: str | Path) -> str:
    require("bcftools")
    done = subprocess.run(["bcftools", *map(str, arguments)], check=True, capture_output=True)
    return done.stdout.decode("latin-1")


def annotate(model: str, source: str | Path, output: str | Path, *options: str) -> int:
    return run(["annotate", str(source), "-m", model, "-o", str(output), "-@", "1", *options])


def without_our_fields(path: Path) -> str:
    removed = ",".join(f"INFO/{name}" for name in FIELDS)
    return "".join(
        line
        for line in bcftools("annotate", "--no-version", "-x", removed, path).splitlines(True)
        if not line.startswith("##phylotools_annotate")
    )


@pytest.mark.parametrize("name", ["a.vcf", "a.vcf.gz", "a.bcf"])
@pytest.mark.parametrize("source", [GNOMAD, CLINVAR])
def test_real_files_come_out_record_for_record(
    model_folder: str, tmp_path: Path, source: Path, name: str
) -> None:
    output = tmp_path / name
    assert annotate(model_folder, source, output) == 0
    assert without_our_fields(output) == bcftools("view", "--no-version", source)


def test_scores_are_those_of_the_network(model_folder: str, tmp_path: Path) -> None:
    output = tmp_path / "a.vcf"
    assert annotate(model_folder, CLINVAR, output) == 0
    model = load_model(model_folder)
    with ReferenceGenome.open(MTDNA / "chrM.fa") as genome:
        theta = Scorer(model, genome, threads=1).theta(Region("chrM", 0, 16569))
    rows = bcftools("query", "-f", r"%POS\t%REF\t%ALT\t%PHYLOGPN_LLR\n", output).splitlines()
    assert len(rows) == 2749
    for row in rows:
        position, ref, alt, llr = row.split("\t")
        site = theta[int(position) - 1].astype(np.float64)
        assert float(llr) == pytest.approx(
            site["ACGT".index(alt)] - site["ACGT".index(ref)], abs=6e-5
        )


@pytest.mark.parametrize("name", sorted(path.name for path in EDGE_CASES.iterdir()))
def test_edge_cases(model_folder: str, tmp_path: Path, name: str, capfd) -> None:
    output = tmp_path / "out.vcf"
    code = annotate(model_folder, EDGE_CASES / name, output, "-q")
    complaints = capfd.readouterr().err
    assert "Traceback" not in complaints
    if name in BROKEN:
        assert code == 1
        assert complaints.splitlines()[-1].startswith(f"error: {EDGE_CASES / name}")
        assert list(tmp_path.iterdir()) == []
        return
    assert code == 0
    if name in ("blank_lines.vcf", "no_fileformat.vcf", "utf8_bom.vcf"):
        name = "plain.vcf"
    before = bcftools("view", "-H", EDGE_CASES / name).splitlines()
    after = bcftools("view", "-H", output).splitlines()
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        old_columns, new_columns = old.split("\t"), new.split("\t")
        info = old_columns.pop(7)
        new_info = new_columns.pop(7)
        assert old_columns == new_columns
        assert new_info.startswith("PHYLOGPN_LLR=" if info == "." else info + ";PHYLOGPN_LLR=")


def test_sample_columns_and_line_ends_byte_for_byte(model_folder: str, tmp_path: Path) -> None:
    for name in ("samples.vcf", "sample_names_odd.vcf", "crlf.vcf", "latin1.vcf"):
        output = tmp_path / name
        assert annotate(model_folder, EDGE_CASES / name, output) == 0
        before = (EDGE_CASES / name).read_bytes().split(b"\n")
        added = (b"##INFO=<ID=PHYLOGPN", b"##phylotools")
        after = [x for x in output.read_bytes().split(b"\n") if not x.startswith(added)]
        assert len(before) == len(after)
        for old, new in zip(before, after, strict=True):
            old_columns, new_columns = old.split(b"\t"), new.split(b"\t")
            assert old_columns[:7] == new_columns[:7]
            assert old_columns[8:] == new_columns[8:]
            assert old.endswith(b"\r") == new.endswith(b"\r")


def test_twice_is_once_and_two_tags_stand_side_by_side(model_folder: str, tmp_path: Path) -> None:
    once, twice, other = (tmp_path / f"{name}.vcf" for name in ("once", "twice", "other"))
    assert annotate(model_folder, CLINVAR, once) == 0
    assert annotate(model_folder, once, twice) == 0
    strip = ("##phylotools_annotate",)
    first, second = (
        [x for x in path.read_text().splitlines() if not x.startswith(strip)]
        for path in (once, twice)
    )
    assert first == second
    assert twice.read_text().count("##phylotools_annotate=<ID=PHYLOGPN,") == 1
    assert annotate(model_folder, once, other, "--tag", "MINE") == 0
    query = bcftools("query", "-f", r"%PHYLOGPN_LLR\t%MINE_LLR\n", other).splitlines()
    assert all(len(set(row.split("\t"))) == 1 for row in query)
    assert other.read_text().count("##phylotools_annotate=<ID=") == 2


def test_header_says_who_made_it(model_folder: str, tmp_path: Path) -> None:
    output = tmp_path / "a.bcf"
    assert annotate(model_folder, CLINVAR, output) == 0
    header = bcftools("view", "-h", output)
    (line,) = [x for x in header.splitlines() if x.startswith("##phylotools_annotate=")]
    sha256 = load_model(model_folder).sha256
    for part in ('Model="toy"', 'Revision="r1"', f'Sha256="{sha256}"', 'Reference="', "Command="):
        assert part in line
    for name, number in zip(FIELDS, "AA11" + "A" * (len(FIELDS) - 4), strict=True):
        assert f"##INFO=<ID={name},Number={number}," in header


@pytest.mark.parametrize("alone", [[], ["--sequence-only"]])
def test_header_says_whether_site_fits_are_in_the_scores(tmp_path: Path, alone: list[str]) -> None:
    output = tmp_path / "a.vcf"
    arguments = ["annotate", str(CLINVAR), "-m", "mammals671-mtdna", "-o", str(output), *alone]
    assert run([*arguments, "-q", "-r", "chrM:3300-3400"]) == 0
    assert ('SiteFits="yes"' in output.read_text()) == (not alone)


def test_header_says_what_scores_are_and_which_is_the_default(
    model_folder: str, tmp_path: Path
) -> None:
    loaded = load_model(model_folder)
    fitness = make_substitution_model("mutation-selection")
    draft = ModelDraft(
        "toy", "r1", SiteModel(loaded.network, fitness), {}, {}, "A toy.\n",
        reference=loaded.reference_fasta,
    )  # fmt: skip
    write_model(draft, tmp_path / "m")
    for model, name in ((model_folder, "f81"), (str(tmp_path / "m"), "mutation-selection")):
        output, again = tmp_path / "out.vcf", tmp_path / "again.vcf"
        asked = ("--score", "fitness", "--score", "RATE_TO_ALT")
        assert annotate(model, EDGE_CASES / "plain.vcf", output, "--force", *asked) == 0
        header = bcftools("view", "-h", output)
        default = DEFAULT_SCORES[name]
        for score in written_scores(name, ("fitness", "rate-to-alt")):
            text = score_meaning(name, score)
            text += "; the default score of the model" if score == default else ""
            key = f"PHYLOGPN_{score_key(score).upper()}"
            assert f'##INFO=<ID={key},Number=A,Type=Float,Description="{text}">' in header
        assert f'DefaultScore="{default}"' in header
        # A run that asks for less leaves nothing of the one before.
        assert annotate(model, output, again, "--force") == 0
        keys = re.findall(r"##INFO=<ID=(PHYLOGPN_\w+)", again.read_text())
        assert tuple(keys) == InfoFields(substitution=name).keys


def test_a_score_that_does_not_exist(model_folder: str, tmp_path: Path, capfd) -> None:
    output = tmp_path / "out.vcf"
    assert annotate(model_folder, EDGE_CASES / "plain.vcf", output, "--score", "cadd") == 2
    complaint = capfd.readouterr().err.splitlines()
    assert complaint == [f"error: there is no score 'cadd'; there are {', '.join(SCORE_NAMES)}"]
    assert not output.exists()
    assert SCORES == SCORE_NAMES


def test_wrong_assembly_leaves_nothing(model_folder: str, tmp_path: Path, capfd) -> None:
    letters = (MTDNA / "chrM.fa").read_text().split("\n", 1)[1].replace("\n", "")
    shifted = tmp_path / "shifted.fa"
    shifted.write_text(">chrM\nA" + letters[:-1] + "\n")
    assert annotate(model_folder, GNOMAD, tmp_path / "a.vcf.gz", "-f", str(shifted)) == 1
    assert "wrong assembly; give the assembly" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["shifted.fa"]
    options = ("-f", str(shifted), "--on-ref-mismatch", "error")
    assert annotate(model_folder, GNOMAD, tmp_path / "a.vcf.gz", *options) == 1
    assert f"{GNOMAD}:" in capfd.readouterr().err


def test_output_rules(model_folder: str, tmp_path: Path, capfd) -> None:
    source = tmp_path / "in.vcf"
    shutil.copy(EDGE_CASES / "plain.vcf", source)
    assert annotate(model_folder, source, source, "--force") == 2
    assert "the output is the input" in capfd.readouterr().err
    assert source.read_bytes() == (EDGE_CASES / "plain.vcf").read_bytes()
    output = tmp_path / "out.vcf.gz"
    assert annotate(model_folder, source, output) == 0
    assert annotate(model_folder, source, output) == 1
    assert "already exists; give --force" in capfd.readouterr().err
    assert annotate(model_folder, source, output, "--force", "--no-write-index") == 0
    assert not (tmp_path / "out.vcf.gz.tbi").exists()
    assert annotate(model_folder, source, tmp_path / "x.vcf", "--tag", "1") == 2
    assert annotate(model_folder, source, tmp_path / "x.vcf.gz", "-O", "b") == 2
    assert annotate(model_folder, source, tmp_path / "none" / "x.vcf") == 1


def test_summary_and_last_line(model_folder: str, tmp_path: Path, capfd) -> None:
    summary = tmp_path / "s.json"
    options = ("--summary-json", str(summary), "--no-indels")
    assert annotate(model_folder, EDGE_CASES / "indels.vcf", tmp_path / "a.vcf", *options) == 0
    last = capfd.readouterr().err.splitlines()[-1]
    assert "annotated 8 records (5 of 8 alleles scored; not scored: 3 indel) in " in last
    facts = json.loads(summary.read_text())
    assert facts["records"] == 8
    assert facts["alleles_scored"] == 5
    assert facts["alleles_by_status"] == {"ok": 5, "indel": 3}
    assert facts["ref_mismatches"] == 0


def test_unknown_contigs_say_what_to_do(model_folder: str, tmp_path: Path, capfd) -> None:
    assert annotate(model_folder, EDGE_CASES / "chrom_unknown.vcf", tmp_path / "a.vcf") == 1
    complaint = capfd.readouterr().err
    advice = ("models at hand", "--model", "phylotools train", "--contig-aliases")
    for part in ("has chrM", "chrNope", *advice):
        assert part in complaint


@pytest.mark.parametrize("kind", ["indexed", "stream", "bcf"])
@pytest.mark.parametrize(
    ("options", "oracle"),
    [
        (["-r", "chrM:1000-1500"], ["-r", "chrM:1000-1500"]),
        (["-r", "MT:1,000-1500", "-r", "chrM:16000"], ["-r", "chrM:1000-1500,chrM:16000-"]),
        (["-R", "BED"], ["-R", "BED"]),
        (["-r", "chrM:16569"], ["-r", "chrM:16569-"]),
    ],
)
def test_regions_are_those_of_bcftools(
    model_folder: str, tmp_path: Path, kind: str, options: list[str], oracle: list[str]
) -> None:
    (tmp_path / "r.bed").write_text("chrM\t99\t300\nchrM\t7000\t7001\nchrM\t200\t400\n")
    options, oracle = (
        [str(tmp_path / "r.bed") if each == "BED" else each for each in listed]
        for listed in (options, oracle)
    )
    indexed = tmp_path / "in.bcf"
    bcftools("view", "-Ob", "-o", indexed, GNOMAD)
    bcftools("index", indexed)
    source = indexed
    if kind == "indexed":
        source = tmp_path / "in.vcf.gz"
        bcftools("view", "--no-version", "-Oz", "-o", source, GNOMAD)
        bcftools("index", "-t", source)
    elif kind == "stream":
        source = GNOMAD
    output = tmp_path / "a.vcf"
    assert annotate(model_folder, source, output, *options) == 0
    removed = ",".join(f"INFO/{name}" for name in FIELDS)
    found = bcftools("annotate", "--no-version", "-x", removed, output)
    expected = bcftools("view", "-H", *oracle, indexed)
    assert [line for line in found.splitlines() if line[0] != "#"] == expected.splitlines()
    # Only part of the file was scored: the numbers are the same.
    whole = tmp_path / "whole.vcf"
    assert annotate(model_folder, source, whole) == 0
    assert set(output.read_text().splitlines()[-20:]) <= set(whole.read_text().splitlines())


def test_regions_that_are_none(model_folder: str, tmp_path: Path, capfd) -> None:
    for options, code, complaint in (
        (["-r", "chr7:1-5"], 1, "names the unknown contig chr7"),
        (["-r", "chrM:9-5"], 1, "is empty or lies outside"),
        (["-R", str(tmp_path / "none.bed")], 1, "none.bed"),
    ):
        assert annotate(model_folder, GNOMAD, tmp_path / "a.vcf", *options) == code
        assert complaint in capfd.readouterr().err
    assert annotate(model_folder, "-", tmp_path / "a.vcf", "-R", "-") == 2
    assert "both be stdin" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_no_indels(model_folder: str, tmp_path: Path) -> None:
    output = tmp_path / "a.vcf"
    assert annotate(model_folder, EDGE_CASES / "indels.vcf", output, "--no-indels") == 0
    rows = bcftools("query", "-f", r"%PHYLOGPN_STATUS %PHYLOGPN_LLR\n", output).splitlines()
    assert sorted(row for row in rows if row.startswith("indel")) == ["indel ."] * 3
    assert annotate(model_folder, EDGE_CASES / "indels.vcf", tmp_path / "b.vcf") == 0
    rows = bcftools("query", "-f", r"%PHYLOGPN_STATUS %PHYLOGPN_LLR\n", tmp_path / "b.vcf")
    assert rows.count("experimental_indel") == 3
    assert " .\n" not in rows


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "9" * 30])
def test_batch_size_is_auto_or_a_number(model_folder: str, tmp_path: Path, text: str) -> None:
    output = tmp_path / "a.vcf"
    assert annotate(model_folder, EDGE_CASES / "plain.vcf", output, "--batch-size", text) == 2


def test_batch_size_and_precision_change_nothing_on_a_cpu(
    model_folder: str, tmp_path: Path
) -> None:
    texts = []
    for name, options in (
        ("a", []),
        ("b", ["--batch-size", "3", "--precision", "float32", "--device", "cpu"]),
        ("c", ["--batch-size", "auto", "-@", "3"]),
    ):
        output = tmp_path / f"{name}.vcf"
        assert annotate(model_folder, CLINVAR, output, *options) == 0
        lines = output.read_text().splitlines()
        texts.append([line for line in lines if not line.startswith("##phylotools")])
    assert texts[0] == texts[1] == texts[2]
    assert annotate(model_folder, CLINVAR, tmp_path / "d.vcf", "--precision", "bfloat16") == 2
