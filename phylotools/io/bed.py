"""BED files: the regions they hold, as a set, one by one, or with a weight."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from array import array
from codecs import BOM_UTF8
from collections.abc import Iterator

import numpy as np

from phylotools.errors import InputError
from phylotools.io.files import BLOCK_BYTES, numbered_lines, open_input, text_blocks
from phylotools.io.intervals import NOWHERE, Intervals, as_intervals, merge_intervals
from phylotools.io.regions import MAX_COORDINATE, Region, RegionSet

logger = logging.getLogger("phylotools")

_VCF_HEADER = ("##fileformat=VCF", "#CHROM\tPOS\tID")
#: Far beyond any use, and where the arithmetic of losses in float32 still holds.
LARGEST_WEIGHT = 1e9
_ALLELES = re.compile(r"[ACGTNacgtn,.*]+")
_REMEDY = "give BED: contig, start, end, separated by tabs"
#: Lines that are read, and intervals that are held, before they are merged.
_MOST_LINES = 1 << 18
_MOST_PENDING = 1 << 20
#: A contig's number stands above its coordinates, so that all contigs are merged at once.
_CONTIG_SHIFT = MAX_COORDINATE.bit_length()
_MOST_CONTIGS = (1 << (63 - _CONTIG_SHIFT)) - 1


def read_bed(path: str | os.PathLike[str]) -> RegionSet:
    """Read the positions that the intervals of a BED file hold.

    Only the first three columns are used. Comments, ``track`` and ``browser`` lines and empty
    lines are passed over. Memory is that of the merged intervals, 16 bytes each, whatever the
    number of lines.

    Parameters
    ----------
    path : str or PathLike
        Plain, gzip or bgzip; ``-`` is stdin.

    Returns
    -------
    RegionSet
        Empty intervals (start = end) are counted in a warning.

    Raises
    ------
    InputError
        If a line is no BED line, or no interval is left.
    """
    name = os.fspath(path)
    union = _Union(name)
    with open_input(name) as handle:
        for line, text in text_blocks(handle, name):
            _read_block(text, line, union)
    regions = union.regions()
    _conclude(name, union.n_found, union.n_empty)
    return regions


def _read_block(text: bytes, line: int, union: _Union) -> None:
    """Add the intervals of whole lines, the first of which has the number `line`."""
    # The loops take as long to load as a short file to read.
    is_short = len(text) < BLOCK_BYTES // 2
    at = 0
    while at < len(text):
        if not is_short:
            n_lines, at = union.add_ordinary(text, at)
            line += n_lines
        if at < len(text):
            end = text.index(b"\n", at) + 1
            row = _bed_line(text[at:end], union.path, line)
            if row is not None:
                union.add(row[0])
            at, line = end, line + 1


class _Union:
    """Intervals of any number, merged as they come."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.n_found = self.n_empty = 0
        self._numbers: dict[str, int] = {}
        #: Each bound is the contig's number, above it the position: all are merged at once.
        self._merged = NOWHERE
        self._pending: list[Intervals] = []
        self._n_pending = 0
        self._bounds = array("q")
        self._rows = np.empty((_MOST_LINES, 4), dtype=np.int64)

    def add(self, region: Region) -> None:
        """Take one interval."""
        above = self._number(region.contig) << _CONTIG_SHIFT
        self._bounds.extend((above + region.start, above + region.end))
        if len(self._bounds) >= 2 * _MOST_LINES:
            self._take_bounds()

    def add_ordinary(self, text: bytes, at: int) -> tuple[int, int]:
        """Take lines up to one that is not ordinary; how many there were, and where it begins."""
        from phylotools.io.bed_kernels import scan_lines

        n, end = scan_lines(np.frombuffer(text, dtype=np.uint8), at, self._rows)
        if n:
            rows = self._rows[:n]
            # A line that names the contig of the one before has no name of its own.
            first = np.flatnonzero(rows[:, 1])
            names = (text[begin:stop].decode() for begin, stop in rows[first, :2].tolist())
            numbers = np.array([self._number(name) for name in names], dtype=np.int64)
            above = np.repeat(numbers << _CONTIG_SHIFT, np.diff(np.append(first, n)))
            self._take(rows[:, 2:] + above[:, None])
        return n, end

    def regions(self) -> RegionSet:
        """What all hold."""
        self._take_bounds()
        self._merge()
        edges = np.arange(len(self._numbers) + 1) << _CONTIG_SHIFT
        rows = np.searchsorted(self._merged[:, 0], edges)
        return RegionSet(
            {
                contig: self._merged[rows[number] : rows[number + 1]] - edges[number]
                for contig, number in self._numbers.items()
            }
        )

    def _number(self, contig: str) -> int:
        number = self._numbers.setdefault(contig, len(self._numbers))
        if number >= _MOST_CONTIGS:
            raise InputError(f"names more than {_MOST_CONTIGS} contigs", path=self.path)
        return number

    def _take_bounds(self) -> None:
        self._take(as_intervals(self._bounds))
        self._bounds = array("q")

    def _take(self, intervals: Intervals) -> None:
        n_empty = int((intervals[:, 0] == intervals[:, 1]).sum())
        self.n_empty += n_empty
        self.n_found += len(intervals) - n_empty
        self._pending.append(intervals)
        self._n_pending += len(intervals)
        # In proportion to what is held, so that little is merged more than a few times.
        if self._n_pending >= max(_MOST_PENDING, len(self._merged) // 2):
            self._merge()

    def _merge(self) -> None:
        self._merged = merge_intervals(np.concatenate([self._merged, *self._pending]))
        self._pending, self._n_pending = [], 0


def read_bed_weights(path: str | os.PathLike[str]) -> Iterator[tuple[Region, float]]:
    """Yield the intervals of a BED or bedGraph file with the number in their fourth column.

    Parameters
    ----------
    path : str or PathLike
        As for `read_bed`.

    Returns
    -------
    iterator of (Region, float)
        Weights are not negative and at most `LARGEST_WEIGHT`.

    Raises
    ------
    InputError
        If a line is no BED line, has no such number, or no interval is left.
    """
    name = os.fspath(path)
    for region, fields, number in bed_rows(name):
        weight = -1.0
        with contextlib.suppress(IndexError, ValueError):
            # Python reads "1_0" as 10, and the digits of every script.
            weight = float(fields[3]) if fields[3].isascii() and "_" not in fields[3] else -1.0
        if not 0 <= weight <= LARGEST_WEIGHT:
            raise InputError(
                "the fourth column is no weight",
                path=name,
                line=number,
                remedy=f"give contig, start, end and a number from 0 to {LARGEST_WEIGHT:.0e}, "
                "separated by tabs",
            )
        yield region, weight


def bed_header(name: str) -> tuple[str, ...] | None:
    """Names of the columns of a BED file whose first line says them, None of any other.

    Such a line has ``start`` and ``end`` in its second and third column, with or without ``chrom``
    before them.
    """
    with open_input(name) as handle:
        for number, raw in numbered_lines(handle, name):
            if number == 1:
                raw = raw.removeprefix(BOM_UTF8)
            if not raw.strip() or raw.startswith(b"##"):
                continue
            line = raw.decode("utf-8", "replace").rstrip("\r\n").removeprefix("#")
            fields = [
                field.strip() for field in (line.split("\t") if "\t" in line else line.split())
            ]
            bounds = [field.lower().removeprefix("chrom") for field in fields[1:3]]
            return tuple(fields) if bounds == ["start", "end"] else None
    return None


def bed_rows(name: str, *, has_header: bool = False) -> Iterator[tuple[Region, list[str], int]]:
    """Yield the intervals of a BED file with their fields and 1-based line numbers.

    As `read_bed`, which keeps the intervals alone. `has_header` passes over a first line that
    `bed_header` found.
    """
    n_found = n_empty = 0
    with open_input(name) as handle:
        for number, raw in numbered_lines(handle, name):
            if has_header and raw.strip() and not raw.startswith(b"##"):
                has_header = False
                continue
            row = _bed_line(raw, name, number)
            if row is None:
                continue
            if len(row[0]):
                n_found += 1
                yield *row, number
            else:
                n_empty += 1
    _conclude(name, n_found, n_empty)


def _conclude(name: str, n_found: int, n_empty: int) -> None:
    if n_empty:
        logger.warning("%s: %d empty intervals (start = end) left out", name, n_empty)
    if not n_found:
        raise InputError("holds no interval", path=name, remedy=_REMEDY)


def _bed_line(raw: bytes, path: str, number: int) -> tuple[Region, list[str]] | None:
    if b"\x00" in raw:
        raise InputError("is no text", path=path, line=number, remedy=_REMEDY)
    if number == 1:
        raw = raw.removeprefix(BOM_UTF8)
    try:
        line = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise InputError("is no text", path=path, line=number, remedy=_REMEDY) from None
    if "\r" in line:
        raise InputError(
            "line ends are CR only", path=path, line=number, remedy="convert them: tr '\\r' '\\n'"
        )
    if line.startswith(_VCF_HEADER):
        raise InputError("is VCF, not BED", path=path, line=number, remedy=_REMEDY)
    if not line.strip() or line.startswith("#") or line.split()[0] in ("track", "browser"):
        return None
    fields = line.split("\t") if "\t" in line else line.split()
    if len(fields) < 3:
        raise InputError("fewer than three columns", path=path, line=number, remedy=_REMEDY)
    contig, start_text, end_text = (field.strip() for field in fields[:3])
    if not contig or not _is_coordinate(start_text) or not _is_coordinate(end_text):
        raise InputError(
            f"start {start_text[:40]!r} and end {end_text[:40]!r} must be whole numbers, not "
            "negative, after a contig name",
            path=path,
            line=number,
            remedy=_REMEDY,
        )
    if len(fields) >= 8 and _ALLELES.fullmatch(fields[3]) and _ALLELES.fullmatch(fields[4]):
        # A record whose ID is a number would pass for an interval.
        raise InputError("is VCF, not BED", path=path, line=number, remedy=_REMEDY)
    start, end = int(start_text), int(end_text)
    if end < start:
        raise InputError(
            f"end {end} lies before start {start}", path=path, line=number, remedy=_REMEDY
        )
    return Region(contig, start, end), fields


def _is_coordinate(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 12 and int(text) <= MAX_COORDINATE
