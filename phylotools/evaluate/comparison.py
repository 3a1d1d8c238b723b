"""Figures of several scores, over all variants, within strata, and of each stratum by itself."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.labelled import Factor, LabelKind, LabelledScores
from phylotools.evaluate.measures import (
    Measure,
    Measured,
    measure,
    measure_matched,
    measures_of,
)
from phylotools.evaluate.mutation_types import GROUPINGS, MUTATION_TYPE
from phylotools.evaluate.naive import by_frequency_alone, by_kind_alone
from phylotools.evaluate.resampling import Figures
from phylotools.evaluate.selection import ScoreColumn

#: Name of the row that holds all variants.
OVERALL = "all"
#: Names of the rows within matched groups and their contigs.
WITHIN_GROUPS, WITHIN_CONTIGS = "within matched groups", "within contigs"
#: Rankings that know no score.
BY_CLASS, BY_TYPE = "class alone", "mutation type alone"
BY_FREQUENCY, BY_COLUMN = "allele frequency alone", "alignment column alone"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """Figures of every score on some rows.

    Attributes
    ----------
    level : str
        ``overall``, ``within`` (pairs of one stratum), ``class`` (of a stratum) or ``type``.
    name : str
        Of the stratum; `OVERALL`; what is compared within.
    factor : str
        The column whose strata these are; empty for all rows.
    sizes : dict of str to int
        Rows and clusters.
    figures : tuple of Figures
        In the order of the scores.
    baselines : dict of str to Figures
        Of rankings that know no score, by what they rank by.
    """

    level: str
    name: str
    factor: str
    sizes: dict[str, int]
    figures: tuple[Figures, ...]
    baselines: dict[str, Figures]

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.sizes["n"] if "n" in self.sizes else self.n_positive + self.n_negative

    @property
    def n_positive(self) -> int:
        """Positives, of two classes."""
        return self.sizes["n_positive"]

    @property
    def n_negative(self) -> int:
        """Negatives, of two classes."""
        return self.sizes["n_negative"]

    @property
    def prevalence(self) -> float:
        """Fraction of positives: the AUPRC of a score that knows nothing."""
        return self.n_positive / self.n if self.n else float("nan")


@dataclass(frozen=True)
class Evaluation:
    """The figures of every score, over all variants and within each stratum.

    Attributes
    ----------
    data : LabelledScores
    rows : tuple of Judged
        That of all variants first, then those within strata, then each stratum's own.
    replicates : int
    seed : int
    resampled : str
        What is drawn as a whole, and within which parts.
    """

    data: LabelledScores
    rows: tuple[Judged, ...]
    replicates: int
    seed: int
    resampled: str

    @property
    def scores(self) -> tuple[ScoreColumn, ...]:
        """The scores."""
        return self.data.columns

    @property
    def overall(self) -> Judged:
        """The figures over all variants."""
        return self.rows[0]

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What is measured; the first one is the headline."""
        return measures_of(self.data)

    @cached_property
    def oriented(self) -> Floats:
        """Scores turned so that high values are the damaging end, float64[K, M]."""
        return self.data.turned_scores

    def at(self, level: str) -> tuple[Judged, ...]:
        """The rows of one level."""
        return tuple(row for row in self.rows if row.level == level)


def evaluate(
    data: LabelledScores,
    *,
    types: str | None = None,
    rankings: Mapping[str, Floats] | None = None,
    only_within: Iterable[str] = (),
    replicates: int = 2000,
    seed: int = 1,
) -> Evaluation:
    """Compare all scores overall, within strata, and in each stratum by itself.

    Parameters
    ----------
    data : LabelledScores
    types : str, optional
        A name of `GROUPINGS`: also compare in each of these types of mutation.
    rankings : mapping of str to float64[M], optional
        Further rankings that know no score, high at the damaging end.
    only_within : iterable of str
        Strata, by name, of which single ones get no row.
    replicates : int
        Bootstrap replicates; 0 for no intervals.
    seed : int
        A stratum's intervals depend on it and on the stratum's name, not on other strata.

    Returns
    -------
    Evaluation
    """
    judge = _Judge(data, dict(rankings or {}), replicates, seed)
    rows = [judge.all_rows()]
    rows += [judge.within(factor) for factor in judge.factors]
    rows += judge.within_matches()
    for factor in data.strata:
        if factor.name not in only_within:
            rows += judge.each_of(factor, "class", 1)
    if types is not None and data.types is not None:
        grouped = Factor.of(MUTATION_TYPE, map(GROUPINGS[types], data.types.texts))
        rows += judge.each_of(grouped, "type", 2)
    resampled = data.clusters_by
    if data.kind != LabelKind.NUMBERS:
        resampled += ", within strata of their labels"
    return Evaluation(data, tuple(rows), replicates, seed, resampled)


class _Judge:
    """Judges rows of one set; every baseline is made of the rows that are judged."""

    def __init__(
        self, data: LabelledScores, rankings: dict[str, Floats], replicates: int, seed: int
    ) -> None:
        self.data, self.replicates, self.seed = data, replicates, seed
        self.scores, self.labels = data.turned_scores, data.turned_labels
        self.rankings = rankings
        # Where the frequency is itself the label, it says nothing beside it.
        is_label = data.frequency is not None and np.array_equal(data.frequency, data.labels)
        if data.frequency is not None and not is_label:
            self.rankings = {BY_FREQUENCY: by_frequency_alone(data.frequency)} | rankings
        self.factors = [*data.strata, *([] if data.types is None else [data.types])]

    def alone(self, factor: Factor) -> str:
        """How a ranking by a factor alone is called."""
        if factor is self.data.types:
            return BY_TYPE
        return BY_CLASS if len(self.data.strata) == 1 else f"{factor.name} alone"

    def all_rows(self) -> Judged:
        everything = np.arange(len(self.data))
        return self._judge("overall", OVERALL, "", everything, self.factors, [0])

    def within(self, factor: Factor) -> Judged:
        """Figures over pairs of rows of one stratum."""
        found = measure(
            self.data,
            self._scores_and_rankings(),
            strata=factor.codes,
            replicates=self.replicates,
            seed=[self.seed, 0],
        )
        return self._within(f"within {self._plural(factor)}", factor.name, found)

    def within_matches(self) -> list[Judged]:
        """The same of matched groups, and of their contigs."""
        matches = self.data.matches
        if matches is None:
            return []
        if self.data.kind != LabelKind.CLASSES:
            found = self.within(matches)
            return [replace(found, name=WITHIN_GROUPS)]
        groups, contigs, _ = measure_matched(
            self.data,
            self._scores_and_rankings(),
            replicates=self.replicates,
            seed=[self.seed, 0],
        )
        rows = [self._within(WITHIN_GROUPS, matches.name, groups)]
        return rows if contigs is None else [*rows, self._within(WITHIN_CONTIGS, "contig", contigs)]

    def _scores_and_rankings(self) -> Floats:
        return np.vstack([self.scores, *self.rankings.values()])

    def _within(self, name: str, factor: str, found: Measured) -> Judged:
        n = len(self.scores)
        baselines = dict(zip(self.rankings, found.figures[n:], strict=True))
        return Judged("within", name, factor, found.sizes, found.figures[:n], baselines)

    def each_of(self, factor: Factor, level: str, number: int) -> list[Judged]:
        """Figures in each stratum, that with the most positives, or rows, first."""
        others = [
            other
            for other in self.factors
            if other is not factor and not (level == "type" and other is self.data.types)
        ]
        judged = [
            self._judge(level, name, factor.name, rows, others, [number, zlib.crc32(name.encode())])
            for name, rows in members(factor)
        ]
        return sorted(judged, key=_most_first)

    def _plural(self, factor: Factor) -> str:
        if factor is self.data.types:
            return "types"
        return "classes" if len(self.data.strata) == 1 else factor.name

    def _judge(
        self,
        level: str,
        name: str,
        factor: str,
        rows: NDArray[np.int64],
        others: list[Factor],
        key: list[int],
    ) -> Judged:
        labels = self.labels[rows]
        alone = {
            self.alone(other): by_kind_alone(other.codes[rows], labels, self.data.kind)
            for other in others
        }
        alone |= {ranking: values[rows] for ranking, values in self.rankings.items()}
        found = measure(
            self.data,
            np.vstack([self.scores[:, rows], *alone.values()]),
            rows,
            replicates=self.replicates,
            seed=[self.seed, *key],
        )
        n = len(self.scores)
        baselines = dict(zip(alone, found.figures[n:], strict=True))
        return Judged(level, name, factor, found.sizes, found.figures[:n], baselines)


def members(factor: Factor) -> list[tuple[str, NDArray[np.int64]]]:
    """Each level that has rows, and its rows."""
    order = np.argsort(factor.codes, kind="stable")
    bounds = np.searchsorted(factor.codes[order], np.arange(len(factor.levels) + 1))
    found = [
        (name, order[bounds[code] : bounds[code + 1]]) for code, name in enumerate(factor.levels)
    ]
    return [(name, rows) for name, rows in found if len(rows)]


def _most_first(row: Judged) -> tuple[int, int, str]:
    if "n_positive" in row.sizes:
        return -row.n_positive, -row.n_negative, row.name
    return -row.n, 0, row.name
