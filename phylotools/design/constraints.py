"""What a design may change: fixed and allowed bases, codons, and how many edits there may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import UsageError
from phylotools.io.bases import BASES
from phylotools.io.genetic_code import amino_acids

_PLACE_VALUES = (16, 4, 1)


@dataclass(frozen=True)
class CodingFrame:
    """Codons of a sequence.

    Attributes
    ----------
    positions : int64 array [C, 3]
        Of the bases of each codon, as it is read.
    is_reverse : bool
        Whether it is read on the other strand.
    genetic_code : int
    """

    positions: NDArray[np.int64]
    is_reverse: bool
    genetic_code: int

    def amino_acids(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Protein of each sequence, ASCII letters; uint8 [B, C] of codes [B, L]."""
        bases = self._read(codes[:, self.positions])
        return amino_acids(self.genetic_code)[bases @ np.array(_PLACE_VALUES)]

    def choices(self, codes: NDArray[np.uint8], codon: int, place: int) -> NDArray[np.uint8]:
        """Amino acid of a codon with each base of the sequence at one of its places, [B, 4]."""
        bases = self._read(codes[:, self.positions[codon]])
        value = _PLACE_VALUES[place]
        others = bases @ np.array(_PLACE_VALUES) - bases[:, place] * value
        put = self._read(np.arange(len(BASES), dtype=np.uint8))
        return amino_acids(self.genetic_code)[others[:, None] + put * value]

    def _read(self, codes: NDArray[np.uint8]) -> NDArray[np.int64]:
        return (3 - codes if self.is_reverse else codes).astype(np.int64)


@dataclass(frozen=True)
class Constraint:
    """Which bases may stand where, in B sequences of L positions.

    Attributes
    ----------
    start : uint8 array [B, L]
        What edits are counted from.
    mask : bool array [L, 4]
        Bases that may stand at each position, whatever stands elsewhere.
    frames : sequence of CodingFrame
        Their proteins stay those of the start.
    most_edits : int, optional
        How many positions may differ from the start.
    """

    start: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    frames: Sequence[CodingFrame] = ()
    most_edits: int | None = None

    @cached_property
    def _proteins(self) -> list[NDArray[np.uint8]]:
        return [frame.amino_acids(self.start) for frame in self.frames]

    @cached_property
    def codons_at(self) -> list[list[tuple[int, int, int]]]:
        """Of each position the frame, codon and place that it is in, for every frame."""
        found: list[list[tuple[int, int, int]]] = [[] for _ in range(self.mask.shape[0])]
        for number, frame in enumerate(self.frames):
            for codon, positions in enumerate(frame.positions.tolist()):
                for place, position in enumerate(positions):
                    found[position].append((number, codon, place))
        return found

    def allowed(self, codes: NDArray[np.uint8], position: int) -> NDArray[np.bool_]:
        """Bases that may stand at a position of each sequence, beside what else it holds.

        Parameters
        ----------
        codes : uint8 array [B, L]
            Sequences that keep to the constraint.
        position : int

        Returns
        -------
        bool array [B, 4]
            The base that stands there is always one of them.
        """
        found = self.unlimited(codes, position)
        if self.most_edits is not None:
            edited = codes != self.start
            others = edited.sum(axis=1) - edited[:, position]
            original = np.arange(len(BASES)) == self.start[:, position, None]
            found &= original | (others < self.most_edits)[:, None]
        return found

    def unlimited(self, codes: NDArray[np.uint8], position: int) -> NDArray[np.bool_]:
        """The same if any number of edits were allowed."""
        found = np.repeat(self.mask[position][None], len(codes), axis=0)
        for number, codon, place in self.codons_at[position]:
            choices = self.frames[number].choices(codes, codon, place)
            found &= choices == self._proteins[number][:, codon, None]
        return found

    def of(self, row: int) -> Constraint:
        """That of one of the sequences."""
        return Constraint(self.start[row : row + 1], self.mask, self.frames, self.most_edits)

    def repeated(self, rows: NDArray[np.int64]) -> Constraint:
        """Those of some of the sequences, which may be named more than once."""
        return Constraint(self.start[rows], self.mask, self.frames, self.most_edits)

    @cached_property
    def free(self) -> NDArray[np.int64]:
        """Positions at which more than one base may stand, as far as the mask says."""
        return np.flatnonzero(self.mask.sum(axis=1) > 1)

    def require_freedom(self) -> None:
        """Refuse a constraint that leaves nothing to change.

        Raises
        ------
        UsageError
        """
        if self.most_edits == 0:
            raise UsageError("--edits 0 leaves nothing to change")
        if not len(self.free):
            raise UsageError("every position is fixed: there is nothing to change")
        rows = (self.unlimited(self.start, int(k)).sum(axis=1).max() for k in self.free)
        if max(rows) < 2:
            raise UsageError("no base can change without changing the protein")


def single_edits(
    constraint: Constraint, codes: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Every change of one base that is allowed.

    Parameters
    ----------
    constraint : Constraint
    codes : uint8 array [B, L]

    Returns
    -------
    rows, positions : int64 arrays [C]
        Which sequence, and where; by sequence, position and base.
    bases : uint8 array [C]
        What is put there.
    """
    grid = np.zeros((*codes.shape, len(BASES)), dtype=bool)
    for position in constraint.free.tolist():
        grid[:, position] = constraint.allowed(codes, position)
    grid &= codes[:, :, None] != np.arange(len(BASES))
    rows, positions, bases = np.nonzero(grid)
    return rows, positions, bases.astype(np.uint8)


def put(
    codes: NDArray[np.uint8],
    rows: NDArray[np.int64],
    positions: NDArray[np.int64],
    bases: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Copies of sequences with one base changed, uint8 [C, L]."""
    changed = codes[rows]
    changed[np.arange(len(rows)), positions] = bases
    return changed
