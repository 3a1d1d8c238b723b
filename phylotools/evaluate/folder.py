"""The folder of an evaluation: tables, pictures, and the page that holds all of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from phylotools.evaluate.labelled import LabelKind
from phylotools.evaluate.outcome import Outcome
from phylotools.evaluate.page import evaluation_page
from phylotools.evaluate.report import metrics_json, metrics_tsv
from phylotools.io.delimited import tsv_lines
from phylotools.provenance import RunRecord

_PICTURES = ("curves", "scatter", "ordered", "forest", "calibration", "frequency_bins")
_TABLES = (
    "metrics",
    "left_out",
    "thresholds",
    "evidence",
    "calibration",
    "frequency_bins",
    "signs",
    "leakage",
    "matched",
    "calibrated_scores",
)
#: Every file that such a folder may hold.
FILES = (
    "report.html",
    "metrics.json",
    "published.tsv",
    *(f"{name}.tsv" for name in _TABLES),
    *(f"{name}.{kind}" for name in _PICTURES for kind in ("png", "svg")),
)


def write_folder(folder: Path, outcome: Outcome, record: RunRecord) -> list[str]:
    """Write everything into a folder that is there.

    Returns
    -------
    list of str
        Names of the files.
    """
    (folder / "metrics.tsv").write_text(metrics_tsv(outcome.evaluation), encoding="utf-8")
    text = json.dumps(outcome_json(outcome, record), indent=2, allow_nan=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    for table in outcome.tables:
        lines = tsv_lines(table.header, table.rows)
        (folder / table.file).write_text("".join(lines), encoding="utf-8", errors="replace")
    pictures = _draw(folder, outcome)
    page = evaluation_page(outcome, record, pictures)
    (folder / "report.html").write_text(page, encoding="utf-8", errors="replace")
    return sorted(path.name for path in folder.iterdir())


def outcome_json(outcome: Outcome, record: RunRecord) -> dict[str, Any]:
    """All metrics, counts, settings and sentences, JSON-ready."""
    return {
        **metrics_json(outcome.evaluation, record),
        "verdict": list(outcome.verdict),
        "findings": [
            {"kind": each.kind, "is_warning": each.is_warning, "text": each.text}
            for each in outcome.findings
        ],
    }


def _draw(folder: Path, outcome: Outcome) -> dict[str, Path]:
    """Draw what there is to see; the SVG of each picture by its title."""
    from phylotools.evaluate.forest_plot import draw_forest
    from phylotools.evaluate.frequency_tables import draw_frequency
    from phylotools.evaluate.label_plots import draw_ordered, draw_scatter
    from phylotools.evaluate.plots import draw_curves
    from phylotools.evaluate.threshold_tables import draw_calibration

    evaluation, drawn = outcome.evaluation, {}

    def files(name: str, title: str) -> list[Path]:
        drawn[title] = folder / f"{name}.svg"
        return [folder / f"{name}.png", folder / f"{name}.svg"]

    match evaluation.data.kind:
        case LabelKind.CLASSES:
            draw_curves(evaluation, files("curves", "ROC, precision and recall"))
        case LabelKind.NUMBERS:
            draw_scatter(evaluation, outcome.label, files("scatter", "Scores and labels"))
        case LabelKind.ORDERED:
            draw_ordered(evaluation, outcome.label, files("ordered", "Scores of each class"))
    draw_forest(evaluation, files("forest", "All, within strata, and in each stratum"))
    if outcome.frequency is not None:
        title = "Along allele frequency"
        draw_frequency(evaluation, outcome.frequency, files("frequency_bins", title))
    if outcome.thresholds:
        title = "Likelihood ratios along each score, and scores as probabilities"
        draw_calibration(evaluation, outcome.thresholds, files("calibration", title))
    return drawn
