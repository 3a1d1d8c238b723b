"""The fused network against the dense one: on a GPU where there is one, else interpreted."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest
import torch
from random_networks import random_network

from phylotools.model.fused import FusedNetwork, suits
from phylotools.model.network import ByteNet
from phylotools.model.presets import ModelSpec

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if find_spec("triton") is None:
    pytest.skip("no Triton here", allow_module_level=True)
if DEVICE == "cpu":
    # Triton reads it when it is imported, which no module does before its kernel is launched.
    os.environ.setdefault("TRITON_INTERPRET", "1")
pytestmark = pytest.mark.usefixtures("one_thread")

#: Triton's interpreter multiplies the bits of bfloat16 as if they were whole numbers.
NARROW = [torch.bfloat16, torch.float16] if DEVICE == "cuda" else [torch.float16]
COMPLEMENT = torch.tensor([3, 2, 1, 0, 4, 5])
#: Halves that are and are not powers of two, one channel a half, narrow stages wider than wide
#: ones, one tap to seven.
SHAPES = [
    ModelSpec(12, 6, 5, (1, 3)),
    ModelSpec(16, 32, 3, (4,)),
    ModelSpec(2, 2, 7, (1, 2)),
    ModelSpec(20, 10, 1, (1, 1)),
]
LAYOUTS = [("layer", True), ("layer", False), ("group", True), ("group", False)]


def frozen(spec: ModelSpec, seed: int = 0) -> ByteNet:
    return random_network(spec, seed).to(DEVICE).freeze()


def exact(spec: ModelSpec, seed: int = 0) -> ByteNet:
    return random_network(spec, seed).double().freeze()


def fused_theta(network: ByteNet, tokens: torch.Tensor, kind=torch.float32) -> torch.Tensor:
    with torch.autocast(DEVICE, dtype=kind, enabled=kind != torch.float32):
        return FusedNetwork(network).theta(tokens)


def random_tokens(windows: int, positions: int, spec: ModelSpec, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = windows, positions + spec.receptive_field - 1
    return torch.randint(0, 6, shape, generator=generator)


def with_layout(spec: ModelSpec, layout: tuple[str, bool]) -> ModelSpec:
    return ModelSpec(spec.channels, spec.bottleneck, spec.kernel_size, spec.dilations, *layout)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout[0]}-{layout[1]}")
@pytest.mark.parametrize("spec", SHAPES, ids=lambda spec: f"{spec.channels}-{spec.kernel_size}")
def test_theta_is_that_of_the_dense_network(spec, layout):
    spec = with_layout(spec, layout)
    tokens = random_tokens(3, 9, spec)
    wanted = exact(spec).dense(tokens)
    assert wanted.std() > 0.1
    found = fused_theta(frozen(spec), tokens.to(DEVICE))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.cpu().double(), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout[0]}-{layout[1]}")
def test_the_published_shape(layout):
    """960 and 480 channels, halves that fill no power of two, two of its forty blocks."""
    spec = ModelSpec(960, 480, 5, (1, 5), *layout)
    tokens = random_tokens(2, 3, spec)
    wanted = exact(spec).dense(tokens)
    found = fused_theta(frozen(spec), tokens.to(DEVICE))
    torch.testing.assert_close(found.cpu().double(), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("positions", [1, 2, 255, 300])
def test_any_number_of_rows(positions):
    """Less than a program's rows, and windows that begin within a program."""
    spec = ModelSpec(32, 16, 5, (1, 2))
    tokens = random_tokens(2, positions, spec)
    wanted = exact(spec).dense(tokens)
    found = fused_theta(frozen(spec), tokens.to(DEVICE))
    torch.testing.assert_close(found.cpu().double(), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("is_normed", [True, False])
@pytest.mark.parametrize("n_blocks", [0, 1, 2])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout[0]}-{layout[1]}")
def test_hidden_is_that_of_the_dense_blocks(layout, n_blocks, is_normed):
    spec = with_layout(SHAPES[0], layout)
    tokens = random_tokens(2, 5, spec)
    wanted = exact(spec).dense_hidden(tokens, n_blocks, is_normed)
    found = FusedNetwork(frozen(spec)).hidden(tokens.to(DEVICE), n_blocks, is_normed)
    assert found.shape == (2, 5, spec.channels)
    torch.testing.assert_close(found.cpu().double(), wanted, rtol=0, atol=1e-5)


def test_reverse_complement_equivariance():
    spec = ModelSpec(24, 12, 5, (1, 3))
    network, tokens = frozen(spec), random_tokens(2, 20, spec)
    theta = fused_theta(network, tokens.to(DEVICE)).cpu()
    back = fused_theta(network, COMPLEMENT[tokens].flip(1).to(DEVICE)).cpu().flip(1, 2)
    torch.testing.assert_close(back, theta, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("kind", "error"), [(torch.bfloat16, 2.0**-8), (torch.float16, 2.0**-11)], ids=str
)
def test_narrow_products(kind, error):
    """As far from the exact numbers as the type's rounding makes it, and no closer than that."""
    spec = ModelSpec(64, 32, 5, (1, 3, 1))
    tokens = random_tokens(2, 40, spec)
    wanted = exact(spec).dense(tokens)
    found = fused_theta(frozen(spec), tokens.to(DEVICE), kind).cpu().double()
    apart = (found - wanted).square().mean().sqrt() / wanted.std()
    assert error / 8 < apart < error * 4


@pytest.mark.parametrize("spec", SHAPES, ids=lambda spec: f"{spec.channels}-{spec.kernel_size}")
@pytest.mark.parametrize("kind", NARROW, ids=str)
def test_the_dilated_product_in_one_kernel(spec, kind, monkeypatch):
    """As the library's of the same taps, but for the last bit of what is rounded."""
    from phylotools.model.fused import passes, steps

    network, tokens = frozen(spec), random_tokens(3, 50, spec).to(DEVICE)
    wanted = exact(spec).dense(tokens.cpu())
    packed = fused_theta(network, tokens, kind).cpu()
    monkeypatch.setattr(steps, "IS_GATHERED", True)
    monkeypatch.setattr(passes, "packed_taps", None)  # It is not asked.
    found = fused_theta(network, tokens, kind).cpu()
    spread = wanted.std()
    assert (found - packed).abs().max() < 8 * torch.finfo(kind).eps * spread
    apart = [(theta - wanted).square().mean().sqrt() for theta in (found, packed)]
    assert apart[0] < 1.5 * apart[1]


def test_the_dilated_product_of_many_rows_and_columns(monkeypatch):
    """More than a program has of either, and none of them a whole number of programs."""
    from phylotools.model.fused import steps

    monkeypatch.setattr(steps, "_PRODUCT_ROWS", 16)
    generator = torch.Generator().manual_seed(7)
    half, columns, taps, dilation, windows, rows = 40, 300, 3, 4, 2, 29
    source = torch.randn(2, windows * rows, half, generator=generator)
    weights = torch.randn(2, taps * half, columns, generator=generator)
    planes = steps.Planes(source.to(DEVICE), rows)
    product = steps.dilated_product(planes, weights.to(DEVICE), taps, dilation)
    packed = steps.packed_taps(planes, taps, dilation)
    assert product.rows == packed.rows == rows - (taps - 1) * dilation
    wanted = torch.bmm(packed.values.cpu().double(), weights.double())
    tolerance = 1e-5 if DEVICE == "cpu" else 2e-2  # on a GPU in TF32
    torch.testing.assert_close(
        product.values.cpu().double() / 10, wanted / 10, rtol=0, atol=tolerance
    )


def test_several_precisions_of_one_network():
    spec = SHAPES[0]
    network, tokens = frozen(spec), random_tokens(1, 9, spec).to(DEVICE)
    fused = FusedNetwork(network)
    whole = fused.theta(tokens)
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        narrow = fused.theta(tokens)
    assert torch.equal(narrow, fused_theta(network, tokens, torch.bfloat16))
    assert not torch.equal(narrow, whole)
    assert torch.equal(fused.theta(tokens), whole)


def test_nan_reaches_its_own_window_alone():
    spec = SHAPES[0]
    network, tokens = random_network(spec), random_tokens(2, 20, spec) % 4
    tokens[1] %= 2
    tokens[0, 5] = 4
    with torch.no_grad():
        network.embedding.weight[4] = torch.nan
    theta = fused_theta(network.to(DEVICE).freeze(), tokens.to(DEVICE))
    assert theta[0, 5].isnan().all()
    assert theta[1].isfinite().all()


@pytest.mark.skipif(DEVICE == "cpu", reason="no GPU here")
def test_a_frozen_network_on_a_gpu_takes_it():
    spec = SHAPES[0]
    network, tokens = frozen(spec), random_tokens(2, 9, spec).to(DEVICE)
    assert suits(network, tokens)
    assert torch.equal(network(tokens), fused_theta(network, tokens))
    hidden = FusedNetwork(network).hidden(tokens, 1, False)
    assert torch.equal(network.hidden(tokens, 1, is_normed=False), hidden)
    training = random_network(spec).to(DEVICE)
    assert torch.equal(training(tokens), training.dense(tokens))
    with torch.no_grad():
        network.output.bias.add_(1)
    torch.testing.assert_close(network.freeze()(tokens), network.dense(tokens))


def test_a_cpu_has_another():
    spec = SHAPES[0]
    assert not suits(random_network(spec).freeze(), random_tokens(1, 9, spec))
