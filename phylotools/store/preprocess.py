"""Moved: see phylotools.preprocess.build."""

import os

from phylotools.preprocess import build
from phylotools.preprocess.plan import Settings
from phylotools.store.tree_file import read_tree  # noqa: F401


def build_store(alignment, tree, output, *, force=False, on_block=lambda n: None, work=None, threads=1, partition_bytes=build.PARTITION_BYTES, **settings):
    paths = [alignment] if isinstance(alignment, str | os.PathLike) else list(alignment)
    if settings.get("fasta") is not None:
        settings["fasta"] = os.fspath(settings["fasta"])
    return build.build_store([os.fspath(p) for p in paths], os.fspath(tree), output, Settings(**settings), force=force, on_columns=on_block, work=work, threads=threads, partition_bytes=partition_bytes)
