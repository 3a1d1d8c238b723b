"""Per-site maximum a posteriori parameters from columns: the baseline without a network.

``log P(column | theta) - log pi_reference + log prior(theta)`` is maximised at every site, under
any substitution model. The prior keeps the numbers finite where the column does not determine
them; its centre may be a network's prediction, and its widths are chosen by how well the fit to
some species predicts others.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from phylotools.errors import PhylotoolsError
from phylotools.phylogeny.likelihood import (
    Plan,
    column_log_likelihood,
    log_reference_frequency,
    plan_of,
)
from phylotools.phylogeny.site_fit.optimiser import maximise
from phylotools.phylogeny.substitution import F81, SubstitutionModel

#: Columns fitted in one batch: bounds the memory for copies of their states.
_BATCH = 1 << 14
#: Where the search starts: column frequencies with so much of a count added to each base, and a
#: log rate this much above the prior's mean. Of the starts tried on 11,317 columns of 671 mammals
#: (rates lower, as high, higher; counts of 0.1 to 5) this one found the best mean posterior under
#: a prior or none; 0.2 % of the columns have a second maximum at another rate that is higher.
_PSEUDOCOUNT, _START_ABOVE = 0.5, 1.0
#: Widths of priors that are tried lie within this factor of 1.
_WIDEST = 32.0
#: What a fit without a centre does not choose. Held-out species are told as well by a prior that
#: puts a conserved column's rate near 0 and its allele scores, which nothing then tells apart, at
#: 0: they prefer it by 0.01 nats a column, and LLRs are lost (docs/study.md).
WIDTH_OF_SCORES = frozenset(["log_frequency_sd"])
#: Nats a column by which a prior must predict held-out species better to replace another.
_WORTHWHILE = 1e-4
#: Changes of the logarithm of a width, or of a mean of log R, in turn.
_SEARCH_STEPS = (math.log(2), math.log(2) / 2)


@dataclass(frozen=True)
class SitePrior:
    """Independent normal priors of one site.

    Attributes
    ----------
    log_rate_mean : float or None
        Of log R. None is the centre's log R where there is a centre, else the model's neutral one.
    log_rate_sd : float
        Of log R; infinite leaves the rate free, 0 holds it at the mean exactly.
    log_frequency_sd : float
        Of each allele score about the mean of the four (log pi under F81, fitness under mutation
        and selection); keeps the frequencies of a fully conserved column finite.

    Raises
    ------
    PhylotoolsError
        If a number is out of range.
    """

    log_rate_mean: float | None = None
    log_rate_sd: float = 1.0
    log_frequency_sd: float = 3.0

    def __post_init__(self) -> None:
        if self.log_rate_mean is not None and not math.isfinite(self.log_rate_mean):
            raise PhylotoolsError(f"the mean of log R must be finite, not {self.log_rate_mean}")
        if not self.log_rate_sd >= 0:
            raise PhylotoolsError(f"the sd of log R must not be negative: {self.log_rate_sd}")
        if not 0 < self.log_frequency_sd < math.inf:
            raise PhylotoolsError(
                f"the sd of allele scores must be positive and finite: {self.log_frequency_sd}"
            )

    @property
    def fixes_rate(self) -> bool:
        return self.log_rate_sd == 0

    def expected_log_rate(
        self, model: SubstitutionModel, centre: Tensor | None = None
    ) -> float | Tensor:
        """The prior's mean of log R: a number, or one for each site, shape (C,)."""
        if self.log_rate_mean is not None:
            return self.log_rate_mean
        return model.neutral_log_rate if centre is None else model.log_rate(centre)

    def log_density(
        self, theta: Tensor, model: SubstitutionModel | None = None, centre: Tensor | None = None
    ) -> Tensor:
        """Log density up to a constant, shape (C,).

        Parameters
        ----------
        theta : Tensor, shape (C, A)
        model : SubstitutionModel, optional
            F81 unless given.
        centre : Tensor, shape (C, A), optional
            Theta at which the density is highest; otherwise equal allele scores.
        """
        model = model or F81()
        distance = _contrasts(model, theta)
        if centre is not None:
            distance = distance - _contrasts(model, centre)
        density = -(distance / self.log_frequency_sd).square().sum(dim=-1) / 2
        if self.fixes_rate:
            return density
        excess = model.log_rate(theta) - self.expected_log_rate(model, centre)
        return density - (excess / self.log_rate_sd).square() / 2


def fit_sites(
    states: Tensor,
    reference: Tensor,
    plan: Plan,
    prior: SitePrior | None = None,
    model: SubstitutionModel | None = None,
    centre: Tensor | None = None,
    *,
    start: Tensor | None = None,
) -> Tensor:
    """Maximise ``log P(column | theta) - log pi_reference + log prior`` at every site.

    Parameters
    ----------
    states : Tensor of uint8, shape (C, S)
        0..3, anything else missing.
    reference : Tensor of uint8, shape (C,)
        Base of the species whose base is given, not predicted; above 3 where it is not known.
    plan : PruningPlan or ColumnPlans
    prior : SitePrior, optional
    model : SubstitutionModel, optional
        F81 unless given; its shared parameters are taken as they are.
    centre : Tensor, shape (C, A), optional
        Centre of each site's prior, such as a network's theta.
    start : Tensor, shape (C, A), optional
        Where the search starts; by default at the column's frequencies.

    Returns
    -------
    Tensor of float32, shape (C, A)
        Theta: a local maximum, within about 1e-6 nats (its numbers to about 0.002). At a column
        of probability zero under every theta (different bases joined by branches of length zero)
        what the prior and the reference base say.

    Raises
    ------
    PhylotoolsError
        If shapes disagree or the centre is not finite.
    """
    prior, model = prior or SitePrior(), model or F81()
    if len(reference) != len(states) or (centre is not None and centre.shape != (len(states), 4)):
        raise PhylotoolsError("columns, reference bases and centres must be equally many")
    if centre is not None and not bool(torch.isfinite(centre).all()):
        raise PhylotoolsError("the centre of a prior must be finite")
    found = torch.empty(len(states), 4, device=states.device)
    with shared_parameters_held(model):
        for first in range(0, len(states), _BATCH):
            part = slice(first, first + _BATCH)
            near = None if centre is None else centre[part].detach().float()
            posterior = _Posterior(
                states[part], reference[part], plan_of(plan, part), prior, model, near
            )
            begin = posterior.start() if start is None else start[part]
            found[part] = posterior.theta(maximise(posterior, begin).point.float())
    return found


class _Posterior:
    """The function that is maximised; a fixed rate is put into theta, not searched for."""

    def __init__(
        self,
        states: Tensor,
        reference: Tensor,
        plan: Plan,
        prior: SitePrior,
        model: SubstitutionModel,
        centre: Tensor | None,
    ) -> None:
        self._states, self._reference, self._plan = states, reference, plan
        self._prior, self._model, self._centre = prior, model, centre

    def __call__(self, rows: Tensor, point: Tensor) -> tuple[Tensor, Tensor]:
        free = point.float().requires_grad_()
        with torch.enable_grad():
            theta = self.theta(free, rows)
            states = self._states[rows]
            plan = plan_of(self._plan, rows)
            value = column_log_likelihood(states, theta, plan, self._model)
            # A column that cannot be says nothing.
            value = torch.where(value.isfinite(), value, torch.zeros_like(value))
            value = value - log_reference_frequency(self._reference[rows], theta, self._model)
            centre = None if self._centre is None else self._centre[rows]
            value = value + self._prior.log_density(theta, self._model, centre)
            (gradient,) = torch.autograd.grad(value.sum(), free)
        return value.detach().double(), gradient.double()

    def theta(self, point: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        if not self._prior.fixes_rate:
            return point
        centre = None if self._centre is None else self._centre[rows]
        return self._model.with_log_rate(point, self._prior.expected_log_rate(self._model, centre))

    def start(self) -> Tensor:
        """Theta of each column's own frequencies, shape (C, A)."""
        counts = torch.stack([(self._states == base).sum(dim=1) for base in range(4)], dim=1)
        log_pi = (counts + _PSEUDOCOUNT).log_().log_softmax(dim=1)
        rate = self._prior.expected_log_rate(self._model, self._centre)
        if not self._prior.fixes_rate:
            rate = rate + _START_ABOVE
        return self._model.with_log_rate(theta_of_frequencies(log_pi, self._model), rate)


def theta_of_frequencies(log_pi: Tensor, model: SubstitutionModel) -> Tensor:
    """Some theta with these equilibrium frequencies (log pi, shape (..., A)).

    In every model here pi is proportional to ``exp(theta)`` times what it is at theta = 0.
    """
    with torch.no_grad():
        return log_pi - model.log_equilibrium_frequencies(torch.zeros_like(log_pi))


def held_out_log_likelihood(
    states: Tensor,
    theta: Tensor,
    plan: Plan,
    model: SubstitutionModel,
    held_out: Tensor,
) -> Tensor:
    """log P(held-out species | the others, theta) of each column, shape (C,).

    Parameters
    ----------
    states : Tensor of uint8, shape (C, S)
        Of all species.
    theta : Tensor, shape (C, A)
        Fitted without the held-out ones.
    plan : PruningPlan or ColumnPlans
    model : SubstitutionModel
    held_out : Tensor of int64, shape (H,)
        Indices of species.
    """
    with torch.no_grad():
        everything = column_log_likelihood(states, theta, plan, model)
        return everything - column_log_likelihood(_without(states, held_out), theta, plan, model)


def fit_prior_widths(
    states: Tensor,
    reference: Tensor,
    plan: Plan,
    model: SubstitutionModel,
    held_out: Tensor,
    centre: Tensor | None = None,
    *,
    initial: SitePrior | None = None,
    hold: frozenset[str] | None = None,
    on_trial: Callable[[SitePrior, float], None] = lambda prior, value: None,
) -> SitePrior:
    """The prior under which fits to some species best predict the others.

    Maximises the mean of ``log P(held-out species | theta)``, theta fitted without them. The
    search changes a width (or, without a centre, the mean of log R), or two of them, by a factor
    of 2, then of its square root, while that helps by 0.0001 nats a column. The mean is the least
    certain: where log R and the frequencies explain a column alike, so do many priors.

    Parameters
    ----------
    states : Tensor of uint8, shape (C, S)
        A sample of columns, all species.
    reference : Tensor of uint8, shape (C,)
    plan : PruningPlan or ColumnPlans
    model : SubstitutionModel
    held_out : Tensor of int64, shape (H,)
        Indices of species, never the reference's.
    centre : Tensor, shape (C, A), optional
        Of each site's prior. With it only the widths are fitted, unless `initial` says otherwise.
    initial : SitePrior, optional
        Where the search starts. A `log_rate_sd` of 0 or infinity stays; so does a mean of None
        where there is a centre.
    hold : frozenset of str, optional
        Attributes of `SitePrior` that stay as they are: by default `WIDTH_OF_SCORES` where there
        is no centre, nothing where there is one.
    on_trial : callable
        Gets each prior that was tried and its mean held-out log-likelihood, in nats a column.

    Returns
    -------
    SitePrior

    Raises
    ------
    PhylotoolsError
        If no column or no species is held out.
    """
    if hold is None:
        hold = WIDTH_OF_SCORES if centre is None else frozenset()
    if not len(held_out) or not len(states):
        raise PhylotoolsError("a prior is fitted on held-out species of at least one column")
    best = initial or SitePrior()
    if centre is None and best.log_rate_mean is None:
        best = dataclasses.replace(best, log_rate_mean=model.neutral_log_rate)
    names = [name for name in _fitted_attributes(best) if name not in hold]
    shown, start = _without(states, held_out), None
    known: dict[SitePrior, float] = {}

    def quality(prior: SitePrior) -> float:
        nonlocal start
        if prior not in known:
            start = fit_sites(shown, reference, plan, prior, model, centre, start=start)
            value = held_out_log_likelihood(states, start, plan, model, held_out).mean().item()
            known[prior] = value
            on_trial(prior, value)
        return known[prior]

    for size in _SEARCH_STEPS:
        found: SitePrior | None = best
        while found is not None:
            best = found
            enough = quality(best) + _WORTHWHILE
            found = next((p for p in _neighbours(best, names, size) if quality(p) > enough), None)
    return best


def _fitted_attributes(prior: SitePrior) -> Iterator[str]:
    yield "log_frequency_sd"
    if 0 < prior.log_rate_sd < math.inf:
        yield "log_rate_sd"
    if prior.log_rate_mean is not None and prior.log_rate_sd < math.inf:
        yield "log_rate_mean"


def _neighbours(prior: SitePrior, names: Sequence[str], size: float) -> Iterator[SitePrior]:
    """Priors with one number changed by a step, then those with two."""
    steps = [(name, change) for name in names for change in (size, -size)]
    for name, change in steps:
        yield _changed(prior, name, change)
    for (first, change), (second, other) in itertools.combinations(steps, 2):
        if first != second:
            yield _changed(_changed(prior, first, change), second, other)


def _changed(prior: SitePrior, name: str, change: float) -> SitePrior:
    """A prior with one number moved; rounded, so that a way back leads to the same prior."""
    value = getattr(prior, name)
    if name == "log_rate_mean":
        return dataclasses.replace(prior, log_rate_mean=round(value + change, 4))
    wider = min(max(value * math.exp(change), 1 / _WIDEST), _WIDEST)
    return dataclasses.replace(prior, **{name: float(f"{wider:.4g}")})


def _without(states: Tensor, species: Tensor) -> Tensor:
    shown = states.clone()
    shown[:, species] = 255
    return shown


def _contrasts(model: SubstitutionModel, theta: Tensor) -> Tensor:
    scores = model.allele_scores(theta)
    return scores - scores.mean(dim=-1, keepdim=True)


@contextmanager
def shared_parameters_held(model: SubstitutionModel) -> Iterator[None]:
    """A model's shared parameters ask for no gradient meanwhile: it would cost time."""
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in learned:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
