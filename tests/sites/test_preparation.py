from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from phylotools.errors import InputError, UsageError
from phylotools.phylogeny.site_fit import SitePrior
from phylotools.sites.preparation import FitSettings, prepare
from phylotools.store.columns import sample_columns
from phylotools.store.read import open_store

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def store(mammals_store):
    return open_store(mammals_store)


def test_defaults(store):
    prepared = prepare(store, FitSettings(sample=500))
    assert prepared.prior == SitePrior()
    assert prepared.held_out == ()
    assert prepared.held_out_log_likelihood is None
    reference = np.concatenate([part.reference for part in sample_columns(store, 500, 1)])
    counts = np.bincount(reference, minlength=4)[:4]
    assert prepared.background == pytest.approx((counts + 0.5) / (counts + 0.5).sum())
    assert prepared.model.site_rate(prepared.neutral).item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [("free", (None, math.inf)), ("fixed", (None, 0.0)), ("prior", (None, 1.0))],
)
def test_rate_treatments(store, rate, expected):
    prior = prepare(store, FitSettings(rate=rate, sample=100)).prior
    assert (prior.log_rate_mean, prior.log_rate_sd) == expected
    given = FitSettings(rate_mean=0.5, rate_sd=0.25, frequency_sd=2.0, sample=100)
    assert prepare(store, given).prior == SitePrior(0.5, 0.25, 2.0)


@pytest.mark.parametrize("name", ["hky", "gtr", "mutation-selection"])
def test_mutation_alone_gives_the_background_unless_told_otherwise(store, name):
    settings = FitSettings(name, background=(0.4, 0.1, 0.2, 0.3), sample=100)
    prepared = prepare(store, settings)
    assert prepared.background == pytest.approx([0.4, 0.1, 0.2, 0.3])
    key = "mutation_frequencies" if name == "mutation-selection" else "background"
    assert prepared.model.settings()[key] == pytest.approx([0.4, 0.1, 0.2, 0.3])
    pi = prepared.model.log_equilibrium_frequencies(prepared.neutral).exp()
    assert pi.tolist() == pytest.approx([0.4, 0.1, 0.2, 0.3], abs=1e-6)
    scores = prepared.model.allele_scores(prepared.neutral)
    assert (scores - scores.mean()).abs().max() < 1e-5
    own = prepare(store, dataclasses.replace(settings, shared={key: [0.1, 0.2, 0.3, 0.4]}))
    assert own.model.settings()[key] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert own.background == prepared.background
    if name != "hky":
        both = dataclasses.replace(settings, shared={"strand_symmetric": True})
        assert prepare(store, both).background == pytest.approx([0.35, 0.15, 0.15, 0.35])


def test_shared_parameters_are_learned(store):
    prepared = prepare(store, FitSettings("hky", learn_shared=True, sample=400))
    assert prepared.model.settings()["kappa"] > 5  # mitochondrial transitions
    with pytest.raises(InputError, match="kappa"):
        prepare(store, FitSettings("gtr", {"kappa": 3.0}))


def test_a_fitted_prior_is_the_best_that_was_tried(store):
    settings = FitSettings(rate="fitted", sample=150, held_out_fraction=0.2)
    prepared = prepare(store, settings)
    values = dict(prepared.trials)
    assert prepared.held_out_log_likelihood == values[prepared.prior]
    assert values[prepared.prior] >= max(values.values()) - 1e-4
    assert len(prepared.held_out) == round(0.2 * 29)
    assert store.reference_species not in prepared.held_out
    again = prepare(store, settings)
    assert again.prior == prepared.prior
    assert again.held_out == prepared.held_out
    other = prepare(store, dataclasses.replace(settings, seed=5, rate_sd=2.0, frequency_sd=1.0))
    assert other.held_out != prepared.held_out
    assert (other.prior.log_rate_sd, other.prior.log_frequency_sd) == (2.0, 1.0)


def test_named_species_judge_a_given_prior(store):
    named = (store.species[3], store.species[8])
    values = []
    for rate in ("prior", "fixed"):
        prepared = prepare(store, FitSettings(rate=rate, sample=200, held_out_species=named))
        assert prepared.held_out == named
        values.append(prepared.held_out_log_likelihood)
    # One rate for all of these sites predicts worse.
    assert values[0] > values[1]


def test_the_neutral_scale_stretches_the_tree(store):
    plain, scaled = (
        prepare(store, FitSettings(neutral_scale=scale, sample=100)).plans.own
        for scale in (1.0, 2.5)
    )
    long = plain.branch_length > 1e-5
    assert scaled.branch_length[long] == pytest.approx(2.5 * plain.branch_length[long])


def test_species_that_cannot_be_held_out_are_refused(store):
    for names, match in (
        (("Nobody",), "no species"),
        ((store.reference_species,), "reference"),
        (tuple(set(store.species) - {store.reference_species}), "at least one"),
    ):
        with pytest.raises(UsageError, match=match):
            prepare(store, FitSettings(held_out_species=names))


def test_the_sample_does_not_depend_on_its_use(store):
    first, second = (
        prepare(store, FitSettings(name, sample=200)) for name in ("f81", "mutation-selection")
    )
    assert first.n_sample == second.n_sample
    assert first.background == pytest.approx(second.background, abs=1e-6)
