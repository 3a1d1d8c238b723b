from __future__ import annotations

import gzip

import pysam
import pytest

from phylotools.errors import OutputError
from phylotools.io.position_table import open_position_table

HEADER = b"##made=by hand\n#contig\tpos\tvalue\n"


def rows(contig: str, positions: range) -> bytes:
    return b"".join(f"{contig}\t{where}\t{where / 2}\n".encode() for where in positions)


@pytest.mark.parametrize(("longest", "suffix"), [(1 << 20, ".tbi"), (1 << 29, ".csi")])
def test_compressed_tables_are_indexed(tmp_path, longest, suffix):
    path = str(tmp_path / "out.tsv.gz")
    with open_position_table(path, longest_contig=longest) as table:
        table.write(HEADER)
        table.write(rows("chr1", range(1, 50_000)))
        table.write(rows("chr2", range(7, 9)))
    assert {p.name for p in tmp_path.iterdir()} == {"out.tsv.gz", "out.tsv.gz" + suffix}
    with pysam.TabixFile(path, index=path + suffix) as table:
        assert list(table.fetch("chr1", 999, 1001)) == ["chr1\t1000\t500.0", "chr1\t1001\t500.5"]
        assert len(list(table.fetch("chr2"))) == 2
        assert list(table.header) == HEADER.decode().splitlines()
    with gzip.open(path) as text:
        assert text.read().startswith(HEADER)


def test_other_names_and_stdout_are_text(tmp_path, capsysbinary):
    path = tmp_path / "out.tsv"
    with open_position_table(str(path), longest_contig=10) as table:
        table.write(HEADER)
    assert path.read_bytes() == HEADER
    with open_position_table("-", longest_contig=10) as table:
        table.write(HEADER)
    assert capsysbinary.readouterr().out == HEADER


def test_existing_tables_and_indexes_are_kept_without_force(tmp_path):
    path = tmp_path / "out.tsv.gz"
    for name in ("out.tsv.gz", "out.tsv.gz.tbi", "out.tsv.gz.csi"):
        (tmp_path / name).write_text("mine")
        with (
            pytest.raises(OutputError, match="--force"),
            open_position_table(str(path), longest_contig=10),
        ):
            pass
        assert [p.name for p in tmp_path.iterdir()] == [name]
        if name != "out.tsv.gz.csi":
            (tmp_path / name).unlink()
    with open_position_table(str(path), longest_contig=10, force=True) as table:
        table.write(HEADER + rows("chr1", range(1, 4)))
    assert {p.name for p in tmp_path.iterdir()} == {"out.tsv.gz", "out.tsv.gz.tbi"}


def test_failure_leaves_nothing(tmp_path):
    def fail() -> None:
        with open_position_table(str(tmp_path / "out.tsv.gz"), longest_contig=10) as table:
            table.write(HEADER)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert not list(tmp_path.iterdir())
