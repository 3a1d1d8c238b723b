from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pysam
import pytest
from waiting import held, wait_until

import phylotools
from phylotools.cli import embed as verb
from phylotools.cli import options
from phylotools.cli.main import run
from phylotools.embedding.sweep import POOLINGS, STRANDS
from phylotools.io.vector_reading import read_vectors
from phylotools.io.vector_table import FORMATS
from phylotools.model.device import PRECISIONS

pytestmark = pytest.mark.usefixtures("one_thread")

BED = """track name=genes
# unsorted, overlapping, twice the same
chrM\t9000\t9900\tCOX3\t0\t+
MT_unplaced\t1\t2
chrM\t3306\t4262\tND1\t0\t+
chrM\t14148\t14673\tND6\t0\t-

chrM\t3306\t4262\tagain\t0\t-
chrM\t0\t1
chrM\t16568\t16569\tlast
"""
HOSTILE = Path(__file__).parents[1] / "data" / "hostile_regions"
ROWS = [("chrM", 9000, 9900, "COX3", "+"), ("chrM", 3306, 4262, "ND1", "+"),
        ("chrM", 14148, 14673, "ND6", "-"), ("chrM", 3306, 4262, "again", "-"),
        ("chrM", 0, 1, "", "."), ("chrM", 16568, 16569, "last", ".")]  # fmt: skip


@pytest.fixture
def bed(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "genes.bed"
    path.write_text(BED.replace("MT_unplaced\t1\t2\n", ""))
    return path


@pytest.fixture(scope="module")
def model():
    return phylotools.load_model()


def described(rows) -> list[tuple[str, int, int, str, str]]:
    return list(zip(rows.contig, rows.start.tolist(), rows.end.tolist(), rows.name, rows.strand,
                    strict=True))  # fmt: skip


def refused(capsys, arguments: list[str], code: int, *words: str) -> None:
    before = set(Path.cwd().rglob("*"))
    assert run(["embed", *arguments]) == code
    error = capsys.readouterr().err
    assert [line.lower()[:6] for line in error.splitlines()][-1] == "error:"
    assert "Traceback" not in error
    for word in words:
        assert word in error
    assert set(Path.cwd().rglob("*")) == before


def test_a_bed_is_all_it_takes(bed, model, capsys) -> None:
    assert run(["embed", "genes.bed"]) == 0
    error = capsys.readouterr().err
    assert "embedded 6 regions (3339 bases)" in error
    assert "6 of 6 regions are not wholly within those that model mammals671" in error
    found = read_vectors("genes.embeddings.parquet")
    assert described(found.rows) == ROWS
    expected = phylotools.embed(model, regions=[row[:3] for row in ROWS])
    np.testing.assert_array_equal(found.rows.vector, expected)
    assert found.metadata["sha256"] == model.sha256
    assert found.metadata["model"] == "mammals671-mtdna"
    assert (found.metadata["layer"], found.metadata["pool"]) == ("last", "mean")
    refused(capsys, ["genes.bed"], 1, "--force")
    Path("inside.bed").write_text("chrM\t3306\t4260\n")
    assert run(["embed", "inside.bed", "-q"]) == 0
    assert capsys.readouterr().err == ""


def test_gzip_and_stdin_give_the_same(bed, monkeypatch) -> None:
    assert run(["embed", "genes.bed", "-q", "-o", "a.npz"]) == 0
    Path("b.bed.gz").write_bytes(gzip.compress(bed.read_bytes()))
    assert run(["embed", "b.bed.gz", "-q", "--format", "npz"]) == 0
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(bed.read_bytes())))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert run(["embed", "-", "-q", "-o", "c.npz"]) == 0
    a, b, c = (read_vectors(name).rows for name in ("a.npz", "b.embeddings.npz", "c.npz"))
    for other in (b, c):
        assert described(a) == described(other)
        np.testing.assert_array_equal(a.vector, other.vector)


def test_named_regions_in_place_of_a_bed(bed, model) -> None:
    assert run(["embed", "-r", "chrM:3,307-4262", "-r", "MT:1", "-q"]) == 0
    rows = read_vectors("embeddings.parquet").rows
    assert list(zip(rows.start.tolist(), rows.end.tolist(), strict=True)) == [
        (3306, 4262), (0, 16569),
    ]  # fmt: skip
    np.testing.assert_array_equal(
        rows.vector[:1], phylotools.embed(model, regions=[("chrM", 3306, 4262)])
    )


@pytest.mark.parametrize("strand", STRANDS)
def test_options_are_those_of_the_function(bed, model, strand) -> None:
    context = ["--context-pooling"] if strand == "bed" else []
    assert run(["embed", "genes.bed", "-q", "--pool", "max", "--layer", "block.3", "--strand",
                strand, *context, "-o", "v.parquet"]) == 0  # fmt: skip
    found = read_vectors("v.parquet")
    expected = phylotools.embed(model, regions=ROWS, pool="max", layer=3, strand=strand,
                                context_pooling=bool(context))  # fmt: skip
    np.testing.assert_array_equal(found.rows.vector, expected)
    assert found.metadata["context_pooling"] is bool(context)
    assert found.metadata["layer"] == "block.3"


def test_every_base_says_where_it_is(bed, model) -> None:
    assert run(["embed", "genes.bed", "-q", "--pool", "none", "--strand", "bed",
                "-o", "v.zarr"]) == 0  # fmt: skip
    rows = read_vectors("v.zarr").rows
    expected = phylotools.embed(model, regions=ROWS, pool="none", strand="bed")
    np.testing.assert_array_equal(rows.vector, np.concatenate(expected))
    wanted = []
    for contig, start, end, name, strand in ROWS:
        places = range(start, end) if strand != "-" else range(end - 1, start - 1, -1)
        wanted += [(contig, place, place + 1, name, strand) for place in places]
    assert described(rows) == wanted


def test_narrow_numbers(bed) -> None:
    assert run(["embed", "genes.bed", "-q", "-o", "a.parquet"]) == 0
    assert run(["embed", "genes.bed", "-q", "-o", "b.parquet", "--dtype", "float16"]) == 0
    wide, narrow = (read_vectors(name).rows.vector for name in ("a.parquet", "b.parquet"))
    assert narrow.dtype == np.float16
    np.testing.assert_array_equal(wide.astype(np.float16), narrow)


@pytest.mark.parametrize("pool", ["mean", "none"])
def test_the_track_of_components_is_sorted_and_indexed(bed, pool) -> None:
    assert run(["embed", "genes.bed", "-q", "--pool", pool, "--pca", "pc.bed.gz", "--components",
                "2", "-o", "v.parquet", "--summary-json", "s.json"]) == 0  # fmt: skip
    lines = gzip.decompress(Path("pc.bed.gz").read_bytes()).decode().splitlines()
    fields = [line.split("\t") for line in lines if not line.startswith("#")]
    starts = [int(row[1]) for row in fields]
    rows = read_vectors("v.parquet").rows
    assert len(fields) == len(rows)
    assert starts == sorted(starts)
    assert all(len(row) == 14 for row in fields)
    with pysam.TabixFile("pc.bed.gz") as index:
        hits = [line.split("\t") for line in index.fetch("chrM", 14200, 14201)]
    assert {row[3] for row in hits} == {"ND6"}
    assert hits[0][6:8] == hits[0][1:3]
    from sklearn.decomposition import PCA

    oracle = PCA(2, svd_solver="full").fit(rows.vector.astype(np.float64))
    explained = json.loads(Path("s.json").read_text())["explained_variance"]
    np.testing.assert_allclose(explained, oracle.explained_variance_ratio_, rtol=1e-4)
    values = np.array([row[12:] for row in fields], dtype=float)
    expected = oracle.transform(rows.vector.astype(np.float64))
    for k in range(2):
        np.testing.assert_allclose(
            np.sort(np.abs(values[:, k])), np.sort(np.abs(expected[:, k])), atol=2e-3
        )


def test_the_summary_counts(bed) -> None:
    bed.write_text(BED)
    assert run(["embed", "genes.bed", "-q", "--on-outside", "skip", "-o", "v.parquet",
                "--summary-json", "s.json"]) == 0  # fmt: skip
    summary = json.loads(Path("s.json").read_text())
    assert summary["regions"] == 6
    assert summary["regions_left_out"] == 1
    assert summary["width"] == 128
    assert summary["regions_outside_training"] == 6
    assert described(read_vectors("v.parquet").rows) == ROWS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("chrM\t16000\t16570\n", [":1: chrM:16000-16570 runs past the end", "16569"]),
        ("chrM\t1\t5\nchrM\t1\t6\nchr7\t1\t2\n", [":3: ", "no contig 'chr7'", "--on-outside skip"]),
        ("", ["no interval"]),
        ("# only\ntrack x\n", ["no interval"]),
        ("chrM\t5\t5\n", ["no interval"]),
        ("chrM\t9\t5\n", [":1: ", "before start"]),
        ("chrM\t-3\t5\n", [":1: "]),
        ("chrM\t1.5\t5\n", [":1: "]),
        ("chrM\t1\n", [":1: ", "three columns"]),
        ("chrM\t1\t99999999999999999999\n", [":1: "]),
        ("\x00\x01\x02", ["no text"]),
        ("##fileformat=VCFv4.2\nchrM\t1\t.\tA\tG\t.\t.\t.\n", ["VCF"]),
    ],
)
def test_bad_beds_are_one_line(bed, capsys, text, words) -> None:
    bed.write_text(text)
    refused(capsys, ["genes.bed"], 1, "genes.bed", *words)


@pytest.mark.parametrize("path", sorted(HOSTILE.iterdir()), ids=lambda path: path.name)
def test_hostile_beds_give_right_rows_or_one_line(bed, capsys, path) -> None:
    letters = "".join(np.random.default_rng(1).choice(list("ACGTN"), size=3000))
    Path("g.fa").write_text("".join(f">{name}\n{letters}\n" for name in ("chr1", "chr2", "chrX")))
    options = ["-m", "mammals671-mtdna", "-f", "g.fa", "--on-outside", "skip"]
    code = run(["embed", str(path), *options, "-o", "v.tsv", "--pca", "pc.bed.gz"])
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert "internal error" not in error
    complaints = [line for line in error.splitlines() if line.startswith("error: ")]
    assert (code, len(complaints)) in ((0, 0), (1, 1))
    assert Path("v.tsv").exists() == Path("pc.bed.gz.tbi").exists() == (code == 0)
    if code == 0:
        rows = read_vectors("v.tsv").rows
        text = gzip.decompress(Path("pc.bed.gz").read_bytes()).decode()
        assert len(rows) == sum(not line.startswith("#") for line in text.splitlines()) > 0
        assert (rows.end > rows.start).all()


def test_a_truncated_gzip_is_no_short_output(bed, capsys) -> None:
    Path("t.bed.gz").write_bytes(gzip.compress(bed.read_bytes())[:-20])
    refused(capsys, ["t.bed.gz"], 1, "truncated")


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["genes.bed", "-r", "chrM:1-5"], 2, "not both"),
        (["genes.bed", "--layer", "block.99"], 2, "block.8"),
        (["genes.bed", "-o", "v.npz", "--format", "parquet"], 2, "suffix"),
        (["genes.bed", "-o", "genes.bed", "--force"], 2, "input"),
        (["genes.bed", "-o", "nowhere/v.parquet"], 1, "does not exist"),
        (["genes.bed", "-o", "v.bed", "--pca", "v.bed"], 2, "must not be"),
        (["genes.bed", "-o", "v.parquet", "--summary-json", "v.parquet"], 2, "same file"),
        (["genes.bed", "-m", "nobody"], 1, "no model"),
        (["genes.bed", "-f", "absent.fa"], 1, "absent.fa"),
        (["absent.bed"], 1, "absent.bed"),
        (["-r", "chrM:0-5"], 1, "chrM:0-5"),
        (["-r", "chr9:1-5"], 1, "chr9"),
        (["genes.bed", "--device", "abacus"], 2, "device"),
    ],
)
def test_what_cannot_be_is_refused_before_the_work(bed, capsys, arguments, code, word) -> None:
    refused(capsys, arguments, code, word)


@pytest.mark.parametrize(("limit", "kind"), [(1 << 12, "parquet"), (1 << 19, "tsv")])
def test_a_full_disk_is_one_line(bed, capsys, file_size_limit, limit, kind) -> None:
    bed.write_text("chrM\t3306\t4260\n")
    with file_size_limit(limit):
        refused(capsys, ["genes.bed", "--pool", "none", "--format", kind], 1, "cannot write", kind)


def test_binary_formats_are_kept_off_a_terminal(bed, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    refused(capsys, ["genes.bed", "-o", "-"], 2, "terminal")


def test_text_and_parquet_through_a_pipe(bed) -> None:
    command = [sys.executable, "-m", "phylotools", "embed", "-", "-q", "-o", "-"]
    text = subprocess.run([*command, "--format", "tsv"], input=bed.read_bytes(), check=True,
                          capture_output=True).stdout.decode()  # fmt: skip
    lines = text.splitlines()
    assert lines[0].startswith("##phylotools={")
    assert [line.split("\t")[3] for line in lines[2:]] == [row[3] or "." for row in ROWS]
    packed = subprocess.run(command, input=bed.read_bytes(), check=True, capture_output=True)
    Path("p.parquet").write_bytes(packed.stdout)
    assert described(read_vectors("p.parquet").rows) == ROWS


def test_a_closed_pipe_is_quiet(bed) -> None:
    bed.write_text("chrM\t3306\t4260\n")
    with subprocess.Popen(
        [sys.executable, "-m", "phylotools", "embed", "genes.bed", "-q", "--pool", "none",
         "-o", "-", "--format", "tsv"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait() == 141


@pytest.mark.parametrize("name", ["v.zarr", "v.parquet"])
def test_a_kill_leaves_nothing_that_looks_finished(bed, name) -> None:
    bed.write_text("chrM\t0\t16569\n" * 3)
    arguments = ["embed", "genes.bed", "-q", "--pool", "none", "-o", name]
    with subprocess.Popen([*held(name), *arguments], stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: list(Path().glob(".v.*.part")), process, 0.001)
        process.kill()
        assert process.wait() == -9
    assert not Path(name).exists()
    assert run(arguments) == 0
    assert len(read_vectors(name).rows) == 3 * 16569


def test_choices_are_those_of_the_package() -> None:
    choices = {
        parameter.name: tuple(parameter.type.choices)
        for parameter in verb.embed_command.params
        if isinstance(parameter.type, click.Choice)
    }
    assert choices["pool"] == POOLINGS
    assert choices["strand"] == STRANDS
    assert choices["kind"] == FORMATS
    assert set(choices["precision"]) == set(PRECISIONS) == set(options.PRECISIONS)
