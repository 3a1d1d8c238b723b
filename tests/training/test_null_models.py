"""Null models: fitted to training columns, scored on held-out ones."""

from __future__ import annotations

import pytest
import torch
from small_runs import CPU

from phylotools.phylogeny.likelihood import column_log_likelihood, log_reference_frequency
from phylotools.phylogeny.substitution import NEUTRAL_LOG_RATE
from phylotools.store.schema import CODE_MASK
from phylotools.training import null_models as module
from phylotools.training.dataset import TrainingData
from phylotools.training.null_models import null_models
from phylotools.training.start import new_model

pytestmark = pytest.mark.usefixtures("one_thread")
MODELS = ["f81", "hky", "gtr", "mutation-selection"]


@pytest.fixture
def setting(config_of, mammals_store):
    def make(model="f81", learn="all"):
        config = config_of(
            mammals_store,
            data={"held_out_fraction": 0.2},
            substitution={"model": model, "learn": learn},
        )
        return config, TrainingData(config), new_model(config)

    return make


def test_the_neutral_tree_is_the_mean_over_held_out_columns(setting):
    config, data, model = setting()
    (source,) = data.stores
    states = torch.cat(
        [
            torch.from_numpy(source.store.bases(region) & CODE_MASK)
            for region in source.regions(held_out=True)
        ]
    )
    reference = states[:, source.store.reference_index]
    theta = torch.full((len(states), 4), NEUTRAL_LOG_RATE - torch.tensor(4.0).log().item())
    expected = column_log_likelihood(states, theta, source.plan, kernel="reference")
    expected = (expected - log_reference_frequency(reference, theta)).mean().item()
    assert null_models(data, model, config, CPU).tree == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_constants_are_the_best_for_training_columns(setting, monkeypatch, model):
    """No change of any single number predicts the training columns better."""
    config, data, started = setting(model)
    fits = []
    fit = module._fitted

    def remember(batches, *arguments):
        fits.append((batches, *fit(batches, *arguments)))
        return fits[-1][1:]

    monkeypatch.setattr(module, "_fitted", remember)
    found = null_models(data, started, config, CPU)
    means = []
    for batches, theta, substitution in fits:
        columns = sum(len(batch.site) for batch in batches)

        def mean(theta, substitution=substitution, batches=batches, columns=columns):
            with torch.no_grad():
                values = [module._log_likelihoods(b, theta, substitution) for b in batches]
            return sum(v.double().sum().item() for v in values) / columns

        means.append(mean(theta))
        if len(means) == 1:
            for index in range(16):
                for step in (-0.1, 0.1):
                    moved = theta.flatten().clone()
                    moved[index] += step
                    assert mean(moved.reshape(4, 4)) < means[0] + 1e-3
    assert means[0] > means[1]  # of which the neutral tree is a special case
    assert found.constants > found.tree  # on these columns


def test_the_model_is_left_as_it_is(setting):
    config, data, model = setting("mutation-selection")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    null_models(data, model, config, CPU)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_they_learn_what_the_run_learns(setting, monkeypatch):
    frequencies = {}
    fit = module._fitted

    def remember(*arguments):
        theta, substitution = fit(*arguments)
        frequencies[learn] = substitution.settings()
        return theta, substitution

    monkeypatch.setattr(module, "_fitted", remember)
    for learn in ("all", "exchangeabilities", "none"):
        config, data, model = setting("mutation-selection", learn)
        null_models(data, model, config, CPU)
    given = setting("mutation-selection")[2].substitution.settings()
    names = ("exchangeabilities", "mutation_frequencies")
    changed = {
        learn: tuple(found[name] != pytest.approx(given[name], rel=1e-3) for name in names)
        for learn, found in frequencies.items()
    }
    assert changed == {
        "all": (True, True), "exchangeabilities": (True, False), "none": (False, False),
    }  # fmt: skip


def test_held_out_columns_do_not_fit_them(setting, monkeypatch):
    """Other held-out bases change the figures, not the constants."""
    thetas, figures = [], []
    fit = module._fitted

    def remember(*arguments):
        thetas.append(fit(*arguments)[0])
        return thetas[-1], fit(*arguments)[1]

    monkeypatch.setattr(module, "_fitted", remember)
    for change in (0, 1):
        config, data, model = setting()
        data.stores[0].resident(held_out=True).bases[:, 1:] ^= change
        figures.append(null_models(data, model, config, CPU))
    assert torch.equal(thetas[0], thetas[2])
    assert figures[0] != figures[1]


def test_without_held_out_columns_there_are_none(config_of, mammals_store):
    config = config_of(mammals_store)
    assert null_models(TrainingData(config), new_model(config), config, CPU) is None
