"""Runs that begin with another model's weights, and what of the substitution model is learned."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from small_runs import CPU, train_until

from phylotools.errors import InputError
from phylotools.model.registry import load_model
from phylotools.provenance import sha256_file
from phylotools.training.checkpoint import read_checkpoint
from phylotools.training.export import ExportRequest, export_model
from phylotools.training.loop import Trainer
from phylotools.training.run_folder import CHECKPOINT
from phylotools.training.start import fill_from_model, new_model

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def origin(config_of, mammals_store, tmp_path, monkeypatch):
    """A run of the mammals, and the model `base` in the cache of models."""
    Trainer(config_of(mammals_store), tmp_path / "first", CPU).run()
    export_model(tmp_path / "first", tmp_path / "models" / "base", ExportRequest("base", "7"))
    monkeypatch.setenv("PHYLOTOOLS_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def _models_folder(tmp_path):
    (tmp_path / "models").mkdir()


def initial(config, folder):
    """The model before its first step."""
    return Trainer(config, folder, CPU).model


@pytest.mark.parametrize("given", ["base", "models/base", "first/checkpoint.safetensors"])
def test_weights_come_from_a_name_a_folder_or_a_checkpoint(
    origin, config_of, birds_store, tmp_path, given
):
    """And other data, of other species, are trained on."""
    start = given if given == "base" else str(tmp_path / given)
    config = config_of(birds_store, run={"init_from": start}, optimiser={"steps": 2})
    trainer = Trainer(config, tmp_path / "second", CPU)
    trained = load_model("base").site_model
    tokens = torch.randint(0, 6, (2, 40))
    with torch.no_grad():
        torch.testing.assert_close(trainer.model(tokens), trained(tokens), rtol=1e-5, atol=1e-5)
    assert trainer.model.substitution.settings() == trained.substitution.settings()
    assert trainer.model.rate == config.rate.assumption()
    trainer.run()
    export_model(tmp_path / "second", tmp_path / "toy", ExportRequest("toy"))
    manifest = json.loads((tmp_path / "toy" / "manifest.json").read_text())
    if given.endswith("safetensors"):
        path = tmp_path / given
        expected = {"name": str(path), "revision": "step 20", "sha256": sha256_file(path)}
    else:
        sha256 = sha256_file(tmp_path / "models" / "base" / "weights.safetensors")
        expected = {"name": "base", "revision": "7", "sha256": sha256}
    assert manifest["init_from"] == expected


def test_a_run_resumes_without_the_model_it_began_with(origin, config_of, mammals_store, tmp_path):
    config = config_of(mammals_store, run={"init_from": "base"})
    Trainer(config, tmp_path / "whole", CPU).run()
    train_until(config, tmp_path / "parts", 8)
    (tmp_path / "models" / "base").rename(tmp_path / "gone")
    Trainer(config, tmp_path / "parts", CPU, resume=True).run()
    a, b = (read_checkpoint(tmp_path / name / CHECKPOINT) for name in ("whole", "parts"))
    assert a.facts == b.facts
    assert a.facts["init_from"]["name"] == "base"
    assert all(torch.equal(a.tensors[name], b.tensors[name]) for name in a.tensors)


def test_parameters_that_are_given_are_not_taken(origin, config_of, mammals_store):
    frequencies = [0.3, 0.2, 0.2, 0.3]
    config = config_of(
        mammals_store,
        run={"init_from": "base"},
        substitution={"mutation_frequencies": frequencies},
    )
    model = new_model(config)
    fill_from_model(model, config)
    found, trained = model.substitution.settings(), load_model("base").substitution.settings()
    assert found["mutation_frequencies"] == pytest.approx(frequencies)
    ratio = torch.tensor(found["exchangeabilities"]) / torch.tensor(trained["exchangeabilities"])
    torch.testing.assert_close(ratio, ratio[:1].expand(6))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"network": {"channels": 16}}, "another shape: channels is 8, not 16"),
        ({"network": {"dilations": [1, 4]}}, r"dilations is \[1, 2\], not \[1, 4\]"),
        ({"substitution": {"model": "gtr"}}, "substitution model is mutation-selection, the conf"),
        ({"run": {"init_from": "nowhere"}}, "no model is called 'nowhere'"),
    ],
)
def test_another_model_is_one_line(origin, config_of, mammals_store, tmp_path, changes, match):
    changes = {"run": {"init_from": "base"}} | changes
    with pytest.raises(InputError, match=match) as caught:
        Trainer(config_of(mammals_store, **changes), tmp_path / "second", CPU)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "second" / CHECKPOINT).exists()


def test_a_model_that_does_not_fit_keeps_the_old_run(origin, config_of, mammals_store, tmp_path):
    kept = (tmp_path / "first" / CHECKPOINT).read_bytes()
    config = config_of(mammals_store, network={"channels": 16}, run={"init_from": "base"})
    with pytest.raises(InputError, match="another shape"):
        Trainer(config, tmp_path / "first", CPU, force=True)
    assert (tmp_path / "first" / CHECKPOINT).read_bytes() == kept


@pytest.mark.parametrize(
    ("learn", "changes"),
    [("all", (True, True)), ("exchangeabilities", (True, False)), ("none", (False, False))],
)
def test_what_is_learned(config_of, mammals_store, tmp_path, learn, changes):
    config = config_of(mammals_store, substitution={"learn": learn}, optimiser={"steps": 3})
    trainer = Trainer(config, tmp_path / "run", CPU)
    before = {name: p.clone() for name, p in trainer.model.substitution.named_parameters()}
    trainer.run()
    moved = {
        name: not torch.equal(before[name], parameter)
        for name, parameter in trainer.model.substitution.named_parameters()
    }
    assert (moved["log_exchangeabilities"], moved["log_frequencies"]) == changes


def test_a_prior_holds_the_mutation_frequencies(config_of, mammals_store, tmp_path):
    """The narrower it is, the nearer to what was given they stay."""
    given = torch.tensor([0.3, 0.2, 0.2, 0.3])

    def distance(**changes) -> float:
        config = config_of(
            mammals_store,
            substitution={"mutation_frequencies": given.tolist(), "learn": "all"} | changes,
            optimiser={"steps": 60},
            run={"evaluate_every": 60},
        )
        folder = tmp_path / f"run{changes}"
        trainer = Trainer(config, folder, CPU)
        trainer.run()
        found = torch.tensor(trainer.model.substitution.settings()["mutation_frequencies"])
        return (found.log() - given.log()).abs().max().item()

    free, wide, narrow = (
        distance(),
        distance(frequency_prior_sd=0.02),
        distance(frequency_prior_sd=0.001),
    )
    assert free > wide > narrow
    assert narrow < 0.02 < free


def test_the_penalty_of_the_frequencies_is_one_prior_for_all_columns(
    config_of, mammals_store, tmp_path
):
    config = config_of(mammals_store, substitution={"frequency_prior_sd": 0.5, "learn": "all"})
    trainer = Trainer(config, tmp_path / "run", CPU)
    prior, model = trainer.update.prior, trainer.model.substitution
    assert prior.penalty(model).item() == pytest.approx(0, abs=1e-12)
    with torch.no_grad():
        model.log_frequencies[:] = torch.tensor([0.4, 0.1, 0.1, 0.4]).log()
    squares = 2 * (torch.tensor(1.6).log() ** 2 + torch.tensor(0.4).log() ** 2)
    expected = squares.item() / (2 * 0.5**2) / 973
    assert prior.penalty(model).item() == pytest.approx(expected, rel=1e-5)


def test_implausible_parameters_are_a_warning(config_of, mammals_store, tmp_path, caplog):
    config = config_of(
        mammals_store,
        optimiser={"steps": 16},
        substitution={
            "mutation_frequencies": [0.47, 0.03, 0.03, 0.47],
            "exchangeabilities": [1, 60, 1, 1, 60, 1],
            "learn": "none",
        },
    )
    progress = Trainer(config, tmp_path / "run", CPU).run()
    assert set(progress.warnings) == {"frequencies", "exchangeabilities"}
    assert "mutation alone would leave 0.03 of C" in caplog.text
    assert "the exchangeability of AG is 60 times that of" in caplog.text
    assert len(caplog.records) == 2
    export_model(tmp_path / "run", tmp_path / "toy", ExportRequest("toy"))
    card = (tmp_path / "toy" / "card.md").read_text()
    assert all(text in card for text in progress.warnings.values())
    asymmetric = dataclasses.replace(
        config, substitution=dataclasses.replace(config.substitution, strand_symmetric=False)
    )
    # A mitochondrion may well have so few.
    found = Trainer(asymmetric, tmp_path / "other", CPU).run().warnings
    assert set(found) == {"exchangeabilities"}


# Going on with other data and other species


def _first(config_of, store, tmp_path, **changes):
    Trainer(config_of(store, **changes), tmp_path / "first", CPU).run()
    return str(tmp_path / "first" / CHECKPOINT)


@pytest.mark.parametrize("species", [29, 6])
def test_a_finished_run_goes_on_with_other_species(
    config_of, birds_store, mammals_store, tmp_path, species
):
    """30 mammals, then 14 birds of two contigs, or fewer of the same mammals."""
    start = _first(config_of, mammals_store, tmp_path, data={"held_out_fraction": 0.1})
    store = birds_store if species == 29 else mammals_store
    data = {"held_out_species_fraction": 0.8} if species == 6 else {}
    config = config_of(store, data=data, run={"init_from": start}, optimiser={"steps": 12})
    trainer = Trainer(config, tmp_path / "second", CPU)
    best = read_checkpoint(tmp_path / "first" / CHECKPOINT)
    weights = trainer.model.state_dict()
    # The best weights; no moments, no place in the data.
    assert all(torch.equal(weights[name], tensor) for name, tensor in best.part("best.").items())
    assert not trainer.optimiser.state
    assert trainer.progress.step == 0
    before = dict(best.tensors)
    assert trainer.run().complete
    # The first run stays as it was.
    after = read_checkpoint(tmp_path / "first" / CHECKPOINT).tensors
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_training_on_is_better_than_training_anew(config_of, mammals_store, tmp_path):
    """Of the same few steps: what was learned is there."""
    data = {"held_out_fraction": 0.2}
    start = _first(config_of, mammals_store, tmp_path, data=data, optimiser={"steps": 60})
    figures = {}
    for name, run in (("on", {"init_from": start}), ("anew", {})):
        config = config_of(mammals_store, data=data, run=run, optimiser={"steps": 8})
        figures[name] = Trainer(config, tmp_path / name, CPU).run().best_held_out
    assert figures["on"] > figures["anew"] + 0.1


@pytest.mark.parametrize("changes", [{"data": {"soft_mask_weight": 0.5}}, {}])
def test_what_cannot_be_extended_names_what_can(
    config_of, birds_store, mammals_store, tmp_path, changes
):
    start = _first(config_of, mammals_store, tmp_path)
    store = mammals_store if changes else birds_store
    more = config_of(store, optimiser={"steps": 30}, **changes)
    remedy = rf'begin a run in another folder, with run\.init_from = "{start}"'
    with pytest.raises(InputError, match=remedy) as caught:
        Trainer(more, tmp_path / "first", CPU, extend=True)
    assert "\n" not in str(caught.value)
    # And that is how.
    again = config_of(store, optimiser={"steps": 2}, run={"init_from": start}, **changes)
    assert Trainer(again, tmp_path / "second", CPU).run().complete
