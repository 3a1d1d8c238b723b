from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from likelihood_cases import (
    BASES,
    KERNELS,
    MODELS,
    make_model,
    random_columns,
    rate_matrix_and_frequencies,
    states_of,
    value_and_gradient,
)
from slow_likelihood import Node, brute_force, newick, tip_names, two_tips

from phylotools.phylogeny.likelihood import (
    column_log_likelihood,
    make_plan,
)
from phylotools.phylogeny.substitution import make_substitution_model
from phylotools.phylogeny.tree import Tree, parse_newick

pytestmark = pytest.mark.usefixtures("one_thread")
every_kernel = pytest.mark.parametrize("kernel", KERNELS)
every_model = pytest.mark.parametrize("model", MODELS)


# independent values


def iqtree_columns(folder) -> tuple[Tree, torch.Tensor]:
    tree = parse_newick((folder / "tree.nh").read_text())
    records = (folder / "alignment.fa").read_text().split(">")[1:]
    rows = {r.split("\n", 1)[0].split()[0]: r.split("\n", 1)[1].replace("\n", "") for r in records}
    lookup = {base: code for code, base in enumerate(BASES)}
    states = [[lookup.get(base.upper(), 5) for base in rows[name]] for name in tree.tips]
    return tree, torch.tensor(states, dtype=torch.uint8).T.contiguous()


@pytest.mark.parametrize("case", range(9))
@every_kernel
def test_iqtree_and_float64_values(data, kernel, case):
    folder = data / "oracle_likelihood"
    tree, states = iqtree_columns(folder)
    wanted = json.loads((folder / "expected.json").read_text())["cases"][case]
    pi = np.array(wanted["equilibrium_frequencies_ACGT"])
    s = [float(value) for value in wanted["exchangeabilities_AC_AG_AT_CG_CT_GT"]]
    model = {
        "F81": lambda: make_substitution_model("f81"),
        "HKY": lambda: make_substitution_model("hky", kappa=s[1]),
        "GTR": lambda: make_substitution_model("gtr", exchangeabilities=s),
    }[wanted["model"]]()
    # IQ-TREE's rates have one substitution per unit of branch length.
    theta = torch.tensor(np.log(pi * wanted["branch_scale"]))
    theta -= model.site_rate(theta).log().detach() - np.log(wanted["branch_scale"])
    expected = np.array(wanted["site_log_likelihood_float64"])
    for dtype, tolerance in ((torch.float64, 1e-6), (torch.float32, 1e-5)):
        repeated = theta.to(dtype).expand(len(states), 4)
        found = column_log_likelihood(states, repeated, tree, model, kernel=kernel).detach()
        np.testing.assert_allclose(found, expected, rtol=tolerance)
    np.testing.assert_allclose(found, wanted["site_log_likelihood_iqtree"], rtol=1e-4, atol=1e-3)


# brute force and closed form

branch = st.one_of(st.just(0.0), st.floats(1e-4, 4.0))
thetas = st.lists(st.floats(-5, 2), min_size=4, max_size=4)


@st.composite
def small_trees(draw) -> Node:
    """Trees of 2 to 6 tips: polytomies, zero lengths, single-child nodes; at most 9 nodes."""
    parts: list[Node] = [
        (f"t{i}", draw(st.floats(1e-4, 4.0)), ()) for i in range(draw(st.integers(2, 6)))
    ]
    inner = 0
    while len(parts) > 1 or (inner < 3 and draw(st.booleans())):
        least = 1 if inner < 1 else (len(parts) if inner >= 2 else min(2, len(parts)))
        take = draw(st.integers(least, len(parts)))
        length = draw(branch)
        parts = [*parts[take:], ("", length, tuple(parts[:take]))]
        inner += 1
    return parts[0] if parts[0][2] else ("", 0.0, (parts[0],))


@every_model
@settings(max_examples=15, deadline=None)
@given(small_trees(), thetas, st.data())
def test_brute_force_over_ancestral_bases(model, tree, theta, data):
    names = tip_names(tree)
    column = [data.draw(st.sampled_from([0, 1, 2, 3, 0, 5])) for _ in names]
    expected = brute_force(
        tree, dict(zip(names, column, strict=True)), *rate_matrix_and_frequencies(model, theta)
    )
    for kernel in KERNELS:
        for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
            found = column_log_likelihood(
                states_of([column]), torch.tensor([theta], dtype=dtype),
                parse_newick(newick(tree)), make_model(model), kernel=kernel,
            ).item()  # fmt: skip
            assert found == pytest.approx(expected, rel=tolerance, abs=tolerance)


@given(thetas, st.integers(0, 3), st.integers(0, 3), st.floats(1e-5, 5), st.floats(1e-5, 5))
@settings(deadline=None)
def test_closed_form_of_two_tips(theta, first, second, up, down):
    tree = parse_newick(f"(a:{up!r},b:{down!r});")
    expected = two_tips(first, second, up + down, theta)
    for kernel in KERNELS:
        found = column_log_likelihood(
            states_of([[first, second]]), torch.tensor([theta], dtype=torch.float64), tree,
            kernel=kernel,
        )  # fmt: skip
        assert found.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@every_model
@every_kernel
def test_one_tip(kernel, model):
    theta = torch.tensor([[0.1, -1, 0.4, 2]] * 3, dtype=torch.float64)
    states = states_of([[2], [5], [3]])
    for text in ("a;", "((a:1):2);"):
        value, gradient = value_and_gradient(states, theta, parse_newick(text), kernel, model)
        log_pi = np.log(rate_matrix_and_frequencies(model, theta[0])[1])
        np.testing.assert_allclose(value, [log_pi[2], 0, log_pi[3]], atol=1e-12)
        assert gradient[1].abs().max() == 0


# invariance


def equal_likelihoods(first: str, second: str, columns: int = 20, missing: float = 0.2):
    rng = np.random.default_rng(5)
    one, two = parse_newick(first), parse_newick(second)
    states = random_columns(rng, columns, one, missing)
    states[rng.random(states.shape) < 0.4] = 2
    theta = torch.from_numpy(rng.normal(-0.5, 1, (columns, 4)))
    order = [one.tips.index(name) for name in two.tips]
    for kernel in KERNELS:
        for model in MODELS:
            a = value_and_gradient(states, theta, one, kernel, model)
            b = value_and_gradient(states[:, order], theta, two, kernel, model)
            np.testing.assert_allclose(a[0], b[0], rtol=1e-10, atol=1e-11)
            np.testing.assert_allclose(a[1], b[1], rtol=1e-8, atol=1e-9)


def test_order_of_tips():
    equal_likelihoods(
        "((a:1,b:0.2):0.3,(c:0.1,d:2):0.4,e:0.7);", "(e:0.7,(d:2,c:0.1):0.4,(b:0.2,a:1):0.3);"
    )


def test_place_of_the_root():
    unrooted = "((a:1,b:0.2):0.3,(c:0.1,d:2):0.4,e:0.7);"
    equal_likelihoods(unrooted, "(a:0.4,(b:0.2,((c:0.1,d:2):0.4,e:0.7):0.3):0.6);")
    equal_likelihoods(unrooted, "(((a:1,b:0.2):0.3,(c:0.1,d:2):0.4):0.5,e:0.2);")
    equal_likelihoods("(a:0.5,b:1);", "(a:1.5,b:0);")


def test_polytomies_are_binary_trees_with_zero_lengths():
    equal_likelihoods("(a:1,b:0.2,c:0.1,d:2,e:0.7);", "((a:1,(b:0.2,c:0.1):0):0,(d:2,e:0.7):0);")


def test_single_child_nodes_join_their_branches():
    equal_likelihoods(
        "((((a:0.25):0.75):0,b:0.2):0.3,((c:0.1):0.4):1,e:0.7);",
        "((a:1,b:0.2):0.3,c:1.5,e:0.7);",
    )


@every_model
def test_missing_tips_are_pruned_tips(model):
    tree = parse_newick("((a:1,b:0.2):0.3,((c:0.1,d:2):0.4,f:1):0.2,e:0.7);")
    rng = np.random.default_rng(2)
    states = random_columns(rng, 30, tree, missing=0)
    theta = torch.from_numpy(rng.normal(0, 1, (30, 4)))
    for absent in (["a"], ["c", "d"], ["a", "b", "e"], ["a", "b", "c", "d", "e"]):
        kept = [index for index, name in enumerate(tree.tips) if name not in absent]
        masked = states.clone()
        masked[:, [index for index in range(tree.n_tips) if index not in kept]] = 6
        pruned = tree.prune([tree.tips[index] for index in kept])
        for kernel in KERNELS:
            a = value_and_gradient(masked, theta, tree, kernel, model)
            b = value_and_gradient(states[:, kept], theta, pruned, kernel, model)
            np.testing.assert_allclose(a[0], b[0], rtol=1e-10)
            np.testing.assert_allclose(a[1], b[1], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("code", [4, 5, 6, 7, 8, 255])
def test_every_other_code_is_missing(code):
    tree = parse_newick("((a:1,b:0.2):0.3,c:0.4);")
    theta = torch.tensor([[0.1, 0.2, -1, 0.5]])
    for kernel in KERNELS:
        a = column_log_likelihood(states_of([[0, code, 2]]), theta, tree, kernel=kernel)
        b = column_log_likelihood(states_of([[0, 4, 2]]), theta, tree, kernel=kernel)
        assert a.item() == b.item()


# gradients


GRADIENT_TREE = "((a:1,b:0.2):0.3,(c:0.1,(d:2,g:1e-6):0):0.4,(e:0.7):0.1,f:0);"


@every_model
@every_kernel
def test_gradient_is_the_central_difference(kernel, model):
    tree = parse_newick(GRADIENT_TREE)
    rng = np.random.default_rng(7)
    states = random_columns(rng, 24, tree)
    theta = torch.from_numpy(rng.normal(-1, 1.5, (24, 4)))
    theta[0] = -1.0  # equal fitnesses
    made = make_model(model)
    gradient = value_and_gradient(states, theta, tree, kernel, made)[1]
    plan, step = make_plan(tree), 1e-5
    for base in range(4):
        shift = torch.zeros(4, dtype=torch.float64)
        shift[base] = step
        with torch.no_grad():
            up = column_log_likelihood(states, theta + shift, plan, made, kernel=kernel)
            down = column_log_likelihood(states, theta - shift, plan, made, kernel=kernel)
        numeric = (up - down) / (2 * step)
        np.testing.assert_allclose(gradient[:, base], numeric, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("model", [name for name in MODELS if name != "f81"])
@every_kernel
def test_gradient_of_shared_parameters_is_the_central_difference(kernel, model):
    tree = parse_newick(GRADIENT_TREE)
    rng = np.random.default_rng(8)
    states = random_columns(rng, 40, tree)
    theta = torch.from_numpy(rng.normal(-1, 1.5, (40, 4)))
    weights = torch.from_numpy(rng.normal(size=40))
    made, step = make_model(model), 1e-5

    def total() -> torch.Tensor:
        return column_log_likelihood(states, theta, tree, made, kernel=kernel) @ weights

    parameters = list(made.parameters())
    found = torch.autograd.grad(total(), parameters)
    for parameter, gradient in zip(parameters, found, strict=True):
        flat = parameter.detach().view(-1)
        for index in range(len(flat)):
            values = []
            for sign in (1, -1):
                flat[index] += sign * step
                values.append(total().item())
                flat[index] -= sign * step
            numeric = (values[0] - values[1]) / (2 * step)
            assert gradient.view(-1)[index].item() == pytest.approx(numeric, rel=1e-5, abs=1e-6)


@every_model
@every_kernel
def test_gradient_is_scaled_by_what_follows(kernel, model):
    tree = parse_newick("(a:1,b:0.2,c:0.3);")
    states = states_of([[0, 1, 2], [1, 1, 1]])
    theta = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    made = make_model(model)
    plain = value_and_gradient(states, theta, tree, kernel, made)[1]
    theta.requires_grad_()
    weights = torch.tensor([3.0, -0.5], dtype=torch.float64)
    (column_log_likelihood(states, theta, tree, made, kernel=kernel) * weights).sum().backward()
    torch.testing.assert_close(theta.grad, plain * weights[:, None])
