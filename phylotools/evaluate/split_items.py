"""The sides of a split: what lies on them, out of a column, a BED, variants or a model's folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, counted, shown
from phylotools.evaluate.labelled import NO_LEVEL, Factor, Variants
from phylotools.io.bed import read_bed
from phylotools.io.contigs import one_spelling, resolve_contigs
from phylotools.io.regions import RegionSet
from phylotools.io.scored import open_scored

#: Sides that a split may have.
MOST_SIDES = 50
#: The side of what something was trained on, and of what it is judged by.
TRAINED, JUDGED = "trained on", "judged here"
_TRAINING_REGIONS = "training_regions.bed"


@dataclass(frozen=True)
class SplitItems:
    """What lies on the sides of a split: N variants or regions.

    Attributes
    ----------
    contigs : tuple of str
    contig : int64 array [N]
        Index into `contigs`.
    start, end : int64 array [N]
        0-based, half-open.
    sides : tuple of str
    side : int64 array [N]
        Index into `sides`.
    alleles : tuple of str
        ``REF>ALT``; empty for a region.
    genes : Factor or None
    """

    contigs: tuple[str, ...]
    contig: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    sides: tuple[str, ...]
    side: NDArray[np.int64]
    alleles: tuple[str, ...]
    genes: Factor | None = None

    def __len__(self) -> int:
        return len(self.start)

    def name(self, row: int) -> str:
        """An item, as a message names it."""
        place = f"{shown(self.contigs[self.contig[row]])}:{self.start[row] + 1}"
        text = self.alleles[row]
        return f"{place} {shown(text)}" if text else f"{place}-{self.end[row]}"


def split_items(variants: Variants, split: Factor, genes: Factor | None = None) -> SplitItems:
    """The sides of a split that a column says.

    Variants of which it says nothing are on no side, and left out.

    Raises
    ------
    InputError
        If it has one value, or very many.
    """
    rows = np.flatnonzero(np.array([level != NO_LEVEL for level in split.levels])[split.codes])
    used = np.unique(split.codes[rows])
    if not 2 <= len(used) <= MOST_SIDES:
        raise InputError(
            f"column {shown(split.name)} has {counted(len(used), 'value')}: no split has so "
            f"{'few' if len(used) < 2 else 'many'}",
            remedy="name the column that says train and test, or the fold",
        )
    chosen, own = variants.take(rows), split.take(rows)
    sides = tuple(split.levels[code] for code in used.tolist())
    side = np.searchsorted(used, own.codes).astype(np.int64)
    taken = None if genes is None else genes.take(rows)
    return _items(chosen, sides, side, taken)


def _items(
    variants: Variants, sides: tuple[str, ...], side: NDArray[np.int64], genes: Factor | None
) -> SplitItems:
    sizes = np.array([len(ref) for ref in variants.refs], dtype=np.int64)
    alleles = tuple(f"{ref}>{alt}" for ref, alt in zip(variants.refs, variants.alts, strict=True))
    contig = variants.contig_index.astype(np.int64)
    return SplitItems(
        variants.contigs, contig, variants.positions, variants.positions + sizes, sides, side,
        alleles, genes,
    )  # fmt: skip


def trained_items(variants: Variants, trained_on: str | os.PathLike[str]) -> SplitItems:
    """What a score was trained on, and the variants that judge it.

    Parameters
    ----------
    variants : Variants
        Those that judge.
    trained_on : str or PathLike
        Variants (VCF, BCF, TSV, CSV, Parquet), regions (BED), or the folder of a model, which has
        the regions that it was trained on.

    Raises
    ------
    InputError
        If it is none of these, or has no contig of the variants.
    """
    path = Path(trained_on)
    others = _regions_of(path) if path.is_dir() or _is_bed(path) else _variants_of(str(path))
    names = resolve_contigs(others.contigs, variants.contigs)
    if not names:
        raise InputError(
            f"has none of the variants' contigs ({', '.join(variants.contigs[:5])}); it has "
            f"{', '.join(others.contigs[:5])}",
            path=trained_on,
            remedy="give what was trained on in coordinates of the same assembly",
        )
    contigs = list(variants.contigs)
    numbers = {name: number for number, name in enumerate(contigs)}
    for name in others.contigs:
        if name not in names:
            numbers.setdefault(name, len(numbers))
    index = np.array([numbers[names.get(name, name)] for name in others.contigs], dtype=np.int64)
    own = _items(variants, (JUDGED, TRAINED), np.zeros(len(variants), dtype=np.int64), None)
    return SplitItems(
        contigs=tuple(numbers),
        contig=np.concatenate([own.contig, index[others.contig]]),
        start=np.concatenate([own.start, others.start]),
        end=np.concatenate([own.end, others.end]),
        sides=own.sides,
        side=np.concatenate([own.side, np.ones(len(others), dtype=np.int64)]),
        alleles=own.alleles + others.alleles,
    )


def _is_bed(path: Path) -> bool:
    return path.name.removesuffix(".gz").endswith(".bed")


def _regions_of(path: Path) -> SplitItems:
    """Regions of a BED, or those that a model was trained on."""
    if path.is_dir():
        if not (path / _TRAINING_REGIONS).is_file():
            raise InputError(
                f"is a folder without {_TRAINING_REGIONS}: what it was trained on is not known",
                path=path,
                remedy="give a model's folder, a BED or a file of variants",
            )
        path = path / _TRAINING_REGIONS
    regions: RegionSet = read_bed(str(path))
    contigs = tuple(regions.contigs)
    spans = [regions.on(contig) for contig in contigs]
    bounds = np.concatenate(spans) if spans else np.empty((0, 2), dtype=np.int64)
    index = np.repeat(np.arange(len(contigs)), [len(each) for each in spans])
    side = np.zeros(len(bounds), dtype=np.int64)
    return SplitItems(
        contigs, index, bounds[:, 0].copy(), bounds[:, 1].copy(), (TRAINED,), side,
        ("",) * len(bounds),
    )  # fmt: skip


def _variants_of(path: str) -> SplitItems:
    numbers: dict[str, int] = {}
    spelled = one_spelling()
    places: list[tuple[int, int, int]] = []
    alleles: list[str] = []
    with open_scored(path) as file:
        for allele in file.alleles(()):
            contig = numbers.setdefault(spelled(allele.contig), len(numbers))
            places.append((contig, allele.position, allele.position + len(allele.ref)))
            alleles.append(f"{allele.ref}>{allele.alt}")
    table = np.array(places, dtype=np.int64).reshape(-1, 3)
    side = np.zeros(len(table), dtype=np.int64)
    return SplitItems(
        tuple(numbers), table[:, 0], table[:, 1], table[:, 2], (TRAINED,), side, tuple(alleles)
    )
