"""The test of the strands: right about simulated columns, and blind to which strand is written."""

from __future__ import annotations

import math

import pytest
import torch

from phylotools.phylogeny.likelihood import make_plan
from phylotools.phylogeny.simulation import evolve_columns
from phylotools.phylogeny.strand_symmetry import compare_strands
from phylotools.phylogeny.substitution import make_substitution_model

pytestmark = pytest.mark.usefixtures("one_thread")

EQUAL = {
    "exchangeabilities": [1.0, 4.0, 0.6, 0.8, 4.0, 1.0],
    "mutation_frequencies": [0.35, 0.15, 0.15, 0.35],
}
DIFFERENT = {
    "exchangeabilities": [1.0, 2.0, 0.6, 0.8, 6.0, 1.0],
    "mutation_frequencies": [0.4, 0.15, 0.1, 0.35],
}


@pytest.fixture(scope="module")
def small_tree(mammals):
    return mammals.prune(mammals.tips[::16])


def columns(tree, settings, n=1000, spread=0.0):
    """Columns of sites with random fitnesses, of so large a spread."""
    model = make_substitution_model("mutation-selection", **settings)
    fitness = torch.randn(n, 4, generator=torch.Generator().manual_seed(1)) * spread
    theta = model.with_log_rate(fitness, torch.full((n,), -1.0)).detach()
    return torch.from_numpy(evolve_columns(theta, tree, model, seed=3).states)


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_simulated_strands_are_told_apart(small_tree, spread):
    plan = make_plan(small_tree)
    equal = compare_strands(columns(small_tree, EQUAL, spread=spread), small_tree, plan)
    assert equal.is_conclusive
    assert not equal.strands_differ
    # Four more parameters: half of a chi square of four, of which 1 in 10,000 is above 12.
    assert 0 <= equal.gain < 12
    different = compare_strands(columns(small_tree, DIFFERENT, spread=spread), small_tree, plan)
    assert different.strands_differ


def test_rates_and_substitutions_are_those_of_the_simulation(small_tree):
    states = columns(small_tree, DIFFERENT)
    found = compare_strands(states, small_tree, make_plan(small_tree))
    mu = make_substitution_model("mutation-selection", **DIFFERENT).mutation_matrix()
    for name, ratio in found.ratios.items():
        a, b = map("ACGT".index, name.split(">"))
        truth = (mu[a, b] / mu[3 - a, 3 - b]).item()
        assert math.log(ratio) == pytest.approx(math.log(truth), abs=0.35), name
    assert set(found.ratios) == {"A>C", "A>G", "A>T", "C>A", "C>G", "C>T"}
    expected = 1000 * small_tree.total_length * math.exp(-1.0)
    assert found.substitutions == pytest.approx(expected, rel=0.1)
    name, complement, ratio = found.most_different
    assert ratio == pytest.approx(max(max(r, 1 / r) for r in found.ratios.values()))
    assert ratio == pytest.approx(found.ratios.get(name, 1 / found.ratios.get(complement, 1)))
    assert complement == name.translate(str.maketrans("ACGT", "TGCA"))


def test_the_other_strand_says_the_same(small_tree):
    states = columns(small_tree, DIFFERENT, n=400)
    plan = make_plan(small_tree)
    found = compare_strands(states, small_tree, plan)
    other = compare_strands(torch.where(states < 4, 3 - states, states), small_tree, plan)
    assert other.gain == pytest.approx(found.gain, abs=1.5)
    for name, ratio in found.ratios.items():
        assert math.log(other.ratios[name]) == pytest.approx(-math.log(ratio), abs=0.1)


def test_few_substitutions_decide_nothing(small_tree):
    states = columns(small_tree, DIFFERENT, n=30)
    found = compare_strands(states, small_tree, make_plan(small_tree))
    assert not found.is_conclusive
    assert not found.strands_differ


def test_columns_without_a_difference(small_tree):
    states = torch.zeros((50, small_tree.n_tips), dtype=torch.uint8)
    found = compare_strands(states, small_tree, make_plan(small_tree))
    assert not found.strands_differ
    assert all(math.isfinite(ratio) for ratio in found.ratios.values())
    empty = compare_strands(torch.full_like(states, 4), small_tree, make_plan(small_tree))
    assert (empty.substitutions, empty.strands_differ) == (0, False)
