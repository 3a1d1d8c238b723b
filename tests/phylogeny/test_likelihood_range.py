"""The likelihood at the ends of its range: many tips, many columns, extreme rates, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from likelihood_cases import (
    KERNELS,
    MODELS,
    make_model,
    oracle,
    oracle_values,
    random_columns,
    rate_matrix_and_frequencies,
    states_of,
    value_and_gradient,
)
from scipy.linalg import expm

from phylotools import threads
from phylotools.errors import PhylotoolsError
from phylotools.phylogeny.likelihood import (
    column_log_likelihood,
    log_reference_frequency,
)
from phylotools.phylogeny.tree import parse_newick

pytestmark = pytest.mark.usefixtures("one_thread")
every_kernel = pytest.mark.parametrize("kernel", KERNELS)
every_model = pytest.mark.parametrize("model", MODELS)


# both kernels, many tips, many columns


@pytest.mark.parametrize("columns", [0, 1, 31, 32, 33, 131])
@every_model
def test_kernels_agree_whatever_the_number_of_columns(columns, model):
    tree = parse_newick("((a:1,b:0.2):0.3,(c:0.1,d:2,f:0.4):0.4,e:0.7);")
    rng = np.random.default_rng(columns)
    states = random_columns(rng, columns, tree)
    theta = torch.from_numpy(rng.normal(0, 1, (columns, 4)).astype(np.float32))
    made = make_model(model)
    a = value_and_gradient(states, theta, tree, "cpu", made)
    b = value_and_gradient(states, theta, tree, "reference", made)
    np.testing.assert_allclose(a[0], b[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(a[1], b[1], rtol=1e-4, atol=1e-5)
    single = [
        column_log_likelihood(states[i : i + 1], theta[i : i + 1], tree, made).item()
        for i in range(columns)
    ]
    # To rounding: which species its neighbours have decides how a column's tree is pruned.
    np.testing.assert_allclose(single, a[0], rtol=1e-6, atol=1e-6)


@every_model
@every_kernel
def test_671_mammals_never_underflow_float32(mammals, kernel, model):
    rng = np.random.default_rng(3)
    columns = 6 if kernel == "cpu" else 2
    states = random_columns(rng, columns, mammals)
    states[:2] = torch.from_numpy(rng.integers(0, 4, (2, 671)).astype(np.uint8))
    theta = torch.from_numpy(rng.normal(-0.5, 1, (columns, 4)))
    exact = oracle_values(mammals, states, theta, model)
    assert min(exact) < -600
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        value, gradient = value_and_gradient(states, theta.to(dtype), mammals, kernel, model)
        np.testing.assert_allclose(value, exact, rtol=tolerance)
        assert torch.isfinite(gradient).all()
    double = value_and_gradient(states, theta, mammals, "cpu", model)[1]
    np.testing.assert_allclose(gradient, double, rtol=1e-3, atol=1e-2)


@every_kernel
@pytest.mark.parametrize("model", ["f81", "mutation-selection"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_star_of_many_tips_never_underflows(kernel, model, dtype):
    """Halves of the tips make every base but one impossible in turn, without a branch between."""
    n_tips = 300
    tree = parse_newick("(" + ",".join(f"t{i}:0.001" for i in range(n_tips)) + ");")
    states = torch.zeros(2, n_tips, dtype=torch.uint8)
    states[0, n_tips // 2 :] = 1
    states[1, n_tips // 3 :], states[1, 2 * n_tips // 3 :] = 2, 3
    theta = torch.tensor([[0.2, 0.0, -0.4, -1.0]] * 2, dtype=torch.float64)
    exact = [_log_star(n_tips, states[i], theta[i], model) for i in range(2)]
    assert max(exact) < -900
    value, gradient = value_and_gradient(states, theta.to(dtype), tree, kernel, model)
    np.testing.assert_allclose(value, exact, rtol=1e-5)
    assert torch.isfinite(gradient).all()


def _log_star(n_tips: int, column, theta, model: str) -> float:
    """log sum_a pi_a prod_i P[a, x_i] of a star, in logarithms."""
    q, pi = rate_matrix_and_frequencies(model, theta)
    log_p = np.log(expm(q * 0.001))[:, column.numpy()].sum(axis=1)
    return float(np.logaddexp.reduce(np.log(pi) + log_p))


@pytest.mark.parametrize("shape", ["caterpillar", "balanced"])
def test_2000_tips_never_underflow_float32(shape):
    rng = np.random.default_rng(4)
    parts = [f"t{i}:0.1" for i in range(2000)]
    while len(parts) > 1:
        if shape == "caterpillar":
            parts = _comb(parts)
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
    rng = np.random.default_rng(6)
    states = random_columns(rng, 300, mammals)
    theta = torch.from_numpy(rng.normal(-1, 1, (300, 4)).astype(np.float32))
    one = value_and_gradient(states, theta, mammals)
    threads.set_threads(2)
    try:
        two = value_and_gradient(states, theta, mammals)
    finally:
        threads.set_threads(1)
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])


# the edges


@every_model
@every_kernel
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_missing_is_exactly_zero(mammals, kernel, model, dtype):
    tree = mammals.prune(mammals.tips[:40])
    states = torch.full((3, tree.n_tips), 6, dtype=torch.uint8)
    states[1, 5] = 2
    theta = torch.tensor([[0.3, -2, 1, 0.2]] * 3, dtype=dtype)
    made = make_model(model)
    value, gradient = value_and_gradient(states, theta, tree, kernel, made)
    assert value[0] == value[2] == 0
    assert gradient[[0, 2]].abs().max() == 0
    wanted = log_reference_frequency(states[:, 5], theta, made)[1].detach()
    torch.testing.assert_close(value[1], wanted)
    value = column_log_likelihood(states[:1], theta[:1], tree, made, kernel=kernel)
    assert value.item() == 0


@every_model
@every_kernel
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_conflict_at_zero_length_is_minus_infinity(kernel, model, dtype):
    tree = parse_newick("((a:0,b:0):0.1,(c:0,d:0.2):0,e:1);")
    states = states_of([[0, 1, 2, 2, 2], [0, 0, 2, 2, 2], [0, 3, 1, 2, 4], [0, 4, 1, 2, 3]])
    theta = torch.tensor([[0.3, -2, 1, 0.2]] * 4, dtype=dtype)
    value, gradient = value_and_gradient(states, theta, tree, kernel, model)
    assert torch.equal(value == -math.inf, torch.tensor([True, False, True, False]))
    assert gradient[[0, 2]].abs().max() == 0
    assert torch.isfinite(gradient).all()
    exact = oracle(tree, states[3], theta[3].double().numpy(), model)
    assert value[3].item() == pytest.approx(exact, rel=1e-5)


@every_model
@every_kernel
def test_extreme_theta_is_finite_in_float32(kernel, model):
    tree = parse_newick("((a:0.1,b:1e-6):1e-6,(c:0.1,d:2,f:1e-6):0.4,e:0.7);")
    signs = np.array(np.meshgrid(*[[-80.0, 0.0, 80.0]] * 4)).reshape(4, -1).T
    theta = torch.from_numpy(signs)
    states = states_of([[0, 1, 2, 3, 0, 1]] * len(theta))
    exact, slope = value_and_gradient(states, theta, tree, "cpu", model)
    value, gradient = value_and_gradient(states, theta.float(), tree, kernel, model)
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()
    np.testing.assert_allclose(value, exact, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gradient, slope, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("log_rate", range(-40, -4, 4))
@pytest.mark.parametrize("model", ["f81", "hky", "mutation-selection"])
@every_kernel
def test_slow_sites_with_substitutions_in_float32(mammals, kernel, model, log_rate):
    tree = mammals if kernel == "cpu" else mammals.prune(mammals.tips[::8])
    rng = np.random.default_rng(8)
    states = random_columns(rng, 3, tree)
    theta = torch.from_numpy(rng.normal(log_rate, 1, (3, 4)))
    exact, slope = value_and_gradient(states, theta, tree, "cpu", model)
    wanted = oracle(tree, states[0], theta[0].numpy(), model)
    assert exact[0].item() == pytest.approx(wanted, rel=1e-7)
    value, gradient = value_and_gradient(states, theta.float(), tree, kernel, model)
    np.testing.assert_allclose(value, exact, rtol=1e-5)
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


@pytest.mark.parametrize("model", [name for name in MODELS if name != "f81"])
def test_shared_parameters_must_be_finite(model):
    made = make_model(model)
    with torch.no_grad():
        next(iter(made.parameters())).view(-1)[0] = math.nan
    with pytest.raises(PhylotoolsError, match="not finite"):
        column_log_likelihood(
            states_of([[0, 1]]), torch.zeros(1, 4), parse_newick("(a:1,b:1);"), made
        )


@every_model
def test_a_reference_base_beyond_the_bounds_earns_nothing(model):
    """The likelihood bounds theta; what is subtracted from it must be bounded alike."""
    tree = parse_newick("(a:0.1,b:0.2);")
    made = make_model(model)
    theta = torch.tensor([[-1000.0, 0, 0, 0]], dtype=torch.float64)
    states = states_of([[0, 4]])
    column = column_log_likelihood(states, theta, tree, made)
    assert (column - log_reference_frequency(states[:, 0], theta, made)).item() == pytest.approx(
        0, abs=1e-6
    )


def test_unknown_kernel():
    with pytest.raises(PhylotoolsError, match="kernel"):
        column_log_likelihood(
            states_of([[0, 1]]), torch.zeros(1, 4), parse_newick("(a:1,b:1);"), kernel="abacus"
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
