"""Stages of `annotate` together: nothing lost, nothing swallowed, both ways of judging alike."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.annotate import opening as annotate_module
from phylotools.annotate.judging import Judge
from phylotools.annotate.run import AnnotationSettings, annotate_file
from phylotools.annotate.variants import InfoFields, VariantAnnotator
from phylotools.errors import InputError, OutputError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.vcf import reader
from phylotools.io.vcf.text import VcfHeader
from phylotools.scoring.scorer import Scorer

COLUMNS = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
HEADER = b"##fileformat=VCFv4.2\n##contig=<ID=chr1,length=35>\n##contig=<ID=chrM,length=10>\n"
# chr1 is ACGTTGCANACCGGTTTACGACGTTACATTAGCAT, chrM is ACGTACGTAC (see conftest).
KEYS = {key.encode() for key in InfoFields().keys}
STAGES = {"read", "judge", "score", "write"}

letters = st.text("ACGTNacgtnR", min_size=1, max_size=3)
plain_refs = st.sampled_from("ACGTacgtN")
other_alts = st.sampled_from(
    [".", "*", "<DEL>", "<*>", "<NON_REF>", "<a[b>", "<", "[", "A[1:3[", "A.", ".A", "", "?", "é"]
)
rows = st.tuples(
    st.sampled_from(["chr1", "chr1", "chrM", "1", "chr9", "chr1x"]),
    st.integers(-1, 40),
    plain_refs | letters,
    st.lists(st.sampled_from("ACGTacgtNR") | letters | other_alts, min_size=1, max_size=3),
    st.sampled_from(
        ["A=1", "A=1;", "PHYLOGPN_LLR=9", "X;PHYLOGPN_RATE=.;Y", "PHYLOGPNX=3", ".", ""]
    ),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
)


def line_of(row: tuple) -> bytes:
    chrom, pos, ref, alts, info, end = row
    return f"{chrom}\t{pos}\tid\t{ref}\t{','.join(alts)}\t.\tPASS\t{info}{end}".encode()


@pytest.fixture
def names(monkeypatch) -> None:
    monkeypatch.setattr(annotate_module, "_advice", lambda: "")


@settings(deadline=None, max_examples=50)
@given(st.lists(rows, max_size=8), st.sampled_from(["skip", "warn"]), st.booleans())
def test_the_compiled_path_is_the_general_one(
    toy_model, genome, generated: list, policy: str, score_indels: bool
) -> None:
    batch = list(enumerate(map(line_of, generated), start=1))
    outcomes = []
    try:
        for uses_compiled_loops in (True, False):
            Judge.uses_compiled_loops = uses_compiled_loops
            annotator = VariantAnnotator(
                Scorer(toy_model, genome, threads=1),
                VcfHeader((), COLUMNS),
                "x.vcf",
                on_ref_mismatch=policy,  # type: ignore[arg-type]
                score_indels=score_indels,
            )
            text = bytes(annotator.annotate(batch).text)
            checked = annotator.assembly
            outcomes.append((text, annotator.statuses, checked.n_checked, checked.first_mismatch))
    finally:
        Judge.uses_compiled_loops = True
    assert outcomes[0] == outcomes[1]


@settings(deadline=None, max_examples=40)
@given(st.lists(rows, min_size=1, max_size=8))
def test_lines_are_put_together_as_if_column_by_column(toy_model, genome, generated: list) -> None:
    annotator = VariantAnnotator(
        Scorer(toy_model, genome, threads=1), VcfHeader((), COLUMNS), "x.vcf"
    )
    batch = list(enumerate(map(line_of, generated), start=1))
    written = annotator.annotate(batch).lines
    assert len(written) == len(batch)
    for (_, line), found in zip(batch, written, strict=True):
        line = line.replace(b"\n\n", b"\n")
        end = b"\r\n" if line.endswith(b"\r\n") else b"\n"
        columns = line.removesuffix(end).split(b"\t")
        added = found.removesuffix(end)[found.rindex(b"PHYLOGPN_LLR=") :]
        kept = [x for x in columns[7].split(b";") if x.split(b"=")[0] not in KEYS]
        if kept == [b"."]:
            kept = []
        if kept[-1:] == [b""]:  # it ended in a semicolon, or was empty
            kept.pop()
        columns[7] = b";".join([*kept, added])
        assert found == b"\t".join(columns) + end


def make_file(path: Path, n_records: int, order: np.ndarray | None = None) -> Path:
    sequence = "ACGTTGCANACCGGTTTACGACGTTACATTAGCAT"
    sites = [site for site in range(35) if sequence[site] != "N"]
    rows = []
    for index in order if order is not None else range(n_records):
        site = sites[int(index) * len(sites) // n_records]
        alt = "CGTA"["ACGT".index(sequence[site])]
        alt = {0: alt, 1: f"{alt}A{alt}", 2: "<DEL>"}.get(int(index) % 9, alt)
        rows.append(f"chr1\t{site + 1}\trs{index}\t{sequence[site]}\t{alt}\t.\t.\tX={index}\n")
    path.write_bytes(HEADER + COLUMNS + b"\n" + "".join(rows).encode())
    return path


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("size", [1, 50, 700, 1 << 20])
def test_the_size_of_blocks_changes_nothing(
    toy_model, tmp_path: Path, monkeypatch, size: int
) -> None:
    source = make_file(tmp_path / "in.vcf", 300)
    monkeypatch.setattr(reader, "BLOCK_BYTES", size)
    summary = annotate_file(
        toy_model, str(source), str(tmp_path / "a.vcf.gz"), AnnotationSettings(threads=2)
    )
    assert summary.n_records == 300
    with pysam.BGZFile(str(tmp_path / "a.vcf.gz"), "r") as handle:
        text = handle.read()
    annotator = VariantAnnotator(
        Scorer(toy_model, ReferenceGenome.open(toy_model.reference_fasta)),
        VcfHeader((), COLUMNS),
        "x.vcf",
    )
    lines = source.read_bytes().split(COLUMNS + b"\n")[1].splitlines(keepends=True)
    expected = bytes(annotator.annotate(list(enumerate(lines, start=5))).text)
    assert text.split(COLUMNS + b"\n")[1] == expected
    assert not STAGES & {thread.name for thread in threading.enumerate()}


@pytest.mark.usefixtures("names")
def test_order_changes_no_record(toy_model, tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(300)
    texts = []
    for name, given_order in (("sorted", None), ("shuffled", order)):
        source = make_file(tmp_path / f"{name}.vcf", 300, given_order)
        output = tmp_path / f"{name}.out.vcf"
        annotate_file(toy_model, str(source), str(output))
        texts.append(output.read_bytes().split(COLUMNS + b"\n")[1].splitlines())
    assert [texts[0][index] for index in order] == texts[1]


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("stage", ["judge", "score", "write"])
@pytest.mark.parametrize("at_block", [0, 3])
def test_a_failure_of_any_stage_ends_the_run_and_leaves_nothing(
    toy_model, tmp_path: Path, monkeypatch, stage: str, at_block: int
) -> None:
    source = make_file(tmp_path / "in.vcf", 300)
    monkeypatch.setattr(reader, "BLOCK_BYTES", 500)
    n_calls = 0
    original = getattr(VariantAnnotator, stage)

    def fail(*arguments: object) -> object:
        nonlocal n_calls
        n_calls += 1
        if n_calls == at_block + 1:
            raise InputError("is broken", path="x")
        return original(*arguments)

    monkeypatch.setattr(VariantAnnotator, stage, fail)
    with pytest.raises(InputError, match="is broken"):
        annotate_file(toy_model, str(source), str(tmp_path / "a.vcf.gz"))
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".fa"] == ["in.vcf"]
    assert not STAGES & {thread.name for thread in threading.enumerate()}
    assert not any(thread.name.startswith("compress") for thread in threading.enumerate())


@pytest.mark.usefixtures("names")
def test_damage_far_into_a_file_is_found(toy_model, tmp_path: Path, monkeypatch) -> None:
    source = make_file(tmp_path / "in.vcf", 300)
    monkeypatch.setattr(reader, "BLOCK_BYTES", 500)
    lines = source.read_bytes().splitlines(keepends=True)
    lines[250] = lines[250].replace(b"\tX=", b" X=")
    source.write_bytes(b"".join(lines))
    with pytest.raises(InputError, match=r"in\.vcf:251: the record has 7 tab-separated columns"):
        annotate_file(toy_model, str(source), str(tmp_path / "a.vcf"))


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("name", ["a.vcf", "a.vcf.gz", "a.bcf"])
def test_a_full_disk_leaves_nothing(
    toy_model, tmp_path: Path, monkeypatch, file_size_limit, name: str
) -> None:
    # Its INFO is declared nowhere, which BCF would refuse.
    source = make_file(tmp_path / "in.vcf", 3000)
    text = source.read_bytes()
    declared = b'##INFO=<ID=X,Number=1,Type=Integer,Description="x">\n##ALT=<ID=DEL>\n'
    source.write_bytes(text.replace(b"#CHROM", declared + b"#CHROM", 1))
    monkeypatch.setattr(reader, "BLOCK_BYTES", 10_000)
    with file_size_limit(4000), pytest.raises(OutputError, match=r"cannot (be )?writ"):
        annotate_file(toy_model, str(source), str(tmp_path / name))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.vcf", "toy.fa"]


def test_a_file_that_is_on_another_genome_writes_nothing_to_a_stream(
    toy_model, tmp_path: Path, capfdbinary, monkeypatch
) -> None:
    monkeypatch.setattr(annotate_module, "_advice", lambda: "train one")
    source = tmp_path / "in.vcf"
    source.write_bytes(b"##fileformat=VCFv4.2\n" + COLUMNS + b"\nchrX\t1\t.\tA\tC\t.\t.\t.\n")
    with pytest.raises(InputError, match="no record is on a contig"):
        annotate_file(toy_model, str(source), "-")
    assert capfdbinary.readouterr().out == b""
