"""Tables of vectors read back, whatever their format."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.files import open_input
from phylotools.io.vector_table import COLUMNS, METADATA_KEY, VectorRows


@dataclass(frozen=True)
class VectorTable:
    """A table read back.

    Attributes
    ----------
    rows : VectorRows
    metadata : dict
        Model, layer, pooling and so on.
    """

    rows: VectorRows
    metadata: dict[str, Any]


def read_vectors(path: str | os.PathLike[str]) -> VectorTable:
    """Read a table of vectors of any format, whole.

    Raises
    ------
    InputError
        If it is no such table.
    """
    name = os.fspath(path)
    try:
        if os.path.isdir(name):
            return _read_zarr(name)
        with open(name, "rb") as handle:
            magic = handle.read(4)
        if magic == b"PAR1":
            return _read_parquet(name)
        if magic[:2] == b"PK":
            return _read_npz(name)
        return _read_text(name)
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise InputError(
            f"is no table of vectors ({type(error).__name__}: {str(error)[:200]})",
            path=name,
            remedy="give the output of `phylotools embed`",
        ) from None


def _read_parquet(path: str) -> VectorTable:
    from pyarrow import parquet

    table = parquet.read_table(path)
    metadata = json.loads((table.schema.metadata or {}).get(METADATA_KEY.encode(), b"{}"))
    columns = [np.asarray(table[name].to_pylist()) for name in COLUMNS]
    return VectorTable(_rows(columns, vectors_of(table["vector"].combine_chunks())), metadata)


def vectors_of(column: Any) -> NDArray[Any]:
    """Vectors [N, D] of a column of Parquet: lists of numbers, of a fixed length or not.

    Raises
    ------
    ValueError
        If it is none; its text is for users.
    """
    from pyarrow import compute

    require_lists(column.type)
    if column.null_count:
        raise ValueError("a region has no vector")
    if not len(column):
        return np.empty((0, 0), dtype=np.float32)
    lengths = compute.list_value_length(column).to_numpy(zero_copy_only=False)
    if (lengths != lengths[0]).any():
        raise ValueError("its vectors differ in length")
    numbers = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(numbers.reshape(len(column), -1))


def require_lists(kind: Any) -> None:
    """Raise `ValueError` unless a Parquet column's type is that of vectors."""
    import pyarrow

    if not hasattr(kind, "value_type") or not pyarrow.types.is_floating(kind.value_type):
        raise ValueError(f"its vectors are {kind}, not lists of numbers")


def _read_npz(path: str) -> VectorTable:
    with np.load(path, allow_pickle=False) as archive:
        columns = [archive[name] for name in COLUMNS]
        return VectorTable(_rows(columns, archive["vector"]), json.loads(str(archive["metadata"])))


def _read_zarr(path: str) -> VectorTable:
    import zarr

    group: Any = zarr.open_group(path, mode="r")
    columns = [np.asarray(group[name][:]) for name in COLUMNS]
    vectors = np.asarray(group["vector"][:])
    return VectorTable(_rows(columns, vectors), dict(group.attrs[METADATA_KEY]))


def _rows(columns: Sequence[NDArray[Any]], vectors: NDArray[Any]) -> VectorRows:
    contig, start, end, name, strand = columns
    texts = [[str(value) for value in column.tolist()] for column in (contig, name, strand)]
    return VectorRows(texts[0], start, end, texts[1], texts[2], vectors)


def _read_text(path: str) -> VectorTable:
    metadata: dict[str, Any] = {}
    fields: list[list[str]] = []
    vectors = []
    with open_input(path) as handle:
        for raw in handle:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            if line.startswith(f"##{METADATA_KEY}="):
                metadata = json.loads(line.partition("=")[2])
            elif not line.startswith("#"):
                parts = line.split("\t")
                if len(parts) <= len(COLUMNS):
                    raise ValueError("fewer than six columns")
                fields.append(parts[:5])
                vectors.append(np.array(parts[5:], dtype=np.float32))
    contig, start, end, name, strand = ([row[k] for row in fields] for k in range(5))
    rows = VectorRows(
        contig, np.array(start, dtype=np.int64), np.array(end, dtype=np.int64),
        ["" if text == "." else text for text in name], strand, np.stack(vectors),
    )  # fmt: skip
    return VectorTable(rows, metadata)
