from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from slow_likelihood import equilibrium, f81_rate_matrix, pruning

from phylotools.phylogeny.likelihood import make_plan
from phylotools.phylogeny.site_fit import SitePrior, fit_sites
from phylotools.phylogeny.substitution import (
    NEUTRAL_LOG_RATE,
    log_equilibrium_frequencies,
    transition_probabilities,
)
from phylotools.phylogeny.tree import Tree, parse_newick

pytestmark = pytest.mark.usefixtures("one_thread")


def simulate(rng, tree: Tree, theta: np.ndarray, sites: int) -> torch.Tensor:
    """Columns drawn from the model itself, node by node from the root."""
    states = np.empty((len(tree.names), sites), dtype=np.uint8)
    states[0] = rng.choice(4, size=sites, p=equilibrium(theta))
    for node in range(1, len(tree.names)):
        matrix = transition_probabilities(torch.from_numpy(theta), tree.branch_length[node]).numpy()
        above = matrix[states[tree.parent[node]]].cumsum(axis=1)
        states[node] = (rng.random((sites, 1)) > above[:, :3]).sum(axis=1)
    return torch.from_numpy(states[tree.tip_nodes].T.copy())


def log_posterior(tree: Tree, column, reference: int, theta, prior: SitePrior) -> float:
    states = {int(node): int(state) for node, state in zip(tree.tip_nodes, column, strict=True)}
    q, pi = f81_rate_matrix(theta), equilibrium(theta)
    likelihood = pruning(tree.parent.tolist(), tree.branch_length.tolist(), states, q, pi)
    log_pi = np.log(pi)
    contrast = (log_pi - log_pi.mean()) / prior.log_frequency_sd
    distance = (np.log(np.exp(theta).sum()) - prior.log_rate_mean) / prior.log_rate_sd
    return likelihood - log_pi[reference] - ((contrast**2).sum() + distance**2) / 2


def test_fit_is_the_maximum_of_the_posterior():
    tree = parse_newick("((a:0.3,b:0.2):0.1,(c:0.4,d:0.1):0.2,(e:0.6,f:0.1):0.05);")
    columns = [
        [0] * 6,
        [0, 0, 1, 1, 0, 0],
        [2, 2, 2, 5, 2, 3],
        [3, 4, 4, 4, 4, 4],
        [0, 1, 2, 3, 0, 1],
    ]
    states = torch.tensor(columns, dtype=torch.uint8)
    prior = SitePrior(log_rate_mean=0.1, log_rate_sd=0.8, log_frequency_sd=2.0)
    fitted = fit_sites(states, states[:, 0], make_plan(tree), prior).double().numpy()
    for column, theta in zip(columns, fitted, strict=True):

        def cost(x, column=column):
            return -log_posterior(tree, column, column[0], x, prior)

        best = minimize(cost, np.zeros(4), method="BFGS").fun
        assert cost(theta) == pytest.approx(best, abs=2e-3)


def test_parameters_are_recovered_the_better_the_more_species():
    rng = np.random.default_rng(11)
    theta = np.log(np.array([0.5, 0.3, 0.15, 0.05])) + NEUTRAL_LOG_RATE
    errors = []
    for tips in (8, 40, 200):
        tree = parse_newick("(" + ",".join(f"t{i}:2" for i in range(tips)) + ");")
        states = simulate(rng, tree, theta, sites=60)
        fitted = fit_sites(states, states[:, 0], make_plan(tree), SitePrior(log_rate_sd=1.0))
        found = log_equilibrium_frequencies(fitted).exp().numpy()
        errors.append(float(np.sqrt(((found - equilibrium(theta)) ** 2).mean())))
    assert errors[0] > 1.5 * errors[1]
    assert errors[1] > 1.5 * errors[2]
    assert errors[2] < 0.06
