"""Thresholds, strengths of evidence and calibration of scores: tables and a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from phylotools.drawing import (
    COLOURS,
    GREY,
    GUIDE,
    fitting_name,
    lightened,
    new_figure,
    picture_style,
    save_figure,
)
from phylotools.evaluate.comparison import Evaluation
from phylotools.evaluate.evidence import BENIGN, PATHOGENIC, required_ratios
from phylotools.evaluate.outcome import Table
from phylotools.evaluate.report import estimate_names, estimate_values
from phylotools.evaluate.resampling import Floats
from phylotools.evaluate.selection import ScoreColumn
from phylotools.evaluate.thresholds import Thresholds

THRESHOLDS, EVIDENCE, CALIBRATION = "thresholds.tsv", "evidence.tsv", "calibration.tsv"
#: Scores beyond these are in the tables only.
_MOST_SCORES = 4


def threshold_tables(
    evaluation: Evaluation, judged: Sequence[Thresholds], prior: float
) -> tuple[Table, ...]:
    """Tables of `thresholds.tsv`, `evidence.tsv` and `calibration.tsv`.

    Parameters
    ----------
    evaluation : Evaluation
        Of two classes.
    judged : sequence of Thresholds
        Of each score.
    prior : float
        Probability of being pathogenic that strengths of evidence are for.
    """
    scores = evaluation.scores
    pairs = list(zip(scores, judged, strict=True))
    points = (
        "score", "kept", "rate", "call", "threshold", "threshold_low", "threshold_high",
        *estimate_names("sensitivity"), *estimate_names("specificity"),
        *estimate_names("positive_ratio"),
        *estimate_names("negative_ratio"), "crossfit_sensitivity", "crossfit_specificity",
        "evidence_called", "evidence_not_called",
    )  # fmt: skip
    evidence = (
        "score", "direction", "strength", "likelihood_ratio", "call", "threshold", "n_positive",
        "n_negative", "crossfit_likelihood_ratio",
    )  # fmt: skip
    calibration = (
        "score", "map", "bin", "n", "mean_probability", *estimate_names("share_positive"),
        "expected_error", "brier", "brier_of_share",
    )  # fmt: skip
    return (
        Table(
            THRESHOLDS,
            "Thresholds: what a cut-off does",
            points,
            tuple(row for score, each in pairs for row in _points(score, each)),
            "Thresholds were chosen on these variants; crossfit figures are of variants that had "
            "no part in the choice, and are the ones to quote. Likelihood ratios: of being called "
            "(positive) and of not being called (negative).",
        ),
        Table(
            EVIDENCE,
            "Strengths of evidence by windows along each score",
            evidence,
            tuple(row for score, each in pairs for row in _evidence(score, each)),
            f"At a prior probability of {prior:g}, with the odds of Tavtigian et al. (2018) and "
            "local likelihood ratios as by Pejaver et al. (2022). Not a calibration for a clinic: "
            "labels that were made with the help of such scores flatter them, and genes differ.",
        ),
        Table(
            CALIBRATION,
            "Scores as probabilities, on variants that the map has not seen",
            calibration,
            tuple(row for score, each in pairs for row in _reliability(score, each)),
            "Probabilities are at the share of positives of this set, not of a clinic. Brier: mean "
            "squared error; of_share: of a forecast that knows the share of positives alone.",
        ),
    )


def draw_calibration(
    evaluation: Evaluation, judged: Sequence[Thresholds], paths: Sequence[Path]
) -> None:
    """Draw likelihood ratios along each score, and how reliable its probabilities are."""
    n = min(len(judged), _MOST_SCORES)
    with picture_style():
        figure = new_figure(2.9 * n + 0.8, 5.6)
        panels = figure.subplots(2, n, squeeze=False)
        for index, (score, each) in enumerate(zip(evaluation.scores[:n], judged[:n], strict=True)):
            _draw_ratios(panels[0, index], score, each, index)
            _draw_reliability(panels[1, index], each, index)
        panels[0, 0].set_ylabel("local likelihood ratio\n[one-sided 95% bounds]")
        panels[1, 0].set_ylabel("share of positives")
        save_figure(figure, paths)


def _as_given(score: ScoreColumn, threshold: float) -> float:
    """A threshold of the turned score as one of the score itself; NaN where nothing is called."""
    if not math.isfinite(threshold):
        return math.nan
    # Not -0.
    return 0.0 - threshold if score.low_is_positive and not score.absolute else threshold


def _call(score: ScoreColumn, towards_positive: bool = True) -> str:
    name = f"|{score.name}|" if score.absolute else score.name
    is_low = score.low_is_positive and not score.absolute
    return f"{name} {'<=' if is_low == towards_positive else '>='}"


def _strength(found: tuple[str, str] | None) -> str:
    return "" if found is None else f"{found[1]} {found[0]}"


def _points(score: ScoreColumn, judged: Thresholds) -> Iterator[tuple[Any, ...]]:
    for point in judged.points:
        ends = sorted(_as_given(score, end) for end in (point.threshold.low, point.threshold.high))
        yield (
            score.name,
            point.kind,
            point.rate,
            _call(score),
            _as_given(score, point.threshold.value),
            *ends,
            *estimate_values(point.sensitivity),
            *estimate_values(point.specificity),
            *estimate_values(point.positive_ratio),
            *estimate_values(point.negative_ratio),
            point.crossfit_sensitivity,
            point.crossfit_specificity,
            _strength(point.evidence_above),
            _strength(point.evidence_below),
        )


def _evidence(score: ScoreColumn, judged: Thresholds) -> Iterator[tuple[Any, ...]]:
    for each in judged.local.intervals:
        yield (
            score.name,
            each.direction,
            each.strength,
            each.ratio,
            _call(score, each.direction == PATHOGENIC),
            _as_given(score, each.threshold),
            each.n_positive,
            each.n_negative,
            each.crossfit_ratio,
        )


def _reliability(score: ScoreColumn, judged: Thresholds) -> Iterator[tuple[Any, ...]]:
    for each in judged.reliability:
        for number, part in enumerate(each.bins, start=1):
            yield (
                score.name,
                each.method,
                number,
                part.n,
                part.mean_probability,
                *estimate_values(part.share_positive),
                each.expected_error,
                each.brier.value,
                each.brier_of_share,
            )


def _draw_ratios(axes: Any, score: ScoreColumn, judged: Thresholds, index: int) -> None:
    local = judged.local
    colour = COLOURS[index % len(COLOURS)]
    known = np.isfinite(local.centres)
    x = np.array([_as_given(score, value) for value in local.centres[known].tolist()])
    low, middle, high = (
        _on_log_axis(each[known]) for each in (local.low, local.ratios, local.high)
    )
    axes.fill_between(x, low, high, color=lightened(colour, 0.75), linewidth=0)
    axes.plot(x, middle, color=colour, linewidth=1.4)
    axes.axhline(1, **GUIDE)
    for name, ratio in required_ratios(local.prior).items():
        for side, at in ((PATHOGENIC, ratio), (BENIGN, 1 / ratio)):
            axes.axhline(at, color=GREY, linewidth=0.5, zorder=1)
            if index == 0:
                axes.annotate(
                    f"{name} {side}", (0.01, at), xycoords=axes.get_yaxis_transform(), fontsize=5,
                    color=GREY, va="bottom",
                )  # fmt: skip
    axes.set(yscale="log", ylim=(1 / 500, 500), xlabel="score")
    if score.low_is_positive and not score.absolute:
        axes.invert_xaxis()
    axes.set_title(fitting_name(score.name))


def _on_log_axis(values: Floats) -> Floats:
    clipped: Floats = np.clip(np.nan_to_num(values, nan=1.0, posinf=1e3, neginf=1e-3), 1e-3, 1e3)
    return clipped


def _draw_reliability(axes: Any, judged: Thresholds, index: int) -> None:
    axes.plot([0, 1], [0, 1], **GUIDE)
    colour = COLOURS[index % len(COLOURS)]
    for each, style in zip(judged.reliability, ("-", (0, (4, 2))), strict=False):
        x = [part.mean_probability for part in each.bins]
        shares = [part.share_positive for part in each.bins]
        label = f"{each.method} (Brier {each.brier.value:.3f})"
        axes.plot(
            x, [share.value for share in shares], color=colour, linestyle=style, marker="o",
            markersize=3, linewidth=1.2, label=label,
        )  # fmt: skip
        for place, share in zip(x, shares, strict=True):
            axes.plot([place, place], [share.low, share.high], color=colour, linewidth=0.7)
    axes.set(xlabel="mean probability", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if judged.reliability:
        axes.legend(loc="upper left", fontsize=6.5)
