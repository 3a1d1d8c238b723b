"""Theta of sites to the numbers that commands write, in one arithmetic for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from phylotools.phylogeny.substitution import SubstitutionModel


@dataclass(frozen=True)
class SiteNumbers:
    """Numbers of K sites.

    Attributes
    ----------
    scores : float64 array [K, 4]
        Of each base; the LLR of two is their difference.
    rate, entropy : float64 array [K]
        Float32 numbers.
    """

    scores: NDArray[np.float64]
    rate: NDArray[np.float64]
    entropy: NDArray[np.float64]

    def put(self, rows: NDArray[np.int64], others: SiteNumbers) -> None:
        """Write the numbers of other sites into some rows."""
        self.scores[rows] = others.scores
        self.rate[rows] = others.rate
        self.entropy[rows] = others.entropy


def site_numbers(substitution: SubstitutionModel, theta: NDArray[np.float32]) -> SiteNumbers:
    """Scores of the bases, rate and entropy of sites.

    Parameters
    ----------
    substitution : SubstitutionModel
    theta : float32 array [K, 4]
    """
    import torch  # not needed by those who look numbers up

    with torch.inference_mode():
        sites = torch.from_numpy(theta)
        return SiteNumbers(
            # In float64, so that the difference of two is exact to the decimals written.
            substitution.allele_scores(sites.double()).numpy(),
            substitution.site_rate(sites).double().numpy(),
            substitution.entropy(sites).double().numpy(),
        )
