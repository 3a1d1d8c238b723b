"""The folder of a tuned model: the model, its head, what is said of the labels, and a report."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phylotools.evaluate.comparison import Evaluation
from phylotools.evaluate.report import REPORT, write_report
from phylotools.finetuning.agreement import agreement_records
from phylotools.finetuning.items import LabelQuestion
from phylotools.finetuning.judging import HEAD_ALONE, TUNED, class_names
from phylotools.finetuning.report import headline, report_page
from phylotools.finetuning.run import Tuning, TuningSettings
from phylotools.io.delimited import tsv_lines
from phylotools.io.documents import json_ready
from phylotools.io.files import atomic_folder
from phylotools.model.folder import model_files, write_changed
from phylotools.model.tuned_head import (
    CLASSES,
    NUMBERS,
    REGIONS,
    VARIANTS,
    TunedHead,
    header_text,
)
from phylotools.provenance import RunRecord

if TYPE_CHECKING:
    from phylotools.model.folder import Model

PREDICTIONS, REPORT_PAGE = "predictions.tsv", "report.md"


def tuned_files() -> tuple[str, ...]:
    """Names of all files that the folder of a tuned model may hold."""
    return (*model_files(), *REPORT, PREDICTIONS, REPORT_PAGE)


def write_tuned(
    tuning: Tuning,
    model: Model,
    question: LabelQuestion,
    settings: TuningSettings,
    record: RunRecord,
    path: str,
    *,
    force: bool,
) -> None:
    """Write the folder, whole or not at all."""
    head = tuned_head(tuning, model, question, settings, record)
    with atomic_folder(path, force=force, contents=tuned_files()) as folder:
        base = {**model.identity.to_dict(), "labels": record.inputs}
        write_changed(folder, model, head.files(), {"tuned": base})
        with (folder / PREDICTIONS).open("w", encoding="utf-8", errors="replace") as handle:
            handle.writelines(predictions_tsv(tuning))
        write_worth(folder, tuning, record)
        page = report_page(tuning, model, question, settings, head)
        (folder / REPORT_PAGE).write_text(page, encoding="utf-8", errors="replace")


def tuned_head(
    tuning: Tuning,
    model: Model,
    question: LabelQuestion,
    settings: TuningSettings,
    record: RunRecord,
) -> TunedHead:
    """What of it goes into a model folder."""
    of = REGIONS if tuning.are_regions else VARIANTS
    facts = {
        "model": model.name,
        "revision": model.revision,
        "label_column": question.label_column,
        "positive": sorted(question.positive),
        "negative": sorted(question.negative),
        "groups": question.groups or str(question.group_by),
        "label_files": {name: sha or "" for name, sha in record.inputs.items()},
        "reference": Path(tuning.reference).name,
        "fitted_to": tuning.n_fitted,
        "seed": settings.fit.seed,
        "penalty": _penalty(tuning.final.choice.penalty),
        "epochs": tuning.final.choice.epochs,
        "folds": len(tuning.held_out.choices),
        **{f"held_out_{name}": value for name, value in headline(tuning).items()},
    }
    return TunedHead(
        head=tuning.final.head,
        of=of,
        labels=CLASSES if question.has_classes else NUMBERS,
        base_sha256=model.sha256,
        in_transcripts=tuning.in_transcripts,
        description=_description(tuning, question),
        rank=settings.fit.rank if tuning.final.adapters else 0,
        adapters=tuning.final.adapters,
        facts=facts,
    )


def _description(tuning: Tuning, question: LabelQuestion) -> str:
    """A line for headers: what the score is, of which labels, and what it is worth."""
    if question.has_classes:
        sides = [",".join(sorted(each)) for each in (question.positive, question.negative)]
        what = f"Log odds of {question.label_column} {sides[0]} against {sides[1]}"
        what += " at equal numbers of both"
    else:
        what = f"Prediction of {question.label_column}"
    kind = "regions" if tuning.are_regions else "variants"
    worth = "; ".join(
        f"{name} {value:.3f}" for name, value in headline(tuning).items() if value == value
    )
    by = Path(question.groups).name if question.groups else question.group_by
    return header_text(
        f"{what}, fitted to {tuning.n_fitted:,} {kind} of {Path(question.path).name}; on held-out "
        f"groups by {by}: {worth}"
    )


def predictions_tsv(tuning: Tuning) -> Iterator[str]:
    """Every item with the score of the fit that did not see its group."""
    items, held_out = tuning.items, tuning.held_out
    places = ["contig", "pos", "ref", "alt"] if items.refs is not None else []
    places = places or ["contig", "start", "end"]
    with_head = {HEAD_ALONE: held_out.plain} if _has_adapters(tuning) else {}
    scores = {**tuning.zero_shot, **with_head, TUNED: held_out.tuned}
    names = class_names(items)
    rows = (
        [
            *_place(tuning, row),
            float(items.labels[row]),
            tuning.clusters.names[tuning.clusters.of[row]],
            names[row],
            int(held_out.fold[row]) or None,
            *(float(values[row]) for values in scores.values()),
        ]
        for row in range(len(items))
    )
    yield from tsv_lines([*places, "label", "group", "class", "fold", *scores], rows)


def _place(tuning: Tuning, row: int) -> list[Any]:
    items = tuning.items
    contig, start = items.contigs[items.contig[row]], int(items.start[row])
    if items.refs is None or items.alts is None:
        return [contig, start, int(items.end[row])]
    return [contig, start + 1, chr(items.refs[row]), chr(items.alts[row])]


def _has_adapters(tuning: Tuning) -> bool:
    return any(choice.epochs for choice in tuning.held_out.choices)


def write_worth(folder: Path, tuning: Tuning, record: RunRecord) -> None:
    """Write ``metrics.tsv``, ``metrics.json`` and, of classes, the curves."""
    if isinstance(tuning.worth, Evaluation):
        write_report(folder, tuning.worth, record)
        return
    records = agreement_records(tuning.worth)
    rows = (each.values() for each in records)
    (folder / REPORT[0]).write_text("".join(tsv_lines(records[0], rows)), encoding="utf-8")
    document = {
        "format": "phylotools agreement 1",
        "metrics": json_ready(records),
        "run": record.to_dict(),
    }
    text = json.dumps(document, indent=2, allow_nan=False)
    (folder / REPORT[1]).write_text(text + "\n", encoding="utf-8")


def _penalty(penalty: float) -> float | str:
    """As TOML may have it for any reader."""
    return "scores alone" if math.isinf(penalty) else penalty
