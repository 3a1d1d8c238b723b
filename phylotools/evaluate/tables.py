"""Scores and labels joined: one row per labelled variant, from any number of files."""

from __future__ import annotations

from phylotools.errors import InputError, UsageError
from phylotools.evaluate.readers import VariantTable, open_table
from phylotools.evaluate.rows import LabelledRows, LabelledScores, Wanted
from phylotools.evaluate.selection import Question, listing


def join_tables(question: Question) -> LabelledScores:
    """Read the labels, then the scores of the labelled variants.

    Memory grows with the number of labelled variants, not with the scored files.

    Parameters
    ----------
    question : Question

    Returns
    -------
    LabelledScores

    Raises
    ------
    InputError
        If a file cannot be understood, a column is in no file, or nothing is left to compare.
    UsageError
        If two scored files have the column of a score, or stdin is named twice.
    """
    paths = [*([question.labels] if question.labels is not None else []), *question.scored]
    if paths.count("-") > 1:
        raise UsageError("stdin (-) can be read only once")
    if not question.scores:
        raise UsageError("no score was named")
    tables = [open_table(path) for path in paths]
    label_table, wanted = _plan(question, tables)
    rows = LabelledRows(question)
    rows.read_labels(tables[label_table], wanted[label_table])
    for index, table in enumerate(tables):
        if index != label_table and (wanted[index].scores or wanted[index].attributes):
            rows.read_scores(table, wanted[index])
    return rows.finish()


def _plan(question: Question, tables: list[VariantTable]) -> tuple[int, list[Wanted]]:
    """Which table holds the labels, and what to take from each table.

    Scores are looked for in the scored files first, everything else in the labels first.
    """
    first_scored = 0 if question.labels is None else 1
    label_tables = tables[:1] if question.labels is not None else tables
    label_table = tables.index(_tables_with(question.label_column, label_tables)[0])
    wanted = [Wanted() for _ in tables]
    for number, score in enumerate(question.scores):
        scored = tables[first_scored:]
        holders = _tables_with(score.name, scored + tables[:first_scored])
        if len(holders) > 1 and holders[1] in scored:
            raise UsageError(
                f"column {score.name!r} is in both {holders[0].path} and {holders[1].path}; "
                "give one of them another name (annotate --tag)"
            )
        wanted[tables.index(holders[0])].scores.append((number, score.name))
    for number, name in enumerate(question.attribute_names):
        wanted[tables.index(_tables_with(name, tables)[0])].attributes.append((number, name))
    return label_table, wanted


def _tables_with(column: str, tables: list[VariantTable]) -> list[VariantTable]:
    found = [table for table in tables if column in table.columns]
    if found:
        return found
    listed = "; ".join(f"{table.path} has {listing(table.columns)}" for table in tables)
    raise InputError(f"there is no column {column!r}", remedy=listed)
