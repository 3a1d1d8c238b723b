"""Positions of the reference that are stored, and their weights."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phylotools.io.alignment.blocks import BlockBatch
from phylotools.io.bed import read_bed
from phylotools.io.contigs import spellings
from phylotools.io.intervals import (
    NOWHERE,
    Intervals,
    flags_of,
    merge_intervals,
    overlaps,
)
from phylotools.io.regions import MAX_COORDINATE, Region, RegionSet, parse_region
from phylotools.store import schema


@dataclass(frozen=True, eq=False)
class Wanted:
    """Regions to store and regions to leave out, on contigs that may be spelled differently.

    Attributes
    ----------
    regions : RegionSet or None
        None for everything.
    exclude : RegionSet
    """

    regions: RegionSet | None = None
    exclude: RegionSet = field(default_factory=lambda: RegionSet({}))

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
        regions = RegionSet.of(_region(text) for text in texts)
        if bed is not None:
            regions |= read_bed(bed)
        return cls(regions or None, RegionSet({}) if exclude is None else read_bed(exclude))

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
            keep[here] = overlaps(intervals, start, start + batch.length[here])
        return np.flatnonzero(keep)

    def mask(self, contig: str, chunk: int, bases: NDArray[np.uint8]) -> None:
        """Empty the positions of a chunk, uint8 [S, CHUNK_LENGTH], that are not wanted."""
        span = chunk * schema.CHUNK_LENGTH, (chunk + 1) * schema.CHUNK_LENGTH
        if self.regions is not None:
            bases[:, ~flags_of(_of(self.regions, contig), *span)] = schema.NO_BLOCK
        if self.exclude:
            bases[:, flags_of(_of(self.exclude, contig), *span)] = schema.NO_BLOCK

    def unmatched(self, contigs: Iterable[str]) -> list[str]:
        """Contigs of the regions that the alignment has not."""
        known = {spelling for contig in contigs for spelling in spellings(contig)}
        wanted = [] if self.regions is None else self.regions.contigs
        return [name for name in wanted if name not in known]


def _region(text: str) -> Region:
    """A region; a contig alone, or one without an end, reaches to the contig's end."""
    contig, colon, rest = text.rpartition(":")
    if not colon or not rest.replace(",", "").replace("-", "").isdigit():
        return parse_region(text, {text: MAX_COORDINATE})
    return parse_region(text, {contig: MAX_COORDINATE})


def _of(regions: RegionSet, contig: str) -> Intervals:
    """Intervals of a contig, under whatever names."""
    found = [regions.on(name) for name in spellings(contig) if len(regions.on(name))]
    return found[0] if len(found) == 1 else merge_intervals(np.concatenate([NOWHERE, *found]))
