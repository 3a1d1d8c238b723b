"""Streams of numbers of any length in bounded memory: exact counts, a uniform sample, quantiles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

#: Numbers kept of each class. A quantile of so many is within 0.5 % of its rank (95 % interval).
KEPT = 50_000
_BATCH = 4096
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
#: What `Tally.summary` holds, for tables.
SUMMARY = ("n", "n_sampled", "mean", "lowest", *(f"quantile_{at:g}" for at in QUANTILES), "highest")


class Reservoir:
    """A uniform sample without replacement of rows that come one by one (Vitter's algorithm R).

    It holds every row, in order, as long as there are at most `size`.

    Parameters
    ----------
    seed : sequence of int
    size : int
        Rows kept.
    width : int
        Numbers in a row.
    """

    def __init__(self, seed: Sequence[int], *, size: int = KEPT, width: int = 1) -> None:
        self._random = np.random.default_rng(list(seed))
        self._size = size
        self._width = width
        self._kept = np.empty((0, width))
        self._waiting: list[tuple[float, ...]] = []
        self._n_passed = 0

    def add(self, *row: float) -> None:
        self._waiting.append(row)
        if len(self._waiting) >= _BATCH:
            self._pass_on()

    def _pass_on(self) -> None:
        rows = np.array(self._waiting, dtype=np.float64).reshape(-1, self._width)
        self._waiting.clear()
        free = self._size - len(self._kept)
        self._kept = np.concatenate([self._kept, rows[:free]])
        self._n_passed += min(free, len(rows))
        rows = rows[free:]
        if len(rows):
            seen = self._n_passed + 1 + np.arange(len(rows))
            places = self._random.integers(0, seen)
            # One by one: of two rows for one place the later one stays.
            for index in np.flatnonzero(places < self._size).tolist():
                self._kept[places[index]] = rows[index]
            self._n_passed += len(rows)

    @property
    def n(self) -> int:
        """Rows that came."""
        return self._n_passed + len(self._waiting)

    @property
    def rows(self) -> NDArray[np.float64]:
        """The sample, float64[min(n, size), width]."""
        self._pass_on()
        return self._kept


class Tally:
    """The distribution of a stream of finite numbers.

    Attributes
    ----------
    lowest, highest : float
        Of all numbers; NaN if there is none.
    """

    def __init__(self, seed: Sequence[int], *, size: int = KEPT) -> None:
        self._reservoir = Reservoir(seed, size=size)
        self._sum = 0.0
        self.lowest = math.nan
        self.highest = math.nan

    def add(self, value: float) -> None:
        self._reservoir.add(value)
        self._sum += value
        # Comparisons with NaN are false: the first number replaces it.
        if not self.lowest <= value:
            self.lowest = value
        if not self.highest >= value:
            self.highest = value

    @property
    def n(self) -> int:
        """Numbers that came, all of them."""
        return self._reservoir.n

    @property
    def mean(self) -> float:
        """Mean of all numbers."""
        return self._sum / self.n if self.n else math.nan

    @property
    def sample(self) -> NDArray[np.float64]:
        """All numbers, or a uniform sample of them, sorted."""
        return np.sort(self._reservoir.rows[:, 0])

    @property
    def median(self) -> float:
        """Median of the sample."""
        return self.quantiles([0.5])[0]

    def summary(self) -> list[float]:
        """Counts, mean, ends and quantiles, in the order of `SUMMARY`."""
        sampled = min(self.n, KEPT)
        return [self.n, sampled, self.mean, self.lowest, *self.quantiles(), self.highest]

    def quantiles(self, at: Iterable[float] = QUANTILES) -> list[float]:
        """Quantiles of the sample, by linear interpolation."""
        sample = self.sample
        if not len(sample):
            return [math.nan for _ in at]
        return np.quantile(sample, list(at)).tolist()
