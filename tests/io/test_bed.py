from __future__ import annotations

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.io.bed import bed_rows, read_bed
from phylotools.io.files import BLOCK_BYTES
from phylotools.io.regions import Region, RegionSet


@pytest.mark.parametrize(
    "text",
    [
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\nchrM\t3\t77\tA\tG\t.\t.\t.\n",
        "#CHROM\tPOS\tID\tREF\tALT\nchrM\t3\t77\tA\tG\t.\t.\t.\n",
        "chrM\t3\t77\tA\tG,T\t.\t.\t.\n",
    ],
)
def test_a_vcf_is_no_bed(tmp_path, text):
    (tmp_path / "a.bed").write_text(text)
    with pytest.raises(InputError, match="is VCF, not BED"):
        read_bed(tmp_path / "a.bed")


def test_bed_of_twelve_columns(tmp_path):
    (tmp_path / "a.bed").write_text("chr1\t3\t77\tA\t0\t+\t3\t77\t0\t1\t74\t0\n")
    assert list(read_bed(tmp_path / "a.bed")) == [Region("chr1", 3, 77)]


def test_bed_lines(tmp_path, caplog):
    bed = tmp_path / "a.bed"
    bed.write_bytes(
        b"\xef\xbb\xbf# a comment\r\ntrack name=x\nbrowser position chr1:1-2\n\n"
        b"chr1\t0\t5\tname\t0\t+\r\nchr 1\t7\t9\nchr2 1 2\nchr2\t3\t3\nchr3\t4\t6"
    )
    assert list(read_bed(bed)) == [
        Region("chr 1", 7, 9),
        Region("chr1", 0, 5),
        Region("chr2", 1, 2),
        Region("chr3", 4, 6),
    ]
    packed = tmp_path / "a.bed.gz"
    packed.write_bytes(gzip.compress(bed.read_bytes()))
    assert read_bed(packed) == read_bed(bed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no interval"),
        (b"# only\n", "holds no interval"),
        (b"chr1\t1\n", ":1: fewer than three"),
        (b"chr1\t1\t2\nchr1\t5\t3\n", ":2: end 3 lies before"),
        (b"chr1\t-1\t2\n", "not negative"),
        (b"chr1\t1.5\t2\n", "whole numbers"),
        (b"chr1\t1\t" + b"9" * 30 + b"\n", "whole numbers"),
        (b"\t1\t2\n", "whole numbers"),
        (b"chr1\t1\t\xff\n", "no text"),
        (b"\x00\x01\x02\n", "no text"),
        (b"chr1\t1\t2\rchr1\t3\t4\r", "CR only"),
        (b"x" * (1 << 21), ":1: the line is longer than"),
    ],
)
def test_bad_bed(tmp_path, content, message):
    path = tmp_path / "bad.bed"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_bed(path)


@given(
    st.lists(
        st.sampled_from(
            [
                *("chr1\t0\t9", "chr1\t5\t12\tname\t0\t+", "chr1\t12\t13\r", "chr1\t3\t3"),
                *("2\t0\t100", "2 200 300", "b\t1\t2", "\u00e9\t1\t2", "# a note", "", "track"),
                "2\t7\t9\tgene \u00e9",
            ]
        ),
        min_size=1,
        max_size=40,
    )
)
@settings(max_examples=50, deadline=None)
def test_the_compiled_loop_reads_as_the_plain_one(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("bed") / "a.bed"
    path.write_text("chr9\t1\t2\n" + "\n".join(lines))
    text = path.read_bytes()
    long = path.with_name("long.bed")
    long.write_bytes(b"chr9\t1\t2\n" * (BLOCK_BYTES // 11) + text)
    assert len(long.read_bytes()) > BLOCK_BYTES // 2
    expected = RegionSet.of(region for region, _, _ in bed_rows(str(path)))
    assert read_bed(long) == read_bed(path) == expected


@pytest.mark.parametrize("last", ["chr1\t7\t5", "chr1\t7", "chrM\t3\t77\tA\tG\t.\t.\t."])
def test_a_bad_line_of_a_long_file_is_named(tmp_path, last):
    path = tmp_path / "a.bed"
    n = BLOCK_BYTES // 10
    path.write_text("".join(f"chr{n % 3}\t{n}\t{n + 5}\n" for n in range(n)) + last + "\n")
    with pytest.raises(InputError, match=rf"a\.bed:{n + 1}: "):
        read_bed(path)


def test_a_file_of_newlines_ends_in_an_error(tmp_path):
    path = tmp_path / "a.bed.gz"
    path.write_bytes(gzip.compress(b"\n" * BLOCK_BYTES * 2))
    for read in (read_bed, lambda path: list(bed_rows(str(path)))):
        with pytest.raises(InputError, match="nothing but blanks"):
            read(path)
