"""Matched groups: a positive beside negatives chosen to be like it, as in TraitGym (one to nine).

- **AUROC within groups**: over pairs of a positive and a negative of one group.
- **AUPRC within groups**: the mean of the average precision within each, weighted by its positives.
- **AUROC and AUPRC over all groups together**: one ranking.
- **AUROC and AUPRC by block**, usually contig: AUROC over pairs of one block; the mean of the
  average precision within each block, weighted by its number of variants. The latter is the main
  figure of TraitGym (Benegas, Eraslan and Song 2025): ``AUPRC_by_chrom_weighted_average``.

Intervals resample whole groups (or what clusters say); TraitGym's own standard error resamples
chromosomes, whose values stay what they are. Groups that lack a positive or a negative are left out
of every figure, as nothing is matched in them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.area_kernels import (
    weighted_areas,
    weighted_areas_within,
    weighted_precisions_within,
)
from phylotools.evaluate.metrics import rank_variants, rank_within
from phylotools.evaluate.resampling import (
    MIN_CLUSTERS_FOR_INTERVAL,
    Figures,
    Floats,
    Seed,
    clusters_with,
    figures,
    measure_once,
    number_clusters,
    resample,
)
from phylotools.evaluate.strata_order import refuse_missing

#: The measures of `compare_matched`.
MEASURES = (
    "auroc_within_groups",
    "auprc_within_groups",
    "auroc",
    "auprc",
    "auroc_by_block",
    "auprc_by_block",
)


@dataclass(frozen=True)
class MatchedComparison:
    """Scores on matched groups.

    Attributes
    ----------
    n_positive, n_negative : int
        Variants in complete groups.
    n_groups, n_blocks : int
        Complete groups; blocks with a positive and a negative among them.
    groups_without_positive, groups_without_negative : int64 arrays
        The groups that are left out, as they were given.
    blocks_without_positive, blocks_without_negative : int64 arrays
        Blocks that do not enter the figures by block.
    metrics : tuple of Figures
        In the order of the scores; measures `MEASURES`, without those by block where there are no
        blocks.
    """

    n_positive: int
    n_negative: int
    n_groups: int
    n_blocks: int
    groups_without_positive: NDArray[np.int64]
    groups_without_negative: NDArray[np.int64]
    blocks_without_positive: NDArray[np.int64]
    blocks_without_negative: NDArray[np.int64]
    metrics: tuple[Figures, ...]


def compare_matched(
    scores: Floats,
    positive: NDArray[np.bool_],
    groups: NDArray[np.integer],
    *,
    clusters: NDArray[np.int64] | None = None,
    blocks: NDArray[np.integer] | None = None,
    replicates: int = 2000,
    seed: Seed = 1,
) -> MatchedComparison:
    """Compare scores on matched groups, with paired bootstrap intervals.

    Parameters
    ----------
    scores : float64[K, M]
        Turned so that high values point to the positive class. Infinities are ordinary values.
    positive : bool[M]
    groups : int[M]
        Equal for variants of one matched group.
    clusters : int64[M], optional
        What is drawn whole; the groups unless given.
    blocks : int[M], optional
        Contig of each variant, for the figures by block.
    replicates : int
        Bootstrap replicates; 0 for none.
    seed : int or list of int

    Raises
    ------
    ValueError
        If a score is NaN.
    """
    refuse_missing(scores)
    without_positive, without_negative = _one_sided(groups, positive)
    kept = ~np.isin(groups, np.concatenate([without_positive, without_negative]))
    scores, positive, groups = scores[:, kept], positive[kept], groups[kept]
    numbered = number_clusters(
        groups.astype(np.int64) if clusters is None else clusters[kept], positive.astype(np.int64)
    )
    blocks = None if blocks is None else blocks[kept]
    rankings = [
        (
            rank_variants(row, positive, numbered.of),
            rank_within(row, positive, numbered.of, groups),
            None if blocks is None else rank_within(row, positive, numbered.of, blocks),
        )
        for row in scores
    ]

    def measure(weights: NDArray[np.uint8], found: Floats) -> None:
        found[:] = math.nan
        for k, (together, by_group, by_block) in enumerate(rankings):
            found[:, k, 0] = weighted_areas_within(*by_group, weights)
            found[:, k, 1] = weighted_precisions_within(*by_group, weights)[:, 0]
            found[:, k, 2:4] = weighted_areas(together, weights)
            if by_block is not None:
                found[:, k, 4] = weighted_areas_within(*by_block, weights)
                found[:, k, 5] = weighted_precisions_within(*by_block, weights)[:, 1]

    names = MEASURES if blocks is not None else MEASURES[:4]
    shape = (len(scores), len(MEASURES))
    enough = min(clusters_with(numbered, positive), clusters_with(numbered, ~positive))
    if enough < MIN_CLUSTERS_FOR_INTERVAL:
        replicates = 0
    values = measure_once(numbered, measure, shape)
    drawn = resample(numbered, measure, shape, replicates=replicates, seed=seed)
    of_block = np.zeros(len(positive), dtype=np.int64) if blocks is None else blocks
    no_positive, no_negative = _one_sided(of_block, positive)
    n_blocks = len(np.unique(of_block)) - len(no_positive) - len(no_negative)
    n_positive = int(np.count_nonzero(positive))
    return MatchedComparison(
        n_positive,
        len(positive) - n_positive,
        len(np.unique(groups)),
        0 if blocks is None else n_blocks,
        without_positive,
        without_negative,
        no_positive[:0] if blocks is None else no_positive,
        no_negative[:0] if blocks is None else no_negative,
        figures(names, values[:, : len(names)], drawn[:, :, : len(names)]),
    )


def _one_sided(
    groups: NDArray[np.integer], positive: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Groups without a positive, and groups without a negative."""
    distinct, of = np.unique(groups, return_inverse=True)
    of = of.reshape(-1)
    without = (
        distinct[np.bincount(of[side], minlength=len(distinct)) == 0].astype(np.int64)
        for side in (positive, ~positive)
    )
    lacking_positive, lacking_negative = without
    return lacking_positive, lacking_negative
