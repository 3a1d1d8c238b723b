from __future__ import annotations

import logging
import math

import numpy as np
import pytest
import torch

from phylotools.errors import InputError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region, RegionSet
from phylotools.model.registry import load_model
from phylotools.phylogeny.site_fit import fit_sites
from phylotools.scoring.scorer import Scorer
from phylotools.sites.fits import fit_columns
from phylotools.sites.network_prior import NetworkPrior
from phylotools.sites.preparation import FitSettings, prepare
from phylotools.store.columns import columns_in_order, sample_columns
from phylotools.store.read import open_store

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def store(mammals_store):
    return open_store(mammals_store)


@pytest.fixture
def chrm(data):
    with ReferenceGenome.open(data.parents[1] / "examples/human_mtdna/data/chrM.fa") as genome:
        yield genome


@pytest.fixture
def network(make_model, chrm, store) -> NetworkPrior:
    model = load_model(str(make_model("hky", {"kappa": 4.0})))
    return NetworkPrior(model, chrm, store, threads=1)


def test_theta_is_the_models(network, chrm, store):
    ((columns,),) = columns_in_order(store)
    expected = Scorer(network.model, chrm, threads=1).theta_at("chrM", columns.position)
    assert torch.equal(network.theta(columns), torch.from_numpy(expected))
    assert network.n_outside_training == 0


def test_a_scaled_tree_slows_the_centre(network, chrm, store):
    columns = sample_columns(store, 50, 1)[0]
    model = network.model.substitution
    scaled = NetworkPrior(network.model, chrm, store, neutral_scale=2.5, threads=1).theta(columns)
    plain = network.theta(columns)
    difference = model.log_rate(plain) - model.log_rate(scaled)
    assert torch.allclose(difference, torch.tensor(math.log(2.5)), atol=1e-5)
    pi = model.log_equilibrium_frequencies
    assert torch.allclose(pi(plain), pi(scaled), atol=1e-5)
    # The same site on the longer tree: the same probabilities of change.
    short, long = (
        model.transition_probabilities(plain, 0.5),
        model.transition_probabilities(scaled, 1.25),
    )
    assert torch.allclose(short, long, atol=1e-5)


def test_fits_are_centred_on_the_network(network, store):
    settings = FitSettings(rate="prior", rate_sd=0.3, frequency_sd=0.4, sample=100)
    prepared = prepare(store, settings, network)
    assert prepared.model.name == "hky"
    ((columns,),) = columns_in_order(store)
    (fits,) = fit_columns([columns], prepared)
    theta = fit_sites(
        torch.from_numpy(columns.states), torch.from_numpy(columns.reference), prepared.plans.own,
        prepared.prior, prepared.model, network.theta(columns),
    )  # fmt: skip
    assert np.allclose(fits.log_rate, prepared.model.log_rate(theta).numpy(), atol=1e-4)
    (loose,) = fit_columns([columns], prepare(store, FitSettings("hky", sample=100)))
    centre = prepared.model.log_rate(network.theta(columns)).numpy()
    near, far = (np.abs(f.log_rate - centre).mean() for f in (fits, loose))
    assert near < 0.7 * far


def test_a_useless_network_gets_wide_priors(network, store):
    prepared = prepare(store, FitSettings(rate="fitted", sample=100), network)
    assert prepared.prior.log_rate_mean is None
    assert prepared.prior.log_frequency_sd >= 1
    assert len(prepared.trials) > 3


def test_species_the_model_never_saw_judge_it(make_model, chrm, store, caplog):
    caplog.set_level(logging.WARNING, logger="phylotools")
    unseen = [store.species[4], store.species[9]]
    entry = {"fingerprint": store.fingerprint, "held_out_species": unseen}
    model = load_model(str(make_model(training_stores=[entry])))
    network = NetworkPrior(model, chrm, store, threads=1)
    assert network.unseen_species(store) == sorted(unseen)
    settings = FitSettings(rate="fitted", rate_sd=1.0, frequency_sd=1.0, sample=50)
    assert set(prepare(store, settings, network).held_out) == set(unseen)
    assert not caplog.records
    seen = FitSettings(rate="fitted", sample=50, held_out_species=(store.species[2],))
    prepare(store, seen, network)
    assert "was trained on the held-out species" in caplog.text


def test_another_assembly_is_refused(network, store, tmp_path, caplog):
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    sequence = letters[np.random.default_rng(1).integers(0, 4, store.contigs["chrM"])]
    (tmp_path / "other.fa").write_bytes(b">MT\n" + sequence.tobytes() + b"\n")
    with ReferenceGenome.open(tmp_path / "other.fa") as genome:
        other = NetworkPrior(network.model, genome, store, threads=1)
        with pytest.raises(InputError, match="wrong assembly"):
            prepare(store, FitSettings(sample=100), other)


def test_contigs_are_resolved_or_refused(network, chrm, store, odd_store, tmp_path):
    with pytest.raises(InputError, match="none of the store's contigs"):
        NetworkPrior(network.model, chrm, open_store(odd_store))
    (tmp_path / "one.fa").write_text(">chrb\n" + "ACGTACGTACGTACGTACGT\n")
    odd = open_store(odd_store)
    with ReferenceGenome.open(tmp_path / "one.fa") as genome:
        partial = NetworkPrior(network.model, genome, odd, threads=1)
        assert partial.has_contig("b")
        partial.require_contigs(["b"])
        with pytest.raises(InputError, match="lacks 1 of the store's contigs"):
            partial.require_contigs(["a", "b"])


def test_sites_outside_the_training_regions_are_counted(network, store):
    region = Region("chrM", 0, 4000)
    object.__setattr__(network.model, "training_regions", RegionSet.of([region]))
    ((columns,),) = columns_in_order(store)
    network.theta(columns)
    assert network.n_outside_training == int((columns.position >= 4000).sum())
