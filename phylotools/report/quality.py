"""How good an alignment is, in numbers: per species, per contig, per column."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.phylogeny.tree import Tree
from phylotools.report import counting
from phylotools.report.counting import count_columns
from phylotools.report.divergence import Divergence, fit_divergence
from phylotools.report.placement import (
    MOST_SPECIES,
    SAMPLED_COLUMNS,
    Misplaced,
    PairCounts,
    find_misplaced,
)
from phylotools.store.read import ColumnStore
from phylotools.store.tree_scale import FEWEST_COLUMNS

#: What preprocessing records of each species.
_RECORDED = ("rows", "duplicate_rows", "wrong_size_rows")


@dataclass(frozen=True)
class SpeciesQuality:
    """One species in the columns of a store.

    Attributes
    ----------
    name : str
    distance : float
        Along the tree to the reference, in substitutions per site.
    columns : int
        Reference positions that blocks cover.
    bases, unknown, gaps, masked : int
        Columns with A, C, G or T; another letter; a gap; a lower-case letter.
    comparable, identical : int
        Columns in which species and reference have A, C, G or T, and the same.
    rows, duplicate_rows, wrong_size_rows : int or None
        Rows in the alignment; those beyond the first of a block; those whose size field is not
        their number of bases. None where the store does not say.
    """

    name: str
    distance: float
    columns: int
    bases: int
    unknown: int
    gaps: int
    masked: int
    comparable: int
    identical: int
    rows: int | None = None
    duplicate_rows: int | None = None
    wrong_size_rows: int | None = None

    @property
    def in_blocks(self) -> int:
        """Columns in which the species has a row."""
        return self.bases + self.unknown + self.gaps

    @property
    def is_absent(self) -> bool:
        """Whether the species has a row in no column."""
        return self.in_blocks == 0

    @property
    def coverage(self) -> float:
        """Fraction of the covered columns with A, C, G or T."""
        return _ratio(self.bases, self.columns)

    @property
    def identity(self) -> float:
        """Fraction of the comparable columns with the reference's base."""
        return _ratio(self.identical, self.comparable)

    @property
    def gap_fraction(self) -> float:
        """Gaps among the columns in which the species has a row."""
        return _ratio(self.gaps, self.in_blocks)

    @property
    def unknown_fraction(self) -> float:
        """Letters other than A, C, G and T among all letters."""
        return _ratio(self.unknown, self.bases + self.unknown)

    @property
    def masked_fraction(self) -> float:
        """Lower-case letters among all letters."""
        return _ratio(self.masked, self.bases + self.unknown)

    @property
    def absent_fraction(self) -> float:
        """Columns without a row of the species, among the covered columns."""
        return _ratio(self.columns - self.in_blocks, self.columns)

    @property
    def duplicate_fraction(self) -> float:
        """Rows beyond the first of a block, among all rows."""
        if self.rows is None or self.duplicate_rows is None:
            return math.nan
        return _ratio(self.duplicate_rows, self.rows)


@dataclass(frozen=True)
class ContigQuality:
    """One contig of the reference.

    Attributes
    ----------
    name : str
    length : int
    covered : int
        Positions that blocks cover.
    first, last : int
        Where the first block begins and the last one ends (0, 0 without blocks).
    mean_species : float
        Species with A, C, G or T in a covered column; nan without one.
    """

    name: str
    length: int
    covered: int
    first: int
    last: int
    mean_species: float


@dataclass(frozen=True, eq=False)
class AlignmentQuality:
    """Measurements of an alignment: species, contigs, depth, divergence.

    Attributes
    ----------
    path : str
    reference_species : str
    tree : Tree
    species : tuple of SpeciesQuality
        In the order of the tree.
    contigs : tuple of ContigQuality
    depth : int64 array [S + 1]
        Columns by number of species with A, C, G or T.
    reference : int64 array [5]
        Columns by reference base: A, C, G, T, other.
    divergence : Divergence
        Identity to the reference by distance.
    misplaced : tuple of Misplaced
        Species whose sequence fits another place in the tree.
    statistics : dict
        What `phylotools preprocess` recorded.
    """

    path: str
    reference_species: str
    tree: Tree
    species: tuple[SpeciesQuality, ...]
    contigs: tuple[ContigQuality, ...]
    depth: NDArray[np.int64]
    reference: NDArray[np.int64]
    divergence: Divergence
    misplaced: tuple[Misplaced, ...]
    statistics: dict[str, Any]

    @property
    def columns(self) -> int:
        """Covered reference positions."""
        return int(self.depth.sum())

    @property
    def mean_species(self) -> float:
        """Species with A, C, G or T in a covered column."""
        return _ratio(int((self.depth * np.arange(len(self.depth))).sum()), self.columns)

    @property
    def reference_row(self) -> SpeciesQuality:
        """The reference among the species."""
        return next(row for row in self.species if row.name == self.reference_species)

    @property
    def others(self) -> tuple[SpeciesQuality, ...]:
        """Every species but the reference."""
        return tuple(row for row in self.species if row.name != self.reference_species)

    def usual_identity(self, row: SpeciesQuality, distance: float) -> tuple[float, float]:
        """Expected identity at a distance, and the largest difference that is still usual."""
        allowed = self.divergence.allowed(row.comparable, row.columns)
        return self.divergence.expected(distance), allowed

    @cached_property
    def identity_outliers(self) -> list[Outlier]:
        """Species whose identity to the reference is not what their distance predicts."""
        found = []
        for row in self.others:
            expected, allowed = self.usual_identity(row, row.distance)
            if row.comparable >= FEWEST_COLUMNS and abs(row.identity - expected) > allowed:
                found.append(Outlier(row, expected, allowed))
        return found

    @cached_property
    def misplaced_names(self) -> tuple[str, ...]:
        """Names of the misplaced species."""
        return tuple(self.species[found.species].name for found in self.misplaced)

    @cached_property
    def unusual_species(self) -> set[str]:
        """Names of the species that a picture should mark."""
        return {outlier.species.name for outlier in self.identity_outliers} | {
            *self.misplaced_names
        }


@dataclass(frozen=True)
class Outlier:
    """A species far from the trend of its alignment.

    Attributes
    ----------
    species : SpeciesQuality
    expected : float
        Identity at its distance.
    allowed : float
        Difference that would not be unusual.
    """

    species: SpeciesQuality
    expected: float
    allowed: float

    @property
    def is_high(self) -> bool:
        return self.species.identity > self.expected


def measure_quality(store: ColumnStore, *, threads: int = 1) -> AlignmentQuality:
    """Read a store once and measure it.

    Parameters
    ----------
    store : ColumnStore
    threads : int
        No result depends on it.

    Returns
    -------
    AlignmentQuality

    Raises
    ------
    InputError
        If the store is damaged.
    """
    is_small = len(store.species) <= MOST_SPECIES
    counts = count_columns(store, threads=threads, sampled=SAMPLED_COLUMNS if is_small else 0)
    statistics = store.attributes.get("statistics", {})
    species = _species_qualities(store, counts, statistics)
    others = [row for row in species if row.name != store.reference_species]
    return AlignmentQuality(
        path=str(store.path),
        reference_species=store.reference_species,
        tree=store.tree,
        species=species,
        contigs=_contig_qualities(store, counts),
        depth=counts.depth,
        reference=counts.reference,
        divergence=fit_divergence(
            np.array([row.distance for row in others]),
            np.array([row.identical for row in others]),
            np.array([row.comparable for row in others]),
            counts.reference[:4],
        ),
        misplaced=tuple(find_misplaced(store.tree, PairCounts.of(counts.sample)))
        if is_small
        else (),
        statistics=statistics,
    )


def recorded_number(value: object) -> int:
    """A count that preprocessing recorded; 0 for anything that is none."""
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else 0


def _species_qualities(
    store: ColumnStore, counts: counting.ColumnCounts, statistics: dict[str, Any]
) -> tuple[SpeciesQuality, ...]:
    distance = store.tree.distances_from(store.reference_species).tolist()
    columns = int(counts.depth.sum())
    recorded = statistics.get("rows")
    made = []
    for index, name in enumerate(store.species):
        of_species = [int(n) for n in counts.species[:, index]]
        rows: dict[str, int | None] = dict.fromkeys(_RECORDED, None)
        if isinstance(recorded, dict):
            of_name = recorded.get(name)
            found = of_name if isinstance(of_name, dict) else {}
            rows = {key: recorded_number(found.get(key)) for key in _RECORDED}
        made.append(
            SpeciesQuality(
                name=name,
                distance=distance[index],
                columns=columns,
                bases=of_species[counting.BASES],
                unknown=of_species[counting.UNKNOWN],
                gaps=of_species[counting.GAPS],
                masked=of_species[counting.MASKED],
                comparable=of_species[counting.COMPARABLE],
                identical=of_species[counting.IDENTICAL],
                **rows,
            )
        )
    return tuple(made)


def _contig_qualities(
    store: ColumnStore, counts: counting.ColumnCounts
) -> tuple[ContigQuality, ...]:
    made = []
    for index, (name, length) in enumerate(store.contigs.items()):
        intervals = store.intervals(name)
        first, last = (int(intervals[0, 0]), int(intervals[-1, 1])) if len(intervals) else (0, 0)
        covered = int(counts.contig_columns[index])
        made.append(
            ContigQuality(
                name=name,
                length=length,
                covered=covered,
                first=first,
                last=last,
                mean_species=_ratio(int(counts.contig_bases[index]), covered),
            )
        )
    return tuple(made)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
