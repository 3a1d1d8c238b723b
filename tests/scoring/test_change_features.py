"""Embeddings of changes: from the network's own, and the same on both strands."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from published_layouts import imported
from toy_models import write_toy_model

from phylotools.io.genome import ReferenceGenome
from phylotools.model.registry import load_model
from phylotools.scoring.change_features import ChangeFeatures

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTH = 900
SEQUENCE = "".join(np.random.default_rng(8).choice(list("ACGT"), LENGTH))
PLACES = np.array([0, 7, 300, 301, LENGTH - 1])
ALTS = np.array([3, 0, 2, 1, 2], dtype=np.uint8)
BOTH = str.maketrans("ACGT", "TGCA")


@pytest.fixture(scope="module")
def random_model(tmp_path_factory):
    return load_model(str(write_toy_model(tmp_path_factory.mktemp("toy") / "toy")))


def features(model, sequence: str, places, alts) -> np.ndarray:
    genome = ReferenceGenome.from_sequences({"c": sequence.encode()})
    changes = ChangeFeatures(model, genome, threads=1)
    contigs = np.zeros(len(places), dtype=np.int64)
    refs = np.array(["ACGT".index(sequence[p]) for p in places], dtype=np.uint8)
    of_ref = changes.tokens(("c",), contigs, np.asarray(places), refs)
    return changes.of(of_ref, changes.tokens(("c",), contigs, np.asarray(places), alts))


def test_they_are_halves_of_the_networks_embeddings(random_model):
    found = features(random_model, SEQUENCE, PLACES, ALTS)
    half_window = random_model.receptive_field // 2
    padded = [5] * half_window + ["ACGT".index(b) for b in SEQUENCE] + [5] * half_window
    for row, (place, alt) in enumerate(zip(PLACES.tolist(), ALTS.tolist(), strict=True)):
        embeddings = []
        for base in (padded[place + half_window], alt):
            window = padded[place : place + 2 * half_window + 1]
            window[half_window] = base
            hidden = random_model.network.dense_hidden(torch.tensor([window]), 2, True)[0, 0]
            own, other = hidden[:4], hidden.flip(0)[:4]
            embeddings.append(torch.cat([(own + other) / 2, (own - other).abs() / 2]))
        expected = torch.cat([embeddings[0], embeddings[1] - embeddings[0]])
        assert found[row] == pytest.approx(expected.detach().numpy(), abs=2e-5)


def test_the_reverse_complement_has_the_same(random_model):
    reverse = SEQUENCE.translate(BOTH)[::-1]
    own = features(random_model, SEQUENCE, PLACES, ALTS)
    other = features(random_model, reverse, LENGTH - 1 - PLACES, 3 - ALTS)
    assert own == pytest.approx(other, abs=1e-5)
    assert np.abs(own).max() > 0.1


@pytest.mark.parametrize("layout", ["huggingface_layernorm", "huggingface_groupnorm"])
def test_so_it_is_in_networks_that_are_not_equivariant(layout, tmp_path):
    model = load_model(str(imported(layout, tmp_path / "model")))
    own = features(model, SEQUENCE, PLACES, ALTS)
    reverse = SEQUENCE.translate(BOTH)[::-1]
    other = features(model, reverse, LENGTH - 1 - PLACES, 3 - ALTS)
    assert own == pytest.approx(other, abs=1e-4)


def test_no_row_depends_on_others(random_model):
    together = features(random_model, SEQUENCE, PLACES, ALTS)
    for k in range(len(PLACES)):
        alone = features(random_model, SEQUENCE, PLACES[k : k + 1], ALTS[k : k + 1])
        assert np.array_equal(alone[0], together[k])
