"""A score against allele frequency: quantiles in bins of frequency."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.evaluate.strata_order import mean_ranks
from phylotools.io.scored import Allele, ScoredFile, score_number
from phylotools.plots.alleles import (
    AlleleQuery,
    OnAlleles,
    no_progress,
    open_alleles,
    require_column,
    told,
)
from phylotools.plots.output import PlotTable
from phylotools.plots.sampling import KEPT, SUMMARY, Reservoir, Tally

#: Alleles whose single points make the ground of the picture.
KEPT_POINTS = 200_000
#: Bins of a factor of ten.
BINS_PER_DECADE = 3
#: Frequencies below are counted with it: no data set is so large.
_LOWEST = 1e-12
UNSEEN, SINGLETON, COMMON = "frequency 0", "singletons", "frequency"


@dataclass(frozen=True)
class FrequencyBin:
    """Scores of alleles of one kind and, if seen more than once, one range of frequency.

    Attributes
    ----------
    kind : str
        `UNSEEN`, `SINGLETON` or `COMMON`.
    low, high : float
        Frequencies, low <= frequency < high (the last bin holds 1); NaN for the other kinds.
    tally : Tally
        Of the score.
    """

    kind: str
    low: float
    high: float
    tally: Tally


@dataclass(frozen=True)
class ScoresByFrequency:
    """Scores in bins of allele frequency.

    Attributes
    ----------
    score, frequency : str
        Columns.
    allele_count : str or None
        The column that tells singletons.
    bins : tuple of FrequencyBin
        Those with alleles: frequency 0, singletons, then by frequency.
    points : float64[K, 2]
        Frequency and score of alleles in no other bin than `COMMON`, all or an even sample.
    spearman : float
        Rank correlation over the alleles seen (those of `points` and singletons, sampled); NaN
        where it is not defined.
    made_by, counts : dict
        As in `ClassDistributions`.
    """

    score: str
    frequency: str
    allele_count: str | None
    bins: tuple[FrequencyBin, ...]
    points: NDArray[np.float64]
    spearman: float
    made_by: dict[str, str]
    counts: dict[str, int]

    @property
    def n(self) -> int:
        return sum(one.tally.n for one in self.bins)


@dataclass
class _Gathered:
    seed: int
    tallies: dict[tuple[str, int], Tally] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.points = Reservoir([self.seed, 0], size=KEPT_POINTS, width=2)
        self.seen = Reservoir([self.seed, 1], size=KEPT_POINTS, width=2)

    def add(self, frequency: float, is_singleton: bool, value: float) -> None:
        if frequency == 0:
            key = (UNSEEN, 0)
        else:
            self.seen.add(frequency, value)
            if is_singleton:
                key = (SINGLETON, 0)
            else:
                self.points.add(frequency, value)
                key = (COMMON, frequency_bin(frequency))
        if key not in self.tallies:
            self.tallies[key] = Tally([self.seed, *key[0].encode(), key[1] + 1000])
        self.tallies[key].add(value)

    def bins(self) -> tuple[FrequencyBin, ...]:
        kinds = (UNSEEN, SINGLETON, COMMON)
        ordered = sorted(self.tallies, key=lambda key: (kinds.index(key[0]), key[1]))
        return tuple(
            FrequencyBin(
                kind,
                bin_edge(index) if kind == COMMON else math.nan,
                bin_edge(index + 1) if kind == COMMON else math.nan,
                self.tallies[kind, index],
            )
            for kind, index in ordered
        )


def bin_edge(index: int) -> float:
    """Lower edge of a bin of frequency: three to a factor of ten, bin 0 ends at 1."""
    return float(10.0 ** ((index - 1) / BINS_PER_DECADE))


def frequency_bin(frequency: float) -> int:
    """Index of the bin that holds a frequency above 0; 1 lies in the last bin, 0."""
    index = math.floor(math.log10(max(frequency, _LOWEST)) * BINS_PER_DECADE) + 1
    # Rounding must not move an edge out of the bin that begins with it.
    index += int(frequency >= bin_edge(index + 1)) - int(frequency < bin_edge(index) > _LOWEST)
    return min(index, 0)


def scores_by_frequency(
    query: AlleleQuery,
    frequency: str,
    *,
    allele_count: str | None = None,
    seed: int = 1,
    on_alleles: OnAlleles = no_progress,
) -> ScoresByFrequency:
    """Read a scored file and gather the scores in bins of allele frequency.

    Memory does not grow with the file: of each bin `KEPT` scores are kept, and `KEPT_POINTS`
    alleles for the ground of the picture, drawn evenly.

    Parameters
    ----------
    query : AlleleQuery
    frequency : str
        Column of allele frequencies, from 0 to 1.
    allele_count : str, optional
        Column of allele counts: where it is 1, the allele is a singleton.
    seed : int
    on_alleles : callable
        Gets the number of alleles read since its last call.

    Returns
    -------
    ScoresByFrequency

    Raises
    ------
    InputError
        If the file cannot be understood, a frequency is none, or no allele has both numbers.
    """
    gathered = _Gathered(seed)
    with open_alleles(query, on_alleles) as alleles:
        file, counts = alleles.file, alleles.counts
        require_column(file, frequency, "name the column of allele frequencies with --frequency")
        columns = [frequency]
        if allele_count is not None:
            require_column(file, allele_count, "name the column of counts with --allele-count")
            columns.append(allele_count)
        for allele, value, texts in alleles.read(columns):
            found = _frequency_of(file, allele, frequency, texts[0])
            if math.isnan(found):
                counts["without_frequency"] += 1
                continue
            is_singleton = (
                allele_count is not None
                and score_number(texts[1], allele_count, file, allele.line) == 1
            )
            gathered.add(found, is_singleton, value)
    bins = gathered.bins()
    if not bins:
        raise InputError(
            f"no allele has both {alleles.score} and {frequency}: {told(counts)}",
            path=query.path,
            remedy="check the columns, --where and the regions",
        )
    return ScoresByFrequency(
        alleles.score,
        frequency,
        allele_count,
        bins,
        gathered.points.rows,
        spearman(gathered.seen.rows),
        alleles.made_by,
        dict(counts),
    )


def _frequency_of(file: ScoredFile, allele: Allele, column: str, text: str | None) -> float:
    value = score_number(text, column, file, allele.line)
    if not math.isnan(value) and not 0 <= value <= 1:
        raise InputError(
            f"{column} is {value:g}, which is no frequency from 0 to 1",
            path=file.path,
            line=allele.line,
            remedy="name a column of allele frequencies with --frequency",
        )
    return value


def spearman(pairs: NDArray[np.float64]) -> float:
    """Rank correlation of two columns, ties at their mean rank; NaN where one does not vary."""
    if len(pairs) < 3:
        return math.nan
    ranks = [mean_ranks(column) - (len(column) + 1) / 2 for column in pairs.T]
    scale = math.sqrt(float(ranks[0] @ ranks[0]) * float(ranks[1] @ ranks[1]))
    return float(ranks[0] @ ranks[1]) / scale if scale else math.nan


def frequency_table(found: ScoresByFrequency, facts: dict[str, Any]) -> PlotTable:
    """The table: a row for each bin, with all of its counts."""
    more = {"Spearman": f"{found.spearman:.4f}", "KeptPerBin": KEPT}
    columns = ["alleles", "frequency_low", "frequency_high", *SUMMARY]
    rows = ([one.kind, one.low, one.high, *one.tally.summary()] for one in found.bins)
    return PlotTable(facts | more, columns, rows)
