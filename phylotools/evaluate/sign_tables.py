"""Scores with and without their sign: a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from phylotools.evaluate.comparison import Evaluation
from phylotools.evaluate.correlation import MEASURES
from phylotools.evaluate.labelled import LabelKind
from phylotools.evaluate.outcome import Table
from phylotools.evaluate.report import estimate_names, estimate_values
from phylotools.evaluate.resampling import Estimate
from phylotools.evaluate.signs import compare_signs

SIGNS = "signs.tsv"


def sign_table(evaluation: Evaluation, *, replicates: int, seed: int) -> Table | None:
    """The table of `signs.tsv`, three rows a score.

    None unless labels are numbers, and they and a score stand on both sides of 0.
    """
    data, labels = evaluation.data, evaluation.data.turned_labels
    if data.kind != LabelKind.NUMBERS or not _has_both_signs(labels):
        return None
    places = [k for k, row in enumerate(evaluation.oriented) if _has_both_signs(row)]
    if not places:
        return None
    found = compare_signs(
        evaluation.oriented[places], labels, data.clusters, replicates=replicates, seed=seed
    )
    nothing = Estimate(float("nan"))
    rows: list[tuple[Any, ...]] = []
    for k, each in zip(places, found, strict=True):
        for what, figures, same in (
            ("score with label", each.signed, each.same_sign),
            ("|score| with label", each.size, nothing),
            ("|score| with |label|", each.sizes, nothing),
        ):
            numbers = [x for name in MEASURES for x in estimate_values(figures.estimates[name])]
            more = estimate_values(figures.differences.get(MEASURES[0], nothing))
            row = (evaluation.scores[k].name, what, *numbers, *more, *estimate_values(same))
            rows.append(row)
    header = (
        "score", "of", *(column for name in MEASURES for column in estimate_names(name)),
        *estimate_names("spearman_less_signed"), *estimate_names("same_sign"),
    )  # fmt: skip
    note = (
        "Scores and labels are turned so that high is damaging. same_sign: the share of the "
        f"{data.what} with the same sign, of those where neither is 0."
    )
    return Table(SIGNS, "With and without the sign", header, tuple(rows), note)


def _has_both_signs(values: np.ndarray) -> bool:
    return bool((values > 0).any() and (values < 0).any())
