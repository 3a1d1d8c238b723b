"""Masked language modelling, alone and beside the phylogenetic likelihood."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from small_runs import CPU, metrics_of, resumes_to_the_same, tables
from small_stores import Block, write_store

from phylotools.io.regions import Region
from phylotools.model.presets import MASK_TOKEN
from phylotools.model.registry import describe_model, load_model, verify_model
from phylotools.phylogeny.likelihood import column_log_likelihood, log_reference_frequency
from phylotools.phylogeny.tree import parse_newick
from phylotools.training.config_file import parse_config
from phylotools.training.dataset import TrainingData
from phylotools.training.export import ExportRequest, export_model
from phylotools.training.loop import Trainer
from phylotools.training.objectives import (
    BothObjective,
    MaskedObjective,
    column_theta,
    make_objective,
)
from phylotools.training.objectives.masked import N_MASKS
from phylotools.training.objectives.masks import draw_mask
from phylotools.training.start import new_model

pytestmark = pytest.mark.usefixtures("one_thread")
WIDTH = 48
MASKED = {"kind": "masked"}


def rng() -> np.random.Generator:
    return np.random.default_rng((5, 0, 0, 3))


@pytest.fixture
def random_model(config_of, mammals_store):
    """A model of masked bases whose every parameter is moved."""
    torch.manual_seed(2)
    model = new_model(config_of(mammals_store, objective=MASKED))
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.fixture
def batch(config_of, birds_store):
    """Windows of birds, some soft-masked, with a base that is not known."""
    config = config_of(birds_store, data={"soft_mask_weight": 0.3})
    found = list(TrainingData(config).epoch(0))
    batch = next((b for b in found if len(set(b.weight.tolist())) == 2), found[0])
    reference = batch.reference.clone()
    reference[3] = MASK_TOKEN
    return dataclasses.replace(batch, reference=reference)


def test_the_loss_is_the_cross_entropy_of_the_masked_bases(random_model, batch):
    objective = MaskedObjective(WIDTH, 0.3)
    prepared = objective.prepared(batch, rng())
    theta = column_theta(random_model, prepared).detach().double()
    by_hand = weight = 0.0
    for c, base in enumerate(prepared.reference.tolist()):
        share = math.exp(theta[c, base]) / sum(math.exp(t) for t in theta[c].tolist())
        by_hand += prepared.weight[c].item() * math.log(share)
        weight += prepared.weight[c].item()
    terms = objective.terms(random_model, prepared)
    assert terms.log_likelihood.item() == pytest.approx(by_hand / weight, rel=1e-5)
    assert terms.penalty.item() == 0
    assert objective.weight(prepared) == pytest.approx(weight)


def test_every_window_has_its_fraction_masked_and_nothing_else_is_hidden(batch):
    prepared = MaskedObjective(WIDTH, 0.3).prepared(batch, rng())
    half = (batch.tokens.shape[1] - WIDTH) // 2
    able = (batch.reference < 4).numpy()
    window, masked_window = batch.site.numpy() // WIDTH, prepared.site.numpy() // WIDTH
    for row in range(len(batch.tokens)):
        n_able = (able & (window == row)).sum()
        assert (masked_window == row).sum() == max(round(0.3 * n_able), 1)
    expected = batch.tokens.clone()
    for site in prepared.site.tolist():
        expected[site // WIDTH, half + site % WIDTH] = MASK_TOKEN
    assert torch.equal(prepared.tokens, expected)
    assert (prepared.reference < 4).all()
    at = {site: c for c, site in enumerate(batch.site.tolist())}
    rows = [at[site] for site in prepared.site.tolist()]
    assert torch.equal(prepared.reference, batch.reference[rows])
    assert torch.equal(prepared.states, batch.states[rows])


def test_masks_do_not_depend_on_which_windows_are_at_hand(batch):
    """Drawn for the whole batch, whoever draws them."""
    whole = draw_mask(batch, WIDTH, 0.15, rng())
    assert torch.equal(whole, draw_mask(batch, WIDTH, 0.15, rng()))
    assert not torch.equal(whole, draw_mask(batch, WIDTH, 0.15, np.random.default_rng(9)))
    parts = []
    for first in range(0, len(batch.tokens), 2):
        tokens = batch.tokens[first : first + 2]
        here = (batch.site // WIDTH >= first) & (batch.site // WIDTH < first + 2)
        part = batch.columns(here)
        part = dataclasses.replace(part, tokens=tokens, site=part.site - first * WIDTH)
        parts.append(draw_mask(part, WIDTH, 0.15, rng(), first_window=first))
    assert torch.equal(torch.cat(parts), whole)


def test_a_part_adds_up_to_its_batch(random_model, batch):
    objective = MaskedObjective(WIDTH, 0.3)
    prepared = objective.prepared(batch, rng())
    whole = objective.sums(random_model, prepared)
    first = prepared.site < 2 * WIDTH
    parts = [objective.sums(random_model, prepared.columns(rows)) for rows in (first, ~first)]
    total = parts[0].log_likelihood + parts[1].log_likelihood
    assert total.item() == pytest.approx(whole.log_likelihood.item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["sums", "evaluate"])
def test_the_base_under_a_mask_changes_no_prediction(random_model, batch, kind: str):
    objective = MaskedObjective(WIDTH, 0.3)
    half = (batch.tokens.shape[1] - WIDTH) // 2
    chosen = draw_mask(batch, WIDTH, 0.3, rng())
    if kind == "evaluate":
        # Of one window in which nothing else is masked at the same time.
        chosen = torch.zeros_like(chosen)
        chosen[7] = True
    site = batch.site[chosen]
    tokens, reference = batch.tokens.clone(), batch.reference.clone()
    tokens[site // WIDTH, half + site % WIDTH] = (reference[chosen].long() + 1) % 4
    other = dataclasses.replace(batch, tokens=tokens)
    if kind == "sums":
        found = [column_theta(random_model, objective.prepared(b, rng())) for b in (batch, other)]
        assert torch.equal(*found)
        return
    found = [objective.evaluate(random_model, b).shown for b in (batch, other)]
    column = int((batch.reference[:7] < 4).sum())
    assert found[0][column] == found[1][column]
    assert not torch.equal(*found)


def test_an_evaluation_masks_every_known_base_once(random_model, batch):
    figures = MaskedObjective(WIDTH, 0.5).evaluate(random_model, batch)
    half = (batch.tokens.shape[1] - WIDTH) // 2
    expected = []
    for c, site in enumerate(batch.site.tolist()):
        if batch.reference[c] >= 4:
            continue
        tokens = batch.tokens.clone()
        for other in batch.site[batch.reference < 4].tolist():
            if other % N_MASKS == site % N_MASKS:
                tokens[other // WIDTH, half + other % WIDTH] = MASK_TOKEN
        theta = random_model(tokens).flatten(0, 1)[site]
        expected.append(theta.log_softmax(-1)[batch.reference[c].long()].item())
        if len(expected) == 30:
            break
    np.testing.assert_allclose(figures.shown[:30].numpy(), expected, rtol=1e-4, atol=1e-5)
    assert figures.held_out is None
    assert len(figures.shown) == (batch.reference < 4).sum()


def test_both_is_the_column_given_its_base_and_where_masked_the_whole_column(
    config_of, birds_store, batch
):
    config = config_of(birds_store, objective={"kind": "both", "mask_fraction": 0.4})
    torch.manual_seed(3)
    model = new_model(config)
    prepared = BothObjective(WIDTH, 0.4, 1.0).prepared(batch, rng())
    assert len(prepared.site) == len(batch.site)
    theta = column_theta(model, prepared)
    joint = column_log_likelihood(prepared.states, theta, prepared.plan, model.substitution)
    own = log_reference_frequency(prepared.reference, theta, model.substitution)
    expected = torch.where(prepared.masked, joint, joint - own)
    expected = (expected * prepared.weight).sum() / prepared.weight.sum()
    terms = BothObjective(WIDTH, 0.4, 1.0).terms(model, prepared)
    assert terms.log_likelihood.item() == pytest.approx(expected.item(), rel=1e-5)
    assert terms.penalty.item() > 0
    heavier = BothObjective(WIDTH, 0.4, 3.0).terms(model, prepared)
    gain = (own * prepared.weight * prepared.masked).sum() / prepared.weight.sum()
    assert heavier.log_likelihood.item() == pytest.approx((expected + 2 * gain).item(), rel=1e-5)


def test_predictions_of_the_other_strand_are_the_mirrored_ones(random_model, batch):
    prepared = MaskedObjective(WIDTH, 0.3).prepared(batch, rng())
    theta = random_model(prepared.tokens)
    complement = torch.tensor([3, 2, 1, 0, 4, 5])
    other = random_model(complement[prepared.tokens].flip(1))
    torch.testing.assert_close(other.flip(1, 2), theta, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["masked", "both"])
def test_a_killed_run_resumes_to_the_same_masks(config_of, mammals_store, tmp_path, kind: str):
    config = config_of(
        mammals_store,
        objective={"kind": kind},
        data={"held_out_regions": ["chrM:10500-10600"], "any_row_weight": 0.5},
        run={"site_fits": False},
    )
    resumes_to_the_same(config, tmp_path, [7, 13])


def test_masks_are_the_whole_batchs_in_any_number_of_parts(config_of, mammals_store, tmp_path):
    """So that only the order of sums differs."""
    found = []
    for parts in (1, 4):
        config = config_of(mammals_store, objective=MASKED, optimiser={"steps": 4, "parts": parts})
        Trainer(config, tmp_path / str(parts), CPU).run()
        found.append([float(row["loss"]) for row in metrics_of(tmp_path / str(parts))])
    np.testing.assert_allclose(*found, rtol=1e-4)
    assert len(found[0]) == 4


def test_the_exported_model_says_that_its_input_is_masked(config_of, mammals_store, tmp_path):
    config = config_of(
        mammals_store, objective=MASKED, data={"held_out_regions": ["chrM:10500-10600"]}
    )
    Trainer(config, tmp_path / "run", CPU).run()
    rows = [row for row in metrics_of(tmp_path / "run") if row["evaluation_held_out_columns"]]
    assert -2 < float(rows[0]["evaluation_held_out_columns"]) < -1
    assert -1.5 < float(rows[0]["null_constants"]) < -1.2
    assert not (tmp_path / "run" / "site_fits.safetensors").exists()
    export_model(tmp_path / "run", tmp_path / "model", ExportRequest("masked"))
    model = load_model(str(tmp_path / "model"))
    assert model.masks_site
    assert model.site_model.masks_site
    assert model.manifest["manifest_version"] == 2
    assert model.config["objective"] == {"input": "masked"}
    assert (model.substitution.name, model.rate.treatment) == ("f81", "fixed")
    assert verify_model(model) < 1e-6
    assert model.manifest["objective"] == {"kind": "masked"}
    card = (tmp_path / "model" / "card.md").read_text()
    assert "masked language modelling" in card
    assert "null model: base composition" in card
    assert "Mean log-likelihoods of masked bases" in card
    described = describe_model(tmp_path / "model")
    assert described["objective"] == {"kind": "masked", "input": "masked"}
    picture = (tmp_path / "model" / "training.svg").read_text()
    assert "null model: base composition" in picture
    assert "log-likelihood of masked bases" in picture


def test_other_models_are_written_as_before(config_of, mammals_store, tmp_path):
    Trainer(config_of(mammals_store), tmp_path / "run", CPU).run()
    export_model(tmp_path / "run", tmp_path / "model", ExportRequest("usual"))
    model = load_model(str(tmp_path / "model"))
    assert not model.masks_site
    assert model.manifest["manifest_version"] == 1
    assert "objective" not in model.config
    assert "objective" not in model.config["training"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"objective": {"kind": "mlm"}}, "must be one of phylogenetic, masked, both"),
        ({"objective": {"mask_fraction": 0.2}}, "has no effect where objective.kind"),
        ({"objective": {"kind": "masked", "masked_weight": 2.0}}, "masked_weight has no effect"),
        ({"objective": {"kind": "masked", "mask_fraction": 0}}, "must be above 0"),
        ({"objective": {"kind": "both", "mask_fraction": 1.5}}, "must not exceed 1"),
        ({"objective": MASKED, "substitution": {"model": "gtr"}}, "model must be f81"),
        ({"objective": MASKED, "rate": {"treatment": "prior"}}, "treatment must be fixed"),
        ({"objective": MASKED, "rate": {"learn": True}}, "not learned"),
        ({"objective": MASKED, "run": {"site_fits": True}}, "site_fits must be false"),
        (
            {
                "objective": MASKED,
                "data": {"held_out_species_fraction": 0.2},
                "run": {"select_by": "held_out_species"},
            },
            "cannot be held_out_species",
        ),
        ({"objective": "masked"}, "objective must be a table"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(mammals_store, changes, problem: str):
    given = changes.pop("objective")
    values = tables(mammals_store, **changes) | {"objective": given}
    _, errors = parse_config(values, mammals_store.parent)
    assert any(problem in error for error in errors), errors


def test_an_objective_that_is_not_named_is_the_phylogenetic_one(config_of, mammals_store):
    config = config_of(mammals_store)
    assert "objective" not in config.to_dict()
    assert config_of(mammals_store, objective={"kind": "phylogenetic"}) == config
    assert make_objective(config).n_passes == 1


def test_a_signal_of_period_three_is_learned(config_of, tmp_path):
    """To the entropy that is left, and not beyond it, as if masks leaked."""
    rng, length = np.random.default_rng(1), 9000
    usual = np.array([0, 1, 2])[np.arange(length) % 3]
    bases = np.where(rng.random(length) < 0.1, rng.integers(0, 4, length), usual).astype(np.uint8)
    tree = parse_newick("(a:0.1,b:0.1);")
    block = Block(Region("c", 0, length), ("a", "b"), np.stack([bases, bases]), length)
    write_store(tmp_path / "store", tree, "a", [block])
    config = config_of(
        tmp_path / "store",
        objective=MASKED,
        data={"held_out_regions": ["c:3001-4500"]},
        optimiser={"steps": 100, "schedule": "cosine"},
        run={"evaluate_every": 50},
    )
    trainer = Trainer(config, tmp_path / "run", CPU)
    progress = trainer.run()
    held_out = bases[3000:4500] == usual[3000:4500]
    best = np.where(held_out, math.log(0.925), math.log(0.025)).mean()
    assert progress.null_constants < -1.1
    assert best - 0.3 < progress.best_held_out < best + 0.02
