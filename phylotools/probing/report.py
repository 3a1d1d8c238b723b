"""The report of a judgement, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from phylotools.errors import counted
from phylotools.evaluate.report import aligned, estimate_text
from phylotools.probing.question import (
    GC,
    KMERS,
    ONE_HOT,
    UNTRAINED,
    WINDOW,
    ProbeQuestion,
    ProbeSettings,
)
from phylotools.probing.run import EMBEDDING, MAJORITY, Judgement
from phylotools.probing.samples import SPLITS, Samples
from phylotools.probing.tasks import METRIC_NAMES

if TYPE_CHECKING:
    from phylotools.model.folder import Model

_MOST_NAMED = 12
_MEANINGS = {
    EMBEDDING: "the embedding",
    UNTRAINED: "the embedding of a network of this shape with random weights",
    ONE_HOT: "the bases themselves, the same head",
    WINDOW: "all bases that the network sees around a cell, a linear head",
    KMERS: "how often each short word occurs, a linear head",
    GC: "the fraction of G and C, a linear head",
    MAJORITY: "no sequence: the most frequent answer",
}


def parts_of(samples: Samples) -> dict[str, dict[str, Any]]:
    """Of train, valid and test: samples, labelled cells, contigs."""
    found = {}
    for number, name in enumerate(SPLITS):
        rows = samples.rows(number)
        found[name] = {
            "samples": len(rows),
            "cells": len(samples.known_cells(number)),
            "contigs": samples.contig_names(rows),
        }
    return found


def worth_table(found: Judgement, question: ProbeQuestion) -> str:
    """The figures in aligned columns."""
    metric = METRIC_NAMES[question.task.metric]
    header = ("input", "head", f"{metric} [95% interval]", "embedding minus this")
    rows = [
        (
            verdict.name,
            found.heads[verdict.name].head if verdict.name in found.heads else "none",
            estimate_text(verdict.value),
            estimate_text(verdict.difference, signed=True),
        )
        for verdict in found.verdicts
    ]
    return aligned(header, rows)


def part_table(found: Judgement, question: ProbeQuestion) -> str:
    """Figures of each class or label: of the embedding, and of the best of the others."""
    samples = found.prepared.samples
    own = found.verdicts[0]
    is_classes = question.task.kind == "classes"
    labels = samples.labels[found.cells]
    rows = []
    for number, name in enumerate(samples.names):
        others = {v.name: v.parts[name].value for v in found.verdicts[1:] if v.name in found.heads}
        best = max(others, key=lambda each: np.nan_to_num(others[each], nan=-1.0), default="")
        count = int((labels == number).sum() if is_classes else (labels[:, number] == 1).sum())
        rows.append(
            (
                name,
                f"{count:,}",
                estimate_text(own.parts[name]),
                *(
                    [f"{each[name]:.3f}" for each in (own.recall, own.precision)]
                    if is_classes
                    else []
                ),
                f"{others[best]:.3f} ({best})" if best else "",
            )
        )
    figure = "F1" if is_classes else METRIC_NAMES[question.task.metric]
    header = (
        "class" if is_classes else "label",
        question.task.cell + "s",
        f"{figure} of the embedding",
    )
    more = ("recall", "precision") if is_classes else ()
    return aligned((*header, *more, f"best {figure} of another"), rows)


def report_page(
    found: Judgement, model: Model, question: ProbeQuestion, settings: ProbeSettings
) -> str:
    """The report, Markdown."""
    prepared = found.prepared
    samples = prepared.samples
    rows = [
        (
            name,
            f"{part['samples']:,}",
            f"{part['cells']:,}",
            _listed(part["contigs"]),
        )
        for name, part in parts_of(samples).items()
    ]
    meanings = "\n".join(
        f"- `{verdict.name}`: {_MEANINGS[verdict.name]}" for verdict in found.verdicts
    )
    return f"""# {question.task.name}: embeddings of {model.name} revision {model.revision}

- model: {model.name}, revision {model.revision}, sha256 {model.sha256}; layer {settings.layer}, \
strand {settings.strand}; its weights are not changed
- labels: {question.path}
- split: {prepared.split_by}; never random positions
- {_leaks(found, model)}
- {counted(prepared.n_unknown, samples.cell)} of unknown sequence left out

```
{aligned(("part", "samples", f"labelled {samples.cell}s", "contigs"), rows)}```

## Worth

{_metric(question)} on {len(found.cells):,} {samples.cell}s of what is `test`. Intervals are of \
{_resampled(found)}.

```
{worth_table(found, question)}```

{meanings}

```
{part_table(found, question)}```

## Heads

Heads are trained on `train` and stopped, or their penalty chosen, by the loss on `valid`.

```
{_heads_table(found)}```
"""


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _leaks(found: Judgement, model: Model) -> str:
    leaks = found.prepared.leaks
    text = (
        f"no position is in two parts; {counted(leaks.n_near, 'sample')} within "
        f"{model.receptive_field} bases of one in another part"
    )
    if leaks.n_same:
        text += f"; {counted(leaks.n_same, 'held-out sample')} with a sequence that is learned too"
    return text


def _metric(question: ProbeQuestion) -> str:
    return {
        "mcc": "Matthews' correlation coefficient (MCC)",
        "auroc": "AUROC, the mean over the labels,",
        "auprc": "AUPRC",
    }[question.task.metric]


def _resampled(found: Judgement) -> str:
    groups = found.groups
    if not groups.have_intervals:
        return f"nothing: {groups.n} {groups.what} are too few to resample"
    text = f"resampled {groups.what} ({groups.n})"
    if groups.what == "samples":
        text += ", as there are too few contigs: neighbours are alike, so these are too narrow"
    return text


def _heads_table(found: Judgement) -> str:
    rows = []
    for name, record in found.heads.items():
        if record.losses:
            learned, held = record.losses[record.best_epoch - 1]
            how = f"epoch {record.best_epoch} of {len(record.losses)}"
            how += f": loss {learned:.4f}, held out {held:.4f}"
        else:
            penalties = sorted({f"{value:g}" for value in record.penalties})
            how = f"penalties {', '.join(penalties)}"
        rows.append((name, record.head, f"{record.width:,}", how))
    return aligned(("input", "head", "numbers a base", "chosen"), rows)
