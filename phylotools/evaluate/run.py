"""A whole evaluation: files and options in, all that a report says out."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from phylotools.errors import shown_path
from phylotools.evaluate.added import with_columns, with_genes
from phylotools.evaluate.calibration_verdict import calibration_table, calibration_verdicts
from phylotools.evaluate.comparison import Evaluation, evaluate
from phylotools.evaluate.consequences import find_annotation
from phylotools.evaluate.details import with_details
from phylotools.evaluate.frequency_tables import check_frequencies
from phylotools.evaluate.labelled import LabelKind, LabelledScores
from phylotools.evaluate.labelled_rows import GENE
from phylotools.evaluate.leakage import found_leakage, leakage_table
from phylotools.evaluate.left_out import left_out_table
from phylotools.evaluate.outcome import Outcome
from phylotools.evaluate.protocols import applying
from phylotools.evaluate.protocols.protocol import VARIANTS, Protocol
from phylotools.evaluate.protocols.reading import load_protocol
from phylotools.evaluate.regions import join_regions
from phylotools.evaluate.selection import Question
from phylotools.evaluate.tables import join_tables
from phylotools.evaluate.verdict import findings, verdict, warnings_first
from phylotools.io.scored import open_scored

logger = logging.getLogger("phylotools")


@dataclass(frozen=True)
class Settings:
    """How labels and scores are compared.

    Attributes
    ----------
    types : str or None
        A name of `GROUPINGS`: also compare in each of these types of mutation.
    consequence : bool
        Whether to compare within consequences too.
    gff, fasta : str or None
        Genes and sequence by which consequences are found; None: the files say them.
    store : str or None
        Column store, of which a ranking by columns is made.
    prior : float
        Probability that a variant is pathogenic before its score is known: what strengths of
        evidence are for.
    is_detailed : bool
        Whether thresholds and windows of allele frequency are wanted, which only a folder holds.
    split : str or None
        Column that says the side of a split: what its sides share is looked for.
    trained_on : tuple of str
        Variants, BED or models' folders: what they share with the variants is looked for.
    replicates, seed : int
    genetic_code : int or None
        NCBI's number, of all transcripts of `gff`; None for what that says.
    protocol : Protocol or None
        That the question is of: figures and caveats that it adds.
    score_options : tuple of str
        The values of ``--score``, which may say the side of a score.
    """

    types: str | None = None
    consequence: bool = False
    gff: str | None = None
    fasta: str | None = None
    store: str | None = None
    split: str | None = None
    trained_on: tuple[str, ...] = ()
    prior: float = 0.1
    is_detailed: bool = True
    replicates: int = 2000
    seed: int = 1
    genetic_code: int | None = None
    protocol: Protocol | None = None
    score_options: tuple[str, ...] = ()


def ask_by_protocol(
    text: str,
    question: Question,
    settings: Settings,
    *,
    given: Collection[str],
    score_options: tuple[str, ...] = (),
) -> tuple[Question, Settings]:
    """Fill in what a protocol says and the user does not.

    Parameters
    ----------
    text : str
        Name or path, as for `load_protocol`.
    question : Question
    settings : Settings
    given : collection of str
        As for `Protocol.applied_to`.
    score_options : tuple of str
        The values of ``--score``.

    Raises
    ------
    InputError, UsageError
        If there is no such protocol, or the files are not those of it.
    """
    protocol = load_protocol(text)
    question = applying.ask(protocol, question, given)
    asked = settings.consequence or (
        protocol.compare.consequences and has_annotation(question, protocol.name)
    )
    return question, replace(
        settings, consequence=asked, protocol=protocol, score_options=score_options
    )


def has_annotation(question: Question, name: str) -> bool:
    """Whether a file says consequences; where none does, a line says what to do."""
    paths = [*([] if question.labels is None else [question.labels]), *question.scored]
    for path in paths:
        if path != "-":
            with open_scored(path) as file:
                if find_annotation(file) is not None:
                    return True
    logger.info(
        "protocol %s also compares within consequences: annotate the file (VEP, SnpEff, "
        "bcftools csq), or give --gff GFF3 and -f FASTA",
        name,
    )
    return False


def assess(question: Question, settings: Settings) -> tuple[Question, Outcome]:
    """Join labels and scores, compare them, and say what it means.

    Parameters
    ----------
    question : Question
    settings : Settings

    Returns
    -------
    question : Question
        With the scores that were compared.
    outcome : Outcome

    Raises
    ------
    InputError, UsageError
        If a file or an option cannot be used; before anything is computed.
    """
    question, data = _joined(question, settings)
    check_frequencies(data, question.frequency_column)
    data, leakages = found_leakage(data, settings.split, settings.trained_on, settings.fasta)
    data, rankings = (data, {}) if settings.store is None else with_columns(data, settings.store)
    evaluation = evaluate(
        data,
        types=settings.types,
        rankings=rankings,
        only_within=(GENE,) if settings.consequence else (),
        replicates=settings.replicates,
        seed=settings.seed,
    )
    calibrated = calibration_verdicts(
        evaluation.data, replicates=settings.replicates, seed=settings.seed
    )
    more = [*(each.finding for each in calibrated), *(each.finding for each in leakages)]
    tables = [left_out_table(data), *([calibration_table(calibrated)] if calibrated else [])]
    outcome = Outcome(
        evaluation,
        label=question.label_column,
        question=describe(question, evaluation),
        verdict=verdict(evaluation),
        findings=warnings_first([*findings(evaluation), *more]),
        tables=(*tables, *([leakage_table(leakages)] if leakages else [])),
    )
    if settings.is_detailed:
        outcome = with_details(
            outcome, prior=settings.prior, replicates=settings.replicates, seed=settings.seed
        )
    return question, _with_protocol(outcome, settings)


def _with_protocol(outcome: Outcome, settings: Settings) -> Outcome:
    """What a protocol adds: its question, published figures, caveats, citations."""
    protocol = settings.protocol
    if protocol is None:
        return outcome
    sentence = applying.headline(protocol, outcome.evaluation)
    logger.info("%s", sentence)
    published = [applying.published_table(protocol)] if protocol.published else []
    return replace(
        outcome,
        question=applying.facts(protocol) | outcome.question,
        verdict=(sentence, *outcome.verdict),
        findings=(*outcome.findings, *applying.caveats(protocol)),
        tables=(*published, *outcome.tables),
        sources=outcome.sources | applying.sources(protocol),
    )


def _joined(question: Question, settings: Settings) -> tuple[Question, LabelledScores]:
    """Labels with their scores, and with consequences where they are asked for."""
    protocol, own_strata = settings.protocol, question.strata
    if settings.split is not None and settings.split not in own_strata:
        question = replace(question, strata=(*own_strata, settings.split))
    if protocol is not None and protocol.what != VARIANTS:
        data = join_regions(question)
    elif settings.gff is not None:
        assert settings.fasta is not None
        data = with_genes(
            join_tables(question), settings.gff, settings.fasta, settings.genetic_code
        )
    else:
        data = join_tables(replace(question, consequence=settings.consequence))
    if protocol is not None:
        data = protocol.turned(data, settings.score_options)
    return replace(question, scores=data.columns, strata=own_strata), data


def describe(question: Question, evaluation: Evaluation) -> dict[str, str]:
    """What was asked, for people."""
    data = evaluation.data
    told = {
        "scores": "; ".join(_score_in_words(question)),
        "labels": f"column {question.label_column} of {_label_file(question)}",
        "labels are": _labels_in_words(question),
        "compared": f"{len(data):,} {data.what} that have all scores",
    }
    if data.strata:
        told["strata"] = ", ".join(factor.name for factor in data.strata)
    if question.where:
        told["only"] = "; ".join(
            f"{name} is {' or '.join(sorted(values))}" for name, values in question.where
        )
    if question.regions is not None:
        told["regions"] = f"{question.regions.n_positions:,} positions"
    told["resampled"] = f"{evaluation.resampled}, {evaluation.replicates:,} times"
    return told


def _score_in_words(question: Question) -> Iterator[str]:
    for score in question.scores:
        side = "low" if score.low_is_positive else "high"
        place = f" of {shown_path(score.source)}" if score.source else ""
        if score.absolute:
            yield f"|{score.name}|{place} (high is damaging)"
        else:
            yield f"{score.name}{place} ({side} is damaging)"


def _label_file(question: Question) -> str:
    return ", ".join(
        map(shown_path, question.scored if question.labels is None else [question.labels])
    )


def _labels_in_words(question: Question) -> str:
    match question.kind:
        case LabelKind.CLASSES:
            sides = (question.positive, question.negative)
            positive, negative = (", ".join(sorted(side)) for side in sides)
            return f"two classes: positive {positive}; negative {negative}"
        case LabelKind.ORDERED:
            return f"ordered classes, the least damaging first: {', '.join(question.order)}"
    side = "low" if question.label_low else "high"
    return f"numbers ({side} is damaging)"
