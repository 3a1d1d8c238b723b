"""Metrics of several scores, over all variants and within each class."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.metrics import Comparison, compare_scores
from phylotools.evaluate.selection import ScoreColumn
from phylotools.evaluate.tables import LabelledScores

#: Name of the row that holds all variants.
OVERALL = "all"


@dataclass(frozen=True)
class Evaluation:
    """The metrics of every score, over all variants and within each class.

    Attributes
    ----------
    scores : tuple of ScoreColumn
    overall : Comparison
    by_class : dict
        Class name -> Comparison, the class with the most positives first.
    oriented : float64[K, M]
        Scores turned so that high values point to the positive class, for curves.
    positive : bool[M]
    counts, lacking : dict
        As in `LabelledScores`.
    replicates : int
    seed : int
    """

    scores: tuple[ScoreColumn, ...]
    overall: Comparison
    by_class: dict[str, Comparison]
    oriented: NDArray[np.float64]
    positive: NDArray[np.bool_]
    counts: dict[str, int]
    lacking: dict[str, int]
    replicates: int
    seed: int


def evaluate(data: LabelledScores, *, replicates: int = 2000, seed: int = 1) -> Evaluation:
    """Compare all scores overall and within each class.

    Parameters
    ----------
    data : LabelledScores
    replicates : int
        Bootstrap replicates; 0 for no intervals.
    seed : int
        A class's intervals depend on it and on the class's name, not on the other classes.

    Returns
    -------
    Evaluation
    """
    scores = data.columns
    signs = np.array([-1.0 if score.low_is_positive else 1.0 for score in scores])
    oriented = data.scores * signs[:, None]
    overall = compare_scores(
        oriented, data.positive, data.sites, replicates=replicates, seed=[seed, 0]
    )
    by_class: dict[str, Comparison] = {}
    if data.classes is not None:
        codes = {name: code for code, name in enumerate(dict.fromkeys(data.classes))}
        members = np.array([codes[name] for name in data.classes])
        order = np.argsort(members, kind="stable")
        bounds = np.searchsorted(members[order], np.arange(len(codes) + 1))
        for name, code in codes.items():
            rows = order[bounds[code] : bounds[code + 1]]
            by_class[name] = compare_scores(
                oriented[:, rows],
                data.positive[rows],
                data.sites[rows],
                replicates=replicates,
                seed=[seed, 1, zlib.crc32(name.encode())],
            )
    ranked = sorted(
        by_class.items(), key=lambda item: (-item[1].n_positive, -item[1].n_negative, item[0])
    )
    return Evaluation(
        scores,
        overall,
        dict(ranked),
        oriented,
        data.positive,
        data.counts,
        data.lacking,
        replicates,
        seed,
    )
