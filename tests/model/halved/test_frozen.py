"""The frozen halved network: against the dense one, and the same bits however it is asked."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_halved_network import COMPLEMENT, SPEC, SPECS, random_network, random_tokens

from phylotools.model.network import ByteNet
from phylotools.model.presets import ModelSpec

pytestmark = pytest.mark.usefixtures("one_thread")


def frozen(spec: ModelSpec = SPEC) -> ByteNet:
    return random_network(spec).freeze()


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.channels}-{spec.kernel_size}")
def test_theta_and_layers_are_those_of_the_dense_network(spec):
    network, exact = frozen(spec), random_network(spec).double()
    tokens = random_tokens(3, 120, spec)
    with torch.no_grad():
        wanted = exact.dense(tokens)
        assert wanted.std() > 0.1
        torch.testing.assert_close(network(tokens).double(), wanted, rtol=0, atol=1e-5)
        for n_blocks in range(len(spec.dilations) + 1):
            for is_normed in (False, True):
                found = network.hidden(tokens, n_blocks, is_normed=is_normed)
                wanted = exact.dense_hidden(tokens, n_blocks, is_normed)
                torch.testing.assert_close(found.double(), wanted, rtol=0, atol=1e-5)
        assert torch.equal(network.hidden(tokens), found)
        assert torch.equal(network.embed(tokens), found)


NETWORK, TOKENS = frozen(), random_tokens(4, 150)
THETA, HIDDEN = NETWORK(TOKENS), NETWORK.hidden(TOKENS, 2, is_normed=True)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_same_bits_in_any_window_batch_and_thread(data):
    rows = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=5))
    start = data.draw(st.integers(0, 149))
    end = data.draw(st.integers(start + 1, 150))
    spans = [sorted(data.draw(st.tuples(*[st.integers(0, end - start)] * 2))) for _ in rows]
    torch.set_num_threads(data.draw(st.integers(1, 3)))
    tokens = TOKENS[rows, start : end + SPEC.receptive_field - 1]
    try:
        for whole, compute in (
            (THETA, lambda wanted: NETWORK(tokens, wanted)),
            (HIDDEN, lambda wanted: NETWORK.hidden(tokens, 2, wanted=wanted)),
        ):
            assert torch.equal(compute(None), whole[rows, start:end])
            found = compute(torch.tensor(spans))
            for row, (first, last) in enumerate(spans):
                own = whole[rows[row], start + first : start + last]
                assert torch.equal(found[row, first:last], own)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.channels}-{spec.kernel_size}")
def test_reverse_complement_equivariance_to_the_bit(spec):
    network, tokens = frozen(spec), random_tokens(2, 50, spec)
    other = COMPLEMENT[tokens].flip(1)
    assert torch.equal(network(other).flip(1, 2), network(tokens))
    assert torch.equal(network.hidden(other).flip(1, 2), network.hidden(tokens))


def test_weights_are_halved_once_and_never_made_dense():
    network, tokens = frozen(), random_tokens(1, 5)
    theta = network(tokens)
    halves = network._kept_halves
    with torch.inference_mode():
        assert torch.equal(network(tokens), theta)
    assert network._kept_halves is halves
    assert all(getattr(part, "_kept", None) is None for part in network.modules())


def test_the_dense_weights_kept_in_inference_mode_serve_gradients_later():
    network, tokens = frozen(), random_tokens(1, 5)
    with torch.inference_mode():
        theta = network.dense(tokens)
    values = network.dense_hidden(tokens, 0, False).requires_grad_()
    network.norm(values).square().sum().backward()
    assert values.grad is not None
    assert values.grad.isfinite().all()
    assert torch.equal(network.dense(tokens), theta)


@pytest.mark.parametrize("token", [-1, 6])
def test_no_token_is_read_beyond_the_table(token):
    tokens = random_tokens(2, 5)
    tokens[1, 3] = token
    for n_blocks in (0, 2):
        with pytest.raises(IndexError):
            frozen().hidden(tokens, n_blocks)
    with pytest.raises(IndexError):
        frozen()(tokens)
