"""Vectors of regions by one walk along the genome: each tile is computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from phylotools.embedding.regions import REVERSE, RegionTable, by_contig
from phylotools.io.genome import ReferenceGenome
from phylotools.scoring.layers import strand_invariant

#: What `--strand` may say.
STRANDS = ("forward", "bed", "invariant")
#: Bounds the memory of regions that are pooled at the same time.
_POOL_BYTES = 256 << 20

#: Takes indices of rows and their vectors.
Emit = Callable[[NDArray[np.int64], NDArray[np.float32]], None]
#: How the bases of a region become a vector; `none` keeps every base.
POOLINGS = ("mean", "max", "centre", "none")


class TileSource(Protocol):
    """Numbers of single bases, a tile at a time, as `EmbeddingSource` has them.

    Attributes
    ----------
    n_channels, tile_length : int
    """

    n_channels: int
    tile_length: int

    def tiles(
        self, contig: str, indices: Iterable[int]
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield tiles of a contig, float32 [tile_length, C], by their rising indices."""


def orient(
    values: NDArray[np.float32], strand: str, is_reverse: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Vectors of regions from those of both strands.

    Parameters
    ----------
    values : float32 array [K, H] or [K, 2 H]
        Of the forward strand; of the reverse strand beside them unless `strand` is ``forward``.
    strand : {'forward', 'bed', 'invariant'}
        ``bed`` chooses by `is_reverse`; ``invariant`` is `strand_invariant`.
    is_reverse : bool array [K]

    Returns
    -------
    float32 array [K, H]
    """
    if strand == "forward":
        return values
    width = values.shape[1] // 2
    forward, reverse = values[:, :width], values[:, width:]
    if strand == "bed":
        return np.where(is_reverse[:, None], reverse, forward)
    return strand_invariant(forward, reverse)


class MeanPool:
    """Mean over the bases of many overlapping intervals, summed in float64 tile by tile."""

    def part(
        self, tile: NDArray[np.float32], begin: NDArray[np.int64], end: NDArray[np.int64]
    ) -> NDArray[np.generic]:
        """Sums [K, C] of intervals, not empty, of a tile [L, C]."""
        sums = np.zeros((len(tile) + 1, tile.shape[1]))
        np.cumsum(tile, axis=0, dtype=np.float64, out=sums[1:])
        return sums[end] - sums[begin]

    def merge(self, old: NDArray[np.generic], new: NDArray[np.generic]) -> NDArray[np.generic]:
        """Sums of the same intervals over two tiles."""
        return np.add(old, new)

    def finish(self, parts: NDArray[np.generic], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors, float32 [K, C], of intervals whose sums are complete."""
        return np.divide(parts, lengths[:, None]).astype(np.float32)


class MaxPool:
    """Largest value of each channel over the bases of many overlapping intervals."""

    def part(
        self, tile: NDArray[np.float32], begin: NDArray[np.int64], end: NDArray[np.int64]
    ) -> NDArray[np.generic]:
        """Largest values [K, C] of intervals, not empty, of a tile [L, C]."""
        # Any interval is covered by two of its largest power of two.
        levels = np.frexp((end - begin).astype(np.float64))[1] - 1
        result = np.empty((len(begin), tile.shape[1]), dtype=np.float32)
        best = tile
        for level in range(int(levels.max()) + 1):
            if level:
                half = 1 << (level - 1)
                best = np.maximum(best[:-half], best[half:])
            chosen = np.flatnonzero(levels == level)
            result[chosen] = np.maximum(best[begin[chosen]], best[end[chosen] - (1 << level)])
        return result

    def merge(self, old: NDArray[np.generic], new: NDArray[np.generic]) -> NDArray[np.generic]:
        """Largest values of the same intervals over two tiles."""
        return np.maximum(old, new)

    def finish(self, parts: NDArray[np.generic], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors, float32 [K, C]."""
        return parts.astype(np.float32)


def centres(
    start: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and end of the middle base of each region; of an even number of bases, the middle two.

    The mean of two is taken, so that both strands have the same centre.
    """
    return (start + end - 1) // 2, (start + end) // 2 + 1


def row_starts(table: RegionTable, pool: str) -> NDArray[np.int64]:
    """First row of each region, and the number of rows at the end: int64 [N + 1]."""
    n_rows = table.end - table.start if pool == "none" else np.ones(len(table), dtype=np.int64)
    return np.concatenate([[0], np.cumsum(n_rows)])


def base_starts(
    table: RegionTable, region: NDArray[np.int64], row: NDArray[np.int64], strand: str
) -> NDArray[np.int64]:
    """Position of the base of each row, int64 [K], where every base has a row.

    Parameters
    ----------
    table : RegionTable
    region, row : int64 array [K]
        Index of the region that the row belongs to, and of the row among all.
    strand : {'forward', 'bed', 'invariant'}
        With ``bed`` the rows of a region on the reverse strand run backwards.
    """
    start, end = table.start[region], table.end[region]
    place = row - row_starts(table, "none")[region]
    if strand == "bed":
        place = np.where(table.strand[region] == REVERSE, end - start - 1 - place, place)
    return start + place


def sweep(
    source: TileSource,
    table: RegionTable,
    genome: ReferenceGenome,
    emit: Emit,
    *,
    pool: str = "mean",
    strand: str = "forward",
    on_done: Callable[[int], None] = lambda n_regions: None,
) -> None:
    """Embed regions, in the order in which they lie on the genome.

    A region's vector depends on its sequence and its surroundings, and on no other region.

    Parameters
    ----------
    source : EmbeddingSource
    table : RegionTable
    genome : ReferenceGenome
    emit : callable
        Gets the rows of finished regions (see `row_starts`) and their vectors.
    pool : {'mean', 'max', 'centre', 'none'}
    strand : {'forward', 'bed', 'invariant'}
    on_done : callable
        Gets the number of regions finished since its last call.
    """
    most = max(1, _POOL_BYTES // (source.n_channels * 8))
    for contig, indices in by_contig(table, genome):
        for begin in range(0, len(indices), most):
            chosen = indices[begin : begin + most]
            if pool == "none":
                _every_base(source, table, contig, chosen, strand, emit, on_done)
            else:
                _pooled(source, table, contig, chosen, pool, strand, emit, on_done)


def _pooled(
    source: TileSource,
    table: RegionTable,
    contig: str,
    indices: NDArray[np.int64],
    pool: str,
    strand: str,
    emit: Emit,
    on_done: Callable[[int], None],
) -> None:
    start, end = table.start[indices], table.end[indices]
    if pool == "centre":
        start, end = centres(start, end)
        order = np.argsort(start, kind="stable")
        start, end, indices = start[order], end[order], indices[order]
    pooling = MaxPool() if pool == "max" else MeanPool()
    size = source.tile_length
    active = np.empty(0, dtype=np.int64)
    parts: NDArray[np.generic] | None = None
    n_started = 0
    for tile, n_seen, values in _walk(source, contig, start, end):
        everyone = np.concatenate([active, np.arange(n_started, n_seen)])
        n_started = n_seen
        low = np.maximum(start[everyone] - tile * size, 0)
        high = np.minimum(end[everyone] - tile * size, len(values))
        found = pooling.part(values, low, high)
        if parts is not None and len(active):
            found[: len(active)] = pooling.merge(parts, found[: len(active)])
        is_done = end[everyone] <= (tile + 1) * size
        done = everyone[is_done]
        vectors = pooling.finish(found[is_done], end[done] - start[done])
        rows = indices[done]
        emit(rows, orient(vectors, strand, table.strand[rows] == REVERSE))
        on_done(len(done))
        active, parts = everyone[~is_done], found[~is_done]


def _every_base(
    source: TileSource,
    table: RegionTable,
    contig: str,
    indices: NDArray[np.int64],
    strand: str,
    emit: Emit,
    on_done: Callable[[int], None],
) -> None:
    first_row = row_starts(table, "none")
    start, end = table.start[indices], table.end[indices]
    size = source.tile_length
    active: list[int] = []
    n_started = 0
    for tile, n_seen, values in _walk(source, contig, start, end):
        active += range(n_started, n_seen)
        n_started = n_seen
        begin = tile * size
        still = []
        for k in active:
            low, high = max(int(start[k]), begin), min(int(end[k]), begin + len(values))
            is_reverse = strand == "bed" and table.strand[indices[k]] == REVERSE
            rows = first_row[indices[k]] + (
                np.arange(end[k] - high, end[k] - low)[::-1]
                if is_reverse
                else np.arange(low - start[k], high - start[k])
            )
            part = values[low - begin : high - begin]
            emit(rows, orient(part, strand, np.full(len(part), is_reverse)))
            if end[k] > begin + size:
                still.append(k)
        on_done(len(active) - len(still))
        active = still


def _walk(
    source: TileSource, contig: str, start: NDArray[np.int64], end: NDArray[np.int64]
) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Yield the tiles that sorted regions touch, once each.

    With each, how many of the regions begin before its end.
    """
    first, last = start // source.tile_length, (end - 1) // source.tile_length

    def wanted() -> Iterator[int]:
        following = -1
        for low, high in zip(first.tolist(), last.tolist(), strict=True):
            yield from range(max(low, following), high + 1)
            following = max(following, high + 1)

    for tile, values in source.tiles(contig, wanted()):
        yield tile, int(np.searchsorted(first, tile, side="right")), values
