from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from only_error import only_error
from scipy.stats import spearmanr

from phylotools.cli import fit_sites as verb
from phylotools.cli.main import run
from phylotools.phylogeny.substitution import SUBSTITUTION_MODELS
from phylotools.sites.preparation import RATES, FitSettings

DATA = Path(__file__).parents[1] / "data"
MTDNA = Path(__file__).parents[2] / "examples/human_mtdna/data"
COMMAND = [sys.executable, "-m", "phylotools", "fit-sites"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with a small store of three species, `s`."""
    monkeypatch.chdir(tmp_path)
    Path("t.nh").write_text("((A:0.4,B:0.3):0.2,C:0.8);")
    Path("a.maf").write_text(
        "a\ns A.1 2 6 + 10 CGTAAC\ns B.1 0 5 + 5 A-GTAC\ns C.1 0 6 + 6 CGTTAC\n\n"
    )
    assert run(["preprocess", "a.maf", "--tree", "t.nh", "-o", "s", "-q"]) == 0
    return tmp_path


def rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines() if not line.startswith("##")]


def test_everything_at_once(workplace, mammals_store, capsys):
    arguments = [
        "fit-sites", str(mammals_store), "-o", "o.tsv.gz", "--bigwig", "o",
        "-r", "chrM:10471-10664", "--substitution", "mutation-selection", "--learn-shared",
        "--rate", "fitted", "--sample", "150", "--seed", "3", "-@", "1", "--device", "cpu",
        "--summary-json", "o.json",
    ]  # fmt: skip
    assert run(arguments) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.splitlines()[-1]
    assert "o.tsv.gz: fitted 194 sites under mutation-selection; " in last
    assert "sites/s)" in last
    assert "held-out species" in captured.err
    assert {p.name for p in workplace.iterdir() if p.name.startswith("o.")} == {
        "o.tsv.gz", "o.tsv.gz.tbi", "o.conservation.bw", "o.rate.bw", "o.llr_mean.bw", "o.json",
    }  # fmt: skip
    summary = json.loads(Path("o.json").read_text())
    assert summary["sites"] == 194
    assert summary["substitution"]["name"] == "mutation-selection"
    assert len(summary["held_out_species"]) == 3
    tried = {entry["held_out_log_likelihood"] for entry in summary["priors_tried"]}
    assert summary["held_out_log_likelihood"] in tried
    assert max(tried) - summary["held_out_log_likelihood"] < 1e-3
    assert 0.01 < summary["median_rate_scale"] < 10
    text = gzip.decompress(Path("o.tsv.gz").read_bytes()).decode()
    assert len(rows(text)) == 195
    assert "##command=phylotools" in text


def test_text_on_stdout_is_the_default(workplace, capsys):
    assert run(["fit-sites", "s", "-q"]) == 0
    table = rows(capsys.readouterr().out)
    assert table[0][:3] == ["#contig", "pos", "ref"]
    assert [row[:3] for row in table[1:]] == [
        ["1", "3", "C"], ["1", "4", "G"], ["1", "5", "T"], ["1", "6", "A"], ["1", "7", "A"],
        ["1", "8", "C"],
    ]  # fmt: skip


def test_bytes_do_not_depend_on_threads(mammals_store, tmp_path):
    outputs = []
    for threads in ("1", "2"):
        done = subprocess.run(
            [*COMMAND, str(mammals_store), "-q", "-@", threads], capture_output=True, check=True
        )
        lines = done.stdout.splitlines()
        outputs.append([line for line in lines if not line.startswith(b"##command")])
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) > 900


@pytest.mark.parametrize("name", SUBSTITUTION_MODELS)
@pytest.mark.parametrize("rate", ["prior", "free", "fixed"])
def test_models_and_rates(workplace, capsys, name, rate):
    options = ["--substitution", name, "--rate", rate]
    if rate == "fixed":
        options += ["--rate-mean", "-0.5"]
    assert run(["fit-sites", "s", "-q", "--per-allele", *options]) == 0
    table = rows(capsys.readouterr().out)
    names, values = table[0], table[1:]
    assert names[:5] == ["#contig", "pos", "ref", "alt", "llr"]
    assert len(values) == 18
    if rate == "fixed":
        assert {row[names.index("log_rate")] for row in values} == {"-0.500"}


def test_given_shared_parameters_are_used(workplace, capsys):
    options = ["--substitution", "gtr", "--exchangeabilities", "1,4,1,1,4,1"]
    assert run(["fit-sites", "s", "-q", *options, "--background", "3,2,2,3"]) == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("##substitution=gtr")]
    assert "background=0.3,0.2,0.2,0.3" in line
    assert "##background=0.3,0.2,0.2,0.3" in out


def test_the_tracks_of_a_model_of_rates_rank_as_phylop(mammals_store, capsys):
    with gzip.open(MTDNA / "chrM_all_snvs_labels.tsv.gz", "rt") as handle:
        labels = rows(handle.read())
    place, score = labels[0].index("pos"), labels[0].index("phyloP100way")
    phylop = {row[place]: float(row[score]) for row in labels[1:]}
    assert run(["fit-sites", str(mammals_store), "-q"]) == 0
    table = rows(capsys.readouterr().out)
    column = table[0].index("conservation")
    shared = [row for row in table[1:] if row[1] in phylop]
    ours, theirs = ([float(row[column]) for row in shared], [phylop[row[1]] for row in shared])
    assert len(shared) > 500
    assert spearmanr(ours, theirs).statistic > 0.75


def test_neutral_scale(workplace, capsys):
    for scale, faster in (("0.01", True), ("100", False)):
        assert run(["fit-sites", "s", "-q", "--neutral-scale", scale, "-r", "1:3"]) == 0
        table = rows(capsys.readouterr().out)
        value = float(table[1][table[0].index("conservation")])
        assert (value < 0) is faster


def test_alleles_feed_evaluate(mammals_store, tmp_path, capsys):
    scores = str(tmp_path / "a.tsv.gz")
    assert run(["fit-sites", str(mammals_store), "-q", "--per-allele", "-o", scores]) == 0
    arguments = ["evaluate", scores, "--labels", str(MTDNA / "chrM_all_snvs_labels.tsv.gz")]
    arguments += ["--label-column", "label", "--positive", "pathogenic", "--negative", "common"]
    assert run([*arguments, "--score", "llr", "--bootstrap", "0"]) == 0
    assert "llr" in capsys.readouterr().out


def test_a_models_prediction_as_prior(mammals_store, tmp_path, capsys):
    output = tmp_path / "o.tsv"
    arguments = ["fit-sites", str(mammals_store), "--prior", "mammals671-mtdna", "-o", str(output)]
    arguments += ["--sample", "64", "--summary-json", str(tmp_path / "o.json")]
    assert run([*arguments, "--held-out-species", "Mus_musculus_domesticus"]) == 2
    species = json.loads((mammals_store / "zarr.json").read_text())["attributes"]["species"]
    held_out = [name for name in species if name != "Homo_sapiens"][:3]
    assert run([*arguments, "--held-out-species", ",".join(held_out)]) == 0
    assert "##prior_model=mammals671-mtdna" in output.read_text()
    summary = json.loads((tmp_path / "o.json").read_text())
    assert set(summary["held_out_species"]) == set(held_out)
    assert summary["prior"]["log_rate_mean"] is None
    assert summary["prior_model"] == "mammals671-mtdna"


def test_existing_outputs_are_kept_without_force(workplace, capsys):
    arguments = ["fit-sites", "s", "-o", "o.tsv", "--bigwig", "o"]
    assert run(arguments) == 0
    before = Path("o.tsv").read_bytes()
    assert run(arguments) == 1
    assert "--force" in capsys.readouterr().err
    Path("o.tsv").unlink()
    assert run(arguments) == 1
    assert not Path("o.tsv").exists()
    assert run([*arguments, "--force"]) == 0
    assert rows(Path("o.tsv").read_text()) == rows(before.decode())


USAGE = {
    "fasta without a model": ["-f", "a.fa"],
    "sd of a free rate": ["--rate", "free", "--rate-sd", "1"],
    "sd of a fixed rate": ["--rate", "fixed", "--rate-sd", "1"],
    "mean of a free rate": ["--rate", "free", "--rate-mean", "1"],
    "sd of zero": ["--rate-sd", "0"],
    "no scale": ["--neutral-scale", "0"],
    "unknown model of substitution": ["--substitution", "jc"],
    "three frequencies": ["--background", "1,1,1"],
    "a frequency of zero": ["--background", "1,1,1,0"],
    "an infinite frequency": ["--background", "1,1,1,inf"],
    "words for frequencies": ["--background", "a,b,c,d"],
    "negative seed": ["--seed", "-1"],
    "no threads": ["-@", "0"],
    "unknown species": ["--held-out-species", "Z"],
    "the reference": ["--held-out-species", "A"],
    "all the others": ["--held-out-species", "B,C"],
    "shared parameters beside a model": ["--prior", "mammals671-mtdna", "--learn-shared"],
    "another substitution model": ["--prior", "mammals671-mtdna", "--substitution", "hky"],
    "one file twice": ["-o", "x.rate.bw", "--bigwig", "x"],
    "summary on stdout": ["--summary-json", "-"],
    "no such device": ["--device", "cuda:99"],
}
BAD = {
    "no store": (["none"], "none"),
    "a folder that is no store": (["."], "no column store"),
    "unknown contig": (["s", "-r", "2"], "2"),
    "region outside": (["s", "-r", "1:11-12"], "1:11-12"),
    "region without columns": (["s", "-r", "1:1-2"], "no column of the regions"),
    "BED of another assembly": (["s", "-R", "b.bed"], "b.bed: 1:6-50 does not lie within"),
    "absent BED": (["s", "-R", "none.bed"], "none.bed"),
    "kappa of f81": (["s", "--kappa", "2"], "kappa"),
    "five exchangeabilities": (
        ["s", "--substitution", "gtr", "--exchangeabilities", "1,1,1,1,1"],
        "6 numbers",
    ),
    "no such model": (["s", "--prior", "none"], "no model is called"),
    "genome of something else": (
        ["s", "--prior", "mammals671-mtdna"],
        "none of the store's contigs",
    ),
    "output in no folder": (["s", "-o", "none/o.tsv"], "does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("case", USAGE)
def test_impossible_usage_exits_2(case, workplace, capsys):
    before = sorted(os.listdir("."))
    assert run(["fit-sites", "s", *USAGE[case]]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert sorted(os.listdir(".")) == before


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gives_one_line_and_no_output(case, workplace, capsys):
    Path("b.bed").write_text("1\t5\t50\n")
    before = sorted(os.listdir("."))
    arguments, message = BAD[case]
    output = [] if "-o" in arguments else ["-o", "o.tsv.gz", "--bigwig", "o"]
    assert run(["fit-sites", *arguments, *output, "-q"]) == 1
    only_error(*capsys.readouterr(), message)
    assert sorted(os.listdir(".")) == before


def test_a_damaged_store_leaves_no_output(workplace, capsys):
    for shard in Path("s/bases").glob("c.*"):
        shard.unlink()
    assert run(["fit-sites", "s", "-o", "o.tsv.gz", "--bigwig", "o"]) == 1
    assert "damaged" in capsys.readouterr().err
    assert not list(workplace.glob("o.*"))
    assert not list(workplace.glob(".o.*"))


def test_a_closed_pipe_is_quiet(mammals_store):
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(COMMAND)} {mammals_store} -q | head -n 1"],
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("##fit_sites=")
    assert done.stderr == ""


def test_a_kill_leaves_nothing_that_looks_finished(mammals_store, tmp_path):
    """Killed at its first output, before any file has its name."""
    code = (
        "import os, signal\nfrom phylotools.sites import run\n"
        "run.site_lines = lambda fits: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from phylotools.cli.main import main\nimport sys\n"
        f"sys.argv[1:] = ['fit-sites', {str(mammals_store)!r}, '-o', 'o.tsv.gz', '--bigwig', 'o']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True)
    assert done.returncode == -9
    assert not list(tmp_path.glob("o.*"))


def test_names_in_the_help_are_those_that_exist():
    names = {p.name: p for p in verb.fit_sites_command.params}
    assert isinstance(names["substitution"].type, click.Choice)
    assert tuple(names["substitution"].type.choices) == tuple(SUBSTITUTION_MODELS)
    assert tuple(names["rate"].type.choices) == RATES
    defaults = FitSettings()
    for name in ("sample", "seed", "held_out_fraction", "neutral_scale"):
        assert names[name].default == getattr(defaults, name)
