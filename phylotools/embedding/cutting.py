"""Regions cut into parts that are embedded by themselves, along the tiles of the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from phylotools.embedding.regions import REVERSE, RegionTable, Texts, by_contig
from phylotools.embedding.sweep import Emit, row_starts
from phylotools.io.genome import ReferenceGenome


@dataclass(frozen=True)
class Span:
    """Consecutive regions of an `OrderedRegions`.

    Attributes
    ----------
    first, last : int
        The latter is not in it.
    """

    first: int
    last: int


@dataclass(frozen=True)
class OrderedRegions:
    """Regions as they lie on the genome, long ones cut where every base has a row of its own.

    Attributes
    ----------
    table : RegionTable
        Contigs in the genome's order, by start, then end; without names.
    rank : int64 array [N]
        Of each region's contig in that order.
    row : int64 array [N]
        First row of each in the table of vectors; the others follow.
    """

    table: RegionTable
    rank: NDArray[np.int64]
    row: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.table)

    def part(self, span: Span) -> OrderedRegions:
        """Some of them."""
        chosen = slice(span.first, span.last)
        whole = self.table
        table = replace(
            whole,
            contig=whole.contig[chosen],
            start=whole.start[chosen],
            end=whole.end[chosen],
            strand=whole.strand[chosen],
        )
        return OrderedRegions(table, self.rank[chosen], self.row[chosen])

    def emitting(self, emit: Emit, pool: str) -> Emit:
        """What takes rows of these regions alone, and gives them on as those of the whole table."""
        starts = row_starts(self.table, pool)

        def put(rows: NDArray[np.int64], values: NDArray[np.float32]) -> None:
            region = rows if pool != "none" else np.searchsorted(starts, rows, "right") - 1
            emit(self.row[region] + rows - starts[region], values)

        return put


def in_genome_order(
    table: RegionTable, genome: ReferenceGenome, *, pool: str, strand: str, longest: int
) -> OrderedRegions:
    """Regions in the order in which they are embedded.

    Parameters
    ----------
    table : RegionTable
    genome : ReferenceGenome
    pool, strand : str
        As for `sweep`.
    longest : int
        Where every base has a row, regions are cut at its multiples.
    """
    found = [indices for _, indices in by_contig(table, genome)]
    order = np.concatenate([np.empty(0, dtype=np.int64), *found])
    rank = np.repeat(np.arange(len(found)), [len(indices) for indices in found])
    start, end, row = table.start[order], table.end[order], row_starts(table, pool)[order]
    if pool == "none":
        first = start // longest
        n_parts = (end - 1) // longest - first + 1
        owner = np.repeat(np.arange(len(order)), n_parts)
        number = np.arange(len(owner)) - np.repeat(np.cumsum(n_parts) - n_parts, n_parts)
        low = np.maximum(start[owner], (first[owner] + number) * longest)
        high = np.minimum(end[owner], (first[owner] + number + 1) * longest)
        # The rows of a region on the reverse strand run backwards.
        is_backward = (strand == "bed") & (table.strand[order] == REVERSE)
        row = row[owner] + np.where(is_backward[owner], end[owner] - high, low - start[owner])
        sorting = np.lexsort((high, low, rank[owner]))
        order, rank = order[owner[sorting]], rank[owner[sorting]]
        start, end, row = low[sorting], high[sorting], row[sorting]
    bare = RegionTable(
        table.contigs, table.targets, table.contig[order], start, end, Texts(), table.strand[order]
    )
    return OrderedRegions(bare, rank, row)


def n_tiles_of(regions: OrderedRegions, tile_length: int) -> int:
    """How many tiles regions touch."""
    reach, n_tiles = (-1, -1), 0
    for rank, first, last in _tiles(regions, tile_length):
        begin = max(first, reach[1] + 1) if rank == reach[0] else first
        n_tiles += max(0, last + 1 - begin)
        reach = max(reach, (rank, last))
    return n_tiles


def cut_on_tiles(regions: OrderedRegions, tile_length: int, n_tiles: int) -> list[Span]:
    """Cut regions into parts of about so many tiles.

    A part ends where no tile is shared with the next, unless that would make it twice as large, in
    tiles or in rows: tiles that two parts share are computed by both.

    Parameters
    ----------
    regions : OrderedRegions
    tile_length : int
        Positions of a tile of the grid, which begins at the start of every contig.
    n_tiles : int
    """
    most_regions = 2 * n_tiles * tile_length
    spans: list[Span] = []
    begin = used = 0
    reach = (-1, -1)
    for index, (rank, first, last) in enumerate(_tiles(regions, tile_length)):
        is_apart = (rank, first) > reach
        new = last + 1 - first if is_apart else max(0, last - reach[1])
        is_enough = (
            used + new > n_tiles
            if is_apart
            else used + new > 2 * n_tiles or index - begin >= most_regions
        )
        if index > begin and is_enough:
            spans.append(Span(begin, index))
            begin, used, reach, new = index, 0, (-1, -1), last + 1 - first
        used += new
        reach = max(reach, (rank, last))
    return [*spans, Span(begin, len(regions))] if len(regions) else []


def _tiles(regions: OrderedRegions, tile_length: int) -> Iterator[tuple[int, int, int]]:
    """Of each region: the rank of its contig, its first and its last tile."""
    table = regions.table
    return zip(
        regions.rank.tolist(),
        (table.start // tile_length).tolist(),
        ((table.end - 1) // tile_length).tolist(),
        strict=True,
    )
