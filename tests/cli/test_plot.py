from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pysam
import pytest

from phylotools.cli.main import run
from phylotools.phylogeny.score_meaning import DEFAULT_SCORES, score_key

#: Field of the shipped model's default score.
DEFAULT = f"PHYLOGPN_{score_key(DEFAULT_SCORES['mutation-selection']).upper()}"

DATA = Path(__file__).parents[2] / "examples" / "human_mtdna" / "data"
LABELLED = DATA / "labelled_snvs.vcf.gz"
GENES = DATA / "genes.bed"


def plot(*arguments):
    return run(["plot", *map(str, arguments)])


def rows_of(path):
    """Facts line and rows of a table."""
    with open(path, newline="", encoding="utf-8") as handle:
        facts = handle.readline().rstrip("\n")
        return facts, list(csv.DictReader(handle, delimiter="\t"))


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """The labelled variants, scored by the default model; and rows of its records."""
    path = tmp_path_factory.mktemp("scored") / "scored.vcf.gz"
    assert run(["annotate", str(LABELLED), "-o", str(path), "-q", "--threads", "1"]) == 0
    return path


def test_logo(tmp_path, one_thread, scored):
    out = tmp_path / "logo"
    summary = tmp_path / "summary.json"
    arguments = ("-r", "MT:3300-3349", "--annotation", GENES, "--variants", LABELLED)
    assert plot("logo", *arguments, "-o", out, "--summary-json", summary, "-@", 1) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "logo.png", "logo.svg", "logo.tsv", "summary.json",
    ]  # fmt: skip
    facts, rows = rows_of(f"{out}.tsv")
    assert 'Model="mammals671-mtdna"' in facts
    assert 'Region="chrM:3300-3349"' in facts
    assert len(rows) == 50
    by_place = {(row["pos"], base): row for row in rows for base in "ACGT"}
    # What annotate writes for the same variants.
    n_compared = 0
    with gzip.open(scored, "rt") as handle:
        for line in handle:
            fields = line.split("\t")
            if line[0] != "#" and (fields[1], fields[4]) in by_place:
                info = dict(item.partition("=")[::2] for item in fields[7].strip().split(";"))
                row = by_place[fields[1], fields[4]]
                assert row["ref"] == fields[3]
                assert float(row[f"llr_{fields[4]}"]) == pytest.approx(
                    float(info["PHYLOGPN_LLR"]), abs=6e-5
                )
                assert float(row["rate"]) == pytest.approx(float(info["PHYLOGPN_RATE"]), rel=1e-3)
                assert row["status"] == info["PHYLOGPN_STATUS"]
                n_compared += 1
    with pysam.VariantFile(str(LABELLED)) as source:
        assert n_compared == sum(3300 <= record.pos <= 3349 for record in source) > 10
    told = json.loads(summary.read_text())
    assert (told["Plot"], told["files"][0]) == ("logo", f"{out}.svg")


def test_llr(tmp_path, scored):
    assert plot("llr", scored, "--classes", "LABEL", "-o", tmp_path / "a.svg") == 0
    facts, rows = rows_of(tmp_path / "a.tsv")
    assert f'Score="{DEFAULT}",Classes="LABEL",Seed="1",Model="mammals671-mtdna"' in facts
    found = {"pathogenic": [], "common": []}
    with gzip.open(scored, "rt") as handle:
        for line in handle:
            if line[0] != "#":
                info = dict(item.partition("=")[::2] for item in line.split("\t")[7].split(";"))
                found[info["LABEL"]].append(float(info[DEFAULT]))
    assert {row["class"]: int(row["n"]) for row in rows} == {
        name: len(values) for name, values in found.items()
    }
    for row in rows:
        values = found[row["class"]]
        assert float(row["quantile_0.5"]) == pytest.approx(np.median(values), rel=1e-5)
        assert float(row["lowest"]) == min(values)
    texts = ElementTree.parse(tmp_path / "a.svg").getroot().itertext()
    assert any("mammals671-mtdna, revision" in text for text in texts)


def test_frequency(tmp_path, scored):
    out = tmp_path / "f.png"
    gnomad = DATA / "gnomad_v3.1_chrM.vcf.gz"
    arguments = ("--score", "max_hl", "--frequency", "AF_hom", "--allele-count", "AC_hom")
    assert plot("frequency", gnomad, *arguments, "--where", "FILTER=PASS", "-o", out) == 0
    _, rows = rows_of(tmp_path / "f.tsv")
    with gzip.open(gnomad, "rt") as handle:
        n_passed = sum(line.split("\t")[6] == "PASS" for line in handle if line[0] != "#")
    assert sum(int(row["n"]) for row in rows) == n_passed
    assert [row["alleles"] for row in rows[:3]] == ["frequency 0", "singletons", "frequency"]


def test_embedding(tmp_path, capsys):
    from phylotools.io.vector_table import VectorRows, open_vectors

    path = tmp_path / "e.npz"
    vectors = np.random.default_rng(1).normal(size=(30, 4)).astype(np.float32)
    start = np.arange(30, dtype=np.int64) * 500
    rows = VectorRows(["chrM"] * 30, start, start + 60, [""] * 30, ["+"] * 30, vectors)
    with open_vectors(str(path), "npz", (30, 4), np.float32, {"model": "m"}) as sink:
        sink.write(rows)
    assert plot("embedding", path, "--colour", GENES, "-o", tmp_path / "e.svg") == 0
    facts, found = rows_of(tmp_path / "e.tsv")
    assert 'Model="m"' in facts
    assert [int(row["start"]) for row in found] == start.tolist()
    classes = {int(row["start"]): row["class"] for row in found}
    assert (classes[0], classes[4000], classes[14_500]) == ("none", "ND1", "ND6")
    assert "drew 30 regions" in capsys.readouterr().err


def test_training(tmp_path, capsys):
    """Two runs, one of them going on; the numbers beside the picture are those of the runs."""
    rows = {"a": ["10\t2.5\t-8", "20\t2.25\t-7.5"], "b": ["10\t2.6\t-8.5", "20\t2."]}
    for name, lines in rows.items():
        (tmp_path / name).mkdir()
        text = "\n".join(["step\tloss\tevaluation_training", *lines])
        (tmp_path / name / "metrics.tsv").write_text(text + "\n" * (name == "a"))
    summary = tmp_path / "summary.json"
    runs = (tmp_path / "a", tmp_path / "b")
    assert plot("training", *runs, "-o", tmp_path / "c", "--summary-json", summary) == 0
    assert "drew 2 runs" in capsys.readouterr().err
    facts, found = rows_of(tmp_path / "c.tsv")
    assert facts == '##phylotools_plot=<Plot="training",Runs="a, b">'
    assert [tuple(row.values()) for row in found] == [
        ("a", "10", "no", "2.5", "-8"),
        ("a", "20", "no", "2.25", "-7.5"),
        ("b", "10", "no", "2.6", "-8.5"),
    ]
    texts = list(ElementTree.parse(tmp_path / "c.svg").getroot().itertext())
    assert {"a", "b"} <= set(texts)
    told = json.loads(summary.read_text())["curves"]
    assert [(run["run"], run["step"], run["is_complete"]) for run in told] == [
        ("a", 20, False),
        ("b", 10, False),
    ]


def test_training_without_a_run(tmp_path, capsys):
    assert plot("training", tmp_path, "-o", tmp_path / "c.svg") == 1
    assert capsys.readouterr().err.count("error: ") == 1
    (tmp_path / "metrics.tsv").write_text("step\tloss\n")
    assert plot("training", tmp_path, "-o", tmp_path / "c.svg") == 1
    assert "has no figures yet; wait" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.tsv"]


def test_an_existing_file_is_kept_without_force(tmp_path, capsys):
    (tmp_path / "a.tsv").write_text("mine")
    arguments = ("llr", LABELLED, "--score", "PHYLOP", "-o", tmp_path / "a.svg")
    assert plot(*arguments) == 1
    assert "a.tsv: already exists; give --force" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.tsv"]
    assert plot(*arguments, "--force") == 0
    assert (tmp_path / "a.tsv").read_text().startswith("##phylotools_plot=")


def test_no_output_replaces_an_input(tmp_path, capsys):
    table = tmp_path / "a.tsv"
    table.write_text("contig\tpos\tref\talt\tllr\nc\t1\tA\tC\t1\n")
    assert plot("llr", table, "-o", tmp_path / "a.svg", "--force") == 2
    assert "the output is the input" in capsys.readouterr().err
    assert plot("llr", table, "-o", tmp_path / "b", "--summary-json", tmp_path / "b.tsv") == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["logo", "-r", "chrM:1-9", "-o", "a.pdf"], 2, "pictures are SVG or PNG, not PDF"),
        (["logo", "-r", "chrM:1-9", "-o", "-"], 2, "cannot go to stdout"),
        (["logo", "-r", "chrM:1-9999", "-o", "a"], 2, "has 9,999 bases"),
        (["logo", "-r", "chrZ:1-9", "-o", "a"], 1, "chrZ"),
        (["logo", "-r", "chrM:1-9", "-o", "no/such/a"], 1, "does not exist"),
        (["logo", "-r", "chrM:1-9", "--annotation", "none.bed", "-o", "a"], 1, "none.bed: cannot"),
        (["llr", "none.vcf", "-o", "a"], 1, "none.vcf: cannot read"),
        (["llr", LABELLED, "-o", "a"], 1, "no column 'PHYLOGPN_LLR'"),
        (["llr", LABELLED, "--score", "LABEL", "-o", "a"], 1, "'common' in column 'LABEL' is not"),
        (["llr", LABELLED, "--score", "PHYLOP", "--classes", "X", "-o", "a"], 1, "neither a col"),
        (["llr", LABELLED, "--score", "PHYLOP", "--where", "X=1", "-o", "a"], 1, "no column 'X'"),
        (["llr", LABELLED, "--score", "PHYLOP", "--where", "X", "-o", "a"], 2, "COLUMN=VALUE"),
        (["llr", "-", "--classes", "-", "-o", "a"], 2, "stdin (-) can be read only once"),
        (["llr", LABELLED, "--seed", "-1", "-o", "a"], 2, "--seed must lie between"),
        (["llr", LABELLED, "--score", "PHYLOP", "-r", "chrM:9-1", "-o", "a"], 1, "chrM:9-1"),
        (["frequency", LABELLED, "--score", "PHYLOP", "-o", "a"], 1, "no column 'AF'"),
        (
            ["frequency", LABELLED, "--score", "PHYLOP", "--frequency", "AC_HOM", "-o", "a"],
            1,
            "AC_HOM is 50, which is no frequency",
        ),
        (["embedding", LABELLED, "-o", "a"], 1, "is no table of vectors"),
        (["embedding", "-", "-o", "a"], 2, "cannot come from stdin"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    tmp_path, monkeypatch, capsys, arguments, code, message
):
    monkeypatch.chdir(tmp_path)
    assert plot(*arguments) == code
    *chosen, told = capsys.readouterr().err.splitlines()
    assert message in told
    assert all("model mammals671-mtdna is used" in line for line in chosen)
    assert "internal" not in told
    assert not list(tmp_path.iterdir())


def test_hostile_files_are_one_line(tmp_path, capsys):
    for path in sorted((Path(__file__).parents[1] / "data" / "vcf_edge_cases").iterdir()):
        for arguments in (
            ("llr", path, "--score", "QUAL"),
            ("logo", "-r", "chrM:4000-4005", "--variants", path),
            ("logo", "-r", "chrM:4000-4005", "--annotation", path),
            ("embedding", path),
        ):
            code = plot(*arguments, "-o", tmp_path / "a.svg", "--force", "-q")
            told = capsys.readouterr().err
            assert code in (0, 1, 2)
            assert "internal error" not in told, (path, arguments, told)
            assert sum(line.startswith("error:") for line in told.splitlines()) == int(code != 0)


def test_a_pipe_is_read_like_a_file(tmp_path):
    """Through a real shell: stdin, and a help that imports nothing heavy."""
    out = tmp_path / "p"
    command = (
        f"zcat {LABELLED} | {sys.executable} -m phylotools plot llr - --score PHYLOP "
        f"--classes LABEL -o {out}.svg"
    )
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, capture_output=True)
    _, rows = rows_of(f"{out}.tsv")
    assert {row["class"]: row["n"] for row in rows} == {"pathogenic": "270", "common": "2636"}
    script = (
        "import sys; from phylotools.cli.main import run; "
        "verbs = ('logo', 'llr', 'frequency', 'embedding', 'training'); "
        "[run(['plot', verb, '-h']) for verb in verbs]; "
        "sys.exit(bool({'torch', 'numba', 'matplotlib', 'pyarrow', 'numpy'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
