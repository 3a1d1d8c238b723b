"""The regions to embed: read once, kept small, checked against the genome."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, shown_path
from phylotools.io.bed import bed_rows
from phylotools.io.contigs import resolve_contigs
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
    rows = (
        (region.contig, region.start, region.end, fields[3] if len(fields) > 3 else "",
         fields[5] if len(fields) > 5 else ".", line)
        for region, fields, line in bed_rows(path)
    )  # fmt: skip
    return _table(rows, genome, path, skip_outside=skip_outside)


def named_regions(texts: Iterable[str], genome: ReferenceGenome) -> RegionTable:
    """Regions written ``contig``, ``contig:begin`` or ``contig:begin-end`` (1-based).

    Raises
    ------
    InputError
        If one is no region of the genome.
    """
    rows = []
    for text in texts:
        region = resolve_region(text, genome.contigs)
        rows.append((region.contig, region.start, region.end, text, ".", 0))
    return _table(rows, genome, None, skip_outside=False)


def _table(
    rows: Iterable[tuple[str, int, int, str, str, int]],
    genome: ReferenceGenome,
    path: str | None,
    *,
    skip_outside: bool,
) -> RegionTable:
    number: dict[str, int] = {}
    contig, lines = array("i"), array("q")
    starts, ends = array("q"), array("q")
    names, strand = Texts(), bytearray()
    for name, start, end, label, sign, line in rows:
        contig.append(number.setdefault(name, len(number)))
        starts.append(start)
        ends.append(end)
        lines.append(line)
        names.append(label)
        strand.append(ord(sign) if sign in ("+", "-") else UNSTRANDED)
    found = resolve_contigs(number, genome.contigs)
    for name, target in found.items():
        if name != target:
            logger.info("contig %s is %s of the reference", name, target)
    table = RegionTable(
        contigs=list(number),
        targets=[found.get(name, "") for name in number],
        contig=np.frombuffer(contig, dtype=np.int32) if contig else np.empty(0, np.int32),
        start=_numbers(starts),
        end=_numbers(ends),
        names=names,
        strand=np.frombuffer(bytes(strand), dtype=np.uint8),
    )
    return _checked(table, _numbers(lines), genome, path, skip_outside=skip_outside)


def _numbers(values: array[int]) -> NDArray[np.int64]:
    return np.frombuffer(values, dtype=np.int64) if values else np.empty(0, dtype=np.int64)


def _checked(
    table: RegionTable,
    lines: NDArray[np.int64],
    genome: ReferenceGenome,
    path: str | None,
    *,
    skip_outside: bool,
) -> RegionTable:
    lengths = np.array([genome.contigs.get(name, -1) for name in table.targets], dtype=np.int64)
    length = lengths[table.contig]
    bad = np.flatnonzero(table.end > length)
    if not len(bad):
        return table
    first = int(bad[0])
    name = table.contigs[table.contig[first]]
    remedy = "check that regions and reference are of one assembly"
    if path is not None and len(bad) < len(table):
        remedy += ", or leave such regions out with --on-outside skip"
    if not skip_outside or len(bad) == len(table):
        unknown = length[first] < 0
        raise InputError(
            f"the reference {genome.path} has no contig {name!r}" if unknown else
            f"{name}:{table.start[first]}-{table.end[first]} runs past the end of the contig, "
            f"{length[first]}",
            path=path,
            line=int(lines[first]) or None,
            remedy=remedy,
        )  # fmt: skip
    logger.warning(
        "%s: %d of %d regions do not lie in the reference and are left out; the first is in line "
        "%d (%s:%d-%d)",
        shown_path(path or ""), len(bad), len(table), lines[first], name,
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
