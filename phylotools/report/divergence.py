"""Expected identity to the reference by distance along the tree."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.store.tree_scale import FEWEST_COLUMNS

#: Columns of one stretch share their constraint, so a part of the columns differs from another
#: part as if there were fewer of them. 20 is about the mean block of a 50-species MAF.
COLUMNS_PER_INDEPENDENT_ONE = 20
#: A curve of two parameters needs several points, or one wrong label would bend it to itself.
_FEWEST_SPECIES = 6
#: Closer than this no alignment is to its tree: 5 % of identity separate chicken from turkey
#: and from duck.
_SMALLEST_TOLERANCE = 0.05
#: Standard deviations: of the species from the trend, where none is wrong 1 in 370 is so far off;
#: of one species' sampling error, which is only roughly known.
_USUAL_SPREAD, _USUAL_ERROR = 3.0, 4.0


@dataclass(frozen=True, eq=False)
class Divergence:
    """Curves of identity to the reference by distance d, in substitutions per site.

    Under F81 (Jukes and Cantor's with unequal base frequencies) two sequences at distance d agree
    in ``q + (1 - q) exp(-d / (1 - q))`` of their sites, with q the chance that two random
    bases agree. Real sites evolve at different rates, and what evolves fast is seldom aligned.
    So the trend has two more parameters: a `scale` of all distances and the `shape` of gamma
    distributed rates, ``q + (1 - q) (1 + scale d / ((1 - q) shape)) ** -shape``.

    Attributes
    ----------
    chance_identity : float
        q, from the reference's base frequencies.
    scale, shape : float
        Of the trend; 1 and infinity where there are too few species to fit one.
    is_fitted : bool
    tolerance : float
        Distance from the trend that is not unusual in this alignment.
    """

    chance_identity: float
    scale: float
    shape: float
    is_fitted: bool
    tolerance: float

    def neutral(self, distance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Expected identity if every site evolved at the tree's rate; same shape."""
        return _identity(distance, self.chance_identity, 1.0, np.inf)

    def trend(self, distance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Identity that is usual in this alignment; same shape."""
        return _identity(distance, self.chance_identity, self.scale, self.shape)

    def expected(self, distance: float) -> float:
        """The trend at one distance."""
        return float(self.trend(np.array([distance]))[0])

    def allowed(self, comparable: int, columns: int) -> float:
        """Distance from the trend that is not unusual for a species.

        Parameters
        ----------
        comparable : int
            Columns in which it and the reference have a base.
        columns : int
            All columns. A species that has them all has no luck with their kind: only what it
            lacks makes neighbouring columns count as fewer.
        """
        lacking = 1 - comparable / max(columns, comparable, 1)
        inflation = 1 + (COLUMNS_PER_INDEPENDENT_ONE - 1) * lacking
        error = 0.5 * math.sqrt(inflation / max(comparable, 1))
        return max(self.tolerance, _USUAL_ERROR * error)


def fit_divergence(
    distance: NDArray[np.float64],
    identical: NDArray[np.int64],
    comparable: NDArray[np.int64],
    frequencies: NDArray[np.int64],
) -> Divergence:
    """Fit the trend of identity by distance so that outliers have little weight.

    Parameters
    ----------
    distance : float64 array [S]
        Of every species but the reference, in substitutions per site.
    identical, comparable : int64 arrays [S]
    frequencies : int64 array [4]
        Counts of the reference's A, C, G and T.

    Returns
    -------
    Divergence
    """
    total = max(int(frequencies.sum()), 1)
    chance = float(((frequencies / total) ** 2).sum()) if frequencies.sum() else 0.25
    chance = min(chance, 0.999)  # one letter only: nothing could be told
    used = comparable >= FEWEST_COLUMNS
    if used.sum() < _FEWEST_SPECIES:
        # Rates differ between sites: without a trend, only what is far from the curve is odd.
        return Divergence(chance, 1.0, np.inf, False, 0.25)
    at, identity = distance[used], identical[used] / comparable[used]
    scale, shape = np.meshgrid(np.geomspace(0.02, 20, 151), np.geomspace(0.05, 20, 41))
    curves = _identity(at, chance, scale.reshape(-1, 1), shape.reshape(-1, 1))
    # Least absolute differences: a few wrong species do not move it. As many votes for the near
    # as for the far species, whichever clade was sequenced more.
    errors = np.abs(curves - identity) @ _spacing(at)
    best = int(errors.argmin())
    residual = np.abs(curves[best] - identity)
    # 1.4826: the median absolute deviation of a normal variable is its sd divided by this.
    spread = 1.4826 * float(np.median(residual))
    return Divergence(
        chance,
        float(scale.flat[best]),
        float(shape.flat[best]),
        True,
        max(_SMALLEST_TOLERANCE, _USUAL_SPREAD * spread),
    )


def _spacing(at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight of each point: less where points crowd; the mean is 1."""
    width = max(float(np.ptp(at)) / 10, 1e-9)
    crowd = (np.abs(at[:, None] - at[None, :]) < width).sum(axis=1)
    weight = 1 / np.sqrt(crowd)
    return weight / weight.mean()


def _identity(
    distance: NDArray[np.float64],
    chance: float,
    scale: float | NDArray[np.float64],
    shape: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    steps = scale * distance / (1 - chance)
    if np.ndim(shape) == 0 and np.isinf(shape):
        decay = np.exp(-steps)
    else:
        decay = (1 + steps / shape) ** -shape
    return chance + (1 - chance) * decay
