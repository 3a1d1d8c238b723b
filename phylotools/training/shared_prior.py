"""A prior on the mutation frequencies that all sites share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phylotools.model.site_model import SiteModel
from phylotools.phylogeny.substitution import (
    MutationSelection,
    SubstitutionModel,
    make_substitution_model,
)
from phylotools.training.config import TrainingConfig


@dataclass(frozen=True)
class FrequencyPrior:
    """Normal, on the logarithms of the mutation frequencies.

    Attributes
    ----------
    centre : Tensor, shape (A,)
        Logarithms of the frequencies that the configuration gives, or of uniform ones.
    weight : float
        Of half the squared distance, in the loss, which is a mean over columns. One prior for all
        data: 1 / (sd^2 x training columns).
    """

    centre: Tensor
    weight: float

    def penalty(self, substitution: SubstitutionModel) -> Tensor:
        """Minus the log density, for each training column, up to a constant."""
        assert isinstance(substitution, MutationSelection)
        distance = substitution.log_mutation_frequencies() - self.centre
        return self.weight * distance.square().sum() / 2


def frequency_prior(
    config: TrainingConfig, model: SiteModel, training_columns: int
) -> FrequencyPrior | None:
    """The prior of ``substitution.frequency_prior_sd``; None without one.

    Parameters
    ----------
    config : TrainingConfig
    model : SiteModel
        Its device is the prior's.
    training_columns : int
        Of all stores.
    """
    sd = config.substitution.frequency_prior_sd
    if sd is None:
        return None
    settings = config.substitution.settings()
    given = make_substitution_model(config.substitution.model, **settings)
    assert isinstance(given, MutationSelection)  # the configuration was checked
    with torch.no_grad():
        centre = given.log_mutation_frequencies()
    device = next(model.parameters()).device
    return FrequencyPrior(centre.to(device), 1 / (sd**2 * training_columns))
