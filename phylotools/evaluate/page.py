"""The report of an evaluation as one HTML page that stands alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from phylotools import web_page
from phylotools.errors import counted
from phylotools.evaluate.outcome import Finding, Outcome, Table
from phylotools.evaluate.report import table_rows
from phylotools.provenance import RunRecord

#: A page with a hundred thousand rows would not open; the TSV has all.
_MOST_ROWS = 200
_CITATION = (
    "Albors, Li, Benegas, Ye and Song (2025): A phylogenetic approach to genomic language "
    "modeling, RECOMB; and phylotools with its version."
)


def evaluation_page(outcome: Outcome, record: RunRecord, pictures: Mapping[str, Path]) -> str:
    """Text of ``report.html``.

    Parameters
    ----------
    outcome : Outcome
    record : RunRecord
    pictures : mapping of str to Path
        Files of pictures, by what they show.
    """
    evaluation = outcome.evaluation
    scores = ", ".join(score.name for score in evaluation.scores)
    title = f"{scores} against {outcome.label}"
    warnings = [each for each in outcome.findings if each.is_warning]
    notes = len(outcome.findings) - len(warnings)
    header, rows = table_rows(evaluation)
    return web_page.page(
        f"{title}: evaluation",
        [
            f"<h1>Evaluation: {web_page.escaped(title)}</h1>",
            "<h2>The question</h2>",
            web_page.facts(outcome.question),
            "<h2>The verdict</h2>",
            _listed(outcome.verdict),
            f"<h2>{counted(len(warnings), 'warning')}, {counted(notes, 'note')}</h2>",
            *map(_finding, outcome.findings),
            *_pictures(pictures),
            "<h2>All figures</h2>",
            "<p>Scores in round brackets are rankings that know no score. Intervals are of 95 %, "
            f"from {evaluation.replicates:,} resamplings of whole "
            f"{web_page.escaped(evaluation.resampled)}; differences from the first score are "
            "paired.</p>",
            *_table(header, rows, "metrics.tsv"),
            *(part for table in outcome.tables for part in _section(table)),
            *_how_made(outcome, record),
        ],
    )


def _listed(sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{web_page.escaped(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>"


def _finding(finding: Finding) -> str:
    word = "Warning" if finding.is_warning else "Note"
    return web_page.finding({word: finding.text}, is_warning=finding.is_warning)


def _pictures(pictures: Mapping[str, Path]) -> Iterator[str]:
    for title, path in pictures.items():
        yield f"<h2>{web_page.escaped(title)}</h2>"
        yield web_page.embedded(path, title)


def _section(table: Table) -> Iterator[str]:
    yield f"<h2>{web_page.escaped(table.title)}</h2>"
    if table.note:
        yield f"<p>{web_page.escaped(table.note)}</p>"
    yield from _table(table.header, table.rows, table.file)


def _table(header: Sequence[str], rows: Sequence[Sequence[object]], file: str) -> Iterator[str]:
    yield web_page.table(header, rows[:_MOST_ROWS])
    if len(rows) > _MOST_ROWS:
        yield f'<p class="key">The first {_MOST_ROWS} of {len(rows):,} rows; {file} has all.</p>'


def _how_made(outcome: Outcome, record: RunRecord) -> Iterator[str]:
    yield "<h2>How this was made</h2>"
    yield f"<pre>{web_page.escaped(record.command)}</pre>"
    checksums = {
        f"SHA-256 of {path}": digest or "read from a stream"
        for path, digest in record.inputs.items()
    }
    yield web_page.facts({"seed": str(outcome.evaluation.seed), **checksums})
    yield "<h2>What to cite</h2>"
    yield web_page.facts({**outcome.sources, "the method and this program": _CITATION})
