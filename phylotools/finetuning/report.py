"""The report of a tuned model, for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from phylotools.evaluate.comparison import Evaluation
from phylotools.evaluate.report import aligned, estimate_text, plain_table
from phylotools.finetuning.agreement import Agreement
from phylotools.finetuning.items import LabelQuestion
from phylotools.finetuning.judging import HEAD_ALONE, TUNED
from phylotools.finetuning.nested import Choice
from phylotools.finetuning.run import Tuning, TuningSettings
from phylotools.model.tuned_head import TunedHead

if TYPE_CHECKING:
    from phylotools.model.folder import Model

_DIGITS = 6


def headline(tuning: Tuning) -> dict[str, float]:
    """The one figure of the held-out scores that is named everywhere; NaN where there is none."""
    if isinstance(tuning.worth, Evaluation):
        names = [score.name for score in tuning.worth.scores]
        value = tuning.worth.overall.figures[names.index(TUNED)].estimates["auroc"].value
        return {"AUROC": round(value, _DIGITS)}
    found = next(each for each in tuning.worth if each.score == TUNED)
    return {"Spearman": round(found.spearman.value, _DIGITS)}


def worth_table(worth: Evaluation | list[Agreement]) -> str:
    """The figures in aligned columns."""
    if isinstance(worth, Evaluation):
        return plain_table(worth)
    header = (
        "class",
        "score",
        "items",
        "groups",
        "Spearman [95% interval]",
        "Pearson",
        "minus first",
    )
    rows = [
        (
            each.name,
            each.score,
            f"{each.n_items:,}",
            f"{each.n_groups:,}",
            estimate_text(each.spearman),
            estimate_text(each.pearson),
            estimate_text(each.difference, signed=True),
        )
        for each in worth
    ]
    return aligned(header, rows)


def report_page(
    tuning: Tuning,
    model: Model,
    question: LabelQuestion,
    settings: TuningSettings,
    head: TunedHead,
) -> str:
    """The report, Markdown."""
    items, held_out, clusters = tuning.items, tuning.held_out, tuning.clusters
    kind = "regions" if tuning.are_regions else "variants"
    choices = []
    for k, choice in enumerate(held_out.choices, start=1):
        rows = held_out.fold == k
        groups = [clusters.names[c] for c in np.unique(clusters.of[rows]).tolist()]
        shown = ", ".join(groups[:8]) + (f" and {len(groups) - 8} more" if len(groups) > 8 else "")
        choices.append((str(k), f"{int(rows.sum()):,}", *_choice(choice), shown))
    final = ("all fitted", f"{tuning.n_fitted:,}", *_choice(tuning.final.choice), "")
    near = (
        f"{tuning.n_near:,} of {len(items):,} {kind} lie within {model.receptive_field} bases of "
        "one in another fold, so that their windows overlap: what is held out is not wholly new to "
        "the fit."
        if tuning.n_near
        else f"No two {kind} of different folds lie within {model.receptive_field} bases."
    )
    choice_of = f"`{TUNED}` is what the inner folds of that fit chose"
    if settings.fit.rank:
        choice_of += f", `{HEAD_ALONE}` its best head without adapters"
    adapters = f"adapters of rank {head.rank}" if head.rank else "no adapters"
    return f"""# A head on {model.name} revision {model.revision}

{head.description}.

- model: {model.name}, revision {model.revision}, sha256 {model.sha256}
- labels: column {question.label_column} of {question.path}
- {len(items):,} {kind} in {len(clusters):,} groups
- {adapters}; the final fit is to {tuning.n_fitted:,} {kind}
- {near}

## Worth

Scores are those of fits that saw nothing of the group: {choice_of}.
The others are the model's own, which saw no label at all. Intervals are of resampled groups.

```
{worth_table(tuning.worth)}```

## Choices

Inner folds, by group too, chose the penalty of the embeddings (none: the head reads the model's own
scores alone) and the epochs of adapters (0: a head without).

```
{aligned(("fold", kind, "penalty", "epochs", "held out"), [*choices, final])}```
"""


def _choice(choice: Choice) -> tuple[str, str]:
    penalty = "none" if math.isinf(choice.penalty) else f"{choice.penalty:g}"
    return penalty, str(choice.epochs)
