"""`phylotools interpret` as a user runs it: files, headers, bad inputs."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pyBigWig
import pysam
import pytest
from brute_force import LETTERS
from only_error import only_error
from toy_models import write_toy_model

from phylotools.cli.interpret_mutagenesis import EFFECTS
from phylotools.cli.main import run
from phylotools.interpret import mutagenesis
from phylotools.model.folder import write_changed
from phylotools.model.registry import load_model
from phylotools.model.tuned_head import LinearHead, TunedHead, n_features

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A toy model, a FASTA with N, and an annotation."""
    place = tmp_path_factory.mktemp("interpret")
    write_toy_model(place / "toy", reference=None)
    (place / "toy.fa").write_text(f">one\n{LETTERS}\n>two\n{LETTERS[::-1]}\n>unknown\nNNNNNNNN\n")
    (place / "genes.bed").write_text("one\t10\t40\tgene\t0\t+\n")
    return place


@pytest.fixture
def interpret(folder, monkeypatch, tmp_path):
    """Run a subcommand with the toy model in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(part: str, *arguments: object) -> int:
        model = ["-m", str(folder / "toy"), "-f", str(folder / "toy.fa"), "-@", "1", "-q"]
        return run(["interpret", part, *model, *map(str, arguments)])

    return call


def table(path) -> tuple[str, list[dict[str, str]]]:
    with gzip.open(path, "rt") as handle:
        first, header, *rows = handle.read().splitlines()
    names = header.removeprefix("#").split("\t")
    return first, [dict(zip(names, row.split("\t"), strict=True)) for row in rows]


def test_a_map_is_pictures_pairs_and_an_array(interpret, folder, tmp_path) -> None:
    assert interpret(
        "dependencies", "-r", "one:11-40", "--annotation", folder / "genes.bed", "-o", "map",
        "--jacobian", "--summary-json", "map.json",
    ) == 0  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "map.json", "map.npz", "map.png", "map.svg", "map.tsv.gz", "map.tsv.gz.tbi",
    ]  # fmt: skip
    with np.load("map.npz") as arrays:
        values, jacobian = arrays["dependencies"], arrays["jacobian"]
        assert arrays["positions"].tolist() == list(range(10, 40))
        assert arrays["reference"].tolist() == ["ACGTN".index(b) for b in LETTERS[10:40].upper()]
    largest = np.abs(jacobian).max(axis=(1, 3))
    np.fill_diagonal(largest, 0)
    np.testing.assert_array_equal(np.nan_to_num(largest), np.nan_to_num(values))
    first, rows = table("map.tsv.gz")
    assert first.startswith("##phylotools_dependencies=<")
    assert 'Region="one:11-40"' in first
    for row in rows:
        i, j = int(row["pos"]) - 11, int(row["other_pos"]) - 11
        assert 0 < abs(i - j) <= 12
        assert row["ref"] == LETTERS[10 + i].upper()
        assert row["other_ref"] == LETTERS[10 + j].upper()
        if row["dependency"] == "NA":
            assert np.isnan(values[i, j])
        else:
            assert float(row["dependency"]) == pytest.approx(float(values[i, j]), abs=6e-5)
    with pysam.TabixFile("map.tsv.gz") as index:
        found = list(index.fetch("one", 14, 15))
        assert found
        assert {line.split("\t")[1] for line in found} == {"15"}
    texts = {node.text for node in ElementTree.parse("map.svg").iter() if node.text}
    assert {"one:11-40", "gene"} <= texts
    summary = json.loads((tmp_path / "map.json").read_text())
    assert (summary["positions"], summary["unknown"]) == (30, 1)


def test_the_same_command_gives_the_same_bytes(interpret, tmp_path) -> None:
    for name in ("one", "two"):
        assert interpret("dependencies", "-r", "one:21-40", "-o", name) == 0
        assert interpret("mutagenesis", "-r", "one:21-40", "-o", f"m_{name}") == 0
        assert interpret("influence", "-r", "one:21-40", "-o", f"{name}.bw") == 0
    for suffix in ("svg", "png", "npz", "tsv.gz"):
        for prefix in ("", "m_"):
            one, two = (tmp_path / f"{prefix}{name}.{suffix}" for name in ("one", "two"))
            assert one.read_bytes() == two.read_bytes(), suffix
    assert (tmp_path / "one.bw").read_bytes() == (tmp_path / "two.bw").read_bytes()


def test_mutagenesis_is_a_row_for_each_variant(interpret, folder, tmp_path) -> None:
    bed = tmp_path / "regions.bed"
    bed.write_text("two\t5\t9\none\t16\t22\n")
    assert interpret("mutagenesis", "-R", bed, "-r", "one:18-24", "-o", "out") == 0
    assert not (tmp_path / "out.svg").exists()  # more than one region
    _, rows = table("out.tsv.gz")
    places = [("one", p) for p in range(17, 25) if p != 20] + [("two", p) for p in range(6, 10)]
    assert [(row["contig"], int(row["pos"])) for row in rows] == [p for p in places for _ in "abc"]
    assert list(rows[0]) == ["contig", "pos", "ref", "alt", *mutagenesis.EFFECTS]
    with np.load("out.npz") as arrays:
        contigs = arrays["contigs"][arrays["contig"]]
        assert list(zip(contigs, arrays["positions"] + 1, strict=True)) == places
        assert arrays["log_likelihood"].shape == (len(places), 4)
        found = arrays["llr"][0, "ACGT".index(rows[0]["alt"])]
    assert float(rows[0]["llr"]) == pytest.approx(float(found), abs=6e-5)
    with pysam.TabixFile("out.tsv.gz") as index:
        assert len(list(index.fetch("two"))) == 12


def test_a_single_region_is_drawn(interpret, folder, tmp_path) -> None:
    annotation = ("--annotation", folder / "genes.bed")
    assert interpret("mutagenesis", "-r", "one", *annotation, "--effect", "llr", "-o", "a.svg") == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["a.npz", "a.svg", "a.tsv.gz", "a.tsv.gz.tbi"]
    texts = {node.text for node in ElementTree.parse("a.svg").iter() if node.text}
    assert {"gene", "LLR (nats)", "Worth of the base"} <= texts
    assert set(EFFECTS) == {*mutagenesis.EFFECTS, mutagenesis.TUNED}


def test_a_tuned_head_s_score_is_one_of_the_effects(folder, tmp_path, monkeypatch) -> None:
    base = load_model(str(folder / "toy"))
    width = n_features(base, "regions")
    head = LinearHead(np.full(width, 0.7), 0.1, np.zeros(width), np.ones(width))
    tuned = TunedHead(head, "regions", "numbers", base.sha256, False, "tests")
    (tmp_path / "tuned").mkdir()
    write_changed(tmp_path / "tuned", base, tuned.files(), {"tuned": {"name": "toy"}})
    monkeypatch.chdir(tmp_path)
    arguments = ["-m", "tuned", "-f", str(folder / "toy.fa"), "-r", "one:16-30", "-q", "-@", "1"]
    assert run(["interpret", "mutagenesis", *arguments, "--effect", "tuned", "-o", "out"]) == 0
    _, rows = table("out.tsv.gz")
    found = np.array([float(row["tuned"]) for row in rows])
    assert len(found) == 3 * 14  # position 20 is N
    assert np.abs(found).max() > 1e-3
    texts = {node.text for node in ElementTree.parse("out.svg").iter() if node.text}
    assert "head's score" in texts


def test_influence_is_a_track_or_a_folder(interpret, tmp_path) -> None:
    assert interpret("influence", "-r", "one", "-o", "one.bw") == 0
    with pyBigWig.open("one.bw") as track:
        values = np.array(track.values("one", 0, len(LETTERS)))
    assert np.isnan(values).tolist() == [letter == "N" for letter in LETTERS]
    assert (values[np.isfinite(values)] > 0).all()
    assert interpret("influence", "-o", "browser", "--assembly", "toy1") == 0
    names = {path.name for path in (tmp_path / "browser").iterdir()}
    assert {"influence.bw", "influence.json", "igv.html", "config.json"} <= names
    with pyBigWig.open("browser/influence.bw") as track:
        again = np.array(track.values("one", 0, len(LETTERS)))
    np.testing.assert_array_equal(again, values)
    assert json.loads((tmp_path / "browser" / "influence.json").read_text())["sites"] == (
        2 * sum(letter != "N" for letter in LETTERS)
    )
    assert interpret("influence", "-r", "one:1-9", "-o", "browser", "--force") == 0


def test_attributions_are_arrays_of_one_width(interpret, tmp_path) -> None:
    (tmp_path / "regions.bed").write_text("one\t10\t30\ta\t0\t+\ntwo\t5\t26\tb\t0\t-\n")
    arguments = ("-R", "regions.bed", "--width", "20")
    assert interpret("attributions", *arguments, "-o", "logo") == 0
    assert interpret("attributions", *arguments, "--kind", "mutagenesis", "-o", "ism") == 0
    for name in ("logo", "ism"):
        with np.load(f"{name}/sequences.npz") as arrays:
            hot = arrays["arr_0"]
        with np.load(f"{name}/attributions.npz") as arrays:
            assert arrays["arr_0"].shape == hot.shape == (2, 4, 20)
        letters = "".join("ACGT"[k] for k in hot[0].argmax(axis=0))
        assert letters == LETTERS[10:30].upper().replace("N", "A")
        rows = (tmp_path / name / "regions.tsv").read_text().splitlines()
        assert rows[1:] == ["one\t10\t30\ta\t+", "two\t5\t25\tb\t-"]
    record = json.loads((tmp_path / "ism" / "attributions.json").read_text())
    assert (record["Kind"], record["Effect"]) == ("mutagenesis", "log_likelihood")


def test_attributions_refuse_what_they_cannot_do(interpret, folder, tmp_path, capsys) -> None:
    (tmp_path / "regions.bed").write_text("one\t10\t30\ntwo\t5\t26\n")
    (tmp_path / "far.bed").write_text("one\t10\t3000\n")
    cases = {
        ("-R", "regions.bed"): "lengths from 20 to 21; arrays hold one: give --width",
        ("-R", "far.bed"): "runs past the end of the contig",
        ("-R", "none.bed"): "none.bed",
        ("-R", str(folder / "toy.fa")): "toy.fa",
    }
    for arguments, expected in cases.items():
        assert interpret("attributions", *arguments, "-o", "out") in (1, 2)
        only_error(*capsys.readouterr(), expected)
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("part", "arguments", "expected"),
    [
        ("dependencies", ["-r", "unknown", "-o", "x"], "has no A, C, G or T"),
        ("dependencies", ["-r", "three:1-5", "-o", "x"], "names the unknown contig three"),
        ("dependencies", ["-r", "one:0-5", "-o", "x"], "is empty or lies outside the contig"),
        ("dependencies", ["-r", "one:1-5", "-o", "-"], "cannot go to stdout"),
        ("dependencies", ["-r", "one:1-5", "-o", "x.pdf"], "pictures are SVG or PNG"),
        ("dependencies", ["-r", "one:1-5", "-o", "none/x"], "does not exist; create it"),
        ("dependencies", ["-r", "one:1-5", "-o", "x", "--annotation", "none.bed"], "none.bed"),
        ("mutagenesis", ["-r", "unknown", "-o", "x"], "no position of the regions has A, C, G"),
        ("mutagenesis", ["-o", "x"], "name regions: -r contig:begin-end, or -R"),
        ("mutagenesis", ["-r", "one", "--effect", "tuned", "-o", "x"], "has no head"),
        ("mutagenesis", ["-r", "one", "--within", "-1", "-o", "x"], "--within"),
        ("mutagenesis", ["-R", "none.bed", "-o", "x"], "none.bed"),
        ("influence", ["-r", "unknown", "-o", "x.bw"], "no position of the regions has A, C, G"),
        ("influence", ["-r", "unknown", "-o", "x"], "no position of the regions has A, C, G"),
        ("influence", ["-o", "-"], "cannot go to stdout"),
    ],
)
def test_bad_inputs_are_one_line_and_leave_nothing(
    interpret, tmp_path, capsys, part, arguments, expected
) -> None:
    assert interpret(part, *arguments) in (1, 2)
    only_error(*capsys.readouterr(), expected)
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced_unasked(interpret, tmp_path, capsys) -> None:
    for name in ("x.npz", "x.tsv.gz.tbi"):
        (tmp_path / name).write_text("mine")
        assert interpret("dependencies", "-r", "one:1-5", "-o", "x") == 1
        only_error(*capsys.readouterr(), "already exists; give --force")
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()


def test_a_network_whose_norm_runs_over_positions_is_refused(tmp_path, capsys) -> None:
    from published_layouts import imported

    model = imported("github_groupnorm", tmp_path / "group")
    (tmp_path / "one.fa").write_text(f">one\n{LETTERS}\n")
    code = run(
        ["interpret", "influence", "-m", str(model), "-f", str(tmp_path / "one.fa"), "-q",
         "-o", str(tmp_path / "x.bw")]
    )  # fmt: skip
    assert code == 2
    only_error(*capsys.readouterr(), "its norm runs over positions")
    assert not (tmp_path / "x.bw").exists()


def test_as_a_program(folder, tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "phylotools", "interpret", "dependencies", "-m", folder / "toy",
         "-f", folder / "toy.fa", "-r", "one:1-30", "-o", tmp_path / "map.png", "-@", "1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 base are N" not in done.stderr
    assert "NaN" in done.stderr
    assert "mapped one:1-30 (30 bases, each with those up to 12 away)" in done.stderr
    for part in ((), ("dependencies",), ("motifs",)):
        done = subprocess.run(
            [sys.executable, "-m", "phylotools", "interpret", *part, "--help"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0
        assert "Usage: " in done.stdout
