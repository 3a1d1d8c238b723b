from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import click
import pytest
from only_error import only_error
from waiting import PATIENCE

from phylotools.cli import options
from phylotools.cli import simulate as verb
from phylotools.cli.main import run
from phylotools.store.read import open_store

DATA = Path(__file__).parents[1] / "data"
TREE = "((A:0.1,B:0.2)AB:0.1,(C:0.3,D:0.1):0.2);"
MAMMALS = str(DATA / "mammals671" / "mammals671.nh")
COMMAND = [sys.executable, "-m", "phylotools", "simulate"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("t.nh").write_text(TREE)
    return tmp_path


def test_everything_at_once(workplace, capsys):
    arguments = [
        "simulate", "t.nh", "-o", "a.maf.gz", "--length", "20000", "--seed", "7",
        "--contig", "chr7", "--truth", "t.tsv.gz", "--output-fasta", "r.fa.gz", "--reference", "C",
        "--substitution", "hky", "--kappa", "3", "--background", "0.3,0.2,0.2,0.3",
        "--block-length", "50", "--summary-json", "s.json",
    ]  # fmt: skip
    assert run(arguments) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "a.maf.gz: 20000 columns of 4 species in " in captured.err.splitlines()[-1]
    assert "columns/s)" in captured.err.splitlines()[-1]
    summary = json.loads(Path("s.json").read_text())
    assert summary["columns"] == 20000
    assert summary["reference_species"] == "C"
    assert summary["outputs"] == ["a.maf.gz", "t.tsv.gz", "r.fa.gz"]
    header = gzip.decompress(Path("a.maf.gz").read_bytes())[:3000].decode()
    assert header.startswith("##maf version=1")
    assert '"model": "hky", "kappa": 3.0' in header
    assert run(["preprocess", "a.maf.gz", "--tree", "t.nh", "-f", "r.fa.gz", "-o", "s", "-q"]) == 0
    store = open_store("s")
    assert store.contigs == {"chr7": 20000}
    assert store.reference_species == "C"
    assert store.attributes["statistics"]["blocks"] == summary["blocks"]


def test_the_same_seed_gives_the_same_bytes(workplace):
    for name, threads in (("one", "1"), ("two", "2")):
        done = [
            *COMMAND, "t.nh", "--length", "40000", "--seed", "3", "-@", threads,
            "-o", f"{name}.maf.gz", "--truth", f"{name}.tsv.gz", "-q",
        ]  # fmt: skip
        subprocess.run(done, check=True)
    for suffix in (".maf.gz", ".tsv.gz", ".tsv.gz.tbi"):
        assert Path(f"one{suffix}").read_bytes() == Path(f"two{suffix}").read_bytes()


def test_stdin_stdout_and_an_early_end(workplace):
    shell = " ".join([*COMMAND, "- --length 3000000 -q < t.nh"])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shell} | head -n 12"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 141
    assert "\n\na\ns A.chr1 0 " in done.stdout


def test_existing_outputs_are_refused_before_the_work(workplace, capsys):
    arguments = ["simulate", "t.nh", "--length", "10", "-o", "a.maf", "--truth", "t.tsv"]
    assert run(arguments) == 0
    first = Path("t.tsv").read_bytes()
    for kept in ("a.maf", "t.tsv"):
        Path({"a.maf": "t.tsv", "t.tsv": "a.maf"}[kept]).unlink()
        assert run([*arguments, "--seed", "2"]) == 1
        assert f"{kept}: already exists; give --force" in capsys.readouterr().err.splitlines()[-1]
        assert run([*arguments, "--force"]) == 0
    assert Path("t.tsv").read_bytes() == first


USAGE = {
    "no sites": ([], "give --length, or --model"),
    "sites twice": (["--length", "5", "--model", "m"], "--length has no meaning with --model"),
    "a sequence without a model": (["--length", "5", "-f", "a.fa"], "--fasta has no meaning"),
    "regions without a model": (["--length", "5", "-r", "x"], "--regions has no meaning without"),
    "substitution with a model": (["--model", "m", "--kappa", "2"], "--kappa has no meaning with"),
    "no length": (["--length", "0"], "0 is not in the range"),
    "unknown species": (["--length", "5", "--reference", "Z"], "the tree has no tip called Z"),
    "inner node": (["--length", "5", "--reference", "AB"], "the tree has no tip called AB"),
    "unknown substitution model": (["--length", "5", "--substitution", "jc"], "'jc' is not one of"),
    "no such parameter": (["--length", "5", "--kappa", "2"], "f81: kappa is no parameter of f81"),
    "kappa": (
        ["--length", "5", "--substitution", "hky", "--kappa", "-1"], "kappa must be positive",
    ),
    "three frequencies": (
        ["--length", "5", "--substitution", "hky", "--background", "1,1,1"], "must be 4 numbers",
    ),
    "no numbers": (
        ["--length", "5", "--substitution", "gtr", "--exchangeabilities", "a,b"],
        "no list of numbers",
    ),
    "negative spread": (["--length", "5", "--site-rate-sd", "-1"], "rate sd must lie between"),
    "not a number": (["--length", "5", "--frequency-sd", "nan"], "frequency sd must lie between"),
    "fraction": (["--length", "5", "--conserved-fraction", "2"], "conserved fraction must lie"),
    "gap rate": (["--length", "5", "--gap-rate", "-1"], "gap rate must lie between"),
    "block length": (["--length", "5", "--block-length", "0"], "block length must lie between"),
    "gaps where none are": (
        ["--length", "5", "--missing", "none", "--gap-rate", "1"], "--gap-rate has no meaning",
    ),
    "two sources of gaps": (
        ["--length", "5", "--missing-like", "s", "--gap-rate", "1"], "already says what --gap-rate",
    ),
    "one file twice": (["--length", "5", "-o", "x", "--truth", "./x"], "two outputs name the same"),
    "output is the input": (["--length", "5", "-o", "t.nh", "--force"], "the output is an input"),
    "truth on stdout": (["--length", "5", "--truth", "-"], "only the alignment can go to stdout"),
    "negative seed": (["--length", "5", "--seed", "-1"], "--seed must not be negative"),
}  # fmt: skip


@pytest.mark.parametrize("case", USAGE)
def test_impossible_wishes_are_one_line(case, workplace, capsys):
    wishes, message = USAGE[case]
    assert run(["simulate", "t.nh", *wishes]) == 2
    captured = capsys.readouterr()
    assert message in captured.err.splitlines()[-1]
    assert captured.out == ""
    assert os.listdir() == ["t.nh"]


BAD = {
    "no lengths": ("(A,B);", [], "t.nh:1: Newick: the branch above A has no length"),
    "negative length": ("(A:1,B:-1);", [], "must be finite and not negative"),
    "one tip": ("A;", [], "one tip only"),
    "no tree": ("hello (", [], "t.nh"),
    "white space": ("('A x':1,B:1);", [], "cannot name the source 'A x.chr1'"),
    "ambiguous names": ("(A:1,A.c:1);", ["--contig", "c"], "could be of another species"),
    "saturated": ("(A:1,B:1e9);", [], "expects more than 1,000,000 substitutions"),
    "infinite rate": (TREE, ["--site-rate-mean", "30"], "expects more than"),
    "no such store": (TREE, ["--missing-like", "none"], "none"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_no_output(case, workplace, capsys):
    newick, wishes, message = BAD[case]
    Path("t.nh").write_text(newick)
    arguments = ["simulate", "t.nh", "--length", "50", "-o", "a.maf.gz", "--truth", "t.tsv.gz"]
    assert run([*arguments, *wishes]) == 1
    only_error(*capsys.readouterr(), message)
    assert os.listdir() == ["t.nh"]


def test_missing_like_a_real_alignment(workplace, birds_store, capsys):
    tree = open_store(birds_store).attributes["tree"]
    Path("t.nh").write_text(tree)
    arguments = ["simulate", "t.nh", "--length", "3000", "--missing-like", str(birds_store)]
    assert run([*arguments, "-o", "a.maf"]) == 0
    said = capsys.readouterr().err
    assert "has as much missing as --gap-rate 0." in said
    assert "--block-length 7.99" in said
    assert '"block_length": 7.99' in Path("a.maf").read_text()[:3000]


def test_a_model_gives_the_sites_of_its_sequence(workplace, capsys):
    arguments = [
        "simulate", MAMMALS, "--model", "mammals671-mtdna", "-r", "chrM:3307-3500",
        "-o", "a.maf.gz", "--truth", "t.tsv", "--missing", "none", "--block-length", "40",
    ]  # fmt: skip
    assert run(arguments) == 0
    assert "194 columns of 671 species" in capsys.readouterr().err.splitlines()[-1]
    fasta = Path(verb.__file__).parents[2] / "models" / "mammals671-mtdna" / "reference.fa"
    arguments = ["preprocess", "a.maf.gz", "--tree", MAMMALS, "-f", str(fasta), "-o", "s", "-q"]
    assert run(arguments) == 0
    store = open_store("s")
    assert store.reference_species == "Homo_sapiens"
    [region] = store.covered_regions(671)
    assert (region.contig, region.start, region.end) == ("chrM", 3306, 3500)
    lines = Path("t.tsv").read_text().splitlines()
    assert any(line.startswith('##model={"name": "mammals671-mtdna"') for line in lines)
    assert any(line.startswith('##substitution={"model": "mutation-selection"') for line in lines)
    table = [line.split("\t") for line in lines if not line.startswith("#")]
    rates = {row[1]: float(row[8]) for row in table}
    for position, rate in annotated_rates().items():
        assert rates[position] == pytest.approx(rate, rel=1e-3)


def annotated_rates() -> dict[str, float]:
    """Site rates of two positions, as `annotate` gives them."""
    sequence = "".join(
        (Path(verb.__file__).parents[2] / "models/mammals671-mtdna/reference.fa")
        .read_text()
        .splitlines()[1:]
    )
    positions = (3307, 3310)
    Path("v.vcf").write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        + "".join(
            f"chrM\t{p}\t.\t{sequence[p - 1].upper()}\t{'G' if sequence[p - 1] != 'G' else 'A'}"
            "\t.\t.\t.\n"
            for p in positions
        )
    )
    assert run(["annotate", "v.vcf", "-o", "o.vcf", "-q"]) == 0
    rates = {}
    for line in Path("o.vcf").read_text().splitlines():
        if not line.startswith("#"):
            info = dict(item.split("=") for item in line.split("\t")[7].split(";"))
            rates[line.split("\t")[1]] = float(info["PHYLOGPN_RATE"])
    return rates


def test_the_defaults_that_help_shows_are_those_of_the_library():
    from phylotools.phylogeny.simulation.missing import MissingData
    from phylotools.phylogeny.simulation.sites import SiteDistribution
    from phylotools.phylogeny.substitution import SUBSTITUTION_MODELS

    help_of = {
        option.name: option.help
        for option in verb.simulate_command.params
        if isinstance(option, click.Option)
    }
    for option, field in verb._SITE_OPTIONS.items():
        assert help_of[option].endswith(f"[default: {getattr(SiteDistribution(), field):g}].")
    for field in fields(MissingData):
        assert help_of[field.name].endswith(f"[default: {field.default:g}].")
    assert tuple(field.name for field in fields(MissingData)) == verb._MISSING_OPTIONS
    assert tuple(SUBSTITUTION_MODELS) == options.SUBSTITUTION_NAMES


def test_help_loads_neither_torch_nor_numba():
    code = (
        "import sys; from phylotools.cli.main import run; run(['simulate', '--help']); "
        "print({'torch', 'numba', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
