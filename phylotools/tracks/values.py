"""Values of tracks at sites, from their theta."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from phylotools.io.bases import BASES
from phylotools.phylogeny.substitution import SubstitutionModel
from phylotools.scoring.site_numbers import site_numbers
from phylotools.tracks.catalogue import Signal

#: Sites at a time: what they need stays in the cores' own memory.
_SITES = 4096
#: Bits of a float32's fraction that tracks keep: 14 significant bits with the leading one.
FRACTION_BITS = 13
ROUNDING = "14 significant bits (relative error at most 6.1e-5)"


@dataclass(frozen=True)
class SiteValues:
    """Values of tracks at sites whose reference base is A, C, G or T.

    Attributes
    ----------
    llr : float64 array [K, 4]
        By alternative base, A, C, G, T; 0 for the reference base.
    rate, entropy : float64 array [K]
    log_probability : float64 array [K, 4]
        Natural logarithms.
    reference : uint8 array [K]
        Codes 0 to 3.
    """

    llr: NDArray[np.float64]
    rate: NDArray[np.float64]
    entropy: NDArray[np.float64]
    log_probability: NDArray[np.float64]
    reference: NDArray[np.uint8]

    def signal(self, signal: Signal) -> NDArray[np.float64]:
        """Values of one bigWig, [K], not yet rounded."""
        base = BASES.find(signal.name[-1])
        if signal.group == "log_probability":
            return self.log_probability[:, base]
        if signal.group == "logo":
            bits = np.maximum(2 - self.entropy / math.log(2), 0)
            return np.exp(self.log_probability[:, base]) * bits
        if signal.group == "llr_mean":
            return self.llr.sum(axis=1) / 3
        if signal.group == "llr_min":
            others = np.where(np.arange(4) == self.reference[:, None], np.inf, self.llr)
            return np.asarray(others.min(axis=1))
        return {"rate": self.rate, "entropy": self.entropy}[signal.group]


def site_values(
    substitution: SubstitutionModel, theta: NDArray[np.float32], reference: NDArray[np.uint8]
) -> SiteValues:
    """Values of all tracks at sites.

    Parameters
    ----------
    substitution : SubstitutionModel
    theta : float32 array [K, 4]
    reference : uint8 array [K]
        Codes 0 to 3.
    """
    n = len(theta)
    scores, log_pi = np.empty((n, 4)), np.empty((n, 4))
    rate, entropy = np.empty(n), np.empty(n)
    with torch.inference_mode():
        for first in range(0, n, _SITES):
            part = slice(first, first + _SITES)
            sites = torch.from_numpy(theta[part])
            log_pi[part] = substitution.log_equilibrium_frequencies(sites.double()).numpy()
            found = site_numbers(substitution, theta[part])
            scores[part], rate[part], entropy[part] = found.scores, found.rate, found.entropy
    llr = scores - np.take_along_axis(scores, reference[:, None].astype(np.int64), axis=1)
    return SiteValues(llr, rate, entropy, log_pi, reference)


def rounded(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Values with the last bits of their fraction zero, to the nearest, ties to even.

    Unlike decimals that keeps the digits of small values, and what compresses least is gone.
    """
    bits = values.astype(np.float32).view(np.uint32)
    dropped = np.uint32(23 - FRACTION_BITS)
    half = np.uint32((1 << (22 - FRACTION_BITS)) - 1)
    bits = (bits + half + ((bits >> dropped) & np.uint32(1))) >> dropped << dropped
    # A zero is written without a sign.
    return np.asarray(bits.view(np.float32) + np.float32(0))
