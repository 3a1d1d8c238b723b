"""Is a site slower or faster than neutral? phyloP's likelihood-ratio test, column by column.

Pollard, Hubisz, Rosenbloom and Siepel, Genome Res. 20:110 (2010), method LRT, mode CONACC: the
null hypothesis is a neutral site, the alternative one whose rate is another by some factor; the
frequencies and everything else are the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from phylotools.errors import PhylotoolsError
from phylotools.phylogeny.likelihood import Plan, column_log_likelihood, plan_of
from phylotools.phylogeny.site_fit.fit import shared_parameters_held, theta_of_frequencies
from phylotools.phylogeny.site_fit.optimiser import maximise
from phylotools.phylogeny.substitution import F81, SubstitutionModel

#: The search starts within these logarithms of the neutral rate.
_START_WITHIN = (-6.0, 3.0)
_BATCH = 1 << 14


@dataclass(frozen=True)
class RateTest:
    """What the columns say of their rates; every shape (C,), float64.

    Attributes
    ----------
    log_scale : Tensor
        Logarithm of the maximum likelihood rate relative to neutral; -inf where all species have
        one base.
    statistic : Tensor
        Twice the log-likelihood ratio; not negative.
    signed_log10_p : Tensor
        -log10 of the p-value with the sign of conservation: positive where the rate is below
        neutral, negative where it is above.
    """

    log_scale: Tensor
    statistic: Tensor
    signed_log10_p: Tensor


def neutral_theta(log_background: Tensor, model: SubstitutionModel | None = None) -> Tensor:
    """Theta of a neutral site: background frequencies, one substitution per unit of length.

    Parameters
    ----------
    log_background : Tensor, shape (A,)
        Log frequencies of A, C, G, T.
    model : SubstitutionModel, optional
        F81 unless given.

    Returns
    -------
    Tensor of float32, shape (A,)

    Raises
    ------
    PhylotoolsError
        If a frequency is 0 or not a number.
    """
    model = model or F81()
    if log_background.shape != (4,) or not bool(torch.isfinite(log_background).all()):
        raise PhylotoolsError("the background frequencies must be four positive numbers")
    with torch.no_grad():
        log_pi = log_background.float().log_softmax(dim=0)
        theta = model.with_log_rate(theta_of_frequencies(log_pi, model), 0.0)
        # Rates are proportional to exp(log R).
        return model.with_log_rate(theta, -model.site_rate(theta).log())


def rate_test(
    states: Tensor,
    plan: Plan,
    neutral: Tensor,
    model: SubstitutionModel | None = None,
    *,
    start: Tensor | None = None,
) -> RateTest:
    """Test every column's rate against the neutral one.

    Twice the log-likelihood ratio is compared with chi-square of one degree of freedom, two-sided.
    The neutral rate lies inside the range of rates, so that no mixture of distributions is needed;
    but where all species have one base, the maximum lies on the boundary, at rate 0, and its
    likelihood there (the frequency of that base) is used as it is. On small or short trees this
    happens often, p-values are coarse, and they have a smallest value.

    Parameters
    ----------
    states : Tensor of uint8, shape (C, S)
        0..3, anything else missing; all species, the reference included.
    plan : PruningPlan or ColumnPlans
        Branch lengths in expected neutral substitutions.
    neutral : Tensor, shape (A,)
        As `neutral_theta` gives it.
    model : SubstitutionModel, optional
        F81 unless given.
    start : Tensor, shape (C,), optional
        Where the search for `RateTest.log_scale` starts.

    Returns
    -------
    RateTest
        Of a column of probability zero under every rate: scale 1, statistic 0.
    """
    model = model or F81()
    start = torch.zeros(len(states)) if start is None else start
    neutral, start = neutral.to(states.device), start.to(states.device)
    log_scale = torch.zeros(len(states), dtype=torch.float64, device=states.device)
    statistic = torch.zeros_like(log_scale)
    with shared_parameters_held(model):
        for first in range(0, len(states), _BATCH):
            part = slice(first, first + _BATCH)
            log_scale[part], statistic[part] = _test_batch(
                states[part], plan_of(plan, part), neutral, model, start[part]
            )
    # erfc(sqrt(x / 2)) = 2 Phi(-sqrt(x)), by its logarithm so that it never underflows
    log_p = math.log(2) + torch.special.log_ndtr(-statistic.sqrt())
    sign = torch.where(log_scale < 0, 1.0, -1.0).to(log_p)
    return RateTest(log_scale, statistic, sign * (-log_p / math.log(10)).clamp(min=0))


def _test_batch(
    states: Tensor, plan: Plan, neutral: Tensor, model: SubstitutionModel, start: Tensor
) -> tuple[Tensor, Tensor]:
    def evaluate(rows: Tensor, point: Tensor) -> tuple[Tensor, Tensor]:
        theta = (neutral + point.float()).detach().requires_grad_()
        with torch.enable_grad():
            value = column_log_likelihood(states[rows], theta, plan_of(plan, rows), model)
            value = torch.where(value.isfinite(), value, torch.zeros_like(value))
            (gradient,) = torch.autograd.grad(value.sum(), theta)
        # A shift of all four of theta is one of log R, in every model.
        return value.detach().double(), gradient.double().sum(dim=1, keepdim=True)

    counts = torch.stack([(states == base).sum(dim=1) for base in range(4)], dim=1)
    everyone = torch.arange(len(states), device=states.device)
    null, _ = evaluate(everyone, torch.zeros(len(states), 1, device=states.device))
    varied = everyone[(counts > 0).sum(dim=1) > 1]
    best = maximise(
        lambda rows, point: evaluate(varied[rows], point),
        start[varied].clamp(*_START_WITHIN).unsqueeze(1),
    )
    log_pi = model.log_equilibrium_frequencies(neutral).detach().double()
    log_scale = torch.full_like(null, -torch.inf)
    log_scale[varied] = best.point.squeeze(1)
    alternative = log_pi[counts.argmax(dim=1)]
    alternative[varied] = best.value
    # One species knows nothing of rates, nor does a column that no rate explains.
    is_silent = (counts.sum(dim=1) < 2) | (null == 0)
    log_scale[is_silent] = 0
    return log_scale, torch.where(is_silent, 0, 2 * (alternative - null)).clamp(min=0)
