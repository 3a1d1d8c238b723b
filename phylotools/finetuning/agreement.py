"""How well scores agree with labels that are numbers, with intervals from resampled groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.comparison import OVERALL
from phylotools.evaluate.correlation import PEARSON, SPEARMAN, compare_correlations
from phylotools.evaluate.report import estimate_columns
from phylotools.evaluate.resampling import Estimate

Floats = NDArray[np.float64]
#: Fewer items of a class have no correlation worth a name.
_FEWEST = 5


@dataclass(frozen=True)
class Agreement:
    """One score on some items.

    Attributes
    ----------
    name, score : str
        The class, or `OVERALL`; the score.
    n_items, n_groups : int
    spearman, pearson : Estimate
    difference : Estimate or None
        Of Spearman's correlation, minus that of the first score, paired.
    """

    name: str
    score: str
    n_items: int
    n_groups: int
    spearman: Estimate
    pearson: Estimate
    difference: Estimate | None


def agreements(
    scores: Mapping[str, Floats],
    labels: Floats,
    clusters: NDArray[np.int64],
    classes: NDArray[np.int32],
    class_names: tuple[str, ...],
    *,
    replicates: int,
    seed: int,
) -> list[Agreement]:
    """Correlations of scores with labels, over all items and in each class.

    Parameters
    ----------
    scores : mapping of str to float64 array [N]
        The one that others are compared with first.
    labels : float64 array [N]
    clusters : int64 array [N]
        What is resampled whole.
    classes : int32 array [N]
        Indices into `class_names`.
    class_names : tuple of str
    replicates, seed : int
    """
    found = _on(OVERALL, scores, labels, clusters, replicates, seed)
    if len(class_names) > 1:
        for number, name in enumerate(class_names):
            rows = np.flatnonzero(classes == number)
            if len(rows) >= _FEWEST:
                own = {key: values[rows] for key, values in scores.items()}
                found += _on(name, own, labels[rows], clusters[rows], replicates, seed)
    return found


def _on(
    name: str,
    scores: Mapping[str, Floats],
    labels: Floats,
    clusters: NDArray[np.int64],
    replicates: int,
    seed: int,
) -> list[Agreement]:
    compared = compare_correlations(
        np.stack(list(scores.values())), labels, clusters, replicates=replicates, seed=seed
    )
    return [
        Agreement(
            name,
            score,
            compared.n,
            compared.n_clusters,
            found.estimates[SPEARMAN],
            found.estimates[PEARSON],
            found.differences.get(SPEARMAN),
        )
        for score, found in zip(scores, compared.metrics, strict=True)
    ]


def agreement_records(found: list[Agreement]) -> list[dict[str, Any]]:
    """One dictionary a row of the table."""
    return [
        {
            "level": "overall" if each.name == OVERALL else "class",
            "class": each.name,
            "score": each.score,
            "n": each.n_items,
            "n_groups": each.n_groups,
            **estimate_columns("spearman", each.spearman),
            **estimate_columns("pearson", each.pearson),
            **estimate_columns("spearman_difference", each.difference),
        }
        for each in found
    ]
