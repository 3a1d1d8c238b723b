"""Rankings that know no score: what a score must beat before it has told anything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.labelled import LabelKind
from phylotools.evaluate.strata_order import mean_ranks

Floats = NDArray[np.float64]


def by_kind_alone(codes: NDArray[np.integer], labels: Floats, kind: LabelKind) -> Floats:
    """Give each row what rows of its kind have on average.

    Of two classes that is the share of positives, and no ranking by kind alone has a higher AUROC
    on these rows. Of other labels it is the mean rank. Rows are judged by themselves, so that many
    small kinds flatter it.

    Parameters
    ----------
    codes : int[M]
        The kind of each row.
    labels : float64[M]
    kind : LabelKind

    Returns
    -------
    float64[M]
    """
    if kind != LabelKind.CLASSES:
        labels = mean_ranks(labels)
    _, places = np.unique(codes, return_inverse=True)
    shares: Floats = np.bincount(places, labels) / np.maximum(np.bincount(places), 1)
    return shares[places]


def by_frequency_alone(frequencies: Floats) -> Floats:
    """Rank rare alleles as the damaging ones; one that the file says nothing of is the rarest.

    Parameters
    ----------
    frequencies : float64[M]
        NaN where the file says nothing.
    """
    return np.where(np.isnan(frequencies), np.inf, -frequencies)
