"""Low-rank updates of a network: nothing at first, the same merged, and as equivariant."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from random_networks import random_network

from phylotools.errors import InputError
from phylotools.model.adapters import (
    adapted_convolutions,
    adapter_tensors,
    adapters_of,
    add_adapters,
    merge_adapters,
    read_adapters,
)
from phylotools.model.presets import ModelSpec

SPEC = ModelSpec(channels=12, bottleneck=6, dilations=(1, 5))


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(0, 6, (3, SPEC.receptive_field + 4), generator=_generator())


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(2)


def trained(network) -> None:
    """Give adapters numbers that training could give them."""
    for parameter in network.parameters():
        if parameter.requires_grad:
            with torch.no_grad():
                parameter.normal_(0, 0.5, generator=_generator())


def test_the_network_says_the_same_bits_before_training(tokens):
    network = random_network(SPEC)
    before = network.dense_hidden(tokens, 2, True)
    parameters = add_adapters(network, 3, seed=1)
    assert torch.equal(network.dense_hidden(tokens, 2, True), before)
    # Two convolutions of each of the two blocks; the dilated ones stay as they are.
    assert len(parameters) == 8
    assert {id(p) for p in network.parameters() if p.requires_grad} == set(map(id, parameters))


def test_merged_weights_say_what_the_adapters_say(tokens):
    network, merged = random_network(SPEC), random_network(SPEC)
    before = network.dense_hidden(tokens, 2, True)
    add_adapters(network, 3, seed=1)
    trained(network)
    with_adapters = network.dense_hidden(tokens, 2, True)
    assert (with_adapters - before).abs().max() > 0.01
    merge_adapters(merged, adapters_of(network))
    assert torch.allclose(merged.dense_hidden(tokens, 2, True), with_adapters, atol=1e-5)
    # And in the compiled code that scores with them.
    found = merged.freeze().hidden(tokens)
    assert torch.allclose(found, with_adapters, atol=1e-4)


def test_a_network_with_adapters_is_equivariant(tokens):
    network = random_network(SPEC)
    add_adapters(network, 2, seed=1)
    trained(network)
    complement = torch.where(tokens < 4, 3 - tokens, tokens).flip(1)
    forward = network.dense_hidden(tokens, 2, True)
    reverse = network.dense_hidden(complement, 2, True)
    assert torch.allclose(forward, reverse.flip(1, 2), atol=1e-5)


def test_tensors_come_back_and_foreign_ones_are_refused():
    network = random_network(SPEC)
    add_adapters(network, 2, seed=1)
    trained(network)
    adapters = adapters_of(network)
    tensors = adapter_tensors(adapters)
    plain, path = random_network(SPEC), Path("head.safetensors")
    found = read_adapters(tensors, plain, 2, path)
    assert found.keys() == {name for name, _ in adapted_convolutions(plain)}
    assert all(torch.equal(found[name].update, adapters[name].update) for name in found)
    with pytest.raises(InputError, match="shape"):
        read_adapters(tensors, plain, 3, path)
    with pytest.raises(InputError, match="NaN"):
        read_adapters({k: v * torch.nan for k, v in tensors.items()}, plain, 2, path)
    other = random_network(ModelSpec(channels=12, bottleneck=6, dilations=(1,)))
    with pytest.raises(InputError, match="another network"):
        read_adapters(tensors, other, 2, path)
