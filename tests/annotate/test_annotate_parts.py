"""Annotated in parts, wherever the file is cut: the same bytes, counts and errors as in one go."""

from __future__ import annotations

import dataclasses
import gzip
import os
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from toy_models import CHRM, write_toy_model
from waiting import wait_until

from phylotools.annotate import opening
from phylotools.annotate.run import AnnotationSettings, annotate_file
from phylotools.annotate.stages import (
    AnnotationStages,
    annotate_in_parts,
    finalise_annotation,
    init_annotation,
)
from phylotools.errors import InputError, OutputError, PhylotoolsError, UsageError
from phylotools.io import seams
from phylotools.io.bgzf import BgzfWriter
from phylotools.io.vcf.reader import open_variants
from phylotools.jobs.stages import Resources, run_partitions
from phylotools.model.folder import Model, read_model

DATA = Path(__file__).parents[1] / "data"
GNOMAD = CHRM.parent / "gnomad_v3.1_chrM.vcf.gz"
SEQUENCE = "ACGTTGCANACCGGTTTACGacgttacatTAGCAT"
HEADER = "##fileformat=VCFv4.2\n##contig=<ID=chr1,length=35>\n##contig=<ID=chrM,length=10>\n"
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
SLOW = settings(
    deadline=None,
    max_examples=12,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("parts")
    (folder / "toy.fa").write_text(f">chr1\n{SEQUENCE}\n>chrM\nACGTACGTAC\n")
    loaded = read_model(write_toy_model(folder / "toy"), "cpu")
    return dataclasses.replace(loaded, training_regions=None)


@pytest.fixture(autouse=True)
def often(monkeypatch) -> None:
    """A seam about every 128 bytes, so that small files have some; and no list of models."""
    monkeypatch.setattr(seams.Seams, "bits", 7)
    monkeypatch.setattr(opening, "_advice", lambda: "")


def outcome(function) -> object:  # type: ignore[no-untyped-def]
    """What a run gives: its summary, or its error."""
    try:
        return function()
    except PhylotoolsError as error:
        return type(error), str(error), error.exit_code


def both_ways(
    model: Model, source: Path, folder: Path, suffix: str, chosen: AnnotationSettings, size: int
) -> tuple[bytes | None, object]:
    """Annotate at once and in parts, hold one against the other, and return output and outcome."""
    chosen = dataclasses.replace(
        chosen, fasta=chosen.fasta or str(model.folder.parent / "toy.fa"), force=True
    )
    whole, joined = folder / f"whole{suffix}", folder / f"joined{suffix}"
    for path in (whole, joined):
        for name in (path, Path(f"{path}.tbi"), Path(f"{path}.csi")):
            name.unlink(missing_ok=True)
    one = outcome(lambda: annotate_file(model, str(source), str(whole), chosen))

    def in_parts() -> object:
        with open_variants(str(source)) as stream:
            return annotate_in_parts(
                model,
                stream,
                str(joined),
                folder / "work",
                chosen,
                resources=Resources(threads=1),
                partition_bytes=size,
            )

    many = outcome(in_parts)
    assert many == one
    assert whole.exists() == joined.exists()
    assert not (folder / "work").exists()
    if not whole.exists():
        return None, one
    assert joined.read_bytes() == whole.read_bytes()
    for end in (".tbi", ".csi"):
        index, other = Path(f"{whole}{end}"), Path(f"{joined}{end}")
        assert index.exists() == other.exists()
        assert not index.exists() or index.read_bytes() == other.read_bytes()
    return whole.read_bytes(), one


def bgzip(path: Path, text: bytes, block: int) -> Path:
    """A bgzip file with blocks of so many bytes of text."""
    with open(path, "wb") as raw, BgzfWriter(raw) as writer:
        for start in range(0, len(text), block):
            writer.write(text[start : start + block])
            writer.end_block()
        writer.finish()
    return path


records = st.tuples(
    st.sampled_from(["chr1", "chr1", "chr1", "chrM", "1", "chr9"]),
    st.integers(0, 40),
    st.sampled_from(["A", "C", "G", "T", "AC", "N", "ACG"]),
    st.sampled_from(["A", "C,G", "G", "T,<DEL>", "*", "AT", "."]),
    st.sampled_from(["X=1", ".", "PHYLOGPN_LLR=3;A=2"]),
    st.integers(0, 40),
    st.sampled_from(["\n", "\n", "\n", "\r\n", "\n\n"]),
)


@st.composite
def files(draw) -> bytes:  # type: ignore[no-untyped-def]
    """VCFs with samples, of any order, some without a last newline, without records, broken."""
    n_samples = draw(st.sampled_from([0, 0, 1, 30]))
    columns = "\t".join([COLUMNS, *(["FORMAT"] if n_samples else []), *map(str, range(n_samples))])
    lines = []
    for chrom, pos, ref, alt, info, number, end in draw(st.lists(records, max_size=30)):
        cells = [chrom, str(pos), f"rs{number}" * (1 + number // 20), ref, alt, ".", "PASS", info]
        cells += ["GT"] * bool(n_samples) + ["0|1"] * n_samples
        lines.append("\t".join(cells) + end)
    if draw(st.integers(0, 9)) == 0:
        lines.append("chr1\tx\tbroken\n")
    text = (HEADER + columns + "\n" + "".join(lines)).encode()
    return text.removesuffix(b"\n") if draw(st.booleans()) else text


@SLOW
@given(
    files(),
    st.integers(1, 400),
    st.sampled_from([None, 7, 50, 200]),
    st.sampled_from([".vcf", ".vcf.gz"]),
    st.sampled_from(["skip", "warn", "error"]),
)
def test_any_cut_gives_the_same(model, tmp_path, text, size, block, suffix, policy) -> None:
    source = tmp_path / "in.vcf"
    if block is None:
        source.write_bytes(text)
    else:
        bgzip(source, text, block)
    both_ways(model, source, tmp_path, suffix, AnnotationSettings(on_ref_mismatch=policy), size)


def long_file(n: int, *, quoted: bool = False) -> list[tuple[str, int, str, str, str]]:
    """Variants in order on the contig of 35 bases: contig, position, REF, ALT and a note."""
    rows = []
    for index in range(n):
        site = index * 35 // n
        ref = SEQUENCE[site].upper()
        alt = "ACGTA"["ACGT".find(ref) + 1]
        note = f'"n, {index}\nand ""more"""' if quoted and index % 3 == 0 else f"n{index}"
        rows.append(("chr1", site + 1, ref, alt, note))
    return rows


def vcf_of(rows: list[tuple[str, int, str, str, str]]) -> bytes:
    lines = [
        f"{contig}\t{pos}\t{note}\t{ref}\t{alt}\t.\tPASS\tX={note}\n"
        for contig, pos, ref, alt, note in rows
    ]
    declared = '##INFO=<ID=X,Number=1,Type=String,Description="x">\n'
    return (HEADER + declared + COLUMNS + "\n" + "".join(lines)).encode()


def n_parts(model: Model, source: Path, work: Path, size: int) -> int:
    fasta = str(model.folder.parent / "toy.fa")
    with open_variants(str(source)) as stream:
        plan = init_annotation(
            model, stream, work, AnnotationSettings(fasta=fasta), partition_bytes=size
        )
    return plan.n_partitions


@pytest.mark.parametrize("suffix", [".vcf", ".vcf.gz", ".bcf"])
def test_bcf_is_cut_between_records(model, tmp_path: Path, suffix: str) -> None:
    text = tmp_path / "in.vcf"
    text.write_bytes(vcf_of(long_file(300)))
    found = subprocess.run(["bcftools", "view", "-Ou", str(text)], check=True, capture_output=True)
    source = bgzip(tmp_path / "in.bcf", found.stdout, 300)
    assert n_parts(model, source, tmp_path / "n", 500) > 3
    found, _ = both_ways(model, source, tmp_path, suffix, AnnotationSettings(), 500)
    assert found is not None


def test_lines_of_errors_are_those_of_the_file(model, tmp_path: Path) -> None:
    text = vcf_of(long_file(300)).replace(b"chr1\t30\t", b"chr1\t3x\t", 1)
    line = text[: text.index(b"3x")].count(b"\n") + 1
    source = bgzip(tmp_path / "in.vcf.gz", text, 700)
    _, found = both_ways(model, source, tmp_path, ".vcf", AnnotationSettings(), 100)
    assert found[0] is InputError
    assert f"{source}:{line}: POS '3x' is not a whole number" in found[1]


def test_another_assembly_is_refused_by_all_parts_together(model, tmp_path: Path) -> None:
    rows = [(contig, pos, "TGCA"["ACGTN".find(ref) % 4], alt, note)
            for contig, pos, ref, alt, note in long_file(300)]  # fmt: skip
    source = tmp_path / "in.vcf"
    source.write_bytes(vcf_of(rows))
    _, found = both_ways(model, source, tmp_path, ".vcf", AnnotationSettings(), 1000)
    assert found[0] is InputError
    assert "of 300 records (first: chr1:1 REF T, reference A)" in found[1]


@pytest.mark.parametrize("kind", ["tsv", "csv", "quoted.csv", "tsv.gz", "quoted.csv.gz"])
def test_tables_are_cut_between_rows(model, tmp_path: Path, kind: str) -> None:
    rows = long_file(200, quoted=kind.startswith("quoted"))
    between = "\t" if kind.startswith("tsv") else ","
    lines = [
        between.join(map(str, row)) + "\r\n" for row in [("CHROM", "POS", "REF", "ALT", "X"), *rows]
    ]
    text = "".join(lines).encode()
    source = tmp_path / f"in.{kind}"
    if kind.endswith(".gz"):
        bgzip(source, text, 300)
    else:
        source.write_bytes(text)
    assert n_parts(model, source, tmp_path / "n", 400) > 3
    suffix = f".{kind.removeprefix('quoted.').removesuffix('.gz')}"
    for end, size in (("", 300), (".gz", 700)):
        found, _ = both_ways(model, source, tmp_path, f"{suffix}{end}", AnnotationSettings(), size)
        assert found is not None


def test_parquet_is_cut_by_rows(model, tmp_path: Path) -> None:
    rows = long_file(200)
    columns = dict(
        zip(("chrom", "pos", "ref", "alt", "note"), map(list, zip(*rows, strict=True)), strict=True)
    )
    source = tmp_path / "in.parquet"
    parquet.write_table(pyarrow.table(columns), source, row_group_size=60)
    assert n_parts(model, source, tmp_path / "n", 32 * 30) == 7
    for chosen in (AnnotationSettings(), AnnotationSettings(regions=("chr1:5-20",))):
        found, _ = both_ways(model, source, tmp_path, ".parquet", chosen, 32 * 30)
        assert found is not None


@pytest.mark.parametrize("is_indexed", [True, False])
@pytest.mark.parametrize("form", ["vcf.gz", "bcf"])
def test_regions(model, tmp_path: Path, form: str, is_indexed: bool) -> None:
    text = tmp_path / "in.vcf"
    text.write_bytes(vcf_of(long_file(400)))
    kind = "-Ou" if form == "bcf" else "-Ov"
    found = subprocess.run(["bcftools", "view", kind, str(text)], check=True, capture_output=True)
    source = bgzip(tmp_path / f"in.{form}", found.stdout, 500)
    if is_indexed:
        subprocess.run(["bcftools", "index", str(source)], check=True)
    chosen = AnnotationSettings(regions=("chr1:4-9", "chr1:20", "chrM"))
    found, summary = both_ways(model, source, tmp_path, ".vcf", chosen, 300)
    assert found is not None
    assert 0 < summary.n_records < 400


def test_gzip_is_one_part_and_a_stream_none(model, tmp_path: Path) -> None:
    source = tmp_path / "in.vcf.gz"
    source.write_bytes(gzip.compress(vcf_of(long_file(300))))
    assert n_parts(model, source, tmp_path / "n", 100) == 1
    both_ways(model, source, tmp_path, ".vcf.gz", AnnotationSettings(), 100)
    pipe = tmp_path / "pipe.vcf"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(source.read_bytes(),))
    writer.start()
    try:
        with pytest.raises(UsageError, match="every part reads it: give a file, not a stream"):
            n_parts(model, pipe, tmp_path / "m", 100)
    finally:
        writer.join()


def test_a_folder_is_no_output(model, tmp_path: Path) -> None:
    """Told before the work, not by the system at its end."""
    source = tmp_path / "in.vcf"
    source.write_bytes(vcf_of(long_file(3)))
    (tmp_path / "out").mkdir()
    chosen = AnnotationSettings(fasta=str(model.folder.parent / "toy.fa"), force=True)
    with (
        open_variants(str(source)) as stream,
        pytest.raises(OutputError, match="out: is a folder; choose another name"),
    ):
        annotate_in_parts(
            model, stream, str(tmp_path / "out"), tmp_path / "work", chosen,
            resources=Resources(threads=1),
        )  # fmt: skip
    assert not (tmp_path / "work").exists()


def test_a_truncated_file_is_refused_before_the_work(model, tmp_path: Path) -> None:
    source = bgzip(tmp_path / "in.vcf.gz", vcf_of(long_file(300)), 700)
    source.write_bytes(source.read_bytes()[:-28])
    _, found = both_ways(model, source, tmp_path, ".vcf", AnnotationSettings(), 500)
    assert found[0] is InputError
    assert "no end marker" in found[1]


def test_warnings_are_of_the_whole_file(model, tmp_path: Path, caplog) -> None:
    rows = long_file(300)
    rows[7] = ("chr1", 1, "T", "A", "bad")
    rows[250] = ("chr9", 1, "T", "A", "elsewhere")
    source = tmp_path / "in.vcf"
    source.write_bytes(
        vcf_of(rows).replace(b"##fileformat=VCFv4.2\n", b"").replace(b"\nchr9", b"\n\nchr9")
    )
    with caplog.at_level("WARNING"):
        both_ways(model, source, tmp_path, ".vcf", AnnotationSettings(), 1000)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) >= 8
    assert sorted(told[: len(told) // 2]) == sorted(told[len(told) // 2 :])


HOSTILE = [
    path
    for folder in ("vcf_edge_cases", "hostile_variants")
    for path in sorted((DATA / folder).iterdir())
    if path.suffix not in (".tbi", ".csi", ".md", ".fa", ".fai", ".tsv")
]


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.name)
def test_files_of_other_projects(model, tmp_path: Path, path: Path) -> None:
    size = max(200, path.stat().st_size // 3)
    chosen = AnnotationSettings(fasta=str(CHRM))
    both_ways(model, path, tmp_path, ".vcf.gz", chosen, size)


def test_a_killed_worker_costs_its_part_alone(model, tmp_path: Path) -> None:
    work, chosen = tmp_path / "w", AnnotationSettings(fasta=str(CHRM), threads=1)
    with open_variants(str(GNOMAD)) as stream:
        plan = init_annotation(model, stream, work, chosen, partition_bytes=20_000)
    n = plan.n_partitions
    assert n > 5
    command = [sys.executable, "-P", "-m", "phylotools", "annotate-partition", str(work), "-@", "1"]
    with subprocess.Popen([*command, *map(str, range(n))]) as child:
        wait_until((work / "pieces" / "000001").is_dir, child)
        child.kill()
    pieces = [path for path in (work / "pieces").iterdir() if path.name.isdigit()]
    done = {path: path.stat().st_mtime_ns for path in pieces}
    output = tmp_path / "out.vcf.gz"
    if len(done) < n:
        with pytest.raises(PhylotoolsError, match="partitions are missing"):
            finalise_annotation(work, str(output))
        assert not output.exists()
    stages = AnnotationStages(model)
    assert run_partitions(stages, work, range(n), Resources(threads=1)) == n - len(done)
    finalise_annotation(work, str(output))
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())
    annotate_file(model, str(GNOMAD), str(tmp_path / "one.vcf.gz"), chosen)
    assert output.read_bytes() == (tmp_path / "one.vcf.gz").read_bytes()
