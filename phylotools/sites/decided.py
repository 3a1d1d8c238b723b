"""What is decided before the pass over a store, as plain data that give the same numbers again."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from phylotools.model.folder import ModelIdentity
from phylotools.phylogeny.site_fit import SitePrior
from phylotools.phylogeny.substitution import SubstitutionModel, make_substitution_model
from phylotools.sites.network_prior import NetworkPrior
from phylotools.sites.preparation import Preparation
from phylotools.store.view import StorePlans

#: The setting of a substitution model that its parameters do not say.
_SYMMETRIC = "strand_symmetric"


@dataclass(frozen=True)
class PriorNumbers:
    """A `SitePrior` without the infinity that JSON has not.

    Attributes
    ----------
    log_rate_mean : float or None
    log_rate_sd : float or None
        None where the rate is free.
    log_frequency_sd : float
    """

    log_rate_mean: float | None
    log_rate_sd: float | None
    log_frequency_sd: float

    @classmethod
    def of(cls, prior: SitePrior) -> PriorNumbers:
        """Those of a prior."""
        sd = prior.log_rate_sd
        return cls(prior.log_rate_mean, None if math.isinf(sd) else sd, prior.log_frequency_sd)

    def prior(self) -> SitePrior:
        """The prior."""
        sd = math.inf if self.log_rate_sd is None else self.log_rate_sd
        return SitePrior(self.log_rate_mean, sd, self.log_frequency_sd)


@dataclass(frozen=True)
class Trial:
    """A prior that was tried, and how it predicts the held-out species, in nats a column."""

    prior: PriorNumbers
    log_likelihood: float


@dataclass(frozen=True)
class Decided:
    """A `Preparation` but for the store and the network, of which every process has its own.

    Attributes
    ----------
    substitution : str
    is_symmetric : bool
        Whether a substitution and its complement have one rate.
    parameters : dict of str to tuple of float
        Of the substitution model as it holds them, so that they are the same to the last bit.
    prior : PriorNumbers
    neutral, background : tuple of float
    n_sample : int
    held_out : tuple of str
    held_out_log_likelihood : float or None
    trials : tuple of Trial
    """

    substitution: str
    is_symmetric: bool
    parameters: dict[str, tuple[float, ...]]
    prior: PriorNumbers
    neutral: tuple[float, ...]
    background: tuple[float, ...]
    n_sample: int
    held_out: tuple[str, ...]
    held_out_log_likelihood: float | None
    trials: tuple[Trial, ...]

    @classmethod
    def of(cls, prepared: Preparation) -> Decided:
        """What was decided."""
        model = prepared.model
        return cls(
            model.name,
            bool(model.settings().get(_SYMMETRIC)),
            {name: tuple(value.flatten().tolist()) for name, value in model.state_dict().items()},
            PriorNumbers.of(prepared.prior),
            tuple(prepared.neutral.tolist()),
            tuple(prepared.background),
            prepared.n_sample,
            prepared.held_out,
            prepared.held_out_log_likelihood,
            tuple(Trial(PriorNumbers.of(prior), value) for prior, value in prepared.trials),
        )

    def model(self) -> SubstitutionModel:
        """The substitution model.

        Raises
        ------
        ValueError, LookupError, RuntimeError
            If the parameters are not those of such a model.
        """
        settings = {_SYMMETRIC: True} if self.is_symmetric else {}
        model = make_substitution_model(self.substitution, **settings)
        state = {
            name: torch.tensor(self.parameters[name], dtype=value.dtype).reshape(value.shape)
            for name, value in model.state_dict().items()
        }
        model.load_state_dict(state)
        return model

    def preparation(
        self,
        plans: StorePlans,
        network: NetworkPrior | None,
        predictor: ModelIdentity | None,
        device: torch.device | None = None,
    ) -> Preparation:
        """The same with a store's plans and a network, on a device.

        Parameters
        ----------
        plans : StorePlans
        network : NetworkPrior or None
            May be left out where nothing is fitted.
        predictor : ModelIdentity or None
            Of its model.
        device : torch.device, optional
        """
        place = device or torch.device("cpu")
        return Preparation(
            plans=plans,
            model=self.model().to(place),
            prior=self.prior.prior(),
            network=network,
            predictor=predictor,
            neutral=torch.tensor(self.neutral).to(place),
            background=list(self.background),
            n_sample=self.n_sample,
            held_out=self.held_out,
            held_out_log_likelihood=self.held_out_log_likelihood,
            trials=tuple((trial.prior.prior(), trial.log_likelihood) for trial in self.trials),
        )
