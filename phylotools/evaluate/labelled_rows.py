"""Labelled variants while they are collected: rows by variant, and what files say of them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.evaluate.consequences import AnnotationColumn
from phylotools.evaluate.join_kernels import put_codes, put_labels, put_numbers
from phylotools.evaluate.labelled import (
    NO_LEVEL,
    Factor,
    LabelKind,
    LabelledScores,
    Variants,
    dense,
)
from phylotools.evaluate.labelled_checks import (
    LABELS_REMEDY,
    POSITIVE,
    require_complete,
    require_labels,
    warn_of_left_out,
)
from phylotools.evaluate.mutation_types import MUTATION_TYPE, mutation_type
from phylotools.evaluate.score_sources import ScoreField
from phylotools.evaluate.selection import (
    CONTIGS,
    MAX_LISTED,
    SITES,
    Question,
    listing,
    matches,
    rows_inside,
)
from phylotools.evaluate.variant_index import KeyTable, parted, places_of
from phylotools.io.allele_blocks import AlleleBlock, Texts
from phylotools.io.contigs import contig_resolver
from phylotools.io.nearby import lines_near
from phylotools.io.scored import ScoredFile

logger = logging.getLogger("phylotools")

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
# Bounds on what is kept only for messages, however odd the file.
_MAX_VALUES_COUNTED = 10_000
#: Names of the strata that an annotation gives.
CONSEQUENCE, GENE = "consequence", "gene"
_BASES = np.frombuffer(b"ACGT", dtype=np.uint8)


@dataclass
class Wanted:
    """What to take from one file.

    Attributes
    ----------
    scores : list
        Index in `Question.scores`, and where the score stands.
    attributes : list of str
        Columns of categories.
    frequency, label : str or None
        Columns.
    annotation : AnnotationColumn or None
        Of consequences.
    """

    scores: list[tuple[int, ScoreField]] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    frequency: str | None = None
    label: str | None = None
    annotation: AnnotationColumn | None = None

    @property
    def columns(self) -> list[str]:
        """Scores, then frequency, categories and annotation, and the label at the end."""
        names = [each.column for _, each in self.scores]
        names += [self.frequency] if self.frequency is not None else []
        names += self.attributes
        names += [self.annotation.column] if self.annotation is not None else []
        return [*names, self.label] if self.label is not None else names

    @property
    def whole(self) -> list[int]:
        """Which columns are wanted as records have them."""
        found = [index for index, (_, each) in enumerate(self.scores) if each.parts]
        if self.annotation is not None:
            found.append(len(self.columns) - 1 - (self.label is not None))
        return found


class _Column:
    """Categories of rows."""

    def __init__(self) -> None:
        self.codes = np.empty(0, dtype=np.int32)
        self.levels: dict[str, int] = {}
        self.n_ignored = 0

    def put(self, rows: Integers, texts: Texts) -> None:
        """Put texts into rows: the first that is one stays."""
        numbers = [
            -1 if text is None else self.levels.setdefault(text, len(self.levels))
            for text in texts.distinct
        ]
        codes = np.array(numbers, dtype=np.int64)[texts.codes]
        self.n_ignored += put_codes(self.codes, rows, codes)

    def factor(self, name: str, rows: Integers) -> Factor:
        """The rows chosen; levels in the order in which they are first seen there."""
        codes = self.codes[rows]
        numbers, firsts, places = np.unique(codes, return_index=True, return_inverse=True)
        order = np.argsort(firsts)
        rank = np.empty(len(order), dtype=np.int32)
        rank[order] = np.arange(len(order))
        texts = list(self.levels)
        found = [NO_LEVEL if code < 0 else texts[code] for code in numbers[order].tolist()]
        return Factor(name, tuple(found), rank[places])


class LabelledRows:
    """Rows of labelled variants.

    Parameters
    ----------
    question : Question
    """

    def __init__(self, question: Question) -> None:
        self.question = question
        self._contigs: dict[str, int] = {}
        self._index = KeyTable()
        self._sites = KeyTable()
        self._letters = np.empty(0, dtype=np.uint8)
        self._pairs: dict[int, tuple[str, str]] = {}
        self._labels = np.empty(0)
        self._contradictory = np.empty(0, dtype=bool)
        self._mismatched = np.empty(0, dtype=bool)
        # Scores, then the frequency.
        self._numbers = [np.empty(0) for _ in range(len(question.scores) + 1)]
        self._conflicts = [np.empty(0, dtype=bool) for _ in self._numbers]
        names = [*question.attribute_names, *([CONSEQUENCE, GENE] if question.consequence else [])]
        self._columns = {name: _Column() for name in names}
        self._values: Counter[str] = Counter()
        self._outside_regions = 0

    def __len__(self) -> int:
        return len(self._index)

    def read_labels(self, file: ScoredFile, wanted: Wanted) -> None:
        """Make a row of each variant that has a label of those asked for."""
        known: dict[str, float] = {}
        columns = wanted.columns
        for block in file.blocks(columns, whole=wanted.whole):
            labels, is_labelled = self._block_labels(block, len(columns) - 1, known)
            is_inside = rows_inside(
                self.question.regions, block.contigs, (block.contig_index, block.starts)
            )
            self._outside_regions += int((is_labelled & ~is_inside).sum())
            chosen = np.flatnonzero(is_labelled & is_inside)
            if len(chosen):
                rows = self._add(block, chosen, labels[chosen])
                self._take(file, block, chosen, rows, wanted)
        found = frozenset(np.unique(self._labels[: len(self)]).tolist())
        require_labels(self.question, file.path, found, self._values, self._outside_regions)

    def read_scores(self, file: ScoredFile, wanted: Wanted) -> None:
        """Fill in the scores, and other columns, of the variants that have a row."""
        resolve = contig_resolver(self._contigs)
        strange: Counter[str] = Counter()
        n_found = n_read = 0
        is_met = np.zeros(len(self._sites), dtype=bool)
        is_other = np.zeros(len(self._sites), dtype=bool)
        lines = lines_near(file.path, self._positions())
        for block in file.blocks(wanted.columns, whole=wanted.whole, lines=lines):
            n_read += len(block)
            numbers = []
            for name in block.contigs:
                contig = resolve(name)
                numbers.append(-1 if contig is None else self._contigs[contig])
                if contig is None and (len(strange) < MAX_LISTED or name in strange):
                    strange[name] += 1
            contigs = np.array(numbers, dtype=np.int64)[block.contig_index]
            places = places_of(contigs, block.starts)
            sites = self._sites.find(places, np.zeros(len(places), dtype=np.uint64))
            near = np.flatnonzero(sites >= 0)
            if not len(near):
                continue
            letters, known = block.first_letters()[near], self._letters[sites[near]]
            differs = (letters != known) & np.isin(letters, _BASES) & np.isin(known, _BASES)
            is_met[sites[near]] = True
            is_other[sites[near[differs]]] = True
            rows = self._index.find(places[near], block.keys[near])
            near, rows = near[rows >= 0], rows[rows >= 0]
            n_found += len(rows)
            self._take(file, block, near, rows, wanted)
        is_empty = not n_read and lines is None
        self._check_found(file, n_found, None if is_empty else strange, int(is_met.sum()), is_other)

    def put_scores(self, index: int, values: Floats) -> None:
        """Give every row its score.

        Parameters
        ----------
        index : int
            In `Question.scores`.
        values : float64 array [N]
        """
        self._numbers[index][: len(self)] = values

    def variants(self) -> Variants:
        """All rows."""
        contigs, positions = parted(self._index.places)
        pairs = list(map(self._pairs.__getitem__, self._index.keys.tolist()))
        refs, alts = zip(*pairs, strict=True) if pairs else ((), ())
        return Variants(tuple(self._contigs), contigs.astype(np.int32), positions, refs, alts)

    def finish(self) -> LabelledScores:
        """Leave out what is contradictory, excluded or incomplete, and say how much."""
        question, n = self.question, len(self)
        n_scores = len(question.scores)
        labels, contradictory = self._labels[:n], self._contradictory[:n]
        scores = np.array([column[:n] for column in self._numbers[:n_scores]])
        conflicts = np.array([column[:n] for column in self._conflicts[:n_scores]])
        scores[conflicts] = np.nan
        keep = ~contradictory
        for name, values in question.where:
            column = self._columns[name]
            allowed = np.array([*(matches(text, values) for text in column.levels), False])
            keep &= allowed[column.codes[:n]]
        lacking = {
            score.name: int(np.isnan(row[keep]).sum())
            for score, row in zip(question.scores, scores, strict=True)
        }
        complete = keep & ~np.isnan(scores).any(axis=0)
        counts = self._labelled(labels[keep]) | {
            "contradictory_labels": int(contradictory.sum()),
            "outside_regions": self._outside_regions,
            "excluded_by_where": int((~contradictory & ~keep).sum()),
            "contradictory_scores": int(conflicts.sum()),
            "ref_mismatch": int(self._mismatched[:n][keep].sum()),
            "compared": int(complete.sum()),
        }
        warn_of_left_out(counts, sum(column.n_ignored for column in self._columns.values()))
        require_complete(question.kind, labels[complete], int(keep.sum()), counts, lacking)
        rows = np.flatnonzero(complete)
        every = self.variants()
        clusters, clusters_by = self._clusters(every, rows)
        names = [*question.strata, *([CONSEQUENCE, GENE] if question.consequence else [])]
        return LabelledScores(
            columns=question.scores,
            scores=scores[:, rows],
            kind=question.kind,
            labels=labels[rows],
            clusters=clusters,
            label_low=question.label_low,
            order=question.order,
            clusters_by=clusters_by,
            matches=self._factor(question.match_column, rows),
            strata=tuple(self._columns[name].factor(name, rows) for name in names),
            types=self._types(rows),
            frequency=None
            if question.frequency_column is None
            else self._numbers[n_scores][:n][rows],
            variants=every.take(rows),
            lacking=lacking,
            counts=counts,
        )

    def _block_labels(
        self, block: AlleleBlock, column: int, known: dict[str, float]
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Labels of a block, NaN where a text says several, and which rows have one."""
        rows = np.arange(len(block))
        if self.question.kind == LabelKind.NUMBERS:
            labels = block.numbers(column, rows, LABELS_REMEDY)
            return labels, ~np.isnan(labels)
        texts = block.texts(column, rows)
        counts = np.bincount(texts.codes, minlength=len(texts.distinct)).tolist()
        found = []
        for text, count in zip(texts.distinct, counts, strict=True):
            if text is not None and text not in known:
                if len(known) >= _MAX_VALUES_COUNTED:
                    known.clear()
                known[text] = self._label(text)
            found.append(-1.0 if text is None else known[text])
            if text is not None and (
                text in self._values or len(self._values) < _MAX_VALUES_COUNTED
            ):
                self._values[text] += count
        labels = np.array(found)[texts.codes] if found else np.empty(0)
        return labels, ~(labels < 0)

    def _label(self, text: str) -> float:
        """The class that a text says; NaN where it says several, -1 where none."""
        question = self.question
        names = [question.negative, question.positive]
        if question.order:
            names = [frozenset([name]) for name in question.order]
        found = [number for number, values in enumerate(names) if matches(text, values)]
        return -1.0 if not found else float(found[0]) if len(found) == 1 else np.nan

    def _add(self, block: AlleleBlock, chosen: Integers, labels: Floats) -> Integers:
        """Rows of the chosen alleles of a block, new ones among them."""
        for name in block.contigs:
            self._contigs.setdefault(name, len(self._contigs))
        numbers = np.array([self._contigs[name] for name in block.contigs], dtype=np.int64)
        places = places_of(numbers[block.contig_index[chosen]], block.starts[chosen])
        keys = block.keys[chosen]
        n_known, n_sites = len(self._index), len(self._sites)
        rows = self._index.add(places, keys)
        sites = self._sites.add(places, np.zeros(len(places), dtype=np.uint64))
        self._grow()
        put_labels(self._labels, n_known, rows, labels, self._contradictory)
        is_new = sites >= n_sites
        # The first of each is written last.
        self._letters[sites[is_new][::-1]] = block.first_letters()[chosen[is_new]][::-1]
        distinct, firsts = np.unique(keys, return_index=True)
        for key, first in zip(distinct.tolist(), firsts.tolist(), strict=True):
            if key not in self._pairs:
                self._pairs[key] = block.alleles(int(chosen[first]))
        return rows

    def _grow(self) -> None:
        n, size = len(self._index), len(self._labels)
        self._letters = _grown(self._letters, len(self._sites), 0)
        if n <= size:
            return
        self._labels = _grown(self._labels, n, np.nan)
        self._contradictory = _grown(self._contradictory, n, False)
        self._mismatched = _grown(self._mismatched, n, False)
        self._numbers = [_grown(column, n, np.nan) for column in self._numbers]
        self._conflicts = [_grown(column, n, False) for column in self._conflicts]
        for column in self._columns.values():
            column.codes = _grown(column.codes, n, -1)

    def _take(
        self, file: ScoredFile, block: AlleleBlock, chosen: Integers, rows: Integers, wanted: Wanted
    ) -> None:
        """Put the values of the chosen alleles of a block into their rows."""
        place = 0
        for index, place_of_score in wanted.scores:
            if place_of_score.parts:
                values = self._largest(file, block, place, chosen, place_of_score)
            else:
                values = block.numbers(place, chosen)
            put_numbers(self._numbers[index], rows, values, self._conflicts[index])
            place += 1
        if wanted.frequency is not None:
            values = block.numbers(place, chosen, "name a column of numbers")
            put_numbers(self._numbers[-1], rows, values, self._conflicts[-1])
            place += 1
        for name in wanted.attributes:
            self._columns[name].put(rows, block.texts(place, chosen))
            place += 1
        if wanted.annotation is not None:
            self._classify(block, place, chosen, rows, wanted.annotation)

    def _largest(
        self, file: ScoredFile, block: AlleleBlock, place: int, chosen: Integers, part: ScoreField
    ) -> Floats:
        texts = block.texts(place, chosen)
        values = np.empty(len(chosen))
        for at, (row, code) in enumerate(zip(chosen.tolist(), texts.codes.tolist(), strict=True)):
            text = texts.distinct[code]
            line = block.line(row) or 0
            values[at] = part.number(text, _spellings(block, row), file, line)
        return values

    def _classify(
        self,
        block: AlleleBlock,
        place: int,
        chosen: Integers,
        rows: Integers,
        annotation: AnnotationColumn,
    ) -> None:
        """Put consequence and gene of alleles into their rows."""
        texts = block.texts(place, chosen)
        found = []
        for row, code in zip(chosen.tolist(), texts.codes.tolist(), strict=True):
            ref, alt = block.alleles(row)
            written = block.written_alt(row)
            # What an indel's alleles share is its first base, which VEP leaves out.
            first = written[:1] if ref[:1] == alt[:1] else ""
            found.append(annotation.classify(texts.distinct[code], written, first))
        for name, part in ((CONSEQUENCE, 0), (GENE, 1)):
            factor = Factor.of(name, (each[part] for each in found))
            distinct = [None if level == NO_LEVEL else level for level in factor.levels]
            self._columns[name].put(rows, Texts(distinct, factor.codes.astype(np.int64)))

    def _positions(self) -> Callable[[], dict[str, Integers]]:
        """Positions of the rows, rising, by contig; made only when they are asked for."""

        def positions() -> dict[str, Integers]:
            contigs, found = parted(np.sort(self._sites.places))
            bounds = np.searchsorted(contigs, np.arange(len(self._contigs) + 1))
            return {
                name: found[bounds[number] : bounds[number + 1]]
                for name, number in self._contigs.items()
            }

        return positions

    def _labelled(self, labels: Floats) -> dict[str, int]:
        """How many variants have a label, by its class."""
        if self.question.kind == LabelKind.CLASSES:
            n_positive = int((labels == POSITIVE).sum())
            return {
                "labelled_positive": n_positive,
                "labelled_negative": len(labels) - n_positive,
            }
        numbers = enumerate(self.question.order)
        named = {f"labelled_{name}": int((labels == number).sum()) for number, name in numbers}
        return named or {"labelled": len(labels)}

    def _factor(self, name: str | None, rows: Integers) -> Factor | None:
        return None if name is None else self._columns[name].factor(name, rows)

    def _types(self, rows: Integers) -> Factor:
        keys, codes = np.unique(self._index.keys[rows], return_inverse=True)
        found = Factor.of(MUTATION_TYPE, (mutation_type(*self._pairs[k]) for k in keys.tolist()))
        return Factor(found.name, found.levels, found.codes[codes])

    def _clusters(self, every: Variants, rows: Integers) -> tuple[Integers, str]:
        """What is resampled as a whole, and how to call it."""
        column = self.question.cluster_column
        if column is not None:
            by = "matched groups" if self.question.resample is None else column
            return dense(self._columns[column].factor(column, rows).codes), by
        if self.question.resample == CONTIGS:
            return dense(every.contig_index[rows]), CONTIGS
        return dense(self._index.places[rows]), SITES

    def _check_found(
        self,
        file: ScoredFile,
        n_found: int,
        strange: Counter[str] | None,
        n_met: int,
        is_other: NDArray[np.bool_],
    ) -> None:
        """Raise InputError where a file has none of the variants, or other bases for REF."""
        n_other = int(is_other.sum())
        differing = f"REF differs at {n_other:,} of {n_met:,} shared positions"
        if not n_found:
            if strange is None:
                cause = "the file has no variants"
            elif n_other > n_met / 2:
                cause = f"{differing}: the two files are probably on different assemblies"
            elif n_met or not strange:
                cause = (
                    "contig names agree, but no position and alleles do: compare their assemblies"
                )
            else:
                cause = (
                    f"its contigs are {listing(strange)}, those of the labels "
                    f"{listing(self._contigs)}"
                )
            problem = "none of the labelled variants is in this file"
            raise InputError(problem, path=file.path, remedy=cause)
        if n_other > n_met / 2:
            raise InputError(
                f"{differing} with the labels",
                path=file.path,
                remedy="it is probably of another assembly: give the scores of that of the labels",
            )
        if n_other:
            logger.warning("%s: %s with the labels: no score there", file.path, differing)
            sites = self._sites.find(
                self._index.places, np.zeros(len(self._index), dtype=np.uint64)
            )
            self._mismatched[: len(self)] |= is_other[sites]


def _spellings(block: AlleleBlock, row: int) -> tuple[str, ...]:
    """How annotations may write an ALT: as the record, or as VEP, without a shared first base."""
    written = block.written_alt(row)
    ref, alt = block.alleles(row)
    return (written, alt) if len(ref) == len(alt) else (written, alt, written[1:] or "-")


def _grown(array: NDArray[Any], n: int, fill: float) -> NDArray[Any]:
    """An array with room for n items, and for as many again that come next."""
    if n <= len(array):
        return array
    larger = np.full(max(2 * len(array), n, 1024), fill, dtype=array.dtype)
    larger[: len(array)] = array
    return larger
