"""Every format gives back what was written, and other tools read it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from phylotools.errors import InputError, OutputError, UsageError
from phylotools.io.vector_reading import read_vectors
from phylotools.io.vector_table import (
    FORMATS,
    SUFFIXES,
    VectorRows,
    choose_format,
    open_vectors,
)
from phylotools.plots.embedding_file import open_embeddings

#: Libraries that write once more when they are given up must not complain on stderr.
pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")

METADATA = {"model": "toy é", "pool": "mean", "context_pooling": False}


def table(n: int, dtype=np.float32) -> VectorRows:
    rng = np.random.default_rng(n)
    return VectorRows(
        [f"chr{k % 3}" for k in range(n)], np.arange(n) * 10, np.arange(n) * 10 + 7,
        ["", "two words", "é"] * (n // 3) + [""] * (n % 3),
        [".", "+", "-"] * (n // 3) + ["."] * (n % 3),
        rng.normal(size=(n, 6)).astype(dtype),
    )  # fmt: skip


def write(path: Path, kind: str, rows: VectorRows, *, step: int = 4, **options) -> None:
    dtype = rows.vector.dtype.type
    with open_vectors(str(path), kind, rows.vector.shape, dtype, METADATA, **options) as sink:
        for k in range(0, len(rows), step):
            sink.write(
                VectorRows(*(getattr(rows, name)[k : k + step] for name in
                             ("contig", "start", "end", "name", "strand", "vector")))
            )  # fmt: skip


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("n", [1, 11])
def test_what_was_written_comes_back(tmp_path, kind, dtype, n) -> None:
    path = tmp_path / f"v{SUFFIXES[kind][0]}"
    rows = table(n, dtype)
    write(path, kind, rows)
    found = read_vectors(path)
    assert found.metadata == METADATA
    for name in ("contig", "name", "strand"):
        assert getattr(found.rows, name) == getattr(rows, name)
    np.testing.assert_array_equal(found.rows.start, rows.start)
    np.testing.assert_array_equal(found.rows.end, rows.end)
    if kind == "tsv":
        np.testing.assert_allclose(found.rows.vector, rows.vector, rtol=1e-5)
    else:
        np.testing.assert_array_equal(found.rows.vector, rows.vector)
        assert found.rows.vector.dtype == dtype


@pytest.mark.parametrize("kind", FORMATS)
def test_an_unfinished_table_does_not_appear(tmp_path, kind) -> None:
    path = tmp_path / f"v{SUFFIXES[kind][0]}"
    rows = table(8)

    def interrupted() -> None:
        with open_vectors(str(path), kind, rows.vector.shape, np.float32, METADATA) as sink:
            sink.write(rows)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", FORMATS)
def test_existing_tables_are_replaced_only_by_force(tmp_path, kind) -> None:
    path = tmp_path / f"v{SUFFIXES[kind][0]}"
    write(path, kind, table(3))
    with pytest.raises(OutputError, match="--force"):
        write(path, kind, table(5))
    assert len(read_vectors(path).rows) == 3
    write(path, kind, table(5), force=True)
    assert len(read_vectors(path).rows) == 5


@pytest.mark.parametrize("kind", ["parquet", "npz", "tsv"])
def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path, file_size_limit, kind) -> None:
    path = tmp_path / f"v{SUFFIXES[kind][0]}"
    rng = np.random.default_rng(1)
    rows = table(600)
    big = VectorRows(rows.contig, rows.start, rows.end, rows.name, rows.strand,
                     rng.normal(size=(600, 400)).astype(np.float32))  # fmt: skip
    with file_size_limit(1 << 16), pytest.raises(OutputError, match="cannot write"):
        write(path, kind, big, step=100)
    assert list(tmp_path.iterdir()) == []


def test_zarr_of_a_foreign_folder_is_not_replaced(tmp_path) -> None:
    (tmp_path / "v.zarr").mkdir()
    (tmp_path / "v.zarr" / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match=r"thesis\.tex"):
        write(tmp_path / "v.zarr", "zarr", table(3), force=True)


def test_other_readers_agree(tmp_path) -> None:
    rows = table(11)
    write(tmp_path / "v.parquet", "parquet", rows)
    from pyarrow import parquet

    found = parquet.read_table(tmp_path / "v.parquet")
    assert found.column_names == ["contig", "start", "end", "name", "strand", "vector"]
    assert found["vector"][10].as_py() == rows.vector[10].tolist()
    assert parquet.ParquetFile(tmp_path / "v.parquet").num_row_groups == 3
    write(tmp_path / "v.npz", "npz", rows)
    with np.load(tmp_path / "v.npz") as archive:
        np.testing.assert_array_equal(archive["vector"], rows.vector)
        assert json.loads(str(archive["metadata"])) == METADATA
    write(tmp_path / "v.zarr", "zarr", rows)
    import zarr

    group = zarr.open_group(str(tmp_path / "v.zarr"), mode="r")
    np.testing.assert_array_equal(group["vector"][:], rows.vector)
    write(tmp_path / "v.tsv.gz", "tsv", rows)
    import gzip

    lines = gzip.decompress((tmp_path / "v.tsv.gz").read_bytes()).decode().splitlines()
    assert lines[1].split("\t")[:6] == ["#contig", "start", "end", "name", "strand", "v0"]
    assert len(lines) == 13


@pytest.mark.parametrize(
    ("path", "named", "kind"),
    [("a.parquet", None, "parquet"), ("a.PQ", None, "parquet"), ("a", None, "parquet"),
     ("a.dat", "npz", "npz"), ("a.tsv.gz", None, "tsv"), ("-", None, "parquet"),
     ("-", "tsv", "tsv"), ("a.zarr", "zarr", "zarr")],
)  # fmt: skip
def test_the_format_comes_from_the_option_or_the_suffix(path, named, kind) -> None:
    assert choose_format(path, named) == kind


@pytest.mark.parametrize(("path", "named"), [("a.npz", "parquet"), ("-", "zarr")])
def test_formats_that_cannot_be_are_refused(path, named) -> None:
    with pytest.raises(UsageError):
        choose_format(path, named)


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"PK\x03\x04", b"chr1\t1\t2\n", b"\x00\xff" * 50, b"#only\n"]
)
def test_what_is_no_table_is_one_error(tmp_path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InputError, match="no table of vectors"):
        read_vectors(tmp_path / "x")


def test_a_missing_table_is_one_error(tmp_path) -> None:
    with pytest.raises(InputError):
        read_vectors(tmp_path / "absent.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError):
        read_vectors(tmp_path / "empty")


ROW = {"contig": ["a"], "start": [1], "end": [2], "name": ["x"], "strand": ["+"]}


def test_parquet_that_other_tools_wrote_again(tmp_path) -> None:
    """pandas and polars make lists of any length of those of one length."""
    path = tmp_path / "again.parquet"
    parquet.write_table(pyarrow.table({**ROW, "vector": [[1.0, 2.0]]}), path)
    assert read_vectors(path).rows.vector.tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (ROW, "vector"),
        ({"vector": [[1.0]]}, "contig"),
        ({**ROW, "vector": [3]}, "its vectors are int64, not lists of numbers"),
        ({**ROW, "vector": [["a"]]}, "its vectors are list"),
        ({**ROW, "vector": pyarrow.array([None], pyarrow.list_(pyarrow.float32()))}, "no vector"),
        (
            {**{key: value * 2 for key, value in ROW.items()}, "vector": [[1.0], [1.0, 2.0]]},
            "its vectors differ in length",
        ),
    ],
)
def test_parquet_of_something_else_is_one_error(tmp_path, rows, problem: str) -> None:
    parquet.write_table(pyarrow.table(rows), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=f"x.parquet: is no table of vectors .*{problem}"):
        read_vectors(tmp_path / "x.parquet")


def same(one: VectorRows, other: VectorRows) -> bool:
    texts = all(getattr(one, k) == getattr(other, k) for k in ("contig", "name", "strand"))
    return texts and all(
        np.array_equal(getattr(one, k), getattr(other, k)) for k in ("start", "end", "vector")
    )


@pytest.mark.parametrize("kind", ["parquet", "npz", "zarr"])
def test_a_flipped_byte_is_found_or_changes_nothing(tmp_path, kind) -> None:
    path = tmp_path / f"v{SUFFIXES[kind][0]}"
    rows = table(12)
    write(path, kind, rows)
    files = sorted(file for file in path.rglob("*") if file.is_file()) or [path]
    rng = np.random.default_rng(3)
    n_found = 0
    for file in files:
        data = file.read_bytes()
        for at in rng.choice(len(data), min(len(data), 40), replace=False).tolist():
            file.write_bytes(data[:at] + bytes([data[at] ^ 0x11]) + data[at + 1 :])
            try:
                found = read_vectors(path)
            except InputError:
                n_found += 1
                continue
            assert same(found.rows, rows), (file, at)
        file.write_bytes(data)
    assert n_found > 20
    assert same(read_vectors(path).rows, rows)


def test_a_lost_chunk_of_zarr_is_found(tmp_path) -> None:
    path = tmp_path / "v.zarr"
    rows = table(12)
    rows.vector[:] = 0
    write(path, "zarr", rows)
    assert not read_vectors(path).rows.vector.any()
    for chunk in ("vector/c/0/0", "name/c/0"):
        data = (path / chunk).read_bytes()
        (path / chunk).unlink()
        with pytest.raises(InputError, match=f"chunks of {chunk.split('/')[0]} are missing"):
            read_vectors(path)
        (path / chunk).write_bytes(data)


@pytest.mark.parametrize("name", ["zstd.zarr", "header.npz"])
def test_damaged_tables_are_one_error(name) -> None:
    path = Path(__file__).parents[1] / "data" / "damaged" / name
    for read in (read_vectors, open_embeddings):
        with pytest.raises(InputError, match=rf"{name}: is no table of vectors or is damaged"):
            read(str(path))


@pytest.mark.parametrize("kind", ["npz", "zarr"])
def test_a_table_that_does_not_fit_says_so(tmp_path, monkeypatch, kind) -> None:
    path = tmp_path / f"v{SUFFIXES[kind][0]}"
    write(path, kind, table(12))
    monkeypatch.setattr("phylotools.io.memory.free_memory", lambda: 100)
    with pytest.raises(InputError, match=r"of memory, of which 0 MB are free; .* --format parquet"):
        read_vectors(path)
