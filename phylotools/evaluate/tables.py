"""Scores and labels joined: one row per labelled variant, from any number of files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from phylotools.errors import InputError, UsageError
from phylotools.evaluate.consequences import find_annotation
from phylotools.evaluate.default_score import default_columns, holds_site_fits
from phylotools.evaluate.labelled import LabelledScores
from phylotools.evaluate.labelled_rows import LabelledRows, Wanted
from phylotools.evaluate.score_sources import (
    ScoreField,
    find_field,
    only_field,
    open_sources,
    track_scores,
)
from phylotools.evaluate.selection import Question, ScoreColumn, listing, parse_score
from phylotools.io.files import refuse_two_streams
from phylotools.io.scored import ScoredFile, open_scored


def join_tables(question: Question) -> LabelledScores:
    """Read the labels, then the scores of the labelled variants.

    Memory grows with the number of labelled variants, not with the scored files. Of a large file
    with an index only what lies near labelled variants is read.

    Parameters
    ----------
    question : Question

    Returns
    -------
    LabelledScores

    Raises
    ------
    InputError
        If a file cannot be understood, a column is in no file, a file is of another assembly, or
        nothing is left to compare.
    UsageError
        If two scored files have the column of a score, or stdin is named twice.
    """
    paths = [*([question.labels] if question.labels is not None else []), *question.scored]
    own = {score.source for score in question.scores if score.source is not None}
    refuse_two_streams(*paths, *(own - set(paths)))
    _require_names(question.scores)
    with ExitStack() as stack:
        files = [stack.enter_context(open_scored(path)) for path in paths]
        if not question.scores:
            scored = files[len(files) - len(question.scored) :]
            question = replace(question, scores=_default_scores(scored))
        sources = open_sources(question.scores, paths, stack)
        files += sources.files.values()
        label_file, wanted = _plan(question, files, len(paths))
        question = _with_site_fits(question, files, wanted)
        rows = LabelledRows(question)
        rows.read_labels(files[label_file], wanted[label_file])
        for index, file in enumerate(files):
            if index != label_file and wanted[index].columns:
                rows.read_scores(file, wanted[index])
        for index, score in enumerate(question.scores):
            if score.source in sources.tracks:
                track = sources.tracks[score.source]
                lengths = dict(files[label_file].lengths)
                rows.put_scores(index, track_scores(track, rows.variants(), lengths))
    return rows.finish()


def _require_names(scores: Sequence[ScoreColumn]) -> None:
    """Raise `UsageError` where two scores have one name."""
    names = [score.name for score in scores]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two scores are called {name!r}: name one of them anew, NAME=FILE")


def _default_scores(files: list[ScoredFile]) -> tuple[ScoreColumn, ...]:
    """Raises `UsageError` where no file has one."""
    names = dict.fromkeys(name for file in files for name in default_columns(file))
    if not names:
        listed = "; ".join(f"{file.path} has {listing(file.columns)}" for file in files)
        raise UsageError(f"name a column of scores with --score: {listed}")
    return tuple(map(parse_score, names))


def _plan(question: Question, files: list[ScoredFile], n_named: int) -> tuple[int, list[Wanted]]:
    """Which file holds the labels, and what to take from each file.

    Scores are looked for in the scored files first, everything else in the labels first; files
    from `n_named` on have scores alone.
    """
    named = files[:n_named]
    first_scored = 0 if question.labels is None else 1
    label_files = named[:1] if question.labels is not None else named
    label_file = files.index(_files_with(question.label_column, label_files)[0])
    wanted = [Wanted() for _ in files]
    wanted[label_file].label = question.label_column
    for index, score in enumerate(question.scores):
        if score.source is not None:
            for file, each in zip(files, wanted, strict=True):
                if file.path == score.source:
                    each.scores.append((index, only_field(file, score)))
                    break
            continue
        holder, column = _holder(score, named[first_scored:], named[:first_scored])
        wanted[files.index(holder)].scores.append((index, column))
    for name in question.attribute_names:
        wanted[files.index(_files_with(name, named)[0])].attributes.append(name)
    if question.frequency_column is not None:
        holder = _files_with(question.frequency_column, named)[0]
        wanted[files.index(holder)].frequency = question.frequency_column
    if question.consequence:
        _plan_annotation(named, wanted)
    return label_file, wanted


def _with_site_fits(question: Question, files: list[ScoredFile], wanted: list[Wanted]) -> Question:
    """The question, with what the files say of its scores."""
    scores = list(question.scores)
    for file, each in zip(files, wanted, strict=True):
        for index, field in each.scores:
            fitted = holds_site_fits(file, field.column)
            scores[index] = replace(scores[index], holds_site_fits=fitted)
    return replace(question, scores=tuple(scores))


def _holder(
    score: ScoreColumn, scored: list[ScoredFile], others: list[ScoredFile]
) -> tuple[ScoredFile, ScoreField]:
    """The file that has a score, and where in it."""
    found = [(file, column) for file in scored if (column := find_field(file, score.name))]
    if len(found) > 1:
        raise UsageError(
            f"column {score.name!r} is in both {found[0][0].path} and {found[1][0].path}; "
            "give one of them another name (--score NAME=FILE:COLUMN, or annotate --tag)"
        )
    found += [(file, column) for file in others if (column := find_field(file, score.name))]
    if not found:
        raise _no_column(score.name, scored + others)
    return found[0]


def _plan_annotation(files: list[ScoredFile], wanted: list[Wanted]) -> None:
    for file, each in zip(files, wanted, strict=False):
        each.annotation = find_annotation(file)
        if each.annotation is not None:
            return
    listed = "; ".join(f"{file.path} has {listing(file.columns)}" for file in files)
    raise InputError(
        "no file says consequences: neither CSQ, ANN, BCSQ nor MC is there",
        remedy=f"give --gff GFF3 and -f FASTA, and they are found by these; {listed}",
    )


def _files_with(column: str, files: list[ScoredFile]) -> list[ScoredFile]:
    found = [file for file in files if column in file.columns]
    if found:
        return found
    raise _no_column(column, files)


def _no_column(column: str, files: list[ScoredFile]) -> InputError:
    listed = "; ".join(f"{file.path} has {listing(file.columns)}" for file in files)
    return InputError(f"there is no column {column!r}", remedy=listed)
