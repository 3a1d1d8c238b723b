"""Networks whose norm runs over positions: one fixed window for every position of a genome."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from published_layouts import dense_values, imported

from phylotools.embedding.source import EmbeddingSource, NetworkOptions
from phylotools.errors import InputError, UsageError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.model.registry import load_model
from phylotools.scoring.layers import LAST, find_layer
from phylotools.scoring.scorer import Scorer

pytestmark = pytest.mark.usefixtures("one_thread")
LENGTHS = {"one": 1300, "two": 512, "three": 40}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return imported("github_groupnorm", tmp_path_factory.mktemp("group") / "model")


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder))


@pytest.fixture(scope="module")
def letters() -> dict[str, str]:
    draw = np.random.default_rng(8)
    return {name: "".join(draw.choice(list("ACGTN"), n)) for name, n in LENGTHS.items()}


@pytest.fixture(scope="module")
def genome(letters):
    contigs = {name: text.encode() for name, text in letters.items()}
    return ReferenceGenome.from_sequences(contigs, path="<tests>")


@pytest.fixture(scope="module")
def grid(model, letters) -> dict[str, np.ndarray]:
    """Theta of every position as docs/published.md defines it."""
    return {name: dense_values(model.network, text)[0] for name, text in letters.items()}


def test_every_position_is_that_of_its_tile(model, genome, grid):
    scorer = Scorer(model, genome, threads=1)
    for name, length in LENGTHS.items():
        theta = scorer.theta(Region(name, 0, length))
        np.testing.assert_allclose(theta, grid[name], rtol=0, atol=1e-5)


def test_a_position_is_the_same_alone_and_in_any_company(model, genome):
    whole = Scorer(model, genome, threads=1).theta(Region("one", 0, 1300))
    for at in (0, 35, 511, 512, 700, 1299):
        lone = Scorer(model, genome, threads=1).theta_at("one", np.array([at]))
        np.testing.assert_array_equal(lone[0], whole[at])
    draw = np.random.default_rng(2)
    for threads in (1, 3):
        scorer = Scorer(model, genome, threads=threads, cache_bytes=0)
        positions = draw.permutation(1300)[:200]
        np.testing.assert_array_equal(scorer.theta_at("one", positions), whole[positions])
        np.testing.assert_array_equal(scorer.theta(Region("one", 600, 640)), whole[600:640])
        contigs = draw.integers(0, 2, 50)
        places = draw.integers(0, 500, 50)
        found = scorer.theta_at_places(("one", "two"), contigs, places)
        np.testing.assert_array_equal(found[contigs == 0], whole[places[contigs == 0]])


def test_callers_in_threads_get_the_same(model, genome):
    whole = Scorer(model, genome, threads=1).theta(Region("one", 0, 1300))
    scorer = Scorer(model, genome, threads=2)
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda at: scorer.theta_at("one", np.array([at]))[0], range(0, 1300, 97))
        np.testing.assert_array_equal(np.stack(list(found)), whole[::97])


def test_the_window_matters(model, genome):
    """What the tests above could not tell if it did not."""
    at = np.array([600])
    tokens = Scorer(model, genome).tokens("one", 600 - 36, 600 + 37)[None]
    alone = Scorer(model, genome, threads=1).values_of(tokens)[0, 0]
    assert np.abs(alone - Scorer(model, genome).theta_at("one", at)[0]).max() > 1e-4


def test_other_tiles_are_refused(model, genome):
    with pytest.raises(UsageError, match="its tiles, which have 512 positions, not 256"):
        Scorer(model, genome, tile_length=256)
    layer = find_layer(LAST, model.spec)
    with pytest.raises(UsageError, match="not 64"):
        EmbeddingSource(model, genome, layer, NetworkOptions(tile_length=64))
    assert Scorer(model, genome, tile_length=512).tile_length == 512


def test_the_identity_names_the_window(model, tmp_path):
    wanted = "tiles of 512 positions from the start of each contig and 36 on either side"
    assert model.identity.window == wanted
    assert model.identity.header_facts()["Window"] == wanted
    other = load_model(str(imported("huggingface_layernorm", tmp_path / "model")))
    assert set(other.identity.header_facts()) == {"Model", "Revision", "Sha256"}
    assert other.tile_length is None


def with_tile_length(folder, place, value):
    """A copy of a model whose manifest says so."""
    place.mkdir()
    for path in folder.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((place / "manifest.json").read_text())
    assert manifest["tile_length"] == 512
    manifest["tile_length"] = value
    (place / "manifest.json").write_text(json.dumps(manifest))
    return place


def test_a_model_keeps_the_tiles_of_its_manifest(folder, genome, grid, tmp_path):
    other = load_model(str(with_tile_length(folder, tmp_path / "other", 256)))
    scorer = Scorer(other, genome, threads=1)
    assert scorer.tile_length == 256
    assert np.abs(scorer.theta(Region("two", 0, 512)) - grid["two"]).max() > 1e-4


@pytest.mark.parametrize("value", [0, -1, True, "512", 1e3, 1 << 40, None])
def test_tiles_that_cannot_be_are_refused(folder, tmp_path, value):
    place = with_tile_length(folder, tmp_path / "other", value)
    with pytest.raises(InputError, match=r"manifest\.json: tile_length must be a whole number"):
        load_model(str(place))
