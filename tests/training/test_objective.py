from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from slow_likelihood import equilibrium, f81_rate_matrix, pruning

from phylotools.model.network import ByteNet
from phylotools.phylogeny.substitution import log_total_rate
from phylotools.training.config import RateConfig
from phylotools.training.dataset import TrainingData
from phylotools.training.objective import (
    column_log_rates,
    conditional_log_likelihoods,
    loss_terms,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def setting(config_of, birds_store):
    """A batch of birds with soft-masked weights and held-out species, and a random network."""
    config = config_of(
        birds_store, data={"soft_mask_weight": 0.3, "held_out_species_fraction": 0.3}
    )
    data = TrainingData(config)
    torch.manual_seed(2)
    network = ByteNet(config.model_spec())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    batches = list(data.epoch(0))
    batch = next((b for b in batches if len(set(b.weight.tolist())) == 2), batches[0])
    return config, data, network, batch


def oracle(tree, column, theta) -> float:
    states = {int(node): int(state) for node, state in zip(tree.tip_nodes, column, strict=True)}
    if not any(state < 4 for state in states.values()):
        return 0.0
    return pruning(
        tree.parent.tolist(), tree.branch_length.tolist(), states,
        f81_rate_matrix(theta), equilibrium(theta),
    )  # fmt: skip


def hand_computation(data, network, batch, take: int = 40):
    """Conditional log-likelihoods of the first columns, and with nothing held out."""
    tree = data.stores[0].tree
    theta = column_log_rates(network, batch).detach().double().numpy()
    shown, everything = [], []
    for i in range(take):
        reference = int(batch.reference[i])
        own = math.log(equilibrium(theta[i])[reference]) if reference < 4 else 0.0
        shown.append(oracle(tree, batch.states[i], theta[i]) - own)
        everything.append(oracle(tree, batch.held_out_states[i], theta[i]) - own)
    return theta, np.array(shown), np.array(everything)


def first(batch, take: int = 40):
    names = ("site", "states", "held_out_states", "reference", "weight")
    return dataclasses.replace(batch, **{name: getattr(batch, name)[:take] for name in names})


def test_value_is_the_hand_computation(setting):
    _, data, network, batch = setting
    batch = first(batch)
    theta, shown, _ = hand_computation(data, network, batch)
    weight = batch.weight.double().numpy()
    likelihood = (weight * shown).sum() / weight.sum()
    log_rate = np.log(np.exp(theta[:40]).sum(axis=1))
    penalty = (weight * (log_rate - 0.4) ** 2 / (2 * 0.7**2)).sum() / weight.sum()
    terms = loss_terms(network, batch, RateConfig("prior", mean=0.4, sd=0.7))
    assert terms.log_likelihood.item() == pytest.approx(likelihood, rel=1e-4)
    assert terms.penalty.item() == pytest.approx(penalty, rel=1e-4)
    assert terms.loss.item() == pytest.approx(penalty - likelihood, rel=1e-4)


def test_the_rate_may_be_free(setting):
    _, _, network, batch = setting
    terms = loss_terms(network, batch, RateConfig("free", mean=9.0, sd=0.1))
    assert terms.penalty.item() == 0
    assert terms.loss.item() == -terms.log_likelihood.item()


def test_the_rate_may_be_fixed(config_of, mammals_store):
    config = config_of(mammals_store, rate={"treatment": "fixed", "mean": -0.25})
    network = ByteNet(config.model_spec())
    batch = next(iter(TrainingData(config).epoch(0)))
    log_rate = log_total_rate(column_log_rates(network, batch))
    torch.testing.assert_close(log_rate, torch.full_like(log_rate, -0.25))
    terms = loss_terms(network, batch, config.rate)
    terms.loss.backward()
    assert terms.penalty.item() == 0
    assert network.output.weight.grad.abs().max() > 0


def test_evaluation_figures_are_the_hand_computation(setting):
    _, data, network, batch = setting
    _, shown, everything = hand_computation(data, network, batch)
    a, b = conditional_log_likelihoods(network, batch)
    np.testing.assert_allclose(a[:40], shown, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(b[:40], everything - shown, rtol=1e-4, atol=1e-3)
    assert (b <= 1e-4).all()
    assert b.min() < -0.1


def test_without_held_out_species_the_second_figure_is_zero(config_of, mammals_store):
    config = config_of(mammals_store)
    batch = next(iter(TrainingData(config).epoch(0)))
    hidden = conditional_log_likelihoods(ByteNet(config.model_spec()), batch)[1]
    assert hidden.abs().max() == 0


def test_gradient_is_that_of_the_loss(setting):
    _, _, network, batch = setting
    rate = RateConfig()
    loss_terms(network, batch, rate).loss.backward()
    bias = network.output.bias
    step, gradient = 1e-2, bias.grad.clone()
    for base in range(4):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                bias[base] += sign * step
                values.append(loss_terms(network, batch, rate).loss.item())
                bias[base] -= sign * step
        assert gradient[base].item() == pytest.approx(
            (values[0] - values[1]) / (2 * step), rel=1e-2, abs=1e-3
        )
