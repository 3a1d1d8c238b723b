from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from slow_likelihood import pruning
from slow_substitution import frequencies, rate_matrix

from phylotools.model.halved import suits
from phylotools.model.site_model import RateAssumption
from phylotools.training.batch import Batch
from phylotools.training.dataset import TrainingData
from phylotools.training.loop import new_model
from phylotools.training.objectives import (
    PhylogeneticObjective,
    column_theta,
    spans_of_columns,
)

pytestmark = pytest.mark.usefixtures("one_thread")

OBJECTIVE = PhylogeneticObjective()


@pytest.fixture(params=["f81", "hky", "gtr", "mutation-selection"])
def setting(request, config_of, birds_store):
    """A batch of birds with soft-masked weights and held-out species, and a random model."""
    config = config_of(
        birds_store,
        data={"soft_mask_weight": 0.3, "held_out_species_fraction": 0.3},
        substitution={"model": request.param},
    )
    data = TrainingData(config)
    torch.manual_seed(2)
    model = new_model(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    batches = list(data.epoch(0))
    batch = next((b for b in batches if len(set(b.weight.tolist())) == 2), batches[0])
    return config, data, model, batch


def oracle(tree, column, theta, model) -> float:
    states = {int(node): int(state) for node, state in zip(tree.tip_nodes, column, strict=True)}
    if not any(state < 4 for state in states.values()):
        return 0.0
    return pruning(
        tree.parent.tolist(), tree.branch_length.tolist(), states,
        rate_matrix(model.name, model.settings(), theta),
        frequencies(model.name, model.settings(), theta),
    )  # fmt: skip


def hand_computation(data, model, batch, take: int = 40):
    """Conditional log-likelihoods of the first columns, and with nothing held out."""
    tree, substitution = data.stores[0].tree, model.substitution
    theta = column_theta(model, batch).detach().double().numpy()
    shown, everything = [], []
    for i in range(take):
        reference = int(batch.reference[i])
        pi = frequencies(substitution.name, substitution.settings(), theta[i])
        own = math.log(pi[reference]) if reference < 4 else 0.0
        shown.append(oracle(tree, batch.states[i], theta[i], substitution) - own)
        everything.append(oracle(tree, batch.held_out_states[i], theta[i], substitution) - own)
    return theta, np.array(shown), np.array(everything)


def first(batch, take: int = 40):
    names = ("site", "states", "held_out_states", "reference", "weight")
    return dataclasses.replace(batch, **{name: getattr(batch, name)[:take] for name in names})


def test_value_is_the_hand_computation(setting):
    _, data, model, batch = setting
    batch = first(batch)
    theta, shown, _ = hand_computation(data, model, batch)
    weight = batch.weight.double().numpy()
    likelihood = (weight * shown).sum() / weight.sum()
    mutation = model.substitution.settings().get("mutation_frequencies", [1.0] * 4)
    log_rate = np.log((np.exp(theta[:40]) * mutation).sum(axis=1))
    penalty = (weight * (log_rate - 0.4) ** 2 / (2 * 0.7**2)).sum() / weight.sum()
    model.rate = RateAssumption("prior", mean=0.4, sd=0.7)
    terms = OBJECTIVE.terms(model, batch)
    assert terms.log_likelihood.item() == pytest.approx(likelihood, rel=1e-4)
    assert terms.penalty.item() == pytest.approx(penalty, rel=1e-4)
    assert terms.loss.item() == pytest.approx(penalty - likelihood, rel=1e-4)


def test_the_rate_may_be_free(setting):
    _, _, model, batch = setting
    model.rate = RateAssumption("free", mean=9.0, sd=0.1)
    terms = OBJECTIVE.terms(model, batch)
    assert terms.penalty.item() == 0
    assert terms.loss.item() == -terms.log_likelihood.item()


def test_the_rate_may_be_fixed(config_of, mammals_store):
    config = config_of(mammals_store, rate={"treatment": "fixed", "mean": -0.25})
    model = new_model(config)
    batch = next(iter(TrainingData(config).epoch(0)))
    log_rate = model.substitution.log_rate(column_theta(model, batch))
    torch.testing.assert_close(log_rate, torch.full_like(log_rate, -0.25))
    terms = OBJECTIVE.terms(model, batch)
    terms.loss.backward()
    assert terms.penalty.item() == 0
    assert model.network.output.weight.grad.abs().max() > 0


def test_evaluation_figures_are_the_hand_computation(setting):
    _, data, model, batch = setting
    _, shown, everything = hand_computation(data, model, batch)
    a, b = OBJECTIVE.evaluate(model, batch)
    np.testing.assert_allclose(a[:40], shown, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(b[:40], everything - shown, rtol=1e-4, atol=1e-3)
    assert (b <= 1e-4).all()
    assert b.min() < -0.1


def test_without_held_out_species_the_second_figure_is_zero(config_of, mammals_store):
    config = config_of(mammals_store)
    batch = next(iter(TrainingData(config).epoch(0)))
    hidden = OBJECTIVE.evaluate(new_model(config), batch).held_out
    assert hidden.abs().max() == 0


def test_gradient_is_that_of_the_loss(setting):
    _, _, model, batch = setting
    OBJECTIVE.terms(model, batch).loss.backward()
    bias = model.network.output.bias
    step, gradient = 1e-2, bias.grad.clone()
    for base in range(4):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                bias[base] += sign * step
                values.append(OBJECTIVE.terms(model, batch).loss.item())
                bias[base] -= sign * step
        assert gradient[base].item() == pytest.approx(
            (values[0] - values[1]) / (2 * step), rel=1e-2, abs=1e-3
        )


def test_spans_are_those_of_the_columns():
    site = torch.tensor([3, 4, 6, 10, 39])
    tokens = torch.zeros(4, 14, dtype=torch.int64)
    empty = torch.zeros(0, dtype=torch.int64)
    plan = None
    batch = Batch(tokens, site, empty, empty, empty, empty, plan)
    assert spans_of_columns(batch, 5).tolist() == [[3, 7], [0, 1], [0, 0], [9, 10]]
    batch = dataclasses.replace(batch, site=empty)
    assert spans_of_columns(batch, 5).tolist() == [[0, 0]] * 4


def test_the_halved_network_has_the_loss_and_the_gradients_of_the_dense_one(config_of, birds_store):
    """Of real windows, which computes the halved network in part."""
    config = config_of(
        birds_store, network={"channels": 64, "bottleneck": 32}, substitution={"learn": "all"}
    )
    torch.manual_seed(3)
    model = new_model(config)
    batch = next(iter(TrainingData(config).epoch(0)))
    found = []
    for forward in (model.network.forward, lambda tokens, wanted: model.network.dense(tokens)):
        model.network.forward = forward
        loss = OBJECTIVE.terms(model, batch).loss
        found.append((loss.item(), torch.autograd.grad(loss, list(model.parameters()))))
    assert suits(model.network.spec)
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    for halved, dense in zip(found[0][1], found[1][1], strict=True):
        assert (halved - dense).abs().max() <= 1e-4 * dense.abs().max()
