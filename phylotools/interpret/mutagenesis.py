"""In-silico mutagenesis: what each single-nucleotide variant does to a model's predictions.

Each base is replaced by each other one, and the predictions of the sites that it reaches are
compared with those of the sequence as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from phylotools.errors import UsageError
from phylotools.interpret.changes import log_odds, log_probabilities
from phylotools.io.bases import N
from phylotools.io.regions import Region
from phylotools.scoring.scorer import Scorer
from phylotools.scoring.substituted import SubstitutedSite, substituted_sites

if TYPE_CHECKING:
    from phylotools.interpret.region_head import RegionHead

#: What is said of a variant; `docs/interpret.md` defines them.
LOG_LIKELIHOOD, NEIGHBOURS, ENTROPY, LOG_RATE, INFLUENCE, LLR, TUNED = (
    "log_likelihood", "neighbours", "entropy", "log_rate", "influence", "llr", "tuned",
)  # fmt: skip
#: Positions whose numbers are computed at a time.
_TOGETHER = 32
#: Of sites that are said never to change.
_LOWEST_RATE = 1e-12
EFFECTS = (LOG_LIKELIHOOD, NEIGHBOURS, ENTROPY, LOG_RATE, INFLUENCE, LLR)


@dataclass(frozen=True)
class SiteEffects:
    """Effects of the variants of one position.

    Attributes
    ----------
    contig : str
    position : int
        0-based.
    reference : int
        Code of the base that stands there, 0 to 3.
    values : float64 array [4, E]
        By alternative, A, C, G, T, and effect; 0 for the base that stands there.
    """

    contig: str
    position: int
    reference: int
    values: NDArray[np.float64]


def site_effects(
    scorer: Scorer,
    regions: Iterable[Region],
    *,
    within: int | None = None,
    head: RegionHead | None = None,
    on_positions: Callable[[int], None] = lambda n: None,
) -> Iterator[SiteEffects]:
    """Yield the effects of all single-nucleotide variants of regions, position by position.

    Positions with N are left out.

    Parameters
    ----------
    scorer : Scorer
        By the sequence alone.
    regions : iterable of Region
    within : int, optional
        Sites further away than this are not looked at; by default all that a base reaches.
    head : RegionHead, optional
        Adds the effect `TUNED`: on what a head says of the region that the position lies in.
    on_positions : callable
        Gets the number of positions done since its last call.
    """
    if within is not None and within < 0:
        raise UsageError("--within must be 0 or more")
    for region in regions:
        reference = _Reference(scorer, region)
        of_head = None if head is None else head.effects(region)
        for site, numbers in _with_numbers(scorer, substituted_sites(scorer, region)):
            on_positions(1)
            extra = None if of_head is None else next(of_head)
            if site.reference == N:
                continue
            values = np.zeros((4, len(EFFECTS) + (extra is not None)))
            own_bases = reference.around(site)
            values[site.alternatives, : len(EFFECTS)] = _effects(site, numbers, own_bases, within)
            if extra is not None:
                values[:, -1] = extra
            yield SiteEffects(region.contig, site.position, site.reference, values)


class _Numbers(NamedTuple):
    """What theta of a position's sites means: [K + 1, W] or [K + 1, W, 4], as it is first."""

    log_pi: NDArray[np.float64]
    odds: NDArray[np.float64]
    entropy: NDArray[np.float64]
    log_rate: NDArray[np.float64]


def _with_numbers(
    scorer: Scorer, sites: Iterator[SubstitutedSite]
) -> Iterator[tuple[SubstitutedSite, _Numbers]]:
    """Yield sites with their numbers, which are computed for many at a time."""
    substitution = scorer.model.substitution
    while group := list(islice(sites, _TOGETHER)):
        thetas = [np.concatenate([site.before[None], site.after]) for site in group]
        theta = np.concatenate([own.reshape(-1, 4) for own in thetas])
        log_pi = log_probabilities(substitution, theta)
        with torch.inference_mode():
            rate = substitution.site_rate(torch.from_numpy(theta)).double().numpy()
        log_rate = np.log(np.maximum(rate, _LOWEST_RATE))
        entropy = -(np.exp(log_pi) * log_pi).sum(axis=1)
        ends = np.cumsum([own.shape[0] * own.shape[1] for own in thetas])[:-1]
        parts = [np.split(values, ends) for values in (log_pi, log_odds(log_pi), entropy, log_rate)]
        for number, (site, own) in enumerate(zip(group, thetas, strict=True)):
            shape = own.shape[:2]
            shaped = [values[number].reshape(*shape, *values[number].shape[1:]) for values in parts]
            yield site, _Numbers(*shaped)


class _Reference:
    """Codes of the bases of a region and of what it reaches."""

    def __init__(self, scorer: Scorer, region: Region) -> None:
        half, length = scorer.half_window, scorer.genome.contigs[region.contig]
        self._start = max(region.start - half, 0)
        span = Region(region.contig, self._start, min(region.end + half, length))
        self._codes = scorer.genome.bases(span)

    def around(self, site: SubstitutedSite) -> NDArray[np.uint8]:
        """Codes, uint8 [W], of the sites that a position reaches."""
        first = site.start - self._start
        return self._codes[first : first + len(site.before)]


def _effects(
    site: SubstitutedSite,
    numbers: _Numbers,
    own_bases: NDArray[np.uint8],
    within: int | None,
) -> NDArray[np.float64]:
    """Effects of the alternatives of a site, float64 [K, E]."""
    own, n_sites = site.own, len(site.before)
    first, last = (0, n_sites) if within is None else (max(own - within, 0), own + within + 1)
    here = slice(first, last)
    own -= first
    log_pi, odds, entropy, log_rate = (values[:, here] for values in numbers)
    # What stands at each site: the sequence as it is, and at the site itself the alternative.
    bases = np.minimum(own_bases[here], 3).astype(np.int64)
    stands = np.repeat(bases[None], len(log_pi), axis=0)
    stands[1:, own] = site.alternatives
    likely = np.take_along_axis(log_pi, stands[:, :, None], axis=2)[:, :, 0]
    likely[:, own_bases[here] == N] = 0
    others = np.arange(likely.shape[1]) != own
    neighbours = likely[:, others].sum(axis=1)
    influence = np.zeros(len(log_pi) - 1)
    if others.any():
        influence = np.abs(odds[1:] - odds[0]).max(axis=2)[:, others].mean(axis=1)
    llr = log_pi[0, own, site.alternatives] - log_pi[0, own, site.reference]
    total = likely.sum(axis=1)
    return np.stack(
        [
            total[1:] - total[0],
            neighbours[1:] - neighbours[0],
            (entropy[1:] - entropy[0]).sum(axis=1),
            (log_rate[1:] - log_rate[0]).sum(axis=1),
            influence,
            llr,
        ],
        axis=1,
    )
