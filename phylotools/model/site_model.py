"""The whole predictor of a site: a network, the substitution model that reads it, and the rate."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from phylotools.errors import InputError, UsageError
from phylotools.model.network import ByteNet
from phylotools.model.presets import (
    LARGEST_LOG_RATE,
    MASKED_INPUT,
    ModelSpec,
    check_types,
    masks_its_site,
    model_tables,
)
from phylotools.phylogeny.substitution import SubstitutionModel, make_substitution_model

#: What may be assumed of log R.
RATE_TREATMENTS = ("prior", "free", "fixed")
#: Largest standard deviation of the prior on log R; beyond it the rate is free.
LARGEST_RATE_SD = 1000.0


@dataclass(frozen=True)
class RateAssumption:
    """What is assumed of each site's log R, as its substitution model measures it.

    Attributes
    ----------
    treatment : {'free', 'prior', 'fixed'}
        Nothing; normal with `mean` and `sd`; `mean` at every site, whatever the network says.
    mean, sd : float or None
        Natural logarithms; None where the treatment has no use for them.

    Raises
    ------
    UsageError
        If a number is missing or out of range.
    """

    treatment: str = "free"
    mean: float | None = None
    sd: float | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.treatment not in RATE_TREATMENTS:
            problems.append(f"treatment must be one of {', '.join(RATE_TREATMENTS)}")
        needs_mean = self.treatment in ("prior", "fixed")
        if needs_mean and not (self.mean is not None and abs(self.mean) <= LARGEST_LOG_RATE):
            problems.append(f"mean must lie between -{LARGEST_LOG_RATE:g} and {LARGEST_LOG_RATE:g}")
        if self.treatment == "prior" and not (
            self.sd is not None and 0 < self.sd <= LARGEST_RATE_SD
        ):
            problems.append(f"sd must lie between 0 and {LARGEST_RATE_SD:g}")
        if problems:
            raise UsageError("rate: " + "; ".join(problems))

    def to_dict(self) -> dict[str, Any]:
        return {k: v for k, v in dataclasses.asdict(self).items() if v is not None}


@dataclass(frozen=True)
class SiteModelSpec:
    """All of a `SiteModel` but its weights.

    Attributes
    ----------
    network : ModelSpec
    substitution : str
        Name of the substitution model.
    settings : dict
        Its shared parameters, as `make_substitution_model` takes them.
    rate : RateAssumption
    masks_site : bool
        What it predicts of a position is meant to be read where that position is masked.
    """

    network: ModelSpec
    substitution: str = "f81"
    settings: dict[str, Any] = field(default_factory=dict)
    rate: RateAssumption = field(default_factory=RateAssumption)
    masks_site: bool = False

    def build(self) -> SiteModel:
        """A model of this shape with new weights."""
        model = make_substitution_model(self.substitution, **self.settings)
        return SiteModel(ByteNet(self.network), model, self.rate, masks_site=self.masks_site)

    def to_dict(self) -> dict[str, Any]:
        """The tables of a model's configuration; ``objective`` where there is anything to say."""
        return {
            "network": self.network.to_dict(),
            "substitution": {"model": self.substitution, **self.settings},
            "rate": self.rate.to_dict(),
            **({"objective": {"input": MASKED_INPUT}} if self.masks_site else {}),
        }

    @classmethod
    def from_dict(cls, tables: dict[str, Any], *, path: str) -> SiteModelSpec:
        """Inverse of `to_dict`, of any age: see `model_tables`.

        Raises
        ------
        InputError
            If a table or key is missing, unknown or of the wrong type.
        """
        network, settings, rate, objective = model_tables(tables, path=path).values()
        name = settings.pop("model")
        try:
            make_substitution_model(str(name), **settings)
        except InputError as error:
            raise InputError(f"substitution: {error}", path=path) from None
        return cls(
            ModelSpec.from_dict(network, path=path),
            name,
            settings,
            _parse_rate(rate, path),
            masks_its_site(objective, path=path),
        )


def _parse_rate(values: dict[str, Any], path: str) -> RateAssumption:
    types: dict[str, tuple[type, ...]]
    types = {"treatment": (str,), "mean": (float, int), "sd": (float, int)}
    check_types("rate", values, types, path)
    try:
        return RateAssumption(**values)
    except UsageError as error:
        raise InputError(str(error), path=path) from None


class SiteModel(nn.Module):
    """Tokens of a window to theta, the four numbers of each site that its substitution model reads.

    Parameters
    ----------
    network : ByteNet
    substitution : SubstitutionModel
        Its parameters are shared by all sites, and learned with the network if they require a
        gradient.
    rate : RateAssumption, optional
        Free unless given. A fixed one is imposed here, where the substitution model that measures
        log R is known.
    masks_site : bool
        As for `SiteModelSpec`. Who asks for theta masks the position.

    Attributes
    ----------
    fixed_log_rate : Parameter or None
        The log R of every site, where it is fixed: given, or learned as one more parameter shared
        by all sites.
    """

    fixed_log_rate: nn.Parameter | None

    def __init__(
        self,
        network: ByteNet,
        substitution: SubstitutionModel | None = None,
        rate: RateAssumption | None = None,
        *,
        masks_site: bool = False,
    ) -> None:
        super().__init__()
        self.masks_site = masks_site
        self.network = network
        self.substitution = substitution or make_substitution_model("f81")
        self._rate = RateAssumption()
        self.register_parameter("fixed_log_rate", None)
        self.rate = rate or RateAssumption()

    @property
    def rate(self) -> RateAssumption:
        """Assumption on log R; a fixed one as it stands."""
        if self.fixed_log_rate is None:
            return self._rate
        given = torch.tensor(self._rate.mean, dtype=torch.float32).item()
        found = self.fixed_log_rate.item()
        # As it was written, if it was not learned since.
        return self._rate if found == given else RateAssumption("fixed", found)

    @rate.setter
    def rate(self, rate: RateAssumption) -> None:
        self._rate = rate
        if rate.treatment == "fixed":
            device = self.network.output.bias.device
            self.fixed_log_rate = nn.Parameter(
                torch.tensor(rate.mean, dtype=torch.float32, device=device)
            )
        else:
            self.fixed_log_rate = None

    def shared_parameters(self) -> list[nn.Parameter]:
        """Those that all sites share and that are learned."""
        fixed = [] if self.fixed_log_rate is None else [self.fixed_log_rate]
        return [p for p in (*self.substitution.parameters(), *fixed) if p.requires_grad]

    @property
    def spec(self) -> SiteModelSpec:
        return SiteModelSpec(
            self.network.spec,
            self.substitution.name,
            self.substitution.settings(),
            self.rate,
            self.masks_site,
        )

    @property
    def receptive_field(self) -> int:
        return self.network.spec.receptive_field

    def start_at_neutral_rate(self) -> None:
        """Move the network's output bias so that a new network begins near neutral sites.

        What that takes depends on how the substitution model measures log R.
        """
        uniform = torch.zeros(4, dtype=torch.float64)
        log_rate = self.substitution.log_rate(uniform).item()
        nn.init.constant_(self.network.output.bias, self.substitution.neutral_log_rate - log_rate)

    def forward(self, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Theta, shape (B, L, A), of tokens of shape (B, L + receptive_field - 1).

        Where `wanted`, as for the network, says that it is not asked for, it may be anything.
        """
        return self.at_fixed_rate(self.network(tokens, wanted))

    def at_fixed_rate(self, theta: Tensor) -> Tensor:
        """The network's theta at the rate that is imposed, where one is."""
        if self.fixed_log_rate is None:
            return theta
        return self.substitution.with_log_rate(theta, self.fixed_log_rate)

    def freeze(self) -> SiteModel:
        """Symmetrise every weight once, for inference; returns the model itself."""
        self.network.freeze()
        self.eval().requires_grad_(False)
        return self
