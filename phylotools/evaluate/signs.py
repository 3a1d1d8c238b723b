"""Correlations of a score with its sign and without it, side by side.

An effect on expression has a direction, and a score may know how large it is and not which way, or
the reverse. So three correlations stand beside each other: of the score with the label, of its size
with the label, and of its size with the size of the label; and how often both have the same sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.correlation import compare_correlations
from phylotools.evaluate.means import mean_values
from phylotools.evaluate.resampling import Estimate, Figures, Floats, Seed


@dataclass(frozen=True)
class SignedCorrelations:
    """One score with and without its sign.

    Attributes
    ----------
    signed : Figures
        Of the score with the label.
    size : Figures
        Of |score| with the label; differences are from `signed`, paired.
    sizes : Figures
        Of |score| with |label|.
    same_sign : Estimate
        Share of the variants with the same sign, of those where neither is 0.
    n_with_sign : int
        How many these are.
    """

    signed: Figures
    size: Figures
    sizes: Figures
    same_sign: Estimate
    n_with_sign: int


def compare_signs(
    scores: Floats,
    labels: Floats,
    clusters: NDArray[np.int64],
    *,
    strata: NDArray[np.integer] | None = None,
    replicates: int = 2000,
    seed: Seed = 1,
) -> tuple[SignedCorrelations, ...]:
    """Correlate each score with and without its sign; arguments as of `compare_correlations`.

    Raises
    ------
    ValueError
        If a score or a label is NaN.
    """
    found = []
    for row in scores:
        size = np.abs(row)
        with_label, with_size = (
            compare_correlations(
                rows, numbers, clusters, strata=strata, replicates=replicates, seed=seed
            ).metrics
            for rows, numbers in ((np.stack([row, size]), labels), (size[None], np.abs(labels)))
        )
        has_sign = (row != 0) & (labels != 0)
        is_same = np.sign(row[has_sign]) == np.sign(labels[has_sign])
        (share,) = mean_values(
            is_same.astype(np.float64)[None], clusters[has_sign], replicates=replicates, seed=seed
        )
        signed, of_size = with_label
        n = int(has_sign.sum())
        found.append(SignedCorrelations(signed, of_size, with_size[0], share, n))
    return tuple(found)
