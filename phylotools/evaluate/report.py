"""An evaluation as a table, TSV, JSON and pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
            row.name if row.is_first else "",
            row.score,
            row.side or "",
            f"{row.comparison.n_positive:,}",
            f"{row.comparison.n_negative:,}",
            estimate_text(row.metrics.auroc),
            "" if row.level == "within" else estimate_text(row.metrics.auprc),
            _number_text(row.comparison.prevalence),
            estimate_text(row.metrics.auroc_difference, signed=True),
        )
        for row in _rows(evaluation)
    ]
    return _TABLE_COLUMNS, rows


def plain_table(evaluation: Evaluation) -> str:
    """The table in aligned columns, two blanks apart."""
    header, rows = table_rows(evaluation)
    return aligned(header, rows)


def aligned(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells in columns, two blanks apart."""
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
            "resampled": evaluation.resampled,
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


class _Row(NamedTuple):
    """A score, or a ranking that knows none, on some variants.

    Attributes
    ----------
    level : str
        ``overall``, ``within`` (pairs of the same kind), ``class`` or ``type``.
    name : str
        Of the class or type.
    is_first : bool
        Of its level and name.
    score : str
    side : str or None
        Which of its values point to the positives; None of what is no score.
    """

    level: str
    name: str
    is_first: bool
    score: str
    side: str | None
    comparison: Comparison
    metrics: ScoreMetrics


def _rows(evaluation: Evaluation) -> Iterator[_Row]:
    """Every score overall, among variants of one kind, then in each class and type."""
    levels = [
        ("overall", {OVERALL: evaluation.overall}),
        ("within", {f"within {kind}": found for kind, found in evaluation.within.items()}),
        # A class of the file may itself be called "all".
        ("class", evaluation.by_class),
        ("type", evaluation.by_type),
    ]
    for level, comparisons in levels:
        for name, found in comparisons.items():
            for index, metrics in enumerate(found.metrics):
                score = evaluation.scores[index]
                side = _positive_side(score)
                yield _Row(level, name, not index, score.name, side, found, metrics)
            for baseline, metrics in found.baselines.items():
                yield _Row(level, name, False, f"({baseline})", None, found, metrics)


def _positive_side(score: ScoreColumn) -> str:
    return "low" if score.low_is_positive else "high"


def _records(evaluation: Evaluation) -> list[dict[str, Any]]:
    return [
        {
            "level": row.level,
            "class": row.name,
            "score": row.score,
            "positive_at": row.side or "",
            "n_positive": row.comparison.n_positive,
            "n_negative": row.comparison.n_negative,
            "n_positive_sites": row.comparison.n_positive_sites,
            "n_negative_sites": row.comparison.n_negative_sites,
            "prevalence": row.comparison.prevalence,
            **estimate_columns("auroc", row.metrics.auroc),
            **estimate_columns("auprc", row.metrics.auprc),
            **estimate_columns("auroc_difference", row.metrics.auroc_difference),
            **estimate_columns("auprc_difference", row.metrics.auprc_difference),
        }
        for row in _rows(evaluation)
    ]


def estimate_columns(name: str, estimate: Estimate | None) -> dict[str, float]:
    """An estimate and the ends of its interval, by the names of columns."""
    estimate = estimate or Estimate(math.nan)
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _number_text(value: float, signed: bool = False) -> str:
    if math.isnan(value):
        return "n/a"
    return f"{value:+.3f}" if signed else f"{value:.3f}"


def estimate_text(estimate: Estimate | None, signed: bool = False) -> str:
    """An estimate with its interval, as tables for people have it; empty for none."""
    if estimate is None:
        return ""
    text = _number_text(estimate.value, signed)
    if math.isnan(estimate.low):
        return text
    return f"{text} [{_number_text(estimate.low, signed)}, {_number_text(estimate.high, signed)}]"
