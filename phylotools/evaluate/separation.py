"""Whether classes lie apart in a space of vectors: a number beside a picture, and its null.

A picture in two dimensions shows groups where there are none, and neighbours on a genome are alike
whatever they are. So neighbours are counted in the space itself, those that lie near on the genome
are passed over, and the null moves the classes along the genome as a whole, which keeps their
lengths and their order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.resampling import INTERVAL

Floats = NDArray[np.float64]
#: More windows are drawn from evenly: distances are between all pairs.
MOST_WINDOWS = 4000
NEIGHBOURS = 15
SHIFTS = 500


@dataclass(frozen=True)
class AgainstNull:
    """A figure, and what it is where classes say nothing.

    Attributes
    ----------
    value : float
    null : float
        Mean over the shifts.
    low, high : float
        What 95 % of the shifts lie between.
    p : float
        Share of shifts, the classes themselves among them, that reach the value.
    """

    value: float
    null: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Separation:
    """How far classes lie apart.

    Attributes
    ----------
    names : tuple of str
        Of the classes that are compared.
    counts : tuple of int
        Windows of each that were looked at.
    k : int
        Neighbours.
    apart : int
        Windows nearer than this on the genome are no neighbours.
    purity : AgainstNull
        Share of the k nearest that are of the same class, the mean over classes.
    by_class : dict of str to AgainstNull
        The same of each class.
    silhouette : AgainstNull
        Mean silhouette over the windows (Rousseeuw 1987).
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]
    k: int
    apart: int
    purity: AgainstNull
    by_class: dict[str, AgainstNull]
    silhouette: AgainstNull


@dataclass(frozen=True)
class PlacedClasses:
    """Windows with vectors and classes.

    Attributes
    ----------
    vectors : float array [N, D]
    names : tuple of str
    classes : int64 array [N]
        Index into `names`.
    contig, start, end : int64 array [N]
        Where they lie; contigs as numbers.
    """

    vectors: NDArray[np.floating]
    names: tuple[str, ...]
    classes: NDArray[np.int64]
    contig: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    def chosen(self, rows: NDArray[np.int64]) -> PlacedClasses:
        """Some of them."""
        arrays = (self.classes, self.contig, self.start, self.end)
        return PlacedClasses(self.vectors[rows], self.names, *(each[rows] for each in arrays))


def separation_of(
    found: PlacedClasses,
    *,
    apart: int = 0,
    k: int = NEIGHBOURS,
    shifts: int = SHIFTS,
    seed: int = 1,
) -> Separation | None:
    """Purity of neighbourhoods and silhouette of classes, against classes moved along the genome.

    Parameters
    ----------
    found : PlacedClasses
    apart : int
        Bases between windows that may be neighbours.
    k : int
        Neighbours, at most a third of the windows.
    shifts : int
        Of the null.
    seed : int

    Returns
    -------
    Separation or None
        None where fewer than two classes have two windows.
    """
    random = np.random.default_rng(seed)
    counts = np.bincount(found.classes, minlength=len(found.names))
    rows = np.flatnonzero(counts[found.classes] > 1)
    if len(rows) > MOST_WINDOWS:
        rows = np.sort(random.choice(rows, MOST_WINDOWS, replace=False))
    # In the order of the genome, along which classes are moved.
    rows = rows[np.lexsort((found.start[rows], found.contig[rows]))]
    present, classes = np.unique(found.classes[rows], return_inverse=True)
    if len(present) < 2:
        return None
    own = found.chosen(rows)
    n, classes = len(rows), classes.ravel()
    k = max(1, min(k, n // 3))
    distances = _distances(own.vectors)
    neighbours = _neighbours(distances, own, apart, k)
    moves = random.integers(1, n, size=shifts) if n > 1 else np.zeros(0, dtype=np.int64)
    moved = [classes, *(np.roll(classes, move) for move in moves.tolist())]
    purities = np.array([_purity(each, neighbours, len(present)) for each in moved])
    silhouettes = np.array([_silhouette(each, distances, len(present)) for each in moved])
    names = tuple(found.names[c] for c in present.tolist())
    return Separation(
        names,
        tuple(np.bincount(classes).tolist()),
        k,
        apart,
        _against(np.nanmean(purities, axis=1)),
        {name: _against(purities[:, c]) for c, name in enumerate(names)},
        _against(silhouettes),
    )


def _distances(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Euclidean distances of all pairs, float32 [N, N]."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    squares = (centred**2).sum(axis=1)
    found = squares[:, None] + squares[None, :] - 2 * (centred @ centred.T)
    return np.sqrt(np.maximum(found, 0)).astype(np.float32)


def _neighbours(
    distances: NDArray[np.float32], own: PlacedClasses, apart: int, k: int
) -> NDArray[np.int64]:
    """The k nearest of each that do not lie near it on the genome, -1 where there are fewer."""
    found = np.full((len(distances), k), -1, dtype=np.int64)
    for row, values in enumerate(distances):
        gap = np.maximum(own.start - own.end[row], own.start[row] - own.end)
        is_far = (own.contig != own.contig[row]) | (gap >= apart)
        is_far[row] = False
        rest = np.flatnonzero(is_far)
        nearest = rest[np.argsort(values[rest], kind="stable")[:k]]
        found[row, : len(nearest)] = nearest
    return found


def _purity(classes: NDArray[np.int64], neighbours: NDArray[np.int64], n_classes: int) -> Floats:
    """Share of neighbours of the same class, the mean within each class, float64 [C]."""
    is_there = neighbours >= 0
    same = (classes[neighbours] == classes[:, None]) & is_there
    counts = is_there.sum(axis=1)
    share = same.sum(axis=1) / np.maximum(counts, 1)
    counted = counts > 0
    totals = np.bincount(classes[counted], share[counted], minlength=n_classes)
    sizes = np.bincount(classes[counted], minlength=n_classes)
    means: Floats = np.where(sizes > 0, totals / np.maximum(sizes, 1), np.nan)
    return means


def _silhouette(
    classes: NDArray[np.int64], distances: NDArray[np.float32], n_classes: int
) -> float:
    """Mean over windows of (b - a) / max(a, b); 0 for the only window of a class."""
    members = np.eye(n_classes, dtype=np.float32)[classes]
    sums = (distances @ members).astype(np.float64)
    sizes = members.sum(axis=0).astype(np.float64)
    rows = np.arange(len(classes))
    own = sums[rows, classes] / np.maximum(sizes[classes] - 1, 1)
    others = sums / sizes
    others[rows, classes] = np.inf
    nearest = others.min(axis=1)
    larger = np.maximum(own, nearest)
    values = np.where(larger > 0, (nearest - own) / np.where(larger > 0, larger, 1), 0.0)
    return float(np.where(sizes[classes] > 1, values, 0.0).mean())


def _against(values: Floats) -> AgainstNull:
    """The first value against all others."""
    value, null = float(values[0]), values[1:]
    if not len(null):
        return AgainstNull(value, np.nan, np.nan, np.nan, np.nan)
    low, high = np.percentile(null, INTERVAL)
    p = (1 + int((null >= value - 1e-12).sum())) / (1 + len(null))
    return AgainstNull(value, float(null.mean()), float(low), float(high), p)
