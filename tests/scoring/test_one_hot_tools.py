"""tangermeme, captum and ledidi with our models."""

from __future__ import annotations

import captum.attr
import ledidi
import numpy as np
import pytest
import tangermeme.ablate
import tangermeme.deep_lift_shap
import tangermeme.predict
import tangermeme.saturation_mutagenesis
import torch

import phylotools
from phylotools.model.presets import PAD_TOKEN
from phylotools.scoring.scorer import Scorer

pytestmark = pytest.mark.usefixtures("one_thread")
LENGTH = 41


class LogOdds(torch.nn.Module):
    """One number of a sequence: the log frequency of A in its middle."""

    def __init__(self, model) -> None:
        super().__init__()
        self.sites = phylotools.one_hot_module(model, "log_probability", "centre")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.sites(x)[:, :1]
        return found


@pytest.fixture(scope="module")
def model():
    return phylotools.load_model("mammals671-mtdna").from_sequence_alone()


@pytest.fixture(scope="module")
def module(model):
    return LogOdds(model)


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    return np.random.default_rng(9).integers(0, 4, LENGTH).astype(np.uint8)


@pytest.fixture(scope="module")
def x(codes) -> torch.Tensor:
    return torch.from_numpy(np.eye(4, dtype=np.float32)[codes].T[None].copy())


def scored(model, rows: np.ndarray) -> np.ndarray:
    """The module's number of sequences, by the scorer."""
    half = (model.receptive_field - 1) // 2
    tokens = np.pad(rows, ((0, 0), (half, half)), constant_values=PAD_TOKEN)
    theta = Scorer(model, threads=1).values_of(tokens)[:, LENGTH // 2]
    frequencies = model.substitution.log_equilibrium_frequencies(torch.from_numpy(theta))
    return frequencies[:, 0].numpy()


def test_tangermeme_predicts_and_mutates(model, module, codes, x) -> None:
    found = tangermeme.predict.predict(module, x, device="cpu")
    np.testing.assert_allclose(found[:, 0], scored(model, codes[None]), atol=1e-5)
    raw = tangermeme.saturation_mutagenesis.saturation_mutagenesis(
        module, x, raw_outputs=True, device="cpu"
    )
    edited = np.repeat(codes[None], 4 * LENGTH, axis=0)
    edited[np.arange(4 * LENGTH), np.repeat(np.arange(LENGTH), 4)] = np.tile(range(4), LENGTH)
    expected = scored(model, edited).reshape(LENGTH, 4).T
    np.testing.assert_allclose(raw.y_hat[0, :, :, 0], expected, atol=1e-5)
    before, after = tangermeme.ablate.ablate(
        module, x, start=15, end=25, n=3, random_state=0, device="cpu"
    )
    assert before.shape == (1, 1)
    assert after.shape == (1, 3, 1)
    assert (after - before).abs().max() > 1e-3


def test_captum_s_integrated_gradients_are_complete(module, x) -> None:
    """They add up to the difference from their baseline, here N everywhere."""
    baseline = torch.zeros_like(x)
    found = captum.attr.IntegratedGradients(module).attribute(
        x, baseline, target=0, n_steps=200, method="gausslegendre"
    )
    difference = (module(x) - module(baseline))[0, 0]
    torch.testing.assert_close(found.sum(), difference, rtol=0, atol=5e-3)
    assert (found[x == 0] == 0).all()


def test_deep_lift_shap_says_that_it_does_not_add_up(module, x) -> None:
    """It has no rule for LayerNorm; docs/interpret.md sends to integrated gradients instead."""
    with pytest.warns(RuntimeWarning, match="[Cc]onvergence"):
        tangermeme.deep_lift_shap.deep_lift_shap(
            module, x, n_shuffles=2, random_state=0, device="cpu"
        )


def test_ledidi_edits_towards_a_target(model, module, codes, x) -> None:
    start = scored(model, codes[None])[0]
    target = torch.tensor([[start + 0.5]])
    found = ledidi.ledidi(
        module, x, target, device="cpu", random_state=1, max_iter=60, batch_size=4, l=0.01,
        lr=1.0, verbose=False,
    )  # fmt: skip
    assert found.shape == (4, 4, LENGTH)
    assert (found.sum(dim=1) == 1).all()
    edited = found.argmax(dim=1).numpy().astype(np.uint8)
    reached = scored(model, edited)
    assert np.abs(reached - target.item()).min() < abs(start - target.item())
