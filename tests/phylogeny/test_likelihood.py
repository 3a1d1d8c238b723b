from __future__ import annotations

import json
import math

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_likelihood import (
    Node,
    brute_force,
    equilibrium,
    f81_rate_matrix,
    newick,
    pruning,
    tip_names,
    two_tips,
)

from phylotools.errors import PhylotoolsError
from phylotools.phylogeny.likelihood import (
    column_log_likelihood,
    log_reference_frequency,
    make_plan,
)
from phylotools.phylogeny.tree import Tree, parse_newick

pytestmark = pytest.mark.usefixtures("one_thread")
KERNELS = ["cpu", "reference"]
BASES = "ACGT"


def states_of(rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.uint8).reshape(len(rows), -1)


def value_and_gradient(states, theta, tree, kernel="auto"):
    theta = theta.clone().requires_grad_()
    value = column_log_likelihood(states, theta, tree, kernel=kernel)
    (gradient,) = torch.autograd.grad(value.sum(), theta)
    return value.detach(), gradient


def oracle(tree: Tree, column, theta) -> float:
    """The plain pruning of the oracles folder on a parsed tree."""
    states = {int(node): int(state) for node, state in zip(tree.tip_nodes, column, strict=True)}
    return pruning(
        tree.parent.tolist(), tree.branch_length.tolist(), states,
        f81_rate_matrix(theta), equilibrium(theta),
    )  # fmt: skip


def oracle_values(tree: Tree, states, theta) -> list[float]:
    return [oracle(tree, column, site) for column, site in zip(states, theta.numpy(), strict=True)]


def random_columns(rng, columns: int, tree: Tree, missing: float = 0.2) -> torch.Tensor:
    """Columns with some agreement between species, and with every missing code."""
    own = rng.integers(0, 4, (columns, 1))
    states = np.where(rng.random((columns, tree.n_tips)) < 0.7, own, rng.integers(0, 4))
    codes = rng.integers(4, 8, states.shape)
    return torch.from_numpy(
        np.where(rng.random(states.shape) < missing, codes, states).astype(np.uint8)
    )


@pytest.fixture(scope="module")
def mammals(data) -> Tree:
    tree = parse_newick((data / "mammals671" / "mammals671.nh").read_text())
    return tree.with_minimum_branch_length(1e-6)


# independent values


def iqtree_columns(folder) -> tuple[Tree, torch.Tensor]:
    tree = parse_newick((folder / "tree.nh").read_text())
    records = (folder / "alignment.fa").read_text().split(">")[1:]
    rows = {r.split("\n", 1)[0].split()[0]: r.split("\n", 1)[1].replace("\n", "") for r in records}
    lookup = {base: code for code, base in enumerate(BASES)}
    states = [[lookup.get(base.upper(), 5) for base in rows[name]] for name in tree.tips]
    return tree, torch.tensor(states, dtype=torch.uint8).T.contiguous()


@pytest.mark.parametrize("case", range(3))
@pytest.mark.parametrize("kernel", KERNELS)
def test_iqtree_and_float64_values(data, kernel, case):
    folder = data / "oracle_likelihood"
    tree, states = iqtree_columns(folder)
    wanted = json.loads((folder / "expected.json").read_text())["cases"][case]
    assert wanted["model"] == "F81"
    pi = np.array(wanted["equilibrium_frequencies_ACGT"])
    theta = np.log(pi * wanted["branch_scale"] / (1 - (pi**2).sum()))
    expected = np.array(wanted["site_log_likelihood_float64"])
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
        tensor = torch.tensor(theta, dtype=dtype).expand(len(states), 4)
        found = column_log_likelihood(states, tensor, tree, kernel=kernel)
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


@settings(max_examples=40, deadline=None)
@given(small_trees(), thetas, st.data())
def test_brute_force_over_ancestral_bases(tree, theta, data):
    names = tip_names(tree)
    column = [data.draw(st.sampled_from([0, 1, 2, 3, 0, 5])) for _ in names]
    expected = brute_force(tree, dict(zip(names, column, strict=True)), theta)
    for kernel in KERNELS:
        for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
            found = column_log_likelihood(
                states_of([column]), torch.tensor([theta], dtype=dtype),
                parse_newick(newick(tree)), kernel=kernel,
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


@pytest.mark.parametrize("kernel", KERNELS)
def test_one_tip(kernel):
    theta = torch.tensor([[0.1, -1, 0.4, 2]] * 3, dtype=torch.float64)
    states = states_of([[2], [5], [3]])
    for text in ("a;", "((a:1):2);"):
        value, gradient = value_and_gradient(states, theta, parse_newick(text), kernel)
        log_pi = np.log(equilibrium(theta[0].numpy()))
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
        a = value_and_gradient(states, theta, one, kernel)
        b = value_and_gradient(states[:, order], theta, two, kernel)
        np.testing.assert_allclose(a[0], b[0], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(a[1], b[1], rtol=1e-8, atol=1e-10)


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


def test_missing_tips_are_pruned_tips():
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
            a = value_and_gradient(masked, theta, tree, kernel)
            b = value_and_gradient(states[:, kept], theta, pruned, kernel)
            np.testing.assert_allclose(a[0], b[0], rtol=1e-10)
            np.testing.assert_allclose(a[1], b[1], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("code", [4, 5, 6, 7, 8, 255])
def test_every_other_code_is_missing(code):
    tree = parse_newick("((a:1,b:0.2):0.3,c:0.4);")
    theta = torch.tensor([[0.1, 0.2, -1, 0.5]])
    for kernel in KERNELS:
        a = column_log_likelihood(states_of([[0, code, 2]]), theta, tree, kernel=kernel)
        b = column_log_likelihood(states_of([[0, 4, 2]]), theta, tree, kernel=kernel)
        assert a.item() == b.item()


# gradients


@pytest.mark.parametrize("kernel", KERNELS)
def test_gradient_is_the_central_difference(kernel):
    tree = parse_newick("((a:1,b:0.2):0.3,(c:0.1,(d:2,g:1e-6):0):0.4,(e:0.7):0.1,f:0);")
    rng = np.random.default_rng(7)
    states = random_columns(rng, 24, tree)
    theta = torch.from_numpy(rng.normal(-1, 1.5, (24, 4)))
    gradient = value_and_gradient(states, theta, tree, kernel)[1]
    plan, step = make_plan(tree), 1e-5
    for base in range(4):
        shift = torch.zeros(4, dtype=torch.float64)
        shift[base] = step
        up = column_log_likelihood(states, theta + shift, plan, kernel=kernel)
        down = column_log_likelihood(states, theta - shift, plan, kernel=kernel)
        numeric = (up - down) / (2 * step)
        np.testing.assert_allclose(gradient[:, base], numeric, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kernel", KERNELS)
def test_gradient_is_scaled_by_what_follows(kernel):
    tree = parse_newick("(a:1,b:0.2,c:0.3);")
    states = states_of([[0, 1, 2], [1, 1, 1]])
    theta = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    plain = value_and_gradient(states, theta, tree, kernel)[1]
    theta.requires_grad_()
    weights = torch.tensor([3.0, -0.5], dtype=torch.float64)
    (column_log_likelihood(states, theta, tree, kernel=kernel) * weights).sum().backward()
    torch.testing.assert_close(theta.grad, plain * weights[:, None])


# both kernels, many tips, many columns


@pytest.mark.parametrize("columns", [0, 1, 63, 64, 65, 131])
def test_kernels_agree_whatever_the_number_of_columns(columns):
    tree = parse_newick("((a:1,b:0.2):0.3,(c:0.1,d:2,f:0.4):0.4,e:0.7);")
    rng = np.random.default_rng(columns)
    states = random_columns(rng, columns, tree)
    theta = torch.from_numpy(rng.normal(0, 1, (columns, 4)).astype(np.float32))
    a = value_and_gradient(states, theta, tree, "cpu")
    b = value_and_gradient(states, theta, tree, "reference")
    np.testing.assert_allclose(a[0], b[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(a[1], b[1], rtol=1e-4, atol=1e-5)
    single = [
        column_log_likelihood(states[i : i + 1], theta[i : i + 1], tree) for i in range(columns)
    ]
    assert all(one.item() == value for one, value in zip(single, a[0], strict=True))


@pytest.mark.parametrize("kernel", KERNELS)
def test_671_mammals_never_underflow_float32(mammals, kernel):
    rng = np.random.default_rng(3)
    states = random_columns(rng, 6, mammals)
    states[0], states[1] = torch.from_numpy(rng.integers(0, 4, (2, 671)).astype(np.uint8))
    theta = torch.from_numpy(rng.normal(-0.5, 1, (6, 4)))
    exact = [
        oracle(mammals, column, site) for column, site in zip(states, theta.numpy(), strict=True)
    ]
    assert min(exact) < -600
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
        value, gradient = value_and_gradient(states, theta.to(dtype), mammals, kernel)
        np.testing.assert_allclose(value, exact, rtol=tolerance)
        assert torch.isfinite(gradient).all()
    double = value_and_gradient(states, theta, mammals, kernel)[1]
    np.testing.assert_allclose(gradient, double, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("shape", ["caterpillar", "balanced"])
def test_2000_tips_never_underflow_float32(shape):
    rng = np.random.default_rng(4)
    parts = [f"t{i}:0.1" for i in range(2000)]
    while len(parts) > 1:
        if shape == "caterpillar":
            parts = (
                [f"({parts[0]},{parts[1]}):0.01", *parts[2:]] if len(parts) < 0 else _comb(parts)
            )
        else:
            pairs = [f"({a},{b}):0.05" for a, b in zip(parts[::2], parts[1::2], strict=False)]
            parts = pairs + parts[len(pairs) * 2 :]
    tree = parse_newick(parts[0] + ";")
    states = torch.from_numpy(rng.integers(0, 4, (2, 2000)).astype(np.uint8))
    theta = torch.tensor([[0.0, -1, 0.5, -0.3], [-4, -3, -3, -5]])
    value, gradient = value_and_gradient(states, theta, tree, "cpu")
    exact = oracle_values(tree, states, theta)
    np.testing.assert_allclose(value, exact, rtol=1e-4)
    assert torch.isfinite(gradient).all()


def _comb(parts: list[str]) -> list[str]:
    return ["(" * (len(parts) - 1) + parts[0] + "".join(f",{p}):0.01" for p in parts[1:])]


def test_thread_counts_give_the_same_numbers(mammals):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one core")
    rng = np.random.default_rng(6)
    states = random_columns(rng, 300, mammals)
    theta = torch.from_numpy(rng.normal(-1, 1, (300, 4)).astype(np.float32))
    one = value_and_gradient(states, theta, mammals)
    numba.set_num_threads(2)
    try:
        two = value_and_gradient(states, theta, mammals)
    finally:
        numba.set_num_threads(1)
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])


# the edges


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_missing_is_exactly_zero(mammals, kernel, dtype):
    states = torch.full((3, mammals.n_tips), 6, dtype=torch.uint8)
    states[1, 5] = 2
    theta = torch.tensor([[0.3, -2, 1, 0.2]] * 3, dtype=dtype)
    value, gradient = value_and_gradient(states, theta, mammals, kernel)
    assert value[0] == value[2] == 0
    assert gradient[[0, 2]].abs().max() == 0
    torch.testing.assert_close(value[1], log_reference_frequency(states[:, 5], theta)[1])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_conflict_at_zero_length_is_minus_infinity(kernel, dtype):
    tree = parse_newick("((a:0,b:0):0.1,(c:0,d:0.2):0,e:1);")
    states = states_of([[0, 1, 2, 2, 2], [0, 0, 2, 2, 2], [0, 3, 1, 2, 4], [0, 4, 1, 2, 3]])
    theta = torch.tensor([[0.3, -2, 1, 0.2]] * 4, dtype=dtype)
    value, gradient = value_and_gradient(states, theta, tree, kernel)
    assert torch.equal(value == -math.inf, torch.tensor([True, False, True, False]))
    assert gradient[[0, 2]].abs().max() == 0
    assert torch.isfinite(gradient).all()
    exact = oracle(tree, states[3], theta[3].double().numpy())
    assert value[3].item() == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_extreme_theta_is_finite_in_float32(kernel):
    tree = parse_newick("((a:0.1,b:1e-6):1e-6,(c:0.1,d:2,f:1e-6):0.4,e:0.7);")
    signs = np.array(np.meshgrid(*[[-80.0, 0.0, 80.0]] * 4)).reshape(4, -1).T
    theta = torch.from_numpy(signs)
    states = states_of([[0, 1, 2, 3, 0, 1]] * len(theta))
    exact, slope = value_and_gradient(states, theta, tree, "cpu")
    value, gradient = value_and_gradient(states, theta.float(), tree, kernel)
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()
    np.testing.assert_allclose(value, exact, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gradient, slope, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("log_rate", range(-40, -4, 3))
@pytest.mark.parametrize("kernel", KERNELS)
def test_slow_sites_with_substitutions_in_float32(mammals, kernel, log_rate):
    rng = np.random.default_rng(8)
    states = random_columns(rng, 3, mammals)
    theta = torch.from_numpy(rng.normal(log_rate, 1, (3, 4)))
    exact, slope = value_and_gradient(states, theta, mammals, "cpu")
    wanted = oracle(mammals, states[0], theta[0].numpy())
    assert exact[0].item() == pytest.approx(wanted, rel=1e-7)
    value, gradient = value_and_gradient(states, theta.float(), mammals, kernel)
    np.testing.assert_allclose(value, exact, rtol=1e-4)
    np.testing.assert_allclose(gradient, slope, rtol=1e-2, atol=0.2)


@pytest.mark.parametrize("kernel", KERNELS)
def test_wrong_input_is_refused(kernel):
    tree = parse_newick("(a:1,b:1,c:1);")
    states, theta = states_of([[0, 1, 2]]), torch.zeros(1, 4)
    bad = [
        (states, torch.tensor([[0.0, math.nan, 0, 0]])),
        (states, torch.tensor([[0.0, math.inf, 0, 0]])),
        (states, torch.zeros(1, 3)),
        (states, torch.zeros(2, 4)),
        (states, torch.zeros(4)),
        (states, torch.zeros(1, 4, dtype=torch.float16)),
        (states[:, :2], theta),
        (states[0], theta),
        (states.long(), theta),
    ]
    for wrong_states, wrong_theta in bad:
        with pytest.raises(PhylotoolsError):
            column_log_likelihood(wrong_states, wrong_theta, tree, kernel=kernel)


def test_unknown_kernel():
    with pytest.raises(PhylotoolsError, match="kernel"):
        column_log_likelihood(
            states_of([[0, 1]]), torch.zeros(1, 4), parse_newick("(a:1,b:1);"), kernel="gpu"
        )


def test_strided_input_is_read_as_it_is():
    tree = parse_newick("(a:1,b:0.5,c:0.2);")
    states = states_of([[0, 1, 2], [3, 3, 1]])
    theta = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    expected = column_log_likelihood(states, theta, tree)
    found = column_log_likelihood(states.T.contiguous().T, theta.T.contiguous().T, tree)
    assert torch.equal(found, expected)


def test_devices_agree(device, mammals):
    rng = np.random.default_rng(9)
    states = random_columns(rng, 70, mammals)
    theta = torch.from_numpy(rng.normal(-1, 1, (70, 4)).astype(np.float32))
    wanted = value_and_gradient(states, theta, mammals, "cpu")
    found = value_and_gradient(states.to(device), theta.to(device), mammals)
    np.testing.assert_allclose(found[0].cpu(), wanted[0], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found[1].cpu(), wanted[1], rtol=1e-3, atol=1e-2)
