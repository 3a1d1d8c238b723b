"""Labelled variants or regions and their scores, as every part of `evaluate` takes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from phylotools.evaluate.selection import ScoreColumn

#: Level of a factor where the file says nothing.
NO_LEVEL = "."


class LabelKind(StrEnum):
    """What labels are: two classes, classes in an order, or numbers."""

    CLASSES = "classes"
    ORDERED = "ordered"
    NUMBERS = "numbers"


@dataclass(frozen=True)
class Factor:
    """A column of categories, of M rows.

    Attributes
    ----------
    name : str
        The column's, or what it tells: ``mutation type``, ``consequence``, ``contig``.
    levels : tuple of str
        Distinct values; ``.`` where the file says nothing.
    codes : int32[M]
        Index into `levels`.
    """

    name: str
    levels: tuple[str, ...]
    codes: NDArray[np.int32]

    @classmethod
    def of(cls, name: str, texts: Iterable[str]) -> Factor:
        """The factor of some texts; its levels stand in the order in which they are first seen."""
        numbers: dict[str, int] = {}
        codes = [numbers.setdefault(text, len(numbers)) for text in texts]
        return cls(name, tuple(numbers), np.array(codes, dtype=np.int32))

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def texts(self) -> tuple[str, ...]:
        """The level of each row."""
        return tuple(map(self.levels.__getitem__, self.codes.tolist()))

    def take(self, rows: NDArray[np.generic]) -> Factor:
        """Some rows (indices, or a mask), with all levels."""
        return replace(self, codes=self.codes[rows])


@dataclass(frozen=True)
class Variants:
    """What M rows are; alleles in minimal form.

    Attributes
    ----------
    contigs : tuple of str
        As the labels spell them.
    contig_index : int32[M]
        Index into `contigs`.
    positions : int64[M]
        0-based, of the first base of REF.
    refs, alts : tuple of str, M each
        Upper case.
    """

    contigs: tuple[str, ...]
    contig_index: NDArray[np.int32]
    positions: NDArray[np.int64]
    refs: tuple[str, ...]
    alts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, rows: NDArray[np.generic]) -> Variants:
        """Some rows: indices, or a mask."""
        chosen = np.arange(len(self))[rows].tolist()
        return replace(
            self,
            contig_index=self.contig_index[rows],
            positions=self.positions[rows],
            refs=tuple(map(self.refs.__getitem__, chosen)),
            alts=tuple(map(self.alts.__getitem__, chosen)),
        )


@dataclass(frozen=True)
class LabelledScores:
    """Labelled variants or regions that have every score (M of them, K scores).

    Attributes
    ----------
    columns : tuple of ScoreColumn
        The scores: those asked for, or the default ones of the files.
    scores : float64[K, M]
        As the files give them; no NaN.
    kind : LabelKind
    labels : float64[M]
        CLASSES: 1 positive, 0 negative; ORDERED: place in `order`; NUMBERS: the number.
    clusters : int64[M]
        What is resampled as a whole, numbered densely from 0.
    label_low : bool
        Whether low numbers are the damaging ("positive") end.
    order : tuple of str
        Of ORDERED labels: names of the classes, the least damaging first.
    clusters_by : str
        ``sites``, ``contigs``, ``matched groups`` or the name of a column.
    matches : Factor or None
        Matched groups.
    strata : tuple of Factor
        In the order asked for.
    types : Factor or None
        `mutation_type` of each variant; None for regions.
    frequency : float64[M] or None
        Allele frequencies; NaN where the file says nothing.
    variants : Variants or None
        None for regions.
    lacking : dict
        Name of each score -> number of labelled variants without it.
    counts : dict
        How many variants were labelled, and why others were left out.
    what : str
        ``variants`` or ``regions``.
    """

    columns: tuple[ScoreColumn, ...]
    scores: NDArray[np.float64]
    kind: LabelKind
    labels: NDArray[np.float64]
    clusters: NDArray[np.int64]
    label_low: bool = False
    order: tuple[str, ...] = ()
    clusters_by: str = "sites"
    matches: Factor | None = None
    strata: tuple[Factor, ...] = ()
    types: Factor | None = None
    frequency: NDArray[np.float64] | None = None
    variants: Variants | None = None
    lacking: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    what: str = "variants"

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Which rows are positive, of two classes; bool[M].

        Raises
        ------
        ValueError
            If labels are of another kind.
        """
        if self.kind != LabelKind.CLASSES:
            raise ValueError(f"labels are {self.kind}, not two classes")
        return self.labels > 0

    @property
    def turned_scores(self) -> NDArray[np.float64]:
        """Scores turned so that high values are the damaging end, float64[K, M]."""
        turned = [each.turned(row) for each, row in zip(self.columns, self.scores, strict=True)]
        return np.stack(turned)

    @property
    def turned_labels(self) -> NDArray[np.float64]:
        """Labels turned so that high values are the damaging end, float64[M]."""
        return -self.labels if self.label_low else self.labels

    def take(self, rows: NDArray[np.generic]) -> LabelledScores:
        """Some rows (indices, or a mask); `counts` and `lacking` stay those of all."""
        return replace(
            self,
            scores=self.scores[:, rows],
            labels=self.labels[rows],
            clusters=dense(self.clusters[rows]),
            matches=None if self.matches is None else self.matches.take(rows),
            strata=tuple(each.take(rows) for each in self.strata),
            types=None if self.types is None else self.types.take(rows),
            frequency=None if self.frequency is None else self.frequency[rows],
            variants=None if self.variants is None else self.variants.take(rows),
        )

    def with_strata(self, *factors: Factor) -> LabelledScores:
        """The same with more strata, behind those that are there."""
        return replace(self, strata=(*self.strata, *factors))


def dense(codes: NDArray[np.generic] | Sequence[int]) -> NDArray[np.int64]:
    """Codes numbered without gaps from 0, in their order; int64 array."""
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)
