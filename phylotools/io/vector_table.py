"""Tables of vectors, one a region: Parquet, zarr, NumPy's npz and text."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import UsageError
from phylotools.io.bgzf import BgzfWriter
from phylotools.io.files import (
    atomic_folder,
    naming_output,
    open_text_output,
)

#: Format -> the suffixes that choose it.
SUFFIXES = {
    "parquet": (".parquet", ".pq"),
    "npz": (".npz",),
    "zarr": (".zarr",),
    "tsv": (".tsv", ".tsv.gz", ".tsv.bgz"),
}
FORMATS = tuple(SUFFIXES)
COLUMNS = ("contig", "start", "end", "name", "strand")
#: What a zarr folder of ours holds at its top, so that --force replaces nothing else.
ZARR_CONTENTS = ("zarr.json", *COLUMNS, "vector")
METADATA_KEY = "phylotools"
#: The zarr codec that ends every chunk with its checksum.
CHECKSUM = "crc32c"
#: Bytes of vectors in a chunk of zarr: one file each.
_CHUNK_BYTES = 4 << 20


@dataclass(frozen=True)
class VectorRows:
    """Consecutive rows of a table.

    Attributes
    ----------
    contig, name, strand : list of str
    start, end : int64 array [N]
        0-based, half-open.
    vector : float32 or float16 array [N, H]
    """

    contig: list[str]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    name: list[str]
    strand: list[str]
    vector: NDArray[np.floating[Any]]

    def __len__(self) -> int:
        return len(self.start)


class VectorSink(ABC):
    """Takes the rows of a table in order; use `open_vectors`."""

    @abstractmethod
    def write(self, rows: VectorRows) -> None:
        """Append rows."""

    @abstractmethod
    def finish(self) -> None:
        """Write what comes last."""

    def abandon(self) -> None:  # noqa: B027
        """Let go of what libraries hold, once nothing more can be written."""


class _Valve(io.RawIOBase):
    """Passes bytes on until it is shut: libraries that are given up write until the last."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.is_shut = False

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        if not self.is_shut:
            self._raw.write(data)
        return memoryview(data).nbytes


def choose_format(path: str, named: str | None) -> str:
    """The format of an output: named, or by suffix, else Parquet.

    Raises
    ------
    UsageError
        If the name and the suffix disagree, or the format cannot be written to stdout.
    """
    by_suffix = next((kind for kind, ends in SUFFIXES.items() if path.lower().endswith(ends)), None)
    kind = named or by_suffix or "parquet"
    if by_suffix not in (None, kind):
        raise UsageError(f"{path}: its suffix says {by_suffix}, --format says {kind}")
    if path == "-" and kind == "zarr":
        raise UsageError("zarr is a folder: name it with -o")
    return kind


@contextlib.contextmanager
def open_vectors(
    path: str,
    kind: str,
    shape: tuple[int, int],
    dtype: type[np.floating[Any]],
    metadata: dict[str, Any],
    *,
    force: bool = False,
) -> Iterator[VectorSink]:
    """Yield a sink; the output appears when it is complete.

    Parameters
    ----------
    path : str
        ``-`` is stdout.
    kind : {'parquet', 'npz', 'zarr', 'tsv'}
    shape : (int, int)
        Rows, numbers of a vector.
    dtype : float32 or float16
    metadata : dict
        JSON-ready; text files begin with it.
    force : bool
        Replace an existing output.

    Raises
    ------
    OutputError
        If the output exists and `force` is false, or cannot be written.
    """
    if kind == "zarr":
        with atomic_folder(path, force=force, contents=ZARR_CONTENTS) as folder:
            sink: VectorSink = _ZarrSink(folder, shape, dtype, metadata)
            yield sink
            sink.finish()
        return
    shown = "stdout" if path == "-" else path
    with open_text_output(path, force=force) as handle, naming_output(shown):
        valve = _Valve(handle)
        out = cast(BinaryIO, valve)
        if kind == "tsv":
            is_packed = path.lower().endswith((".gz", ".bgz"))
            sink = _TextSink(out, shape[1], metadata, is_packed=is_packed)
        elif kind == "npz":
            sink = _NpzSink(out, shape, dtype, metadata)
        else:
            sink = _ParquetSink(out, shape[1], dtype, metadata)
        try:
            yield sink
            sink.finish()
        except BaseException:
            valve.is_shut = True
            sink.abandon()
            raise


class _ParquetSink(VectorSink):
    """One row group a call of `write`."""

    def __init__(
        self, handle: BinaryIO, width: int, dtype: type[np.floating[Any]], metadata: dict[str, Any]
    ) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._pa, self._width = pa, width
        number = pa.float16() if dtype is np.float16 else pa.float32()
        self._schema = pa.schema(
            [
                pa.field("contig", pa.string(), nullable=False),
                pa.field("start", pa.int64(), nullable=False),
                pa.field("end", pa.int64(), nullable=False),
                pa.field("name", pa.string(), nullable=False),
                pa.field("strand", pa.string(), nullable=False),
                pa.field("vector", pa.list_(pa.field("element", number, nullable=False), width)),
            ],
            metadata={METADATA_KEY: json.dumps(metadata)},
        )
        self._writer = parquet.ParquetWriter(
            handle, self._schema, compression="zstd", use_dictionary=["contig", "name", "strand"],
            write_statistics=["contig", "start", "end"], write_page_checksum=True,
            # The bytes of floats apart, which packs vectors a tenth smaller.
            use_byte_stream_split=["vector.list.element"] if dtype is np.float32 else False,
        )  # fmt: skip

    def write(self, rows: VectorRows) -> None:
        pa = self._pa
        numbers = pa.array(np.ascontiguousarray(rows.vector).reshape(-1))
        vectors = pa.FixedSizeListArray.from_arrays(numbers, type=self._schema.field("vector").type)
        columns = [pa.array(rows.contig), rows.start, rows.end, pa.array(rows.name),
                   pa.array(rows.strand), vectors]  # fmt: skip
        arrays = [
            column if isinstance(column, pa.Array) else pa.array(column) for column in columns
        ]
        self._writer.write_table(pa.table(arrays, schema=self._schema))

    def finish(self) -> None:
        self._writer.close()

    abandon = finish


class _NpzSink(VectorSink):
    """``vector`` row by row, then the columns, which are small."""

    def __init__(
        self,
        handle: BinaryIO,
        shape: tuple[int, int],
        dtype: type[np.floating[Any]],
        metadata: dict[str, Any],
    ) -> None:
        self._archive = zipfile.ZipFile(handle, "w", zipfile.ZIP_STORED, allowZip64=True)
        self._metadata = metadata
        self._dtype = np.dtype(dtype)
        self._vectors = self._archive.open("vector.npy", "w", force_zip64=True)
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._vectors, header)
        self._columns: list[VectorRows] = []

    def write(self, rows: VectorRows) -> None:
        self._vectors.write(np.ascontiguousarray(rows.vector, dtype=self._dtype).data)
        self._columns.append(
            VectorRows(rows.contig, rows.start, rows.end, rows.name, rows.strand, rows.vector[:0])
        )

    def finish(self) -> None:
        self._vectors.close()
        for name in COLUMNS:
            parts = [np.asarray(getattr(rows, name)) for rows in self._columns]
            self._add(name, np.concatenate(parts))
        self._add("metadata", np.array(json.dumps(self._metadata)))
        self._archive.close()

    def abandon(self) -> None:
        self._vectors.close()
        self._archive.close()

    def _add(self, name: str, values: NDArray[Any]) -> None:
        with self._archive.open(f"{name}.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array(member, values, allow_pickle=False)


class _ZarrSink(VectorSink):
    """A zarr group (format 3) with one array a column; opened again by `zarr.open_group`."""

    def __init__(
        self,
        folder: Path,
        shape: tuple[int, int],
        dtype: type[np.floating[Any]],
        metadata: dict[str, Any],
    ) -> None:
        import zarr
        from zarr.codecs import Crc32cCodec, ZstdCodec

        self._group = zarr.create_group(store=str(folder), attributes={METADATA_KEY: metadata})
        row_bytes = shape[1] * np.dtype(dtype).itemsize
        n_rows = max(1, min(shape[0], _CHUNK_BYTES // row_bytes))
        # Every chunk is written, also one of zeros: what is missing was lost.
        form: dict[str, Any] = {
            "compressors": (ZstdCodec(), Crc32cCodec()),
            "config": {"write_empty_chunks": True},
        }
        self._vectors = self._group.create_array(
            "vector", shape=shape, chunks=(n_rows, shape[1]), dtype=dtype, **form
        )
        self._texts: dict[str, Any] = {}
        for name in COLUMNS:
            is_number = name in ("start", "end")
            self._texts[name] = self._group.create_array(
                name, shape=(shape[0],), chunks=(max(1, min(shape[0], 1 << 20)),),
                dtype=np.int64 if is_number else str, **form,
            )  # fmt: skip
        self._n_written = 0

    def finish(self) -> None:
        if self._n_written != self._vectors.shape[0]:
            raise ValueError("rows are missing")

    def write(self, rows: VectorRows) -> None:
        begin, end = self._n_written, self._n_written + len(rows)
        self._vectors[begin:end] = rows.vector
        for name, array in self._texts.items():
            values = getattr(rows, name)
            array[begin:end] = values if name in ("start", "end") else np.array(values, dtype="T")
        self._n_written = end


class _TextSink(VectorSink):
    """Tab-separated text, a column a number."""

    def __init__(
        self, handle: BinaryIO, width: int, metadata: dict[str, Any], *, is_packed: bool
    ) -> None:
        self._packed = BgzfWriter(handle) if is_packed else None
        self._out: Any = self._packed or handle
        names = "\t".join([*COLUMNS, *(f"v{k}" for k in range(width))])
        header = f"##{METADATA_KEY}={json.dumps(metadata)}\n#{names}\n"
        self._out.write(header.encode("utf-8", "replace"))

    def write(self, rows: VectorRows) -> None:
        lines = []
        vectors = rows.vector.astype(np.float32).tolist()
        for k, vector in enumerate(vectors):
            numbers = "\t".join([f"{value:.6g}" for value in vector])
            lines.append(
                f"{rows.contig[k]}\t{rows.start[k]}\t{rows.end[k]}\t{rows.name[k] or '.'}\t"
                f"{rows.strand[k]}\t{numbers}\n"
            )
        self._out.write("".join(lines).encode("utf-8", "replace"))

    def finish(self) -> None:
        if self._packed is not None:
            self._packed.finish()


def refuse_terminal(path: str, kind: str) -> None:
    """Raise `UsageError` if bytes that are no text would go to a terminal."""
    if path == "-" and kind != "tsv" and sys.stdout.isatty():
        raise UsageError(f"{kind} is not for a terminal: name a file with -o, or pipe it")
