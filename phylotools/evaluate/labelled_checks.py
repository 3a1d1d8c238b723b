"""Whether labels can be compared, and one line that says why where they cannot."""

from __future__ import annotations

import logging
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.evaluate.labelled import LabelKind
from phylotools.evaluate.selection import Question, listing

logger = logging.getLogger("phylotools")

NEGATIVE, POSITIVE = 0.0, 1.0
LABELS_REMEDY = "labels are numbers unless classes are named: --positive and --negative, or --order"


def require_labels(
    question: Question,
    path: str,
    found: frozenset[float],
    values: Counter[str],
    n_outside: int,
) -> None:
    """Raise InputError, with what there is, where a class has no variant.

    Parameters
    ----------
    question : Question
    path : str
        Of the labels.
    found : frozenset of float
        Labels that are there; NaN of contradictory ones.
    values : Counter of str
        Texts of the label column.
    n_outside : int
        Labelled variants outside the regions asked for.
    """
    wanted: list[tuple[str, frozenset[str]]] = []
    if question.kind == LabelKind.CLASSES:
        wanted = [("negative", question.negative), ("positive", question.positive)]
    elif question.kind == LabelKind.ORDERED:
        wanted = [(name, frozenset([name])) for name in question.order]
    missing = [each for label, each in enumerate(wanted) if float(label) not in found]
    if not missing and found:
        return
    name, texts = missing[-1] if missing else ("labelled", frozenset())
    if n_outside:
        raise InputError(
            f"no {name} variant lies in the regions ({n_outside:,} labelled variants lie outside)",
            path=path,
            remedy="check contig names and coordinates of the regions",
        )
    if not missing:
        raise InputError(
            f"no variant has a number in column {question.label_column!r}",
            path=path,
            remedy=LABELS_REMEDY,
        )
    common = [f"{text} ({count:,})" for text, count in values.most_common(10)]
    kind = f"{name} value" if question.kind == LabelKind.CLASSES else "value"
    raise InputError(
        f"no variant has the {kind} {listing(sorted(texts))} in column {question.label_column!r}",
        path=path,
        remedy=f"its most frequent values: {listing(common)}"
        if common
        else "there is no variant with a value in it",
    )


def require_complete(
    kind: LabelKind,
    labels: NDArray[np.float64],
    n_kept: int,
    counts: dict[str, int],
    lacking: dict[str, int],
) -> None:
    """Raise InputError, with the reason, where nothing can be compared among complete cases.

    Parameters
    ----------
    kind : LabelKind
    labels : float64 array [M]
        Of the variants that have all scores.
    n_kept : int
        Labelled variants, with all scores or not.
    counts, lacking : dict
        As in `LabelledScores`.
    """
    if len(np.unique(labels)) > 1:
        return
    name = "labelled"
    if kind == LabelKind.CLASSES:
        name = "negative" if POSITIVE in labels else "positive"
    elif len(labels):
        raise InputError(
            f"all {len(labels):,} variants that have all scores have one label: ties everywhere",
            remedy="compare variants whose labels differ",
        )
    if not counts.get(f"labelled_{name}", n_kept):
        raise InputError(
            f"no {name} variant is left: {counts['contradictory_labels']:,} have contradictory "
            f"labels, {counts['excluded_by_where']:,} do not pass --where",
            remedy="check the labels that are asked for, and --where",
        )
    listed = ", ".join(f"{score}: {count:,}" for score, count in lacking.items())
    raise InputError(
        f"no {name} variant has all scores; of {n_kept:,} labelled variants, lacking are {listed}",
        remedy="leave out the score that is missing, or score these variants first",
    )


def warn_of_left_out(counts: dict[str, int], n_ignored: int) -> None:
    """Log what was left out.

    Parameters
    ----------
    counts : dict
        As in `LabelledScores`.
    n_ignored : int
        Further values of columns of categories.
    """
    for count, what in (
        (
            counts["contradictory_labels"],
            "variants were left out because their labels contradict each other",
        ),
        (
            counts["contradictory_scores"],
            "scores were left out because a variant has two values",
        ),
        (
            n_ignored,
            "further values of a class, --match-column or --where column were ignored: "
            "of a variant that is there several times the first value counts",
        ),
    ):
        if count:
            logger.warning("%s %s", f"{count:,}", what)
