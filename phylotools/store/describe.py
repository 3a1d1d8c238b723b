"""What a column store holds, in a few numbers."""

from __future__ import annotations

import os
from typing import Any

from phylotools.store.read import open_store


def describe_store(path: str | os.PathLike[str], *, verify: bool = False) -> dict[str, Any]:
    """Describe a column store.

    Parameters
    ----------
    path : str or PathLike
    verify : bool
        Compare every array with its checksum first.

    Returns
    -------
    dict
        JSON-ready; ``contigs`` maps each name to its length and covered positions.

    Raises
    ------
    InputError
        If the path is no column store, or is damaged.
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
        "contigs": {
            name: {"length": length, "covered": covered[name]}
            for name, length in store.contigs.items()
        },
        "inputs": attributes["inputs"],
        "made_by": f"phylotools {run.get('version')}",
        "made_at": run.get("created"),
        "command": run.get("command"),
    }
