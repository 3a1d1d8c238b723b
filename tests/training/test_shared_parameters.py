"""Substitution models whose parameters are learned with the network, and the rate's prior."""

from __future__ import annotations

import pytest
import torch
from small_runs import CPU, HOLDS_OUT, resumes_to_the_same, train_until

from phylotools.model.registry import load_model
from phylotools.model.site_model import RateAssumption
from phylotools.phylogeny.substitution import F81
from phylotools.training.checkpoint import describe_checkpoint, read_checkpoint
from phylotools.training.dataset import TrainingData
from phylotools.training.export import ExportRequest, export_model
from phylotools.training.loop import Trainer
from phylotools.training.rate_prior import fit_rate_prior
from phylotools.training.run_folder import CHECKPOINT

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("substitution", "rate"),
    [
        ({"model": "hky"}, {"learn": True}),
        ({"model": "mutation-selection"}, {"treatment": "fixed"}),
        ({"model": "mutation-selection"}, {"treatment": "fixed", "learn": True}),
        ({"model": "mutation-selection", "strand_symmetric": False}, {"treatment": "prior"}),
    ],
    ids=str,
)
def test_resumed_runs_learn_the_same_shared_parameters(
    config_of, mammals_store, tmp_path, substitution, rate
):
    substitution |= {"learn": "all"}
    config = config_of(mammals_store, **HOLDS_OUT, substitution=substitution, rate=rate)
    resumes_to_the_same(config, tmp_path, [13])
    checkpoint = read_checkpoint(tmp_path / "whole" / CHECKPOINT)
    moments = checkpoint.part("optimiser.substitution.")
    assert {name.split(".")[1] for name in moments} == {"step", "exp_avg", "exp_avg_sq"}
    started = config.site_model_spec().build().substitution
    learned = checkpoint.selected_model(tmp_path).substitution
    for name, parameter in started.named_parameters():
        assert (learned.get_parameter(name) - parameter).abs().max() > 1e-3
    if rate.get("treatment") == "fixed":
        assert (checkpoint.spec.rate.mean != 0) == rate.get("learn", False)
        export_model(tmp_path / "whole", tmp_path / "m", ExportRequest("toy"))
        model = load_model(str(tmp_path / "m"))
        theta = model.site_model(torch.arange(6).repeat(1, 4))
        best = checkpoint.tensors["best.fixed_log_rate"]
        torch.testing.assert_close(model.substitution.log_rate(theta)[0], best.expand(12))
        assert model.rate == RateAssumption("fixed", best.item())


def test_shared_parameters_have_their_own_learning_rate(config_of, mammals_store, tmp_path):
    substitution = {"model": "mutation-selection", "learning_rate": 0.3, "learn": "all"}
    config = config_of(mammals_store, substitution=substitution, optimiser={"steps": 1})
    trainer = Trainer(config, tmp_path / "run", CPU)
    shared = {id(parameter) for parameter in trainer.model.substitution.parameters()}
    (group,) = [g for g in trainer.optimiser.param_groups if {id(p) for p in g["params"]} & shared]
    assert {id(p) for p in group["params"]} == shared
    assert group["weight_decay"] == 0
    before = {name: p.clone() for name, p in trainer.model.substitution.named_parameters()}
    trainer.run()
    # Adam's first step is the learning rate, whatever the gradient: half of it in this warm-up.
    for name, parameter in trainer.model.substitution.named_parameters():
        assert (parameter - before[name]).abs().max().item() == pytest.approx(0.15, rel=1e-3)


def test_given_parameters_are_kept(config_of, mammals_store, tmp_path):
    substitution = {"model": "hky", "kappa": 3.0, "learn": False}
    config = config_of(mammals_store, substitution=substitution, optimiser={"steps": 3})
    trainer = Trainer(config, tmp_path / "run", CPU)
    trainer.run()
    assert trainer.model.substitution.settings()["kappa"] == pytest.approx(3)
    assert len(trainer.optimiser.param_groups) == 2
    spec = read_checkpoint(tmp_path / "run" / CHECKPOINT).spec
    assert (spec.substitution, spec.settings["kappa"]) == ("hky", pytest.approx(3))


def test_a_fitted_prior_is_written_down_and_used_again(
    config_of, mammals_store, tmp_path, monkeypatch
):
    config = config_of(mammals_store, rate={"learn": True}, optimiser={"steps": 3})
    train_until(config, tmp_path / "run", 1)
    spec = read_checkpoint(tmp_path / "run" / CHECKPOINT).spec
    assert spec.rate.treatment == "prior"
    assert 0 < spec.rate.sd < 33
    assert spec.rate != config_of(mammals_store).rate.assumption()
    monkeypatch.setattr("phylotools.training.loop.fit_rate_prior", None)  # must not be called
    trainer = Trainer(config, tmp_path / "run", CPU, resume=True)
    assert trainer.run().complete
    assert trainer.model.rate == spec.rate
    described = describe_checkpoint(tmp_path / "run" / CHECKPOINT)
    assert described["rate"] == spec.rate.to_dict()


def test_a_prior_is_not_fitted_to_held_out_species(config_of, mammals_store):
    """What they hold changes nothing, though it would change the likelihood of all species."""
    config = config_of(mammals_store, data={"held_out_species_fraction": 0.2})
    fits = []
    for change in (0, 1):
        data = TrainingData(config)
        (source,) = data.stores
        source.resident().bases[:, source.held_out_species] ^= change
        fits.append(fit_rate_prior(data, F81(), config, CPU))
    assert fits[0] == fits[1]
    assert fits[0].mean != F81().neutral_log_rate
