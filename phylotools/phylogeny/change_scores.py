"""Scores of changes of bases, out of the frequencies and rates of the sites that they change.

In numpy, so that who looks sites up in tracks needs no torch. What each score is:
`phylotools.phylogeny.score_meaning`.

A change of several bases, or one of length that was laid over sites (docs/indels.md), is a sum of
changes of single sites: its LLR, its fitness and its calibrated LLR are theirs summed up. It is
fixed as a whole, so its `fixation` is that of its summed fitness, at the mean of its sites' log
rates; its `site-rate` is their mean too. A product of rates is no rate: `rate-to-alt` is of single
bases alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.phylogeny.score_meaning import LLR

Floats = NDArray[np.float64]

#: log R of a neutral site under F81, HKY and GTR: its expected substitution rate with uniform
#: frequencies under F81, ``R (1 - sum pi^2) = R * 3/4``, is then one per unit of branch length.
NEUTRAL_LOG_RATE = math.log(4 / 3)
#: The shared parameter that holds the frequencies under mutation alone.
_FREQUENCIES = {
    "hky": "background",
    "gtr": "background",
    "mutation-selection": "mutation_frequencies",
}
#: Unordered pairs of bases in the order of the six exchangeabilities: AC AG AT CG CT GT.
PAIRS = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
#: Where a rate underflows.
_SLOWEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class SiteTerms:
    """T changes of single sites that N changes consist of.

    Attributes
    ----------
    owners : int64 array [T]
        Row of the change that a term belongs to.
    sites : int64 array [T]
        Row of the site.
    refs, alts : uint8 array [T]
        Codes of the bases, 0 to 3.
    n_changes : int
    weight : float
        Of each term in a sum.
    decimals : int or None
        To which terms are rounded before two or more are summed up.
    """

    owners: NDArray[np.int64]
    sites: NDArray[np.int64]
    refs: NDArray[np.uint8]
    alts: NDArray[np.uint8]
    n_changes: int
    weight: float = 1.0
    decimals: int | None = None

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Terms of each change, [N]."""
        return np.bincount(self.owners, minlength=self.n_changes)

    def total(self, values: Floats) -> Floats:
        """Sums [N] of numbers of the terms, in their order."""
        summed = values if self.decimals is None else np.round(values, self.decimals)
        sums: Floats = np.asarray(np.bincount(self.owners, summed, minlength=self.n_changes))
        sums = sums * self.weight
        single = self.counts[self.owners] == 1
        sums[self.owners[single]] = values[single] * self.weight
        return sums

    def mean(self, values: Floats) -> Floats:
        """Means [N] of numbers of the terms; NaN of a change without terms."""
        sums = np.bincount(self.owners, values, minlength=self.n_changes)
        return np.where(self.counts > 0, sums / np.maximum(self.counts, 1), np.nan)

    def difference(self, values: Floats) -> Floats:
        """Of numbers of the bases at sites, [K, 4]: ALT's less REF's, [T]."""
        return values[self.sites, self.alts] - values[self.sites, self.refs]


@dataclass(frozen=True)
class MutationProcess:
    """Mutation as a substitution model has it, the same at all sites; and what scores make of it.

    Attributes
    ----------
    substitution : str
        Name of the substitution model.
    log_frequencies : float64 array [4]
        Log equilibrium frequencies of A, C, G, T at a neutral site.
    exchangeabilities : float64 array [4, 4]
        Symmetric, 0 on the diagonal, scaled as the substitution model scales them.
    """

    substitution: str
    log_frequencies: Floats
    exchangeabilities: Floats

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> MutationProcess:
        """That of a model.

        Parameters
        ----------
        settings : mapping
            The name, ``model``, and the shared parameters, as in a model's configuration.
        """
        name = settings["model"]
        weights = np.array(settings.get(_FREQUENCIES.get(name, ""), (1.0,) * 4), dtype=np.float64)
        frequencies = weights / weights.sum()
        pairs = settings.get("exchangeabilities", _default_exchangeabilities(name, settings))
        matrix = np.zeros((4, 4))
        for (first, second), value in zip(PAIRS, pairs, strict=True):
            matrix[first, second] = matrix[second, first] = value
        scale = 1.0 if name == "mutation-selection" else 0.75
        matrix *= scale / (frequencies @ matrix @ frequencies)
        return cls(name, np.log(frequencies), matrix)

    def fitness(self, log_pi: Floats) -> Floats:
        """Scaled fitness of each base up to a constant of the site, [K, 4]."""
        return log_pi - self.log_frequencies

    def log_rate(self, log_pi: Floats, site_rate: Floats) -> Floats:
        """log R, [K], of sites with these frequencies, [K, 4], and expected rates, [K]."""
        pi = np.exp(log_pi)
        if self.substitution == "mutation-selection":
            fitness = self.fitness(log_pi)
            selection = fitness[:, None, :] - fitness[:, :, None]
            mutation = self.exchangeabilities * np.exp(self.log_frequencies)
            rates = mutation * np.exp(log_relative_fixation(selection))
            at_unit = (pi[:, :, None] * rates).sum(axis=(1, 2))
        else:
            at_unit = ((pi @ self.exchangeabilities) * pi).sum(axis=1)
        return _log(site_rate) - _log(at_unit)

    def scores(
        self, score: str, log_pi: Floats, log_rate: Floats, site_rate: Floats, terms: SiteTerms
    ) -> Floats:
        """A score of changes by its name, [N]; any but the calibrated one, which needs a table.

        Parameters
        ----------
        score : str
            One of `SCORE_NAMES`.
        log_pi : float64 array [K, 4]
            Log equilibrium frequencies of the sites.
        log_rate : float64 array [K]
            log R, as the substitution model measures it.
        site_rate : float64 array [K]
            Expected substitutions per unit of branch length.
        terms : SiteTerms
        """
        if score == LLR:
            return self.llr(log_pi, terms)
        if score == "fitness":
            return self.fitness_difference(log_pi, terms)
        if score == "rate-to-alt":
            return self.rate_to_alt(log_pi, log_rate, terms)
        if score == "fixation":
            return self.fixation(log_pi, log_rate, terms)
        if score == "site-rate":
            return self.log_site_rate(site_rate, terms)
        raise ValueError(score)

    def llr(self, log_pi: Floats, terms: SiteTerms) -> Floats:
        """``log pi_alt - log pi_ref`` of changes, [N]."""
        return terms.total(terms.difference(log_pi))

    def fitness_difference(self, log_pi: Floats, terms: SiteTerms) -> Floats:
        """``F_alt - F_ref`` of changes, [N]."""
        return terms.total(terms.difference(self.fitness(log_pi)))

    def rate_to_alt(self, log_pi: Floats, log_rate: Floats, terms: SiteTerms) -> Floats:
        """``log R + log pi_alt``, [N]; NaN of changes of several sites."""
        rates = terms.total(log_rate[terms.sites] + log_pi[terms.sites, terms.alts])
        return np.where(terms.counts == 1, rates, np.nan)

    def fixation(self, log_pi: Floats, log_rate: Floats, terms: SiteTerms) -> Floats:
        """``log(Q[ref, alt] / Q0[ref, alt])`` of changes, [N]; see above of those of several sites.

        Under F81, HKY and GTR a change of several sites gets the sum of ``log(pi_alt / pi0_alt)``
        at the mean of the log rates.
        """
        log_rates = terms.mean(log_rate[terms.sites])
        if self.substitution == "mutation-selection":
            return log_rates + log_relative_fixation(self.fitness_difference(log_pi, terms))
        towards = self.fitness(log_pi)[terms.sites, terms.alts]
        return log_rates - NEUTRAL_LOG_RATE + terms.total(towards)

    def log_site_rate(self, site_rate: Floats, terms: SiteTerms) -> Floats:
        """Log of the expected substitution rate, the mean over the sites of a change, [N]."""
        return terms.mean(_log(site_rate)[terms.sites])


def log_relative_fixation(selection: Floats) -> Floats:
    """``log(S / (1 - exp(-S)))``, smooth at S = 0 and without overflow.

    ``= S/2 - log(sinh(x) / x)``, ``x = |S| / 2``: Kimura's chance of fixation over that of a
    neutral mutation.
    """
    x = np.abs(selection) / 2
    small = x < 0.05
    away = np.where(small, 1.0, x)
    log_ratio = away + np.log1p(-np.exp(-2 * away)) - np.log(2 * away)
    square = np.where(small, x * x, 0.0)
    return selection / 2 - np.where(small, square / 6 - square**2 / 180, log_ratio)


def all_changes(n_sites: int) -> SiteTerms:
    """Every change of one base at every site: the row of REF, ALT at site k is 16 k + 4 REF + ALT.

    A base that stays what it is counts as a change too.
    """
    rows = np.arange(16 * n_sites)
    refs, alts = (rows % 16 // 4).astype(np.uint8), (rows % 4).astype(np.uint8)
    return SiteTerms(rows, rows // 16, refs, alts, 16 * n_sites)


def _default_exchangeabilities(name: str, settings: Mapping[str, Any]) -> tuple[float, ...]:
    if name == "f81" or name == "gtr":
        return (1.0,) * 6
    kappa = float(settings.get("kappa", 2.0))
    return (1.0, kappa, 1.0, 1.0, kappa, 1.0)


def _log(rates: Floats) -> Floats:
    return np.log(np.maximum(rates, _SLOWEST))
