"""What is labelled, variants or regions, and in which groups it is never torn apart."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import UsageError
from phylotools.io.regions import RegionSet

#: What `--group-by` says for the contig of each one.
CONTIG = "contig"


@dataclass(frozen=True)
class LabelQuestion:
    """Which labels, of what.

    Attributes
    ----------
    path : str
    label_column : str
    positive, negative : frozenset of str
        Values of the label column, as in `evaluate`; both empty where labels are numbers.
    group_by : str or None
        ``contig``, or a column; None where a BED says the groups.
    groups : str or None
        BED whose fourth column names groups.
    class_column : str or None
    where : tuple of (str, frozenset of str)
    regions : RegionSet or None
    held_out : tuple of (str, frozenset of str) or RegionSet or None
        A column and its values, or regions, that are never fitted to; None to draw folds.

    Raises
    ------
    UsageError
        If only one class is named, or groups are said twice or not at all.
    """

    path: str
    label_column: str
    positive: frozenset[str] = frozenset()
    negative: frozenset[str] = frozenset()
    group_by: str | None = None
    groups: str | None = None
    class_column: str | None = None
    where: tuple[tuple[str, frozenset[str]], ...] = ()
    regions: RegionSet | None = None
    held_out: tuple[str, frozenset[str]] | RegionSet | None = None

    def __post_init__(self) -> None:
        if bool(self.positive) != bool(self.negative):
            raise UsageError("give both --positive and --negative, or neither for numbers")
        if (self.group_by is None) == (self.groups is None):
            raise UsageError(
                "give --group-by or --groups: what is alike, as the variants of a gene, must not "
                "be on both sides of a split"
            )

    @property
    def has_classes(self) -> bool:
        """Whether labels are two classes."""
        return bool(self.positive)

    @property
    def columns(self) -> list[str]:
        """Columns that must be read beside the label: of groups, classes, split and --where."""
        named = [name for name, _ in self.where]
        if self.group_by not in (None, CONTIG):
            named.append(str(self.group_by))
        if self.class_column is not None:
            named.append(self.class_column)
        if isinstance(self.held_out, tuple):
            named.append(self.held_out[0])
        return list(dict.fromkeys(named))


@dataclass(frozen=True)
class LabelledItems:
    """N labelled variants or regions, in the order of their file.

    Attributes
    ----------
    contigs : tuple of str
        As the file spells them.
    contig : int32 array [N]
        Index into `contigs`.
    start, end : int64 array [N]
        0-based, half-open.
    labels : float64 array [N]
        0 and 1 where they are classes.
    groups : tuple of str
    group : int32 array [N]
        Index into `groups`.
    classes : tuple of str
    class_of : int32 array [N]
        Index into `classes`; all 0 where there is no class column.
    is_held_out : bool array [N]
        What the user's split keeps out; all False without one.
    links : frozenset of (int, int)
        Groups that share sequence.
    refs, alts : uint8 array [N]
        Letters in ASCII; of variants alone.
    """

    contigs: tuple[str, ...]
    contig: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    labels: NDArray[np.float64]
    groups: tuple[str, ...]
    group: NDArray[np.int32]
    classes: tuple[str, ...]
    class_of: NDArray[np.int32]
    is_held_out: NDArray[np.bool_]
    links: frozenset[tuple[int, int]] = frozenset()
    refs: NDArray[np.uint8] | None = None
    alts: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.start)

    def chosen(self, rows: NDArray[np.generic]) -> LabelledItems:
        """Some of them: indices, or a mask."""
        arrays = {
            each.name: value[rows]
            for each in fields(self)
            if isinstance(value := getattr(self, each.name), np.ndarray)
        }
        return replace(self, **arrays)


class Codes:
    """Texts as numbers, in the order in which they are first seen."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, text: str) -> int:
        """The number of a text."""
        return self._numbers.setdefault(text, len(self._numbers))

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(self._numbers)


@dataclass
class ItemRows:
    """Labelled items while they are collected, kept small."""

    contigs: Codes = field(default_factory=Codes)
    groups: Codes = field(default_factory=Codes)
    classes: Codes = field(default_factory=Codes)
    integers: array[int] = field(default_factory=lambda: array("q"))
    labels: array[float] = field(default_factory=lambda: array("d"))

    def append(
        self,
        place: tuple[str, int, int],
        label: float,
        group: str,
        class_name: str,
        is_held_out: bool,
        alleles: Sequence[int] = (0, 0),
    ) -> None:
        contig, start, end = place
        self.labels.append(label)
        self.integers.extend(
            (
                *(self.contigs.of(contig), start, end),
                *(self.groups.of(group), self.classes.of(class_name)),
                *(is_held_out, *alleles),
            )
        )

    def items(self, *, are_variants: bool) -> LabelledItems:
        """All of them."""
        table = np.frombuffer(self.integers, dtype=np.int64).reshape(-1, 8)
        narrow = table.astype(np.int32)
        letters = table[:, 6:].astype(np.uint8)
        return LabelledItems(
            contigs=self.contigs.texts,
            contig=narrow[:, 0],
            start=table[:, 1].copy(),
            end=table[:, 2].copy(),
            labels=np.array(self.labels, dtype=np.float64),
            groups=self.groups.texts,
            group=narrow[:, 3],
            classes=self.classes.texts,
            class_of=narrow[:, 4],
            is_held_out=table[:, 5].astype(bool),
            refs=letters[:, 0] if are_variants else None,
            alts=letters[:, 1] if are_variants else None,
        )
