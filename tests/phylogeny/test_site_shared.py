from __future__ import annotations

import copy

import pytest
import torch

from phylotools.phylogeny.likelihood import (
    column_log_likelihood,
    log_reference_frequency,
    make_plan,
)
from phylotools.phylogeny.simulation import evolve_columns
from phylotools.phylogeny.site_fit import SitePrior, fit_sites
from phylotools.phylogeny.site_fit.shared import learn_shared_parameters
from phylotools.phylogeny.substitution import make_substitution_model

pytestmark = pytest.mark.usefixtures("one_thread")

TRUTH = {
    "hky": {"kappa": 6.0},
    "gtr": {"exchangeabilities": [0.5, 4.0, 0.7, 1.0, 6.0, 1.0]},
    "mutation-selection": {
        "exchangeabilities": [1.0, 4.0, 0.6, 0.8, 3.0, 1.2],
        "mutation_frequencies": [0.4, 0.15, 0.1, 0.35],
    },
}
PRIOR = SitePrior(log_rate_sd=0.5, log_frequency_sd=1.0)


@pytest.fixture(scope="module")
def sample(mammals):
    """A tree, and for each model columns of sites drawn from `PRIOR`."""
    tree = mammals.prune(mammals.tips[::8])
    columns = {}
    for name, settings in TRUTH.items():
        model = make_substitution_model(name, **settings)
        rng = torch.Generator().manual_seed(2)
        scores = torch.randn(700, 4, generator=rng) * PRIOR.log_frequency_sd
        rate = model.neutral_log_rate + torch.randn(700, generator=rng) * PRIOR.log_rate_sd
        theta = model.with_log_rate(scores, rate).detach()
        columns[name] = torch.from_numpy(evolve_columns(theta, tree, model, seed=4).states)
    return make_plan(tree), columns


def profile(states, plan, model) -> float:
    """What is maximised: the sum of the largest log posterior of each site."""
    theta = fit_sites(states, states[:, 0], plan, PRIOR, model)
    with torch.no_grad():
        value = column_log_likelihood(states, theta, plan, model)
        value = value - log_reference_frequency(states[:, 0], theta, model)
        return (value + PRIOR.log_density(theta, model)).double().sum().item()


@pytest.mark.parametrize("name", TRUTH)
def test_the_parameters_of_the_simulation_are_found(sample, name):
    plan, columns = sample
    states, start = columns[name], make_substitution_model(name)
    before = copy.deepcopy(start.settings())
    learned = learn_shared_parameters(states, states[:, 0], plan, start, PRIOR)
    assert start.settings() == before
    found = learned.settings()
    for key, value in TRUTH[name].items():
        wanted, given = (torch.tensor(v, dtype=torch.float64) for v in (value, found[key]))
        if key == "exchangeabilities":
            wanted, given = wanted / wanted.mean(), given / given.mean()
        assert torch.allclose(given.log(), wanted.log(), atol=0.25), key
    best = profile(states, plan, learned)
    for parameter in learned.parameters():
        for index in range(parameter.numel()):
            changed = copy.deepcopy(learned)
            target = dict(zip(learned.parameters(), changed.parameters(), strict=True))[parameter]
            with torch.no_grad():
                target.view(-1)[index] += 0.2
            assert profile(states, plan, changed) < best


def test_a_model_without_shared_parameters_stays(sample):
    plan, columns = sample
    states, model = columns["hky"], make_substitution_model("f81")
    assert learn_shared_parameters(states, states[:, 0], plan, model).settings() == {}
