"""The halved network against the dense one, which is its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from random_networks import random_network

from phylotools.model.halved import halved_theta, suits
from phylotools.model.halved.function import stored_parameters
from phylotools.model.halved.layout import CHUNK
from phylotools.model.network import ByteNet
from phylotools.model.presets import PRESETS, ModelSpec

pytestmark = pytest.mark.usefixtures("one_thread")
COMPLEMENT = torch.tensor([3, 2, 1, 0, 4, 5])
SPEC = ModelSpec(64, 32, 5, (1, 3, 2))
#: Every number of taps, halves of one, two and three vectors, narrow stages no narrower than wide.
SPECS = [
    SPEC,
    ModelSpec(32, 32, 3, (7,)),
    ModelSpec(96, 64, 7, (2, 1)),
    ModelSpec(64, 96, 1, (1, 1)),
    ModelSpec(128, 64, 5, (1, 3, 1, 9, 1, 9, 1, 24)),
]


def random_tokens(windows: int, positions: int, spec: ModelSpec = SPEC, seed: int = 1):
    generator = torch.Generator().manual_seed(seed)
    shape = windows, positions + spec.receptive_field - 1
    return torch.randint(0, 6, shape, generator=generator)


def weights_of_loss(theta: torch.Tensor) -> torch.Tensor:
    return torch.randn(theta.shape, generator=torch.Generator().manual_seed(2)).to(theta)


def value_and_gradients(network: ByteNet, compute, tokens: torch.Tensor):
    theta = compute(tokens)
    loss = (theta * weights_of_loss(theta)).sum() + theta.square().sum()
    return theta.detach(), torch.autograd.grad(loss, list(network.parameters()))


@pytest.mark.parametrize("positions", [1, 7, CHUNK + 3, 200])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.channels}-{spec.kernel_size}")
def test_value_and_gradients_are_those_of_the_dense_network(spec, positions):
    network = random_network(spec)
    exact = random_network(spec).double()
    tokens = random_tokens(3, positions, spec)
    theta, gradients = value_and_gradients(
        network, lambda tokens: halved_theta(network, tokens), tokens
    )
    wanted, wanted_gradients = value_and_gradients(exact, exact.dense, tokens)
    assert wanted.std() > 0.1
    torch.testing.assert_close(theta.double(), wanted, rtol=0, atol=1e-5)
    for (name, parameter), found, expected in zip(
        network.named_parameters(), gradients, wanted_gradients, strict=True
    ):
        assert found.shape == parameter.shape
        assert expected.abs().max() > 0, name
        error = (found.double() - expected).abs().max() / expected.abs().max()
        assert error < 2e-5, f"{name}: {error}"


def test_gradient_along_a_direction_is_the_slope_of_the_exact_loss():
    network, exact = random_network(SPEC), random_network(SPEC).double()
    tokens = random_tokens(2, 40)
    _, gradients = value_and_gradients(network, lambda t: halved_theta(network, t), tokens)
    parameters = list(exact.parameters())
    generator = torch.Generator().manual_seed(5)
    for _ in range(3):
        direction = [torch.randn(p.shape, generator=generator).double() for p in parameters]
        losses = []
        for step in (1e-5, -2e-5):
            with torch.no_grad():
                for parameter, along in zip(parameters, direction, strict=True):
                    parameter.add_(along, alpha=step)
                theta = exact.dense(tokens)
                losses.append((theta * weights_of_loss(theta)).sum() + theta.square().sum())
        with torch.no_grad():
            for parameter, along in zip(parameters, direction, strict=True):
                parameter.add_(along, alpha=1e-5)
        slope = (losses[0] - losses[1]).item() / 2e-5
        found = sum((g.double() * d).sum() for g, d in zip(gradients, direction, strict=True))
        assert found.item() == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.channels}-{spec.kernel_size}")
def test_reverse_complement_equivariance_to_the_bit(spec):
    network, tokens = random_network(spec), random_tokens(2, 50, spec)
    with torch.no_grad():
        theta = halved_theta(network, tokens)
        back = halved_theta(network, COMPLEMENT[tokens].flip(1)).flip(1, 2)
    assert torch.equal(back, theta)


def test_a_deep_preset_whose_context_is_longer_than_its_window():
    spec = PRESETS["phylogpn2"]
    network, exact = random_network(spec), random_network(spec).double()
    tokens = random_tokens(1, 5, spec)
    theta, gradients = value_and_gradients(network, lambda t: halved_theta(network, t), tokens)
    wanted, wanted_gradients = value_and_gradients(exact, exact.dense, tokens)
    assert wanted.std() > 0.1
    torch.testing.assert_close(theta.double(), wanted, rtol=0, atol=2e-5)
    for found, expected in zip(gradients, wanted_gradients, strict=True):
        assert (found.double() - expected).abs().max() < 5e-5 * expected.abs().max()
    with torch.no_grad():
        back = halved_theta(network, COMPLEMENT[tokens].flip(1)).flip(1, 2)
    assert torch.equal(back, theta)


def test_a_window_does_not_know_of_its_neighbours_nor_of_threads():
    network, tokens = random_network(SPEC), random_tokens(5, 60)
    theta = halved_theta(network, tokens)
    for window in range(5):
        assert torch.equal(halved_theta(network, tokens[window : window + 1])[0], theta[window])
    assert torch.equal(halved_theta(network, tokens[:, 4:-9]), theta[:, 4:-9])
    _, alone = value_and_gradients(network, lambda t: halved_theta(network, t), tokens)
    torch.set_num_threads(2)
    try:
        shared, together = value_and_gradients(network, lambda t: halved_theta(network, t), tokens)
    finally:
        torch.set_num_threads(1)
    assert torch.equal(shared, theta)
    for one, two in zip(alone, together, strict=True):
        torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-4 * one.abs().max().item())


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_not_wanted_is_zero_and_the_rest_the_same_bits(threads):
    network, tokens = random_network(SPEC), random_tokens(5, 60)
    spans = [[0, 60], [7, 30], [20, 20], [0, 0], [59, 60]]
    mask = torch.zeros(5, 60, 1)
    for row, (start, end) in enumerate(spans):
        mask[row, start:end] = 1
    torch.set_num_threads(threads)
    try:
        found, gradients = value_and_gradients(
            network, lambda t: halved_theta(network, t, torch.tensor(spans)), tokens
        )
        wanted, wanted_gradients = value_and_gradients(
            network, lambda t: halved_theta(network, t) * mask, tokens
        )
    finally:
        torch.set_num_threads(1)
    assert torch.equal(found, wanted)
    for one, two in zip(gradients, wanted_gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4 * two.abs().max().item())


def test_all_parameters_but_the_embedding_in_their_order():
    network = random_network(SPEC)
    wanted = [p for name, p in network.named_parameters() if not name.startswith("embedding.")]
    found = stored_parameters(network)
    assert [id(parameter) for parameter in found] == [id(parameter) for parameter in wanted]


def test_a_batch_of_which_nothing_is_wanted():
    network, tokens = random_network(SPEC), random_tokens(2, 9)
    theta, gradients = value_and_gradients(
        network, lambda t: halved_theta(network, t, torch.zeros(2, 2, dtype=torch.int64)), tokens
    )
    assert not theta.any()
    assert not any(gradient.any() for gradient in gradients)


def test_same_bits_without_a_gradient_and_again():
    network, tokens = random_network(SPEC), random_tokens(3, 70)
    theta, gradients = value_and_gradients(network, lambda t: halved_theta(network, t), tokens)
    with torch.no_grad():
        assert torch.equal(halved_theta(network, tokens), theta)
    # The second batch gets the first one's memory.
    again, gradients_again = value_and_gradients(
        network, lambda t: halved_theta(network, t), tokens
    )
    assert torch.equal(again, theta)
    assert all(torch.equal(a, b) for a, b in zip(gradients, gradients_again, strict=True))


def test_batches_in_flight_do_not_share_memory():
    network = random_network(SPEC)
    tokens = [random_tokens(2, 30, seed=seed) for seed in range(3)]
    alone = [value_and_gradients(network, lambda t: halved_theta(network, t), t) for t in tokens]
    thetas = [halved_theta(network, t) for t in tokens]
    for theta, (wanted, gradients) in zip(thetas, alone, strict=True):
        assert torch.equal(theta, wanted)
        loss = (theta * weights_of_loss(theta)).sum() + theta.square().sum()
        found = torch.autograd.grad(loss, list(network.parameters()))
        assert all(torch.equal(a, b) for a, b in zip(found, gradients, strict=True))


def test_the_gradient_is_taken_once():
    network = random_network(SPEC)
    loss = halved_theta(network, random_tokens(1, 5)).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        loss.backward()


@pytest.mark.parametrize("token", [-1, 6])
def test_no_token_is_read_beyond_the_table(token):
    tokens = random_tokens(2, 5)
    tokens[1, 3] = token
    with pytest.raises(IndexError):
        halved_theta(random_network(SPEC), tokens)


def test_nan_reaches_its_own_window_alone():
    network, tokens = random_network(SPEC), random_tokens(2, 20) % 4
    tokens[1] %= 2
    tokens[0, 5] = 4
    with torch.no_grad():
        network.embedding.weight[4] = torch.nan
        theta = halved_theta(network, tokens)
    assert theta[0, 5].isnan().all()
    assert theta[1].isfinite().all()


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (PRESETS["small"], True),
        (PRESETS["medium"], True),
        (PRESETS["phylogpn"], True),
        (PRESETS["phylogpn2"], True),
        (PRESETS["tiny"], False),
        (ModelSpec(64, 32, norm="group"), False),
        (ModelSpec(64, 32, tied_norm=False), False),
        (ModelSpec(12, 32), False),
    ],
)
def test_what_suits(spec, wanted):
    assert suits(spec) is wanted


@pytest.mark.parametrize("spec", [SPEC, ModelSpec(64, 32, norm="group"), ModelSpec(12, 6)])
def test_training_takes_it_where_it_suits(spec):
    network, tokens = random_network(spec), random_tokens(2, 30, spec)
    way = halved_theta if suits(spec) else ByteNet.dense
    assert torch.equal(network(tokens), way(network, tokens))


def test_other_numbers_and_double_gradients_take_the_dense_one():
    network, tokens = random_network(SPEC).double(), random_tokens(2, 9)
    assert torch.equal(network(tokens), network.dense(tokens))


def test_it_learns_what_the_dense_network_learns():
    tokens = random_tokens(4, 40)
    losses = []
    for way in ("dense", "forward"):
        network = random_network(SPEC)
        optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
        for _ in range(10):
            optimiser.zero_grad()
            theta = getattr(network, way)(tokens)
            loss = (theta - weights_of_loss(theta)).square().mean()
            loss.backward()
            optimiser.step()
        losses.append(loss.item())
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
