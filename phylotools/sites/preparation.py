"""Model, shared parameters, prior and neutral rate, decided before the pass over a store.

All of it comes from what the user gave and from one sample of the whole store, so that the results
of a position do not depend on which other positions were asked for.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phylotools.errors import UsageError
from phylotools.model.folder import ModelIdentity
from phylotools.phylogeny.likelihood import Plan
from phylotools.phylogeny.site_fit import (
    WIDTH_OF_SCORES,
    SitePrior,
    fit_prior_widths,
    fit_sites,
    held_out_log_likelihood,
)
from phylotools.phylogeny.site_fit.conservation import neutral_theta
from phylotools.phylogeny.site_fit.shared import learn_shared_parameters
from phylotools.phylogeny.substitution import (
    SubstitutionModel,
    make_substitution_model,
)
from phylotools.phylogeny.substitution.catalogue import parameters_of
from phylotools.sites.network_prior import NetworkPrior
from phylotools.store import schema
from phylotools.store.columns import Columns, sample_columns
from phylotools.store.read import ColumnStore
from phylotools.store.tree_scale import warn_of_scale
from phylotools.store.view import StorePlans

logger = logging.getLogger("phylotools")

#: What may be assumed of log R: see `FitSettings`.
RATES = ("prior", "free", "fixed", "fitted")
#: Species that differ at branches of length zero would make a column impossible; IQ-TREE's limit.
_SHORTEST_BRANCH = 1e-6


@dataclass(frozen=True)
class FitSettings:
    """How sites are fitted.

    Attributes
    ----------
    substitution : str
    shared : dict
        Settings of the substitution model, as `make_substitution_model` takes them.
    learn_shared : bool
        Learn its shared parameters from the sample; the given ones are where that starts.
    rate : {'prior', 'free', 'fixed', 'fitted'}
        Of log R: a normal prior with given mean and sd, nothing, one value, or a normal prior whose
        mean and sd (and the width for allele scores) predict held-out species best.
    rate_mean, rate_sd, frequency_sd : float or None
        Of the priors; None for the default, or to be fitted.
    background : tuple of float or None
        Frequencies of A, C, G, T at the neutral site of the rate test, and, unless `shared` says
        otherwise, under mutation alone; None for those of the sample's reference bases.
    neutral_scale : float
        Neutral substitutions per unit of branch length of the store's tree.
    held_out_species : tuple of str
    held_out_fraction : float
        Share of the other species to draw, where none is named.
    sample : int
        Columns to learn from.
    seed : int
    """

    substitution: str = "f81"
    shared: dict[str, Any] = field(default_factory=dict)
    learn_shared: bool = False
    rate: str = "prior"
    rate_mean: float | None = None
    rate_sd: float | None = None
    frequency_sd: float | None = None
    background: tuple[float, ...] | None = None
    neutral_scale: float = 1.0
    held_out_species: tuple[str, ...] = ()
    held_out_fraction: float = 0.1
    sample: int = 4000
    seed: int = 1

    def initial_prior(self) -> SitePrior:
        """The prior as given; where it is to be fitted, where the search starts."""
        default = SitePrior()
        sd = {"free": math.inf, "fixed": 0.0}.get(self.rate, self.rate_sd)
        return SitePrior(
            self.rate_mean,
            default.log_rate_sd if sd is None else sd,
            self.frequency_sd or default.log_frequency_sd,
        )

    def given(self) -> frozenset[str]:
        """Attributes of the prior that are not to be fitted."""
        values = {
            "log_rate_mean": self.rate_mean,
            "log_rate_sd": self.rate_sd,
            "log_frequency_sd": self.frequency_sd,
        }
        return frozenset(name for name, value in values.items() if value is not None)


@dataclass(frozen=True)
class Preparation:
    """Everything that a site's fit needs beside its column.

    Attributes
    ----------
    plans : StorePlans
        Branch lengths in neutral substitutions.
    model : SubstitutionModel
    prior : SitePrior
    network : NetworkPrior or None
        Where the centre of the prior comes from.
    predictor : ModelIdentity or None
        Of its model.
    neutral : Tensor, shape (A,)
        Theta of a neutral site.
    background : list of float
        Its equilibrium frequencies. Not those of mutation alone: with a strong bias of mutation
        these would make composition pass for conservation.
    n_sample : int
        Columns of the sample.
    held_out : tuple of str
        Species that the prior was judged by; the final fits see them.
    held_out_log_likelihood : float or None
        Of those species given the others, under the prior; nats a column of the sample.
    trials : tuple of (SitePrior, float)
        Priors that were tried, and how they predict the held-out species.
    """

    plans: StorePlans
    model: SubstitutionModel
    prior: SitePrior
    network: NetworkPrior | None
    predictor: ModelIdentity | None
    neutral: Tensor
    background: list[float]
    n_sample: int
    held_out: tuple[str, ...] = ()
    held_out_log_likelihood: float | None = None
    trials: tuple[tuple[SitePrior, float], ...] = ()


@dataclass(frozen=True)
class _Sample:
    states: Tensor
    reference: Tensor
    centre: Tensor | None
    plan: Plan


def prepare(
    store: ColumnStore,
    settings: FitSettings,
    network: NetworkPrior | None = None,
    device: torch.device | None = None,
) -> Preparation:
    """Decide everything that `settings` leaves open.

    Raises
    ------
    InputError, UsageError
        If a held-out species is not in the store or is its reference, a shared parameter is
        wrong, or the store has no columns.
    """
    place = device or torch.device("cpu")
    held_out = _held_out_species(store, settings, network).to(place)
    warn_of_scale(store, tree=store.tree.scaled(settings.neutral_scale))
    plans = store_plans(store, settings)
    columns = sample_columns(store, settings.sample, settings.seed)
    if network is not None:
        columns = [piece for piece in columns if network.has_contig(piece.contig)]
        network.check_assembly(columns)
    sample = _tensors(columns, network, plans, place)
    plan = sample.plan
    n_sample = len(sample.states)
    background = _background(settings, sample.reference)
    model = _substitution(settings, background) if network is None else network.model.substitution
    model = model.to(place)
    prior = settings.initial_prior()
    shown = sample.states.clone()
    shown[:, held_out] = schema.NO_BLOCK
    if settings.learn_shared:
        model = learn_shared_parameters(shown, sample.reference, plan, model, prior)
        logger.info("%s learned from %d columns: %s", model.name, n_sample, model.settings())
    trials: list[tuple[SitePrior, float]] = []
    quality = None
    if settings.rate == "fitted":
        alone = sample.centre is None
        prior = fit_prior_widths(
            sample.states, sample.reference, plan, model, held_out, sample.centre,
            initial=prior, hold=settings.given() | (WIDTH_OF_SCORES if alone else frozenset()),
            on_trial=lambda *trial: _note(trials, *trial),
        )  # fmt: skip
        quality = dict(trials)[prior]
        logger.info("best of %d priors: %s", len(trials), _described(prior, quality))
    elif len(held_out):
        theta = fit_sites(shown, sample.reference, plan, prior, model, sample.centre)
        values = held_out_log_likelihood(sample.states, theta, plan, model, held_out)
        quality = values.mean().item()
    return Preparation(
        plans=plans,
        model=model,
        prior=prior,
        network=network,
        predictor=None if network is None else network.model.identity,
        neutral=neutral_theta(background.log(), model).to(place),
        background=background.tolist(),
        n_sample=n_sample,
        held_out=tuple(store.species[index] for index in held_out.tolist()),
        held_out_log_likelihood=quality,
        trials=tuple(trials),
    )


def store_plans(store: ColumnStore, settings: FitSettings) -> StorePlans:
    """By which a store's columns are pruned, with branch lengths in neutral substitutions."""
    return StorePlans(store, _SHORTEST_BRANCH, scale=settings.neutral_scale)


def _held_out_species(
    store: ColumnStore, settings: FitSettings, network: NetworkPrior | None
) -> Tensor:
    """Indices of the species that a prior is judged by; none where nothing is to be judged."""
    for name in settings.held_out_species:
        if name not in store.species:
            raise UsageError(f"--held-out-species: the store has no species '{name}'")
        if name == store.reference_species:
            raise UsageError(f"--held-out-species: '{name}' is the reference; keep it")
    names = list(settings.held_out_species)
    if not names and settings.rate == "fitted":
        names = network.unseen_species(store) if network is not None else []
        if not names:
            names = _drawn_species(store, settings)
    if network is not None and settings.rate == "fitted":
        network.warn_if_trained_on(store, names)
    if names and len(set(names)) >= len(store.species) - 1:
        raise UsageError("at least one species beside the reference must not be held out")
    index_of = {species: index for index, species in enumerate(store.species)}
    return torch.tensor(sorted({index_of[name] for name in names}), dtype=torch.int64)


def _drawn_species(store: ColumnStore, settings: FitSettings) -> list[str]:
    others = [name for name in store.species if name != store.reference_species]
    n_drawn = max(1, round(settings.held_out_fraction * len(others)))
    rng = np.random.default_rng((settings.seed, len(store.species)))
    return [others[i] for i in rng.choice(len(others), size=n_drawn, replace=False)]


def _tensors(
    columns: list[Columns],
    network: NetworkPrior | None,
    plans: StorePlans,
    device: torch.device,
) -> _Sample:
    states = np.concatenate([piece.states for piece in columns])
    reference = np.concatenate([piece.reference for piece in columns])
    centre = None
    if network is not None:
        centre = torch.cat([network.theta(piece) for piece in columns]).to(device)
        network.n_outside_training = 0
    return _Sample(
        torch.from_numpy(states).to(device),
        torch.from_numpy(reference).to(device),
        centre,
        plans.of_columns(columns),
    )


def _background(settings: FitSettings, reference: Tensor) -> Tensor:
    """Frequencies of A, C, G, T: as given, else of the reference bases; shape (A,)."""
    if settings.background is not None:
        frequencies = torch.tensor(settings.background, dtype=torch.float64)
    else:
        counts = torch.bincount(reference.cpu().long(), minlength=256)[:4]
        frequencies = counts.double() + 0.5
    if settings.shared.get("strand_symmetric"):
        frequencies = frequencies + frequencies.flip(0)
    return frequencies / frequencies.sum()


def _substitution(settings: FitSettings, background: Tensor) -> SubstitutionModel:
    """The model as named; what mutation alone gives is the background unless given."""
    shared = dict(settings.shared)
    for name in ("background", "mutation_frequencies"):
        if name in parameters_of(settings.substitution):
            shared.setdefault(name, background.tolist())
    return make_substitution_model(settings.substitution, **shared)


def _note(trials: list[tuple[SitePrior, float]], prior: SitePrior, value: float) -> None:
    trials.append((prior, value))
    logger.debug("prior tried: %s", _described(prior, value))


def _described(prior: SitePrior, value: float) -> str:
    mean = "of the model" if prior.log_rate_mean is None else f"{prior.log_rate_mean:.3f}"
    return (
        f"log R mean {mean}, sd {prior.log_rate_sd:g}; scores sd {prior.log_frequency_sd:g}; "
        f"held-out species {value:.4f} nats a column"
    )
