"""Windows drawn from a genome, and their embeddings, for a picture of what is where."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phylotools.embedding.regions import RegionRows
from phylotools.embedding.run import EmbedSettings, describe
from phylotools.embedding.source import EmbeddingSource, NetworkOptions
from phylotools.embedding.sweep import sweep
from phylotools.errors import InputError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region, RegionSet
from phylotools.plots.embedding_file import EmbeddingBatch, EmbeddingFile, maker_of
from phylotools.scoring.layers import find_layer

if TYPE_CHECKING:
    from phylotools.model.folder import Model

#: Of the bases of a window may be unknown.
_MOST_UNKNOWN = 0.1
_TRIES = 20


def draw_windows(
    genome: ReferenceGenome, wanted: RegionSet | None, n: int, width: int, seed: int
) -> list[Region]:
    """Windows that begin at random positions of a genome, or of regions of it, in order.

    Parameters
    ----------
    genome : ReferenceGenome
    wanted : RegionSet or None
    n : int
        All that there are where there are fewer.
    width : int
    seed : int

    Raises
    ------
    InputError
        If no window fits, or nearly all of what would is unknown.
    """
    places = RegionSet.whole(genome.contigs)
    if wanted is not None:
        places = places & wanted.spelled_as(genome.contigs)
    contigs: list[str] = []
    starts: list[int] = []
    for region in places:
        contigs.append(region.contig)
        starts.append(region.start)
    sizes = np.array([max(0, len(region) - width + 1) for region in places], dtype=np.int64)
    total = int(sizes.sum())
    if not total:
        raise InputError(f"no window of {width:,} bases fits", path=genome.path)
    random = np.random.default_rng(seed)
    ends = np.cumsum(sizes)
    found: set[Region] = set()
    for _ in range(_TRIES):
        for place in random.integers(total, size=n - len(found)).tolist():
            row = int(np.searchsorted(ends, place, side="right"))
            start = starts[row] + place - int(ends[row] - sizes[row])
            window = Region(contigs[row], start, start + width)
            if (genome.bases(window) > 3).mean() <= _MOST_UNKNOWN:
                found.add(window)
        if len(found) >= min(n, total):
            break
    if not found:
        raise InputError("holds nearly no known base where windows were drawn", path=genome.path)
    return sorted(found)


def embed_windows(
    model: Model, genome: ReferenceGenome, windows: list[Region], threads: int | None
) -> EmbeddingFile:
    """Mean embeddings of windows, as `embed --strand invariant` has them, in memory."""
    settings = EmbedSettings(strand="invariant", network=NetworkOptions(threads))
    layer = find_layer(settings.layer, model.spec)
    rows = RegionRows()
    for window in windows:
        rows.append(window.contig, window.start, window.end)
    table = rows.table(genome)
    source = EmbeddingSource(model, genome, layer, settings.network, with_reverse=True)
    vectors = np.empty((len(table), model.spec.channels // 2 * 2), dtype=np.float32)

    def keep(places: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        vectors[places] = values

    sweep(source, table, genome, keep, pool=settings.pool, strand=settings.strand)

    def batches() -> Iterator[EmbeddingBatch]:
        columns: dict[str, list[Any]] = {
            "contig": [window.contig for window in windows],
            "start": table.start.tolist(),
            "end": table.end.tolist(),
            "name": [""] * len(table),
            "strand": ["."] * len(table),
        }
        yield EmbeddingBatch(columns, vectors)

    made_by = maker_of(describe(model.identity, layer.name, settings, genome.path))
    return EmbeddingFile(f"windows of {genome.path}", made_by, batches)
