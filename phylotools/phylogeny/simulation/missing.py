"""Which species an alignment lacks where: gaps, and stretches in which whole clades are absent."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.phylogeny.simulation import kernels
from phylotools.phylogeny.simulation.columns import TreeWalk

#: Dropouts are cut at so many times their mean length: one in 5e8 would be longer.
_LONGEST_DROPOUT = 20
_RANGES = {
    "gap_rate": (0.0, 1e3),
    "gap_exponent": (0.0, 10.0),
    "longest_gap": (1, 10_000),
    "dropout_rate": (0.0, 1e3),
    "species_dropout": (0.0, 1e3),
    "dropout_length": (1.0, 100_000.0),
    "block_length": (1.0, 100_000.0),
}


@dataclass(frozen=True)
class MissingData:
    """Events that fall on branches, each for the whole clade behind its branch and a run of sites.

    Seen from the reference species, the clade behind a branch is what a loss on it takes away, and,
    where the branch lies between reference and root, all those that lack what was gained there.
    A species at distance d from the reference keeps a site with chance
    ``exp(-(gap_rate + dropout_rate) d - species_dropout)``. The defaults are those of 90 kb of the
    UCSC 77-way alignment of chicken, 53 birds (docs/simulate.md); the block length is a whole
    mitochondrial genome's in the UCSC 30-way alignment.

    Attributes
    ----------
    gap_rate : float
        Rate at which a site is lost to a gap, per unit of branch length.
    gap_exponent, longest_gap : float, int
        Gap lengths: a power law from 1 to the longest.
    dropout_rate : float
        Rate at which a site is lost to a dropout, per unit of branch length.
    species_dropout : float
        Further dropouts that cover a site, of each species by itself: what its assembly lacks.
    dropout_length : float
        Mean of the geometric lengths of dropouts. A species is absent from the blocks whose first
        position a dropout covers.
    block_length : float
        Mean of the geometric lengths of alignment blocks.

    Raises
    ------
    InputError
        If a number is out of range.
    """

    gap_rate: float = 0.23
    gap_exponent: float = 1.4
    longest_gap: int = 23
    dropout_rate: float = 1.4
    species_dropout: float = 0.0
    dropout_length: float = 1400.0
    block_length: float = 80.0

    def __post_init__(self) -> None:
        for field in fields(self):
            (low, high), value = _RANGES[field.name], getattr(self, field.name)
            if not low <= value <= high:
                text = field.name.replace("_", " ")
                raise InputError(f"{text} must lie between {low:g} and {high:g}, not {value}")

    def without_events(self) -> MissingData:
        """The same blocks, nothing missing."""
        return MissingData(
            0.0, dropout_rate=0.0, species_dropout=0.0, block_length=self.block_length
        )

    def block_starts(self, key: np.uint64, start: int, end: int) -> NDArray[np.int64]:
        """First positions of the blocks that `start` to `end` - 1 are cut into.

        Parameters
        ----------
        key : uint64
            From `simulation.stream_key`.
        start, end : int
            A block begins at `start` and one ends at `end` in any case.
        """
        marks = np.empty(end - start, dtype=np.bool_)
        kernels.mark_block_starts(key, start, self.block_length, marks)
        return np.flatnonzero(marks) + start

    def absences(
        self, walk: TreeWalk, key: np.uint64, starts: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Which species are absent from which blocks; bool [K, S], species as in the walk."""
        absent = np.zeros((len(starts), walk.n_species), dtype=np.bool_)
        expected = (
            walk.branch_length * self.dropout_rate + walk.is_tip_branch * self.species_dropout
        )
        if expected.any():
            longest = int(_LONGEST_DROPOUT * self.dropout_length)
            kernels.drop_clades(
                key,
                int(starts[0]) - longest,
                int(starts[-1]) + 1,
                walk.line(expected / self.dropout_length),
                walk.clade_end,
                walk.first_tip,
                self.dropout_length,
                longest,
                starts,
                absent,
            )
        return absent

    def cut_gaps(self, walk: TreeWalk, key: np.uint64, start: int, rows: NDArray[np.uint8]) -> None:
        """Write gaps into rows, in place.

        Parameters
        ----------
        walk : TreeWalk
        key : uint64
        start : int
            Position of the first column.
        rows : uint8 array [S, C]
            Species in the order of the walk, the reference (which has no gaps) first.
        """
        if self.gap_rate == 0:
            return
        chances = np.arange(1, self.longest_gap + 1) ** -float(self.gap_exponent)
        chances /= chances.sum()
        mean = float(chances @ np.arange(1, self.longest_gap + 1))
        kernels.cut_gaps(
            key,
            start - self.longest_gap,
            start,
            walk.line(walk.branch_length * (self.gap_rate / mean)),
            walk.clade_end,
            walk.first_tip,
            np.cumsum(chances)[:-1],
            rows,
        )
