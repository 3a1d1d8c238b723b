"""The folder of a judgement: figures, predictions, a report and a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phylotools.drawing import picture_style, save_figure
from phylotools.evaluate.report import estimate_columns
from phylotools.io.delimited import tsv_lines
from phylotools.io.documents import json_ready
from phylotools.io.files import atomic_folder
from phylotools.probing.picture import draw_judgement
from phylotools.probing.question import ProbeQuestion, ProbeSettings
from phylotools.probing.report import parts_of, report_page
from phylotools.probing.run import EMBEDDING, Judgement
from phylotools.probing.samples import Samples
from phylotools.probing.tasks import BIN
from phylotools.provenance import RunRecord

if TYPE_CHECKING:
    from phylotools.model.folder import Model

METRICS, DOCUMENT, PREDICTIONS = "metrics.tsv", "metrics.json", "predictions.tsv"
PAGE, PICTURE = "report.md", "judged"
#: All files of the folder.
FILES = (METRICS, DOCUMENT, PREDICTIONS, PAGE, f"{PICTURE}.png", f"{PICTURE}.svg")


def write_judgement(
    found: Judgement,
    model: Model,
    question: ProbeQuestion,
    settings: ProbeSettings,
    record: RunRecord,
    path: str,
    *,
    force: bool,
) -> None:
    """Write the folder, whole or not at all."""
    records = metric_records(found, question)
    with atomic_folder(path, force=force, contents=FILES) as folder:
        _write(folder / METRICS, "".join(tsv_lines(records[0], (r.values() for r in records))))
        document = {
            "format": "phylotools embeddings judged 1",
            **facts(found, model, question, settings),
            "metrics": json_ready(records),
            "heads": {name: _head_facts(each) for name, each in found.heads.items()},
            "run": record.to_dict(),
        }
        _write(folder / DOCUMENT, json.dumps(document, indent=2, allow_nan=False) + "\n")
        with (folder / PREDICTIONS).open("w", encoding="utf-8", errors="replace") as handle:
            handle.writelines(prediction_lines(found))
        _write(folder / PAGE, report_page(found, model, question, settings))
        with picture_style():
            figure = draw_judgement(found, question, f"{model.name} {model.revision}")
            save_figure(figure, [folder / f"{PICTURE}.{kind}" for kind in ("png", "svg")])


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="replace")


def facts(
    found: Judgement, model: Model, question: ProbeQuestion, settings: ProbeSettings
) -> dict[str, Any]:
    """What was judged, of what, and how it was split."""
    return {
        "task": question.task.name,
        "metric": question.task.metric,
        "head": settings.head,
        "layer": settings.layer,
        "strand": settings.strand,
        "seed": settings.seed,
        **model.identity.facts(),
        "reference": Path(found.reference).name,
        "split_by": found.prepared.split_by,
        "parts": parts_of(found.prepared.samples),
        "samples_near_another_part": found.prepared.leaks.n_near,
        "held_out_sequences_learned_too": found.prepared.leaks.n_same,
        "cells_of_unknown_sequence": found.prepared.n_unknown,
        "judged": len(found.cells),
        "resampled": f"{found.groups.n} {found.groups.what}",
    }


def _head_facts(record: Any) -> dict[str, Any]:
    return {
        "head": record.head,
        "width": record.width,
        "best_epoch": record.best_epoch,
        "losses": json_ready([list(pair) for pair in record.losses]),
        "penalties": json_ready(record.penalties),
    }


def metric_records(found: Judgement, question: ProbeQuestion) -> list[dict[str, Any]]:
    """One dictionary a row of the table: of all, then of each class or label."""
    metric = question.task.metric
    of_part = "f1" if question.task.kind == "classes" else metric
    samples = found.prepared.samples
    counts = _counts(found)
    records = []
    for verdict in found.verdicts:
        record = found.heads.get(verdict.name)
        common = {"input": verdict.name, "head": record.head if record else "none"}
        records.append(
            {
                "level": "overall",
                "name": "all",
                **common,
                "n": len(found.cells),
                "metric": metric,
                **estimate_columns("value", verdict.value),
                **estimate_columns("embedding_minus_this", verdict.difference),
                "recall": None,
                "precision": None,
            }
        )
        for number, name in enumerate(samples.names):
            records.append(
                {
                    "level": "class" if question.task.kind == "classes" else "label",
                    "name": name,
                    **common,
                    "n": counts[number],
                    "metric": of_part,
                    **estimate_columns("value", verdict.parts[name]),
                    **estimate_columns("embedding_minus_this", None),
                    "recall": verdict.recall.get(name),
                    "precision": verdict.precision.get(name),
                }
            )
    return records


def _counts(found: Judgement) -> list[int]:
    """Judged cells of each class, or with each label."""
    samples = found.prepared.samples
    labels = samples.labels[found.cells]
    if labels.ndim == 1:
        return np.bincount(labels, minlength=len(samples.names)).tolist()
    return (labels == 1).sum(axis=0).tolist()


def prediction_lines(found: Judgement) -> Iterator[str]:
    """What heads say of the judged cells.

    Of classes, runs of neighbouring bases of which all say the same are one row.
    """
    samples = found.prepared.samples
    named = {name: each for name, each in found.predictions.items() if name in found.heads}
    places = _places(samples, found.cells)
    labels = samples.labels[found.cells]
    if labels.ndim == 1:
        columns = [labels, *(each.said for each in named.values() if each.said is not None)]
        table = np.stack(columns, axis=1)
        names = np.array(samples.names, dtype=object)
        rows = ([*place, *names[table[row]]] for place, row in _runs(samples, places, table))
        yield from tsv_lines(["contig", "start", "end", "label", *named], rows)
        return
    scores = found.predictions[EMBEDDING].scores
    assert scores is not None
    header = [f"{kind}_{name}" for kind in ("label", "score") for name in samples.names]
    rows = (
        [
            samples.regions.targets[contig], start, end,
            *(None if value < 0 else value for value in labels[row].tolist()),
            *scores[row].tolist(),
        ]
        for row, (contig, start, end) in enumerate(places.tolist())
    )  # fmt: skip
    yield from tsv_lines(["contig", "start", "end", *header], rows)


def _places(samples: Samples, cells: np.ndarray) -> np.ndarray:
    """Contig, start and end of cells, int64 [C, 3]; as samples lie on the forward strand."""
    owner = samples.sample_of[cells]
    size = {"base": 1, "bin": BIN, "region": 0}[samples.cell]
    table = samples.regions
    start = table.start[owner] + size * (cells - samples.first_cell[owner])
    end = np.minimum(start + size, table.end[owner]) if size else table.end[owner]
    return np.stack([table.contig[owner].astype(np.int64), start, end], axis=1)


def _runs(
    samples: Samples, places: np.ndarray, table: np.ndarray
) -> Iterator[tuple[tuple[str, int, int], int]]:
    """Neighbouring cells with equal rows as one: its place, and the row of its first cell."""
    if not len(places):
        return
    ends = np.ones(len(places), dtype=bool)
    is_next = (places[1:, 0] == places[:-1, 0]) & (places[1:, 1] == places[:-1, 2])
    ends[:-1] = ~is_next | (table[1:] != table[:-1]).any(axis=1)
    last = np.flatnonzero(ends)
    first = np.append(0, last[:-1] + 1)
    for a, b in zip(first.tolist(), last.tolist(), strict=True):
        contig = samples.regions.targets[int(places[a, 0])]
        yield (contig, int(places[a, 1]), int(places[b, 2])), a
