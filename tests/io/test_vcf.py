from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

import pysam
import pytest
from field_tools import require
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.errors import InputError, OutputError, UsageError
from phylotools.io.bgzf import BgzfWriter
from phylotools.io.vcf.reader import open_variants
from phylotools.io.vcf.records import LineBlock, scan_records
from phylotools.io.vcf.text import VcfHeader, info_keys_pattern, quote, remove_entries
from phylotools.io.vcf.writer import VariantSink, choose_output_type, open_variant_output

DATA = Path(__file__).parents[1] / "data"
EDGE_CASES = DATA / "vcf_edge_cases"
MTDNA = Path(__file__).parents[2] / "examples" / "human_mtdna" / "data"
GNOMAD = MTDNA / "gnomad_v3.1_chrM.vcf.gz"
CLINVAR = MTDNA / "clinvar_20220525_chrM_snv.vcf.gz"
#: What must be an error, and what the error says; every other edge case must be read.
BROKEN = {
    "bgzf_no_eof.vcf.gz": "truncated",
    "empty.vcf": "is empty",
    "seven_columns.vcf": "vcf:4: the header line lacks INFO",
    "spaces.vcf": "vcf:4: the columns are not separated by tabs",
    "truncated.vcf.gz": "truncated",
}
#: Read, but not byte for byte: what is wrong is left out or mended, with a warning.
MENDED = {"blank_lines.vcf", "no_fileformat.vcf", "utf8_bom.vcf"}
OLD = info_keys_pattern(["P_LLR", "P_STATUS"])


def bcftools(*arguments: str | Path) -> bytes:
    require("bcftools")
    return subprocess.run(
        ["bcftools", *map(str, arguments)], check=True, capture_output=True
    ).stdout


def read_all(path: Path) -> bytes:
    with open_variants(path) as stream:
        return stream.header.to_bytes() + b"".join(line for _, line in stream.records)


@pytest.mark.parametrize("name", sorted(path.name for path in EDGE_CASES.iterdir()))
def test_edge_cases_come_through_byte_for_byte(name: str) -> None:
    path = EDGE_CASES / name
    if name in BROKEN:
        with pytest.raises(InputError, match=BROKEN[name]):
            read_all(path)
        return
    text = read_all(path)
    if name == "bcf.bcf":
        assert text == bcftools("view", "--no-version", path)
    elif name not in MENDED:
        data = path.read_bytes()
        assert text == (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)


def test_mended_files() -> None:
    plain = (EDGE_CASES / "plain.vcf").read_bytes()
    assert read_all(EDGE_CASES / "blank_lines.vcf") == plain
    assert read_all(EDGE_CASES / "utf8_bom.vcf") == plain
    mended = read_all(EDGE_CASES / "no_fileformat.vcf")
    assert mended.split(b"\n", 1)[1] == (EDGE_CASES / "no_fileformat.vcf").read_bytes()
    assert mended.startswith(b"##fileformat=VCFv4.2\n")


def read_error(path: Path) -> str:
    """The one line that reading a file and scanning its records ends in."""

    def read() -> None:
        with open_variants(path) as stream:
            for block in stream.blocks:
                scan_records(block, stream.header.n_columns, stream.path)

    with pytest.raises(InputError) as caught:
        read()
    return str(caught.value)


def test_files_joined_by_cat(tmp_path: Path) -> None:
    plain = (EDGE_CASES / "plain.vcf").read_bytes()
    n_lines = plain.count(b"\n")
    path = tmp_path / "in"
    path.write_bytes(plain + plain)
    expected = f":{n_lines + 1}: a second header begins here; join files with `bcftools concat`"
    assert expected in read_error(path)
    path.write_bytes(gzip.compress(plain) + gzip.compress(plain))
    assert expected in read_error(path)
    path.write_bytes(plain + plain[plain.index(b"#CHROM") :])
    assert expected in read_error(path)
    bcf = (EDGE_CASES / "bcf.bcf").read_bytes()
    path.write_bytes(bcf + bcf)
    assert "a second header begins within it; join files with" in read_error(path)


def test_headers_and_lines_without_end(tmp_path: Path) -> None:
    path = tmp_path / "in"
    start = gzip.compress(b"##fileformat=VCFv4.2\n")
    path.write_bytes(start + gzip.compress(b"##a=b\n" * (1 << 20)) * 20)
    assert "its header is longer than 256 MB" in read_error(path)
    path.write_bytes(gzip.compress(b"#" + b"a" * (1 << 24) + b"\n") * 20)
    assert "the header line lacks #CHROM" in read_error(path)
    path.write_bytes(start + gzip.compress(b"#" * (1 << 24)) * 20)
    assert "is longer than 256 MB" in read_error(path)
    path.write_bytes(start + gzip.compress(b"\n" * (1 << 22)) * 20)
    assert "its header is longer than 256 MB" in read_error(path)
    plain = gzip.compress((EDGE_CASES / "plain.vcf").read_bytes())
    path.write_bytes(plain + gzip.compress(b"\n" * (1 << 22)))
    assert "has more than 1048576 blank lines" in read_error(path)
    path.write_bytes(plain + gzip.compress(b"A" * (1 << 24)) * 20)
    assert "the line is longer than 256 MB" in read_error(path)
    path.write_bytes(b"BCF\x02\x02" + b"\xff" * 4 + bytes(100))
    assert "its header is longer than 256 MB" in read_error(path)
    bcf = gzip.decompress((EDGE_CASES / "bcf.bcf").read_bytes())
    path.write_bytes(bcf + b"\xff" * 8 + bytes(100))
    assert "it has a record of more than 256 MB" in read_error(path)


def test_line_numbers_are_those_of_the_file() -> None:
    for path in (EDGE_CASES / "blank_lines.vcf", EDGE_CASES / "samples.vcf"):
        lines = path.read_bytes().splitlines(keepends=True)
        with open_variants(path) as stream:
            for number, line in stream.records:
                assert lines[number - 1] == line


@pytest.mark.parametrize("path", [GNOMAD, CLINVAR])
@pytest.mark.parametrize("flag", ["-Ob", "-Ou"])
def test_bcf_is_the_text_of_bcftools(tmp_path: Path, path: Path, flag: str) -> None:
    bcf = tmp_path / "x.bcf"
    bcftools("view", "--no-version", flag, "-o", bcf, path)
    assert read_all(bcf) == bcftools("view", "--no-version", bcf)


def test_symbolic_alleles_and_latin1_survive_bcf(tmp_path: Path) -> None:
    """pysam's records gain END, cyvcf2's must be UTF-8."""
    text = (
        b"##fileformat=VCFv4.2\n##contig=<ID=chrM,length=16569>\n"
        b'##INFO=<ID=X,Number=.,Type=String,Description="x">\n'
        b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        b"chrM\t5\t.\tC\t<DEL>\t.\t.\tX=caf\xe9\nchrM\t9\t.\tC\t<*>,A\t7.50001\t.\t.\n"
    )
    (tmp_path / "x.vcf").write_bytes(text)
    bcftools("view", "--no-version", "-Ob", "-o", tmp_path / "x.bcf", tmp_path / "x.vcf")
    decoded = read_all(tmp_path / "x.bcf")
    assert decoded.replace(b'##FILTER=<ID=PASS,Description="All filters passed">\n', b"") == text


def test_damaged_bcf(tmp_path: Path) -> None:
    bcf = tmp_path / "x.bcf"
    bcftools("view", "-Ob", "-o", bcf, GNOMAD)
    data = bcf.read_bytes()
    raw = gzip.decompress(data)
    for damaged in (data[: len(data) // 2], data[:-28], raw[: len(raw) // 2], raw[:40]):
        bcf.write_bytes(damaged)
        with pytest.raises(InputError, match=r"truncated or damaged|no end marker"):
            read_all(bcf)


def test_leaving_a_bcf_early_ends_its_child(tmp_path: Path) -> None:
    bcftools("view", "-Ob", "-o", tmp_path / "x.bcf", GNOMAD)
    with open_variants(tmp_path / "x.bcf") as stream:
        next(stream.records)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x89PNG\r\n\x1a\n", ":1: is neither VCF nor BCF"),
        (b">chr1\nACGT\n", ":1: is neither VCF nor BCF"),
        (b"chr1\t3\t.\tA\tG\t.\t.\t.\n", ":1: is neither VCF nor BCF"),
        (b"name,score\na,1\n", ":1: is neither VCF nor BCF, nor a table of variants: its"),
        (b'"chrom,pos,ref,alt\nchr1,3,A,G\n', ":1: a quote that opens on this line is never"),
        (b"chrom\tpos\tref\talt\tgr\xf6\xdfe\n", ":1: is not UTF-8; convert it"),
        (b"chrom,pos,ref,alt\rchr1,3,A,G\r", ":1: line ends are CR only"),
        (b"##fileformat=VCFv4.2\nchr1\t3\t.\tA\tG\t.\t.\t.\n", ":2: there is no #CHROM line"),
        (b"##fileformat=VCFv4.2\n", "there is no #CHROM line"),
        (b"\x1f\x8b", "truncated"),
        (b"BCF\x02\x02", "truncated or damaged"),
    ],
)
def test_other_files(tmp_path: Path, data: bytes, problem: str) -> None:
    (tmp_path / "x.vcf").write_bytes(data)
    with pytest.raises(InputError, match=problem):
        read_all(tmp_path / "x.vcf")


def test_a_last_line_without_its_end_gets_one(tmp_path: Path) -> None:
    plain = (EDGE_CASES / "plain.vcf").read_bytes()
    (tmp_path / "x.vcf").write_bytes(plain.removesuffix(b"\n"))
    assert read_all(tmp_path / "x.vcf") == plain


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (b".", b"."),
        (b"", b""),
        (b"A=1;", b"A=1;"),
        (b";A", b";A"),
        (b"P_LLR=9", b""),
        (b"P_LLR=9;A;P_STATUS=ok,ok;B=2", b"A;B=2"),
        (b"A;P_STATUS;P_LLR=9", b"A"),
        (b"XP_LLR=9;P_LLRX=8;A=P_LLR=7", b"XP_LLR=9;P_LLRX=8;A=P_LLR=7"),
    ],
)
def test_old_entries_are_removed(info: bytes, expected: bytes) -> None:
    assert remove_entries(info, OLD) == expected
    assert remove_entries(expected, OLD) == expected


def test_header_lines_of_the_same_id_are_replaced() -> None:
    lines = (b"##fileformat=VCFv4.2", b"##INFO=<ID=P_LLR,Number=1>", b"##INFO=<ID=P_LLRX,x>")
    header = VcfHeader(lines, b"#CHROM", b"\r\n")
    new = header.with_lines([b"##INFO=<ID=P_LLR,Number=A>", b"##FILTER=<ID=P_LLRX,y>"])
    assert new.lines == (
        lines[0],
        lines[2],
        b"##INFO=<ID=P_LLR,Number=A>",
        b"##FILTER=<ID=P_LLRX,y>",
    )
    assert new.to_bytes().endswith(b"y>\r\n#CHROM\r\n")


def test_declared_contigs() -> None:
    lines = (
        b"##contig=<ID=1,length=20>",
        b"##contig=<length=7,ID=chrM>",
        b"##contig=<ID=x>",
        b"##INFO=<ID=no>",
    )
    assert VcfHeader(lines, b"").contigs == {"1": 20, "chrM": 7, "x": None}


def test_a_contig_is_not_named_by_its_description() -> None:
    line = b'##contig=<ID=chr1,length=9,Description="lifted from hg19,ID=chr2">'
    assert VcfHeader((line,), b"").contigs == {"chr1": 9}


def test_quoted_values() -> None:
    assert quote('a "b" \\ c\nd') == '"a \\"b\\" \\\\ c d"'


@settings(max_examples=20, deadline=None)
@given(st.lists(st.binary(max_size=70_000), max_size=4))
def test_bgzf_is_what_htslib_reads(tmp_path_factory, pieces: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("bgzf") / "x.gz"
    with open(path, "wb") as handle:
        writer = BgzfWriter(handle)
        for piece in pieces:
            writer.write(piece)
        writer.finish()
    assert gzip.decompress(path.read_bytes()) == b"".join(pieces)
    with pysam.BGZFile(str(path), "r") as oracle:
        assert oracle.read() == b"".join(pieces)


def test_output_types() -> None:
    assert choose_output_type("-", None) == "v"
    assert choose_output_type("-", "b") == "b"
    for name, kind in (("a.vcf", "v"), ("a.VCF.gz", "z"), ("a.vcf.bgz", "z"), ("a.bcf", "b")):
        assert choose_output_type(name, None) == kind
    assert choose_output_type("a.txt", "z") == "z"
    with pytest.raises(UsageError, match="contradicts"):
        choose_output_type("a.vcf.gz", "b")


def write_lines(sink: VariantSink, lines: list[bytes]) -> None:
    records = scan_records(LineBlock(b"".join(lines), 1), 8, "x.vcf")
    sink.write_records(records.block.text, records)


def write(path: Path, positions: list[int], kind: str = "z", **options: bool | None) -> None:
    header = (EDGE_CASES / "plain.vcf").read_bytes().split(b"#CHROM")[0]
    columns = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    lines = [b"chrM\t%d\t.\tA\tC\t.\t.\t.\n" % position for position in positions]
    with open_variant_output(str(path), kind, **options) as sink:
        sink.write_header(header + columns)
        write_lines(sink, lines)


@pytest.mark.parametrize(("kind", "name"), [("z", "a.vcf.gz"), ("b", "a.bcf")])
def test_sorted_output_gets_an_index(tmp_path: Path, kind: str, name: str) -> None:
    write(tmp_path / name, [5, 9, 12_000], kind)
    suffix = ".tbi" if kind == "z" else ".csi"
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, name + suffix]
    assert bcftools("view", "-H", tmp_path / name, "chrM:6-10").count(b"\n") == 1


def test_far_positions_get_a_csi(tmp_path: Path) -> None:
    write(tmp_path / "a.vcf.gz", [5, 1 << 29])
    assert (tmp_path / "a.vcf.gz.csi").exists()
    found = bcftools("view", "-H", tmp_path / "a.vcf.gz", f"chrM:{1 << 29}-{(1 << 29) + 5}")
    assert found.count(b"\n") == 1


def test_unsorted_output_has_no_index(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "a.vcf.gz", [9, 5])
    write(tmp_path / "b.vcf.gz", [5, 9], write_index=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.vcf.gz", "b.vcf.gz"]
    assert "not sorted" in caplog.text


def test_an_index_that_was_asked_for_and_cannot_be_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not sorted, so there can be no index"):
        write(tmp_path / "a.vcf.gz", [9, 5], write_index=True)
    assert not list(tmp_path.iterdir())


def test_existing_output_or_index_is_refused_and_replaced_by_force(tmp_path: Path) -> None:
    (tmp_path / "a.vcf.gz.csi").write_text("old")
    with pytest.raises(OutputError, match="csi: already exists"):
        write(tmp_path / "a.vcf.gz", [5])
    assert not (tmp_path / "a.vcf.gz").exists()
    write(tmp_path / "a.vcf.gz", [5], force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.vcf.gz", "a.vcf.gz.tbi"]
    with pytest.raises(OutputError, match="already exists"):
        write(tmp_path / "a.vcf.gz", [5])


@pytest.mark.parametrize("kind", ["v", "z", "b"])
def test_a_failure_leaves_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.out"

    def fail_midway() -> None:
        with open_variant_output(str(path), kind) as sink:
            sink.write_header((EDGE_CASES / "plain.vcf").read_bytes())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_midway()
    assert list(tmp_path.iterdir()) == []


def test_what_bcf_cannot_hold_is_an_error(tmp_path: Path) -> None:
    def write_undeclared() -> None:
        with open_variant_output(str(tmp_path / "a.bcf"), "b") as sink:
            sink.write_header((EDGE_CASES / "plain.vcf").read_bytes())
            write_lines(sink, [b"chrM\t5\t.\tA\tC\t.\t.\tUNDECLARED=3\n"])

    with pytest.raises(OutputError, match=r"as BCF: .*not defined in header"):
        write_undeclared()
    assert list(tmp_path.iterdir()) == []


def test_bcf_on_a_full_disk_is_not_blamed_on_the_records(tmp_path: Path, file_size_limit) -> None:
    lines = [b"chrM\t%d\t.\tA\tC\t.\t.\t.\n" % n for n in range(1, 16000)]

    def write_all() -> None:
        with open_variant_output(str(tmp_path / "a.bcf"), "b") as sink:
            sink.write_header((EDGE_CASES / "plain.vcf").read_bytes())
            write_lines(sink, lines)

    with file_size_limit(1000), pytest.raises(OutputError, match="cannot write: "):
        write_all()
    assert list(tmp_path.iterdir()) == []


def test_index_needs_a_compressed_file(tmp_path: Path) -> None:
    for path, kind in ((str(tmp_path / "a.vcf"), "v"), ("-", "z"), ("/dev/null", "z")):
        with (
            pytest.raises(UsageError, match="--write-index"),
            open_variant_output(path, kind, write_index=True),
        ):
            pass
