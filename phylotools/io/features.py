"""Named intervals of BED, GFF3 and GTF files: annotation tracks, and names for other intervals."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import UsageError
from phylotools.io.bed import bed_rows
from phylotools.io.files import numbered_lines, open_input
from phylotools.io.gff import GFF_HEADER, gff_rows
from phylotools.io.regions import MAX_COORDINATE, Region

_STRANDS = frozenset("+-")
#: What names a feature best, the best first.
_NAME_KEYS = (
    *("Name", "gene_name", "gene", "transcript_name", "product", "ID", "gene_id", "Parent"),
    "transcript_id",
)
_EVERYWHERE = (0, MAX_COORDINATE)
#: Widths of the bins of `OverlapIndex`: 16 kb, and each level eight times the one below.
_SMALLEST_BIN, _BIN_STEP, _BIN_LEVELS = 14, 3, 10


@dataclass(frozen=True)
class Feature:
    """A named interval.

    Attributes
    ----------
    region : Region
    name : str
        Empty if it has none.
    strand : {'+', '-', '.'}
    kind : str
        The type of a GFF or GTF row; empty for BED.
    """

    region: Region
    name: str
    strand: str = "."
    kind: str = ""


def read_features(path: str, span: tuple[int, int] = _EVERYWHERE) -> Iterator[Feature]:
    """Features of a BED, GFF3 or GTF file, in file order; the format is sniffed.

    Parameters
    ----------
    path : str
        Plain, gzip or bgzip; no stdin.
    span : (int, int)
        Only intervals that overlap these positions, 0-based and half-open, of whatever contig:
        the names of the others are not looked for, which is most of the work.

    Raises
    ------
    InputError
        With its line, where a line belongs to none of the formats; if there is no interval.
    UsageError
        For stdin.
    """
    if path == "-":
        raise UsageError("an annotation is read twice and cannot come from stdin (-)")
    return _gff_features(path, span) if is_gff(path) else _bed_features(path, span)


def holds_intervals(path: str) -> bool:
    """Whether the first line of data is a row of BED, GFF or GTF."""
    fields = _first_row(path)
    is_bed = len(fields) >= 3 and fields[1].strip().isdigit() and fields[2].strip().isdigit()
    return is_bed or is_gff(path)


def is_gff(path: str) -> bool:
    """Whether a file is GFF3 or GTF, by its first line of data."""
    fields = _first_row(path)
    return fields == [GFF_HEADER] or (
        len(fields) >= 8
        and fields[3].strip().isdigit()
        and fields[4].strip().isdigit()
        and fields[6].strip() in (b"+", b"-", b".", b"?")
        and not (fields[1].strip().isdigit() and fields[2].strip().isdigit())
    )


def _first_row(path: str) -> list[bytes]:
    """Fields of the first line of data, or the header of GFF alone; empty if there is none."""
    with open_input(path) as handle:
        for _, raw in numbered_lines(handle, path):
            if raw.startswith(GFF_HEADER):
                return [GFF_HEADER]
            words = raw.removeprefix(BOM_UTF8).split()
            if words and not raw.startswith(b"#") and words[0] not in (b"track", b"browser"):
                return raw.split(b"\t") if b"\t" in raw else words
    return []


def _bed_features(path: str, span: tuple[int, int]) -> Iterator[Feature]:
    for region, fields, _ in bed_rows(path):
        if region.end <= span[0] or region.start >= span[1]:
            continue
        name = fields[3].strip() if len(fields) > 3 else ""
        strand = fields[5].strip() if len(fields) > 5 else "."
        yield Feature(region, "" if name == "." else name, strand if strand in _STRANDS else ".")


def _gff_features(path: str, span: tuple[int, int]) -> Iterator[Feature]:
    for row in gff_rows(path, span=span):
        region = Region(row.contig, row.start, row.end)
        found = row.attributes
        name = next((found[key] for key in _NAME_KEYS if found.get(key)), "")
        yield Feature(region, name, row.strand, row.kind)


class OverlapIndex:
    """Find, among many named intervals, the one that overlaps most of a region.

    Intervals lie in the smallest bin that holds them whole (the scheme of BAM's index), so that a
    long one is looked at once, not once for each short one beside it.

    Parameters
    ----------
    features : iterable of Feature
    resolve : callable
        Contig name of a feature -> that of the regions asked for; None for another contig.
    """

    def __init__(self, features: Iterable[Feature], resolve: Callable[[str], str | None]) -> None:
        self._bins: dict[tuple[str, int, int], list[tuple[int, int, str]]] = {}
        for feature in features:
            region = feature.region
            contig = resolve(region.contig)
            if contig is None:
                continue
            for level in range(_BIN_LEVELS):
                shift = _SMALLEST_BIN + _BIN_STEP * level
                if region.start >> shift == (region.end - 1) >> shift or level == _BIN_LEVELS - 1:
                    break
            key = (contig, level, region.start >> shift)
            self._bins.setdefault(key, []).append((region.start, region.end, feature.name))
        self._arrays: dict[tuple[str, int, int], tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def name_of(self, region: Region) -> str | None:
        """Name of the interval with the largest overlap; of equal ones the shortest, the first.

        Returns
        -------
        str or None
            None where no interval overlaps.
        """
        found = self.best(region)
        return None if found is None else found[0]

    def best(self, region: Region) -> tuple[str, int] | None:
        """`name_of`, and how many bases of the region that interval covers."""
        best: tuple[int, int, str] | None = None
        for level in range(_BIN_LEVELS):
            shift = _SMALLEST_BIN + _BIN_STEP * level
            for place in range(region.start >> shift, ((region.end - 1) >> shift) + 1):
                key = (region.contig, level, place)
                if key not in self._bins:
                    continue
                found = self._best_of(key, region)
                if found is not None and (best is None or found[:2] > best[:2]):
                    best = found
        return None if best is None else (best[2], best[0])

    def _best_of(self, key: tuple[str, int, int], region: Region) -> tuple[int, int, str] | None:
        """(overlap, minus length, name) of the best interval of a bin."""
        if key not in self._arrays:
            starts, ends, _ = zip(*self._bins[key], strict=True)
            self._arrays[key] = np.array(starts), np.array(ends)
        starts_, ends_ = self._arrays[key]
        overlap = np.minimum(ends_, region.end) - np.maximum(starts_, region.start)
        most = int(overlap.max())
        if most <= 0:
            return None
        tied = np.flatnonzero(overlap == most)
        index = int(tied[np.argmin((ends_ - starts_)[tied])])
        return most, int(starts_[index] - ends_[index]), self._bins[key][index][2]
