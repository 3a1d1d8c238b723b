"""The regions to embed: read once, kept small, checked against the genome."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, shown_path
from phylotools.io.bed import bed_rows
from phylotools.io.contigs import log_other_names, resolve_contigs
from phylotools.io.genome import ReferenceGenome
from phylotools.io.intervals import covers
from phylotools.io.regions import RegionSet, resolve_region

logger = logging.getLogger("phylotools")

FORWARD, REVERSE, UNSTRANDED = b"+-."


class Texts:
    """Many short texts in one buffer: a million names as Python strings would be 60 MB."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._ends = array("q", [0])

    def append(self, text: str) -> None:
        self._buffer += text.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._buffer))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:
        return self._buffer[self._ends[index] : self._ends[index + 1]].decode("utf-8", "replace")


@dataclass(frozen=True)
class RegionTable:
    """Regions in the order of their file.

    Attributes
    ----------
    contigs : list of str
        Names as the file spells them.
    targets : list of str
        The genome's name of each of `contigs`.
    contig : int32 array [N]
        Index into both.
    start, end : int64 array [N]
        0-based, half-open; not empty.
    names : Texts
        Fourth column; empty where there is none.
    strand : uint8 array [N]
        ``+``, ``-`` or ``.`` as ASCII.
    n_left_out : int
        Intervals that do not lie in the genome and were passed over.
    """

    contigs: list[str]
    targets: list[str]
    contig: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    names: Texts
    strand: NDArray[np.uint8]
    n_left_out: int = 0

    def __len__(self) -> int:
        return len(self.start)

    @property
    def n_bases(self) -> int:
        """Of all regions, overlaps counted again."""
        return int((self.end - self.start).sum())


def read_regions(path: str, genome: ReferenceGenome, *, skip_outside: bool) -> RegionTable:
    """Read a BED file.

    Parameters
    ----------
    path : str
        ``-`` is stdin.
    genome : ReferenceGenome
    skip_outside : bool
        Leave out regions that do not lie in the genome, with a warning that counts them.

    Returns
    -------
    RegionTable
        Empty intervals are left out.

    Raises
    ------
    InputError
        If a line is no BED line, a region does not lie in the genome, or none is left.
    """
    return BedFile(path).placed(genome, skip_outside=skip_outside)


class BedFile:
    """A BED file that is read once, when its regions are first asked for; ``-`` is stdin."""

    def __init__(self, path: str) -> None:
        self.path = path

    @cached_property
    def _rows_and_lines(self) -> tuple[RegionRows, array[int]]:
        rows, lines = RegionRows(), array("q")
        for region, fields, line in bed_rows(self.path):
            name = fields[3] if len(fields) > 3 else ""
            strand = fields[5] if len(fields) > 5 else "."
            rows.append(region.contig, region.start, region.end, name, strand)
            lines.append(line)
        return rows, lines

    def uses(self) -> dict[str, tuple[int, int]]:
        """Of each contig, how many regions there are, and the largest end.

        Raises
        ------
        InputError
            If a line is no BED line.
        """
        return self._rows_and_lines[0].uses()

    def placed(
        self,
        genome: ReferenceGenome,
        *,
        skip_outside: bool,
        targets: Mapping[str, str] | None = None,
    ) -> RegionTable:
        """The regions in a genome, as for `read_regions`.

        Parameters
        ----------
        genome : ReferenceGenome
        skip_outside : bool
        targets : mapping of str to str, optional
            The genome's name of each contig, where that was found before, and told with all else.
        """
        rows, lines = self._rows_and_lines
        table = rows.table(genome, targets)
        return checked_regions(
            table, lines, genome, self.path, skip_outside=skip_outside, tell=targets is None
        )


def named_regions(texts: Iterable[str], genome: ReferenceGenome) -> RegionTable:
    """Regions written ``contig``, ``contig:begin`` or ``contig:begin-end`` (1-based).

    Raises
    ------
    InputError
        If one is no region of the genome.
    """
    rows = RegionRows()
    for text in texts:
        region = resolve_region(text, genome.contigs)
        rows.append(region.contig, region.start, region.end, text)
    return rows.table(genome)


class RegionRows:
    """Regions one by one, kept small, on their way into a `RegionTable`."""

    def __init__(self) -> None:
        self._index_of: dict[str, int] = {}
        self._contig, self._start, self._end = array("i"), array("q"), array("q")
        self._names, self._strand = Texts(), bytearray()

    def append(self, contig: str, start: int, end: int, name: str = "", strand: str = ".") -> None:
        """Add a region; 0-based, half-open."""
        self._start.append(start)
        self._end.append(end)
        self._contig.append(self._index_of.setdefault(contig, len(self._index_of)))
        self._names.append(name)
        self._strand.append(ord(strand) if strand in ("+", "-") else UNSTRANDED)

    def uses(self) -> dict[str, tuple[int, int]]:
        """Of each contig, how many regions there are, and the largest end."""
        contigs, ends = np.array(self._contig, np.int32), np.array(self._end, np.int64)
        counts = np.bincount(contigs, minlength=len(self._index_of))
        last = np.zeros(len(self._index_of), dtype=np.int64)
        np.maximum.at(last, contigs, ends)
        pairs = zip(counts.tolist(), last.tolist(), strict=True)
        return dict(zip(self._index_of, pairs, strict=True))

    def table(
        self, genome: ReferenceGenome, targets: Mapping[str, str] | None = None
    ) -> RegionTable:
        """All regions, their contigs resolved in a genome; not checked against its lengths.

        Parameters
        ----------
        genome : ReferenceGenome
        targets : mapping of str to str, optional
            The genome's name of each contig, if that is known.
        """
        found = resolve_contigs(self._index_of, genome.contigs) if targets is None else targets
        if targets is None:
            log_other_names({name: target for name, target in found.items() if name != target})
        return RegionTable(
            contigs=list(self._index_of),
            targets=[found.get(name, "") for name in self._index_of],
            contig=np.array(self._contig, dtype=np.int32),
            start=np.array(self._start, dtype=np.int64),
            end=np.array(self._end, dtype=np.int64),
            names=self._names,
            strand=np.frombuffer(bytes(self._strand), dtype=np.uint8),
        )


def checked_regions(
    table: RegionTable,
    lines: Sequence[int],
    genome: ReferenceGenome,
    path: str,
    *,
    skip_outside: bool,
    tell: bool = True,
) -> RegionTable:
    """Regions of a file that lie in a genome.

    Parameters
    ----------
    table : RegionTable
    lines : sequence of int
        1-based, of each region.
    genome : ReferenceGenome
    path : str
    skip_outside : bool
        As for `read_regions`.
    tell : bool
        Warn of those that are left out.

    Raises
    ------
    InputError
    """
    lengths = np.array([genome.contigs.get(name, -1) for name in table.targets], dtype=np.int64)
    length = lengths[table.contig]
    bad = np.flatnonzero(table.end > length)
    if not len(bad):
        return table
    first = int(bad[0])
    name = table.contigs[table.contig[first]]
    remedy = "check that regions and reference are of one assembly"
    if len(bad) < len(table):
        remedy += ", or leave such regions out (`embed` does so with --on-outside skip)"
    if not skip_outside or len(bad) == len(table):
        unknown = length[first] < 0
        raise InputError(
            f"the reference {genome.path} has no contig {name!r}" if unknown else
            f"{name}:{table.start[first]}-{table.end[first]} runs past the end of the contig, "
            f"{length[first]}",
            path=path,
            line=lines[first],
            remedy=remedy,
        )  # fmt: skip
    if tell:
        logger.warning(
            "%s: %d of %d regions do not lie in the reference and are left out; the first is in "
            "line %d (%s:%d-%d)",
            shown_path(path), len(bad), len(table), lines[first], name,
            table.start[first], table.end[first],
        )  # fmt: skip
    kept = np.flatnonzero(table.end <= length)
    names = Texts()
    for index in kept.tolist():
        names.append(table.names[index])
    return RegionTable(
        table.contigs, table.targets, table.contig[kept], table.start[kept], table.end[kept],
        names, table.strand[kept], len(bad),
    )  # fmt: skip


def by_contig(
    table: RegionTable, genome: ReferenceGenome
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Indices of regions on each contig, sorted by start, then end; contigs in FASTA order."""
    rank = {name: place for place, name in enumerate(genome.contigs)}
    ranks = np.array([rank[target] if target else -1 for target in table.targets], dtype=np.int64)
    rank_of_region = ranks[table.contig]
    order = np.lexsort((table.end, table.start, rank_of_region))
    bounds = np.flatnonzero(np.diff(rank_of_region[order])) + 1
    for indices in np.split(order, bounds):
        if len(indices):
            yield table.targets[table.contig[indices[0]]], indices


def n_outside(table: RegionTable, inside: RegionSet) -> int:
    """How many regions do not lie wholly in one of a set."""
    inside = inside.spelled_as(table.targets)
    n_inside = 0
    for number, contig in enumerate(table.targets):
        chosen = table.contig == number
        spans = table.start[chosen], table.end[chosen]
        n_inside += int(covers(inside.on(contig), *spans).sum())
    return len(table) - n_inside
