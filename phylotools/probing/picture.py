"""The picture of a judgement: each input's figure with its interval, and classes or labels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from phylotools.drawing import COLOURS, GREY, GUIDE, figure_with_footer, fitting_name
from phylotools.evaluate.resampling import Estimate
from phylotools.probing.question import ProbeQuestion
from phylotools.probing.run import Judgement
from phylotools.probing.tasks import METRIC_NAMES

_ROW, _MARGIN = 0.3, 1.15
_MOST_PARTS = 24


def draw_judgement(found: Judgement, question: ProbeQuestion, model: str) -> Any:
    """Draw what each input reaches, and beside it the classes or labels one by one."""
    parts = _shown_parts(found)
    n_rows = max(len(found.verdicts), len(parts))
    groups = found.groups
    notes = f"{question.task.name}, {model}   ·   {len(found.cells):,} held-out cells"
    if groups.have_intervals:
        notes += f"   ·   95 % intervals of resampled {groups.what} ({groups.n:,})"
    figure = figure_with_footer(7.6, _MARGIN + _ROW * n_rows, [notes])
    left, right = figure.subplots(1, 2)
    metric = METRIC_NAMES[question.task.metric]
    _rows(
        left,
        [(v.name, v.value, COLOURS[0] if k == 0 else GREY) for k, v in enumerate(found.verdicts)],
    )
    left.set(xlabel=metric, title="All")
    is_classes = question.task.kind == "classes"
    own = found.verdicts[0]
    _rows(right, [(name, own.parts[name], COLOURS[0]) for name in parts])
    others = [v for v in found.verdicts[1:] if v.name in found.heads]
    for k, name in enumerate(parts):
        values = [v.parts[name].value for v in others]
        right.plot(
            values, np.full(len(values), k), "|", color=GREY, markersize=7, zorder=2,
        )  # fmt: skip
    right.set(xlabel="F1" if is_classes else metric)
    title = "Classes" if is_classes else "Labels"
    if len(parts) < len(found.prepared.samples.names):
        title += f" ({len(parts)} of {len(found.prepared.samples.names)})"
    right.set_title(title + ": embedding, and others (|)")
    if question.task.metric == "auroc":
        for axes in (left, right):
            axes.axvline(0.5, **GUIDE)
    return figure


def _shown_parts(found: Judgement) -> list[str]:
    """All classes, or evenly chosen labels from the best to the worst."""
    names = list(found.prepared.samples.names)
    if len(names) <= _MOST_PARTS:
        return names
    own = found.verdicts[0].parts
    ranked = sorted(names, key=lambda name: -np.nan_to_num(own[name].value, nan=-1.0))
    places = np.linspace(0, len(ranked) - 1, _MOST_PARTS).round().astype(int)
    return [ranked[k] for k in places.tolist()]


def _rows(axes: Any, rows: list[tuple[str, Estimate, str]]) -> None:
    for k, (_, estimate, colour) in enumerate(rows):
        if not math.isnan(estimate.low):
            axes.plot([estimate.low, estimate.high], [k, k], color=colour, linewidth=1.6, zorder=3)
        axes.plot([estimate.value], [k], "o", color=colour, markersize=5, zorder=4)
    axes.set_yticks(range(len(rows)), [fitting_name(name, 22) for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x", color="#e3e5e8", linewidth=0.6)
    axes.set_axisbelow(True)
