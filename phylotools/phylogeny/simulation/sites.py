"""Random site parameters: rates, equilibrium frequencies and conserved sites, for every model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phylotools.errors import InputError
from phylotools.phylogeny.simulation import kernels
from phylotools.phylogeny.substitution import SubstitutionModel

#: Beyond this many natural logarithms a rate or a frequency is no parameter but a mistake.
_LARGEST_LOG = 30.0


@dataclass(frozen=True)
class SiteDistribution:
    """Independent sites, drawn in the terms that all substitution models share.

    A site has an allele score for each base, whose differences are log-likelihood ratios, and a
    log rate log R (`SubstitutionModel`). Scores of zero are mutation alone: the background of HKY
    and GTR, the mutation frequencies of mutation-selection, uniform frequencies under F81.

    Attributes
    ----------
    rate_mean, rate_sd : float
        log R is normal, with this mean relative to the model's neutral log rate.
    frequency_sd : float
        Each of the four scores is normal with mean 0: of log pi, or of scaled fitness.
    conserved_fraction : float
        Chance that a site is conserved: one base, drawn from the frequencies that the site would
        otherwise have, gains `conserved_score`, and R is multiplied by `conserved_rate`.
    conserved_score : float
        Natural logarithm of odds.
    conserved_rate : float

    Raises
    ------
    InputError
        If a number is out of range.
    """

    rate_mean: float = 0.0
    rate_sd: float = 0.5
    frequency_sd: float = 0.5
    conserved_fraction: float = 0.05
    conserved_score: float = 5.0
    conserved_rate: float = 1.0

    def __post_init__(self) -> None:
        ranges = {
            "rate_mean": (-_LARGEST_LOG, _LARGEST_LOG),
            "rate_sd": (0.0, _LARGEST_LOG),
            "frequency_sd": (0.0, _LARGEST_LOG),
            "conserved_fraction": (0.0, 1.0),
            "conserved_score": (0.0, _LARGEST_LOG),
            "conserved_rate": (math.exp(-_LARGEST_LOG), math.exp(_LARGEST_LOG)),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                text = name.replace("_", " ")
                raise InputError(f"{text} must lie between {low:.3g} and {high:.3g}, not {value}")

    def draw(self, model: SubstitutionModel, key: np.uint64, start: int, end: int) -> Tensor:
        """Sites of the positions from `start` to `end` - 1.

        Parameters
        ----------
        model : SubstitutionModel
        key : uint64
            From `simulation.stream_key`.
        start, end : int

        Returns
        -------
        Tensor of float64, shape (C, A)
            theta.
        """
        u = np.empty((end - start, 8))
        kernels.fill_uniforms(key, kernels.SITE, start, u)
        normal = _standard_normals(u[:, :6])
        is_conserved = torch.from_numpy(u[:, 6] < self.conserved_fraction)
        scores = torch.from_numpy(normal[:, :4] * self.frequency_sd)
        log_rate = model.neutral_log_rate + self.rate_mean + normal[:, 4] * self.rate_sd
        with torch.inference_mode():
            # The theta whose scores are all equal, and so zero up to a constant.
            theta = scores - model.allele_scores(torch.zeros(4, dtype=torch.float64))
            frequencies = model.log_equilibrium_frequencies(theta).exp()
            passed = frequencies.cumsum(dim=1) <= torch.from_numpy(u[:, 7:])
            favoured = torch.nn.functional.one_hot(passed.sum(dim=1).clamp(max=3), 4)
            theta += self.conserved_score * favoured * is_conserved.unsqueeze(1)
            rate = torch.from_numpy(log_rate) + math.log(self.conserved_rate) * is_conserved
            return model.with_log_rate(theta, rate)


def _standard_normals(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """As many normals as uniforms in [0, 1), by pairs of columns (Box and Muller 1958)."""
    radius = np.sqrt(-2 * np.log1p(-u[:, ::2]))
    angle = 2 * np.pi * u[:, 1::2]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
