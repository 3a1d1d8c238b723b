"""The figures in sentences, and what is wrong with them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from phylotools.errors import counted
from phylotools.evaluate.comparison import (
    BY_COLUMN,
    BY_FREQUENCY,
    WITHIN_CONTIGS,
    WITHIN_GROUPS,
    Evaluation,
    Judged,
)
from phylotools.evaluate.labelled import NO_LEVEL, LabelKind
from phylotools.evaluate.measures import Measure
from phylotools.evaluate.outcome import Finding
from phylotools.evaluate.report import estimate_text
from phylotools.evaluate.resampling import MIN_CLUSTERS_FOR_INTERVAL, Estimate, Figures

#: A pooled figure that is less above the one within strata is not worth a warning.
_INFLATION = 0.01
#: Percentile intervals of fewer clusters are rough.
_FEW_CLUSTERS = 30
#: A score of which more rows have one value hardly ranks.
_MOST_TIED = 0.5
_MOST_LACKING = 0.2
_NUMBERS = {
    LabelKind.CLASSES: "ranks a positive above a negative in {share:.1%} of pairs",
    LabelKind.ORDERED: "ranks the more damaging of two {what} of different classes higher in "
    "{share:.1%} of pairs",
    LabelKind.NUMBERS: "orders {what} as the labels do",
}


def verdict(evaluation: Evaluation) -> tuple[str, ...]:
    """Sentences on every score over all rows, and on what is reached without one."""
    headline = evaluation.measures[0]
    overall = evaluation.overall
    first = evaluation.scores[0].name
    sentences = [_first_sentence(evaluation, headline)]
    for score, figures in zip(evaluation.scores[1:], overall.figures[1:], strict=True):
        reached = _reached(figures, headline)
        sentences.append(f"{score.name}: {reached}, {_compared(figures, headline, first)}.")
    if overall.baselines:
        listed = "; ".join(
            f"{name} {estimate_text(figures.estimates[headline.key])}"
            for name, figures in overall.baselines.items()
        )
        sentences.append(f"Without any score, rankings reach these: {listed}.")
    for row in evaluation.at("within"):
        listed = "; ".join(
            f"{score.name} {estimate_text(figures.estimates[headline.key])}"
            for score, figures in zip(evaluation.scores, row.figures, strict=True)
        )
        sentences.append(f"{headline.title} {_within_what(row)}: {listed}.")
    return tuple(sentences)


def findings(evaluation: Evaluation) -> tuple[Finding, ...]:
    """Warnings, then notes."""
    found = [
        *_inflation(evaluation),
        *_no_better_than_naive(evaluation),
        *_wrong_way_round(evaluation),
        *_few_clusters(evaluation),
        *_lacking(evaluation),
        *_ties(evaluation),
        *_without_frequency(evaluation),
        *_site_fits(evaluation),
        *_not_measured(evaluation),
    ]
    return warnings_first(found)


def warnings_first(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """Findings in the order in which they are shown."""
    return tuple(sorted(found, key=lambda each: not each.is_warning))


def difference_in_words(difference: Estimate, than: str) -> str:
    """Whether a figure is higher or lower than another, or not known to be either."""
    text = estimate_text(difference, signed=True)
    if math.isnan(difference.value):
        return f"not comparable with {than}"
    if math.isnan(difference.low):
        return f"{text} against {than}, without an interval"
    if difference.low > 0:
        return f"higher than {than} by {estimate_text(difference)}"
    if difference.high < 0:
        by = Estimate(-difference.value, -difference.high, -difference.low)
        return f"lower than {than} by {estimate_text(by)}"
    return f"not shown to differ from {than} ({text})"


def _first_sentence(evaluation: Evaluation, headline: Measure) -> str:
    overall, data = evaluation.overall, evaluation.data
    figures = overall.figures[0]
    value = figures.estimates[headline.key].value
    says = _NUMBERS[data.kind].format(share=value, what=data.what)
    of = f"{overall.n:,} {data.what}"
    if data.kind == LabelKind.CLASSES:
        of = f"{overall.n_positive:,} positive and {overall.n_negative:,} negative {data.what}"
    return f"{evaluation.scores[0].name} {says}: {_reached(figures, headline)}, of {of}."


def _reached(figures: Figures, headline: Measure) -> str:
    return f"{headline.title} {estimate_text(figures.estimates[headline.key])}"


def _compared(figures: Figures, headline: Measure, first: str) -> str:
    return difference_in_words(figures.differences[headline.key], first)


def _within_what(row: Judged) -> str:
    return row.name if row.name in (WITHIN_GROUPS, WITHIN_CONTIGS) else f"within {row.factor}"


def _inflation(evaluation: Evaluation) -> Iterator[Finding]:
    """Where figures over all rows hold what strata differ in."""
    headline = evaluation.measures[0]
    for row in evaluation.at("within"):
        parts = []
        for score, pooled, within in zip(
            evaluation.scores, evaluation.overall.figures, row.figures, strict=True
        ):
            before, after = pooled.estimates[headline.key], within.estimates[headline.key]
            if _is_inflated(before, after):
                example = _largest(evaluation, row, evaluation.scores.index(score), headline)
                parts.append(
                    f"{score.name}: all {evaluation.data.what} {before.value:.3f}, within strata "
                    f"{estimate_text(after)}{example}"
                )
        if parts:
            yield Finding(
                "inflated_pooling",
                f"Pooling inflates {headline.title}: it holds what strata by {row.factor} differ "
                f"in, whatever the score. {'; '.join(parts)}. Judge scores by the figures within.",
            )


def _is_inflated(pooled: Estimate, within: Estimate) -> bool:
    if not pooled.value - within.value > _INFLATION:
        return False
    return math.isnan(within.high) or within.high < pooled.value


def _largest(evaluation: Evaluation, row: Judged, index: int, headline: Measure) -> str:
    """The figure in the largest stratum, as an example."""
    own = [each for each in evaluation.rows if each.level != "within" and each.factor == row.factor]
    known = [
        (each.n, each.name, each.figures[index].estimates[headline.key].value)
        for each in own
        if each.name != NO_LEVEL
        and not math.isnan(each.figures[index].estimates[headline.key].value)
    ]
    if not known:
        return ""
    _, name, value = max(known)
    return f", within {name} {value:.3f}"


def _no_better_than_naive(evaluation: Evaluation) -> Iterator[Finding]:
    headline = evaluation.measures[0]
    first = evaluation.scores[0].name
    for name, figures in evaluation.overall.baselines.items():
        difference = figures.differences[headline.key]
        if difference.high >= 0 or (math.isnan(difference.high) and difference.value >= 0):
            said = "better than" if difference.low > 0 else "not shown to be worse than"
            is_fitted = name not in (BY_FREQUENCY, BY_COLUMN)
            note = ", flattered as it is fitted to these rows" if is_fitted else ""
            yield Finding(
                "no_better_than_naive",
                f"A ranking by {name} is {said} {first} over all {evaluation.data.what} "
                f"({headline.title} {estimate_text(figures.estimates[headline.key])}, difference "
                f"{estimate_text(difference, signed=True)}{note}).",
            )


def _wrong_way_round(evaluation: Evaluation) -> Iterator[Finding]:
    headline = evaluation.measures[0]
    if headline.chance is None:
        return
    for score, figures in zip(evaluation.scores, evaluation.overall.figures, strict=True):
        estimate = figures.estimates[headline.key]
        if estimate.high < headline.chance:
            other = "high" if score.low_is_positive else "low"
            yield Finding(
                "wrong_way_round",
                f"{score.name} ranks the wrong way round ({headline.title} "
                f"{estimate_text(estimate)}). If its damaging end is the other one, say so: "
                f"--score {score.name}:{other}.",
            )


def _few_clusters(evaluation: Evaluation) -> Iterator[Finding]:
    data, sizes = evaluation.data, evaluation.overall.sizes
    if not evaluation.replicates:
        yield Finding("no_intervals", "No intervals were asked for (--bootstrap 0).", False)
        return
    counts = {key: size for key, size in sizes.items() if key.endswith(("_sites", "_clusters"))}
    key, fewest = min(counts.items(), key=lambda item: item[1])
    if fewest >= _FEW_CLUSTERS:
        return
    of = {"n_positive_sites": " with positives", "n_negative_sites": " with negatives"}
    units = counted(fewest, "independent unit")
    what = f"There {'is' if fewest == 1 else 'are'} only {units} ({data.clusters_by})"
    what += of.get(key, "")
    if fewest < MIN_CLUSTERS_FOR_INTERVAL:
        yield Finding("too_few_clusters", f"{what}: too few for intervals.")
    else:
        yield Finding("too_few_clusters", f"{what}: intervals are rough, and rather too narrow.")


def _lacking(evaluation: Evaluation) -> Iterator[Finding]:
    data = evaluation.data
    for name, count in data.lacking.items():
        if not count:
            continue
        share = count / (count + len(data))
        yield Finding(
            "lacking_scores",
            f"{counted(count, f'labelled {data.what[:-1]}')} without {name} left out of all "
            "figures: scores are compared where all of them are there.",
            share > _MOST_LACKING,
        )


def _ties(evaluation: Evaluation) -> Iterator[Finding]:
    for score, values in zip(evaluation.scores, evaluation.oriented, strict=True):
        _, counts = np.unique(values, return_counts=True)
        if counts.max() > _MOST_TIED * len(values):
            yield Finding(
                "ties",
                f"{score.name} has one value for {counts.max():,} of {len(values):,} "
                f"{evaluation.data.what}, which it cannot rank.",
            )


def _without_frequency(evaluation: Evaluation) -> Iterator[Finding]:
    frequency = evaluation.data.frequency
    n_unknown = 0 if frequency is None else int(np.isnan(frequency).sum())
    if n_unknown and BY_FREQUENCY in evaluation.overall.baselines:
        yield Finding(
            "without_frequency",
            f"{n_unknown:,} {evaluation.data.what} have no allele frequency: they count as rarer "
            f"than all in the ranking by {BY_FREQUENCY}, and are in no frequency bin.",
            False,
        )


def _site_fits(evaluation: Evaluation) -> Iterator[Finding]:
    names = [score.name for score in evaluation.scores if score.holds_site_fits]
    if names:
        yield Finding(
            "site_fits",
            f"{', '.join(names)}: at positions that the model was trained on, this is what the "
            "alignment says of them (site fits), not a prediction; what the sequence alone says is "
            "told by scores of `phylotools annotate --sequence-only`.",
            False,
        )


def _not_measured(evaluation: Evaluation) -> Iterator[Finding]:
    titles = {each.key: each.title for each in evaluation.measures}
    for score, figures in zip(evaluation.scores, evaluation.overall.figures, strict=True):
        for key, why in figures.notes.items():
            text = f"{titles.get(key, key)} of {score.name} is not there: {why}."
            yield Finding("not_measured", text, False)
