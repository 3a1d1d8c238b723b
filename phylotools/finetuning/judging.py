"""What held-out scores are worth, beside the model's own and rankings by kind alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.comparison import Evaluation, evaluate
from phylotools.evaluate.labelled import Factor, LabelKind, LabelledScores, dense
from phylotools.evaluate.mutation_types import MUTATION_TYPE, mutation_type
from phylotools.evaluate.selection import ScoreColumn
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
        kind=LabelKind.CLASSES,
        labels=positive.astype(np.float64),
        clusters=dense(clusters),
        clusters_by="groups",
        strata=(Factor("class", items.classes, items.class_of),) if len(items.classes) > 1 else (),
        types=Factor.of(MUTATION_TYPE, variant_types(items)) if are_variants else None,
        lacking={column.name: 0 for column in columns},
        counts=counts,
        what="variants" if are_variants else "regions",
    )
    found = evaluate(data, types=types, replicates=replicates, seed=seed)
    return replace(found, resampled=RESAMPLED)


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
