"""Labelled regions and the mean of tracks over them: windows of gnomAD's constraint, genes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, UsageError, counted, shown
from phylotools.evaluate.labelled import NO_LEVEL, Factor, LabelKind, LabelledScores, dense
from phylotools.evaluate.preparing.records import read_number
from phylotools.evaluate.preparing.tables import open_table
from phylotools.evaluate.selection import (
    CONTIGS,
    Question,
    ScoreColumn,
    listing,
    matches,
    region_filter,
)
from phylotools.io.bed import bed_rows
from phylotools.io.bigwig.reader import BigWigReader
from phylotools.io.contigs import resolve_contigs
from phylotools.io.delimited import parse_position
from phylotools.io.features import holds_intervals, read_features
from phylotools.io.intervals import merge_intervals

#: Columns of a BED by what they are called, and their places.
_BED_COLUMNS = {"name": 3, "score": 4, "strand": 5}
#: Where a table with a header has its regions, and the names of genes.
_CONTIG = ("chrom", "#chrom", "chr", "contig", "chromosome")
_START = ("start", "chromStart", "begin")
_END = ("end", "chromEnd", "stop")
_NAMES = ("gene", "name", "symbol", "gene_symbol", "gene_name")
#: Neighbouring regions are not independent: what begins in one such block is resampled together.
BLOCK = 1_000_000
BLOCKS = "blocks of 1 Mb"
#: A mean is taken where at least half of the bases have a value.
_LEAST_COVERED = 0.5
#: Positions of a track that are held at once.
_POSITIONS = 1 << 22


@dataclass
class _Items:
    """N labelled regions, each of one interval or more.

    Attributes
    ----------
    contigs : list of str
        Names, in the order in which they are met.
    owners, contig_of, starts, ends : lists
        Of each interval: its region, contig, and bounds (0-based, half-open).
    labels : list of float
    strata : list of list of str
        By stratum.
    """

    n_strata: int
    contigs: dict[str, int] = field(default_factory=dict)
    owners: list[int] = field(default_factory=list)
    contig_of: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    labels: list[float] = field(default_factory=list)
    strata: list[list[str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.strata = [[] for _ in range(self.n_strata)]

    def add(self, label: float, strata: Sequence[str]) -> int:
        """Number of a new region."""
        self.labels.append(label)
        for texts, text in zip(self.strata, strata, strict=True):
            texts.append(text or NO_LEVEL)
        return len(self.labels) - 1

    def add_interval(self, owner: int, contig: str, start: int, end: int) -> None:
        self.owners.append(owner)
        self.contig_of.append(self.contigs.setdefault(contig, len(self.contigs)))
        self.starts.append(start)
        self.ends.append(end)


def region_columns(path: str) -> tuple[str, ...]:
    """Columns of a file of regions that can be labels or strata.

    Raises
    ------
    InputError
        If it is neither BED nor a table.
    """
    if path != "-" and holds_intervals(path):
        return tuple(_BED_COLUMNS)
    with open_table(path) as table:
        return tuple(name for name in table.names if name)


def join_regions(question: Question) -> LabelledScores:
    """Labelled regions with the mean of each track over their bases.

    Parameters
    ----------
    question : Question
        One file of regions: BED, or a table with chrom, start and end; where `labels` is another
        table, it is joined by name (gene), and several intervals of a name are one region. Scores
        are bigWigs. Labels are numbers.

    Returns
    -------
    LabelledScores
        Resampled by blocks of 1 Mb, or by contigs where that is asked for. A region of whose bases
        fewer than half have a value lacks that score, and is left out.

    Raises
    ------
    InputError
        If a file is not what it should be, or nothing is left.
    UsageError
        If a score is no track, or several files of regions are given.
    """
    _require_tracks(question)
    if question.kind != LabelKind.NUMBERS:
        raise UsageError("labels of regions are numbers: leave out --positive, --negative, --order")
    items = _Items(len(question.strata))
    if question.labels is not None:
        _read_named(question, items)
    elif question.scored[0] != "-" and holds_intervals(question.scored[0]):
        _read_bed(question, items)
    else:
        _read_table(question, items)
    if not items.labels:
        listed = ", ".join(f"{name} {count:,}" for name, count in items.counts.items())
        raise InputError(f"no region has a label: {listed}", path=question.scored[0])
    scores = np.stack([_means(items, column) for column in question.scores])
    return _finish(question, items, scores)


def _require_tracks(question: Question) -> None:
    if len(question.scored) > 1:
        raise UsageError("give one file of regions")
    if not question.scores:
        raise UsageError("name tracks to average over the regions: --score NAME=FILE.bw")
    for column in question.scores:
        if column.source is None:
            raise UsageError(
                f"--score {shown(column.name)}: of regions a score is a track, NAME=FILE.bw"
            )


def _read_bed(question: Question, items: _Items) -> None:
    path = question.scored[0]
    wanted = [question.label_column, *question.strata, *(name for name, _ in question.where)]
    for name in wanted:
        if name not in _BED_COLUMNS:
            raise InputError(
                f"BED has no column {shown(name)!r}",
                path=path,
                remedy=f"choose one of {', '.join(_BED_COLUMNS)}, or give a table with a header",
            )
    is_inside = region_filter(question.regions)

    def text(fields: Sequence[str], name: str) -> str:
        place = _BED_COLUMNS[name]
        return fields[place].strip() if place < len(fields) else ""

    for region, fields, line in bed_rows(path):
        items.counts["regions"] += 1
        if not is_inside(region.contig, region.start):
            items.counts["outside_regions"] += 1
        elif any(not matches(text(fields, name), values) for name, values in question.where):
            items.counts["excluded_by_where"] += 1
        else:
            column = question.label_column
            label = read_number(text(fields, column), column, path, line)
            strata = [text(fields, name) for name in question.strata]
            _add(items, label, strata, [(region.contig, region.start, region.end)])


def _read_table(question: Question, items: _Items) -> None:
    is_inside = region_filter(question.regions)
    path = question.scored[0]
    for cells, label, strata, line in _labelled_rows(question, path, items):
        try:
            start, end = parse_position(cells["start"]), parse_position(cells["end"])
        except ValueError as error:
            raise InputError(str(error), path=path, line=line, remedy="mend the row") from None
        if start >= end:
            raise InputError(
                f"start {start} and end {end} span nothing",
                path=path,
                line=line,
                remedy="starts are counted from 0, ends are not part of a region",
            )
        if not is_inside(cells["contig"], start):
            items.counts["outside_regions"] += 1
        else:
            _add(items, label, strata, [(cells["contig"], start, end)])


def _read_named(question: Question, items: _Items) -> None:
    """Labels by name, and the intervals of each name."""
    assert question.labels is not None
    is_inside = region_filter(question.regions)
    places: dict[str, list[tuple[str, int, int]]] = {}
    for feature in read_features(question.scored[0]):
        if feature.name and is_inside(feature.region.contig, feature.region.start):
            region = feature.region
            places.setdefault(feature.name, []).append((region.contig, region.start, region.end))
    if not places:
        raise InputError("has no names", path=question.scored[0], remedy="give BED with 4 columns")
    seen: set[str] = set()
    for cells, label, strata, _ in _labelled_rows(question, question.labels, items):
        name = cells["name"]
        if name not in places:
            items.counts["without_region"] += 1
        elif name in seen:
            items.counts["repeated"] += 1
        else:
            seen.add(name)
            _add(items, label, strata, places[name])
    if not seen and items.counts["without_region"]:
        raise InputError(
            f"none of its {counted(items.counts['without_region'], 'name')} is in "
            f"{question.scored[0]}, which has {listing(list(places)[:5])}",
            path=question.labels,
            remedy="name regions by gene symbol, as the labels are",
        )


def _labelled_rows(
    question: Question, path: str, items: _Items
) -> Iterator[tuple[dict[str, str], float, list[str], int]]:
    """Rows that pass ``where`` and have a label: what they name, label, strata, line."""
    with open_table(path) as table:
        places = {"name": _NAMES} if question.labels is not None else {
            "contig": _CONTIG, "start": _START, "end": _END
        }  # fmt: skip
        where = {key: _column(table.names, names, path) for key, names in places.items()}
        wanted = [question.label_column, *question.strata, *(name for name, _ in question.where)]
        index = {name: _column(table.names, (name,), path) for name in wanted}
        for row in table.rows():
            texts = [text.strip() for text in table.texts(row)]
            items.counts["regions"] += 1
            if any(not matches(texts[index[name]], values) for name, values in question.where):
                items.counts["excluded_by_where"] += 1
                continue
            column = question.label_column
            label = read_number(texts[index[column]], column, path, row.line)
            cells = {key: texts[place] for key, place in where.items()}
            yield cells, label, [texts[index[name]] for name in question.strata], row.line


def _column(names: Sequence[str], wanted: Sequence[str], path: str) -> int:
    for name in wanted:
        if name in names:
            return names.index(name)
    raise InputError(
        f"there is no column {' or '.join(map(shown, wanted))}",
        path=path,
        remedy=f"it has {listing(name for name in names if name)}",
    )


def _add(
    items: _Items, label: float, strata: Sequence[str], places: Sequence[tuple[str, int, int]]
) -> None:
    if label != label:
        items.counts["without_label"] += 1
        return
    owner = items.add(label, strata)
    for contig, start, end in places:
        items.add_interval(owner, contig, start, end)


def _means(items: _Items, column: ScoreColumn) -> NDArray[np.float64]:
    """Mean of a track over the bases of each region; NaN where most have no value."""
    assert column.source is not None
    owners, starts, ends = (
        np.array(values, dtype=np.int64) for values in (items.owners, items.starts, items.ends)
    )
    contig_of = np.array(items.contig_of, dtype=np.int64)
    sums, numbers = np.zeros(len(items.labels)), np.zeros(len(items.labels))
    sizes = np.bincount(owners, ends - starts, minlength=len(items.labels))
    with BigWigReader(column.source) as track:
        names = resolve_contigs(items.contigs, track.contigs)
        if not names:
            raise InputError(
                f"has none of the regions' contigs ({listing(list(items.contigs)[:5])}); it has "
                f"{listing(list(track.contigs)[:5])}",
                path=column.source,
                remedy="give a track of the regions' assembly, or --contig-aliases",
            )
        for contig, number in items.contigs.items():
            if contig in names:
                rows = np.flatnonzero(contig_of == number)
                rows = rows[np.argsort(starts[rows], kind="stable")]
                _add_sums(track, names[contig], rows, (owners, starts, ends), sums, numbers)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(numbers >= _LEAST_COVERED * sizes, sums / numbers, np.nan)


def _add_sums(
    track: BigWigReader,
    contig: str,
    rows: NDArray[np.int64],
    intervals: tuple[NDArray[np.int64], ...],
    sums: NDArray[np.float64],
    numbers: NDArray[np.float64],
) -> None:
    """Add the values of intervals of one contig, by rising start, to those of their regions."""
    owners, starts, ends = intervals
    length = track.contigs[contig]
    for some in _batches(rows, starts, ends):
        bounds = np.stack([starts[some], np.minimum(ends[some], length)], axis=1)
        merged = merge_intervals(bounds[bounds[:, 0] < bounds[:, 1]])
        if not len(merged):
            continue
        positions = np.concatenate([np.arange(start, end) for start, end in merged.tolist()])
        values = track.values(contig, positions).astype(np.float64)
        is_there = np.isfinite(values)
        totals = np.append(0.0, np.cumsum(np.where(is_there, values, 0.0)))
        there = np.append(0, np.cumsum(is_there))
        first, last = (np.searchsorted(positions, bounds[:, k]) for k in (0, 1))
        last = np.maximum(first, last)
        np.add.at(sums, owners[some], totals[last] - totals[first])
        np.add.at(numbers, owners[some], there[last] - there[first])


def _batches(
    rows: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> Iterator[NDArray[np.int64]]:
    """Rows in runs of which each has no more than so many bases, or is one row."""
    sizes = np.cumsum(ends[rows] - starts[rows])
    first = 0
    while first < len(rows):
        before = sizes[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(sizes, before + _POSITIONS, side="right")))
        yield rows[first:last]
        first = last


def _finish(question: Question, items: _Items, scores: NDArray[np.float64]) -> LabelledScores:
    has_score = np.isfinite(scores)
    complete: NDArray[np.bool_] = np.logical_and.reduce(has_score)
    lacking = {
        column.name: int((~row).sum())
        for column, row in zip(question.scores, has_score, strict=True)
    }
    if complete.sum() < 2:
        listed = ", ".join(f"{name}: {count:,}" for name, count in lacking.items())
        raise InputError(
            f"of {counted(len(complete), 'labelled region')}, {int(complete.sum())} has values of "
            f"all tracks; lacking are {listed}",
            path=question.scored[0],
            remedy="give tracks that cover the regions",
        )
    owners = np.array(items.owners, dtype=np.int64)
    firsts = np.unique(owners, return_index=True)[1]
    contigs = np.array(items.contig_of, dtype=np.int64)[firsts]
    blocks = np.array(items.starts, dtype=np.int64)[firsts] // BLOCK
    is_by_contig = question.resample == CONTIGS
    clusters = contigs if is_by_contig else (contigs << 24) + blocks
    rows = np.flatnonzero(complete)
    counts = {**items.counts, "labelled": len(complete), "compared": len(rows)}
    strata = tuple(
        Factor.of(name, texts) for name, texts in zip(question.strata, items.strata, strict=True)
    )
    return LabelledScores(
        question.scores,
        scores[:, rows],
        LabelKind.NUMBERS,
        np.array(items.labels)[rows],
        dense(clusters[rows]),
        label_low=question.label_low,
        clusters_by=CONTIGS if is_by_contig else BLOCKS,
        strata=tuple(each.take(rows) for each in strata),
        lacking=lacking,
        counts=counts,
        what="regions",
    )
