"""Labelled variants while they are being collected, and what is left of them."""

from __future__ import annotations

import logging
import math
from array import array
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.evaluate.readers import Variant, VariantTable
from phylotools.evaluate.selection import (
    MAX_LISTED,
    Question,
    RegionFilter,
    contig_resolver,
    listing,
    matches,
    shown,
)

logger = logging.getLogger("phylotools")

#: Spellings of a score that is not there, in lower case.
MISSING_SCORE = frozenset({"na", "n/a", "nan", "null", "none", "-"})
# Bounds on what is kept only for messages, however odd the file.
_MAX_VALUES_COUNTED = 10_000
_MAX_UNMATCHED = 1_000
_NEGATIVE, _POSITIVE, _BOTH = 0, 1, 2


@dataclass
class Wanted:
    """What to take from one file, as (number, column name) pairs.

    Attributes
    ----------
    scores : list
        Numbered as in `Question.scores`.
    attributes : list
        Numbered as in `Question.attribute_names`.
    """

    scores: list[tuple[int, str]] = field(default_factory=list)
    attributes: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class LabelledScores:
    """Labelled variants that have every score (M of them, K scores).

    Attributes
    ----------
    scores : float64[K, M]
        As the files give them.
    positive : bool[M]
    sites : int64[M]
        Equal for variants that begin at the same position.
    classes : tuple of str or None
        Class of each variant, ``.`` where it has none; None without a class column.
    lacking : dict
        Name of each score -> number of labelled variants without it.
    counts : dict
        How many variants were labelled, and why the others were left out.
    """

    scores: NDArray[np.float64]
    positive: NDArray[np.bool_]
    sites: NDArray[np.int64]
    classes: tuple[str, ...] | None
    lacking: dict[str, int]
    counts: dict[str, int]


@dataclass
class LabelledRows:
    """Labelled variants while they are being collected."""

    question: Question
    index: dict[str, dict[tuple[int, str, str], int]] = field(default_factory=dict)
    contig_numbers: array[int] = field(default_factory=lambda: array("l"))
    positions: array[int] = field(default_factory=lambda: array("q"))
    verdicts: bytearray = field(default_factory=bytearray)
    values: Counter[str] = field(default_factory=Counter)
    outside_regions: int = 0
    conflicts: set[tuple[int, int]] = field(default_factory=set)
    ambiguous_attributes: int = 0

    def __post_init__(self) -> None:
        self.scores = [array("d") for _ in self.question.scores]
        self.attributes: list[list[str | None]] = [[] for _ in self.question.attribute_names]

    def read_labels(self, table: VariantTable, wanted: Wanted) -> None:
        """Make a row of each variant that is labelled positive or negative."""
        inside = None if self.question.regions is None else RegionFilter(self.question.regions)
        for variant in table.variants():
            text = table.value(variant, self.question.label_column)
            if text is None:
                continue
            if len(self.values) < _MAX_VALUES_COUNTED or text in self.values:
                self.values[text] += 1
            verdict = self._verdict(text)
            if verdict is None:
                continue
            if inside is not None and not inside(variant.contig, variant.position):
                self.outside_regions += 1
                continue
            row = self._add(variant, verdict)
            self._take(table, variant, row, wanted)
        self._check_both_classes(table)

    def read_scores(self, table: VariantTable, wanted: Wanted) -> None:
        """Fill in the scores, and other columns, of the variants that have a row."""
        resolve = contig_resolver(self.index)
        contigs: Counter[str] = Counter()
        unmatched: list[tuple[str, Variant]] = []
        found = False
        for variant in table.variants():
            contig = resolve(variant.contig)
            if contig is None:
                if len(contigs) < MAX_LISTED or variant.contig in contigs:
                    contigs[variant.contig] += 1
                continue
            row = self.index[contig].get((variant.position, variant.ref, variant.alt))
            if row is None:
                if not found and len(unmatched) < _MAX_UNMATCHED:
                    unmatched.append((contig, variant))
                continue
            found = True
            self._take(table, variant, row, wanted)
        if not found:
            raise InputError(
                "none of the labelled variants is in this file",
                path=table.path,
                remedy=self._likely_cause(contigs, unmatched),
            )

    def finish(self) -> LabelledScores:
        """Leave out what is contradictory, excluded or incomplete, and say how much."""
        verdicts = np.frombuffer(bytes(self.verdicts), dtype=np.uint8)
        contradictory = verdicts == _BOTH
        for number, row in self.conflicts:
            self.scores[number][row] = math.nan
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
        contigs = np.frombuffer(self.contig_numbers, dtype=f"i{self.contig_numbers.itemsize}")
        site_keys = (contigs.astype(np.int64) << 40) + np.frombuffer(self.positions, dtype=np.int64)
        sites = np.unique(site_keys[complete], return_inverse=True)[1].astype(np.int64)
        return LabelledScores(scores[:, complete], positive, sites, classes, lacking, counts)

    def _verdict(self, text: str) -> int | None:
        positive = matches(text, self.question.positive)
        negative = matches(text, self.question.negative)
        if positive and negative:
            return _BOTH
        return _POSITIVE if positive else _NEGATIVE if negative else None

    def _add(self, variant: Variant, verdict: int) -> int:
        contig = self.index.setdefault(variant.contig, {})
        row = contig.setdefault((variant.position, variant.ref, variant.alt), len(self.verdicts))
        if row < len(self.verdicts):
            if self.verdicts[row] != verdict:
                self.verdicts[row] = _BOTH
            return row
        self.verdicts.append(verdict)
        self.contig_numbers.append(len(self.index) - 1)
        self.positions.append(variant.position)
        for column in self.scores:
            column.append(math.nan)
        for attribute in self.attributes:
            attribute.append(None)
        return row

    def _take(self, table: VariantTable, variant: Variant, row: int, wanted: Wanted) -> None:
        for number, name in wanted.scores:
            value = score_value(table, variant, name)
            if math.isnan(value):
                continue
            known = self.scores[number][row]
            if math.isnan(known):
                self.scores[number][row] = value
            elif known != value:
                self.conflicts.add((number, row))
        for number, name in wanted.attributes:
            text = table.value(variant, name)
            if text is None:
                continue
            if self.attributes[number][row] is None:
                self.attributes[number][row] = text
            elif self.attributes[number][row] != text:
                self.ambiguous_attributes += 1

    def _check_both_classes(self, table: VariantTable) -> None:
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
                    path=table.path,
                    remedy="check contig names and coordinates of the regions",
                )
            common = [f"{text} ({count:,})" for text, count in self.values.most_common(10)]
            raise InputError(
                f"no variant has the {name} value {listing(sorted(values))} in column "
                f"{self.question.label_column!r}",
                path=table.path,
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

    def _likely_cause(self, contigs: Counter[str], unmatched: list[tuple[str, Variant]]) -> str:
        """Why a scored file and the labels share no variant."""
        if not unmatched and not contigs:
            return "the file has no variants"
        if not unmatched:
            return f"its contigs are {listing(contigs)}, those of the labels {listing(self.index)}"
        places = {contig: {key[0]: key[1] for key in keys} for contig, keys in self.index.items()}
        at_same_place = [
            (variant.ref, places[contig][variant.position])
            for contig, variant in unmatched
            if variant.position in places[contig]
        ]
        differing = sum(len(ref) == len(other) and ref != other for ref, other in at_same_place)
        if differing > len(at_same_place) / 2:
            return (
                f"REF differs at {differing:,} of {len(at_same_place):,} shared positions: the two "
                "files are probably on different assemblies"
            )
        return "contig names agree, but no position and alleles do: compare their assemblies"


def score_value(table: VariantTable, variant: Variant, column: str) -> float:
    """A score as a number; NaN where there is none.

    Raises
    ------
    InputError
        If the text is no number.
    """
    text = table.value(variant, column)
    if text is None or text.lower() in MISSING_SCORE:
        return math.nan
    try:
        if "_" in text:
            raise ValueError
        return float(text)
    except ValueError:
        raise InputError(
            f"{shown(text)!r} in column {column!r} is not a number",
            path=table.path,
            line=variant.line,
            remedy="name a column of numbers with --score",
        ) from None
