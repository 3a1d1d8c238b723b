"""What is said of fitted sites once they are written: counts that add up, and decisions."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from phylotools.phylogeny.site_fit import SitePrior
from phylotools.sites.fits import SiteFits
from phylotools.sites.preparation import Preparation

#: -log10 p from which a site counts as slower or faster than neutral in the summary.
_SURE = 2.0


@dataclass(frozen=True)
class FitSummary:
    """What was fitted, for the log and `--summary-json`.

    Attributes
    ----------
    sites : dict of str to int
        By contig.
    n_slow, n_fast : int
        Sites slower and faster than neutral at p < 0.01.
    median_rate_scale : float
        Of the maximum likelihood rates of the rate test, relative to neutral, to about 1 %: what
        `neutral_scale` should be if these sites are neutral.
    n_outside_training : int
        Sites outside the regions that the model of the prior was trained on.
    substitution : str
        Name of the substitution model.
    predictor : str or None
        Name of the model of the prior.
    decisions : dict
        What was decided before the pass, JSON-ready.
    """

    sites: dict[str, int]
    n_slow: int
    n_fast: int
    median_rate_scale: float
    n_outside_training: int
    substitution: str
    predictor: str | None
    decisions: dict[str, Any]

    @property
    def n_sites(self) -> int:
        return sum(self.sites.values())


class Tally:
    """Counts, in memory that does not grow."""

    #: Limits of the bins in which logarithms of rates are counted.
    _LIMITS = np.arange(-10, 10, 0.01)

    def __init__(self) -> None:
        self._sites: dict[str, int] = {}
        self._slow = self._fast = 0
        self._scales = np.zeros(len(self._LIMITS) + 1, dtype=np.int64)

    @property
    def n_sites(self) -> int:
        return sum(self._sites.values())

    def add(self, fits: SiteFits) -> None:
        """Count the sites of a batch."""
        self._sites[fits.contig] = self._sites.get(fits.contig, 0) + len(fits)
        self._slow += int(np.count_nonzero(fits.conservation > _SURE))
        self._fast += int(np.count_nonzero(fits.conservation < -_SURE))
        bins = np.searchsorted(self._LIMITS, fits.log_scale)
        self._scales += np.bincount(bins, minlength=len(self._scales))

    def counts(self) -> dict[str, Any]:
        """All that was counted, JSON-ready."""
        used = np.flatnonzero(self._scales)
        return {
            "sites": self._sites,
            "slow": self._slow,
            "fast": self._fast,
            "scales": [used.tolist(), self._scales[used].tolist()],
        }

    def add_counts(self, counts: dict[str, Any]) -> None:
        """Count what another one counted."""
        for contig, n_sites in counts["sites"].items():
            self._sites[contig] = self._sites.get(contig, 0) + n_sites
        self._slow += counts["slow"]
        self._fast += counts["fast"]
        bins, numbers = counts["scales"]
        self._scales[bins] += numbers

    def summary(self, prepared: Preparation, n_outside_training: int) -> FitSummary:
        """What was fitted, and how."""
        half = int(np.searchsorted(np.cumsum(self._scales), self.n_sites / 2))
        scale = float(np.exp(self._LIMITS[min(half, len(self._LIMITS) - 1)])) if half else 0.0
        return FitSummary(
            self._sites,
            self._slow,
            self._fast,
            scale,
            n_outside_training,
            prepared.model.name,
            None if prepared.predictor is None else prepared.predictor.name,
            describe_preparation(prepared),
        )


def describe_preparation(prepared: Preparation) -> dict[str, Any]:
    """What was decided before the pass, JSON-ready."""
    return {
        "substitution": {"name": prepared.model.name, **prepared.model.settings()},
        "background": prepared.background,
        "prior": _describe_prior(prepared.prior),
        "prior_model": None if prepared.predictor is None else prepared.predictor.name,
        "sampled_columns": prepared.n_sample,
        "held_out_species": list(prepared.held_out),
        "held_out_log_likelihood": prepared.held_out_log_likelihood,
        "priors_tried": [
            {**_describe_prior(prior), "held_out_log_likelihood": value}
            for prior, value in prepared.trials
        ],
    }


def _describe_prior(prior: SitePrior) -> dict[str, float | str | None]:
    """Means and widths of a prior; JSON has no infinity."""
    return {
        name: "free" if value == math.inf else value
        for name, value in dataclasses.asdict(prior).items()
    }
