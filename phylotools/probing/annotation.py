"""An annotation as labels of bases or bins, in windows of the genome."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.embedding.regions import RegionRows, RegionTable
from phylotools.errors import InputError, counted, shown
from phylotools.io.contigs import resolve_contigs
from phylotools.io.features import Feature, is_gff, read_features
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import RegionSet
from phylotools.io.transcripts import Transcripts, read_transcripts
from phylotools.probing.tasks import BIN

logger = logging.getLogger("phylotools")

#: Classes of gene finding, in BEND's order. A donor is the first base of an intron, as the gene is
#: read, an acceptor its last.
GENE_CLASSES = (
    *("exon+", "donor+", "intron+", "acceptor+", "exon-", "donor-", "intron-", "acceptor-"),
    "intergenic",
)
_OF_REVERSE = 4
_EXON, _DONOR, _INTRON, _ACCEPTOR = range(4)
#: Class of bases that no named interval holds.
NO_CLASS = "none"
_MOST_CLASSES = 200


class Painted(NamedTuple):
    """An interval of a contig of the genome and its class; later ones lie on top."""

    contig: str
    start: int
    end: int
    number: int


def gene_intervals(transcripts: Transcripts) -> Iterator[Painted]:
    """Introns, then exons, then splice sites of transcripts, with their class of `GENE_CLASSES`.

    Where transcripts differ a base is what is rarest: a splice site, else an exon, else an intron.
    """
    for wanted in ((_INTRON,), (_EXON,), (_DONOR, _ACCEPTOR)):
        for k, contig in enumerate(transcripts.contigs):
            is_reverse = bool(transcripts.is_reverse[k])
            for start, end, kind in _parts(transcripts.exons(k).tolist(), is_reverse):
                if kind in wanted:
                    yield Painted(contig, start, end, kind + _OF_REVERSE * is_reverse)


def _parts(exons: Sequence[Sequence[int]], is_reverse: bool) -> Iterator[tuple[int, int, int]]:
    """Exons, introns and splice sites of one transcript; exons by rising start."""
    for start, end in exons:
        yield start, end, _EXON
    for (_, start), (end, _) in itertools.pairwise(exons):
        if end - start < 2:
            continue
        first, last = (_ACCEPTOR, _DONOR) if is_reverse else (_DONOR, _ACCEPTOR)
        yield start, end, _INTRON
        yield start, start + 1, first
        yield end - 1, end, last


def named_intervals(
    path: str, types: frozenset[str], *, by_type: bool
) -> tuple[list[Painted], tuple[str, ...]]:
    """Intervals of an annotation and their classes, long ones first so that short ones show.

    Parameters
    ----------
    path : str
        BED, GFF3 or GTF.
    types : frozenset of str
        Rows of a GFF that count; empty for all.
    by_type : bool
        Whether the class of a row of GFF is its type; else its name.

    Returns
    -------
    list of Painted, tuple of str
        The last class is that of bases that no interval holds.

    Raises
    ------
    InputError
        If an interval has no name, there are too many, or none of the types is there.
    """
    features = [f for f in read_features(path) if not types or f.kind in types]
    if not features:
        names = ", ".join(sorted(shown(each) for each in types))
        raise InputError(f"has no row of type {names}", path=path)
    of_each = [_class_of(feature, by_type, path) for feature in features]
    classes = [*sorted(set(of_each) - {NO_CLASS}), NO_CLASS]
    if len(classes) > _MOST_CLASSES:
        raise InputError(
            f"its intervals have {len(classes):,} names; up to {_MOST_CLASSES} classes can be told",
            path=path,
            remedy="name intervals by their kind, or choose rows with --label-type",
        )
    number = {name: k for k, name in enumerate(classes)}
    found = [
        Painted(each.region.contig, each.region.start, each.region.end, number[name])
        for each, name in zip(features, of_each, strict=True)
    ]
    return sorted(found, key=lambda each: each.start - each.end), tuple(classes)


def _class_of(feature: Feature, by_type: bool, path: str) -> str:
    name = feature.kind if by_type and feature.kind else feature.name
    if not name:
        raise InputError(
            f"{feature.region} has no name", path=path, remedy="name its class in column 4"
        )
    return name


def read_annotation(
    path: str, *, finds_genes: bool, types: frozenset[str]
) -> tuple[list[Painted], tuple[str, ...]]:
    """The intervals of an annotation in the order in which they are painted, and all classes.

    Parameters
    ----------
    path : str
    finds_genes : bool
        Whether a GFF is of transcripts, whose classes are `GENE_CLASSES`; else they are the types
        of its rows, and the names of the intervals of a BED.
    types : frozenset of str
        Of the rows that count; of transcripts the one whose rows are joined.

    Returns
    -------
    list of Painted, tuple of str
        The last class is that of bases that no interval holds.
    """
    if not is_gff(path) or not finds_genes:
        return named_intervals(path, types, by_type=not finds_genes)
    part = next(iter(types)) if len(types) == 1 else "exon"
    return list(gene_intervals(read_transcripts(path, part))), GENE_CLASSES


def on_genome(
    painted: Iterable[Painted], genome: ReferenceGenome, path: str
) -> dict[str, list[Painted]]:
    """Intervals by the genome's names of their contigs, in the same order.

    Raises
    ------
    InputError
        If one runs past the end of its contig, or none lies on a contig of the genome.
    """
    painted = list(painted)
    names = resolve_contigs(dict.fromkeys(each.contig for each in painted), genome.contigs)
    found: dict[str, list[Painted]] = {}
    n_foreign = 0
    for each in painted:
        contig = names.get(each.contig)
        if contig is None:
            n_foreign += 1
            continue
        if each.end > genome.contigs[contig]:
            raise InputError(
                f"{each.contig}:{each.start + 1}-{each.end} runs past the end of the contig, "
                f"{genome.contigs[contig]:,}",
                path=path,
                remedy="check that annotation and reference are of one assembly",
            )
        found.setdefault(contig, []).append(each)
    if not found:
        raise InputError(
            f"none of its contigs is in the reference {genome.path}",
            path=path,
            remedy="check that annotation and reference are of one assembly",
        )
    if n_foreign:
        logger.warning(
            "%s: %s left out: the reference lacks their contigs",
            path, counted(n_foreign, "interval"),
        )  # fmt: skip
    return found


def windows(regions: RegionSet, size: int, genome: ReferenceGenome) -> RegionTable:
    """Regions cut from their starts into windows of so many bases; the last may be shorter."""
    rows = RegionRows()
    for region in regions:
        for start in range(region.start, region.end, size):
            rows.append(region.contig, start, min(start + size, region.end))
    return rows.table(genome)


def base_classes(
    table: RegionTable, painted: dict[str, list[Painted]], background: int
) -> NDArray[np.int16]:
    """Class of each base of windows that do not overlap and are sorted, one after the other.

    Parameters
    ----------
    table : RegionTable
    painted : dict of str to list of Painted
        By the genome's contigs; later ones lie on top.
    background : int
        Class of bases that none holds.

    Returns
    -------
    int16 array [bases of all windows]
    """
    lengths = table.end - table.start
    offset = np.cumsum(lengths) - lengths - table.start
    labels = np.full(int(lengths.sum()), background, dtype=np.int16)
    for number, contig in enumerate(table.targets):
        rows = np.flatnonzero(table.contig == number)
        starts, ends, shift = table.start[rows], table.end[rows], offset[rows]
        for _, start, end, kind in painted.get(contig, ()):
            first = int(np.searchsorted(ends, start, side="right"))
            last = int(np.searchsorted(starts, end, side="left"))
            for row in range(first, last):
                low, high = max(start, int(starts[row])), min(end, int(ends[row]))
                labels[low + shift[row] : high + shift[row]] = kind
    return labels


def bin_labels(flags: NDArray[np.bool_], lengths: NDArray[np.int64]) -> NDArray[np.int8]:
    """Whether half of the bases of each bin, or more, are flagged; int8 [C, 1].

    Parameters
    ----------
    flags : bool array [bases of all samples]
    lengths : int64 array [N]
    """
    offsets = np.cumsum(lengths) - lengths
    places = zip(offsets.tolist(), lengths.tolist(), strict=True)
    starts = np.concatenate([np.arange(first, first + n, BIN) for first, n in places])
    counts = np.add.reduceat(flags.astype(np.int64), starts)
    sizes = np.diff(np.append(starts, len(flags)))
    return (2 * counts >= sizes).astype(np.int8)[:, None]
