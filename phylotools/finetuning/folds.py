"""Folds by groups: what shares a gene, a contig or a position is never torn apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, counted, shown
from phylotools.evaluate.neighbours import neighbours_across
from phylotools.finetuning.items import LabelledItems, LabelQuestion
from phylotools.provenance import sha256_text

Rows = NDArray[np.int64]
_MOST_NAMED = 4
_MOST_JOINED = 20


@dataclass(frozen=True)
class Clusters:
    """Groups joined to clusters wherever they share sequence.

    Attributes
    ----------
    names : tuple of str
        Of the groups of each, joined by ``+``; of many, the first and how many more.
    of : int64 array [N]
        Cluster of each item.
    n_joined : int
        Groups that are not alone in their cluster.
    """

    names: tuple[str, ...]
    of: Rows
    n_joined: int = 0

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Fold:
    """Items to fit to, and items to judge by.

    Attributes
    ----------
    train, test : int64 array
        Rows, rising.
    """

    train: Rows
    test: Rows


def join_groups(items: LabelledItems) -> Clusters:
    """Join groups that are linked, directly or by others."""
    root = list(range(len(items.groups)))

    def find(group: int) -> int:
        while root[group] != group:
            root[group] = root[root[group]]
            group = root[group]
        return group

    for one, other in sorted(items.links):
        a, b = sorted((find(one), find(other)))
        root[b] = a
    roots = np.array([find(group) for group in range(len(root))], dtype=np.int64)
    present, of = np.unique(roots[items.group], return_inverse=True)
    members: dict[int, list[str]] = {}
    for group in np.unique(items.group).tolist():
        members.setdefault(int(roots[group]), []).append(items.groups[group])
    own = [members[int(each)] for each in present]
    n_joined = sum(len(names) for names in own if len(names) > 1)
    return Clusters(tuple(map(_joined, own)), of.astype(np.int64).ravel(), n_joined)


def _joined(names: list[str]) -> str:
    """One name of groups that are together; short, as each of their items bears it."""
    more = len(names) - _MOST_JOINED
    return "+".join(names[:_MOST_JOINED]) + (f"+{more} more" if more > 0 else "")


def split_by_user(items: LabelledItems, clusters: Clusters, question: LabelQuestion) -> Fold:
    """The split that the user says.

    Raises
    ------
    InputError
        If a side is empty or what is held out all of one class, or if something of a group lies on
        each side.
    """
    held_out, path = items.is_held_out, question.path
    if not held_out.any() or held_out.all():
        side = "nothing is" if not held_out.any() else "everything is"
        raise InputError(
            f"{side} held out", path=path, remedy="check the contigs, regions or values of "
            "--held-out",
        )  # fmt: skip
    n = len(clusters)
    out, own = (np.bincount(clusters.of[each], minlength=n) for each in (held_out, ~held_out))
    torn = np.flatnonzero((out > 0) & (own > 0))
    if len(torn):
        first = torn[0]
        raise InputError(
            f"the labels leak: {counted(len(torn), 'group')} on both sides of --held-out, first "
            f"{shown(clusters.names[first])} ({out[first]:,} held out, {own[first]:,} not)",
            path=path,
            remedy="hold out whole groups; those that overlap count as one",
        )
    if question.has_classes and np.ptp(items.labels[held_out]) == 0:
        missing = "negative" if items.labels[held_out][0] else "positive"
        raise InputError(
            f"nothing {missing} is held out", path=path, remedy="hold out both classes"
        )
    return Fold(np.flatnonzero(~held_out), np.flatnonzero(held_out))


def draw_folds(
    rows: Rows, clusters: Clusters, labels: NDArray[np.float64] | None, n_folds: int, seed: int
) -> list[Fold]:
    """Folds of whole clusters, balanced by number and class.

    They follow from the clusters' names and sizes and the seed, not from the order of the file.

    Parameters
    ----------
    rows : int64 array
        What is to be divided.
    clusters : Clusters
    labels : float64 array [N], optional
        Of all items, where they are classes: 0 and 1.
    n_folds : int
        At most; no more than there are clusters.
    seed : int

    Raises
    ------
    InputError
        If there are fewer than two clusters, or what is left without a fold is all of one class.
    """
    present, of = np.unique(clusters.of[rows], return_inverse=True)
    if len(present) < 2:
        raise InputError(
            f"too few groups: {_named(clusters.names[int(c)] for c in present)} would be on both "
            "sides",
            remedy="evaluation within evaluation needs three groups that do not overlap",
        )
    kinds = np.zeros(len(rows), dtype=np.int64) if labels is None else labels[rows].astype(int)
    # By class, and all together: no fold stays empty.
    sizes = np.zeros((len(present), 3))
    np.add.at(sizes, (of.ravel(), kinds), 1)
    sizes[:, 2] = sizes.sum(axis=1)
    share = sizes / np.maximum(sizes.sum(axis=0), 1)
    ties = [sha256_text(f"{seed}:{clusters.names[int(c)]}") for c in present]
    order = sorted(range(len(present)), key=lambda c: (-share[c].sum(), ties[c]))
    n_folds = min(n_folds, len(present))
    load = np.zeros((n_folds, share.shape[1]))
    fold_of = np.empty(len(present), dtype=np.int64)
    for cluster in order:
        heavier = ((load + share[cluster]) ** 2).sum(axis=1) - (load**2).sum(axis=1)
        fold_of[cluster] = int(np.argmin(heavier))
        load[fold_of[cluster]] += share[cluster]
    assigned = fold_of[of.ravel()]
    folds = [Fold(rows[assigned != fold], rows[assigned == fold]) for fold in range(n_folds)]
    for fold in folds:
        _require_both_classes(fold, clusters, labels)
    return folds


def _require_both_classes(
    fold: Fold, clusters: Clusters, labels: NDArray[np.float64] | None
) -> None:
    if labels is None or len(np.unique(labels[fold.train])) > 1:
        return
    missing = "negative" if labels[fold.train[0]] else "positive"
    names = [clusters.names[int(c)] for c in np.unique(clusters.of[fold.test])]
    raise InputError(
        f"without {_named(names)} nothing {missing} is left to fit to",
        remedy="each class must be in three groups or more: give other groups, or fewer folds",
    )


def n_with_near_neighbours(items: LabelledItems, fold_of: Rows, reach: int) -> int:
    """How many items see sequence that something in another fold sees too.

    Parameters
    ----------
    items : LabelledItems
    fold_of : int64 array [N]
    reach : int
        Positions that a window has on either side.
    """
    near = neighbours_across(items.contig, items.start, items.end, fold_of, 2 * reach)
    return int((near >= 0).sum())


def _named(names: Iterable[str]) -> str:
    names = list(names)
    text = ", ".join(shown(name) for name in names[:_MOST_NAMED])
    return text + (f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else "")
