"""Scores and labels joined: one row per labelled variant, from any number of files."""

from __future__ import annotations

import logging
import math
import sys
from array import array
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, UsageError
from phylotools.evaluate.default_score import default_columns
from phylotools.evaluate.mutation_types import mutation_type
from phylotools.evaluate.selection import (
    MAX_LISTED,
    Question,
    ScoreColumn,
    listing,
    matches,
    parse_score,
    region_filter,
)
from phylotools.io.contigs import contig_resolver
from phylotools.io.files import refuse_two_streams
from phylotools.io.scored import Allele, ScoredFile, open_scored, score_number

logger = logging.getLogger("phylotools")

# Bounds on what is kept only for messages, however odd the file.
_MAX_VALUES_COUNTED = 10_000
_MAX_UNMATCHED = 1_000
_NEGATIVE, _POSITIVE, _BOTH = 0, 1, 2


@dataclass
class _Wanted:
    """The columns to take from one file, as pairs of an index and a column name.

    Attributes
    ----------
    scores : list
        By index in `Question.scores`.
    attributes : list
        By index in `Question.attribute_names`.
    """

    scores: list[tuple[int, str]] = field(default_factory=list)
    attributes: list[tuple[int, str]] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """Names of the columns, scores first."""
        return [name for _, name in (*self.scores, *self.attributes)]


@dataclass(frozen=True)
class LabelledScores:
    """Labelled variants that have every score (M of them, K scores).

    Attributes
    ----------
    columns : tuple of ScoreColumn
        The scores: those asked for, or the default ones of the files.
    scores : float64[K, M]
        As the files give them.
    positive : bool[M]
    sites : int64[M]
        Equal for variants that begin at the same position.
    classes : tuple of str or None
        Class of each variant, ``.`` where it has none; None without a class column.
    types : tuple of str
        `mutation_type` of each variant.
    lacking : dict
        Name of each score -> number of labelled variants without it.
    counts : dict
        How many variants were labelled, and why the others were left out.
    """

    columns: tuple[ScoreColumn, ...]
    scores: NDArray[np.float64]
    positive: NDArray[np.bool_]
    sites: NDArray[np.int64]
    classes: tuple[str, ...] | None
    types: tuple[str, ...]
    lacking: dict[str, int]
    counts: dict[str, int]


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
    refuse_two_streams(*paths)
    with ExitStack() as stack:
        files = [stack.enter_context(open_scored(path)) for path in paths]
        if not question.scores:
            scored = files[len(files) - len(question.scored) :]
            question = replace(question, scores=_default_scores(scored))
        label_file, wanted = _plan(question, files)
        rows = _Rows(question)
        rows.read_labels(files[label_file], wanted[label_file])
        for index, file in enumerate(files):
            if index != label_file and (wanted[index].scores or wanted[index].attributes):
                rows.read_scores(file, wanted[index])
    return rows.finish()


def _default_scores(files: list[ScoredFile]) -> tuple[ScoreColumn, ...]:
    """Raises `UsageError` where no file has one."""
    names = dict.fromkeys(name for file in files for name in default_columns(file))
    if not names:
        listed = "; ".join(f"{file.path} has {listing(file.columns)}" for file in files)
        raise UsageError(f"name a column of scores with --score: {listed}")
    return tuple(map(parse_score, names))


def _plan(question: Question, files: list[ScoredFile]) -> tuple[int, list[_Wanted]]:
    """Which file holds the labels, and what to take from each file.

    Scores are looked for in the scored files first, everything else in the labels first.
    """
    first_scored = 0 if question.labels is None else 1
    label_files = files[:1] if question.labels is not None else files
    label_file = files.index(_files_with(question.label_column, label_files)[0])
    wanted = [_Wanted() for _ in files]
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


@dataclass
class _Rows:
    """Labelled variants while they are being collected."""

    question: Question
    index: dict[str, dict[tuple[int, str, str], int]] = field(default_factory=dict)
    contig_indices: array[int] = field(default_factory=lambda: array("l"))
    positions: array[int] = field(default_factory=lambda: array("q"))
    types: list[str] = field(default_factory=list)
    verdicts: bytearray = field(default_factory=bytearray)
    values: Counter[str] = field(default_factory=Counter)
    outside_regions: int = 0
    conflicts: set[tuple[int, int]] = field(default_factory=set)
    ambiguous_attributes: int = 0

    def __post_init__(self) -> None:
        self.scores = [array("d") for _ in self.question.scores]
        self.attributes: list[list[str | None]] = [[] for _ in self.question.attribute_names]

    def read_labels(self, file: ScoredFile, wanted: _Wanted) -> None:
        """Make a row of each variant that is labelled positive or negative."""
        is_inside = region_filter(self.question.regions)
        verdicts: dict[str, int | None] = {}
        for allele in file.alleles([*wanted.columns, self.question.label_column]):
            text = allele.values[-1]
            if text is None:
                continue
            if text in verdicts:
                self.values[text] += 1
                verdict = verdicts[text]
            else:
                verdict = self._verdict(text)
                if len(verdicts) < _MAX_VALUES_COUNTED:
                    verdicts[text] = verdict
                    self.values[text] += 1
            if verdict is None:
                continue
            if not is_inside(allele.contig, allele.position):
                self.outside_regions += 1
                continue
            self._take(file, allele, self._add(allele, verdict), wanted)
        self._check_both_classes(file)

    def read_scores(self, file: ScoredFile, wanted: _Wanted) -> None:
        """Fill in the scores, and other columns, of the variants that have a row."""
        resolve = contig_resolver(self.index)
        contigs: Counter[str] = Counter()
        unmatched: list[tuple[str, Allele]] = []
        found = False
        for allele in file.alleles(wanted.columns):
            contig = resolve(allele.contig)
            if contig is None:
                if len(contigs) < MAX_LISTED or allele.contig in contigs:
                    contigs[allele.contig] += 1
                continue
            row = self.index[contig].get((allele.position, allele.ref, allele.alt))
            if row is None:
                if not found and len(unmatched) < _MAX_UNMATCHED:
                    unmatched.append((contig, allele))
                continue
            found = True
            self._take(file, allele, row, wanted)
        if not found:
            raise InputError(
                "none of the labelled variants is in this file",
                path=file.path,
                remedy=self._likely_cause(contigs, unmatched),
            )

    def finish(self) -> LabelledScores:
        """Leave out what is contradictory, excluded or incomplete, and say how much."""
        verdicts = np.frombuffer(bytes(self.verdicts), dtype=np.uint8)
        contradictory = verdicts == _BOTH
        for index, row in self.conflicts:
            self.scores[index][row] = math.nan
        self._warn(int(contradictory.sum()))
        keep = ~contradictory
        for (_, values), column in zip(self.question.where, self.attributes, strict=False):
            keep &= [text is not None and matches(text, values) for text in column]
        excluded = int((~contradictory & ~keep).sum())
        scores = np.array([np.frombuffer(column) for column in self.scores])
        lacking = {
            score.name: int(np.isnan(row[keep]).sum())
            for score, row in zip(self.question.scores, scores, strict=True)
        }
        complete = keep & ~np.isnan(scores).any(axis=0)
        counts = {
            "labelled_positive": int((verdicts[keep] == _POSITIVE).sum()),
            "labelled_negative": int((verdicts[keep] == _NEGATIVE).sum()),
            "contradictory_labels": int(contradictory.sum()),
            "outside_regions": self.outside_regions,
            "excluded_by_where": excluded,
            "contradictory_scores": len(self.conflicts),
            "compared": int(complete.sum()),
        }
        positive = verdicts[complete] == _POSITIVE
        self._check_complete(positive, keep, counts, lacking)
        classes = None
        if self.question.class_column is not None:
            column = self.attributes[-1]
            classes = tuple(column[row] or "." for row in np.flatnonzero(complete))
        contigs = np.frombuffer(self.contig_indices, dtype=f"i{self.contig_indices.itemsize}")
        site_keys = (contigs.astype(np.int64) << 40) + np.frombuffer(self.positions, dtype=np.int64)
        sites = np.unique(site_keys[complete], return_inverse=True)[1].astype(np.int64)
        columns = self.question.scores
        types = tuple(self.types[row] for row in np.flatnonzero(complete))
        return LabelledScores(
            columns, scores[:, complete], positive, sites, classes, types, lacking, counts
        )

    def _verdict(self, text: str) -> int | None:
        positive = matches(text, self.question.positive)
        negative = matches(text, self.question.negative)
        if positive and negative:
            return _BOTH
        return _POSITIVE if positive else _NEGATIVE if negative else None

    def _add(self, allele: Allele, verdict: int) -> int:
        contig = self.index.setdefault(allele.contig, {})
        row = contig.setdefault((allele.position, allele.ref, allele.alt), len(self.verdicts))
        if row < len(self.verdicts):
            if self.verdicts[row] != verdict:
                self.verdicts[row] = _BOTH
            return row
        self.verdicts.append(verdict)
        self.contig_indices.append(len(self.index) - 1)
        self.positions.append(allele.position)
        # One string object a type, however many variants it has.
        self.types.append(sys.intern(mutation_type(allele.ref, allele.alt)))
        for column in self.scores:
            column.append(math.nan)
        for attribute in self.attributes:
            attribute.append(None)
        return row

    def _take(self, file: ScoredFile, allele: Allele, row: int, wanted: _Wanted) -> None:
        """Put the values of an allele, in the order of `_Wanted.columns`, into its row."""
        for (index, name), text in zip(wanted.scores, allele.values, strict=False):
            value = score_number(text, name, file, allele.line)
            known = self.scores[index][row]
            if known != known:
                self.scores[index][row] = value
            elif value == value and known != value:
                self.conflicts.add((index, row))
        texts = allele.values[len(wanted.scores) :]
        for (index, _), text in zip(wanted.attributes, texts, strict=False):
            known_text = self.attributes[index][row]
            if known_text is None:
                self.attributes[index][row] = text
            elif text is not None and known_text != text:
                self.ambiguous_attributes += 1

    def _check_both_classes(self, file: ScoredFile) -> None:
        """Raise InputError, with what there is, where one of the two classes has no variant."""
        found = set(self.verdicts)
        for verdict, name, values in (
            (_POSITIVE, "positive", self.question.positive),
            (_NEGATIVE, "negative", self.question.negative),
        ):
            if verdict in found:
                continue
            if self.outside_regions:
                raise InputError(
                    f"no {name} variant lies in the regions ({self.outside_regions:,} labelled "
                    "variants lie outside)",
                    path=file.path,
                    remedy="check contig names and coordinates of the regions",
                )
            common = [f"{text} ({count:,})" for text, count in self.values.most_common(10)]
            raise InputError(
                f"no variant has the {name} value {listing(sorted(values))} in column "
                f"{self.question.label_column!r}",
                path=file.path,
                remedy=f"its most frequent values: {listing(common)}",
            )

    def _check_complete(
        self,
        positive: NDArray[np.bool_],
        keep: NDArray[np.bool_],
        counts: dict[str, int],
        lacking: dict[str, int],
    ) -> None:
        """Raise InputError, with the reason, where one class is empty among complete cases."""
        if positive.any() and not positive.all():
            return
        name = "negative" if positive.any() else "positive"
        if not counts[f"labelled_{name}"]:
            raise InputError(
                f"no {name} variant is left: {counts['contradictory_labels']:,} have contradictory "
                f"labels, {counts['excluded_by_where']:,} do not pass --where",
                remedy="check --positive, --negative and --where",
            )
        listed = ", ".join(f"{score}: {count:,}" for score, count in lacking.items())
        raise InputError(
            f"no {name} variant has all scores; of {int(keep.sum()):,} labelled variants, lacking "
            f"are {listed}",
            remedy="leave out the score that is missing, or score these variants first",
        )

    def _warn(self, contradictory: int) -> None:
        for count, what in (
            (contradictory, "variants were left out because their labels contradict each other"),
            (len(self.conflicts), "scores were left out because a variant has two values"),
            (self.ambiguous_attributes, "further values of a class or --where column were ignored"),
        ):
            if count:
                logger.warning("%s %s", f"{count:,}", what)

    def _likely_cause(self, contigs: Counter[str], unmatched: list[tuple[str, Allele]]) -> str:
        """Why a scored file and the labels share no variant."""
        if not unmatched and not contigs:
            return "the file has no variants"
        if not unmatched:
            return f"its contigs are {listing(contigs)}, those of the labels {listing(self.index)}"
        places = {contig: {key[0]: key[1] for key in keys} for contig, keys in self.index.items()}
        at_same_place = [
            (allele.ref, places[contig][allele.position])
            for contig, allele in unmatched
            if allele.position in places[contig]
        ]
        differing = sum(len(ref) == len(other) and ref != other for ref, other in at_same_place)
        if differing > len(at_same_place) / 2:
            return (
                f"REF differs at {differing:,} of {len(at_same_place):,} shared positions: the two "
                "files are probably on different assemblies"
            )
        return "contig names agree, but no position and alleles do: compare their assemblies"
