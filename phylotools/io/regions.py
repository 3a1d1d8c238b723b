"""Genomic regions, and how they are written."""

from __future__ import annotations

import itertools
import logging
import re
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from phylotools.errors import InputError, shown_path
from phylotools.io.contigs import resolve_contigs
from phylotools.io.intervals import (
    NOWHERE,
    Intervals,
    as_intervals,
    intersect_intervals,
    merge_intervals,
    subtract_intervals,
)

logger = logging.getLogger("phylotools")

#: Far above any contig; keeps coordinates of damaged files within 64-bit arithmetic.
MAX_COORDINATE = 1 << 40
_ONE_ASSEMBLY = "give regions of that assembly, on contigs that are called as there"
_RANGE = re.compile(r"(?P<contig>.+):(?P<begin>[0-9,]+)(?:-(?P<end>[0-9,]+))?")


@dataclass(frozen=True, order=True, slots=True)
class Region:
    """An interval of a contig, 0-based and half-open.

    Attributes
    ----------
    contig : str
    start : int
        First position, 0-based.
    end : int
        Position after the last one.
    """

    contig: str
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def __str__(self) -> str:
        """1-based, both ends included, as samtools and bcftools write regions."""
        return f"{self.contig}:{self.start + 1}-{self.end}"


class RegionSet:
    """Regions of a genome: disjoint, touching ones joined, sorted by contig name and position.

    Iterating gives each as a `Region`; ``|``, ``&`` and ``-`` give the positions that either, both
    or only the first of two sets hold.

    Parameters
    ----------
    by_contig : mapping of str to int64 array [K, 2]
        Contig -> intervals in any order.
    """

    def __init__(self, by_contig: Mapping[str, Intervals]) -> None:
        merged = ((contig, merge_intervals(by_contig[contig])) for contig in sorted(by_contig))
        self._by_contig = {contig: intervals for contig, intervals in merged if len(intervals)}

    @classmethod
    def of(cls, regions: Iterable[Region]) -> RegionSet:
        """The union of regions in any order."""
        bounds: dict[str, array[int]] = {}
        for region in regions:
            bounds.setdefault(region.contig, array("q")).extend((region.start, region.end))
        return cls({contig: as_intervals(found) for contig, found in bounds.items()})

    @classmethod
    def whole(cls, contigs: Mapping[str, int]) -> RegionSet:
        """All of the contigs, name -> length."""
        return cls({name: as_intervals([0, length]) for name, length in contigs.items()})

    @property
    def contigs(self) -> list[str]:
        """Contigs that have a region."""
        return list(self._by_contig)

    @property
    def n_positions(self) -> int:
        return sum(int(np.diff(found).sum()) for found in self._by_contig.values())

    def on(self, contig: str) -> Intervals:
        """The regions on a contig; int64 [K, 2]."""
        return self._by_contig.get(contig, NOWHERE)

    def renamed(self, names: Mapping[str, str]) -> RegionSet:
        """The regions on contigs that have a new name, by that name."""
        found: dict[str, list[Intervals]] = {}
        for contig, intervals in self._by_contig.items():
            if contig in names:
                found.setdefault(names[contig], []).append(intervals)
        return RegionSet({contig: np.concatenate(parts) for contig, parts in found.items()})

    def spelled_as(self, contigs: Iterable[str]) -> RegionSet:
        """The regions on those of `contigs` that they mean, however spelled."""
        return self.renamed(resolve_contigs(self.contigs, contigs))

    def __iter__(self) -> Iterator[Region]:
        for contig, intervals in self._by_contig.items():
            for start, end in intervals.tolist():
                yield Region(contig, start, end)

    def __len__(self) -> int:
        return sum(map(len, self._by_contig.values()))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RegionSet):
            return NotImplemented
        return self.contigs == other.contigs and all(
            np.array_equal(self.on(contig), other.on(contig)) for contig in self.contigs
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"RegionSet({', '.join(map(str, itertools.islice(self, 4)))}; {len(self)} in all)"

    def __or__(self, other: RegionSet) -> RegionSet:
        contigs = {*self._by_contig, *other._by_contig}
        return RegionSet({c: np.concatenate([self.on(c), other.on(c)]) for c in contigs})

    def __and__(self, other: RegionSet) -> RegionSet:
        return RegionSet({c: intersect_intervals(self.on(c), other.on(c)) for c in self.contigs})

    def __sub__(self, other: RegionSet) -> RegionSet:
        return RegionSet({c: subtract_intervals(self.on(c), other.on(c)) for c in self.contigs})


def parse_region(text: str, contigs: Mapping[str, int] | None = None) -> Region:
    """Parse ``contig:begin-end`` (1-based, both ends included).

    Parameters
    ----------
    text : str
        Thousands separators are accepted; contig names may hold colons.
    contigs : mapping of str to int, optional
        Contig name -> length. With it, ``contig`` and ``contig:begin`` reach to the contig's end,
        an end beyond it is cut, and unknown contigs are refused.

    Returns
    -------
    Region

    Raises
    ------
    InputError
        If the text is no region, is empty, or lies outside the given contigs.
    """
    if contigs is not None and text in contigs:
        return Region(text, 0, contigs[text])
    match = _RANGE.fullmatch(text)
    if match is None:
        if contigs is not None:
            raise _unknown_contig(text, text, contigs)
        raise _region_error(text, "is no region")
    begin = _number(match["begin"])
    end = None if match["end"] is None else _number(match["end"])
    contig = match["contig"]
    if contigs is not None:
        if contig not in contigs:
            raise _unknown_contig(text, contig, contigs)
        length = contigs[contig]
        end = length if end is None else min(end, length)
    if begin is None or end is None:
        raise _region_error(text, "is no region")
    if begin < 1 or end < begin or end > MAX_COORDINATE:
        raise _region_error(text, "is empty or lies outside the contig")
    return Region(contig, begin - 1, end)


def named_contig(text: str) -> tuple[str, int]:
    """The contig that a text names as `parse_region` reads it, and the last position; 0 for none.

    Nothing is checked: whether there is such a region, is for `resolve_region` to say.
    """
    match = _RANGE.fullmatch(text)
    if match is None:
        return text, 0
    return match["contig"], _number(match["end"] or match["begin"]) or 0


def resolve_region(text: str, contigs: Mapping[str, int]) -> Region:
    """`parse_region` where the contig may be spelled otherwise; by the contig's own name.

    Raises
    ------
    InputError
        As for `parse_region`.
    """
    lengths = dict(contigs)
    own_name: dict[str, str] = {}
    for name in {text, text.rpartition(":")[0]} - {""}:
        for spelled, contig in resolve_contigs([name], contigs).items():
            lengths[spelled], own_name[spelled] = contigs[contig], contig
    region = parse_region(text, lengths)
    return Region(own_name.get(region.contig, region.contig), region.start, region.end)


def _number(text: str) -> int | None:
    digits = text.replace(",", "")
    return int(digits) if 0 < len(digits) <= 15 else None


def _region_error(text: str, problem: str) -> InputError:
    return InputError(
        f"{text[:80]!r} {problem}", remedy="write contig:begin-end, 1-based, both ends included"
    )


def _unknown_contig(text: str, contig: str, contigs: Mapping[str, int]) -> InputError:
    return InputError(
        f"{text[:80]!r} names the unknown contig {contig[:80]}",
        remedy=f"write contig or contig:begin-end, 1-based; known: {first_names(contigs)}",
    )


def first_names(contigs: Collection[str]) -> str:
    """Names of contigs for a message: the first four of them."""
    names = [name[:80] for name in itertools.islice(contigs, 4)]
    return ", ".join(names) + (" ..." if len(contigs) > len(names) else "")


def choose_regions(
    texts: Iterable[str], bed: str | None, contigs: Mapping[str, int], *, path: str | None = None
) -> RegionSet | None:
    """The regions that options name, on contigs that may be spelled differently.

    Parameters
    ----------
    texts : iterable of str
        ``contig``, ``contig:begin`` or ``contig:begin-end``.
    bed : str, optional
        A BED file.
    contigs : mapping of str to int
        Name -> length of what is read.
    path : str, optional
        Where the contigs come from, for messages.

    Returns
    -------
    RegionSet or None
        None where no region is named.

    Raises
    ------
    InputError
        If a region is none, or does not lie within its contig; if a file has no region on any of
        the contigs. Where it has some, others are left out with a warning.
    """
    # Each text by itself: `1` and `chr1` are one contig, but for two contigs of one file.
    named = RegionSet.of(resolve_region(text, contigs) for text in texts)
    if bed is not None:
        from phylotools.io.bed import read_bed

        named |= _on_contigs(read_bed(bed), bed, contigs, path)
    return named or None


def _on_contigs(
    regions: RegionSet, bed: str, contigs: Mapping[str, int], path: str | None
) -> RegionSet:
    """Regions of one file, on the contigs' own names.

    Those on other contigs are left out and counted, unless all of them are.
    """
    names = resolve_contigs(regions.contigs, contigs)
    missing = [contig for contig in regions.contigs if contig not in names]
    place = "the reference" if path is None else shown_path(path)
    if missing and not names:
        raise InputError(
            f"no region is on a contig of {place}, which has {first_names(contigs)}; the regions "
            f"are on {first_names(missing)}",
            path=bed,
            remedy=_ONE_ASSEMBLY,
        )
    if missing:
        logger.warning(
            "%d of %d regions left out: they are on %s, which %s does not have",
            sum(len(regions.on(contig)) for contig in missing),
            len(regions),
            ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else ""),
            place,
        )
    for contig, own_name in names.items():
        beyond = regions.on(contig)[regions.on(contig)[:, 1] > contigs[own_name]]
        if len(beyond):
            raise InputError(
                f"{Region(contig, *beyond[0].tolist())} does not lie within its contig, which has "
                f"{contigs[own_name]:,} bases in {place}",
                path=bed,
                remedy=_ONE_ASSEMBLY,
            )
    return regions.renamed(names)


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
