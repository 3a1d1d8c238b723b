"""The prior on the rate, fitted before training to columns of the training data."""

from __future__ import annotations

import logging

import numpy as np
import torch

from phylotools.model.site_model import RateAssumption
from phylotools.phylogeny.likelihood import joined_plans
from phylotools.phylogeny.site_fit import fit_prior_widths
from phylotools.phylogeny.substitution import SubstitutionModel
from phylotools.training.config import TrainingConfig
from phylotools.training.dataset import TrainingData
from phylotools.training.store_windows import StoreWindows

logger = logging.getLogger("phylotools")

#: About so many columns: many for the three values that are fitted, few enough for a minute.
_COLUMNS = 2000
#: Share of the species in the loss that are hidden to be predicted.
_HIDDEN = 0.1


def fit_rate_prior(
    data: TrainingData,
    substitution: SubstitutionModel,
    config: TrainingConfig,
    device: torch.device,
) -> RateAssumption:
    """Mean and standard deviation of log R under which sites fitted alone predict hidden species.

    The largest posterior would not do: it grows without bound as the standard deviation goes to 0
    with every site at the mean. Species that the configuration holds out are not looked at. Of
    several stores, the one with the most training columns is used.
    """
    source = max(data.stores, key=lambda store: store.training.n_columns)
    batches = list(source.sample(_COLUMNS, config.run.seed, config.optimiser.windows_per_batch))
    states, reference = (
        torch.cat([getattr(batch, name) for batch in batches]).to(device)
        for name in ("states", "reference")
    )
    hidden = _hidden_species(source, config.run.seed).to(device)
    plan = joined_plans([batch.plan for batch in batches])
    prior = fit_prior_widths(states, reference, plan, substitution, hidden)
    assert prior.log_rate_mean is not None
    logger.info(
        "prior on log R, from %d columns and %d of their species: mean %.3f, sd %.3f",
        len(states), len(hidden), prior.log_rate_mean, prior.log_rate_sd,
    )  # fmt: skip
    return RateAssumption("prior", prior.log_rate_mean, prior.log_rate_sd)


def _hidden_species(source: StoreWindows, seed: int) -> torch.Tensor:
    """Indices of a tenth of the species in the loss, one at least; never the reference's."""
    apart = {source.store.reference_index, *source.held_out_species.tolist()}
    others = [index for index in range(len(source.store.species)) if index not in apart]
    # Its own stream, apart from that of the species which the configuration holds out.
    rng = np.random.default_rng((seed, len(others), 1))
    number = max(1, round(_HIDDEN * len(others)))
    return torch.from_numpy(np.sort(rng.choice(others, size=number, replace=False)))
