"""An evaluation as a table, TSV and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from phylotools.evaluate.comparison import Evaluation, Judged
from phylotools.evaluate.labelled import LabelKind
from phylotools.evaluate.resampling import Estimate, Figures
from phylotools.evaluate.selection import ScoreColumn
from phylotools.io.delimited import tsv_lines
from phylotools.io.documents import json_ready
from phylotools.provenance import RunRecord

#: Files of a report.
REPORT = (
    "metrics.tsv",
    "metrics.json",
    "curves.png",
    "curves.svg",
    "forest.png",
    "forest.svg",
)
#: Measures that the table for people has at most.
_MOST_MEASURES = 3


def table_rows(evaluation: Evaluation) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of the table for people, one row per stratum and score."""
    are_classes = evaluation.data.kind == LabelKind.CLASSES
    counts = ("positives", "negatives") if are_classes else (evaluation.data.what,)
    # Those of single splits of ordered classes are in metrics.tsv.
    shown = evaluation.measures[:_MOST_MEASURES]
    headline, *others = shown
    header = (
        "class",
        "score",
        "positive at" if are_classes else "damaging at",
        *counts,
        *(f"{each.title} [95% interval]" for each in shown),
        *(("prevalence",) if are_classes else ()),
        f"{headline.title} minus first",
    )
    rows = []
    for row in _rows(evaluation):
        judged, estimates = row.judged, row.figures.estimates
        sizes = (judged.n_positive, judged.n_negative) if are_classes else (judged.n,)
        is_within = are_classes and judged.level == "within"
        rows.append(
            (
                judged.name if row.is_first else "",
                row.score,
                row.side or "",
                *(f"{size:,}" for size in sizes),
                estimate_text(estimates[headline.key]),
                *(_text_of(estimates.get(other.key), is_within) for other in others),
                *((_number_text(judged.prevalence),) if are_classes else ()),
                estimate_text(row.figures.differences.get(headline.key), signed=True),
            )
        )
    return header, rows


def _text_of(found: Estimate | None, is_within: bool) -> str:
    """An estimate; nothing for what is not measured within strata."""
    is_blank = is_within and (found is None or math.isnan(found.value))
    return "" if is_blank else estimate_text(found)


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
        "labels": {
            "kind": str(evaluation.data.kind),
            "order": list(evaluation.data.order),
            "damaging_at": "low" if evaluation.data.label_low else "high",
        },
        "scores": [
            {
                "name": score.name,
                "positive_at": _positive_side(score),
                "labelled_variants_without_it": evaluation.data.lacking.get(score.name, 0),
            }
            for score in evaluation.scores
        ],
        "counts": evaluation.data.counts,
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
    """Write the figures and their pictures into a folder: the files of `REPORT`.

    Returns
    -------
    list of str
        Names of the files.
    """
    from phylotools.evaluate.forest_plot import draw_forest
    from phylotools.evaluate.plots import draw_curves

    table, everything, *pictures = (folder / name for name in REPORT)
    table.write_text(metrics_tsv(evaluation), encoding="utf-8")
    text = json.dumps(metrics_json(evaluation, record), indent=2, allow_nan=False)
    everything.write_text(text + "\n", encoding="utf-8")
    draw_curves(evaluation, pictures[:2])
    draw_forest(evaluation, pictures[2:])
    return list(REPORT)


class _Row(NamedTuple):
    """A score, or a ranking that knows none, on some rows.

    Attributes
    ----------
    judged : Judged
    is_first : bool
        Of its rows.
    score : str
    side : str or None
        Which of its values point to the positives; None of what is no score.
    figures : Figures
    """

    judged: Judged
    is_first: bool
    score: str
    side: str | None
    figures: Figures


def _rows(evaluation: Evaluation) -> Iterator[_Row]:
    """Every score overall, among rows of one stratum, then in each stratum and type."""
    for judged in evaluation.rows:
        for index, (score, figures) in enumerate(
            zip(evaluation.scores, judged.figures, strict=True)
        ):
            yield _Row(judged, not index, score.name, _positive_side(score), figures)
        for baseline, figures in judged.baselines.items():
            yield _Row(judged, False, f"({baseline})", None, figures)


def _positive_side(score: ScoreColumn) -> str:
    return "absolute" if score.absolute else "low" if score.low_is_positive else "high"


def _records(evaluation: Evaluation) -> list[dict[str, Any]]:
    keys = [each.key for each in evaluation.measures]
    are_classes = evaluation.data.kind == LabelKind.CLASSES
    records = []
    for row in _rows(evaluation):
        judged, figures = row.judged, row.figures
        record: dict[str, Any] = {
            # A class of the file may itself be called "all": the level tells them apart.
            "level": judged.level,
            "class": judged.name,
            "score": row.score,
            "positive_at": row.side or "",
            **judged.sizes,
        }
        if are_classes:
            record["prevalence"] = judged.prevalence
        for key in keys:
            record |= estimate_columns(key, figures.estimates.get(key))
        for key in keys:
            record |= estimate_columns(f"{key}_difference", figures.differences.get(key))
        records.append(record | {"factor": judged.factor})
    return records


def estimate_columns(name: str, estimate: Estimate | None) -> dict[str, float]:
    """An estimate and the ends of its interval, by the names of columns."""
    estimate = estimate or Estimate(math.nan)
    return dict(zip(estimate_names(name), estimate_values(estimate), strict=True))


def estimate_names(name: str) -> tuple[str, str, str]:
    """Columns of an estimate and the ends of its interval."""
    return name, f"{name}_low", f"{name}_high"


def estimate_values(estimate: Estimate) -> tuple[float, float, float]:
    """An estimate and the ends of its interval, in the order of `estimate_names`."""
    return estimate.value, estimate.low, estimate.high


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
