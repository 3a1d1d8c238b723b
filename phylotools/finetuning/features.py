"""A table of features that lies on the disk, and linear heads fitted to rows of it.

A million variants have gigabytes of features: fits walk over them in blocks, so that memory does
not grow with the labels.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from phylotools.io.closing import Closing
from phylotools.io.files import naming_output
from phylotools.model.tuned_head import LinearHead

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

#: Numbers of a block of rows.
_BLOCK_NUMBERS = 1 << 21
#: What the model's own scores cost in squares of their weights: little, they are few.
SCORE_PENALTY = 1e-3
#: Penalties of the embeddings that inner folds choose among; with infinity they stay unused.
PENALTIES = (math.inf, 10.0, 1.0, 0.1, 0.01, 0.001)
_MOST_STEPS = 50
_HALVINGS = 30
#: Of the largest step of a weight, in standard units.
_TOLERANCE = 1e-8


class RowFile(Closing):
    """Rows of numbers that are appended to a file, which has no name and is gone with the process.

    Parameters
    ----------
    folder : str
        On whose disk.
    shape : tuple of int
        Of a row.
    kind : dtype
    output : str
        Named by the error of a full disk.
    """

    def __init__(self, folder: str, shape: tuple[int, ...], kind: DTypeLike, output: str) -> None:
        # Without a buffer, which closing would try to write to a full disk.
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self._shape, self._kind, self._output = shape, np.dtype(kind), output

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows, [K, *shape].

        Raises
        ------
        OutputError
            If the disk is full.
        """
        data = np.ascontiguousarray(rows, dtype=self._kind).data.cast("B")
        with naming_output(self._output):
            while data:
                data = data[os.write(self._file.fileno(), data) :]

    def rows(self) -> NDArray[Any]:
        """All rows, [N, *shape]: read from the disk where they are looked at."""
        size = os.fstat(self._file.fileno()).st_size
        n_rows = size // (self._kind.itemsize * int(np.prod(self._shape)))
        if not n_rows:
            return np.zeros((0, *self._shape), dtype=self._kind)
        return np.memmap(self._file, self._kind, mode="r", shape=(n_rows, *self._shape))

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class FeatureTable:
    """Features of N items.

    Attributes
    ----------
    values : float32 array [N, F]
        The model's own scores first.
    n_scores : int
        How many of them these are.
    """

    values: NDArray[np.float32]
    n_scores: int

    @property
    def width(self) -> int:
        return int(self.values.shape[1])

    def blocks(self, rows: Rows, width: int | None = None) -> Iterator[tuple[slice, Floats]]:
        """Yield the first features of some rows in parts: which of `rows`, and float64 [K, F]."""
        width = width or self.width
        size = max(1, _BLOCK_NUMBERS // self.width)
        for begin in range(0, len(rows), size):
            part = slice(begin, min(begin + size, len(rows)))
            yield part, self.values[rows[part], :width].astype(np.float64)

    def scores(self, head: LinearHead, rows: Rows) -> Floats:
        """What a head says of some rows."""
        found = np.empty(len(rows))
        for part, features in self.blocks(rows):
            found[part] = head.score(features)
        return found


@dataclass(frozen=True)
class Target:
    """What is fitted to.

    Attributes
    ----------
    labels : float64 array [N]
        Of all items.
    has_classes : bool
        Whether they are 0 and 1.
    """

    labels: Floats
    has_classes: bool

    def weights(self, rows: Rows) -> Floats:
        """How much each of some rows counts: both classes the same in all; their sum is 1."""
        if not self.has_classes:
            return np.full(len(rows), 1 / max(len(rows), 1))
        positive = self.labels[rows] > 0.5
        counts = np.array([(~positive).sum(), positive.sum()])
        n_classes = np.count_nonzero(counts)
        return 1.0 / (n_classes * counts[positive.astype(int)])

    def losses(self, scores: Floats, rows: Rows) -> Floats:
        """Loss of the score of each row: negative log likelihood of its class, or half a square."""
        labels = self.labels[rows]
        if not self.has_classes:
            return 0.5 * (labels - scores) ** 2
        return np.logaddexp(0.0, np.where(labels > 0.5, -scores, scores))

    def loss(self, scores: Floats, rows: Rows) -> float:
        """Weighted mean of the losses."""
        return float(self.weights(rows) @ self.losses(scores, rows))


def standard_units(table: FeatureTable, rows: Rows) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each feature over some rows; 1 where that is nothing."""
    total, square = np.zeros(table.width), np.zeros(table.width)
    for _, features in table.blocks(rows):
        total += features.sum(axis=0)
    centre = total / len(rows)
    for _, features in table.blocks(rows):
        square += ((features - centre) ** 2).sum(axis=0)
    scale = np.sqrt(square / len(rows))
    return centre, np.where(scale > 1e-6 * np.maximum(np.abs(centre), 1e-3), scale, 1.0)


def fit_heads(
    table: FeatureTable, target: Target, rows: Rows, penalties: Sequence[float] = PENALTIES
) -> list[LinearHead]:
    """Fit a head for each penalty, the strongest first.

    Minimised is the weighted mean loss plus half the penalised squares of the weights, in standard
    units of the features (and of numbers that are labels).

    Parameters
    ----------
    table : FeatureTable
    target : Target
    rows : int64 array
        What is fitted to.
    penalties : sequence of float
        Of the embeddings' weights; falling, infinity for none of them.

    Returns
    -------
    list of LinearHead
    """
    centre, scale = standard_units(table, rows)
    unit = _LabelUnit.of(target, rows)
    weights = np.zeros(table.width + 1)
    heads = []
    for penalty in penalties:
        width = table.n_scores if math.isinf(penalty) else table.width
        costs = np.full(width + 1, penalty)
        costs[: table.n_scores] = SCORE_PENALTY
        costs[width] = 0.0
        problem = _Problem(table, unit.target, rows, centre[:width], scale[:width], costs)
        start = np.append(weights[:width], weights[-1])
        found = problem.solve(start)
        weights = np.zeros(table.width + 1)
        weights[:width], weights[-1] = found[:-1], found[-1]
        heads.append(unit.head(weights, centre, scale))
    return heads


@dataclass(frozen=True)
class _LabelUnit:
    """Labels that are numbers, in standard units, so that a penalty means the same of all."""

    target: Target
    mean: float
    scale: float

    @classmethod
    def of(cls, target: Target, rows: Rows) -> _LabelUnit:
        if target.has_classes:
            return cls(target, 0.0, 1.0)
        mean, scale = float(target.labels[rows].mean()), float(target.labels[rows].std()) or 1.0
        return cls(Target((target.labels - mean) / scale, False), mean, scale)

    def head(self, weights: Floats, centre: Floats, scale: Floats) -> LinearHead:
        bias = float(weights[-1] * self.scale + self.mean)
        return LinearHead(weights[:-1] * self.scale, bias, centre, scale)


@dataclass(frozen=True)
class _Problem:
    """A convex loss of weights and a bias, the bias last, minimised by Newton's method.

    Attributes
    ----------
    costs : float64 array [F + 1]
        Of each one's square.
    """

    table: FeatureTable
    target: Target
    rows: Rows
    centre: Floats
    scale: Floats
    costs: Floats

    def solve(self, start: Floats) -> Floats:
        """The minimum; the loss has one, and every step lowers it."""
        weights = start
        value, gradient, curvature = self._expansion(weights)
        for _ in range(_MOST_STEPS):
            # A bias has no cost, but it has a curvature.
            step = np.linalg.solve(curvature + 1e-12 * np.eye(len(weights)), gradient)
            for _ in range(_HALVINGS):
                tried = self._expansion(weights - step)
                if tried[0] <= value:
                    break
                step = step / 2
            else:
                return weights
            weights = weights - step
            value, gradient, curvature = tried
            if np.abs(step).max() < _TOLERANCE:
                break
        return weights

    def _expansion(self, weights: Floats) -> tuple[float, Floats, Floats]:
        """Loss, gradient and curvature at some weights."""
        row_weights = self.target.weights(self.rows)
        value = 0.5 * float(self.costs @ weights**2)
        gradient = self.costs * weights
        curvature = np.diag(self.costs)
        for part, features in self.table.blocks(self.rows, len(self.centre)):
            units = np.append(
                (features - self.centre) / self.scale, np.ones((len(features), 1)), axis=1
            )
            scores = units @ weights
            rows, share = self.rows[part], row_weights[part]
            value += float(share @ self.target.losses(scores, rows))
            if self.target.has_classes:
                chance = 0.5 * (1 + np.tanh(scores / 2))
                slope, bend = chance - self.target.labels[rows], chance * (1 - chance)
            else:
                slope, bend = scores - self.target.labels[rows], np.ones(len(rows))
            gradient += units.T @ (share * slope)
            curvature += units.T @ (units * (share * bend)[:, None])
        return value, gradient, curvature
