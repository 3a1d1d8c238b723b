"""A network with its substitution model and rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from phylotools.errors import InputError, UsageError
from phylotools.model.network import ByteNet
from phylotools.model.presets import ModelSpec
from phylotools.model.site_model import RateAssumption, SiteModel, SiteModelSpec
from phylotools.phylogeny.substitution import SUBSTITUTION_MODELS, make_substitution_model

pytestmark = pytest.mark.usefixtures("one_thread")
NETWORK = ModelSpec(12, 6, 5, (1, 3))
FIXED = RateAssumption("fixed", mean=-0.7)
COMPLEMENT = torch.tensor([3, 2, 1, 0, 4, 5])
every_model = pytest.mark.parametrize("name", SUBSTITUTION_MODELS)


def random_model(name: str, rate: RateAssumption | None = None, **settings) -> SiteModel:
    """Every parameter random, the shared ones too."""
    torch.manual_seed(0)
    model = SiteModel(ByteNet(NETWORK), make_substitution_model(name, **settings), rate)
    with torch.no_grad():
        for part in (model.network, model.substitution):
            for parameter in part.parameters():
                parameter.copy_(torch.randn_like(parameter))
    return model.freeze()


def random_tokens(positions: int = 9) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 6, (2, positions + NETWORK.receptive_field - 1), generator=generator)


@every_model
def test_a_fixed_rate_is_the_models_own_and_leaves_the_rest_alone(name):
    free, fixed = random_model(name), random_model(name, FIXED)
    a, b = free(random_tokens()), fixed(random_tokens())
    model = fixed.substitution
    torch.testing.assert_close(model.log_rate(b), torch.full_like(b[..., 0], -0.7))
    torch.testing.assert_close(
        model.log_equilibrium_frequencies(b), model.log_equilibrium_frequencies(a)
    )
    assert model.log_rate(a).std() > 0.1


@pytest.mark.parametrize("rate", [None, FIXED])
@pytest.mark.parametrize(
    ("name", "settings"),
    [("f81", {}), ("hky", {}), ("gtr", {"strand_symmetric": True}),
     ("mutation-selection", {"strand_symmetric": True})],
)  # fmt: skip
def test_the_strand_that_is_read_changes_nothing(name, settings, rate):
    """Rate matrices of the reverse complement are the complemented ones, in reverse."""
    model = random_model(name, rate, **settings)
    tokens = random_tokens()
    forward = model.substitution.rate_matrix(model(tokens))
    backward = model.substitution.rate_matrix(model(COMPLEMENT[tokens].flip(1)))
    torch.testing.assert_close(backward.flip(1, 2, 3), forward, rtol=1e-3, atol=1e-4)


@every_model
def test_new_models_start_near_neutral_sites(name):
    torch.manual_seed(0)
    model = SiteModelSpec(NETWORK, name).build()
    model.start_at_neutral_rate()
    with torch.no_grad():
        theta = model(random_tokens(200))
        rate = model.substitution.site_rate(theta).log()
    assert abs(rate.mean()) < 0.2
    assert rate.abs().max() < 1.5


@pytest.mark.parametrize(
    "spec",
    [
        SiteModelSpec(NETWORK),
        SiteModelSpec(NETWORK, "hky", {"kappa": 3.0}, RateAssumption("prior", 0.3, 2.0)),
        SiteModelSpec(NETWORK, "mutation-selection", {"strand_symmetric": True}, FIXED),
    ],
)
def test_specs_round_trip(spec):
    assert SiteModelSpec.from_dict(spec.to_dict(), path="config.toml") == spec
    built = spec.build()
    assert built.spec.rate == spec.rate
    assert built.spec.settings.items() >= spec.settings.items()


def test_a_built_model_is_made_again_from_its_spec():
    model = random_model("gtr", strand_symmetric=True)
    again = model.spec.build()
    torch.testing.assert_close(
        again.substitution.exchangeabilities(), model.substitution.exchangeabilities()
    )
    assert again.substitution.strand_symmetric


def test_models_from_before_there_were_others_are_f81():
    network = NETWORK.to_dict()
    spec = SiteModelSpec.from_dict({"network": network}, path="config.toml")
    assert (spec.substitution, spec.rate) == ("f81", RateAssumption("free"))
    old = {"network": network | {"fixed_log_rate": -0.7}}
    spec = SiteModelSpec.from_dict(old, path="config.toml")
    assert (spec.network, spec.rate) == (NETWORK, FIXED)
    theta = spec.build()(random_tokens())
    np.testing.assert_allclose(theta.logsumexp(-1).detach(), -0.7, atol=1e-5)


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ({}, "network"),
        ({"network": {**NETWORK.to_dict(), "fixed_log_rate": math.nan}}, "mean must lie"),
        ({"network": {**NETWORK.to_dict(), "fixed_log_rate": 1e300}}, "mean must lie"),
        ({"network": {**NETWORK.to_dict(), "fixed_log_rate": "x"}}, r"rate\.mean must be"),
        ({"substitution": 3}, "substitution"),
        ({"substitution": {"model": "jc69"}}, "no substitution model is called 'jc69'"),
        ({"substitution": {"model": [1]}}, "no substitution model"),
        ({"substitution": {"model": "hky", "kappa": "two"}}, "kappa"),
        ({"substitution": {"model": "hky", "name": "gtr"}}, "name is no parameter"),
        ({"substitution": {"model": "gtr", "exchangeabilities": [1] * 7}}, "must be 6 numbers"),
        ({"rate": []}, "rate"),
        ({"rate": {"treatment": "guess"}}, "treatment must be one of"),
        ({"rate": {"treatment": "prior", "mean": 0.0}}, "sd must lie"),
        ({"rate": {"treatment": "prior", "sd": 1.0}}, "mean must lie"),
        ({"rate": {"treatment": "prior", "mean": 0.0, "sd": -1.0}}, "sd must lie"),
        ({"rate": {"treatment": "prior", "mean": 0.0, "sd": math.inf}}, "sd must lie"),
        ({"rate": {"treatment": 1}}, "must be of type str"),
        ({"rate": {"x": 1}}, "unknown rate key 'x'"),
    ],
    ids=str,
)
def test_bad_tables_name_the_file(tables, problem):
    network = {"network": NETWORK.to_dict()} if tables else {}
    with pytest.raises(InputError, match=rf"^config\.toml: .*{problem}"):
        SiteModelSpec.from_dict(network | tables, path="config.toml")


def test_assumptions_list_all_their_errors():
    with pytest.raises(UsageError, match=r"mean must lie.*; sd must lie"):
        RateAssumption("prior")
    assert RateAssumption("free").to_dict() == {"treatment": "free"}
