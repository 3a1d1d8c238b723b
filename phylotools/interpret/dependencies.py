"""Nucleotide dependency maps: how the prediction of one base hangs on another.

The categorical Jacobian of a model at a sequence: J[i, a, j, b] = log p(j = b | i := a) -
log p(j = b), where the base at i is replaced by a and nothing else changes. The map has, for i and
j, its largest absolute value over a and b (Tomaz da Silva et al. 2025). A base beyond half the
receptive field of another does not depend on it, and is not computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, UsageError
from phylotools.interpret.changes import Measure, log_probabilities, measured
from phylotools.io.bases import N
from phylotools.io.regions import Region
from phylotools.scoring.scorer import Scorer
from phylotools.scoring.substituted import substituted_sites

#: Bases of the longest region: its map has 16 million numbers, and a picture no more pixels.
MOST_BASES = 4000
#: With the whole Jacobian, which has 16 numbers a pair.
MOST_FULL = 1000


@dataclass(frozen=True)
class DependencyMap:
    """How the L bases of a region depend on each other.

    Attributes
    ----------
    region : Region
    reference : uint8 array [L]
        Codes; 4 for N.
    values : float32 array [L, L]
        Row: the base that is substituted; column: the one whose prediction changes. In nats; 0 on
        the diagonal, NaN where one of the two is N.
    jacobian : float32 array [L, 4, L, 4] or None
        All of J, where it was asked for; 0 for the base that stands there, NaN as above.
    reach : int
        Beyond so many positions there is no dependency.
    measure : {'log-probability', 'log-odds'}
        What the numbers are changes of.
    is_symmetric : bool
        Whether `values` are the means of both directions.
    """

    region: Region
    reference: NDArray[np.uint8]
    values: NDArray[np.float32]
    jacobian: NDArray[np.float32] | None
    reach: int
    measure: Measure
    is_symmetric: bool

    @property
    def n_unknown(self) -> int:
        """Bases that are N."""
        return int((self.reference == N).sum())

    def pairs(self) -> NDArray[np.int64]:
        """Rows and columns, int64 [K, 2], of pairs that can depend on each other.

        Of a symmetric map each pair once.
        """
        places = np.arange(len(self.region))
        distance = places[None] - places[:, None]
        near = (np.abs(distance) <= self.reach) & (distance != 0)
        if self.is_symmetric:
            near &= distance > 0
        return np.argwhere(near)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a file of arrays has of it."""
        found: dict[str, NDArray[Any]] = {
            "dependencies": self.values,
            "reference": self.reference,
            "positions": np.arange(self.region.start, self.region.end),
        }
        return found if self.jacobian is None else found | {"jacobian": self.jacobian}


def dependency_map(
    scorer: Scorer,
    region: Region,
    *,
    measure: Measure = "log-probability",
    is_symmetric: bool = False,
    keeps_jacobian: bool = False,
    on_positions: Callable[[int], None] = lambda n: None,
) -> DependencyMap:
    """The dependency map of a region.

    Parameters
    ----------
    scorer : Scorer
        By the sequence alone.
    region : Region
        Within its contig. Its bases are read in their place: the sequence beside the region is
        context, and stays as it is.
    measure : {'log-probability', 'log-odds'}
    is_symmetric : bool
        Take the mean of the two directions of a pair.
    keeps_jacobian : bool
    on_positions : callable
        Gets the number of bases done since its last call.

    Raises
    ------
    UsageError
        If the region is longer than `MOST_BASES`, or than `MOST_FULL` with the Jacobian.
    InputError
        If it has no A, C, G or T.
    """
    most = MOST_FULL if keeps_jacobian else MOST_BASES
    if len(region) > most:
        what = "the whole Jacobian" if keeps_jacobian else "a dependency map"
        raise UsageError(
            f"{region} has {len(region):,} bases; {what} is of at most {most:,}: choose a shorter "
            "region, or see how far each base reaches with `phylotools interpret influence`"
        )
    reference = scorer.genome.bases(region)
    if (reference == N).all():
        raise InputError(
            f"{region} has no A, C, G or T: no base of it can be substituted",
            path=scorer.genome.path,
        )
    n_bases = len(region)
    values = np.zeros((n_bases, n_bases), dtype=np.float32)
    jacobian = np.zeros((n_bases, 4, n_bases, 4), dtype=np.float32) if keeps_jacobian else None
    substitution = scorer.model.substitution
    for row, site in enumerate(substituted_sites(scorer, region, within=region)):
        theta = np.concatenate([site.before[None], site.after])
        numbers = measured(log_probabilities(substitution, theta), measure)
        change = numbers[1:] - numbers[0]
        first = site.start - region.start
        columns = slice(first, first + change.shape[1])
        values[row, columns] = np.abs(change).max(axis=(0, 2))
        if jacobian is not None:
            jacobian[row, site.alternatives, columns] = change
        on_positions(1)
    np.fill_diagonal(values, 0)
    unknown = reference == N
    values[unknown], values[:, unknown] = np.nan, np.nan
    if jacobian is not None:
        jacobian[unknown], jacobian[:, :, unknown] = np.nan, np.nan
    if is_symmetric:
        values = ((values + values.T) / 2).astype(np.float32)
    return DependencyMap(
        region, reference, values, jacobian, scorer.half_window, measure, is_symmetric
    )
