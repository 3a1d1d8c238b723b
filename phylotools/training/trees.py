"""The stores of a configuration, by the trees and the species that it names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from phylotools.errors import InputError
from phylotools.store.read import ColumnStore, open_store
from phylotools.store.view import StoreView, viewed
from phylotools.training.config import TrainingConfig


def open_training_stores(config: TrainingConfig) -> list[ColumnStore]:
    """The stores of ``data.stores``, of the clade and with the trees that ``data`` names.

    Raises
    ------
    InputError
        If a store or a table of trees cannot be read, or a store's tree has no such clade.
    """
    data = config.data
    return [
        viewed(open_store(path), data.clade, config.folder / table if table else None)
        for path, table in zip(config.store_paths(), data.tables_of_trees, strict=True)
    ]


def describe_trees(store: ColumnStore) -> dict[str, object]:
    """What a checkpoint notes of the trees of a store's regions: nothing without any."""
    trees = store.region_trees if isinstance(store, StoreView) else None
    if trees is None:
        return {}
    return {"region_trees_sha256": trees.sha256, "region_trees": len(trees)}


def refuse_other_trees(
    facts: Mapping[str, Any], stores: Sequence[ColumnStore], path: str | os.PathLike[str]
) -> None:
    """Raise `InputError` unless a checkpoint's trees of regions are those of the stores now."""
    then = [entry.get("region_trees_sha256") for entry in facts["training_stores"]]
    if then != [describe_trees(store).get("region_trees_sha256") for store in stores]:
        raise InputError(
            "the run here had other trees: a file of data.trees has changed",
            path=path,
            remedy="restore that file, or give --force to start anew",
        )
