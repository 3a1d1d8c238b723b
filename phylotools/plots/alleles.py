"""Alleles of a scored file with their score and further columns, as a stream."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from phylotools.errors import InputError
from phylotools.evaluate.default_score import default_column, notes_of, score_column
from phylotools.evaluate.selection import listing, matches, region_filter
from phylotools.io.regions import RegionSet
from phylotools.io.scored import Allele, ScoredFile, open_scored, score_number
from phylotools.phylogeny.score_meaning import SCORE_NAMES

_STEP = 4096

OnAlleles = Callable[[int], None]


def no_progress(_: int) -> None:
    """Ignore the number of alleles read."""


@dataclass(frozen=True)
class AlleleQuery:
    """Which alleles of which file take part, and by which score.

    Attributes
    ----------
    path : str
        VCF, BCF, TSV, CSV or Parquet; ``-`` for stdin.
    score : str or None
        Column; by default the default score of the model whose fields have `tag`.
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
    """The alleles of a scored file; the counts are complete once they are read.

    Attributes
    ----------
    file : ScoredFile
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

    file: ScoredFile
    query: AlleleQuery
    score: str
    made_by: dict[str, str]
    counts: Counter[str] = field(default_factory=Counter)
    on_alleles: OnAlleles = no_progress

    def read(
        self, columns: Sequence[str] = ()
    ) -> Iterator[tuple[Allele, float, tuple[str | None, ...]]]:
        """Yield alleles that pass the filters, each with its finite score and further columns."""
        is_inside = region_filter(self.query.regions)
        file, counts, score = self.file, self.counts, self.score
        conditions = [values for _, values in self.query.where]
        n_conditions = len(conditions)
        asked = [*(name for name, _ in self.query.where), score, *columns]
        for n_read, allele in enumerate(file.alleles(asked), start=1):
            counts["alleles"] = n_read
            if n_read % _STEP == 0:
                self.on_alleles(_STEP)
            values = allele.values
            if not is_inside(allele.contig, allele.position) or (
                n_conditions and not all(map(matches, (text or "" for text in values), conditions))
            ):
                counts["filtered"] += 1
                continue
            value = score_number(values[n_conditions], score, file, allele.line)
            if math.isfinite(value):
                yield allele, value, values[n_conditions + 1 :]
            else:
                counts["without_score" if math.isnan(value) else "not_finite"] += 1


@contextlib.contextmanager
def open_alleles(
    query: AlleleQuery, on_alleles: OnAlleles = no_progress
) -> Iterator[ScoredAlleles]:
    """Open a scored file and check the columns asked for.

    Raises
    ------
    InputError
        If it cannot be understood or lacks a column.
    """
    with open_scored(query.path) as file:
        score = query.score or default_column(file, query.tag)
        require_column(file, score, "name the column of scores with --score or --tag")
        for name, _ in query.where:
            require_column(file, name, "name a column of the file")
        yield ScoredAlleles(file, query, score, _maker(file, score), on_alleles=on_alleles)


def require_column(file: ScoredFile, name: str, remedy: str) -> None:
    """Raise `InputError`, with the columns there are, unless a file has a column."""
    if name not in file.columns:
        raise InputError(
            f"there is no column {name!r}",
            path=file.path,
            remedy=f"{remedy}; it has {listing(file.columns)}",
        )


def told(counts: Mapping[str, int]) -> str:
    """Counts of alleles in words: ``7 alleles, 2 without score``."""
    listed = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in counts.items())
    return listed or "no allele"


def _maker(file: ScoredFile, score: str) -> dict[str, str]:
    """Facts of the last header line about how a score was made, that of its tag if any."""
    found: dict[str, str] = {}
    for note in notes_of(file):
        tag = note.get("ID")
        if tag is None or score in {score_column(tag, name) for name in SCORE_NAMES}:
            found = note
    return found
