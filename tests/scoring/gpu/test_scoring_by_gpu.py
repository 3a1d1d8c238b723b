"""A scorer whose model is on a GPU, or on a stand-in that computes on the CPU."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from stand_ins import EagerDevice, LazyDevice, OutOfMemory

from phylotools.errors import InputError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.model.presets import PRESETS
from phylotools.scoring import passes
from phylotools.scoring.scorer import Scorer
from phylotools.scoring.tiled_network import TiledNetwork, dense_tile_length

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def long_genome(tmp_path) -> ReferenceGenome:
    path = tmp_path / "long.fa"
    bases = np.random.default_rng(1).choice(list("ACGTN"), 3000, p=[0.24] * 4 + [0.04])
    path.write_text(">c\n" + "".join(bases) + "\n")
    return ReferenceGenome.open(path)


@pytest.fixture(params=[LazyDevice, EagerDevice])
def stand_in(request, monkeypatch):
    """What a scorer takes for a GPU; made by the first that computes."""
    made = []

    def make(device):
        assert device.type == "cuda"
        made.append(request.param())
        return made[-1]

    monkeypatch.setattr(passes, "CudaDevice", make)
    return made


def test_numbers_are_those_of_the_cpu(random_model, long_genome, stand_in):
    on_gpu = dataclasses.replace(random_model, device="cuda")
    region = Region("c", 100, 2900)
    expected = Scorer(random_model, long_genome, threads=1).theta(region)
    scorer = Scorer(on_gpu, long_genome, batch_size=2)
    np.testing.assert_allclose(scorer.theta(region), expected, rtol=0, atol=1e-5)
    lone = Scorer(on_gpu, long_genome, batch_size=2).theta_at("c", np.array([150, 2000]))
    np.testing.assert_allclose(lone, expected[[50, 1900]], rtol=0, atol=1e-5)
    tokens = np.stack([scorer.tokens("c", 0, 60), scorer.tokens("c", 60, 120)] * 3)
    found = scorer.values_of(tokens)
    alone = Scorer(random_model, long_genome, threads=1).values_of(tokens)
    np.testing.assert_allclose(found, alone, rtol=0, atol=1e-5)
    assert stand_in[0].n_replayed > 0


def test_out_of_memory_changes_no_number(random_model, long_genome, monkeypatch):
    monkeypatch.setattr(passes, "CudaDevice", lambda device: EagerDevice())
    region = Region("c", 0, 3000)
    expected = Scorer(random_model, long_genome, threads=1).theta(region)
    inner = random_model.site_model.forward
    asked = []

    def small(tokens, wanted=None):
        asked.append(len(tokens))
        if len(tokens) > 1:
            raise OutOfMemory("CUDA out of memory")
        return inner(tokens, wanted)

    monkeypatch.setattr(random_model.site_model, "forward", small)
    scorer = Scorer(dataclasses.replace(random_model, device="cuda"), long_genome, batch_size=4)
    found = scorer.theta(region)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert asked[:3] == [4, 2, 1]


def test_numbers_that_are_not_finite_name_their_place(toy_model, genome, stand_in):
    toy_model.site_model = lambda tokens, wanted: torch.full(
        (len(tokens), tokens.shape[1] - 2, 4), torch.nan
    )
    toy_model.device = "cuda"
    scorer = Scorer(toy_model, genome, batch_size=2, tile_length=8)
    with pytest.raises(InputError, match=r"that are not finite near chr1:9"):
        scorer.theta(Region("chr1", 8, 16))


def test_a_receptive_field_that_is_not_the_networks(toy_model, genome, stand_in):
    toy_model.receptive_field, toy_model.device = 5, "cuda"
    with pytest.raises(InputError, match="its receptive field is not 5"):
        Scorer(toy_model, genome, batch_size=2).theta(Region("chr1", 0, 8))


@pytest.mark.parametrize(
    ("device", "norm", "regions", "expected"),
    [
        ("cuda", "layer", [(0, 1_000_000)], 4096),
        ("cuda", "layer", [(100, 4_000), (9_000, 30_000)], 4096),
        # Exons, a tile each at most: a long one would cost more than it saves.
        ("cuda", "layer", [(k, k + 150) for k in range(0, 10**6, 20_000)], 512),
        ("cuda", "group", [(0, 1_000_000)], None),
        ("cpu", "layer", [(0, 1_000_000)], None),
        ("cuda", "layer", [], 512),
    ],
)
def test_tiles_of_whole_regions(random_model, device, norm, regions, expected):
    tiles = {"layer": None, "group": 512}[norm]
    model = SimpleNamespace(
        device=torch.device(device), spec=PRESETS["phylogpn"], tile_length=tiles
    )
    chosen = [Region("c", *region) for region in regions]
    assert dense_tile_length(model, chosen) == expected


@pytest.mark.parametrize(("n_channels", "expected"), [(4, 64), (1024, 8), (4096, 2)])
def test_an_automatic_batch_is_no_more_than_half_of_what_is_asked_for_at_once(
    random_model, long_genome, stand_in, monkeypatch, n_channels, expected
):
    """Vectors of many channels come in small groups, which a batch must not be filled up beyond."""
    monkeypatch.setattr(passes, "automatic_batch_size", lambda trial, length, device: 64)
    model = dataclasses.replace(random_model, device="cuda")
    asked = []

    def forward(site_model, tokens, wanted):
        asked.append(len(tokens))
        n_positions = tokens.shape[1] - model.receptive_field + 1
        return torch.zeros(len(tokens), n_positions, n_channels)

    network = TiledNetwork(model, long_genome, forward, n_channels)
    network.values(Region("c", 0, 3000))
    assert set(asked) == {expected}
