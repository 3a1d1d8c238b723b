from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from published_layouts import DATA, EXPECTED_CASES, LAYOUTS, imported, tokens_of

from phylotools.errors import InputError
from phylotools.model.published.importing import ImportRequest, import_published
from phylotools.model.registry import load_model, verify_model
from phylotools.scoring.layers import LAST, find_layer, layer_forward
from phylotools.scoring.scorer import Scorer
from phylotools.scoring.tiled_network import TiledNetwork

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Layout -> the model that it becomes."""
    place = tmp_path_factory.mktemp("imported")
    return {layout: load_model(str(imported(layout, place / layout))) for layout in LAYOUTS}


@pytest.mark.parametrize(("layout", "sequence", "wanted"), EXPECTED_CASES)
def test_log_rates_are_those_of_the_authors_code(models, layout, sequence, wanted):
    scorer = Scorer(models[layout], None, threads=1)
    (theta,) = scorer.values_of(tokens_of(sequence))
    np.testing.assert_allclose(theta, wanted["log_rates"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("layout", "sequence", "wanted"), EXPECTED_CASES)
def test_embeddings_are_those_of_the_authors_code(models, layout, sequence, wanted):
    model = models[layout]
    forward = layer_forward(find_layer(LAST, model.spec), with_reverse=False)
    network = TiledNetwork(model, None, forward, model.spec.channels, threads=1)
    (vectors,) = network.values_of(tokens_of(sequence))
    assert vectors.shape[1] == 32
    np.testing.assert_allclose(vectors[:, :8], wanted["embedding_first_8"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_manifest_says_where_the_weights_came_from(models, layout):
    model = models[layout]
    assert model.manifest["assembly"] == "hg38"
    published = model.manifest["published"]
    assert "layers" in published["layout"]
    assert len(published["files"]) == 2
    assert model.spec.norm == LAYOUTS[layout]
    assert not model.spec.tied_norm
    assert verify_model(model) < 1e-5


def test_both_releases_of_the_older_weights_become_the_same_network(models):
    first, second = (models[f"{place}_groupnorm"].site_model for place in ("huggingface", "github"))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_file_may_be_named_instead_of_its_folder(tmp_path):
    request = ImportRequest(name="one", revision="7", licence="MIT")
    made = import_published(
        DATA / "github_groupnorm" / "checkpoint.pt", tmp_path / "model", request
    )
    model = load_model(str(made.folder))
    assert (model.name, model.revision, model.manifest["licence"]) == ("one", "7", "MIT")


def test_any_prefix_of_the_tensors_will_do(tmp_path):
    shutil.copytree(DATA / "github_groupnorm", tmp_path / "source")
    path = tmp_path / "source" / "checkpoint.pt"
    state = torch.load(path, weights_only=True)["model_state_dict"]
    torch.save({"model_state_dict": {f"module.net.{k}": v for k, v in state.items()}}, path)
    import_published(tmp_path / "source", tmp_path / "model", ImportRequest("prefixed"))
    again = load_model(str(tmp_path / "model")).site_model.state_dict()
    plain = load_model(str(imported("github_groupnorm", tmp_path / "plain"))).site_model
    assert all(torch.equal(again[name], tensor) for name, tensor in plain.state_dict().items())


def test_a_norm_that_the_names_contradict_is_refused(tmp_path):
    with pytest.raises(InputError, match="say that the norm is 'layer', not 'group'"):
        imported("huggingface_layernorm", tmp_path / "model", norm="group")
    assert not list(tmp_path.iterdir())


def test_a_norm_that_the_names_leave_open_can_be_said(tmp_path):
    """Numbered layers are GroupNorm in every release, but their names would fit either."""
    folder = imported("huggingface_groupnorm", tmp_path / "model", norm="layer")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["published"]["norm_known_by"] == "--norm"
    assert load_model(str(folder)).spec.norm == "layer"
