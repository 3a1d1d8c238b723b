"""Values of tracks at sites, from their theta."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phylotools.io.bases import BASES
from phylotools.phylogeny.change_scores import SiteTerms
from phylotools.phylogeny.score_meaning import CALIBRATED, LLR
from phylotools.phylogeny.substitution import SubstitutionModel
from phylotools.scoring.site_numbers import SiteNumbers, site_numbers
from phylotools.tracks.catalogue import Signal

#: Sites at a time: what they need stays in the cores' own memory.
_SITES = 4096
#: Bits of a float32's fraction that tracks keep: 14 significant bits with the leading one.
FRACTION_BITS = 13
#: By which contexts are compared, those that `annotate` writes.
LLR_DECIMALS = 4
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
    scores : dict of str to float64 array [K, 4]
        Other scores by name, as `llr`; what stands at the reference base means nothing.
    """

    llr: NDArray[np.float64]
    rate: NDArray[np.float64]
    entropy: NDArray[np.float64]
    log_probability: NDArray[np.float64]
    reference: NDArray[np.uint8]
    scores: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def signal(self, signal: Signal) -> NDArray[np.float64]:
        """Values of one bigWig, [K], not yet rounded."""
        base = BASES.find(signal.name[-1])
        if signal.group == "log_probability":
            return self.log_probability[:, base]
        if signal.group == "logo":
            bits = np.maximum(2 - self.entropy / math.log(2), 0)
            return np.exp(self.log_probability[:, base]) * bits
        if signal.score is not None:
            values = self.llr if signal.score == LLR else self.scores[signal.score]
            is_own = np.arange(4) == self.reference[:, None]
            if signal.group.endswith("_mean"):
                return np.where(is_own, 0, values).sum(axis=1) / 3
            return np.asarray(np.where(is_own, np.inf, values).min(axis=1))
        return {"rate": self.rate, "entropy": self.entropy}[signal.group]


def site_values(
    substitution: SubstitutionModel,
    theta: NDArray[np.float32],
    reference: NDArray[np.uint8],
    scores: Sequence[str] = (),
    expected: NDArray[np.float64] | None = None,
) -> SiteValues:
    """Values of all tracks at sites.

    Parameters
    ----------
    substitution : SubstitutionModel
    theta : float32 array [K, 4]
    reference : uint8 array [K]
        Codes 0 to 3.
    scores : sequence of str
        Names of other scores than the LLR that are wanted.
    expected : float64 array [K, 4], optional
        LLRs that neutral sites with these contexts have, for the calibrated score.
    """
    n = len(theta)
    process = substitution.mutation_process()
    wanted = [name for name in scores if name != LLR]
    others = {name: np.empty((n, 4)) for name in wanted}
    sites = SiteNumbers.empty(n)
    for first in range(0, n, _SITES):
        rows = np.arange(first, min(first + _SITES, n))
        found = site_numbers(substitution, theta[rows])
        sites.put(rows, found)
        terms = _all_alternatives(reference[rows])
        for name in wanted:
            if name == CALIBRATED:
                assert expected is not None
                values = process.llr(found.log_pi - expected[rows], terms)
            else:
                values = process.scores(name, found.log_pi, found.log_rate, found.rate, terms)
            others[name][rows] = values.reshape(-1, 4)
    own = np.take_along_axis(sites.log_pi, reference[:, None].astype(np.int64), axis=1)
    return SiteValues(
        sites.log_pi - own, sites.rate, sites.entropy, sites.log_pi, reference, others
    )


def _all_alternatives(reference: NDArray[np.uint8]) -> SiteTerms:
    """The changes of K reference bases to A, C, G, T each, 4 K of them."""
    rows = np.arange(4 * len(reference))
    return SiteTerms(
        rows, rows // 4, np.repeat(reference, 4), (rows % 4).astype(np.uint8), len(rows)
    )


def worst_in_transcripts(
    values: SiteValues, rows: NDArray[np.int64], is_reverse: NDArray[np.bool_], default: str
) -> SiteValues:
    """Values of K positions from those of their P places in transcripts.

    The scores of an alternative are those of the place where its default score is lowest, the
    first of equal ones; what a position has once is that of the place with its lowest of all.

    Parameters
    ----------
    values : SiteValues
        Of P places, on the strands of the transcripts.
    rows : int64 array [P]
        The position of each, rising: all from 0 to K - 1.
    is_reverse : bool array [P]
        Whether a place's strand is the reverse one.
    default : str
        Name of the model's default score.
    """

    def on_forward(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(is_reverse[:, None], numbers[:, ::-1], numbers)

    llr, log_pi = on_forward(values.llr), on_forward(values.log_probability)
    others = {name: on_forward(found) for name, found in values.scores.items()}
    codes = np.where(is_reverse, 3 - values.reference, values.reference)
    scores = llr if default == LLR else others[default]
    compared: NDArray[np.float64] = np.round(
        np.where(np.isnan(scores), llr, scores), LLR_DECIMALS
    ).astype(np.float64)
    firsts = np.flatnonzero(np.diff(rows, prepend=-1))
    lowest = np.minimum.reduceat(compared, firsts)
    places = np.where(compared == lowest[rows], np.arange(len(rows))[:, None], len(rows))
    chosen = np.minimum.reduceat(places, firsts)
    reference = codes[firsts].astype(np.uint8)
    positions = np.arange(len(firsts))
    lowest[positions, reference] = np.inf
    worst = chosen[positions, lowest.argmin(axis=1)]
    bases = np.arange(4)
    return SiteValues(
        llr[chosen, bases],
        values.rate[worst],
        values.entropy[worst],
        log_pi[worst],
        reference,
        {name: found[chosen, bases] for name, found in others.items()},
    )


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
