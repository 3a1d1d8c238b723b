"""A network in training by torch's products: narrower, compiled, in less memory."""

from __future__ import annotations

import copy
import functools
import logging

import pytest
import torch

from phylotools.errors import PhylotoolsError
from phylotools.model.network import ByteNet
from phylotools.model.presets import ModelSpec
from phylotools.model.training_pass import set_training_pass

SHAPE = (3, 20)
DENSE = ModelSpec(channels=8, bottleneck=4, kernel_size=3, dilations=(1, 2))
HALVED = ModelSpec(channels=32, bottleneck=32, kernel_size=3, dilations=(1, 2))


def passed(spec: ModelSpec, **settings) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Theta, the gradient of its squares, and the names of the tensors."""
    torch.manual_seed(3)
    network = ByteNet(spec)
    set_training_pass(network, SHAPE, **settings)
    tokens = torch.randint(0, 6, (SHAPE[0], SHAPE[1] + spec.receptive_field - 1))
    theta = network(tokens)
    theta.square().sum().backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in network.parameters()])
    copied = copy.deepcopy(network).freeze()
    assert torch.allclose(copied(tokens), network.dense(tokens), atol=1e-5)
    return theta.detach(), gradient, list(network.state_dict())


def test_blocks_computed_once_more_give_the_same_bits():
    plain, again = passed(DENSE), passed(DENSE, recomputes=True)
    assert torch.equal(plain[0], again[0])
    assert torch.equal(plain[1], again[1])


@pytest.mark.parametrize("recomputes", [False, True])
def test_bfloat16_is_near_and_ends_in_float32(recomputes):
    plain = passed(HALVED)
    narrow = passed(HALVED, precision="bfloat16", recomputes=recomputes)
    for a, b in zip(plain[:2], narrow[:2], strict=True):
        assert b.dtype == torch.float32
        assert not torch.equal(a, b)
        assert (a - b).abs().max() < 0.03 * a.abs().max()


def test_a_compiled_network_keeps_its_names(monkeypatch):
    """By the compiler's first half, which needs no C++ compiler."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    plain, compiled = passed(DENSE), passed(DENSE, is_compiled=True, recomputes=True)
    assert plain[2] == compiled[2]
    torch.testing.assert_close(compiled[0], plain[0])
    torch.testing.assert_close(compiled[1], plain[1], rtol=1e-4, atol=1e-4)


def test_without_a_compiler_there_is_one_line(monkeypatch):
    def broken(*arguments):
        raise RuntimeError("No working C++ compiler found\nand a page more")

    monkeypatch.setattr(torch, "compile", lambda function: broken)
    with pytest.raises(
        PhylotoolsError, match=r"run\.compile: .*\(No working C\+\+ compiler found\); install"
    ):
        passed(DENSE, is_compiled=True)


def test_where_nothing_is_recomputed_it_is_said(caplog):
    caplog.set_level(logging.WARNING, "phylotools")
    plain, again = passed(HALVED), passed(HALVED, recomputes=True)
    assert torch.equal(plain[1], again[1])
    assert "optimiser.parts need less memory" in caplog.text
