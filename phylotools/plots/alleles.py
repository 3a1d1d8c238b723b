"""Alleles with a score and another column, streamed from a scored file."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from phylotools.errors import InputError, UsageError
from phylotools.evaluate.readers import Variant, VariantTable, open_table
from phylotools.evaluate.rows import score_value
from phylotools.evaluate.selection import RegionFilter, listing, matches
from phylotools.io.regions import RegionSet

_ITEM = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^,>]*))')
_STEP = 4096

OnAlleles = Callable[[int], None]


def no_progress(_: int) -> None:
    """For callers that want no news."""


@dataclass(frozen=True)
class AlleleQuery:
    """Which alleles of which file take part, and by which score.

    Attributes
    ----------
    path : str
        VCF, TSV or CSV; ``-`` for stdin.
    score : str or None
        Column; by default that of `tag`, or ``llr`` of a table of scores.
    tag : str
        Prefix of the INFO fields that `annotate` wrote.
    where : tuple of (str, frozenset of str)
        Columns and the values that an allele must have.
    regions : RegionSet or None
    """

    path: str
    score: str | None = None
    tag: str = "PHYLOGPN"
    where: tuple[tuple[str, frozenset[str]], ...] = ()
    regions: RegionSet | None = None


@dataclass
class ScoredAlleles:
    """The alleles of a scored file: iterate once, then read the counts.

    Attributes
    ----------
    table : VariantTable
    score : str
        The column.
    made_by : dict of str to str
        What the file says of the model: ``Model``, ``Revision`` and others; may be empty.
    counts : Counter
        ``alleles`` read; of these ``filtered`` by regions or --where, ``without_score``, and
        ``not_finite``.
    on_alleles : callable
        Gets the number of alleles read since its last call.
    """

    table: VariantTable
    query: AlleleQuery
    score: str
    made_by: dict[str, str]
    counts: Counter[str] = field(default_factory=Counter)
    on_alleles: OnAlleles = no_progress

    def __iter__(self) -> Iterator[tuple[Variant, float]]:
        inside = None if self.query.regions is None else RegionFilter(self.query.regions)
        table, counts, score = self.table, self.counts, self.score
        for variant in table.variants():
            counts["alleles"] += 1
            if counts["alleles"] % _STEP == 0:
                self.on_alleles(_STEP)
            if (inside is not None and not inside(variant.contig, variant.position)) or not all(
                matches(table.value(variant, column) or "", values)
                for column, values in self.query.where
            ):
                counts["filtered"] += 1
                continue
            value = score_value(table, variant, score)
            if math.isfinite(value):
                yield variant, value
            else:
                counts["without_score" if math.isnan(value) else "not_finite"] += 1


def open_alleles(query: AlleleQuery, on_alleles: OnAlleles = no_progress) -> ScoredAlleles:
    """Open a scored file and check the columns asked for.

    Raises
    ------
    InputError
        If it cannot be understood or lacks a column.
    """
    table = open_table(query.path)
    score = query.score or f"{query.tag}_LLR"
    if query.score is None and score not in table.columns and "llr" in table.columns:
        score = "llr"
    require_column(table, score, "name the column of scores with --score or --tag")
    for name, _ in query.where:
        require_column(table, name, "name a column of the file")
    return ScoredAlleles(table, query, score, _maker(table, score), on_alleles=on_alleles)


def require_column(table: VariantTable, name: str, remedy: str) -> None:
    """Raise `InputError`, with the columns there are, unless a table has a column."""
    if name not in table.columns:
        raise InputError(
            f"there is no column {name!r}",
            path=table.path,
            remedy=f"{remedy}; it has {listing(table.columns)}",
        )


def refuse_two_streams(*paths: str | None) -> None:
    """Raise `UsageError` where more than one file is stdin."""
    if paths.count("-") > 1:
        raise UsageError("stdin (-) can be read only once")


def _maker(table: VariantTable, score: str) -> dict[str, str]:
    """What the file says of how a score was made: the last such line, that of its tag if any."""
    found: dict[str, str] = {}
    for note in table.notes:
        items = {
            match[1]: re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
            for match in _ITEM.finditer(note.partition("=<")[2])
        }
        tag = items.get("ID")
        if tag is None or score == f"{tag}_LLR":
            found = items
    return found
