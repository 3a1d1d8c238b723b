"""Columns that a configuration keeps out of training."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from phylotools.errors import InputError
from phylotools.io.bed import read_bed
from phylotools.io.contigs import resolve_contigs
from phylotools.io.regions import Region, RegionSet, parse_region
from phylotools.training.config import TrainingConfig

logger = logging.getLogger("phylotools")

#: Whether a region of a store has a column.
Covers = Callable[[Region], bool]

_REMEDY = "compare it with the contigs that 'phylotools inspect STORE' lists"


@dataclass(frozen=True)
class HeldOutColumns:
    """Regions and contigs held out, in the configuration's spelling of the contigs.

    Attributes
    ----------
    contigs : tuple of str
    listed : tuple of Region
        Of ``data.held_out_regions``, or drawn.
    from_file : tuple of Region
        Of ``data.held_out_regions_file``, merged.
    path : Path or None
        That file.
    """

    contigs: tuple[str, ...]
    listed: tuple[Region, ...]
    from_file: tuple[Region, ...]
    path: Path | None

    @classmethod
    def read(cls, config: TrainingConfig) -> HeldOutColumns:
        """Parse what the configuration names, and read its BED file."""
        data = config.data
        path = config.folder / data.held_out_regions_file if data.held_out_regions_file else None
        return cls(
            tuple(data.held_out_contigs),
            tuple(parse_region(text) for text in data.held_out_regions),
            () if path is None else tuple(read_bed(path)),
            path,
        )

    def with_regions(self, regions: Iterable[Region]) -> HeldOutColumns:
        """With regions held out beside what is."""
        return dataclasses.replace(self, listed=(*self.listed, *regions))

    def within(self, contigs: Mapping[str, int]) -> RegionSet:
        """Union of everything held out, on the contigs (name -> length) of one store."""
        named = resolve_contigs(self.contigs, contigs).values()
        parts = [_translate(part, contigs) for part in (self.listed, self.from_file)]
        found = RegionSet.of(region for part in parts for region in part if region)
        return found | RegionSet.whole({contig: contigs[contig] for contig in named})

    def check(self, stores: Sequence[tuple[Mapping[str, int], Covers]]) -> None:
        """Refuse names that hold nothing out: a misspelt one would put its columns in training.

        Parameters
        ----------
        stores : sequence of (mapping of str to int, callable)
            Contigs (name -> length) of each store, and what says whether a region has a column.

        Raises
        ------
        InputError
        """
        for contig in self.contigs:
            if not any(resolve_contigs([contig], contigs) for contigs, _ in stores):
                raise InputError(
                    f"data.held_out_contigs: no store has a contig '{contig}'", remedy=_REMEDY
                )
        idle = _without_columns(self.listed, stores)
        if idle:
            raise InputError(
                f"data.held_out_regions: {idle[0]} covers no column of the stores", remedy=_REMEDY
            )
        idle = _without_columns(self.from_file, stores)
        if idle and len(idle) == len(self.from_file):
            raise InputError("none of its regions covers a column of the stores", path=self.path)
        if idle:
            logger.warning(
                "%s: %d of %d regions cover no column of the stores (the first is %s)",
                self.path, len(idle), len(self.from_file), idle[0],
            )  # fmt: skip


def _translate(regions: Sequence[Region], contigs: Mapping[str, int]) -> list[Region | None]:
    """Each region on the contig that a store has for it, if it has one."""
    names = resolve_contigs((region.contig for region in regions), contigs)
    return [
        Region(names[region.contig], region.start, region.end) if region.contig in names else None
        for region in regions
    ]


def _without_columns(
    regions: Sequence[Region], stores: Sequence[tuple[Mapping[str, int], Covers]]
) -> list[Region]:
    """The regions that cover no column of any store."""
    idle = list(range(len(regions)))
    for contigs, covers in stores:
        here = _translate(regions, contigs)
        idle = [i for i in idle if not (own := here[i]) or not covers(own)]
    return [regions[i] for i in idle]
