"""Scores along allele frequency: windows that slide from the rarest variants to the commonest.

Selection keeps damaging alleles rare, so a score of damage should fall with frequency. Frequencies
span orders of magnitude and many variants share the lowest ones, so windows hold equal numbers of
variants, next to each other overlap by half, and never tear variants of one frequency: where those
are more than a window they are one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.correlation import Correlations, compare_correlations
from phylotools.evaluate.means import mean_values
from phylotools.evaluate.metrics import compare_scores
from phylotools.evaluate.ordered import compare_ordered
from phylotools.evaluate.resampling import Estimate, Floats
from phylotools.evaluate.strata_order import refuse_missing

#: What a window's agreement of score and label is.
AUROC, C_INDEX, SPEARMAN = "auroc", "c_index", "spearman"
_N_WINDOWS = 20
#: Fewer variants in a window say little.
_SMALLEST_WINDOW = 20


@dataclass(frozen=True)
class FrequencyWindow:
    """Variants of about one frequency.

    Attributes
    ----------
    lowest, highest, median : float
        Frequency.
    n, n_clusters : int
    label : Estimate or None
        Share of positives of two classes, else the mean label; None without labels.
    scores : tuple of Estimate
        Mean of each score; NaN where one is infinite.
    against_commonest : tuple of Estimate
        Of each score, the chance that a variant here has a higher one than a variant of the
        commonest window, ties counting one half; NaN for that window and those that overlap it.
    agreement : tuple of Estimate
        Of each score with the label, within the window; empty without labels.
    """

    lowest: float
    highest: float
    median: float
    n: int
    n_clusters: int
    label: Estimate | None
    scores: tuple[Estimate, ...]
    against_commonest: tuple[Estimate, ...]
    agreement: tuple[Estimate, ...]


@dataclass(frozen=True)
class FrequencyTable:
    """Scores along allele frequency.

    Attributes
    ----------
    windows : tuple of FrequencyWindow
        The rarest first.
    agreement : str or None
        What their agreement is: `AUROC`, `C_INDEX` or `SPEARMAN`; None without labels.
    trend : Correlations
        Of scores with rareness (the frequency, low ones first), over all variants.
    n_without : int
        Variants without a frequency, which are in none of this.
    """

    windows: tuple[FrequencyWindow, ...]
    agreement: str | None
    trend: Correlations
    n_without: int


class _Draws(NamedTuple):
    """Which replicates."""

    replicates: int
    seed: list[int]


def slide_over_frequency(
    scores: Floats,
    frequency: Floats,
    clusters: NDArray[np.int64],
    *,
    labels: Floats | None = None,
    agreement: str | None = None,
    n_windows: int = _N_WINDOWS,
    replicates: int = 2000,
    seed: int = 1,
) -> FrequencyTable:
    """Describe scores, and how they agree with labels, along allele frequency.

    Parameters
    ----------
    scores : float64[K, M]
        Turned so that high values are the damaging end.
    frequency : float64[M]
        0 to 1; NaN where it is not known.
    clusters : int64[M]
        What is drawn whole.
    labels : float64[M], optional
        1 and 0, places of ordered classes, or numbers, turned as the scores.
    agreement : str, optional
        `AUROC`, `C_INDEX` or `SPEARMAN`, as the labels want it.
    n_windows : int
        At most so many.
    replicates, seed : int
        As elsewhere; a window's draws do not depend on the other windows.

    Raises
    ------
    ValueError
        If a score or label is NaN, or a frequency is not between 0 and 1.
    """
    refuse_missing(scores, labels)
    known = ~np.isnan(frequency)
    if known.any() and not 0 <= frequency[known].min() <= frequency[known].max() <= 1:
        raise ValueError("an allele frequency is not between 0 and 1")
    rows = np.flatnonzero(known)
    rows = rows[np.argsort(frequency[rows], kind="stable")]
    spans = frequency_windows(frequency[rows], n_windows)
    commonest = spans[-1] if spans else (0, 0)
    windows = []
    for k, (first, end) in enumerate(spans):
        own = rows[first:end]
        draws = _Draws(replicates, [seed, k])
        values = scores[:, own] if labels is None else np.vstack([scores[:, own], labels[own]])
        means = mean_values(values, clusters[own], replicates=draws.replicates, seed=draws.seed)
        windows.append(
            FrequencyWindow(
                float(frequency[own[0]]),
                float(frequency[own[-1]]),
                float(np.median(frequency[own])),
                len(own),
                len(np.unique(clusters[own])),
                None if labels is None else means[-1],
                means[: len(scores)],
                _against(scores, clusters, own, rows[commonest[0] : commonest[1]], draws),
                ()
                if labels is None or agreement is None
                else _agreement(agreement, scores[:, own], labels[own], clusters[own], draws),
            )
        )
    trend = compare_correlations(
        scores[:, rows], -frequency[rows], clusters[rows], replicates=replicates, seed=seed
    )
    return FrequencyTable(
        tuple(windows), None if labels is None else agreement, trend, int((~known).sum())
    )


def frequency_windows(rising: Floats, n_windows: int) -> list[tuple[int, int]]:
    """Where windows begin and end among rising frequencies.

    Of equal numbers, each next one half a window on, moved outwards to where the frequency changes.
    Variants of one frequency that are more than a window are one of their own.
    """
    size = max(_SMALLEST_WINDOW, math.ceil(2 * len(rising) / (n_windows + 1)))
    _, firsts, counts = np.unique(rising, return_index=True, return_counts=True)
    spans: list[tuple[int, int]] = []
    begin = 0
    for first, count in zip(firsts[counts > size], counts[counts > size], strict=True):
        spans += _slide(rising, begin, int(first), size)
        spans.append((int(first), int(first + count)))
        begin = int(first + count)
    return spans + _slide(rising, begin, len(rising), size)


def _slide(rising: Floats, begin: int, end: int, size: int) -> list[tuple[int, int]]:
    """Windows of a run in which no frequency has more variants than a window."""
    spans: list[tuple[int, int]] = []
    first = begin
    while first < end:
        last = min(first + size, end)
        last = int(np.searchsorted(rising[:end], rising[last - 1], side="right"))
        spans.append((first, last))
        if last == end:
            break
        # Half a window on, back to where that frequency begins.
        middle = int(np.searchsorted(rising, rising[first + size // 2], side="left"))
        first = middle if middle > first else last
    return spans


def _against(
    scores: Floats,
    clusters: NDArray[np.int64],
    own: NDArray[np.int64],
    others: NDArray[np.int64],
    draws: _Draws,
) -> tuple[Estimate, ...]:
    """AUROC of some variants against others; NaN where they overlap."""
    if len(np.intersect1d(own, others)):
        return (Estimate(math.nan),) * len(scores)
    rows = np.concatenate([own, others])
    found = compare_scores(
        scores[:, rows],
        np.arange(len(rows)) < len(own),
        clusters[rows],
        replicates=draws.replicates,
        seed=draws.seed,
    )
    return tuple(each.auroc for each in found.metrics)


def _agreement(
    agreement: str,
    scores: Floats,
    labels: Floats,
    clusters: NDArray[np.int64],
    draws: _Draws,
) -> tuple[Estimate, ...]:
    if agreement == AUROC:
        found = compare_scores(
            scores, labels > 0, clusters, replicates=draws.replicates, seed=draws.seed
        )
        return tuple(each.auroc for each in found.metrics)
    if agreement == C_INDEX:
        places = labels.astype(np.int64)
        ordered = compare_ordered(
            scores,
            places,
            clusters,
            n_classes=int(places.max(initial=1)) + 1,
            replicates=draws.replicates,
            seed=draws.seed,
        )
        return tuple(each.estimates[C_INDEX] for each in ordered.metrics)
    numbers = compare_correlations(
        scores, labels, clusters, replicates=draws.replicates, seed=draws.seed
    )
    return tuple(each.estimates[SPEARMAN] for each in numbers.metrics)
