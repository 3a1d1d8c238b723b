"""What held-out scores are worth, beside the model's own and rankings by kind alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.comparison import BY_TYPE, Evaluation, evaluate
from phylotools.evaluate.mutation_types import mutation_type
from phylotools.evaluate.selection import ScoreColumn
from phylotools.evaluate.tables import LabelledScores
from phylotools.finetuning.items import LabelledItems

Floats = NDArray[np.float64]
#: Names of held-out scores: of what inner folds chose, and of the best head without adapters.
TUNED, HEAD_ALONE = "tuned", "head"
RESAMPLED = "groups, within strata of their labels"


def compare_classes(
    zero_shot: Mapping[str, Floats],
    held_out: Mapping[str, Floats],
    items: LabelledItems,
    clusters: NDArray[np.int64],
    *,
    types: str | None,
    replicates: int,
    seed: int,
) -> Evaluation:
    """AUROC and AUPRC of all scores by `evaluate`, with intervals from resampled groups.

    Parameters
    ----------
    zero_shot : mapping of str to float64 array [N]
        The model's own, low at the positives; the one that others are compared with first.
    held_out : mapping of str to float64 array [N]
        High at the positives.
    items : LabelledItems
    clusters : int64 array [N]
    types : str, optional
        As for `evaluate`.
    replicates, seed : int
    """
    columns = [ScoreColumn(name, True) for name in zero_shot]
    columns += [ScoreColumn(name, False) for name in held_out]
    scores = np.stack([*zero_shot.values(), *held_out.values()])
    positive = items.labels > 0.5
    are_variants = items.refs is not None
    counts = {
        "labelled_positive": int(positive.sum()),
        "labelled_negative": int((~positive).sum()),
        "compared": len(positive),
    }
    data = LabelledScores(
        columns=tuple(columns),
        scores=scores,
        positive=positive,
        sites=clusters,
        classes=class_names(items) if len(items.classes) > 1 else None,
        types=variant_types(items) if are_variants else ("region",) * len(items),
        lacking={column.name: 0 for column in columns},
        counts=counts,
    )
    found = evaluate(data, types=types, replicates=replicates, seed=seed)
    found = replace(found, resampled=RESAMPLED)
    return found if are_variants else _without_types(found)


def class_names(items: LabelledItems) -> tuple[str, ...]:
    """Class of each item."""
    return tuple(items.classes[number] for number in items.class_of.tolist())


def variant_types(items: LabelledItems) -> tuple[str, ...]:
    """`mutation_type` of each variant."""
    assert items.refs is not None
    assert items.alts is not None
    letters = zip(items.refs.tolist(), items.alts.tolist(), strict=True)
    known: dict[tuple[int, int], str] = {}
    return tuple(
        known.get(pair) or known.setdefault(pair, mutation_type(*map(chr, pair)))
        for pair in letters
    )


def _without_types(found: Evaluation) -> Evaluation:
    """Regions have no type of mutation to rank by."""
    kinds = {name: each for name, each in found.overall.baselines.items() if name != BY_TYPE}
    return replace(
        found,
        overall=replace(found.overall, baselines=kinds),
        within={name: each for name, each in found.within.items() if name != "types"},
        by_class={name: replace(each, baselines={}) for name, each in found.by_class.items()},
        by_type={},
    )
