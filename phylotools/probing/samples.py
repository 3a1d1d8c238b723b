"""Labelled stretches of a genome, and the cells in them: what is learned and what is judged."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from phylotools.embedding.regions import RegionTable
from phylotools.probing.tasks import BIN, Cell

#: Parts of a data set, by number.
SPLITS = ("train", "valid", "test")
TRAIN, VALID, TEST = range(3)
#: Label of a cell that has none: it is neither learned nor judged.
UNLABELLED = -1


@dataclass(frozen=True)
class Samples:
    """N samples of C cells in all, with K classes or T labels.

    Attributes
    ----------
    regions : RegionTable
        The samples, in the order of their file or of the genome.
    split : int8 array [N]
        `TRAIN`, `VALID` or `TEST`; -1 of what is in none.
    cell : Cell
    names : tuple of str
        Of the classes, or of the labels.
    labels : int16 array [C], or int8 array [C, T]
        Number of the class; or 1 and 0. `UNLABELLED` where nothing is known.
    """

    regions: RegionTable
    split: NDArray[np.int8]
    cell: Cell
    names: tuple[str, ...]
    labels: NDArray[np.int16] | NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.split)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Bases of each sample, int64 [N]."""
        lengths: NDArray[np.int64] = self.regions.end - self.regions.start
        return lengths

    @property
    def n_cells(self) -> NDArray[np.int64]:
        """Cells of each sample, int64 [N]."""
        return cells_of(self.lengths, self.cell)

    @property
    def first_cell(self) -> NDArray[np.int64]:
        """Where the cells of each sample begin, int64 [N + 1]."""
        return np.concatenate([[0], np.cumsum(self.n_cells)])

    @property
    def sample_of(self) -> NDArray[np.int64]:
        """Sample of each cell, int64 [C]."""
        return np.repeat(np.arange(len(self)), self.n_cells)

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Which cells have a label, bool [C]; of several labels, any."""
        known = self.labels != UNLABELLED
        return known if known.ndim == 1 else known.any(axis=1)

    def rows(self, split: int) -> NDArray[np.int64]:
        """Samples of a part."""
        return np.flatnonzero(self.split == split)

    def known_cells(self, split: int) -> NDArray[np.int64]:
        """Labelled cells of a part, int64."""
        return np.flatnonzero((self.split[self.sample_of] == split) & self.is_known)

    def contig_names(self, rows: NDArray[np.int64]) -> list[str]:
        """The distinct contigs of some samples, in order."""
        return [self.regions.targets[k] for k in np.unique(self.regions.contig[rows]).tolist()]

    def with_labels(self, labels: NDArray[np.int16] | NDArray[np.int8]) -> Samples:
        """The same samples with other labels."""
        return replace(self, labels=labels)


def cells_of(lengths: NDArray[np.int64], cell: Cell) -> NDArray[np.int64]:
    """How many cells samples of so many bases have; the last bin may be shorter."""
    if cell == "base":
        return lengths
    if cell == "bin":
        return -(-lengths // BIN)
    return np.ones_like(lengths)
