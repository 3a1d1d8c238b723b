"""The frozen halved network: against the dense one, and the same bits however it is asked."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import random_network
from test_halved_network import COMPLEMENT, SPEC, SPECS, random_tokens

from phylotools.model.halved import frozen
from phylotools.model.network import ByteNet
from phylotools.model.presets import ModelSpec

pytestmark = pytest.mark.usefixtures("one_thread")
#: Halves that are no whole vectors, one channel alone, norms over positions, and norms of both
#: kinds with scales of their own for the two halves, as they have been published.
UNEVEN = [
    ModelSpec(60, 22, 5, (1, 3, 9)),
    ModelSpec(12, 6, 3, (2, 2)),
    ModelSpec(2, 2, 5, (1,)),
    ModelSpec(40, 70, 1, (1,)),
]
UNTIED = [ModelSpec(64, 32, 5, (1, 5), tied_norm=False), ModelSpec(60, 38, tied_norm=False)]
GROUP = [
    ModelSpec(64, 32, 5, (1, 5), "group"),
    ModelSpec(60, 22, 7, (1, 3), "group", tied_norm=False),
    ModelSpec(12, 40, 3, (4,), "group", tied_norm=False),
]
ALL = SPECS + UNEVEN + UNTIED + GROUP
TIED = SPECS + UNEVEN + GROUP[:1]
LAYER = SPEC, UNEVEN[0], UNTIED[0]


def name(spec: ModelSpec) -> str:
    kind = spec.norm + "-tied" * spec.tied_norm
    return f"{spec.channels}-{spec.bottleneck}-{spec.kernel_size}-{kind}"


def frozen_network(spec: ModelSpec = SPEC) -> ByteNet:
    return random_network(spec).freeze()


@pytest.mark.parametrize("spec", ALL, ids=name)
@pytest.mark.parametrize("positions", [1, 8, 120])
def test_theta_and_layers_are_those_of_the_dense_network(spec, positions):
    network, exact = frozen_network(spec), random_network(spec).double()
    tokens = random_tokens(3, positions, spec)
    with torch.no_grad():
        wanted = exact.dense(tokens)
        assert wanted.std() > 0.05
        torch.testing.assert_close(network(tokens).double(), wanted, rtol=0, atol=4e-6)
        for n_blocks in range(len(spec.dilations) + 1):
            for is_normed in (False, True):
                found = network.hidden(tokens, n_blocks, is_normed=is_normed)
                wanted = exact.dense_hidden(tokens, n_blocks, is_normed)
                torch.testing.assert_close(found.double(), wanted, rtol=0, atol=1e-5)
        assert torch.equal(network.hidden(tokens), found)
        assert torch.equal(network.embed(tokens), found)


@pytest.fixture(scope="module", params=LAYER, ids=name)
def whole(request):
    """A network, tokens, and the numbers of all their positions by one plain pass each."""
    network, tokens = frozen_network(request.param), random_tokens(4, 210, request.param)
    return network, tokens, network(tokens), network.hidden(tokens, 1)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_same_bits_in_any_window_batch_and_thread(whole, data):
    network, tokens, theta, hidden = whole
    rows = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=5))
    start = data.draw(st.integers(0, 209))
    end = data.draw(st.integers(start + 1, 210))
    spans = [sorted(data.draw(st.tuples(*[st.integers(0, end - start)] * 2))) for _ in rows]
    tokens = tokens[rows, start : end + network.spec.receptive_field - 1]
    with pytest.MonkeyPatch.context() as patch:
        # Small windows go the ways of large ones too: in groups, and shared out row by row.
        patch.setattr(frozen, "_LONG_WINDOW", data.draw(st.sampled_from([0, 1e12])))
        group = data.draw(st.sampled_from([0, 100_000, 1 << 30]))
        patch.setattr(frozen, "_GROUP_BYTES", {False: group})
        torch.set_num_threads(data.draw(st.integers(1, 4)))
        try:
            found = network(tokens), network.hidden(tokens, 1)
            parts = (
                network(tokens, torch.tensor(spans)),
                network.hidden(tokens, 1, wanted=torch.tensor(spans)),
            )
        finally:
            torch.set_num_threads(1)
    for all_of_it, values, part in zip((theta, hidden), found, parts, strict=True):
        assert torch.equal(values, all_of_it[rows, start:end])
        for row, (first, last) in enumerate(spans):
            assert torch.equal(part[row, first:last], values[row, first:last])


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("long_window", [0, 1e12])
def test_norms_over_positions_know_neither_neighbours_nor_threads(
    threads, long_window, monkeypatch
):
    spec = GROUP[1]
    network, tokens = frozen_network(spec), random_tokens(3, 150, spec)
    theta, hidden = network(tokens), network.hidden(tokens)
    monkeypatch.setattr(frozen, "_LONG_WINDOW", long_window)
    torch.set_num_threads(threads)
    try:
        assert torch.equal(network(tokens), theta)
        assert torch.equal(network.hidden(tokens), hidden)
        assert torch.equal(network(tokens[1:2])[0], theta[1])
        spans = torch.tensor([[0, 150], [3, 9], [149, 150]])
        found = network(tokens, spans)
    finally:
        torch.set_num_threads(1)
    for row, (start, end) in enumerate(spans.tolist()):
        assert torch.equal(found[row, start:end], theta[row, start:end])


@pytest.mark.parametrize("spec", TIED, ids=name)
def test_reverse_complement_equivariance(spec):
    network, tokens = frozen_network(spec), random_tokens(2, 150, spec)
    other = COMPLEMENT[tokens].flip(1)
    pairs = [
        (network(other).flip(1, 2), network(tokens)),
        (network.hidden(other).flip(1, 2), network.hidden(tokens)),
    ]
    for back, values in pairs:
        if spec.norm == "layer":
            assert torch.equal(back, values)
        else:
            # Moments are summed over positions in their order.
            torch.testing.assert_close(back, values, rtol=0, atol=2e-6)


@pytest.mark.parametrize("spec", SPECS, ids=name)
def test_the_network_in_training_gives_the_same_bits(spec):
    tokens = random_tokens(3, 150, spec)
    assert torch.equal(random_network(spec)(tokens), frozen_network(spec)(tokens))


def test_weights_are_halved_once_and_never_made_dense():
    network, tokens = frozen_network(), random_tokens(1, 5)
    theta = network(tokens)
    halves = network._kept_halves
    with torch.inference_mode():
        assert torch.equal(network(tokens), theta)
    assert network._kept_halves is halves
    assert all(getattr(part, "_kept", None) is None for part in network.modules())


def test_the_dense_weights_kept_in_inference_mode_serve_gradients_later():
    network, tokens = frozen_network(), random_tokens(1, 5)
    with torch.inference_mode():
        theta = network.dense(tokens)
    values = network.dense_hidden(tokens, 0, False).requires_grad_()
    network.norm(values).square().sum().backward()
    assert values.grad is not None
    assert values.grad.isfinite().all()
    assert torch.equal(network.dense(tokens), theta)


def test_nan_reaches_its_own_window_alone():
    network, tokens = random_network(UNEVEN[0]), random_tokens(2, 20, UNEVEN[0]) % 4
    tokens[1] %= 2
    tokens[0, 5] = 4
    with torch.no_grad():
        network.embedding.weight[4] = torch.nan
    theta = network.freeze()(tokens)
    assert theta[0, 5].isnan().all()
    assert theta[1].isfinite().all()


@pytest.mark.parametrize("token", [-1, 6])
def test_no_token_is_read_beyond_the_table(token):
    tokens = random_tokens(2, 5)
    tokens[1, 3] = token
    for n_blocks in (0, 2):
        with pytest.raises(IndexError):
            frozen_network().hidden(tokens, n_blocks)
    with pytest.raises(IndexError):
        frozen_network()(tokens)


def test_a_batch_of_which_nothing_is_wanted():
    nothing = torch.zeros(2, 2, dtype=torch.int64)
    assert frozen_network()(random_tokens(2, 9), nothing).shape == (2, 9, 4)
    assert frozen_network()(random_tokens(2, 9)[:0]).shape == (0, 9, 4)
