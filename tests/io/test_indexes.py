from __future__ import annotations

import os
from pathlib import Path

import pytest

from phylotools.errors import OutputError
from phylotools.io.position_table import open_position_table
from phylotools.io.vcf.text import VcfHeader
from phylotools.io.vcf.writer import open_variant_output


@pytest.fixture
def no_room_for_an_index(monkeypatch):
    """htslib fails, and what is written after that meets a full disk."""
    import pysam

    def fail(*names, **settings):
        monkeypatch.setattr(os, "fsync", lambda descriptor: os.write(full, b"x"))
        raise OSError("building of index failed")

    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(pysam, "tabix_index", fail)
    yield
    os.close(full)


@pytest.mark.usefixtures("no_room_for_an_index")
def test_a_disk_too_full_for_an_index_is_an_error_that_names_the_output(tmp_path: Path) -> None:
    table, variants = tmp_path / "t.tsv.gz", tmp_path / "v.vcf.gz"
    full = r"(t\.tsv|v\.vcf)\.gz: cannot write: No space left on device"
    with (
        pytest.raises(OutputError, match=full),
        open_position_table(str(table), longest_contig=9) as handle,
    ):
        handle.write(b"chr1\t1\n")
    header = VcfHeader((b"##fileformat=VCFv4.2",), b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO")
    with pytest.raises(OutputError, match=full), open_variant_output(str(variants), "z") as sink:
        sink.write_header(header.to_bytes())
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_htslib_cannot_index_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"t\.tsv\.gz: htslib cannot index it"),
        open_position_table(str(tmp_path / "t.tsv.gz"), longest_contig=9) as handle,
    ):
        handle.write(b"chr1\t9\nchr1\t1\n")
    assert list(tmp_path.iterdir()) == []
