from __future__ import annotations

import builtins
import gzip
import os
from pathlib import Path
from typing import IO

import pytest

from phylotools.errors import OutputError
from phylotools.io.position_index import writer as index_writer
from phylotools.io.position_table import open_position_table
from phylotools.io.vcf.records import LineBlock, scan_records
from phylotools.io.vcf.text import VcfHeader
from phylotools.io.vcf.writer import open_variant_output


def _open_full(name: str, mode: str) -> IO[bytes]:
    return builtins.open("/dev/full", mode)


@pytest.fixture
def no_room_for_an_index(monkeypatch):
    """Indexes of ours, and what follows after htslib failed, meet a full disk."""
    import pysam.bcftools

    def fail(*names, **settings):
        monkeypatch.setattr(os, "fsync", lambda descriptor: os.write(full, b"x"))
        raise OSError("building of index failed")

    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(pysam.bcftools, "index", fail)
    monkeypatch.setattr(index_writer, "open", _open_full, raising=False)
    yield
    os.close(full)


@pytest.mark.usefixtures("no_room_for_an_index")
def test_a_disk_too_full_for_an_index_is_an_error_that_names_the_output(tmp_path: Path) -> None:
    table, variants, binary = (tmp_path / name for name in ("t.tsv.gz", "v.vcf.gz", "v.bcf"))
    full = r"(t\.tsv\.gz|v\.vcf\.gz|v\.bcf): cannot write: No space left on device"
    with (
        pytest.raises(OutputError, match=full),
        open_position_table(str(table), longest_contig=9) as handle,
    ):
        handle.write(b"chr1\t1\n")
    header = VcfHeader((b"##fileformat=VCFv4.2",), b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO")
    for path, kind in ((variants, "z"), (binary, "b")):
        with pytest.raises(OutputError, match=full), open_variant_output(str(path), kind) as sink:
            sink.write_header(header.to_bytes())
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_is_not_sorted_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"t\.tsv\.gz: .* is not sorted: chr1:1 comes after"),
        open_position_table(str(tmp_path / "t.tsv.gz"), longest_contig=9) as handle,
    ):
        handle.write(b"chr1\t9\nchr1\t1\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("highest", [1_000_000, 1 << 30])
def test_the_index_of_variants_is_that_of_htslib(tmp_path: Path, highest: int) -> None:
    import pysam

    path = tmp_path / "v.vcf.gz"
    header = VcfHeader(
        (b"##fileformat=VCFv4.2", b"##contig=<ID=1,length=%d>" % (2 * highest)),
        b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO",
    )
    n = 60_000
    with open_variant_output(str(path), "z", threads=2) as sink:
        sink.write_header(header.to_bytes())
        for first in range(0, n, 7_000):
            numbers = range(first, min(first + 7_000, n))
            lines = (b"1\t%d\t.\tAC\tA\t.\t.\tX=%d\n" % (1 + k * highest // n, k) for k in numbers)
            text = b"".join(lines)
            sink.write_records(text, scan_records(LineBlock(text, 1), 8, "v"))
    suffix = ".csi" if highest > 1 << 29 else ".tbi"
    assert {each.name for each in tmp_path.iterdir()} == {"v.vcf.gz", "v.vcf.gz" + suffix}
    theirs = str(tmp_path / "theirs")
    pysam.tabix_index(
        str(path), force=True, keep_original=True, preset="vcf", index=theirs, csi=suffix == ".csi"
    )
    with gzip.open(f"{path}{suffix}") as ours, gzip.open(theirs) as other:
        assert ours.read() == other.read()
    with pysam.TabixFile(str(path), index=f"{path}{suffix}") as file:
        place = 1 + 500 * highest // n
        assert [row.split("\t")[7] for row in file.fetch("1", place - 1, place)] == ["X=500"]
