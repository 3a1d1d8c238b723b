"""What was met in an alignment: counts that add up over its parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Notes, in the order of `row_kernels.WITHOUT_REFERENCE` and `row_kernels.EMPTY_REFERENCE`.
WITHOUT_REFERENCE = "blocks without a row of the reference passed over"
EMPTY_REFERENCE = "blocks in which the reference has no base passed over"
#: Keys of `RowCounts.first_case` beside the notes.
DUPLICATE, WRONG_SIZE, UNKNOWN = "duplicate", "wrong size", "unknown"
_PER_SPECIES = ("rows", "duplicate_rows", "wrong_size_rows")


@dataclass
class RowCounts:
    """Counts of blocks and rows.

    Attributes
    ----------
    blocks, blocks_with_reference : int
        Blocks with a row of a known species, and those of use.
    rows, duplicate_rows, wrong_size_rows : int64 arrays [S]
        Of the blocks of use: all rows, further rows of a species in a block, and rows whose size
        is not their number of bases.
    unknown_rows : Counter
        Rows of species that are not in the tree, by name up to the first dot.
    notes : Counter
        Other oddities, by the text that names them.
    first_case : dict of str to str
        Where each note, and each kind of row above, was met first.
    """

    blocks: int
    blocks_with_reference: int
    rows: NDArray[np.int64]
    duplicate_rows: NDArray[np.int64]
    wrong_size_rows: NDArray[np.int64]
    unknown_rows: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    first_case: dict[str, str] = field(default_factory=dict)

    @classmethod
    def zero(cls, n_species: int) -> RowCounts:
        """No row yet."""
        return cls(0, 0, *(np.zeros(n_species, dtype=np.int64) for _ in _PER_SPECIES))

    def add(self, other: RowCounts, path: str) -> None:
        """Add the counts of a later part, which was read from `path`."""
        self.blocks += other.blocks
        self.blocks_with_reference += other.blocks_with_reference
        for name in _PER_SPECIES:
            getattr(self, name).__iadd__(getattr(other, name))
        self.unknown_rows += other.unknown_rows
        self.notes += other.notes
        for kind, case in other.first_case.items():
            self.first_case.setdefault(kind, f"{path}: {case}")

    def warnings(self, duplicates: str) -> Iterator[str]:
        """A text for each kind of oddity, with its count and first case.

        Parameters
        ----------
        duplicates : str
            The policy, for the text.
        """
        kinds = [
            (
                DUPLICATE,
                self.duplicate_rows.sum(),
                f"further rows of a species in a block, {duplicates}",
            ),
            (
                WRONG_SIZE,
                self.wrong_size_rows.sum(),
                "rows whose size is not their number of bases",
            ),
            (
                UNKNOWN,
                self.unknown_rows.total(),
                "rows of species that are not in the tree dropped",
            ),
        ]
        for kind, count, text in kinds + [
            (text, count, text) for text, count in self.notes.items()
        ]:
            if count:
                yield f"{count} {text} (first: {self.first_case.get(kind, '-')})"

    def per_species(self, species: Sequence[str]) -> dict[str, dict[str, int]]:
        """Species -> its counts of rows."""
        return {
            name: {kind: int(getattr(self, kind)[index]) for kind in _PER_SPECIES}
            for index, name in enumerate(species)
        }

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {
            **{name: getattr(self, name).tolist() for name in _PER_SPECIES},
            **{name: dict(getattr(self, name)) for name in ("unknown_rows", "notes", "first_case")},
            "blocks": self.blocks,
            "blocks_with_reference": self.blocks_with_reference,
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> RowCounts:
        """What `to_dict` made."""
        return cls(
            int(document["blocks"]),
            int(document["blocks_with_reference"]),
            *(np.array(document[name], dtype=np.int64) for name in _PER_SPECIES),
            unknown_rows=Counter(document["unknown_rows"]),
            notes=Counter(document["notes"]),
            first_case=dict(document["first_case"]),
        )
