"""Mixtures of site classes and the fit of branch lengths."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from phylotools.phylogeny.branch_fit import (
    SiteClasses,
    fit_factor,
    fit_lengths,
    fit_shared,
    informative_columns,
)
from phylotools.phylogeny.branch_fit.site_classes import transition_probabilities
from phylotools.phylogeny.kernels.cpu.mixture_dispatch import ColumnPatterns
from phylotools.phylogeny.likelihood import column_log_likelihood, make_plan
from phylotools.phylogeny.substitution import make_substitution_model
from phylotools.phylogeny.tree import Tree, parse_newick
from phylotools.threads import set_threads

pytestmark = pytest.mark.usefixtures("one_thread")

#: A polytomy, a lone child, a zero length, and a tip that is often missing.
SMALL = "(((A:0.3,B:0.12,(C:0.05,D:0)x:0.2):0.1)y:0.15,(E:0.4,F:0.02)z:0.25,G:0.7);"
BACKGROUND = [0.32, 0.18, 0.22, 0.28]


def classes_of(name: str = "gtr", n_classes: int = 3, **settings) -> SiteClasses:
    if name == "gtr":
        settings = {"exchangeabilities": [1.0, 3.0, 0.7, 1.2, 4.0, 0.9], **settings}
    if name in ("gtr", "hky"):
        settings["background"] = BACKGROUND
    if name == "mutation-selection":
        settings["mutation_frequencies"] = BACKGROUND
    return SiteClasses(make_substitution_model(name, **settings), BACKGROUND, n_classes)


def random_states(n_columns: int, n_tips: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    states = rng.integers(0, 4, (n_columns, 1)).repeat(n_tips, axis=1)
    states = np.where(rng.random(states.shape) < 0.4, rng.integers(0, 4, states.shape), states)
    return np.where(rng.random(states.shape) < 0.2, 5, states).astype(np.uint8)


def evolved(tree: Tree, classes: SiteClasses, n_columns: int, seed: int = 1) -> np.ndarray:
    """Columns drawn from the classes, node by node."""
    rng = np.random.default_rng(seed)
    rates = classes.rates.detach().numpy()[rng.integers(0, len(classes.rates), n_columns)]
    pi = classes.log_frequencies.exp().numpy()
    with torch.no_grad():
        matrix, log_pi = classes.rate_matrix(), classes.log_frequencies
        states = np.empty((len(tree.names), n_columns), dtype=np.int64)
        states[0] = rng.choice(4, n_columns, p=pi)
        for node in range(1, len(tree.names)):
            length = torch.from_numpy(rates * tree.branch_length[node])
            p = transition_probabilities(matrix, log_pi, length).numpy()
            above = p[np.arange(n_columns), states[tree.parent[node]]].cumsum(axis=1)
            states[node] = (rng.random((n_columns, 1)) > above).sum(axis=1).clip(max=3)
    return states[tree.tip_nodes].T.astype(np.uint8)


@pytest.mark.parametrize("name", ["f81", "hky", "gtr", "mutation-selection"])
def test_one_substitution_per_unit_of_length(name):
    classes = classes_of(name)
    matrix, pi = classes.rate_matrix().detach(), torch.tensor(BACKGROUND, dtype=torch.float64)
    assert -(pi @ matrix.diagonal()).item() == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(pi @ matrix, torch.zeros(4).double(), atol=1e-7, rtol=0)
    assert classes.rates.mean().item() == pytest.approx(1)


def test_transition_probabilities_are_those_of_the_matrix_exponential():
    classes = classes_of()
    length = torch.tensor([0.0, 1e-9, 0.1, 3.0, 500.0], dtype=torch.float64)
    matrix = classes.rate_matrix().detach()
    found = transition_probabilities(matrix, classes.log_frequencies, length)
    expected = torch.matrix_exp(matrix * length[:, None, None])
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=0)


def test_gradients_of_transition_probabilities():
    log_pi = torch.tensor(BACKGROUND, dtype=torch.float64).log()

    def probabilities(exchangeabilities, length):
        matrix = exchangeabilities * exchangeabilities.T * log_pi.exp()
        matrix = matrix - torch.diag(matrix.sum(dim=1))
        return transition_probabilities(matrix, log_pi, length)

    # Equal exchangeabilities have equal eigenvalues.
    for values in (torch.ones(4, 4), 0.5 + torch.rand(4, 4, generator=torch.manual_seed(1))):
        values = values.double().requires_grad_()
        length = torch.tensor([[0.1, 2.0], [1e-4, 0.7]], dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(probabilities, (values, length))


@pytest.mark.parametrize("name", ["f81", "hky", "gtr"])
def test_likelihood_is_the_mean_over_classes_of_the_reference_kernel(name):
    tree = parse_newick(SMALL).with_minimum_branch_length(1e-6)
    classes, plan = classes_of(name), make_plan(tree)
    states = random_states(77, tree.n_tips)
    total, by_column = classes.log_likelihood(
        ColumnPatterns(states), plan, torch.from_numpy(tree.branch_length)
    )
    model = classes.model
    theta = classes.log_frequencies
    theta = theta - model.site_rate(theta).log()
    by_class = [
        column_log_likelihood(
            torch.from_numpy(states), (theta + rate.log()).expand(77, 4), plan, model,
            kernel="reference",
        )
        for rate in classes.rates
    ]  # fmt: skip
    expected = torch.stack(by_class).logsumexp(dim=0) - math.log(3)
    torch.testing.assert_close(by_column, expected, rtol=1e-7, atol=1e-7)
    assert total.item() == pytest.approx(expected.sum().item())


def test_likelihood_of_iqtree(data):
    folder = data / "oracle_likelihood"
    tree = parse_newick((folder / "tree.nh").read_text())
    rows = {}
    for record in (folder / "alignment.fa").read_text().split(">")[1:]:
        name, *lines = record.split("\n")
        rows[name.split()[0]] = "".join(lines).upper()
    codes = np.full(256, 5, dtype=np.uint8)
    codes[list(b"ACGT")] = range(4)
    states = np.stack([codes[np.frombuffer(rows[tip].encode(), np.uint8)] for tip in tree.tips], 1)
    patterns, plan = ColumnPatterns(states), make_plan(tree)
    for case in json.loads((folder / "expected.json").read_text())["cases"]:
        settings = {}
        if case["model"] != "F81":
            settings["exchangeabilities"] = case["exchangeabilities_AC_AG_AT_CG_CT_GT"]
        model = make_substitution_model("gtr", **settings)
        classes = SiteClasses(model, case["equilibrium_frequencies_ACGT"], 1)
        length = torch.from_numpy(tree.branch_length) * case["branch_scale"]
        _, found = classes.log_likelihood(patterns, plan, length)
        np.testing.assert_allclose(
            found.detach().numpy(), case["site_log_likelihood_float64"], rtol=1e-6
        )


def test_gradients_are_those_of_finite_differences():
    tree = parse_newick(SMALL).with_minimum_branch_length(1e-3)
    classes, plan = classes_of(), make_plan(tree)
    patterns = ColumnPatterns(random_states(50, tree.n_tips))
    length = torch.from_numpy(tree.branch_length.copy()).requires_grad_()
    inputs = [length, classes.log_rates, classes.model.log_exchangeabilities]
    gradients = torch.autograd.grad(classes.log_likelihood(patterns, plan, length)[0], inputs)
    for tensor, gradient in zip(inputs, gradients, strict=True):
        for index in range(len(tensor)):
            values = []
            for step in (1e-6, -1e-6):
                with torch.no_grad():
                    tensor[index] += step
                    values.append(classes.log_likelihood(patterns, plan, length)[0].item())
                    tensor[index] -= step
            difference = (values[0] - values[1]) / 2e-6
            assert gradient[index].item() == pytest.approx(difference, rel=1e-5, abs=1e-5)


def test_no_gradient_of_what_no_column_tells():
    tree = parse_newick(SMALL)
    states = random_states(40, tree.n_tips)
    states[:, tree.tips.index("E")] = 6
    length = torch.from_numpy(tree.branch_length.copy()).requires_grad_()
    value, _ = classes_of().log_likelihood(ColumnPatterns(states), make_plan(tree), length)
    (gradient,) = torch.autograd.grad(value, length)
    node = tree.names.index("E")
    assert gradient[node] == 0
    counts = informative_columns(tree, states)
    assert counts[node] == counts[0] == 0
    assert (gradient[counts > 0] != 0).all()


def test_informative_columns_one_by_one():
    tree = parse_newick(SMALL)
    states = random_states(60, tree.n_tips, seed=4)
    found = informative_columns(tree, states)
    for node in range(1, len(tree.names)):
        below = {node}
        for other in range(node + 1, len(tree.names)):
            if int(tree.parent[other]) in below:
                below.add(other)
        inside = np.isin(tree.tip_nodes, list(below))
        known = states < 4
        assert found[node] == (known[:, inside].any(1) & known[:, ~inside].any(1)).sum()


def test_a_deep_tree_with_a_site_of_every_base(mammals):
    """671 tips: numbers leave the range of float64 without their scale."""
    states = random_states(20, mammals.n_tips)
    patterns = ColumnPatterns(states)
    classes = classes_of("f81")
    plan, length = make_plan(mammals), torch.from_numpy(mammals.branch_length).requires_grad_()
    value, by_column = classes.log_likelihood(patterns, plan, length)
    theta = classes.log_frequencies - classes.model.site_rate(classes.log_frequencies).log()
    by_class = [
        column_log_likelihood(
            torch.from_numpy(states), (theta + rate.log()).expand(20, 4), plan, classes.model,
            kernel="reference",
        )
        for rate in classes.rates
    ]  # fmt: skip
    expected = torch.stack(by_class).logsumexp(dim=0) - math.log(3)
    torch.testing.assert_close(by_column, expected, rtol=1e-7, atol=1e-6)
    (gradient,) = torch.autograd.grad(value, length)
    assert gradient.isfinite().all()


def test_threads_change_no_bit(mammals):
    patterns = ColumnPatterns(random_states(100, mammals.n_tips))
    length = torch.from_numpy(mammals.branch_length).requires_grad_()
    results = []
    for threads in (1, 2, 3):
        set_threads(threads)
        value, _ = classes_of("f81").log_likelihood(patterns, make_plan(mammals), length)
        results.append(torch.autograd.grad(value, length)[0].numpy().tobytes())
    set_threads(1)
    assert len(set(results)) == 1


def fitted_errors(n_columns: int) -> tuple[float, float]:
    """Median error of log lengths, and error of the total, from a tree with other lengths."""
    truth = parse_newick(SMALL).with_minimum_branch_length(0.02)
    classes = classes_of(n_classes=4)
    patterns = ColumnPatterns(states := evolved(truth, classes, n_columns))
    rng = np.random.default_rng(7)
    wrong = truth.branch_length * np.exp(rng.normal(0, 1, len(truth.names))) * 40
    tree, plan = dataclasses.replace(truth, branch_length=wrong), make_plan(truth)
    start = fit_factor(
        tree, plan, patterns, SiteClasses(make_substitution_model("gtr"), BACKGROUND, 4)
    )
    found = fit_lengths(tree, plan, patterns, start, informative_columns(tree, states))
    assert found.log_likelihood > start.log_likelihood
    # What columns tell: not where on a path with a lone child, nor at which side of the root.
    side = plan.side_of_node
    kept = [i for i in range(1, len(side)) if (side == side[i]).sum() == 1]
    error = np.abs(np.log(found.branch_length[kept] / truth.branch_length[kept]))
    total = abs(math.log(found.branch_length.sum() / truth.total_length))
    return float(np.median(error)), total


def test_lengths_are_recovered_with_an_error_that_shrinks():
    rough, few = fitted_errors(400)
    fine, many = fitted_errors(40_000)
    assert fine < rough / 3
    assert fine < 0.03
    assert many < 0.03 < few + 0.03


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e3, 1e7])
def test_a_factor_is_found_in_whatever_unit(unit):
    truth = parse_newick(SMALL)
    classes = classes_of(n_classes=1)
    patterns = ColumnPatterns(evolved(truth, classes, 4000))
    tree = dataclasses.replace(truth, branch_length=truth.branch_length * unit)
    plan = make_plan(tree)
    found = fit_factor(tree, plan, patterns, classes)
    assert found.branch_length.sum() == pytest.approx(truth.total_length, rel=0.03)
    given = fit_shared(truth, plan, patterns, classes)
    assert given.log_likelihood == pytest.approx(found.log_likelihood, abs=3)
    ratio = found.branch_length[1:] / tree.branch_length[1:].clip(1e-300)
    is_positive = tree.branch_length[1:] > 0
    assert np.ptp(np.log(ratio[is_positive])) < 1e-9


def fitted_lengths(tree: Tree, states: np.ndarray) -> np.ndarray:
    """Of tips."""
    plan, patterns = make_plan(tree), ColumnPatterns(states)
    start = fit_factor(tree, plan, patterns, classes_of(n_classes=1))
    found = fit_lengths(tree, plan, patterns, start, informative_columns(tree, states))
    return found.branch_length[tree.tip_nodes]


@pytest.mark.parametrize("fault", ["no lengths", "all equal", "absurd"])
def test_lengths_do_not_depend_on_the_given_ones(fault):
    truth = parse_newick(SMALL).with_minimum_branch_length(0.02)
    states = evolved(truth, classes_of(n_classes=1), 20_000)
    length = truth.branch_length.copy()
    if fault == "absurd":
        length[truth.names.index("A")], length[truth.names.index("E")] = 1e9, 0.0
    else:
        length[1:] = {"no lengths": 0.0, "all equal": 1.0}[fault]
    found = fitted_lengths(dataclasses.replace(truth, branch_length=length), states)
    np.testing.assert_allclose(found, fitted_lengths(truth, states), rtol=0.05)


def test_a_branch_without_data_keeps_its_share():
    tree = parse_newick(SMALL).with_minimum_branch_length(0.02)
    states = evolved(tree, classes_of(n_classes=1), 3000)
    states[:, tree.tips.index("F")] = 5
    plan, patterns = make_plan(tree), ColumnPatterns(states)
    start = fit_factor(tree, plan, patterns, classes_of(n_classes=1))
    found = fit_lengths(tree, plan, patterns, start, informative_columns(tree, states))
    node = tree.names.index("F")
    assert found.branch_length[node] == pytest.approx(start.branch_length[node], rel=1e-9)
