"""What to evaluate: which scores, on which variants."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import UsageError, shown
from phylotools.evaluate.default_score import is_low_where_bad
from phylotools.evaluate.labelled import LabelKind
from phylotools.io.bed import read_bed
from phylotools.io.contigs import contig_resolver
from phylotools.io.intervals import contains, membership
from phylotools.io.regions import MAX_COORDINATE, Region, RegionSet, parse_region

Places = tuple[NDArray[np.int32], NDArray[np.int64]]
#: How many names a message lists.
MAX_LISTED = 40
#: Which end of a score is the damaging one, as options say it.
LOW, HIGH, ABSOLUTE = SIDES = ("low", "high", "absolute")
#: What can be resampled as a whole without a column that names it.
SITES, CONTIGS = BUILT_IN_CLUSTERS = ("sites", "contigs")
#: Between several values of one field.
SEPARATORS = re.compile(r"[|,/&;]")


@dataclass(frozen=True)
class ScoreColumn:
    """A score: what it is called, where it stands, and which end of it is the damaging one.

    Attributes
    ----------
    name : str
        In tables and pictures, and of its column where no other is named.
    low_is_positive : bool
        Whether low values point to the positive class, or the damaging end.
    absolute : bool
        Whether it is |score| that counts; then high values do.
    source : str or None
        A file of its own; None: one of the scored files.
    column : str or None
        Its column in `source`; None: that of its name, or the only one there is.
    holds_site_fits : bool
        Whether its file says that the alignment's columns went into it, where a model knew them.
    """

    name: str
    low_is_positive: bool
    absolute: bool = False
    source: str | None = None
    column: str | None = None
    holds_site_fits: bool = False

    def turned(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values turned so that high ones are the damaging end."""
        if self.absolute:
            return np.abs(values)
        return -values if self.low_is_positive else values


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
        Values of the label column, matched as `matches` says; none where labels are no two
        classes.
    scores : tuple of ScoreColumn
        None: the default scores of the scored files.
    strata : tuple of str
        Columns of categories, within which scores are also compared.
    where : tuple of (str, frozenset of str)
        Columns and the values that a variant must have.
    regions : RegionSet or None
    order : tuple of str
        Values of the label column, the least damaging first, where labels are ordered classes.
    label_low : bool
        Whether low labels are the damaging end, where they are numbers.
    match_column : str or None
        Column of matched groups.
    resample : str or None
        ``sites``, ``contigs`` or a column: what is resampled as a whole. None: matched groups
        where there are some, else sites.
    frequency_column : str or None
        Column of allele frequencies.
    consequence : bool
        Whether consequence and gene, as an annotation in the files says them, are strata too.
    """

    scored: tuple[str, ...]
    labels: str | None
    label_column: str
    positive: frozenset[str]
    negative: frozenset[str]
    scores: tuple[ScoreColumn, ...]
    strata: tuple[str, ...] = ()
    where: tuple[tuple[str, frozenset[str]], ...] = ()
    regions: RegionSet | None = None
    order: tuple[str, ...] = ()
    label_low: bool = False
    match_column: str | None = None
    resample: str | None = None
    frequency_column: str | None = None
    consequence: bool = False

    @property
    def kind(self) -> LabelKind:
        """What the labels are."""
        if self.order:
            return LabelKind.ORDERED
        return LabelKind.CLASSES if self.positive or self.negative else LabelKind.NUMBERS

    @property
    def cluster_column(self) -> str | None:
        """The column whose values are resampled as a whole, if it is one."""
        if self.resample is None:
            return self.match_column
        return None if self.resample in BUILT_IN_CLUSTERS else self.resample

    @property
    def attribute_names(self) -> list[str]:
        """Columns of categories that are needed beside the labels, each once."""
        more = (self.match_column, self.cluster_column)
        names = [*(name for name, _ in self.where), *self.strata, *more]
        return list(dict.fromkeys(name for name in names if name is not None))


def parse_score(text: str) -> ScoreColumn:
    """Read ``NAME[=FILE[:COLUMN]][:low|:high|:absolute]``; scores of ours are low by default.

    Colons may also belong to names and paths: FILE is the longest beginning that exists.
    """
    name, equals, place = text.partition("=")
    source: str | None = None
    column: str | None = None
    if equals and name and place:
        if _is_file(place):
            return ScoreColumn(name, is_low_where_bad(name), source=place)
        place, side = _parted(place, SIDES)
        source, column = _file_and_column(place)
        low = is_low_where_bad(name) or (column is not None and is_low_where_bad(column))
    else:
        name, side = _parted(text, SIDES)
        low = is_low_where_bad(name)
    if side is not None:
        low = side == LOW
    return ScoreColumn(name, low, side == ABSOLUTE, source, column)


def parse_label_column(text: str) -> tuple[str, bool]:
    """Read ``NAME[:low|:high]``: the column, and whether low labels are the damaging end."""
    name, side = _parted(text, (LOW, HIGH))
    return name, side == LOW


def _parted(text: str, sides: tuple[str, ...]) -> tuple[str, str | None]:
    """A text without the side at its end, and the side."""
    name, _, side = text.rpartition(":")
    return (name, side) if name and side in sides else (text, None)


def _file_and_column(text: str) -> tuple[str, str | None]:
    """Read ``FILE[:COLUMN]``: the longest beginning that is a file; else the last colon parts."""
    colons = [at for at, letter in enumerate(text) if letter == ":" and _may_part(text, at)]
    for end in (len(text), *reversed(colons)):
        if _is_file(text[:end]):
            return text[:end], text[end + 1 :] or None
    if not colons:
        return text, None
    return text[: colons[-1]], text[colons[-1] + 1 :] or None


def _is_file(path: str) -> bool:
    """Whether there is a file, or a pipe, of this name."""
    return os.path.exists(path) and not os.path.isdir(path)


def _may_part(text: str, at: int) -> bool:
    """Whether a colon may stand behind a path: not that of ``C:\\`` or ``https://``."""
    return at > 0 and text[at + 1 : at + 2] not in ("/", "\\", "")


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


def rows_inside(
    regions: RegionSet | None, contigs: Sequence[str], places: Places
) -> NDArray[np.bool_]:
    """Which of many places lie in one of the regions; all do where there are none.

    Parameters
    ----------
    regions : RegionSet or None
    contigs : sequence of str
    places : (int array [N], int64 array [N])
        Index into `contigs`, and 0-based position.
    """
    contig_index, positions = places
    if regions is None:
        return np.ones(len(positions), dtype=bool)
    resolve = contig_resolver(regions.contigs)
    found = np.zeros(len(positions), dtype=bool)
    for number, contig in enumerate(contigs):
        known = resolve(contig)
        if known is not None:
            rows = np.flatnonzero(contig_index == number)
            found[rows] = contains(regions.on(known), positions[rows])
    return found


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
