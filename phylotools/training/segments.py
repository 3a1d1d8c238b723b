"""Segments: contiguous parts of a column store, each read whole and once an epoch.

Nothing here imports torch: processes that only read start fast.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.intervals import (
    NOWHERE,
    flags_of,
    merge_intervals,
    overlapping,
    positions_before,
    runs_of,
    windows_of,
)
from phylotools.io.regions import Region, RegionSet
from phylotools.store import schema
from phylotools.store.read import ColumnStore
from phylotools.training.column_weights import ColumnWeights
from phylotools.training.windows import copy_columns, n_columns

#: Positions decoded at once: their bases stay in the processor's cache until they are copied.
_READ = 4 * schema.CHUNK_LENGTH


@dataclass(frozen=True)
class Segment:
    """Columns in memory, with the reference around them.

    Attributes
    ----------
    runs : int64 array [K, 3]
        Where the columns lie; see `windows`.
    bases : uint8 array [C, S]
        Codes without the soft-mask bit.
    weight : float32 array [C] or None
        The store's weights and those of regions; None if there are none.
    reference : uint8 array [M]
        Codes with the soft-mask bit; `outside` where a contig has ended.
    origin : int64 array [K]
        Position p near run k is entry ``p + origin[k]`` of `reference`.
    """

    runs: NDArray[np.int64]
    bases: NDArray[np.uint8]
    weight: NDArray[np.float32] | None
    reference: NDArray[np.uint8]
    origin: NDArray[np.int64]


class Part(NamedTuple):
    """A segment to be read: a part of a contig of a store, with so many training columns."""

    source: int
    contig: int
    start: int
    end: int
    columns: int


@dataclass(frozen=True)
class SegmentReader:
    """Reader of one store's columns; may be pickled.

    Attributes
    ----------
    store : ColumnStore
    minimum_species : int
    soft_mask_weight : float
        Columns of weight 0, by this or by the store's own weights, are not read.
    held_out : RegionSet
        What is not for training.
    reach : int
        Positions of the reference needed on either side of a column.
    outside : int
        Code of the reference beyond the ends of a contig.
    weights : ColumnWeights
        Columns of weight 0, by the contig or the region, are not read.
    """

    store: ColumnStore
    minimum_species: int
    soft_mask_weight: float
    held_out: RegionSet
    reach: int
    outside: int
    weights: ColumnWeights
    contigs: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "contigs", tuple(self.store.contigs))

    @property
    def n_species(self) -> int:
        """Bytes of a column."""
        return len(self.store.species)

    def segments(self, columns: int) -> Iterator[tuple[int, int, int]]:
        """Parts (contig, start, end) of about so many covered columns, none in two shards."""
        index = {name: number for number, name in enumerate(self.contigs)}
        for region in self.store.shard_regions():
            edges = np.arange(region.start, region.end, self.store.chunk_length)
            cover = self.store.intervals(region.contig)
            covered = positions_before(cover, np.append(edges, region.end))
            covered -= covered[0]
            # Of equal size, rather than with a small one at the end.
            parts = max(round(int(covered[-1]) / columns), 1)
            share = covered[:-1] * parts // max(int(covered[-1]), 1)
            starts = edges[np.flatnonzero(np.diff(share, prepend=-1))].tolist()
            for start, end in zip(starts, [*starts[1:], region.end], strict=True):
                yield index[region.contig], start, end

    def runs(
        self, contig: int, start: int, end: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Runs of training and of held-out columns in a part of a contig; int64 [K, 3] each."""
        if not self.weights.contigs[contig]:
            return _rows(contig, NOWHERE), _rows(contig, NOWHERE)
        region = Region(self.contigs[contig], start, end)
        wanted = self.store.depth(region) >= self.minimum_species
        weight = self._weight(region)
        if weight is not None:
            wanted &= weight > 0
        if self.soft_mask_weight == 0:
            wanted &= (self.store.reference(region) & schema.SOFT_MASK) == 0
        out = flags_of(self.held_out.on(region.contig), start, end)
        return _rows(contig, runs_of(wanted & ~out, start)), _rows(
            contig, runs_of(wanted & out, start)
        )

    def _weight(self, region: Region) -> NDArray[np.float32] | None:
        """What the columns of a region weigh in the loss; None where all weigh 1."""
        found = self.store.weight(region)
        if self.weights.regions is None:
            return found
        own = self.weights.regions(region)
        return own if found is None else found * own

    def covers(self, region: Region) -> bool:
        """Whether a region of the store's contigs has a column that is deep enough."""
        length = self.store.contigs[region.contig]
        start, end = max(region.start, 0), min(region.end, length)
        for begin in range(start, end, schema.LINE_CHUNK_LENGTH):
            part = Region(region.contig, begin, min(begin + schema.LINE_CHUNK_LENGTH, end))
            if (self.store.depth(part) >= self.minimum_species).any():
                return True
        return False

    def load(self, runs: NDArray[np.int64], out: NDArray[np.uint8] | None = None) -> Segment:
        """Read the columns of sorted runs, every chunk once.

        Parameters
        ----------
        runs : int64 array [K, 3]
        out : uint8 array [C, S], optional
            Where the bases go.
        """
        bases = np.empty((n_columns(runs), self.n_species), dtype=np.uint8) if out is None else out
        weight = np.empty(len(bases), dtype=np.float32)
        has_weight = False
        done = 0
        for region, rows in self._pieces(runs):
            mask = np.uint8(schema.CODE_MASK)
            count = copy_columns(self.store.bases(region), region.start, rows, mask, bases[done:])
            weights = self._weight(region)
            if weights is not None:
                has_weight = True
                inside = flags_of(rows[:, 1:], region.start, region.end)
                weight[done : done + count] = weights[inside]
            done += count
        assert done == len(bases)
        reference, origin = self._reference(runs)
        return Segment(runs, bases, weight if has_weight else None, reference, origin)

    def load_part(self, part: Part, out: NDArray[np.uint8] | None = None) -> Segment:
        """Read the training columns of a part of a contig, the bases into `out` if given."""
        runs, _ = self.runs(part.contig, part.start, part.end)
        if n_columns(runs) != part.columns:
            raise InputError("the store was changed while it was read", path=self.store.path)
        return self.load(runs, out)

    def _pieces(self, runs: NDArray[np.int64]) -> Iterator[tuple[Region, NDArray[np.int64]]]:
        """Regions to be read at once, with the runs that reach into each."""
        for contig, own in _by_contig(runs):
            name = self.contigs[contig]
            for begin, stop in windows_of(own[:, 1:], self.store.contigs[name], _READ):
                first, last = overlapping(own[:, 1:], begin, stop)
                rows = own[first:last]
                start, end = max(begin, int(rows[0, 1])), min(stop, int(rows[-1, 2]))
                yield Region(name, start, end), rows

    def _reference(self, runs: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The reference around runs, and where in it the positions of each run lie."""
        spans, origins, size = [], [np.empty(0, dtype=np.int64)], 0
        for contig, own in _by_contig(runs):
            name = self.contigs[contig]
            length = self.store.contigs[name]
            wide = merge_intervals(own[:, 1:] + np.array([-self.reach, self.reach]))
            offset = size + np.cumsum(np.diff(wide, axis=1)[:, 0]) - wide[:, 1]
            origins.append(offset[np.searchsorted(wide[:, 1], own[:, 1])])
            for start, end in wide.tolist():
                inner = Region(name, max(start, 0), min(end, length))
                span = np.full(end - start, self.outside, dtype=np.uint8)
                span[inner.start - start : inner.end - start] = self.store.reference(inner)
                spans.append(span)
                size += end - start
        return np.concatenate([np.empty(0, dtype=np.uint8), *spans]), np.concatenate(origins)


def _rows(contig: int, intervals: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.insert(intervals, 0, contig, axis=1)


def _by_contig(runs: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    edges = np.flatnonzero(np.diff(runs[:, 0], prepend=-1)).tolist()
    for first, last in zip(edges, [*edges[1:], len(runs)], strict=True):
        yield int(runs[first, 0]), runs[first:last]
