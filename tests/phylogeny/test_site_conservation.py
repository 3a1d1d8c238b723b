from __future__ import annotations

import gzip
import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.stats import chi2, kstest, spearmanr
from slow_likelihood import pruning
from slow_substitution import frequencies, rate_matrix

from phylotools.errors import PhylotoolsError
from phylotools.phylogeny.likelihood import make_plan
from phylotools.phylogeny.simulation import evolve_columns
from phylotools.phylogeny.site_fit.conservation import neutral_theta, rate_test
from phylotools.phylogeny.substitution import F81, make_substitution_model
from phylotools.phylogeny.tree import Tree, parse_newick
from phylotools.store.read import open_store
from phylotools.store.schema import CODE_MASK

pytestmark = pytest.mark.usefixtures("one_thread")

BACKGROUND = torch.tensor([0.3, 0.2, 0.15, 0.35])
SETTINGS = {
    "f81": {},
    "hky": {"kappa": 4.0, "background": BACKGROUND.tolist()},
    "gtr": {"exchangeabilities": [0.8, 3.0, 0.6, 1.1, 4.0, 1.0], "background": [0.25] * 4},
    "mutation-selection": {
        "exchangeabilities": [1.0, 3.0, 0.5, 0.7, 2.5, 1.2],
        "mutation_frequencies": BACKGROUND.tolist(),
    },
}
MODELS = {name: make_substitution_model(name, **SETTINGS[name]) for name in SETTINGS}
TREE = parse_newick("((a:0.3,b:0.2):0.1,(c:0.4,d:0.1):0.2,(e:0.6,(f:0.1,g:0.3):0.2):0.05);")


@pytest.fixture(scope="module")
def tree(mammals) -> Tree:
    return mammals.prune(mammals.tips[::7])


@pytest.mark.parametrize("name", SETTINGS)
def test_neutral_sites_have_the_background_and_rate_one(name):
    theta = neutral_theta(BACKGROUND.log(), MODELS[name])
    q, pi = (f(name, SETTINGS[name], theta.numpy()) for f in (rate_matrix, frequencies))
    assert pi == pytest.approx(BACKGROUND.numpy(), abs=1e-6)
    assert -(pi * np.diagonal(q)).sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", SETTINGS)
def test_ratio_is_that_of_a_search_in_one_dimension(name):
    columns = [
        [0, 0, 1, 1, 0, 0, 0],
        [2, 2, 2, 5, 2, 3, 0],
        [0, 1, 2, 3, 0, 1, 2],
        [3, 3, 3, 3, 3, 3, 1],
    ]
    states = torch.tensor(columns, dtype=torch.uint8)
    neutral = neutral_theta(BACKGROUND.log(), MODELS[name])
    test = rate_test(states, make_plan(TREE), neutral, MODELS[name])
    settings, theta = SETTINGS[name], neutral.double().numpy()
    q, pi = rate_matrix(name, settings, theta), frequencies(name, settings, theta)
    for row, column in enumerate(columns):
        tips = {int(node): base for node, base in zip(TREE.tip_nodes, column, strict=True)}

        def value(log_scale, tips=tips):
            rates = q * math.exp(log_scale)
            return pruning(TREE.parent.tolist(), TREE.branch_length.tolist(), tips, rates, pi)

        best = max(
            (
                minimize_scalar(lambda x: -value(x), bounds=b, method="bounded")
                for b in [(-9, 0), (0, 9)]
            ),
            key=lambda found: -found.fun,
        )
        statistic = max(0, 2 * (-best.fun - value(0)))
        assert test.statistic[row].item() == pytest.approx(statistic, abs=2e-3)
        assert value(test.log_scale[row].item()) == pytest.approx(-best.fun, abs=1e-3)
        sign = 1 if best.x < 0 else -1
        p_value = chi2.sf(test.statistic[row].item(), 1)
        assert test.signed_log10_p[row].item() == pytest.approx(
            -sign * math.log10(p_value), abs=1e-6
        )


def test_a_constant_column_lies_on_the_boundary():
    states = torch.zeros(1, TREE.n_tips, dtype=torch.uint8)
    neutral = neutral_theta(BACKGROUND.log())
    test = rate_test(states, make_plan(TREE), neutral)
    assert test.log_scale.item() == -math.inf
    q, pi = (f("f81", {}, neutral.double().numpy()) for f in (rate_matrix, frequencies))
    tips = {int(node): 0 for node in TREE.tip_nodes}
    null = pruning(TREE.parent.tolist(), TREE.branch_length.tolist(), tips, q, pi)
    assert test.statistic.item() == pytest.approx(2 * (math.log(pi[0]) - null), abs=1e-4)
    assert test.signed_log10_p.item() > 0


def test_columns_that_say_nothing_of_rates():
    tree = parse_newick("(a:0,b:0,c:1);")
    columns = [[6, 6, 6], [2, 6, 6], [0, 1, 0]]
    states = torch.tensor(columns, dtype=torch.uint8)
    test = rate_test(states, make_plan(tree), neutral_theta(BACKGROUND.log()))
    assert test.statistic.tolist() == [0, 0, 0]
    assert test.log_scale.tolist() == [0, 0, 0]
    assert test.signed_log10_p.abs().tolist() == [0, 0, 0]


def test_the_place_where_the_search_starts_does_not_matter(tree):
    neutral = neutral_theta(BACKGROUND.log())
    theta = neutral + torch.linspace(-3, 2, 60).unsqueeze(1)
    states = torch.from_numpy(evolve_columns(theta, tree, seed=2).states)
    plan = make_plan(tree)
    first = rate_test(states, plan, neutral)
    second = rate_test(states, plan, neutral, start=torch.linspace(3, -9, 60))
    assert torch.allclose(first.statistic, second.statistic, atol=5e-3)


@pytest.mark.parametrize("name", SETTINGS)
def test_p_values_of_neutral_columns_are_uniform(tree, name):
    neutral = neutral_theta(BACKGROUND.log(), MODELS[name])
    states = evolve_columns(neutral.expand(1500, 4), tree, MODELS[name], seed=7).states
    test = rate_test(torch.from_numpy(states), make_plan(tree), neutral, MODELS[name])
    p_values = 10 ** -test.signed_log10_p.abs().numpy()
    assert kstest(p_values, "uniform").pvalue > 0.01
    # Both sides are called equally often.
    is_slow = (test.signed_log10_p > 0).double().mean().item()
    assert 0.45 < is_slow < 0.55
    for level in (0.05, 0.01):
        called = (p_values < level).mean()
        assert abs(called - level) < 4 * math.sqrt(level * (1 - level) / 1500)


def test_slow_and_fast_sites_are_found_and_measured(tree):
    neutral = neutral_theta(BACKGROUND.log())
    for scale, sign in ((0.2, 1), (4.0, -1)):
        theta = (neutral + math.log(scale)).expand(200, 4)
        states = torch.from_numpy(evolve_columns(theta, tree, seed=3).states)
        test = rate_test(states, make_plan(tree), neutral)
        assert ((sign * test.signed_log10_p) > 2).double().mean() > 0.95
        assert test.log_scale.exp().median().item() == pytest.approx(scale, rel=0.15)


def test_a_tree_in_other_units_makes_neutral_sites_look_fast_or_slow(tree):
    """The trap that --neutral-scale is for: the null must be neutral in the tree's own units."""
    neutral = neutral_theta(BACKGROUND.log())
    states = torch.from_numpy(
        evolve_columns((neutral + math.log(3)).expand(200, 4), tree, seed=5).states
    )
    trapped = rate_test(states, make_plan(tree), neutral)
    assert (trapped.signed_log10_p < -2).double().mean() > 0.9
    scaled = Tree(tree.names, tree.parent, tree.branch_length * 3, tree.postorder)
    mended = rate_test(states, make_plan(scaled), neutral)
    assert (mended.signed_log10_p.abs() < 2).double().mean() > 0.95


def test_real_columns_rank_as_phylop_does(mammals_store, data):
    """UCSC phyloP of 100 vertebrates at the same positions, from another alignment."""
    store = open_store(mammals_store)
    table = data.parents[1] / "examples/human_mtdna/data/chrM_all_snvs_labels.tsv.gz"
    with gzip.open(table, "rt") as handle:
        names = next(handle).rstrip("\n").split("\t")
        rows = [line.rstrip("\n").split("\t") for line in handle]
    pos, score = names.index("pos"), names.index("phyloP100way")
    phylop = {int(row[pos]) - 1: float(row[score]) for row in rows}
    regions = store.covered_regions(min_species=20)
    states = np.concatenate([store.bases(region) & CODE_MASK for region in regions])
    position = np.concatenate([np.arange(region.start, region.end) for region in regions])
    known = np.array([where in phylop for where in position.tolist()])
    assert known.sum() > 500
    tree = store.tree.with_minimum_branch_length(1e-6)
    neutral = neutral_theta(torch.tensor([0.30, 0.32, 0.12, 0.26]).log(), F81())
    test = rate_test(torch.from_numpy(states[known]), make_plan(tree), neutral)
    theirs = [phylop[where] for where in position[known].tolist()]
    assert spearmanr(test.signed_log10_p.numpy(), theirs).statistic > 0.8


def test_impossible_backgrounds_are_refused():
    for wrong in ([0.5, 0.5, 0.0, 0.0], [math.nan] * 4, [0.3, 0.7]):
        with pytest.raises(PhylotoolsError):
            neutral_theta(torch.tensor(wrong).log())
