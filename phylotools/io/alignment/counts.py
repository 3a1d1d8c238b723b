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
UNKNOWN = "unknown_rows"
#: In the order of `row_kernels.ROWS` and those after it.
PER_SPECIES = ("rows", "duplicate_rows", "joined_rows", "wrong_size_rows")


@dataclass
class RowCounts:
    """Counts of blocks and rows.

    Attributes
    ----------
    blocks, blocks_with_reference : int
        Blocks with a row of a known species, and those of use.
    per_species : int64 array [4, S]
        Of the blocks of use: all rows; further rows of a species in a block; further rows that
        were joined, because no column has a base in two of them; and rows whose size is not their
        number of bases. `PER_SPECIES` names them.
    unknown_rows : Counter
        Rows of species that are not in the tree, by name up to the first dot.
    notes : Counter
        Other oddities, by the text that names them.
    first_case : dict of str to str
        Where each note, and each kind of row above, was met first.
    """

    blocks: int
    blocks_with_reference: int
    per_species: NDArray[np.int64]
    unknown_rows: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    first_case: dict[str, str] = field(default_factory=dict)

    @classmethod
    def zero(cls, n_species: int) -> RowCounts:
        """No row yet."""
        return cls(0, 0, np.zeros((len(PER_SPECIES), n_species), dtype=np.int64))

    def add(self, other: RowCounts, path: str) -> None:
        """Add the counts of a later part, which was read from `path`."""
        self.blocks += other.blocks
        self.blocks_with_reference += other.blocks_with_reference
        self.per_species = self.per_species + other.per_species
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
        texts = [
            f"further rows of a species in a block, {duplicates}",
            "rows that are pieces of one sequence joined",
            "rows whose size is not their number of bases",
            "rows of species that are not in the tree dropped",
        ]
        kinds = [*PER_SPECIES[1:], UNKNOWN]
        numbers = [*self.per_species[1:].sum(axis=1).tolist(), self.unknown_rows.total()]
        found = list(zip(kinds, numbers, texts, strict=True))
        found += [(text, count, text) for text, count in self.notes.items()]
        for kind, count, text in found:
            if count:
                yield f"{count} {text} (first: {self.first_case.get(kind, '-')})"

    def of_species(self, species: Sequence[str]) -> dict[str, dict[str, int]]:
        """Species -> its counts of rows."""
        columns = self.per_species.T.tolist()
        return {
            name: dict(zip(PER_SPECIES, column, strict=True))
            for name, column in zip(species, columns, strict=True)
        }

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {
            "per_species": self.per_species.tolist(),
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
            np.array(document["per_species"], dtype=np.int64).reshape(len(PER_SPECIES), -1),
            unknown_rows=Counter(document["unknown_rows"]),
            notes=Counter(document["notes"]),
            first_case=dict(document["first_case"]),
        )
