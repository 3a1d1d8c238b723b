"""Summary of a column store: species, contigs, coverage, size on disk."""

from __future__ import annotations

import os
from typing import Any

from phylotools.store import schema
from phylotools.store.read import ColumnStore, open_store


def describe_store(path: str | os.PathLike[str], *, verify: bool = False) -> dict[str, Any]:
    """Summarise a column store.

    Parameters
    ----------
    path : str or PathLike
    verify : bool
        Compare every array with its checksum first.

    Returns
    -------
    dict
        JSON-ready; ``contigs`` maps each name to its length and covered positions, ``storage``
        each array to its files and bytes.

    Raises
    ------
    InputError
        If the path is no column store, lacks a file, or is damaged.
    """
    store = open_store(path)
    if verify:
        store.verify()
    attributes = store.attributes
    run = attributes["run"]
    covered: dict[str, int] = dict.fromkeys(store.contigs, 0)
    for region in store.covered_regions(min_species=0):
        covered[region.contig] += len(region)
    return {
        "path": os.fspath(path),
        "kind": "column store",
        "format_version": attributes["format_version"],
        "fingerprint": store.fingerprint,
        "checksums": "verified" if verify else "not verified",
        "reference_species": store.reference_species,
        "reference_sequence_from": attributes["reference_source"],
        "species": len(store.species),
        "species_names": list(store.species),
        "tree_length": store.tree.total_length,
        "covered_positions": sum(covered.values()),
        **{key: attributes["statistics"].get(key) for key in ("blocks", "mean_species_per_column")},
        **_storage(store, sum(covered.values())),
        "contigs": {
            name: {"length": length, "covered": covered[name]}
            for name, length in store.contigs.items()
        },
        "inputs": attributes["inputs"],
        "made_by": f"phylotools {run.get('version')}",
        "made_at": run.get("created"),
        "command": run.get("command"),
    }


def _storage(store: ColumnStore, n_covered: int) -> dict[str, Any]:
    """Files and bytes of the arrays."""
    files = {name: reader.files() for name, reader in store.arrays.items()}
    n_cells = n_covered * len(store.species)
    return {
        "bytes_on_disk": sum(n_bytes for _, n_bytes in files.values()),
        "bits_per_cell": 8 * files[schema.BASES][1] / n_cells if n_cells else None,
        "positions_per_chunk": store.chunk_length,
        "positions_per_shard": store.shard_length,
        "storage": {
            name: {"shards": n_files, "bytes": n_bytes}
            for name, (n_files, n_bytes) in files.items()
        },
    }
