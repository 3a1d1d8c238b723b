"""An evaluation as a table, TSV, JSON and pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from phylotools.evaluate.comparison import OVERALL, Evaluation
from phylotools.evaluate.metrics import Comparison, Estimate, ScoreMetrics
from phylotools.evaluate.selection import ScoreColumn
from phylotools.io.delimited import tsv_lines
from phylotools.io.documents import json_ready
from phylotools.provenance import RunRecord

#: Files of a report.
REPORT = ("metrics.tsv", "metrics.json", "curves.png", "curves.svg")
_TABLE_COLUMNS = (
    "class",
    "score",
    "positive at",
    "positives",
    "negatives",
    "AUROC [95% interval]",
    "AUPRC [95% interval]",
    "prevalence",
    "AUROC minus first",
)


def table_rows(evaluation: Evaluation) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of the table for people, one row per class and score."""
    rows: list[tuple[str, ...]] = [
        (
            (OVERALL if name is None else name) if score is evaluation.scores[0] else "",
            score.name,
            _positive_side(score),
            f"{comparison.n_positive:,}",
            f"{comparison.n_negative:,}",
            _estimate_text(metrics.auroc),
            _estimate_text(metrics.auprc),
            _number_text(comparison.prevalence),
            _estimate_text(metrics.auroc_difference, signed=True),
        )
        for name, comparison, score, metrics in _by_class_and_score(evaluation)
    ]
    return _TABLE_COLUMNS, rows


def plain_table(evaluation: Evaluation) -> str:
    """The table in aligned columns, two blanks apart."""
    header, rows = table_rows(evaluation)
    # A class name is a file's text: a line break in it would break the table.
    cells = [["".join(c if c.isprintable() else "?" for c in cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *cells)
    ]
    return "\n".join(lines) + "\n"


def metrics_tsv(evaluation: Evaluation) -> str:
    """All numbers, one line per class and score; ``NA`` where there is none."""
    records = _records(evaluation)
    return "".join(tsv_lines(records[0], (record.values() for record in records)))


def metrics_json(evaluation: Evaluation, record: RunRecord) -> dict[str, Any]:
    """All metrics, counts and settings, JSON-ready (null where there is no number)."""
    return {
        "format": "phylotools evaluation 1",
        "scores": [
            {
                "name": score.name,
                "positive_at": _positive_side(score),
                "labelled_variants_without_it": evaluation.lacking[score.name],
            }
            for score in evaluation.scores
        ],
        "counts": evaluation.counts,
        "bootstrap": {
            "replicates": evaluation.replicates,
            "seed": evaluation.seed,
            "interval": 0.95,
            "resampled": "sites, within strata of their labels",
        },
        "metrics": json_ready(_records(evaluation)),
        "run": record.to_dict(),
    }


def write_report(folder: Path, evaluation: Evaluation, record: RunRecord) -> list[str]:
    """Write ``metrics.tsv``, ``metrics.json``, ``curves.png`` and ``curves.svg`` into a folder.

    Returns
    -------
    list of str
        Names of the files.
    """
    from phylotools.evaluate.plots import draw_curves

    table, everything, *pictures = (folder / name for name in REPORT)
    table.write_text(metrics_tsv(evaluation), encoding="utf-8")
    text = json.dumps(metrics_json(evaluation, record), indent=2, allow_nan=False)
    everything.write_text(text + "\n", encoding="utf-8")
    draw_curves(evaluation, pictures)
    return list(REPORT)


def _by_class_and_score(
    evaluation: Evaluation,
) -> Iterator[tuple[str | None, Comparison, ScoreColumn, ScoreMetrics]]:
    """Every score overall (None), then in each class."""
    for name, comparison in [(None, evaluation.overall), *evaluation.by_class.items()]:
        for score, metrics in zip(evaluation.scores, comparison.metrics, strict=True):
            yield name, comparison, score, metrics


def _positive_side(score: ScoreColumn) -> str:
    return "low" if score.low_is_positive else "high"


def _records(evaluation: Evaluation) -> list[dict[str, Any]]:
    return [
        {
            # A class of the file may itself be called "all".
            "level": "overall" if name is None else "class",
            "class": OVERALL if name is None else name,
            "score": score.name,
            "positive_at": _positive_side(score),
            "n_positive": comparison.n_positive,
            "n_negative": comparison.n_negative,
            "n_positive_sites": comparison.n_positive_sites,
            "n_negative_sites": comparison.n_negative_sites,
            "prevalence": comparison.prevalence,
            **_named("auroc", metrics.auroc),
            **_named("auprc", metrics.auprc),
            **_named("auroc_difference", metrics.auroc_difference),
            **_named("auprc_difference", metrics.auprc_difference),
        }
        for name, comparison, score, metrics in _by_class_and_score(evaluation)
    ]


def _named(name: str, estimate: Estimate | None) -> dict[str, float]:
    estimate = estimate or Estimate(math.nan)
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _number_text(value: float, signed: bool = False) -> str:
    if math.isnan(value):
        return "n/a"
    return f"{value:+.3f}" if signed else f"{value:.3f}"


def _estimate_text(estimate: Estimate | None, signed: bool = False) -> str:
    if estimate is None:
        return ""
    text = _number_text(estimate.value, signed)
    if math.isnan(estimate.low):
        return text
    return f"{text} [{_number_text(estimate.low, signed)}, {_number_text(estimate.high, signed)}]"
