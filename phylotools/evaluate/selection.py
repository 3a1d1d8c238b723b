"""What to evaluate: which scores, on which variants."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from phylotools.errors import UsageError, shown
from phylotools.evaluate.default_score import is_low_where_bad
from phylotools.io.bed import read_bed
from phylotools.io.contigs import contig_resolver
from phylotools.io.intervals import membership
from phylotools.io.regions import MAX_COORDINATE, Region, RegionSet, parse_region

#: How many names a message lists.
MAX_LISTED = 40
#: Between several values of one field.
SEPARATORS = re.compile(r"[|,/&;]")


@dataclass(frozen=True)
class ScoreColumn:
    """A score by its column name, and whether low values point to the positive class."""

    name: str
    low_is_positive: bool


@dataclass(frozen=True)
class Question:
    """What to compare, on which variants.

    Attributes
    ----------
    scored : tuple of str
        Files with scores.
    labels : str or None
        File with labels; None where a scored file holds them too.
    label_column : str
    positive, negative : frozenset of str
        Values of the label column, matched as `matches` says.
    scores : tuple of ScoreColumn
        None: the default scores of the scored files.
    class_column : str or None
    where : tuple of (str, frozenset of str)
        Columns and the values that a variant must have.
    regions : RegionSet or None
    """

    scored: tuple[str, ...]
    labels: str | None
    label_column: str
    positive: frozenset[str]
    negative: frozenset[str]
    scores: tuple[ScoreColumn, ...]
    class_column: str | None = None
    where: tuple[tuple[str, frozenset[str]], ...] = ()
    regions: RegionSet | None = None

    @property
    def attribute_names(self) -> list[str]:
        """Columns of text that are needed beside the labels; the class column is the last."""
        names = [name for name, _ in self.where]
        return names if self.class_column is None else [*names, self.class_column]


def parse_score(text: str) -> ScoreColumn:
    """Read ``NAME``, ``NAME:low`` or ``NAME:high``; scores of ours are low by default."""
    name, _, side = text.rpartition(":")
    if name and side in ("low", "high"):
        return ScoreColumn(name, side == "low")
    return ScoreColumn(text, is_low_where_bad(text))


def parse_where(text: str) -> tuple[str, frozenset[str]]:
    """Read ``COLUMN=V[,V]``.

    Raises
    ------
    UsageError
        If the column or the value is not there.
    """
    name, _, values = text.partition("=")
    found = frozenset(value.strip() for value in values.split(",") if value.strip())
    if not name or not found:
        raise UsageError(f"{shown(text)!r} is not COLUMN=VALUE[,VALUE]")
    return name, found


def read_regions(texts: Iterable[str], path: str | None) -> RegionSet | None:
    """Regions from ``contig`` or ``contig:begin-end`` texts and from a BED file; None for all."""
    regions = RegionSet.of(
        parse_region(text) if ":" in text else Region(text, 0, MAX_COORDINATE) for text in texts
    )
    if path is not None:
        regions |= read_bed(path)
    return regions or None


def matches(text: str, values: frozenset[str]) -> bool:
    """Whether a field equals one of the values, as a whole or in one of its parts.

    Parts are what stands between ``|``, ``,``, ``/``, ``&`` or ``;``, without surrounding blanks
    and underscores, so that ClinVar's ``Pathogenic/Likely_pathogenic|_risk_factor`` matches
    ``Pathogenic`` while ``Conflicting_interpretations_of_pathogenicity`` does not.
    """
    return text in values or any(part.strip(" _") in values for part in SEPARATORS.split(text))


def listing(names: Iterable[str]) -> str:
    """Join names for a message: the first 40, long ones cut."""
    names = list(names)
    text = ", ".join(shown(name) for name in names[:MAX_LISTED]) or "no columns"
    return text + (f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else "")


def region_filter(regions: RegionSet | None) -> Callable[[str, int], bool]:
    """Make a test whether a position lies in one of the regions; None lets everything pass."""
    if regions is None:
        return lambda contig, position: True
    resolve = contig_resolver(regions.contigs)
    holds = {contig: membership(regions.on(contig)) for contig in regions.contigs}

    def is_inside(contig: str, position: int) -> bool:
        known = resolve(contig)
        return known is not None and holds[known](position)

    return is_inside
