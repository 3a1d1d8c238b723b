"""What stores want of a training configuration, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from phylotools.errors import counted
from phylotools.model.presets import PRESETS
from phylotools.proposal.survey import StoreSurvey
from phylotools.training.config import (
    DEFAULT_BUFFER,
    HELD_OUT_FRACTION,
    MOST_EPOCHS,
    OptimiserConfig,
)

#: From so many training columns on `medium`; below, `small`, also of very few: on the 9,600 of
#: dengue virus it predicted held-out stretches better than `tiny` did (-42.89 against -43.05 nats a
#: column), since the best weights are kept before it knows them by heart. No alignment was at hand
#: for the limit: here `medium` has as many columns a parameter as `small` has of two million.
_MEDIUM = 20_000_000
#: All contigs together are no longer than this in single-stranded RNA viruses (the largest have 41
#: kb) and animals' mitochondria: what decides about strands where substitutions are too few.
_SHORT_GENOME = 45_000
_SHARE_WORTH_SAYING = 0.01


@dataclass(frozen=True)
class Choice:
    """A key of the configuration, its value, and what speaks for it.

    Attributes
    ----------
    table, key : str
    value : bool, int, float, str or list of str
    reasons : tuple of str
        Paragraphs of a comment.
    """

    table: str
    key: str
    value: Any
    reasons: tuple[str, ...]


def choose(surveys: Sequence[StoreSurvey], stores: Sequence[str], held_out: str) -> list[Choice]:
    """The choices for stores, table by table.

    Parameters
    ----------
    surveys : sequence of StoreSurvey
    stores : sequence of str
        The stores as the configuration names them.
    held_out : str
        In words, what a tenth of the columns is.
    """
    n_columns = sum(survey.training_columns for survey in surveys)
    return [
        Choice("data", "stores", list(stores), ("Relative to this file.",)),
        _held_out(held_out),
        *_soft_masked(surveys),
        *_buffer(surveys),
        _preset(n_columns),
        _strands(surveys),
        *_rate(),
        _epochs(n_columns),
        Choice("run", "seed", 1, ("Everything random follows from it.",)),
    ]


def _held_out(what: str) -> Choice:
    reasons = (
        f"Never trained on: {what}, drawn with run.seed. They judge what was learned: the weights "
        "that predict them best are kept, and training ends when none are better.",
        "To name them yourself, replace this line by held_out_contigs = [...] or "
        'held_out_regions = ["contig:begin-end", ...]. 0 holds nothing out.',
    )
    return Choice("data", "held_out_fraction", HELD_OUT_FRACTION, reasons)


def _soft_masked(surveys: Sequence[StoreSurvey]) -> list[Choice]:
    shares = [survey.masked for survey in surveys]
    if max(shares) < _SHARE_WORTH_SAYING:
        return []
    reasons = (
        f"{_listed(shares)} of the columns are lower case in the reference (repeats). 1 trains on "
        "them as on the others, 0 leaves them out.",
    )
    return [Choice("data", "soft_mask_weight", 1.0, reasons)]


def _buffer(surveys: Sequence[StoreSurvey]) -> list[Choice]:
    n_bytes = sum(survey.columns * len(survey.store.species) for survey in surveys)
    if n_bytes <= DEFAULT_BUFFER:
        return []
    reasons = (
        f"Bytes of memory for columns, of which there are {_size(n_bytes)}: they are read and "
        "shuffled part by part. With all of them in memory training reads the disk once.",
    )
    return [Choice("data", "buffer_bytes", DEFAULT_BUFFER, reasons)]


def _preset(n_columns: int) -> Choice:
    preset = "small" if n_columns < _MEDIUM else "medium"
    others = {
        "small": "tiny is several times as fast, for a first try; medium, ten times as slow, is "
        f"for more than {_MEDIUM // 10**6} million columns.",
        "medium": "small is ten times as fast, for a first try.",
    }
    spec = PRESETS[preset]
    reasons = (
        f"For {n_columns:,} columns: {spec.n_parameters:,} parameters, which read "
        f"{spec.receptive_field} bases around each site. {others[preset]}",
    )
    return Choice("network", "preset", preset, reasons)


def _strands(surveys: Sequence[StoreSurvey]) -> Choice:
    verdicts = [_is_different(survey) for survey in surveys]
    differ = any(verdicts)
    reasons = [_what_strands_say(survey) for survey in surveys]
    if differ and not all(verdicts):
        reasons.append(
            "The stores disagree, and one matrix is learned for all: better train them apart."
        )
    if differ:
        reasons.append(
            "false: the strands mutate differently, as in a single-stranded virus or a "
            "mitochondrion that is always read from one strand. true where both mutate alike."
        )
    else:
        reasons.append(
            "true: a mutation and its complement have one rate, as in nuclear genomes. false for a "
            "single-stranded virus or a mitochondrion that is always read from one strand."
        )
    return Choice("substitution", "strand_symmetric", not differ, tuple(reasons))


def _is_different(survey: StoreSurvey) -> bool:
    if survey.strands.is_conclusive:
        return survey.strands.strands_differ
    return _genome_length(survey) <= _SHORT_GENOME


def _what_strands_say(survey: StoreSurvey) -> str:
    """What was seen of the strands of one store."""
    test = survey.strands
    name = survey.path.name
    if not test.is_conclusive:
        kind = "short, as those of" if _is_different(survey) else "longer than those of"
        return (
            f"{name}: {test.columns:,} columns hold about {test.substitutions:,.0f} substitutions, "
            f"too few to compare the strands by. Its contigs are together "
            f"{_genome_length(survey):,} bases long, {kind} single-stranded viruses and "
            "mitochondria."
        )
    one, other, ratio = test.most_different
    verdict = "differ" if test.strands_differ else "are alike"
    return (
        f"{name}: the strands {verdict}. Rates of their own for complementary mutations gain "
        f"{test.gain_per_substitution:.4f} nats a substitution ({test.columns:,} columns); "
        f"nuclear DNA and genes have below 0.014, RNA viruses and mitochondria above 0.05. "
        f"{one} is {ratio:.1f} times as fast as {other}."
    )


def _genome_length(survey: StoreSurvey) -> int:
    return sum(survey.store.contigs[name] for name in survey.contig_columns)


def _rate() -> list[Choice]:
    """The prior on the rate, as it is by default.

    Not fitted (`rate.learn`): what predicts hidden species best is not what predicts unseen columns
    best. On 53 birds it lost 0.27 nats a column of 13.1 (mean 1.04 and sd 0.35 instead of 0 and 1;
    `tiny`), on dengue virus it gained 0.001 of 42.9.
    """
    mean = (
        "The prior on each site's log rate. 0: at the tree's own lengths, which should be expected "
        "neutral substitutions a site; `phylotools tree fit` shows whether they are.",
    )
    sd = (
        "How far the rates of sites may differ: 2 leaves more to the columns, 0.5 draws all sites "
        "to the mean (docs/method.md).",
    )
    return [Choice("rate", "mean", 0.0, mean), Choice("rate", "sd", 1.0, sd)]


def _epochs(n_columns: int) -> Choice:
    per_step = OptimiserConfig.windows_per_batch * OptimiserConfig.window_length
    per_epoch = max(round((1 - HELD_OUT_FRACTION) * n_columns / per_step), 1)
    reasons = (
        f"Passes over the training columns at most, of about {counted(per_epoch, 'step')} each. "
        "Training ends before, once the held-out columns are no longer predicted better.",
    )
    return Choice("optimiser", "epochs", MOST_EPOCHS, reasons)


def _listed(shares: Sequence[float]) -> str:
    return ", ".join(f"{share:.0%}" for share in shares)


def _size(n_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:,.3g} TB"
