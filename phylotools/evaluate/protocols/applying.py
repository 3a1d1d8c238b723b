"""A protocol applied to a user's files, and what it adds to a report."""

from __future__ import annotations

from collections.abc import Collection

from phylotools.errors import InputError
from phylotools.evaluate.comparison import WITHIN_CONTIGS, Evaluation
from phylotools.evaluate.outcome import Finding, Table
from phylotools.evaluate.protocols.protocol import BY_CONTIG, PASSED, VARIANTS, Protocol
from phylotools.evaluate.protocols.wording import figure_text
from phylotools.evaluate.regions import region_columns
from phylotools.evaluate.report import estimate_text
from phylotools.evaluate.selection import Question
from phylotools.io.scored import open_scored

PUBLISHED_FILE = "published.tsv"
#: Kind of findings that are a protocol's caveats.
CAVEAT = "protocol_caveat"
_TITLES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    BY_CONTIG: "AUPRC by contig, weighted by variants",
    "spearman": "Spearman",
    "pearson": "Pearson",
    "kendall": "Kendall",
}


def ask(protocol: Protocol, question: Question, given: Collection[str]) -> Question:
    """The question of a protocol about a user's files.

    Parameters
    ----------
    protocol : Protocol
    question : Question
        As options make it.
    given : collection of str
        As for `Protocol.applied_to`.

    Raises
    ------
    InputError
        If a file cannot be read, or they are not those of the protocol.
    """
    return protocol.applied_to(question, given, _columns(protocol, question))


def _columns(protocol: Protocol, question: Question) -> dict[str, Collection[str]] | None:
    """Columns of each file; None where one is a stream, which is read once."""
    paths = [*([] if question.labels is None else [question.labels]), *question.scored]
    if "-" in paths:
        return None
    if protocol.what != VARIANTS:
        return {paths[0]: region_columns(paths[0])}
    found: dict[str, Collection[str]] = {}
    for path in paths:
        try:
            with open_scored(path) as file:
                found[path] = file.columns
        except InputError as error:
            if protocol.prepare.how == PASSED:
                raise
            raise InputError(
                error.problem, path=path, line=error.line, remedy=f"give {protocol.expected}"
            ) from None
    return found


def facts(protocol: Protocol) -> dict[str, str]:
    """What a report says of a protocol."""
    levels = ", ".join(f"{name} from {protocol.level(name)} on" for name in protocol.settings)
    name = f"{protocol.name} ({levels})" if levels else protocol.name
    return {
        "protocol": f"{name}: {protocol.title}",
        "protocol asks": " ".join(protocol.question.split()),
        "headline": _TITLES[protocol.compare.headline],
    }


def sources(protocol: Protocol) -> dict[str, str]:
    """What to cite."""
    return {"the data": f"{protocol.data.citation}; {protocol.data.url}"}


def caveats(protocol: Protocol) -> tuple[Finding, ...]:
    """What a reader of the figures must know, whatever they are."""
    return tuple(Finding(CAVEAT, text, is_warning=False) for text in protocol.caveats)


def headline(protocol: Protocol, evaluation: Evaluation) -> str:
    """The figure that the protocol counts, of every score, and those of others; a sentence."""
    title, row, key = (
        _TITLES[protocol.compare.headline],
        evaluation.overall,
        protocol.compare.headline,
    )
    if key == BY_CONTIG:
        rows = [each for each in evaluation.at("within") if each.name == WITHIN_CONTIGS]
        row, key = (rows[0], "auprc") if rows else (row, "")
    listed = "; ".join(
        f"{score.name} {estimate_text(figures.estimates.get(key))}"
        for score, figures in zip(evaluation.scores, row.figures, strict=True)
        if key in figures.estimates
    )
    if not listed:
        return (
            f"The headline of protocol {protocol.name}, {title}, is not defined for these labels."
        )
    text = f"Headline of protocol {protocol.name}, {title}: {listed}"
    others = "; ".join(
        f"{each.score} {each.metric} {figure_text(each)} ({each.on})" for each in protocol.published
    )
    return f"{text}. Published: {others}." if others else f"{text}."


def published_table(protocol: Protocol) -> Table:
    """Figures of others on the same kind of data."""
    header = ("score", "metric", "value", "low", "high", "on", "source")
    rows = tuple(
        (each.score, each.metric, each.value, each.low, each.high, each.on, each.source)
        for each in protocol.published
    )
    note = (
        "Published by others, on their releases of the data and their choice of variants: to stand "
        "beside, not to be subtracted from."
    )
    return Table(PUBLISHED_FILE, "Published figures", header, rows, note)
