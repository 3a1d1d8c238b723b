"""Check that a folder is a column store, and read its attributes and layouts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from phylotools.errors import InputError
from phylotools.io.regions import MAX_COORDINATE
from phylotools.store import schema
from phylotools.store.schema import ArrayLayout

_REMEDY = "give a folder that `phylotools preprocess` made"
RESTORE = "restore it or make it again"
DAMAGED = f"{RESTORE}; `phylotools inspect --verify` names the damaged part"
_REQUIRED = {
    "reference_species": str,
    "reference_source": str,
    "species": list,
    "tree": str,
    "contigs": list,
    "sha256": dict,
    "inputs": dict,
    "statistics": dict,
    "run": dict,
}
#: What a reader must find in an array's metadata as it would write it, beside the codecs.
_METADATA = (
    "zarr_format",
    "node_type",
    "shape",
    "data_type",
    "chunk_grid",
    "chunk_key_encoding",
    "fill_value",
)


def read_attributes(folder: Path) -> dict[str, Any]:
    """The attributes of a store of this format version.

    Raises
    ------
    InputError
        If the folder is no column store, is of another format version, or lacks an attribute.
    """
    attributes = _root_attributes(folder)
    if attributes.get("format") != schema.FORMAT:
        raise InputError("is no column store", path=folder, remedy=_REMEDY)
    version = attributes.get("format_version")
    if version != schema.FORMAT_VERSION:
        raise InputError(
            f"is a column store of format version {version}; this phylotools reads version "
            f"{schema.FORMAT_VERSION}",
            path=folder,
            remedy="make it again with `phylotools preprocess`, or use the version that made it",
        )
    for key, kind in _REQUIRED.items():
        if not isinstance(attributes.get(key), kind):
            raise InputError(f"the attribute {key} is missing", path=folder, remedy=DAMAGED)
    checksum = attributes.get("checksum")
    if checksum is not None and checksum != schema.attributes_checksum(attributes):
        raise InputError(
            "the attributes in zarr.json do not fit their checksum: the store is damaged",
            path=folder,
            remedy=RESTORE,
        )
    return attributes


def _root_attributes(folder: Path) -> dict[str, Any]:
    if not folder.exists():
        raise InputError("does not exist", path=folder, remedy=_REMEDY)
    metadata = read_json(folder / "zarr.json")
    attributes = None if metadata is None else metadata.get("attributes")
    if not isinstance(attributes, dict):
        raise InputError("is no column store", path=folder, remedy=_REMEDY)
    return attributes


def checked_length(folder: Path, contigs: list[Any]) -> int:
    """Length of the arrays that hold the contigs; `InputError` if these cannot be right."""
    for index, entry in enumerate(contigs):
        is_complete = (
            isinstance(entry, dict)
            and isinstance(entry.get("name"), str)
            and type(entry.get("length")) is int
            and 0 < entry["length"] <= MAX_COORDINATE
            and type(entry.get("offset")) is int
        )
        if not is_complete:
            raise InputError(f"contig {index} is not described", path=folder, remedy=DAMAGED)
    offsets, length = schema.contig_offsets(entry["length"] for entry in contigs)
    if offsets != [entry["offset"] for entry in contigs] or length > schema.MOST_POSITIONS:
        raise InputError("the contigs' offsets are wrong", path=folder, remedy=DAMAGED)
    if len({entry["name"] for entry in contigs}) < len(contigs):
        raise InputError("two contigs have one name", path=folder, remedy=DAMAGED)
    return length


def read_layouts(folder: Path, length: int, attributes: dict[str, Any]) -> list[ArrayLayout]:
    """The layouts of the arrays; `InputError` if one is missing or of another shape."""
    expected = [
        schema.bases_layout(length, len(attributes["species"])),
        schema.line_layout(schema.REFERENCE, length),
        schema.line_layout(schema.DEPTH, length),
        schema.intervals_layout(-1),
    ]
    if schema.WEIGHT in attributes["sha256"] or (folder / schema.WEIGHT).exists():
        expected.append(schema.line_layout(schema.WEIGHT, length))
    layouts = []
    for wanted in expected:
        layout = read_layout(folder, wanted)
        if layout is None:
            raise InputError(
                f"array {wanted.name} is missing or of the wrong shape",
                path=folder,
                remedy=DAMAGED,
            )
        layouts.append(layout)
    return layouts


def read_layout(folder: Path, expected: ArrayLayout) -> ArrayLayout | None:
    """The layout of a stored array; None unless it is the expected one.

    Parameters
    ----------
    folder : Path
        Of the store.
    expected : ArrayLayout
        Any length of shards will do, and any length if its own is -1.
    """
    found = read_json(folder / expected.name / "zarr.json") or {}
    try:
        shard_length = found["chunk_grid"]["configuration"]["chunk_shape"][0]
        length = found["shape"][0] if expected.length < 0 else expected.length
        if not (_is_count(shard_length) and _is_count(length)):
            return None
        n_chunks, rest = divmod(shard_length, expected.chunk_length)
        if rest or not 0 < n_chunks <= schema.MOST_CHUNKS_PER_SHARD:
            return None
        layout = replace(expected, length=length, shard_length=shard_length)
        fits = _comparable(found) == _comparable(layout.metadata())
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None
    return layout if fits else None


def _is_count(number: Any) -> bool:
    return type(number) is int and 0 <= number <= schema.MOST_POSITIONS


def _comparable(metadata: dict[str, Any]) -> dict[str, Any]:
    """Array metadata without the compression level, which readers need not know."""
    kept = {key: metadata[key] for key in _METADATA}
    (codec,) = metadata["codecs"]
    sharding = dict(codec["configuration"])
    codecs = sharding.pop("codecs")
    plain = [{k: v for k, v in c.items() if c["name"] != "zstd" or k == "name"} for c in codecs]
    return {**kept, "codec": codec["name"], "sharding": sharding, "codecs": plain}


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a regular file; None where there is none."""
    if not path.is_file():  # nor a pipe, which would be waited for
        return None
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
