"""Columns of a store, in order or as a sample, in batches of bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.intervals import flags_of, intersect_intervals
from phylotools.io.regions import Region, RegionSet
from phylotools.store import schema
from phylotools.store.read import ColumnStore

#: Columns in a batch: enough to fill the likelihood's vectors while most searches have ended.
BATCH_COLUMNS = 8192
#: Positions read at once, a multiple of the store's chunks.
_READ = 4 * schema.CHUNK_LENGTH
#: A sample is made of runs of so many neighbours, since a store is read by the chunk.
_RUN = 64


@dataclass(frozen=True)
class Columns:
    """Columns of one contig that have another species than the reference.

    Attributes
    ----------
    contig : str
    position : int64 array [C]
        0-based, rising.
    states : uint8 array [C, S]
        Codes of `phylotools.store.schema` without the soft-mask bit.
    reference : uint8 array [C]
        The reference's base; above 3 where it is not known.
    """

    contig: str
    position: NDArray[np.int64]
    states: NDArray[np.uint8]
    reference: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.position)


def columns_in_order(
    store: ColumnStore, regions: RegionSet | None = None
) -> Iterator[list[Columns]]:
    """Batches of columns by contig name, then position; small contigs share a batch.

    Parameters
    ----------
    store : ColumnStore
    regions : RegionSet, optional
        Everything unless given.

    Yields
    ------
    list of Columns
        Together at least `BATCH_COLUMNS`, but for the last batch. A contig is once in a batch.
    """
    batch: list[Columns] = []
    n_columns = 0
    for contig in sorted(store.contigs):
        pieces: list[Columns] = []
        for piece in _contig_pieces(store, contig, covered(store, contig, regions)):
            pieces.append(piece)
            n_columns += len(piece)
            if n_columns >= BATCH_COLUMNS:
                yield [*batch, _join(pieces)]
                batch, pieces, n_columns = [], [], 0
        if pieces:
            batch.append(_join(pieces))
    if batch:
        yield batch


def batches_in_order(
    store: ColumnStore, regions: RegionSet | None = None
) -> Iterator[tuple[list[Region], int]]:
    """Where the batches of `columns_in_order` lie, and how many columns each has.

    Few bases are read for it: depths say of nearly all positions whether there is a column.

    Yields
    ------
    list of Region
        One a contig. What of `regions` lies in them gives this batch when it is read alone.
    int
    """
    bounds: list[Region] = []
    n_columns = 0
    for contig in sorted(store.contigs):
        first = None
        for window in _windows(covered(store, contig, regions)):
            first = int(window[0, 0]) if first is None else first
            n_columns += _n_columns(store, contig, window)
            if n_columns >= BATCH_COLUMNS:
                yield [*bounds, Region(contig, first, int(window[-1, 1]))], n_columns
                bounds, n_columns, first = [], 0, None
        if first is not None:
            bounds.append(Region(contig, first, int(window[-1, 1])))
    if n_columns:
        yield bounds, n_columns


def _n_columns(store: ColumnStore, contig: str, window: NDArray[np.int64]) -> int:
    """Columns with another species than the reference, in intervals between two multiples."""
    region = Region(contig, int(window[0, 0]), int(window[-1, 1]))
    wanted = flags_of(window, region.start, region.end)
    depth = store.depth(region)
    # One species is another one where the reference's row has no base.
    lone = wanted & (depth == 1)
    n_lone = 0
    if lone.any():
        own = store.reference(region)
        if store.attributes["reference_source"] != schema.FROM_ALIGNMENT:
            own = store.bases(region)[:, store.reference_index]
        n_lone = int((lone & (own & np.uint8(schema.CODE_MASK) >= schema.N)).sum())
    return int((wanted & (depth > 1)).sum()) + n_lone


def covered(store: ColumnStore, contig: str, regions: RegionSet | None = None) -> NDArray[np.int64]:
    """Start and end of the runs that blocks cover, within the regions; int64 [K, 2]."""
    intervals = store.intervals(contig)
    return intervals if regions is None else intersect_intervals(intervals, regions.on(contig))


def sample_columns(
    store: ColumnStore, n_columns: int, seed: int, regions: RegionSet | None = None
) -> list[Columns]:
    """A sample of a store's columns, the same for the same seed.

    Parameters
    ----------
    store : ColumnStore
    n_columns : int
        About so many, or all there are.
    seed : int
    regions : RegionSet, optional
        Everything unless given.

    Returns
    -------
    list of Columns
        By contig name, then position.

    Raises
    ------
    InputError
        If no column there has two species.
    """
    # Of contigs without regions nothing need be known: a store may have a million.
    named = store.contigs if regions is None else regions.contigs
    contigs = [contig for contig in sorted(named) if contig in store.contigs]
    runs_of_contig = [covered(store, contig, regions) for contig in contigs]
    starts, ends = (np.concatenate([own[:, side] for own in runs_of_contig]) for side in (0, 1))
    owner = np.repeat(np.arange(len(contigs)), [len(own) for own in runs_of_contig])
    first = np.concatenate([[0], np.cumsum(ends - starts)])
    runs = np.random.default_rng(seed).permutation(-(-int(first[-1]) // _RUN))
    found: list[Columns] = []
    taken = 0
    while taken < n_columns and len(runs):
        # Columns without other species do not count: as many again, until there are enough.
        n_more = -(-(n_columns - taken) // _RUN)
        chosen, runs = np.sort(runs[:n_more]), runs[n_more:]
        rank = (chosen[:, None] * _RUN + np.arange(_RUN)).ravel()
        rank = rank[rank < first[-1]]
        interval = np.searchsorted(first, rank, side="right") - 1
        position = starts[interval] + rank - first[interval]
        for index in np.unique(owner[interval]).tolist():
            here = position[owner[interval] == index]
            edges = np.flatnonzero(np.diff(here, prepend=-2) != 1)
            spans = np.stack([here[edges], here[np.append(edges[1:], len(here)) - 1] + 1], axis=1)
            for piece in _contig_pieces(store, contigs[index], spans):
                found.append(piece)
                taken += len(piece)
    if not taken:
        raise InputError(
            "no column has a species beside the reference"
            + ("" if regions is None else " in these regions"),
            path=store.path,
            remedy="`phylotools inspect` describes the store",
        )
    found.sort(key=lambda piece: (piece.contig, int(piece.position[0])))
    return found


def _contig_pieces(
    store: ColumnStore, contig: str, intervals: NDArray[np.int64]
) -> Iterator[Columns]:
    """The columns of one contig that lie in sorted intervals, a read at a time."""
    for window in _windows(intervals):
        begin = int(window[0, 0])
        region = Region(contig, begin, int(window[-1, 1]))
        wanted = flags_of(window, begin, region.end)
        states = store.bases(region) & np.uint8(schema.CODE_MASK)
        reference = store.reference(region) & np.uint8(schema.CODE_MASK)
        others = schema.species_depth(states) - (states[:, store.reference_index] < schema.N)
        wanted &= others > 0
        if wanted.any():
            yield Columns(contig, np.flatnonzero(wanted) + begin, states[wanted], reference[wanted])


def _windows(intervals: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Cut sorted intervals at multiples of `_READ` and group the parts between two of them."""
    parts: list[tuple[int, int]] = []
    for start, end in intervals.tolist():
        while start < end:
            stop = min(end, (start // _READ + 1) * _READ)
            if parts and parts[-1][0] // _READ != start // _READ:
                yield np.array(parts)
                parts = []
            parts.append((start, stop))
            start = stop
    if parts:
        yield np.array(parts)


def _join(pieces: Iterable[Columns]) -> Columns:
    pieces = list(pieces)
    if len(pieces) == 1:
        return pieces[0]
    return Columns(
        pieces[0].contig,
        np.concatenate([piece.position for piece in pieces]),
        np.concatenate([piece.states for piece in pieces]),
        np.concatenate([piece.reference for piece in pieces]),
    )
