"""Labels out of files: of single-nucleotide variants, and of the regions of a BED."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, UsageError, counted, shown
from phylotools.evaluate.selection import SEPARATORS, listing, matches, region_filter
from phylotools.finetuning.items import CONTIG, ItemRows, LabelledItems, LabelQuestion
from phylotools.io.bases import BASES
from phylotools.io.bed import bed_rows
from phylotools.io.contigs import one_spelling, resolve_contigs
from phylotools.io.files import open_input
from phylotools.io.regions import RegionSet
from phylotools.io.scored import MISSING_SCORE, open_scored

logger = logging.getLogger("phylotools")

_MAX_VALUES_COUNTED = 10_000
_MOST_LISTED = 10
_SNIFFED_BYTES = 1 << 16
#: Labels that are numbers are no larger, and differ by more than one over this: squares are taken.
_LARGEST_LABEL = 1e20
#: Columns of a BED that have names, by number.
_BED_COLUMNS = {"name": 4, "score": 5, "strand": 6}


class _Row(NamedTuple):
    """What a file says of one item: where, its text of each column asked for, and its alleles."""

    place: tuple[str, int, int]
    values: Mapping[str, str | None]
    alleles: tuple[str, str] | None
    line: int


def is_bed(path: str) -> bool:
    """Whether a file is BED: its first line of data has whole numbers in columns 2 and 3."""
    if path == "-":
        return False
    with open_input(path) as handle:
        text = handle.read(_SNIFFED_BYTES)
    for line in text.split(b"\n"):
        fields = line.split(b"\t") if b"\t" in line else line.split()
        if not fields or fields[0] in (b"track", b"browser"):
            continue
        if line.startswith(b"##fileformat"):
            return False
        if not line.startswith(b"#"):
            return len(fields) > 2 and fields[1].isdigit() and fields[2].strip().isdigit()
    return False


def read_labels(question: LabelQuestion, *, are_regions: bool) -> LabelledItems:
    """Read what is labelled.

    Parameters
    ----------
    question : LabelQuestion
    are_regions : bool
        Whether the file is BED, as `is_bed` finds.

    Returns
    -------
    LabelledItems
        Each variant or region once. What has no label, no group, two labels, or is no change of
        one base, is left out with a warning that counts it.

    Raises
    ------
    InputError
        If the file cannot be understood, lacks a column, or a class is missing.
    """
    reader = _Reader(question, are_regions)
    rows = _bed_values(question) if are_regions else _variant_values(question)
    for row in rows:
        reader.take(row)
    items = _once(reader.finish(), question)
    if question.groups is not None:
        items = _grouped_by_bed(items, question.groups)
    links = items.links | _shared_places(items)
    if question.group_by != CONTIG:
        links |= _shared_names(items.groups)
    items = replace(items, links=links)
    _require_labels(items, question, reader.values)
    return items


def _variant_values(question: LabelQuestion) -> Iterator[_Row]:
    names = list(dict.fromkeys([*question.columns, question.label_column]))
    with open_scored(question.path) as file:
        for name in names:
            if name not in file.columns:
                raise InputError(
                    f"there is no column {name!r}",
                    path=file.path,
                    remedy=f"it has {listing(file.columns)}",
                )
        for allele in file.alleles(names):
            place = allele.contig, allele.position, allele.position + len(allele.ref)
            values = dict(zip(names, allele.values, strict=True))
            yield _Row(place, values, (allele.ref, allele.alt), allele.line)


def _bed_values(question: LabelQuestion) -> Iterator[_Row]:
    names = list(dict.fromkeys([*question.columns, question.label_column]))
    numbers = {name: _bed_column(name) for name in names}
    for region, fields, line in bed_rows(question.path):
        values: dict[str, str | None] = {}
        for name, number in numbers.items():
            if number > len(fields):
                raise InputError(
                    f"there is no column {number}",
                    path=question.path,
                    line=line,
                    remedy=f"this line has {len(fields)}",
                )
            text = fields[number - 1].strip()
            values[name] = None if text in ("", ".") else text
        yield _Row((region.contig, region.start, region.end), values, None, line)


def _bed_column(name: str) -> int:
    """1-based number of a column of a BED that is called by its number or its usual name."""
    if name in _BED_COLUMNS:
        return _BED_COLUMNS[name]
    if name.isascii() and name.isdigit() and 4 <= int(name) < 10_000:
        return int(name)
    raise UsageError(
        f"{shown(name)!r} is no column of a BED; give its number, from 4 on, or name, score"
    )


@dataclass
class _Reader:
    """Decides what becomes of each row, and counts what is left out."""

    question: LabelQuestion
    are_regions: bool
    rows: ItemRows = field(default_factory=ItemRows)
    values: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._is_inside = region_filter(self.question.regions)
        self._is_held_out = _held_out_test(self.question)
        self._spelled = one_spelling()

    def take(self, row: _Row) -> None:
        """Keep a row, or count why not."""
        question = self.question
        label = self._label(row)
        if label is None:
            return
        contig, start, end = row.place
        contig = self._spelled(contig)
        row = row._replace(place=(contig, start, end))
        if not self._is_inside(contig, start) or not self._passes(row.values):
            return
        letters = (0, 0)
        if row.alleles is not None:
            ref, alt = row.alleles
            if len(ref) != 1 or len(alt) != 1 or not {ref, alt} <= set(BASES) or ref == alt:
                self.left_out["are no changes of a single base"] += 1
                return
            letters = (ord(ref), ord(alt))
        group = self._group(row)
        if group is None:
            self.left_out[f"have no {question.group_by} to be grouped by"] += 1
            return
        class_name = row.values[question.class_column] if question.class_column else None
        self.rows.append(
            row.place, label, group, class_name or ".", self._is_held_out(row), letters
        )

    def finish(self) -> LabelledItems:
        """What was kept; a warning for each reason why others were not."""
        for reason, count in self.left_out.items():
            logger.warning("left out: %s labelled ones %s", f"{count:,}", reason)
        return self.rows.items(are_variants=not self.are_regions)

    def _label(self, row: _Row) -> float | None:
        text = row.values[self.question.label_column]
        if text is None:
            return None
        if not self.question.has_classes:
            return self._number(text, row)
        if text in self.values or len(self.values) < _MAX_VALUES_COUNTED:
            self.values[text] += 1
        is_positive = matches(text, self.question.positive)
        is_negative = matches(text, self.question.negative)
        if is_positive and is_negative:
            self.left_out["are both positive and negative"] += 1
            return None
        return 1.0 if is_positive else 0.0 if is_negative else None

    def _number(self, text: str, row: _Row) -> float | None:
        try:
            number = float(text if "_" not in text else "")
        except ValueError:
            if text.lower() not in MISSING_SCORE:
                raise InputError(
                    f"label {shown(text)!r} in column {self.question.label_column!r} is not a "
                    "number",
                    path=self.question.path,
                    line=row.line,
                    remedy="name two classes with --positive and --negative",
                ) from None
            number = math.nan
        if not math.isfinite(number):
            self.left_out["have a label that is no finite number"] += 1
            return None
        if abs(number) > _LARGEST_LABEL:
            raise InputError(
                f"label {shown(text)} in column {self.question.label_column!r} is beyond "
                f"{_LARGEST_LABEL:g}",
                path=self.question.path,
                line=row.line,
                remedy="give labels in other units",
            )
        return number

    def _passes(self, values: Mapping[str, str | None]) -> bool:
        return all(
            (text := values[name]) is not None and matches(text, wanted)
            for name, wanted in self.question.where
        )

    def _group(self, row: _Row) -> str | None:
        if self.question.group_by is None:
            # A BED says it, once all are read.
            return ""
        if self.question.group_by == CONTIG:
            return row.place[0]
        return row.values[self.question.group_by]


def _held_out_test(question: LabelQuestion) -> Callable[[_Row], bool]:
    held_out = question.held_out
    if held_out is None:
        return lambda row: False
    if isinstance(held_out, RegionSet):
        is_inside = region_filter(held_out)
        return lambda row: is_inside(row.place[0], row.place[1])
    name, wanted = held_out
    return lambda row: (text := row.values[name]) is not None and matches(text, wanted)


def _once(items: LabelledItems, question: LabelQuestion) -> LabelledItems:
    """Each item once; those with two labels, or on both sides of a split, are none.

    Raises
    ------
    InputError
        If the user's split has the same variant on both sides.
    """
    columns: list[NDArray[Any]] = [items.contig, items.start, items.end]
    if items.refs is not None and items.alts is not None:
        columns += [items.refs, items.alts]
    keys = np.stack([column.astype(np.int64) for column in columns], axis=1)
    _, first, number = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    number = number.ravel()
    is_torn = items.is_held_out != items.is_held_out[first][number]
    if is_torn.any():
        raise InputError(
            f"the labels leak: {counted(int(is_torn.sum()), 'item')} of --held-out are also among "
            f"the others ({_place(items, int(np.argmax(is_torn)))})",
            path=question.path,
            remedy="have each variant or region on one side",
        )
    is_twofold = np.bincount(number, items.labels != items.labels[first][number]) > 0
    if is_twofold.any():
        logger.warning(
            "%s: %s left out because their labels contradict each other",
            question.path, counted(int(is_twofold.sum()), "item"),
        )  # fmt: skip
    # Of one that is in two groups: they are linked, and it is in that which comes first.
    links = _links(items.group, items.group[first][number])
    kept = np.sort(first[~is_twofold])
    return replace(items.chosen(kept), links=links)


def _place(items: LabelledItems, row: int) -> str:
    return f"{items.contigs[items.contig[row]]}:{items.start[row] + 1}"


def _links(one: NDArray[np.integer], other: NDArray[np.integer]) -> frozenset[tuple[int, int]]:
    """Pairs of different groups."""
    differ = one != other
    pairs = np.unique(np.sort(np.stack([one[differ], other[differ]], axis=1), axis=1), axis=0)
    return frozenset((int(a), int(b)) for a, b in pairs)


def _shared_places(items: LabelledItems) -> frozenset[tuple[int, int]]:
    """Groups that have a position in common: of variants at one site, of regions that overlap."""
    if not len(items):
        return frozenset()
    order = np.lexsort((items.start, items.contig))
    # Contigs follow each other, so that nothing of one reaches the next.
    offset = items.contig[order].astype(np.int64) << 42
    start, end = items.start[order] + offset, items.end[order] + offset
    overlaps = np.append(False, start[1:] < np.maximum.accumulate(end)[:-1])
    rows = np.flatnonzero(overlaps | np.append(overlaps[1:], False))
    places = zip(
        start[rows].tolist(), end[rows].tolist(), items.group[order[rows]].tolist(), strict=True
    )
    return frozenset(_overlapping(places))


def _shared_names(groups: Iterable[str]) -> frozenset[tuple[int, int]]:
    """Groups that name the same one: ``ATP8/ATP6``, or ClinVar's ``A:1|B:2``, is of both."""
    first: dict[str, int] = {}
    found: set[tuple[int, int]] = set()
    for number, text in enumerate(groups):
        for name in {part.strip() for part in SEPARATORS.split(text)} - {"", "."}:
            other = first.setdefault(name, number)
            if other != number:
                found.add((other, number))
    return frozenset(found)


def _grouped_by_bed(items: LabelledItems, path: str) -> LabelledItems:
    """Items in the groups that a BED names; those in none left out, groups that overlap linked."""
    numbers: dict[str, int] = {}
    group = np.full(len(items), -1, dtype=np.int32)
    links: set[tuple[int, int]] = set()
    order = np.lexsort((items.start, items.contig))
    names: dict[str, list[tuple[int, int, int]]] = {}
    spelled_once = one_spelling()
    for region, fields, line in bed_rows(path):
        if len(fields) < 4 or not fields[3].strip():
            raise InputError(
                "the region has no name", path=path, line=line, remedy="name groups in column 4"
            )
        number = numbers.setdefault(fields[3].strip(), len(numbers))
        names.setdefault(spelled_once(region.contig), []).append((region.start, region.end, number))
    spelled = resolve_contigs(names, items.contigs)
    for name, regions in names.items():
        if name not in spelled:
            links |= _overlapping(sorted(regions))
            continue
        rows = order[items.contig[order] == items.contigs.index(spelled[name])]
        for start, end, number in regions:
            low = np.searchsorted(items.start[rows], start)
            high = np.searchsorted(items.start[rows], end)
            inside = rows[low:high]
            group[inside[group[inside] < 0]] = number
        # A labelled region that reaches into another group's links both.
        long = rows[(items.end[rows] - items.start[rows] > 1) & (group[rows] >= 0)]
        columns = (items.start[long], items.end[long], group[long])
        own = zip(*(column.tolist() for column in columns), strict=True)
        links |= _overlapping(sorted([*regions, *own]))
    is_outside = group < 0
    if is_outside.all():
        raise InputError(
            "none of what is labelled lies in its regions",
            path=path,
            remedy=f"its contigs are {listing(names)}, those of the labels "
            f"{listing(items.contigs)}",
        )
    if is_outside.any():
        logger.warning(
            "left out: %s labelled ones lie in no region of %s", f"{is_outside.sum():,}", path
        )
    grouped = replace(items, groups=tuple(numbers), group=group, links=frozenset(links))
    return grouped.chosen(~is_outside)


def _overlapping(regions: Iterable[tuple[int, int, int]]) -> set[tuple[int, int]]:
    """Groups that overlap, of starts, ends and groups in order of their starts."""
    found: set[tuple[int, int]] = set()
    open_until: dict[int, int] = {}
    for start, end, number in regions:
        open_until = {group: last for group, last in open_until.items() if last > start}
        found |= {(min(number, g), max(number, g)) for g in open_until if g != number}
        open_until[number] = max(end, open_until.get(number, 0))
    return found


def _require_labels(items: LabelledItems, question: LabelQuestion, values: Counter[str]) -> None:
    """Raise `InputError` where there is nothing to learn from."""
    if question.has_classes:
        common = [f"{text} ({count:,})" for text, count in values.most_common(_MOST_LISTED)]
        for label, name, wanted in (
            (1.0, "positive", question.positive),
            (0.0, "negative", question.negative),
        ):
            if not (items.labels == label).any():
                raise InputError(
                    f"nothing that can be used has the {name} value {listing(sorted(wanted))} in "
                    f"column {question.label_column!r}",
                    path=question.path,
                    remedy=f"its most frequent values: {', '.join(common) or 'none'}",
                )
    elif not len(items) or np.ptp(items.labels) < 1 / _LARGEST_LABEL:
        raise InputError(
            f"column {question.label_column!r} has no two different numbers",
            path=question.path,
            remedy="name a column of numbers, or two classes with --positive and --negative",
        )
