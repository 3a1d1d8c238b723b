"""Columns of several trees: each as if it stood alone with its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_likelihood import pruning
from slow_substitution import frequencies, rate_matrix

from phylotools.errors import PhylotoolsError
from phylotools.phylogeny.likelihood import (
    ColumnPlans,
    column_log_likelihood,
    joined_plans,
    make_plan,
    plan_of,
)
from phylotools.phylogeny.site_fit import fit_sites
from phylotools.phylogeny.site_fit.conservation import neutral_theta, rate_test
from phylotools.phylogeny.substitution import make_substitution_model
from phylotools.phylogeny.tree import parse_newick

pytestmark = pytest.mark.usefixtures("one_thread")

SPECIES = ("a", "b", "c", "d", "e")
#: The store's own, another topology in another order of tips, one without species, one of two.
TREES = [
    parse_newick(text)
    for text in (
        "((a:0.1,b:0.2):0.1,(c:0.1,d:0.3):0.2,e:0.3);",
        "((e:0.4,c:0.1):0.3,((d:0.2,a:0.2):0.1,b:0.5):0.2);",
        "((d:0.2,a:0.1):0.2,c:0.1);",
        "(e:0.7,a:0.2);",
    )
]
PLANS = tuple(make_plan(tree, SPECIES) for tree in TREES)
MODELS = ("f81", "hky", "gtr", "mutation-selection")


def columns(seed: int, number: int):
    rng = np.random.default_rng(seed)
    states = rng.choice([0, 1, 2, 3, 5, 6], size=(number, 5)).astype(np.uint8)
    theta = torch.from_numpy(rng.normal(size=(number, 4)))
    return torch.from_numpy(states), theta, rng.integers(len(TREES), size=number)


def alone(states, theta, tree, model) -> float:
    """Brute force of one column."""
    place = dict(zip(SPECIES, states.tolist(), strict=True))
    at = {int(node): place[tree.names[node]] for node in tree.tip_nodes}
    if not any(state < 4 for state in at.values()):
        return 0.0
    return pruning(
        tree.parent.tolist(), tree.branch_length.tolist(), at,
        rate_matrix(model.name, model.settings(), theta.numpy()),
        frequencies(model.name, model.settings(), theta.numpy()),
    )  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kernel", ["cpu", "reference"])
def test_a_batch_of_trees_is_each_column_alone(name, kernel):
    states, theta, index = columns(1, 60)
    model = make_substitution_model(name)
    found = column_log_likelihood(states, theta, ColumnPlans(PLANS, index), model, kernel=kernel)
    expected = [
        alone(states[c], theta[c], TREES[index[c]], model) for c in range(len(states))
    ]  # fmt: skip
    assert found.tolist() == pytest.approx(expected, rel=1e-7, abs=1e-9)
    assert len(set(index.tolist())) == len(TREES)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(0, 40), st.booleans())
def test_value_and_gradient_do_not_depend_on_the_order(seed, number, is_sorted):
    states, theta, index = columns(seed, number)
    if is_sorted:
        index = np.sort(index)
    theta.requires_grad_()
    value = column_log_likelihood(states, theta, ColumnPlans(PLANS, index))
    (gradient,) = torch.autograd.grad(value.sum(), theta)
    for c in range(number):
        site = theta[c : c + 1].detach().requires_grad_()
        one = column_log_likelihood(states[c : c + 1], site, PLANS[index[c]])
        slope = torch.autograd.grad(one.sum(), site)[0]
        # Within a vector of columns the last bit may be another.
        assert torch.allclose(one, value[c : c + 1], rtol=1e-12, atol=1e-12)
        assert torch.allclose(slope, gradient[c : c + 1], rtol=1e-10, atol=1e-12)


def test_one_tree_for_all_is_its_plan_bit_for_bit():
    states, theta, _ = columns(3, 50)
    for number, plan in enumerate(PLANS):
        plans = ColumnPlans(PLANS, np.full(50, number))
        assert torch.equal(
            column_log_likelihood(states, theta, plans), column_log_likelihood(states, theta, plan)
        )


def test_tips_in_any_order_are_found_by_name():
    states, theta, _ = columns(4, 50)
    tree = TREES[1]
    by_hand = states[:, [SPECIES.index(name) for name in tree.tips]]
    assert torch.allclose(
        column_log_likelihood(states, theta, PLANS[1]), column_log_likelihood(by_hand, theta, tree)
    )


def test_a_species_that_a_tree_lacks_is_missing_data():
    states, theta, _ = columns(5, 50)
    hidden = states.clone()
    hidden[:, [1, 4]] = 6
    whole = parse_newick("((d:0.2,a:0.1):0.2,(b:9,e:9):0,c:0.1);")
    assert torch.allclose(
        column_log_likelihood(states, theta, PLANS[2]),
        column_log_likelihood(hidden, theta, make_plan(whole, SPECIES)),
    )


def test_parts_and_joins():
    states, theta, index = columns(6, 40)
    plans = ColumnPlans(PLANS, index)
    whole = column_log_likelihood(states, theta, plans)
    rows = torch.tensor([7, 3, 30, 3])
    assert torch.equal(
        column_log_likelihood(states[rows], theta[rows], plan_of(plans, rows)), whole[rows]
    )
    parts = [plan_of(plans, slice(0, 13)), plan_of(plans, slice(13, 40))]
    joined = joined_plans(parts)
    assert isinstance(joined, ColumnPlans)
    assert joined.of_column.tolist() == index.tolist()
    assert plan_of(PLANS[0], rows) is PLANS[0]
    assert joined_plans([PLANS[0]] * 2) is PLANS[0]
    with pytest.raises(PhylotoolsError, match="40 columns, but trees of 13"):
        column_log_likelihood(states, theta, parts[0])


def test_fits_and_tests_of_sites_use_each_columns_tree():
    states, _, index = columns(7, 40)
    plans = ColumnPlans(PLANS, index)
    fitted = fit_sites(states, states[:, 0], plans)
    neutral = neutral_theta(torch.full((4,), 0.25).log())
    tested = rate_test(states, plans, neutral)
    for number, plan in enumerate(PLANS):
        rows = torch.from_numpy(np.flatnonzero(index == number))
        alone = fit_sites(states[rows], states[rows, 0], plan)
        assert torch.allclose(alone, fitted[rows], atol=1e-4)
        own = rate_test(states[rows], plan, neutral)
        assert torch.allclose(own.statistic, tested.statistic[rows], atol=1e-6)
