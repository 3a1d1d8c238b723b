"""Which positions of the reference are stored."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.alignment.blocks import BlockBatch
from phylotools.io.regions import (
    MAX_COORDINATE,
    Region,
    parse_region,
    read_bed,
    read_bed_weights,
    spellings,
)
from phylotools.store import schema
from phylotools.store.intervals import merge_intervals

_Intervals = dict[str, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Wanted:
    """Regions to store and regions to leave out, on contigs that may be spelled differently.

    Attributes
    ----------
    regions : dict of str to int64 array [K, 2], or None
        Contig -> sorted intervals; None for everything.
    exclude : dict of str to int64 array [K, 2]
    """

    regions: _Intervals | None = None
    exclude: _Intervals = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        texts: Sequence[str] = (),
        bed: str | os.PathLike[str] | None = None,
        exclude: str | os.PathLike[str] | None = None,
    ) -> Wanted:
        """Read what options name: regions as texts or BED, and a BED of what to leave out.

        Raises
        ------
        InputError
            If a text is no region or a file no BED.
        """
        regions = [_region(text) for text in texts]
        if bed is not None:
            regions += read_bed(bed)
        return cls(
            _by_contig(regions) if regions else None,
            {} if exclude is None else _by_contig(read_bed(exclude)),
        )

    @property
    def is_restricted(self) -> bool:
        """Whether any position is left out."""
        return self.regions is not None or bool(self.exclude)

    def touches(self, batch: BlockBatch, contigs: Sequence[str]) -> NDArray[np.int64]:
        """Indices of the blocks that hold a wanted position."""
        if self.regions is None:
            return np.arange(len(batch))
        keep = np.zeros(len(batch), dtype=bool)
        for contig in np.unique(batch.contig).tolist():
            intervals = _of(self.regions, contigs[contig])
            here = np.flatnonzero(batch.contig == contig)
            start = batch.start[here]
            # The first interval that ends behind the block's start must begin before its end.
            found = np.searchsorted(intervals[:, 1], start, side="right")
            begin = np.append(intervals[:, 0], MAX_COORDINATE + 1)[found]
            keep[here] = begin < start + batch.length[here]
        return np.flatnonzero(keep)

    def mask(self, contig: str, chunk: int, bases: NDArray[np.uint8]) -> None:
        """Empty the positions of a chunk, uint8 [S, CHUNK_LENGTH], that are not wanted."""
        start = chunk * schema.CHUNK_LENGTH
        if self.regions is not None:
            inside = np.zeros(schema.CHUNK_LENGTH, dtype=bool)
            _mark(_of(self.regions, contig), start, inside)
            bases[:, ~inside] = schema.NO_BLOCK
        if self.exclude:
            outside = np.zeros(schema.CHUNK_LENGTH, dtype=bool)
            _mark(_of(self.exclude, contig), start, outside)
            bases[:, outside] = schema.NO_BLOCK

    def unmatched(self, contigs: Iterable[str]) -> list[str]:
        """Contigs of the regions that the alignment has not."""
        known = {spelling for contig in contigs for spelling in spellings(contig)}
        return [name for name in self.regions or {} if name not in known]


def _region(text: str) -> Region:
    """A region; a contig alone, or one without an end, reaches to the contig's end."""
    contig, colon, rest = text.rpartition(":")
    if not colon or not rest.replace(",", "").replace("-", "").isdigit():
        return parse_region(text, {text: MAX_COORDINATE})
    return parse_region(text, {contig: MAX_COORDINATE})


def _by_contig(regions: Iterable[Region]) -> _Intervals:
    found: dict[str, list[tuple[int, int]]] = {}
    for region in regions:
        found.setdefault(region.contig, []).append((region.start, region.end))
    return {
        contig: merge_intervals(np.array(intervals, dtype=np.int64))
        for contig, intervals in found.items()
    }


def _of(intervals: _Intervals, contig: str) -> NDArray[np.int64]:
    """Intervals of a contig, under whatever names; int64 [K, 2]."""
    found = [intervals[name] for name in spellings(contig) if name in intervals]
    if len(found) == 1:
        return found[0]
    return merge_intervals(np.concatenate([*found, np.empty((0, 2), dtype=np.int64)]))


def _mark(intervals: NDArray[np.int64], start: int, marked: NDArray[np.bool_]) -> None:
    """Set what lies in the intervals, of positions from `start` on."""
    end = start + len(marked)
    first = int(np.searchsorted(intervals[:, 1], start, side="right"))
    last = int(np.searchsorted(intervals[:, 0], end, side="left"))
    for begin, stop in intervals[first:last].tolist():
        marked[max(begin, start) - start : min(stop, end) - start] = True


@dataclass(frozen=True, eq=False)
class WeightTable:
    """Weights of intervals; 1 elsewhere.

    Attributes
    ----------
    intervals : dict of str to int64 array [K, 2]
        Sorted and disjoint.
    weights : dict of str to float32 array [K]
    """

    intervals: _Intervals
    weights: dict[str, NDArray[np.float32]]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> WeightTable:
        """Read a BED file whose fourth column is a weight.

        Raises
        ------
        InputError
            If a line is no BED line, its weight no number from 0 up, or two intervals overlap.
        """
        found: dict[str, list[tuple[int, int, float]]] = {}
        for region, weight in read_bed_weights(path):
            found.setdefault(region.contig, []).append((region.start, region.end, weight))
        intervals: _Intervals = {}
        weights = {}
        for contig, rows in found.items():
            rows.sort()
            intervals[contig] = np.array([row[:2] for row in rows], dtype=np.int64)
            weights[contig] = np.array([row[2] for row in rows], dtype=np.float32)
            overlaps = np.flatnonzero(intervals[contig][1:, 0] < intervals[contig][:-1, 1])
            if len(overlaps):
                where = Region(contig, *rows[int(overlaps[0]) + 1][:2])
                raise InputError(
                    f"{where} overlaps the interval before it",
                    path=path,
                    remedy="give each position one weight",
                )
        return cls(intervals, weights)

    def __call__(self, region: Region) -> NDArray[np.float32]:
        """Weights of a region; float32 [L]."""
        weight = np.ones(len(region), dtype=np.float32)
        name = next((name for name in spellings(region.contig) if name in self.intervals), None)
        if name is None:
            return weight
        rows = self.intervals[name]
        first = int(np.searchsorted(rows[:, 1], region.start, side="right"))
        last = int(np.searchsorted(rows[:, 0], region.end, side="left"))
        for (begin, end), value in zip(
            rows[first:last].tolist(), self.weights[name][first:last].tolist(), strict=True
        ):
            weight[
                max(begin, region.start) - region.start : min(end, region.end) - region.start
            ] = value
        return weight
