"""Which samples are learned from, which stop the learning, and which judge: by contig, or as said.

Positions are never drawn at random: neighbours share their sequence and their label.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.embedding.regions import RegionTable
from phylotools.errors import InputError, UsageError, counted
from phylotools.finetuning.folds import Clusters, draw_folds, n_with_near_neighbours
from phylotools.finetuning.items import LabelledItems
from phylotools.io.intervals import covers, overlaps
from phylotools.io.regions import RegionSet
from phylotools.probing.samples import SPLITS, TEST, TRAIN, VALID
from phylotools.provenance import sha256_text

logger = logging.getLogger("phylotools")

#: Contigs are drawn for this many parts of one size: one to judge by, one to stop by.
_PARTS = 5


@dataclass(frozen=True)
class Leaks:
    """What held-out samples may have in common with others.

    Attributes
    ----------
    n_near : int
        Samples whose sequence, as far as the network sees it, overlaps that of another part.
    n_same : int
        Held-out samples whose sequence, or its reverse complement, is learned from too.
    """

    n_near: int
    n_same: int


def drawn_by_contig(table: RegionTable, seed: int, path: str) -> NDArray[np.int8]:
    """Split of each sample, whole contigs together: a fifth to judge by, a fifth to stop by.

    Raises
    ------
    InputError
        If there are fewer than three contigs.
    """
    present, of = np.unique(table.contig, return_inverse=True)
    names = tuple(table.targets[k] for k in present.tolist())
    if len(names) < 3:
        raise InputError(
            f"its samples lie on {counted(len(names), 'contig')}: three are needed to learn from "
            "one, stop by one and judge by one",
            path=path,
            remedy="say what is held out: --test and --valid, or a column of splits",
        )
    clusters = Clusters(names, of.astype(np.int64).ravel())
    folds = draw_folds(np.arange(len(of)), clusters, None, _PARTS, seed)
    split = np.zeros(len(of), dtype=np.int8)
    split[folds[0].test], split[folds[1].test] = TEST, VALID
    return split


def split_by_regions(
    table: RegionTable, valid: RegionSet, test: RegionSet, path: str
) -> NDArray[np.int8]:
    """Split of each sample by where it lies.

    Raises
    ------
    InputError
        If a sample lies partly in what is held out.
    """
    split = np.full(len(table), TRAIN, dtype=np.int8)
    for number, regions in ((VALID, valid), (TEST, test)):
        regions = regions.spelled_as(table.targets)
        for contig, name in enumerate(table.targets):
            rows = np.flatnonzero(table.contig == contig)
            spans = table.start[rows], table.end[rows]
            touched = overlaps(regions.on(name), *spans)
            torn = np.flatnonzero(touched & ~covers(regions.on(name), *spans))
            if len(torn):
                row = rows[torn[0]]
                raise InputError(
                    f"the sample {name}:{table.start[row] + 1}-{table.end[row]} lies partly in "
                    f"what is {SPLITS[number]}",
                    path=path,
                    remedy="hold out whole contigs, or cut the samples at the border",
                )
            split[rows[touched]] = number
    return split


def require_parts(split: NDArray[np.int8], path: str) -> None:
    """Refuse a split that leaves a part without samples.

    Raises
    ------
    InputError
    """
    for number, name in enumerate(SPLITS):
        if not (split == number).any():
            raise InputError(
                f"no sample is {name}", path=path, remedy="each of train, valid and test needs some"
            )


def leaks_of(
    table: RegionTable,
    split: NDArray[np.int8],
    sequences: list[bytes],
    reach: int,
    path: str,
) -> Leaks:
    """Check that no position is in two parts, and count what is near or the same.

    Parameters
    ----------
    table : RegionTable
    split : int8 array [N]
    sequences : list of bytes
        Of each sample.
    reach : int
        Positions that the network sees on either side.
    path : str

    Raises
    ------
    InputError
        If the same position is in two parts.
    """
    _refuse_overlaps(table, split, path)
    n_near = n_with_near_neighbours(_as_items(table), split.astype(np.int64), reach)
    n_same = _n_same(split, sequences)
    if n_near:
        logger.warning(
            "%s of %s samples lie so near to some of another part that what the network sees of "
            "both overlaps: what is held out is not wholly new",
            f"{n_near:,}", f"{len(table):,}",
        )  # fmt: skip
    if n_same:
        logger.warning(
            "%s held-out samples have the very sequence of one that is learned from",
            f"{n_same:,}",
        )
    return Leaks(n_near, n_same)


def _refuse_overlaps(table: RegionTable, split: NDArray[np.int8], path: str) -> None:
    order = np.lexsort((table.start, table.contig))
    offset = table.contig[order].astype(np.int64) << 42
    start, end, part = table.start[order] + offset, table.end[order] + offset, split[order]
    for number, name in enumerate(SPLITS):
        # How far samples of the other parts, begun before, have reached.
        others = np.maximum.accumulate(np.where(part != number, end, 0))
        torn = np.flatnonzero((part == number) & (np.append(0, others[:-1]) > start))
        if len(torn):
            row = order[torn[0]]
            place = f"{table.targets[table.contig[row]]}:{table.start[row] + 1}-{table.end[row]}"
            raise InputError(
                f"the labels leak: {place} is {name} and overlaps a sample of another part "
                f"({counted(len(torn), 'sample')} of this kind)",
                path=path,
                remedy="have each position in one part",
            )


def _as_items(table: RegionTable) -> LabelledItems:
    n = len(table)
    nothing = np.zeros(n, dtype=np.int32)
    return LabelledItems(
        tuple(table.targets), table.contig, table.start, table.end, np.zeros(n), ("",), nothing,
        (".",), nothing, np.zeros(n, dtype=bool),
    )  # fmt: skip


#: In codes, 4 is no base.
_UNKNOWN = bytes([4])
_COMPLEMENT = bytes.maketrans(bytes(range(4)), bytes((3, 2, 1, 0)))


def _n_same(split: NDArray[np.int8], sequences: list[bytes]) -> int:
    """Held-out samples whose sequence is learned from; what is not known at all is none."""
    keys = [
        sha256_text(min(codes, codes.translate(_COMPLEMENT)[::-1]).decode("latin-1"))
        if codes.strip(_UNKNOWN)
        else None
        for codes in sequences
    ]
    pairs = list(zip(keys, split.tolist(), strict=True))
    learned = {key for key, part in pairs if part == TRAIN} - {None}
    return sum(key in learned for key, part in pairs if part in (VALID, TEST))


def held_out_regions(
    valid: RegionSet | None, test: RegionSet | None
) -> tuple[RegionSet, RegionSet] | None:
    """The regions to stop by and to judge by; None where neither is said.

    Raises
    ------
    UsageError
        If one is said alone, or they share positions.
    """
    if valid is None and test is None:
        return None
    if valid is None or test is None:
        raise UsageError("give both --valid and --test, or neither to draw contigs")
    if len(valid & test):
        raise UsageError("--valid and --test share positions")
    return valid, test
