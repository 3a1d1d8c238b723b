"""Theta of sites to the numbers that commands write, in one arithmetic for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from phylotools.phylogeny.substitution import SubstitutionModel


#: Of sites that are said never to change.
LOWEST_RATE = 1e-12


@dataclass(frozen=True)
class SiteNumbers:
    """Numbers of K sites.

    Attributes
    ----------
    log_pi : float64 array [K, 4]
        Log equilibrium frequencies of A, C, G, T.
    log_rate : float64 array [K]
        log R, as the substitution model measures it.
    rate, entropy : float64 array [K]
        Float32 numbers: the expected rate of substitution, and the entropy in nats.
    """

    log_pi: NDArray[np.float64]
    log_rate: NDArray[np.float64]
    rate: NDArray[np.float64]
    entropy: NDArray[np.float64]

    @classmethod
    def empty(cls, n_sites: int) -> SiteNumbers:
        """Numbers that are still to be put in."""
        return cls(np.empty((n_sites, 4)), *(np.empty(n_sites) for _ in range(3)))

    def of(self, rows: NDArray[np.int64]) -> SiteNumbers:
        """The numbers of some rows, in their order."""
        return SiteNumbers(
            self.log_pi[rows], self.log_rate[rows], self.rate[rows], self.entropy[rows]
        )

    def put(self, rows: NDArray[np.int64], others: SiteNumbers) -> None:
        """Write the numbers of other sites into some rows."""
        self.log_pi[rows] = others.log_pi
        self.log_rate[rows] = others.log_rate
        self.rate[rows] = others.rate
        self.entropy[rows] = others.entropy


def site_numbers(substitution: SubstitutionModel, theta: NDArray[np.float32]) -> SiteNumbers:
    """Frequencies, rates and entropy of sites.

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
            substitution.log_equilibrium_frequencies(sites.double()).numpy(),
            substitution.log_rate(sites.double()).numpy(),
            substitution.site_rate(sites).double().numpy(),
            substitution.entropy(sites).double().numpy(),
        )


def log_rates(rate: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logs of rates of sites as features, also of sites that are said never to change."""
    return np.log(np.maximum(rate, LOWEST_RATE))


def log_rate_and_entropy(
    substitution: SubstitutionModel, theta: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Log of the expected rate of substitution of K sites, and their entropy, float32 [K, 2].

    What heads that are fitted to regions read of sites, as means over the region.
    """
    sites = site_numbers(substitution, theta)
    return np.stack([log_rates(sites.rate), sites.entropy], axis=1).astype(np.float32)
