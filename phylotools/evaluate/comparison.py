"""Metrics of several scores, over all variants and within each class."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.metrics import Comparison, compare_scores, compare_within
from phylotools.evaluate.mutation_types import GROUPINGS
from phylotools.evaluate.selection import ScoreColumn
from phylotools.evaluate.tables import LabelledScores

#: Name of the row that holds all variants.
OVERALL = "all"
#: Rankings that know no score.
BY_CLASS, BY_TYPE = "class alone", "mutation type alone"


@dataclass(frozen=True)
class Evaluation:
    """The metrics of every score, over all variants and within each class.

    Attributes
    ----------
    scores : tuple of ScoreColumn
    overall : Comparison
    within : dict
        ``classes``, ``types`` -> Comparison over pairs of variants of one class or mutation type.
    by_class, by_type : dict
        Name -> Comparison, that with the most positives first.
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
    within: dict[str, Comparison]
    by_class: dict[str, Comparison]
    by_type: dict[str, Comparison]
    oriented: NDArray[np.float64]
    positive: NDArray[np.bool_]
    counts: dict[str, int]
    lacking: dict[str, int]
    replicates: int
    seed: int
    resampled: str = "sites, within strata of their labels"


def evaluate(
    data: LabelledScores, *, types: str | None = None, replicates: int = 2000, seed: int = 1
) -> Evaluation:
    """Compare all scores overall, within each class, and among variants of the same kind.

    Parameters
    ----------
    data : LabelledScores
    types : str, optional
        A name of `GROUPINGS`: also compare within each of these types of mutation.
    replicates : int
        Bootstrap replicates; 0 for no intervals.
    seed : int
        A class's intervals depend on it and on the class's name, not on the other classes.

    Returns
    -------
    Evaluation
    """
    signs = np.array([-1.0 if score.low_is_positive else 1.0 for score in data.columns])
    oriented = data.scores * signs[:, None]
    kinds = {"types": _numbered(data.types)}
    if data.classes is not None:
        kinds["classes"] = _numbered(data.classes)

    def compare(rows: NDArray[np.int64], baselines: dict[str, str], key: list[int]) -> Comparison:
        """On some variants, beside rankings by kinds alone."""
        positive = data.positive[rows]
        alone = [_prevalence(kinds[kind][rows], positive) for kind in baselines.values()]
        found = compare_scores(
            np.vstack([oriented[:, rows], *alone]), positive, data.sites[rows],
            replicates=replicates, seed=[seed, *key],
        )  # fmt: skip
        n = len(data.columns)
        named = dict(zip(baselines, found.metrics[n:], strict=True))
        return replace(found, metrics=found.metrics[:n], baselines=named)

    def by_name(names: Sequence[str], baselines: dict[str, str], level: int) -> dict[str, Any]:
        return {
            name: compare(rows, baselines, [level, zlib.crc32(name.encode())])
            for name, rows in _members(names).items()
        }

    everything = np.arange(len(data.positive))
    by_type = {BY_TYPE: "types"}
    by_class = {BY_CLASS: "classes"} if data.classes is not None else {}
    within = {
        kind: compare_within(
            oriented, data.positive, data.sites, kinds[kind],
            replicates=replicates, seed=[seed, 0],
        )
        for kind in sorted(kinds)
    }  # fmt: skip
    grouped = [] if types is None else [GROUPINGS[types](kind) for kind in data.types]
    return Evaluation(
        data.columns,
        compare(everything, by_class | by_type, [0]),
        within,
        _most_positives_first(by_name(data.classes or (), by_type, 1)),
        _most_positives_first(by_name(grouped, by_class, 2)),
        oriented,
        data.positive,
        data.counts,
        data.lacking,
        replicates,
        seed,
    )


def _numbered(names: Sequence[str]) -> NDArray[np.int64]:
    """A number for each name, the same for equal ones."""
    codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
    return np.array([codes[name] for name in names], dtype=np.int64)


def _members(names: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """The rows of each name."""
    codes = _numbered(names)
    order = np.argsort(codes, kind="stable")
    distinct = list(dict.fromkeys(names))
    bounds = np.searchsorted(codes[order], np.arange(len(distinct) + 1))
    return {name: order[bounds[code] : bounds[code + 1]] for code, name in enumerate(distinct)}


def _prevalence(kinds: NDArray[np.int64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of positives among the variants of each one's kind.

    No ranking by kind alone has a higher AUROC on these variants.
    """
    _, kinds = np.unique(kinds, return_inverse=True)
    return (np.bincount(kinds, positive) / np.maximum(np.bincount(kinds), 1))[kinds]


def _most_positives_first(found: dict[str, Comparison]) -> dict[str, Comparison]:
    return dict(
        sorted(found.items(), key=lambda item: (-item[1].n_positive, -item[1].n_negative, item[0]))
    )
