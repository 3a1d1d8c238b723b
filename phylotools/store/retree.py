"""A column store with another tree of the same species, without its columns being made again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from phylotools.errors import InputError
from phylotools.io.files import atomic_folder
from phylotools.phylogeny.tree import Tree
from phylotools.provenance import RunRecord
from phylotools.store import schema
from phylotools.store.read import ColumnStore


def write_with_tree(
    store: ColumnStore, tree: Tree, folder: str | os.PathLike[str], *, force: bool = False
) -> None:
    """Write a store whose columns are those of another and whose tree is `tree`.

    The files of columns, which nothing ever changes, are shared (hard links) where the file
    system can, else copied.

    Parameters
    ----------
    store : ColumnStore
    tree : Tree
        Of the same tips in the same order.
    folder : str or PathLike
        To make; it appears whole or not at all.
    force : bool
        Replace an existing store.

    Raises
    ------
    InputError
        If the tips are others or in another order.
    OutputError
    """
    if tree.tips != store.species:
        raise InputError("the tips of the tree are not the species of the store", path=store.path)
    attributes = {key: value for key, value in store.attributes.items() if key != "checksum"}
    earlier = attributes["run"]
    run = RunRecord(inputs=attributes["inputs"], parameters={"columns_from": earlier})
    attributes |= {"tree": tree.to_newick(), "run": run.to_dict()}
    attributes["checksum"] = schema.attributes_checksum(attributes)
    group = {"attributes": attributes, "zarr_format": 3, "node_type": "group"}
    with atomic_folder(folder, force=force, contents=schema.FOLDER) as temporary:
        for name in store.arrays:
            shutil.copytree(store.path / name, temporary / name, copy_function=_share)
        text = json.dumps(group, indent=2, allow_nan=False)
        (Path(temporary) / "zarr.json").write_text(text)


def _share(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
