"""The substitution model and the rate in a model folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tomli_w
import torch
from model_folders import CPU, SPEC, draft, refused, rehash

from phylotools.model.folder import read_model, write_model
from phylotools.model.network import ByteNet
from phylotools.model.registry import describe_model, verify_model
from phylotools.model.site_model import RateAssumption, SiteModel
from phylotools.model.weights import load_tensors
from phylotools.phylogeny.substitution import make_substitution_model

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(draft(), tmp_path / "toy")
    return tmp_path / "toy"


@pytest.mark.parametrize(
    ("name", "rate"),
    [("f81", RateAssumption("prior", 0.3, 2.0)), ("hky", RateAssumption("free")),
     ("gtr", RateAssumption("fixed", -0.4)), ("mutation-selection", RateAssumption("fixed", 0.0))],
)  # fmt: skip
def test_round_trip_of_the_substitution_model(tmp_path, name, rate):
    substitution = make_substitution_model(name)
    with torch.no_grad():
        for parameter in substitution.parameters():
            parameter.add_(torch.randn_like(parameter))
    site_model = SiteModel(ByteNet(SPEC), substitution, rate).freeze()
    write_model(draft(site_model=site_model), tmp_path / "m")
    model = read_model(tmp_path / "m", CPU)
    assert (model.substitution.name, model.rate) == (name, rate)
    assert model.substitution.settings() == substitution.settings()
    tokens = torch.randint(0, 6, (2, 30))
    assert torch.equal(model.site_model(tokens), site_model(tokens))
    assert not any(p.requires_grad for p in model.site_model.parameters())
    assert verify_model(model) <= 1e-6
    described = json.loads(json.dumps(describe_model(tmp_path / "m")))
    assert described["substitution"] == {"model": name, **substitution.settings()}
    assert described["rate"] == rate.to_dict()
    n_shared = sum(p.numel() for p in substitution.parameters())
    assert described["parameters"] == SPEC.n_parameters + n_shared
    # Readable without phylotools, and the tensors of the network are named as ever.
    assert f'model = "{name}"' in (tmp_path / "m" / "config.toml").read_text()
    tensors = load_tensors(tmp_path / "m" / "weights.safetensors")[0]
    others = {name for name in tensors if name not in ByteNet(SPEC).state_dict()}
    assert others == {f"substitution.{name}" for name in substitution.state_dict()}


@pytest.mark.parametrize("fixed", [None, -0.7])
def test_folders_from_before_there_were_other_models(folder, fixed):
    """F81, and a fixed rate in the table of the network."""
    before = read_model(folder, CPU)
    old = {"network": SPEC.to_dict(), "training": {}}
    old["network"] |= {} if fixed is None else {"fixed_log_rate": fixed}
    (folder / "config.toml").write_text(tomli_w.dumps(old))
    manifest = json.loads((folder / "manifest.json").read_text())
    for key in ("substitution", "rate"):
        del manifest[key]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rehash(folder)
    model = read_model(folder, CPU)
    assert model.substitution.name == "f81"
    theta, plain = (m.site_model(torch.arange(6).repeat(1, 4)) for m in (model, before))
    if fixed is None:
        assert torch.equal(theta, plain)
        assert verify_model(model) <= 1e-6
    else:
        torch.testing.assert_close(theta.logsumexp(-1), torch.full(theta.shape[:2], fixed))
    torch.testing.assert_close(theta.log_softmax(-1), plain.log_softmax(-1))


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('model = "hky"', 'model = "gtr"', "kappa is no parameter of gtr"),
        ('model = "hky"', 'model = "f81"', "is no parameter of f81"),
        ("kappa = 2.0", "kappa = 2.5", "the tensors say kappa = 2"),
        ("kappa = 2.0", "kappa = -2.0", "kappa must be positive"),
        ("kappa = 2.0", "kappa = nan", "kappa must be positive"),
        ("kappa = 2.0", "kapa = 2.0", "kapa is no parameter of hky"),
        ('treatment = "free"', 'treatment = "fixed"', "mean must lie"),
        ('treatment = "free"', "", "^$"),
    ],
)
def test_tables_that_contradict_the_weights(tmp_path, old, new, match):
    substitution = make_substitution_model("hky")
    write_model(draft(site_model=SiteModel(ByteNet(SPEC), substitution)), tmp_path / "m")
    config = tmp_path / "m" / "config.toml"
    text = config.read_text()
    assert text.count(old) == 1
    config.write_text(text.replace(old, new))
    rehash(tmp_path / "m")
    if match == "^$":
        assert read_model(tmp_path / "m", CPU).rate == RateAssumption()
    else:
        refused(tmp_path / "m", match)
