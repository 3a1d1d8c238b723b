"""A head in a model folder: it comes back as it was, and damage is a line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from toy_models import write_toy_model

from phylotools.errors import InputError
from phylotools.model.folder import write_changed
from phylotools.model.registry import load_model
from phylotools.model.tuned_head import (
    HEAD,
    TUNING,
    LinearHead,
    TunedHead,
    header_text,
    n_features,
    variant_head,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return load_model(str(write_toy_model(tmp_path_factory.mktemp("toy") / "toy")))


def head_of(base, **changes) -> TunedHead:
    rng = np.random.default_rng(1)
    width = n_features(base, "variants")
    head = LinearHead(*(rng.normal(size=width), 0.25, rng.normal(size=width), np.ones(width) * 2))
    facts = {"label_column": "L", "positive": ["a"]}
    settings = {"of": "variants", "labels": "classes", "base_sha256": base.sha256}
    settings |= {"in_transcripts": False, "description": "A test", "facts": facts}
    return TunedHead(head=head, **settings | changes)


def written(base, tuned: TunedHead, folder: Path, **files: bytes) -> Path:
    folder.mkdir()
    names = {"head": HEAD, "tuning": TUNING}
    changed = tuned.files() | {names[name]: data for name, data in files.items()}
    write_changed(folder, base, changed, {"tuned": {"name": base.name}})
    return folder


def test_it_comes_back_as_it_was(base, tmp_path):
    tuned = head_of(base)
    found = load_model(str(written(base, tuned, tmp_path / "tuned")))
    own = variant_head(found)
    assert (own.head.weights == tuned.head.weights).all()
    assert (own.head.bias, own.facts, own.rank) == (0.25, tuned.facts, 0)
    features = np.random.default_rng(2).normal(size=(5, len(own.head.weights)))
    expected = [0.25 + sum(tuned.head.weights * (row - tuned.head.centre) / 2) for row in features]
    assert own.head.score(features) == pytest.approx(expected)
    assert found.identity == base.identity
    assert base.tuned is None


def test_one_file_of_two_is_no_use(base, tmp_path):
    folder = written(base, head_of(base), tmp_path / "tuned")
    (folder / TUNING).unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sha256"][TUNING]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(
        InputError, match=r"tuning\.toml is missing, without which head\.safetensors"
    ):
        load_model(str(folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"description": 'of "x">\n##INFO=<ID=EVIL'}, "no line for a header"),
        ({"description": ""}, "no line for a header"),
        ({"of": "genes"}, "another phylotools"),
        ({"of": "regions"}, "none of a head of 10 features"),
        ({"rank": "2"}, "'rank' is missing or of the wrong type"),
        ({"rank": 2}, "adapters are those of another network"),
    ],
)
def test_settings_that_cannot_be_are_refused(base, tmp_path, changes, message):
    folder = written(base, head_of(base, **changes), tmp_path / "tuned")
    with pytest.raises(InputError, match=message):
        _ = load_model(str(folder)).tuned


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": torch.full((20,), torch.nan)}, "tensor weights is none of a head"),
        ({"scale": torch.zeros(20).double()}, "scale is not positive"),
        ({"bias": torch.zeros(2)}, "tensor bias is none of a head"),
        ({"weights": torch.zeros(20)}, "tensor weights is none of a head"),
        ({"weights": torch.zeros(20, dtype=torch.bool)}, "tensor weights is none of a head"),
        ({"more": torch.zeros(2)}, "other tensors than a head"),
    ],
)
def test_numbers_that_cannot_be_are_refused(base, tmp_path, change, message):
    tensors = safetensors.torch.load(head_of(base).files()[HEAD]) | change
    damaged = safetensors.torch.save(tensors)
    folder = written(base, head_of(base), tmp_path / "tuned", head=damaged)
    with pytest.raises(InputError, match=message):
        _ = load_model(str(folder)).tuned


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "change",
    [
        {"scale": np.full(20, 1e-308)},
        {"weights": np.array([1e308, -1e308] * 10)},
        {"bias": 1e31},
    ],
)
def test_scores_that_are_none_are_a_line(base, tmp_path, change):
    """Finite numbers may overflow: neither NaN nor hundreds of digits reach a file."""
    tuned = head_of(base)
    tuned = replace(tuned, head=replace(tuned.head, **change))
    found = load_model(str(written(base, tuned, tmp_path / "tuned"))).tuned
    with pytest.raises(InputError, match="gives scores that are none"):
        found.head.score(np.full((3, 20), 5.0))


def test_names_of_files_that_are_no_text_are_written(base, tmp_path):
    path = b"labels\xff.tsv".decode("utf-8", "surrogateescape")
    tuned = head_of(base, facts={"label_files": {path: "ab"}})
    found = load_model(str(written(base, tuned, tmp_path / "tuned"))).tuned
    assert found.facts == {"label_files": {"labels?.tsv": "ab"}}


def test_a_file_that_is_cut_short_is_refused(base, tmp_path):
    data = head_of(base).files()[HEAD][:-9]
    folder = written(base, head_of(base), tmp_path / "tuned", head=data)
    with pytest.raises(InputError, match="not a complete safetensors file"):
        _ = load_model(str(folder)).tuned


def test_what_headers_cannot_have_is_replaced():
    assert header_text('a"b\\c\nd é') == "a?b?c?d ?"
    assert len(header_text("x" * 900)) == 500
