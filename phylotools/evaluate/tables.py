"""Scores and labels joined: one row per labelled variant, from any number of files."""

from __future__ import annotations

from contextlib import ExitStack

from phylotools.errors import InputError, UsageError
from phylotools.evaluate.rows import LabelledRows, LabelledScores, Wanted
from phylotools.evaluate.selection import Question, listing
from phylotools.io.scored import ScoredFile, open_scored


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
    with ExitStack() as stack:
        files = [stack.enter_context(open_scored(path)) for path in paths]
        label_file, wanted = _plan(question, files)
        rows = LabelledRows(question)
        rows.read_labels(files[label_file], wanted[label_file])
        for index, file in enumerate(files):
            if index != label_file and (wanted[index].scores or wanted[index].attributes):
                rows.read_scores(file, wanted[index])
    return rows.finish()


def _plan(question: Question, files: list[ScoredFile]) -> tuple[int, list[Wanted]]:
    """Which file holds the labels, and what to take from each file.

    Scores are looked for in the scored files first, everything else in the labels first.
    """
    first_scored = 0 if question.labels is None else 1
    label_files = files[:1] if question.labels is not None else files
    label_file = files.index(_files_with(question.label_column, label_files)[0])
    wanted = [Wanted() for _ in files]
    for index, score in enumerate(question.scores):
        scored = files[first_scored:]
        holders = _files_with(score.name, scored + files[:first_scored])
        if len(holders) > 1 and holders[1] in scored:
            raise UsageError(
                f"column {score.name!r} is in both {holders[0].path} and {holders[1].path}; "
                "give one of them another name (annotate --tag)"
            )
        wanted[files.index(holders[0])].scores.append((index, score.name))
    for index, name in enumerate(question.attribute_names):
        wanted[files.index(_files_with(name, files)[0])].attributes.append((index, name))
    return label_file, wanted


def _files_with(column: str, files: list[ScoredFile]) -> list[ScoredFile]:
    found = [file for file in files if column in file.columns]
    if found:
        return found
    listed = "; ".join(f"{file.path} has {listing(file.columns)}" for file in files)
    raise InputError(f"there is no column {column!r}", remedy=listed)
