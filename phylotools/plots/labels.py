"""Labels of embedded regions out of an annotation, and how far apart these lie."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, shown
from phylotools.evaluate.separation import MOST_WINDOWS, PlacedClasses
from phylotools.io.contigs import contig_resolver
from phylotools.io.features import Feature, OverlapIndex, is_gff, read_features
from phylotools.io.regions import Region

#: Class of a region that no interval of the annotation covers.
NO_CLASS = "none"


@dataclass(frozen=True)
class LabelFile:
    """An annotation whose intervals label regions.

    Attributes
    ----------
    path : str
        BED, whose names are the labels, or GFF or GTF, whose types of rows are.
    types : frozenset of str
        Rows of a GFF that count; empty for all.
    overlap : float
        Part of a region that an interval must cover.
    """

    path: str
    types: frozenset[str] = frozenset()
    overlap: float = 0.5

    @property
    def name(self) -> str:
        """What the labels are, for people."""
        return os.path.basename(self.path)


def labels_of(columns: dict[str, list[Any]], file: LabelFile) -> list[str]:
    """Label of each region: of the interval that covers most of it.

    Parameters
    ----------
    columns : dict of str to list
        ``contig``, ``start`` and ``end`` of the regions.
    file : LabelFile

    Raises
    ------
    InputError
        If none is labelled.
    """
    by_type = is_gff(file.path)
    kept = [
        Feature(each.region, each.kind if by_type else each.name or "unnamed")
        for each in read_features(file.path)
        if not file.types or each.kind in file.types
    ]
    if not kept:
        names = ", ".join(sorted(map(shown, file.types)))
        raise InputError(f"has no row of type {names}", path=file.path)
    index = OverlapIndex(kept, contig_resolver(dict.fromkeys(columns["contig"])))
    found = []
    for contig, start, end in zip(columns["contig"], columns["start"], columns["end"], strict=True):
        region = Region(contig, int(start), int(end))
        best = index.best(region)
        is_covered = best is not None and best[1] >= file.overlap * len(region)
        found.append(best[0] if best is not None and is_covered else NO_CLASS)
    if set(found) == {NO_CLASS}:
        raise InputError(
            "none of its intervals covers enough of an embedded region",
            path=file.path,
            remedy="check contig names and coordinates",
        )
    return found


def labelled_rows(classes: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Regions with a label, or as many of them as are compared, drawn evenly; rising."""
    rows = np.flatnonzero([name != NO_CLASS for name in classes])
    if len(rows) > MOST_WINDOWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_WINDOWS, replace=False))
    return rows


def placed(
    vectors: NDArray[np.floating],
    rows: NDArray[np.int64],
    columns: dict[str, list[Any]],
    classes: Sequence[str],
) -> PlacedClasses:
    """Some of the regions with their vectors and labels."""
    names = tuple(sorted({classes[row] for row in rows.tolist()}))
    number = {name: k for k, name in enumerate(names)}
    contigs = {name: k for k, name in enumerate(dict.fromkeys(columns["contig"]))}
    chosen = rows.tolist()

    def numbers(values: Sequence[Any]) -> NDArray[np.int64]:
        return np.array([int(value) for value in values], dtype=np.int64)

    return PlacedClasses(
        vectors,
        names,
        numbers([number[classes[row]] for row in chosen]),
        numbers([contigs[columns["contig"][row]] for row in chosen]),
        numbers([columns["start"][row] for row in chosen]),
        numbers([columns["end"][row] for row in chosen]),
    )
