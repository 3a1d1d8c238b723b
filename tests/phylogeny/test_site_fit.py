from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from slow_likelihood import pruning
from slow_substitution import frequencies, rate_matrix

from phylotools.errors import PhylotoolsError
from phylotools.phylogeny.likelihood import make_plan
from phylotools.phylogeny.simulation import evolve_columns
from phylotools.phylogeny.site_fit import (
    SitePrior,
    fit_prior_widths,
    fit_sites,
    held_out_log_likelihood,
)
from phylotools.phylogeny.substitution import F81, NEUTRAL_LOG_RATE, make_substitution_model
from phylotools.phylogeny.tree import Tree, parse_newick

pytestmark = pytest.mark.usefixtures("one_thread")

TREE = parse_newick("((a:0.3,b:0.2):0.1,(c:0.4,d:0.1):0.2,(e:0.6,(f:0.1,g:0.3):0.2):0.05);")
COLUMNS = [
    [0, 0, 0, 0, 0, 0, 0],
    [0, 0, 1, 1, 0, 0, 0],
    [2, 2, 2, 5, 2, 3, 0],
    [3, 4, 4, 4, 4, 4, 1],
    [0, 1, 2, 3, 0, 1, 2],
]
STATES = torch.tensor(COLUMNS, dtype=torch.uint8)
SETTINGS = {
    "f81": {},
    "hky": {"kappa": 4.0, "background": [0.3, 0.2, 0.15, 0.35]},
    "gtr": {
        "exchangeabilities": [0.8, 3.0, 0.6, 1.1, 4.0, 1.0],
        "background": [0.3, 0.2, 0.15, 0.35],
    },
    "mutation-selection": {
        "exchangeabilities": [1.0, 3.0, 0.5, 0.7, 2.5, 1.2],
        "mutation_frequencies": [0.35, 0.2, 0.1, 0.35],
    },
}
MODELS = {name: make_substitution_model(name, **SETTINGS[name]) for name in SETTINGS}
CENTRE = torch.tensor(
    [[0.5, -1, -1, 0], [0, 0, 1, 0], [-2, 1, 1, -2], [0, 0.3, 0.2, 0.1], [1, 1, 1, 1]]
)
PRIORS = {
    "prior": (SitePrior(log_rate_mean=0.1, log_rate_sd=0.8, log_frequency_sd=2.0), None),
    "free": (SitePrior(log_rate_sd=math.inf, log_frequency_sd=2.0), None),
    "fixed": (SitePrior(log_rate_mean=-0.3, log_rate_sd=0.0), None),
    "centre": (SitePrior(log_rate_sd=0.5, log_frequency_sd=0.7), CENTRE),
    "centre, rate fixed": (SitePrior(log_rate_sd=0.0, log_frequency_sd=0.7), CENTRE),
}


def scores_of(name: str, theta) -> np.ndarray:
    """Log odds against mutation alone, centred: what the prior is about; up to a constant."""
    settings = SETTINGS[name]
    against = settings.get("background", settings.get("mutation_frequencies", [1.0] * 4))
    scores = np.log(frequencies(name, settings, theta)) - np.log(against)
    return scores - scores.mean()


def log_rate_of(name: str, theta) -> float:
    weights = np.array(SETTINGS[name].get("mutation_frequencies", [1.0] * 4))
    return math.log((weights * np.exp(theta)).sum())


def log_posterior(name: str, column, theta, prior: SitePrior, centre) -> float:
    """What is maximised, in float64, by the oracles."""
    states = {int(node): state for node, state in zip(TREE.tip_nodes, column, strict=True)}
    q, pi = rate_matrix(name, SETTINGS[name], theta), frequencies(name, SETTINGS[name], theta)
    value = pruning(TREE.parent.tolist(), TREE.branch_length.tolist(), states, q, pi)
    value -= math.log(pi[column[0]])
    middle = 0.0 if centre is None else scores_of(name, centre)
    value -= (((scores_of(name, theta) - middle) / prior.log_frequency_sd) ** 2).sum() / 2
    if prior.log_rate_sd > 0:
        distance = log_rate_of(name, theta) - expected_rate(name, prior, centre)
        value -= (distance / prior.log_rate_sd) ** 2 / 2
    return value


def expected_rate(name: str, prior: SitePrior, centre) -> float:
    if prior.log_rate_mean is not None:
        return prior.log_rate_mean
    return log_rate_of(name, centre) if centre is not None else MODELS[name].neutral_log_rate


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("case", PRIORS)
def test_fit_is_the_maximum_of_the_posterior(name, case):
    prior, centres = PRIORS[case]
    fitted = fit_sites(STATES, STATES[:, 0], make_plan(TREE), prior, MODELS[name], centres)
    for row, column in enumerate(COLUMNS):
        centre = None if centres is None else centres[row].double().numpy()
        theta = fitted[row].double().numpy()

        def cost(x, column=column, centre=centre):
            if prior.fixes_rate:
                x = x - log_rate_of(name, x) + expected_rate(name, prior, centre)
            return -log_posterior(name, column, x, prior, centre)

        best = min(minimize(cost, x, method="BFGS").fun for x in (theta, np.zeros(4)))
        assert cost(theta) == pytest.approx(best, abs=1e-3)
        if prior.fixes_rate:
            expected = expected_rate(name, prior, centre)
            assert log_rate_of(name, theta) == pytest.approx(expected, abs=1e-5)


def test_a_column_that_says_nothing_leaves_the_prior():
    states = torch.full((5, TREE.n_tips), 6, dtype=torch.uint8)
    states[:, 0] = torch.tensor([0, 1, 2, 3, 4])
    prior = SitePrior(log_rate_sd=0.5, log_frequency_sd=0.7)
    for model in MODELS.values():
        fitted = fit_sites(states, states[:, 0], make_plan(TREE), prior, model, CENTRE)
        assert torch.allclose(fitted, CENTRE, atol=5e-3)
        fitted = fit_sites(states, states[:, 0], make_plan(TREE), prior, model)
        assert (model.log_rate(fitted) - model.neutral_log_rate).abs().max() < 5e-3
        scores = model.allele_scores(fitted)
        assert torch.allclose(scores, scores.mean(dim=1, keepdim=True), atol=5e-3)


def test_narrow_priors_hold_the_centre_and_wide_ones_let_it_go():
    plan, model = make_plan(TREE), MODELS["hky"]
    narrow = fit_sites(STATES, STATES[:, 0], plan, SitePrior(None, 1e-3, 1e-3), model, CENTRE)
    assert torch.allclose(narrow, CENTRE, atol=1e-3)
    other = CENTRE.flip(1)
    wide = SitePrior(0.0, 1.0, 30.0)
    first = fit_sites(STATES[4:], STATES[4:, 0], plan, wide, model, CENTRE[4:])
    second = fit_sites(STATES[4:], STATES[4:, 0], plan, wide, model, other[4:])
    assert torch.allclose(first, second, atol=0.05)


def test_a_site_does_not_depend_on_its_neighbours(mammals):
    tree = mammals.prune(mammals.tips[::20])
    theta = torch.randn(60, 4, generator=torch.Generator().manual_seed(1))
    states = torch.from_numpy(evolve_columns(theta, tree, seed=4).states)
    plan, chosen = make_plan(tree), torch.arange(3, 60, 7)
    for model in MODELS.values():
        whole = fit_sites(states, states[:, 0], plan, model=model)
        part = fit_sites(states[chosen], states[chosen, 0], plan, model=model)
        assert torch.allclose(whole[chosen], part, atol=1e-3)


def test_an_impossible_column_gives_numbers():
    tree = parse_newick("(a:0,b:0,c:1);")
    states = torch.tensor([[0, 1, 1], [0, 0, 1]], dtype=torch.uint8)
    fitted = fit_sites(states, states[:, 0], make_plan(tree))
    assert torch.isfinite(fitted).all()
    alone = fit_sites(states[1:], states[1:, 0], make_plan(tree))
    assert torch.allclose(fitted[1], alone[0], atol=1e-4)


def test_parameters_are_recovered_the_better_the_more_species():
    theta = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05])) + NEUTRAL_LOG_RATE
    errors = []
    for tips in (8, 40, 200):
        tree = parse_newick("(" + ",".join(f"t{i}:2" for i in range(tips)) + ");")
        states = torch.from_numpy(evolve_columns(theta.expand(60, 4), tree, seed=11).states)
        fitted = fit_sites(states, states[:, 0], make_plan(tree), SitePrior(log_rate_sd=1.0))
        found = F81().log_equilibrium_frequencies(fitted).exp()
        errors.append((found - theta.softmax(dim=0)).square().mean().sqrt().item())
    assert errors[0] > 1.5 * errors[1]
    assert errors[1] > 1.5 * errors[2]
    assert errors[2] < 0.06


def test_shared_parameters_still_learn_after_a_fit():
    model = make_substitution_model("hky")
    fit_sites(STATES, STATES[:, 0], make_plan(TREE), model=model)
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    "numbers", [{"log_rate_sd": -1.0}, {"log_frequency_sd": 0.0}, {"log_rate_mean": math.nan}]
)
def test_impossible_priors_are_refused(numbers):
    with pytest.raises(PhylotoolsError):
        SitePrior(**numbers)


def test_disagreeing_inputs_are_refused():
    plan = make_plan(TREE)
    with pytest.raises(PhylotoolsError):
        fit_sites(STATES, STATES[:3, 0], plan)
    with pytest.raises(PhylotoolsError):
        fit_sites(STATES, STATES[:, 0], plan, centre=CENTRE[:2])
    with pytest.raises(PhylotoolsError):
        fit_sites(STATES, STATES[:, 0], plan, centre=CENTRE * math.inf)
    nobody = torch.zeros(0, dtype=torch.int64)
    with pytest.raises(PhylotoolsError):
        fit_prior_widths(STATES, STATES[:, 0], plan, F81(), nobody)


def test_held_out_likelihood_is_a_difference_of_two_columns():
    theta, held_out = torch.randn(5, 4), torch.tensor([1, 4])
    given = held_out_log_likelihood(STATES, theta, make_plan(TREE), F81(), held_out)
    for row, column in enumerate(COLUMNS):
        q, pi = (f("f81", {}, theta[row].double().numpy()) for f in (rate_matrix, frequencies))
        parents, lengths = TREE.parent.tolist(), TREE.branch_length.tolist()
        nodes = [int(node) for node in TREE.tip_nodes]
        everyone = dict(zip(nodes, column, strict=True))
        others = {node: 4 if i in (1, 4) else column[i] for i, node in enumerate(nodes)}
        expected = pruning(parents, lengths, everyone, q, pi) - pruning(
            parents, lengths, others, q, pi
        )
        assert given[row].item() == pytest.approx(expected, abs=1e-4)


@pytest.fixture(scope="module")
def tree(mammals) -> Tree:
    """40 mammals with branches long enough for their columns to say something."""
    small = mammals.prune(mammals.tips[::17])
    assert small.n_tips == 40
    return small


def sites_of_a_prior(n_sites: int, prior: SitePrior, seed: int) -> torch.Tensor:
    """Theta of F81 drawn from a prior."""
    rng = torch.Generator().manual_seed(seed)
    scores = torch.randn(n_sites, 4, generator=rng) * prior.log_frequency_sd
    rate = prior.log_rate_mean + prior.log_rate_sd * torch.randn(n_sites, generator=rng)
    return F81().with_log_rate(scores, rate)


def test_prior_widths_are_those_that_the_sites_were_drawn_with(tree):
    truth = SitePrior(log_rate_mean=-0.9, log_rate_sd=0.5, log_frequency_sd=1.0)
    theta = sites_of_a_prior(1500, truth, seed=3)
    states = torch.from_numpy(evolve_columns(theta, tree, seed=5).states)
    held_out = torch.arange(1, 40, 4)
    trials: dict[SitePrior, float] = {}
    found = fit_prior_widths(
        states, states[:, 0], make_plan(tree), F81(), held_out,
        hold=frozenset(), on_trial=trials.__setitem__,
    )  # fmt: skip
    assert found.log_rate_mean == pytest.approx(truth.log_rate_mean, abs=0.5)
    assert found.log_frequency_sd == pytest.approx(truth.log_frequency_sd, rel=0.6)
    assert 0.25 <= found.log_rate_sd <= 1.5
    assert trials[found] >= max(trials.values()) - 1e-4
    assert len(trials) > 8


def test_numbers_that_are_held_stay(tree):
    states = torch.from_numpy(evolve_columns(torch.zeros(100, 4), tree, seed=5).states)
    args = states, states[:, 0], make_plan(tree), F81(), torch.arange(1, 40, 4)
    start = SitePrior(log_rate_mean=1.0, log_rate_sd=2.0)
    found = fit_prior_widths(*args, initial=start, hold=frozenset(["log_rate_mean", "log_rate_sd"]))
    assert (found.log_rate_mean, found.log_rate_sd) == (1.0, 2.0)
    assert fit_prior_widths(*args, initial=SitePrior(log_rate_sd=math.inf)).log_rate_sd == math.inf
    # Without a centre the width of the scores is not chosen unless asked for.
    start = SitePrior(log_frequency_sd=2.0)
    assert fit_prior_widths(*args, initial=start).log_frequency_sd == 2.0
    asked = fit_prior_widths(*args, initial=start, hold=frozenset())
    assert asked.log_frequency_sd != 2.0
    fixed = fit_prior_widths(*args, initial=SitePrior(log_rate_sd=0.0))
    assert fixed.log_rate_sd == 0
    assert fixed.log_rate_mean is not None


def test_a_good_centre_is_trusted_and_a_useless_one_is_not(tree):
    truth = SitePrior(log_rate_mean=NEUTRAL_LOG_RATE, log_rate_sd=0.7, log_frequency_sd=1.5)
    theta = sites_of_a_prior(500, truth, seed=8)
    states = torch.from_numpy(evolve_columns(theta, tree, seed=6).states)
    shuffled = theta[torch.randperm(500, generator=torch.Generator().manual_seed(1))]
    widths = []
    for centre in (theta, shuffled):
        found = fit_prior_widths(
            states, states[:, 0], make_plan(tree), F81(), torch.arange(1, 40, 4), centre
        )
        assert found.log_rate_mean is None
        widths.append(found)
    assert widths[0].log_frequency_sd < widths[1].log_frequency_sd / 4
    assert widths[0].log_rate_sd < widths[1].log_rate_sd / 2
