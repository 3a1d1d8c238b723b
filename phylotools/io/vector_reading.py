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
from phylotools.io.files import numbered_lines, open_input
from phylotools.io.memory import require_memory
from phylotools.io.vector_table import CHECKSUM, COLUMNS, METADATA_KEY, VectorRows

_REMEDY = "read Parquet in batches with pyarrow: embed again with --format parquet"


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
        If it is no such table, is damaged, or does not fit into the free memory.
    """
    name = os.fspath(path)
    try:
        if os.path.isdir(name):
            table = _read_zarr(name)
        else:
            with open(name, "rb") as handle:
                magic = handle.read(4)
            if magic == b"PAR1":
                table = _read_parquet(name)
            elif magic[:2] == b"PK":
                table = _read_npz(name)
            else:
                table = _read_text(name)
        _check(table)
    except InputError:
        raise
    # Libraries raise all kinds of errors for damaged data.
    except Exception as error:
        problem = (str(error).splitlines() or [""])[0][:200]
        raise InputError(
            f"is no table of vectors or is damaged ({type(error).__name__}: {problem})",
            path=name,
            remedy="give the output of `phylotools embed`, or make it again",
        ) from None
    return table


def _check(table: VectorTable) -> None:
    """Raise `ValueError` unless all columns are of the same rows."""
    lengths = {len(getattr(table.rows, name)) for name in (*COLUMNS, "vector")}
    if table.rows.vector.ndim != 2 or len(lengths) != 1:
        raise ValueError("its columns differ in length")
    if not isinstance(table.metadata, dict):
        raise ValueError("its metadata are no table")


def _read_parquet(path: str) -> VectorTable:
    from pyarrow import parquet

    table = parquet.read_table(path, page_checksum_verification=True)
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
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
        require_memory(size, path, remedy=_REMEDY)
        columns = [_member(archive, name) for name in COLUMNS]
        metadata = json.loads(str(_member(archive, "metadata")))
        return VectorTable(_rows(columns, _member(archive, "vector")), metadata)


def _member(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """An array, of whose bytes the archive's checksum was compared."""
    with archive.open(f"{name}.npy") as member:
        values = np.lib.format.read_array(member, allow_pickle=False)
        if member.read(1):
            raise ValueError(f"{name} is larger than it says")
    return np.asarray(values)


def _read_zarr(path: str) -> VectorTable:
    import zarr

    group: Any = zarr.open_group(path, mode="r")
    arrays = [group[name] for name in (*COLUMNS, "vector")]
    require_memory(sum(array.nbytes for array in arrays), path, remedy=_REMEDY)
    for array in arrays:
        # A chunk that is not there reads as zeros; tables without checksums left such chunks out.
        codecs = {codec.to_dict()["name"] for codec in array.compressors}
        if CHECKSUM in codecs and array.nchunks_initialized != array.nchunks:
            raise ValueError(f"chunks of {array.basename} are missing")
    *columns, vectors = [np.asarray(array[:]) for array in arrays]
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
        for _, raw in numbered_lines(handle, path):
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
