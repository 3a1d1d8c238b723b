"""Embedding files, read in batches: what `phylotools embed` writes."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, UsageError
from phylotools.io.files import cannot_read
from phylotools.io.vector_reading import read_vectors, require_lists, vectors_of
from phylotools.io.vector_table import COLUMNS

_BATCH = 8192
_REMEDY = "give the output of `phylotools embed`"


@dataclass(frozen=True)
class EmbeddingBatch:
    """Some regions of an embedding file.

    Attributes
    ----------
    columns : dict of str to list
        ``contig``, ``start``, ``end``, ``name``, ``strand``, as in the file.
    vectors : float32[N, D]
    """

    columns: dict[str, list[Any]]
    vectors: NDArray[np.float32]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which vectors are finite."""
        return np.asarray(np.isfinite(self.vectors).all(axis=1))


@dataclass(frozen=True)
class EmbeddingFile:
    """An embedding file that can be read more than once.

    Attributes
    ----------
    path : str
    made_by : dict of str to str
        What it says of the model; may be empty.
    batches : callable
        Yields `EmbeddingBatch`, in file order.
    """

    path: str
    made_by: dict[str, str]
    batches: Callable[[], Iterator[EmbeddingBatch]]


def open_embeddings(path: str) -> EmbeddingFile:
    """Open what `phylotools embed` writes: Parquet in batches, other formats whole.

    Raises
    ------
    InputError
        If it is no table of vectors.
    UsageError
        For stdin, which cannot be read twice.
    """
    if path == "-":
        raise UsageError("embeddings are read twice and cannot come from stdin (-)")
    if not os.path.isdir(path):
        try:
            with open(path, "rb") as handle:
                magic = handle.read(4)
        except OSError as error:
            raise cannot_read(path, error) from None
        if magic == b"PAR1":
            return _open_parquet(path)
    table = read_vectors(path)
    rows = table.rows

    def batches() -> Iterator[EmbeddingBatch]:
        for first in range(0, len(rows), _BATCH):
            part = slice(first, first + _BATCH)
            columns = {name: list(getattr(rows, name)[part]) for name in COLUMNS}
            yield EmbeddingBatch(columns, rows.vector[part].astype(np.float32, copy=False))

    return EmbeddingFile(path, maker_of(table.metadata), batches)


def _open_parquet(path: str) -> EmbeddingFile:
    import pyarrow
    from pyarrow import parquet

    def read(do: Callable[[], Any]) -> Any:
        try:
            return do()
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            problem = f"cannot be read as Parquet: {str(error).splitlines()[0][:120]}"
            raise InputError(problem, path=path, remedy="copy or make it again") from None

    def batches() -> Iterator[EmbeddingBatch]:
        with read(lambda: parquet.ParquetFile(path, page_checksum_verification=True)) as source:
            found = source.iter_batches(_BATCH, columns=[*COLUMNS, "vector"])
            while (batch := read(lambda: next(found, None))) is not None:
                columns = {name: batch.column(name).to_pylist() for name in COLUMNS}
                yield EmbeddingBatch(columns, _vectors(batch.column("vector"), path))

    with read(lambda: parquet.ParquetFile(path, page_checksum_verification=True)) as source:
        schema = source.schema_arrow
        _require(set(schema.names), path)
        with _naming(path):
            require_lists(schema.field("vector").type)
        record = (schema.metadata or {}).get(b"phylotools", b"{}")
    metadata = read(lambda: json.loads(record))
    return EmbeddingFile(path, maker_of(metadata if isinstance(metadata, dict) else {}), batches)


def _vectors(column: Any, path: str) -> NDArray[np.float32]:
    """A list column as float32[N, D]."""
    with _naming(path):
        return vectors_of(column).astype(np.float32, copy=False)


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Name the file in what is wrong with its vectors."""
    try:
        yield
    except ValueError as error:
        raise InputError(str(error), path=path) from None


def _require(names: set[str], path: str) -> None:
    lacking = [name for name in (*COLUMNS, "vector") if name not in names]
    if lacking:
        raise InputError(
            f"has no column {', '.join(lacking)}",
            path=path,
            remedy=_REMEDY,
        )


def maker_of(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Model, revision and so on, from what the table says of itself."""
    keys = ("Model", "Revision", "Sha256", "Reference", "Layer", "Pool")
    return {key: str(metadata[key.lower()]) for key in keys if metadata.get(key.lower())}
