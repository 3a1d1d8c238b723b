"""Parts of a store that stand for the whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phylotools.io.regions import Region
from phylotools.store import schema
from phylotools.store.read import ColumnStore


def spread_chunks(store: ColumnStore, number: int) -> Iterator[Region]:
    """Chunks at even steps through the covered positions; at most so many, each once."""
    intervals = {contig: store.intervals(contig) for contig in store.contigs}
    covered = {contig: int(np.diff(own).sum()) for contig, own in intervals.items()}
    total = sum(covered.values())
    ranks = (2 * np.arange(number) + 1) * total // (2 * number)
    before, size = 0, schema.CHUNK_LENGTH
    for contig, n_covered in covered.items():
        here = ranks[(ranks >= before) & (ranks < before + n_covered)] - before
        before += n_covered
        if not len(here):
            continue
        starts, lengths = intervals[contig][:, 0], np.diff(intervals[contig])[:, 0]
        first = np.cumsum(lengths) - lengths
        interval = np.searchsorted(first, here, side="right") - 1
        position = starts[interval] + here - first[interval]
        for chunk in np.unique(position // size).tolist():
            yield Region(contig, chunk * size, min((chunk + 1) * size, store.contigs[contig]))
