"""A model on one-hot sequences: the scorer's numbers, gradients, strands, refused inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from published_layouts import imported
from toy_models import write_toy_model

import phylotools
from phylotools.errors import UsageError
from phylotools.model.presets import PAD_TOKEN
from phylotools.model.registry import load_model
from phylotools.scoring.one_hot import OUTPUTS
from phylotools.scoring.scorer import Scorer

pytestmark = pytest.mark.usefixtures("one_thread")
SHIPPED = ("mammals671-mtdna", "dengue1509", "mammals-coding")
MODELS = (*SHIPPED, "huggingface_groupnorm", "huggingface_layernorm", "masked")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Model by name, loaded when it is first asked for."""
    folder, kept = tmp_path_factory.mktemp("models"), {}

    def find(name: str):
        if name not in kept:
            place = name
            if name == "masked":
                place = str(write_toy_model(folder / name, masks_site=True))
            elif name not in SHIPPED:
                place = str(imported(name, folder / name))
            kept[name] = load_model(place).from_sequence_alone()
        return kept[name]

    return find


def drawn(seed: int, length: int, n_rows: int = 2, n_unknown: int = 3) -> np.ndarray:
    """Base codes, uint8 [B, L], with some N."""
    draw = np.random.default_rng(seed)
    codes = draw.integers(0, 4, (n_rows, length)).astype(np.uint8)
    codes[:, draw.integers(0, length, n_unknown)] = 4
    return codes


def one_hot(codes: np.ndarray) -> torch.Tensor:
    """(B, 4, L), without any base where there is N."""
    return torch.from_numpy(np.eye(5, dtype=np.float32)[codes][:, :, :4].transpose(0, 2, 1).copy())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("grad", [False, True], ids=["tokens", "vectors"])
def test_theta_is_the_scorer_s(models, name: str, grad: bool) -> None:
    model = models(name)
    codes = drawn(1, model.receptive_field + 30)
    x = one_hot(codes).requires_grad_(grad)
    whole = phylotools.one_hot_module(model, padding=False)(x)
    expected = Scorer(model, threads=1).values_of(codes)
    assert whole.shape == expected.shape
    np.testing.assert_allclose(whole.detach(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("length", [1, 40, 530])
def test_padded_sequences_are_those_of_predict_sites(models, name: str, length: int) -> None:
    model = models(name)
    codes = drawn(length, length, n_rows=1, n_unknown=1)
    site = phylotools.predict_sites(model, codes[0], threads=1)
    x = one_hot(codes).requires_grad_()
    expected = {
        "theta": site.theta,
        "log_probability": np.log(site.frequencies),
        "llr": np.nan_to_num(site.llr),
        "embedding": phylotools.embed(model, codes[0], pool="none", threads=1),
    }
    for output in OUTPUTS if name != "masked" else OUTPUTS[:3]:
        found = phylotools.one_hot_module(model, output)(x)[0]
        np.testing.assert_allclose(found.detach(), expected[output], rtol=1e-5, atol=3e-5)
        centre = phylotools.one_hot_module(model, output, "centre")(x)[0]
        wanted = expected[output][length // 2]
        np.testing.assert_allclose(centre.detach(), wanted, rtol=1e-5, atol=3e-5)


@pytest.mark.parametrize("name", ["mammals671-mtdna", "mammals-coding", "masked"])
def test_both_strands_agree(models, name: str) -> None:
    """Reversed positions and bases in, reversed out; of networks whose norms are tied."""
    model = models(name)
    x = one_hot(drawn(3, 120)).requires_grad_()
    for output in ("theta", "llr", "log_probability"):
        module = phylotools.one_hot_module(model, output)
        there, back = module(x), module(x.flip(1, 2)).flip(1, 2)
        torch.testing.assert_close(there, back, rtol=1e-5, atol=4e-5)


@pytest.mark.parametrize("name", ["mammals671-mtdna", "huggingface_groupnorm", "masked"])
def test_gradients_are_those_of_differences(models, name: str) -> None:
    model = models(name)
    module = phylotools.one_hot_module(model, "llr", "centre").double()
    x = one_hot(drawn(4, 41, n_rows=1)).double().requires_grad_()
    weights = torch.tensor([0.3, -1.0, 0.7, 0.2], dtype=torch.float64)
    (gradient,) = torch.autograd.grad((module(x)[0] * weights).sum(), x)
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).double()
    step = 1e-5 * direction
    ahead, behind = ((module(x.detach() + s)[0] * weights).sum() for s in (step, -step))
    torch.testing.assert_close((ahead - behind) / 2e-5, (gradient * direction).sum(), rtol=1e-5,
                               atol=1e-7)  # fmt: skip


def test_nothing_but_the_input_has_a_gradient(models) -> None:
    model = models("mammals671-mtdna")
    module = phylotools.one_hot_module(model, "log_probability")
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert not module.training
    x = one_hot(drawn(5, 20)).requires_grad_()
    module(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_it_is_a_copy_that_can_be_cast(models) -> None:
    model = models("mammals671-mtdna")
    x = one_hot(drawn(6, 30))
    before = phylotools.one_hot_module(model)(x)
    wide = phylotools.one_hot_module(model).double()
    found = wide(x)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, before, rtol=0, atol=1e-5)
    assert model.network.output.weight.dtype == torch.float32
    torch.testing.assert_close(wide.float()(x), before, rtol=0, atol=0)
    # Integers are one-hot too.
    torch.testing.assert_close(phylotools.one_hot_module(model)(x.to(torch.int8)), before)


def test_what_lies_beyond_the_ends_is_padding(models) -> None:
    model = models("mammals671-mtdna")
    half, codes = (model.receptive_field - 1) // 2, drawn(7, 33, n_rows=1)
    tokens = np.pad(codes, ((0, 0), (half, half)), constant_values=PAD_TOKEN)
    found = phylotools.one_hot_module(model)(one_hot(codes))
    np.testing.assert_allclose(found, Scorer(model, threads=1).values_of(tokens), atol=1e-6)


def test_wrong_inputs_are_refused(models) -> None:
    model = models("mammals671-mtdna")
    with pytest.raises(UsageError, match="no output 'logits': take theta, llr"):
        phylotools.one_hot_module(model, "logits")
    with pytest.raises(UsageError, match="no position 'middle': take all, centre"):
        phylotools.one_hot_module(model, position="middle")
    with pytest.raises(UsageError, match="load_model gives, not a str"):
        phylotools.one_hot_module("mammals671-mtdna")
    module = phylotools.one_hot_module(model, padding=False)
    with pytest.raises(UsageError, match=r"\(B, 4, L\), not \(2, 30, 4\); is it \(B, L, 4\)"):
        module(torch.zeros(2, 30, 4))
    with pytest.raises(UsageError, match="30 positions is shorter than the receptive field"):
        module(torch.zeros(2, 4, 30))
