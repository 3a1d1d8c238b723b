"""What an evaluation hands to its report: figures, tables, sentences, warnings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from phylotools.evaluate.comparison import Evaluation
from phylotools.evaluate.frequency_bins import FrequencyTable
from phylotools.evaluate.thresholds import Thresholds


@dataclass(frozen=True)
class Finding:
    """Something that a reader of the figures must know.

    Attributes
    ----------
    kind : str
        Short and stable, for programs.
    text : str
        A sentence, or some.
    is_warning : bool
        Whether the figures are likely to mislead; else a note.
    """

    kind: str
    text: str
    is_warning: bool = True


@dataclass(frozen=True)
class Table:
    """A table of a report, and its file.

    Attributes
    ----------
    file : str
        Name of the TSV.
    title : str
    header : tuple of str
    rows : tuple of tuple
        Numbers, texts; NaN where there is no number.
    note : str
        What a reader needs to know of it.
    """

    file: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Outcome:
    """All that is known at the end.

    Attributes
    ----------
    evaluation : Evaluation
    label : str
        What the labels are called.
    question : dict of str to str
        What was asked, for people, by its name.
    verdict : tuple of str
        Sentences.
    findings : tuple of Finding
        Warnings first, then notes.
    tables : tuple of Table
    sources : dict of str to str
        What to cite beside phylotools, by what it is.
    thresholds : tuple of Thresholds
        Of each score of two classes; empty if they were not asked for.
    frequency : FrequencyTable or None
    """

    evaluation: Evaluation
    label: str
    question: dict[str, str]
    verdict: tuple[str, ...]
    findings: tuple[Finding, ...]
    tables: tuple[Table, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)
    thresholds: tuple[Thresholds, ...] = ()
    frequency: FrequencyTable | None = None
