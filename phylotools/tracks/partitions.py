"""Regions cut into parts of equal work, along the grid on which a network is evaluated."""

from __future__ import annotations

from collections.abc import Iterable

from phylotools.io.regions import Region


def cut_regions(regions: Iterable[Region], tile_length: int, n_tiles: int) -> list[list[Region]]:
    """Cut regions into parts of at most so many tiles; no tile belongs to two parts.

    Parameters
    ----------
    regions : iterable of Region
        Disjoint; those of a contig together and rising.
    tile_length : int
        Positions of a tile of the grid, which begins at the start of every contig.
    n_tiles : int
        Tiles that have to be computed for a part.

    Returns
    -------
    list of list of Region
        In order.
    """
    parts: list[list[Region]] = []
    current: list[Region] = []
    n_used = 0
    last_tile: tuple[str, int] | None = None
    for region in regions:
        start = region.start
        while start < region.end:
            first_tile = start // tile_length
            is_shared = last_tile == (region.contig, first_tile)
            n_free = n_tiles - n_used + is_shared
            if n_free <= 0:
                parts.append(current)
                current, n_used, last_tile = [], 0, None
                continue
            end = min(region.end, (first_tile + n_free) * tile_length)
            current.append(Region(region.contig, start, end))
            last_tile = (region.contig, (end - 1) // tile_length)
            n_used += last_tile[1] - first_tile + 1 - is_shared
            start = end
    return [*parts, current] if current else parts
