"""Indexes made while a file is written, against htslib's own of the same file."""

from __future__ import annotations

import gzip
import itertools
import random
import subprocess
from pathlib import Path

import pysam
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from phylotools.io.bgzf import compress_block, compress_blocks
from phylotools.io.files import BGZF_EOF
from phylotools.io.position_index.builder import IndexBuilder, IndexPart, join_parts
from phylotools.io.position_index.encoding import encode_index, index_bytes
from phylotools.io.position_index.lines import LineKind
from phylotools.io.position_index.writer import (
    IndexedTextWriter,
    compress_lines,
    notes_of_blocks,
    write_index,
)

COLUMNS = {
    LineKind.VCF: {"preset": "vcf"},
    LineKind.BED: {"seq_col": 0, "start_col": 1, "end_col": 2, "zerobased": True},
    LineKind.POSITIONS: {"seq_col": 0, "start_col": 1, "end_col": 1, "zerobased": False},
}


def htslib_index(path: Path, kind: LineKind, *, is_csi: bool) -> bytes:
    index = str(path) + ".htslib"
    pysam.tabix_index(
        str(path), force=True, keep_original=True, index=index, csi=is_csi, **COLUMNS[kind]
    )
    with gzip.open(index) as handle:
        return handle.read()


def own_index(part: IndexPart, *, is_csi: bool) -> bytes:
    return gzip.decompress(index_bytes(part, is_csi=is_csi))


def parts_of(text: bytes, kind: LineKind, cuts: list[int], path: Path) -> IndexPart:
    """Write a text in parts, cut at these lines, each with blocks of its own, and join them."""
    lines = text.splitlines(keepends=True)
    bounds = [0, *sorted(cut % (len(lines) + 1) for cut in cuts), len(lines)]
    made = [
        compress_lines(b"".join(lines[begin:end]), kind)
        for begin, end in itertools.pairwise(bounds)
    ]
    path.write_bytes(b"".join(each.blocks for each in made) + BGZF_EOF)
    end = IndexBuilder(kind)
    end.add_blocks(BGZF_EOF)
    parts = [IndexPart.from_bytes(each.part.to_bytes()) for each in made]
    return join_parts([*parts, end.part()], kind)


def compare(text: bytes, kind: LineKind, cuts: list[int], folder: Path) -> None:
    path = folder / "file.gz"
    part = parts_of(text, kind, cuts, path)
    for is_csi in (False, True):
        assert own_index(part, is_csi=is_csi) == htslib_index(path, kind, is_csi=is_csi)


#: Positions around the borders of bins of every size, and any others.
BORDERS = st.builds(
    lambda shift, number, by: max((number << shift) + by, 0),
    st.sampled_from([14, 17, 20, 23, 26]),
    st.integers(0, 7),
    st.integers(-2, 2),
)
STARTS = st.one_of(BORDERS, st.integers(0, (1 << 29) - (1 << 22)))
LENGTHS = st.one_of(st.just(1), st.integers(1, 40), st.integers(1, 1 << 22))
SPANS = st.lists(st.tuples(STARTS, LENGTHS), min_size=1, max_size=60)
CONTIGS = st.lists(SPANS, min_size=1, max_size=5)
#: Text that does not compress moves lines over blocks.
FILLING = st.sampled_from([0, 10, 3000, 40_000])
ORACLE = settings(
    max_examples=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


def noise(seed: int, length: int) -> bytes:
    return random.Random(seed).randbytes(length // 2).hex().encode()


@ORACLE
@given(contigs=CONTIGS, filling=FILLING, cuts=st.lists(st.integers(0, 300), max_size=3))
def test_bed(tmp_path, contigs, filling, cuts):
    lines = [b"#track\n"]
    for number, spans in enumerate(contigs):
        for k, (start, length) in enumerate(sorted(spans)):
            end = min(start + length, 1 << 29)
            lines.append(b"c%d\t%d\t%d\t%s\n" % (number, start, end, noise(k, filling)))
    compare(b"".join(lines), LineKind.BED, cuts, tmp_path)


@ORACLE
@given(contigs=CONTIGS, filling=FILLING, cuts=st.lists(st.integers(0, 300), max_size=3))
def test_tables_of_positions(tmp_path, contigs, filling, cuts):
    lines = []
    for number, spans in enumerate(contigs):
        for k, (start, _) in enumerate(sorted(spans)):
            lines.append(b"c%d\t%d\t%s\n" % (number, start + 1, noise(k, filling)))
    compare(b"".join(lines), LineKind.POSITIONS, cuts, tmp_path)


ALLELES = st.sampled_from(
    ["T", "<DEL>", "<DEL:ME:ALU>", "<DUP>", "<INV>", "<CNV:TR>", "<INS>", "<*>", "<NON_REF>", "*",
     "<DELX>", "<DEL", "T<*>", "]c1:9]T"]
)  # fmt: skip
INFO = st.lists(
    st.one_of(
        st.builds("END={}".format, st.sampled_from([".", "0", "7", "30000", "1000000", "-4", "x"])),
        st.builds(
            "SVLEN={}".format,
            st.lists(
                st.sampled_from([".", "-70000", "+12", "2000000", "5", "z"]), min_size=1, max_size=3
            ).map(",".join),
        ),
        st.sampled_from(["XEND=99999", "CIEND=1,2", "AC=1,300000", "DB", "MSVLEN=800000"]),
    ),
    min_size=1,
    max_size=4,
).map(";".join)
FORMATS = st.sampled_from(
    ["", "\tGT\t0/1\t0/0", "\tGT:LEN\t0/0:50000\t0/0:90000", "\tLEN\t7\t.", "\tGT:XLEN:LEN\t0\t1:2",
     "\tGT:LEN:DP\t0/0:20:4\t0/1:300000:5"]
)  # fmt: skip
VARIANTS = st.lists(
    st.tuples(
        STARTS,
        st.integers(1, 60),
        st.lists(ALLELES, min_size=1, max_size=3).map(",".join),
        INFO,
        FORMATS,
    ),
    min_size=1,
    max_size=25,
)
#: The highest that a header declares.
DECLARED = st.sampled_from([None, 1, 1 << 29, (1 << 32) - 300, 1 << 33, 1 << 36])


@ORACLE
@given(
    contigs=st.lists(VARIANTS, min_size=1, max_size=3),
    declared=DECLARED,
    cuts=st.lists(st.integers(0, 60), max_size=2),
)
def test_vcf_as_htslib_computes_the_end(tmp_path, contigs, declared, cuts):
    head = "##fileformat=VCFv4.4\n"
    if declared is not None:
        head += f"##contig=<ID=c0,length={declared}>\n##contig=<ID=c1,length=5>\n"
    lines = [head, "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"]
    for number, variants in enumerate(contigs):
        for start, length, alt, info, formats in sorted(variants):
            ref = "ACGT"[start % 4] * length
            lines.append(f"c{number}\t{start}\t.\t{ref}\t{alt}\t.\t.\t{info}{formats}\n")
    compare("".join(lines).encode(), LineKind.VCF, cuts, tmp_path)


def test_a_large_table_with_small_bins_and_many_contigs(tmp_path):
    draw = random.Random(3)
    lines = [b"##made=by hand\n#contig\tpos\n"]
    for contig in range(40):
        size = 20_000 if contig < 3 else draw.randint(1, 30)
        starts = sorted(draw.randint(1, 1 << draw.choice([12, 20, 28])) for _ in range(size))
        lines += [b"contig%d\t%d\t%.6f\n" % (contig, start, draw.random()) for start in starts]
    compare(b"".join(lines), LineKind.POSITIONS, [7, 9000, 9001, 41_000], tmp_path)


def test_contigs_beyond_tabix(tmp_path):
    lines = [b"big\t%d\t%d\n" % (k << 27, (k << 27) + 5000) for k in range(40)]
    text = b"".join(lines)
    path = tmp_path / "file.gz"
    part = parts_of(text, LineKind.BED, [3, 30], path)
    assert own_index(part, is_csi=True) == htslib_index(path, LineKind.BED, is_csi=True)
    assert encode_index(part).suffix == ".csi"
    with pytest.raises(ValueError, match="too high for an index"):
        index_bytes(part, is_csi=False)
    assert encode_index(parts_of(b"".join(lines[:4]), LineKind.BED, [], path)).suffix == ".tbi"
    assert encode_index(part, longest_contig=1 << 29).suffix == ".csi"


@pytest.mark.parametrize("threads", [1, 3])
def test_a_file_that_is_written_in_any_pieces(tmp_path, threads):
    text = b"#contig\tpos\n" + b"".join(b"c\t%d\t%d\n" % (k, k * k) for k in range(1, 30_000))
    path = tmp_path / "file.gz"
    draw = random.Random(1)
    made = compress_lines(b"d\t7\t1\n" * 9000, LineKind.POSITIONS)
    with (
        open(path, "wb") as raw,
        IndexedTextWriter(raw, LineKind.POSITIONS, threads=threads) as writer,
    ):
        at = 0
        while at < len(text):
            size = draw.choice([1, 17, 5000, 100_000])
            writer.write(memoryview(text)[at : at + size])
            at += size
        writer.write_blocks(made.blocks, made.part)
        writer.write(b"d\t8\tlast\n")
        writer.finish()
    write_index(path, writer.part())
    theirs = htslib_index(path, LineKind.POSITIONS, is_csi=False)
    with gzip.open(f"{path}.tbi") as handle:
        assert handle.read() == theirs
    whole = notes_of_blocks(path.read_bytes(), LineKind.POSITIONS, "file.gz")
    assert own_index(whole, is_csi=False) == theirs
    with pysam.TabixFile(str(path)) as table:
        assert list(table.fetch("c", 9, 11)) == ["c\t10\t100", "c\t11\t121"]
        assert len(list(table.fetch("d"))) == 9001


def test_the_index_of_bcftools(tmp_path):
    """Of another build of htslib, for what all builds have alike."""
    path = tmp_path / "file.vcf.gz"
    head = "##fileformat=VCFv4.2\n##contig=<ID=1,length=248956422>\n"
    head += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    lines = [f"1\t{k * 977 + 1}\t.\tA{'C' * (k % 50)}\tG\t.\t.\t.\n" for k in range(20_000)]
    part = parts_of((head + "".join(lines)).encode(), LineKind.VCF, [9000], path)
    for flag, is_csi in (("--tbi", False), ("--csi", True)):
        index = tmp_path / "made"
        try:
            subprocess.run(["bcftools", "index", flag, "-f", "-o", index, path], check=True)
        except FileNotFoundError:
            pytest.skip("bcftools (Debian package bcftools) is not here")
        assert own_index(part, is_csi=is_csi) == gzip.decompress(index.read_bytes())


def test_files_without_a_record(tmp_path):
    for text in (b"", b"##only\n#header\n"):
        compare(text, LineKind.POSITIONS, [1], tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"a\t5\na\t4\n", "not sorted: a:4 comes after a higher position"),
        (b"a\t5\nb\t4\na\t9\n", "not sorted: a stands in two places"),
        (b"a\t5\na\tx\n", "a line has no position: 'a\\\\tx'"),
        (b"a\t5\n\na\t6\n", "a line has no position: ''"),
        (b"a\t5\na\t6", "the last line has no end"),
    ],
)
def test_what_cannot_be_indexed_says_why(text, problem):
    builder = IndexBuilder(LineKind.POSITIONS)
    builder.add_text(text)
    builder.add_blocks(compress_block(text) + BGZF_EOF)
    with pytest.raises(ValueError, match=problem):
        encode_index(builder.part())


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ([b"a\t5\n", b"a\t4\n"], "not sorted: a:4 comes after"),
        ([b"a\t5\n", b"b\t4\n", b"a\t9\n"], "a stands in two places"),
        ([b"a\t5\n", b"b\t4\nb\t3\n"], "b:3 comes after"),
    ],
)
def test_parts_that_are_not_sorted_say_why(texts, problem):
    parts = [compress_lines(text, LineKind.POSITIONS).part for text in texts]
    with pytest.raises(ValueError, match=problem):
        encode_index(join_parts(parts, LineKind.POSITIONS))


def test_one_record_that_spans_everything_takes_no_memory():
    """htslib keeps a number for each window of 16 kb."""
    head = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    line = b"c\t1\t.\tA\t<DEL>\t.\t.\tEND=%d\n" % (1 << 38)
    part = compress_lines(head + line, LineKind.VCF).part
    assert len(part.to_bytes()) < 400
    assert len(index_bytes(part, is_csi=True)) < 200
    assert compress_blocks(b"") == b""
