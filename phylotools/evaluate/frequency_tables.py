"""Scores along allele frequency: a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from phylotools.drawing import (
    COLOURS,
    GUIDE,
    MARKERS,
    fitting_name,
    new_figure,
    picture_style,
    save_figure,
)
from phylotools.errors import InputError, shown
from phylotools.evaluate.comparison import Evaluation
from phylotools.evaluate.frequency_bins import (
    AUROC,
    C_INDEX,
    SPEARMAN,
    FrequencyTable,
    slide_over_frequency,
)
from phylotools.evaluate.labelled import LabelKind, LabelledScores
from phylotools.evaluate.outcome import Table
from phylotools.evaluate.report import estimate_names, estimate_values
from phylotools.evaluate.resampling import Estimate

FREQUENCY_BINS = "frequency_bins.tsv"
_AGREEMENTS = {
    LabelKind.CLASSES: AUROC,
    LabelKind.ORDERED: C_INDEX,
    LabelKind.NUMBERS: SPEARMAN,
}


def check_frequencies(data: LabelledScores, column: str | None) -> None:
    """Refuse allele frequencies that are none, as counts.

    Raises
    ------
    InputError
    """
    frequency = data.frequency
    if frequency is None or not (known := frequency[~np.isnan(frequency)]).size:
        return
    if known.min() < 0 or known.max() > 1:
        wrong = known.min() if known.min() < 0 else known.max()
        raise InputError(
            f"column {shown(column or '')} has {wrong:g}, which is no allele frequency: they lie "
            "between 0 and 1",
            remedy="name the column of frequencies, not of counts",
        )


def slide(evaluation: Evaluation, *, replicates: int, seed: int) -> FrequencyTable | None:
    """Windows along the allele frequency; None where there is none."""
    data = evaluation.data
    if data.frequency is None or np.isnan(data.frequency).all():
        return None
    labels, agreement = data.turned_labels, _AGREEMENTS[data.kind]
    is_label = np.array_equal(data.frequency, data.labels)
    return slide_over_frequency(
        evaluation.oriented,
        data.frequency,
        data.clusters,
        labels=None if is_label else labels,
        agreement=None if is_label else agreement,
        replicates=replicates,
        seed=seed,
    )


def frequency_table(evaluation: Evaluation, found: FrequencyTable) -> Table:
    """The table of `frequency_bins.tsv`, a row for each window and score."""
    header = [
        "lowest", "highest", "median", "n", "n_clusters", "score", *estimate_names("mean_score"),
        *estimate_names("above_commonest"),
    ]  # fmt: skip
    if found.agreement is not None:
        header += estimate_names(f"{found.agreement}_with_label")
        header += estimate_names("mean_label")
    rows: list[tuple[Any, ...]] = []
    for window in found.windows:
        place = window.lowest, window.highest, window.median, window.n, window.n_clusters
        for k, score in enumerate(evaluation.scores):
            estimates = [window.scores[k], window.against_commonest[k]]
            if window.label is not None:
                estimates += [window.agreement[k], window.label]
            values = (value for each in estimates for value in estimate_values(each))
            rows.append((*place, score.name, *values))
    note = (
        "Windows of equal numbers overlap by half. Scores are turned so that high is damaging; "
        "above_commonest: the chance that a variant of the window has a higher one than a variant "
        f"of the commonest window. {found.n_without:,} {evaluation.data.what} have no frequency."
    )
    return Table(FREQUENCY_BINS, "Along allele frequency", tuple(header), tuple(rows), note)


def draw_frequency(evaluation: Evaluation, found: FrequencyTable, paths: Sequence[Path]) -> None:
    """Draw against the frequency how scores differ from common variants, and agree with labels."""
    has_labels = found.agreement is not None
    with picture_style():
        figure = new_figure(7.6 if has_labels else 4.2, 3.7 + 0.17 * len(evaluation.scores))
        panels = figure.subplots(1, 2 if has_labels else 1, squeeze=False)[0]
        median = np.array([window.median for window in found.windows])
        above = [[w.against_commonest[k] for w in found.windows] for k in _numbers(evaluation)]
        _draw_lines(panels[0], evaluation, median, above)
        panels[0].set_ylabel("chance of a more damaging score\nthan a common variant")
        if has_labels:
            within = [[w.agreement[k] for w in found.windows] for k in _numbers(evaluation)]
            _draw_lines(panels[1], evaluation, median, within)
            panels[1].set_ylabel(f"{evaluation.measures[0].title} within the window")
        for axes in panels:
            axes.axhline(0.5 if axes is panels[0] else evaluation.measures[0].chance, **GUIDE)
            axes.set_xlabel("allele frequency (median of the window)")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left")
        save_figure(figure, paths)


def _numbers(evaluation: Evaluation) -> range:
    return range(len(evaluation.scores))


def _draw_lines(
    axes: Any, evaluation: Evaluation, median: Any, lines: list[list[Estimate]]
) -> None:
    known = median[median > 0]
    # Frequency 0 has no logarithm: it stands left of all others.
    lowest = known.min() / 3 if len(known) else 1e-6
    x = np.where(median > 0, median, lowest)
    for index, (score, line) in enumerate(zip(evaluation.scores, lines, strict=True)):
        colour = COLOURS[index % len(COLOURS)]
        for place, estimate in zip(x, line, strict=True):
            axes.plot([place, place], [estimate.low, estimate.high], color=colour, linewidth=0.7)
        axes.plot(
            x, [each.value for each in line], color=colour, linewidth=1.3, markersize=3.2,
            marker=MARKERS[index % len(MARKERS)], label=fitting_name(score.name),
        )  # fmt: skip
    axes.set_xscale("log")
