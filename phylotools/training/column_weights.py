"""What columns count beside what their store says: how often contigs are taken, weights of regions.

Nothing here imports torch: processes that only read start fast.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.contigs import resolve_contigs
from phylotools.io.region_weights import WeightTable
from phylotools.provenance import sha256_file
from phylotools.store.read import ColumnStore
from phylotools.training.config import ALL_OTHERS, TrainingConfig

logger = logging.getLogger("phylotools")

_REMEDY = "compare it with the contigs that 'phylotools inspect STORE' lists"


@dataclass(frozen=True, eq=False)
class ColumnWeights:
    """Of one store.

    Attributes
    ----------
    contigs : float64 array, one entry a contig in the order of the store
        How often an epoch takes its windows; of a contig with 0 no column is read.
    regions : WeightTable or None
        What its columns weigh in the loss, times the store's own weights.
    """

    contigs: NDArray[np.float64]
    regions: WeightTable | None = None


def column_weights(config: TrainingConfig, stores: Sequence[ColumnStore]) -> list[ColumnWeights]:
    """The weights that a configuration gives, for each store.

    Raises
    ------
    InputError
        If no store has a contig that is named, or what is named cannot be read.
    """
    data = config.data
    names = data.contig_weights.keys() - {ALL_OTHERS}
    found = [resolve_contigs(sorted(names), store.contigs) for store in stores]
    unknown = sorted(names.difference(*found))
    if unknown:
        _refuse(unknown[0], stores)
    path = config.folder / data.region_weights_file if data.region_weights_file else None
    tables = _tables(path, stores)
    return [
        ColumnWeights(_of_contigs(data.contig_weights, own, store), table)
        for own, store, table in zip(found, stores, tables, strict=True)
    ]


def _refuse(name: str, stores: Sequence[ColumnStore]) -> NoReturn:
    """Raise `InputError` for a name of no contig, or of one that has another name beside it."""
    if any(resolve_contigs([name], store.contigs) for store in stores):
        raise InputError(
            f"data.contig_weights: '{name}' and another name are of one contig",
            remedy="give the contig one weight",
        )
    raise InputError(f"data.contig_weights: no store has a contig '{name}'", remedy=_REMEDY)


def _of_contigs(
    weights: Mapping[str, float], names: Mapping[str, str], store: ColumnStore
) -> NDArray[np.float64]:
    """Weight of each contig; `names` are the configuration's of the store's."""
    given = {contig: weights[name] for name, contig in names.items()}
    others = weights.get(ALL_OTHERS, 1.0)
    return np.array([given.get(contig, others) for contig in store.contigs], dtype=np.float64)


def _tables(path: Path | None, stores: Sequence[ColumnStore]) -> list[WeightTable | None]:
    """The weights of regions, by the names of each store."""
    if path is None:
        return [None] * len(stores)
    table = WeightTable.read(path)
    found = [table.within(store.contigs) for store in stores]
    known = set().union(*(resolve_contigs(table.intervals, s.contigs) for s in stores))
    if not known:
        raise InputError("no store has any of its contigs", path=path, remedy=_REMEDY)
    passed_over = [name for name in table.intervals if name not in known]
    if passed_over:
        logger.warning(
            "%s: %d of its %d contigs are in no store and weigh nothing (first: %s)",
            path, len(passed_over), len(table.intervals), passed_over[0],
        )  # fmt: skip
    return list(found)


def describe_weights(config: TrainingConfig) -> dict[str, str]:
    """What a checkpoint notes of the file with weights of regions: nothing without one."""
    name = config.data.region_weights_file
    return {"region_weights_sha256": sha256_file(config.folder / name)} if name else {}


def refuse_other_weights(
    facts: Mapping[str, Any], now: Mapping[str, str], path: str | os.PathLike[str]
) -> None:
    """Raise `InputError` unless a checkpoint's weights of regions are those described now."""
    if facts.get("region_weights_sha256") != now.get("region_weights_sha256"):
        raise InputError(
            "the run here had other weights: data.region_weights_file has changed",
            path=path,
            remedy="restore that file, or give --force to start anew",
        )


def taken(
    weight: NDArray[np.float64], contig: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Items, each as often as its weight says: rising indices, int64.

    What is whole of a weight is taken for certain, the rest with its probability: a mean of many
    epochs is the weight exactly. The items of a contig together are taken as often as their weights
    add up to, but for less than one.

    Parameters
    ----------
    weight : float64 array [N]
    contig : int64 array [N]
        Of each item; its items have one weight.
    rng : Generator
    """
    whole = np.floor(weight)
    rest = weight - whole
    # Equal steps through a random order of each contig's items, the contigs one after the other.
    order = rng.permutation(len(weight))
    order = order[np.argsort(contig[order], kind="stable")]
    passed = np.floor(np.cumsum(rest[order]) + rng.random())
    more = np.empty(len(weight))
    more[order] = np.diff(passed, prepend=0.0)
    return np.repeat(np.arange(len(weight)), (whole + more).astype(np.int64))
