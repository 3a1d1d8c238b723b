"""The shared parameters of a substitution model from a sample of columns, without a network."""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from phylotools.phylogeny.likelihood import (
    Plan,
    column_log_likelihood,
    log_reference_frequency,
)
from phylotools.phylogeny.site_fit.fit import SitePrior, fit_sites
from phylotools.phylogeny.site_fit.optimiser import maximise
from phylotools.phylogeny.substitution import SubstitutionModel

#: Nats of the whole sample left to gain at the end: far less than separates parameters that the
#: sample can tell apart (half a nat), far more than the fits of single sites leave.
_TOLERANCE = 0.05


def learn_shared_parameters(
    states: Tensor,
    reference: Tensor,
    plan: Plan,
    model: SubstitutionModel,
    prior: SitePrior | None = None,
    centre: Tensor | None = None,
) -> SubstitutionModel:
    """The model whose shared parameters fit a sample of columns best.

    Maximises the sum over columns of the largest log posterior of a site,
    ``max_theta log P(column | theta) - log pi_reference + log prior(theta)``: a profile of the
    joint posterior, flat in the shared parameters. Its gradient is the partial one at the fitted
    theta. With few species theta follows the noise of each column and the shared parameters lean
    with it; with dozens the bias is small.

    Parameters
    ----------
    states : Tensor of uint8, shape (C, S)
    reference : Tensor of uint8, shape (C,)
    plan : PruningPlan or ColumnPlans
    model : SubstitutionModel
        Where the search starts; left as it is.
    prior : SitePrior, optional
        Of every site; its allele scores are centred on 0, which is what tells the frequencies of
        mutation from selection.
    centre : Tensor, shape (C, A), optional
        As for `fit_sites`.

    Returns
    -------
    SubstitutionModel
        A copy; a model without shared parameters (F81) as it was.
    """
    prior, learned = prior or SitePrior(), copy.deepcopy(model)
    parameters = list(learned.parameters())
    if not parameters or not len(states):
        return learned
    theta: Tensor | None = None

    def evaluate(rows: Tensor, point: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal theta
        vector_to_parameters(point[0].float(), parameters)
        theta = fit_sites(states, reference, plan, prior, learned, centre, start=theta)
        with torch.enable_grad():
            value = column_log_likelihood(states, theta, plan, learned)
            value = value - log_reference_frequency(reference, theta, learned)
            value = value + prior.log_density(theta, learned, centre)
            total = value[value.isfinite()].double().sum()
            gradient = torch.autograd.grad(total, parameters)
        return total.detach().reshape(1), parameters_to_vector(gradient).double().reshape(1, -1)

    begin = parameters_to_vector(parameters).detach().reshape(1, -1)
    best = maximise(evaluate, begin, tolerance=_TOLERANCE).point
    vector_to_parameters(best[0].float(), parameters)
    return learned
