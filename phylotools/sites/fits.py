"""Columns to numbers: the fit and the rate test of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from phylotools.phylogeny.site_fit import fit_sites
from phylotools.phylogeny.site_fit.conservation import rate_test
from phylotools.sites.columns import Columns
from phylotools.sites.preparation import Preparation
from phylotools.store import schema


@dataclass(frozen=True)
class SiteFits:
    """What is reported of the sites of a batch; first axis C, positions of one contig.

    Attributes
    ----------
    contig : str
    position : int64 array [C]
        0-based.
    reference : uint8 array [C]
        Base codes; above 3 where the reference base is not known.
    n_species : int64 array [C]
        Species with A, C, G or T, the reference included.
    llr : float64 array [C, 4]
        Allele score of each base minus that of the reference base; NaN where that is not known.
    log_rate : float64 array [C]
        log R.
    site_rate : float64 array [C]
        Expected substitutions per neutral substitution.
    entropy : float64 array [C]
        Of the equilibrium frequencies, in nats.
    log_scale : float64 array [C]
        Logarithm of the maximum likelihood rate of the rate test, relative to neutral; -inf where
        all species have one base.
    conservation : float64 array [C]
        -log10 of the p-value of the rate test, positive where conserved, negative where fast.
    """

    contig: str
    position: NDArray[np.int64]
    reference: NDArray[np.uint8]
    n_species: NDArray[np.int64]
    llr: NDArray[np.float64]
    log_rate: NDArray[np.float64]
    site_rate: NDArray[np.float64]
    entropy: NDArray[np.float64]
    log_scale: NDArray[np.float64]
    conservation: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.position)

    @property
    def mean_llr(self) -> NDArray[np.float64]:
        """Mean over the three alternatives, shape [C]; NaN where the reference is not known."""
        return self.llr.sum(axis=1) / 3


def fit_columns(batch: Sequence[Columns], prepared: Preparation) -> list[SiteFits]:
    """Fit and test every column of a batch, all in one search; one result for each of its parts."""
    device = prepared.neutral.device
    all_states = np.concatenate([columns.states for columns in batch])
    states = torch.from_numpy(all_states).to(device)
    reference = torch.from_numpy(np.concatenate([c.reference for c in batch])).to(device)
    network, plan, model = prepared.network, prepared.plan, prepared.model
    centre = None
    if network is not None:
        centre = torch.cat([network.theta(columns) for columns in batch]).to(device)
    theta = fit_sites(states, reference, plan, prepared.prior, model, centre)
    with torch.no_grad():
        wide = theta.double()
        site_rate = model.site_rate(wide)
        scores = model.allele_scores(wide)
        own = scores.gather(1, reference.clamp(max=3).long().unsqueeze(1))
        llr = (scores - own).masked_fill((reference > 3).unsqueeze(1), torch.nan)
        test = rate_test(
            states, plan, prepared.neutral, model, start=site_rate.clamp(min=1e-30).log()
        )
        found = (
            llr, model.log_rate(wide), site_rate, model.entropy(wide),
            test.log_scale, test.signed_log10_p,
        )  # fmt: skip
    ends = np.cumsum([len(columns) for columns in batch])[:-1]
    n_species = schema.species_depth(all_states).astype(np.int64)
    values = (n_species, *(value.cpu().numpy() for value in found))
    parts = zip(*(np.split(value, ends) for value in values), strict=True)
    return [
        SiteFits(columns.contig, columns.position, columns.reference, *part)
        for columns, part in zip(batch, parts, strict=True)
    ]
