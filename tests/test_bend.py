"""The embedder for BEND: what its callers ask of one."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from toy_models import write_toy_model

import phylotools
from phylotools.errors import UsageError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def home(tmp_path):
    return str(write_toy_model(tmp_path / "toy"))


def embedder_class():
    sys.modules.pop("phylotools.api.bend", None)
    from phylotools.api.bend import PhylotoolsEmbedder

    return PhylotoolsEmbedder


def test_it_embeds_as_bend_wants_it(home):
    embedder = embedder_class()(home, threads=1)
    sequences = ["ACGTTGCA" * 5, "GGNAC"]
    found = embedder.embed(sequences, disable_tqdm=True, upsample_embeddings=True)
    assert [each.shape for each in found] == [(1, 40, 8), (1, 5, 8)]
    own = phylotools.embed(embedder.model, sequences, pool="none")
    for one, other in zip(found, own, strict=True):
        assert np.array_equal(one[0], other)
    assert np.array_equal(embedder(sequences[1], upsample_embeddings=True), found[1])
    with pytest.raises(UsageError, match="a list of sequences"):
        embedder.embed("ACGT")


def test_options_reach_the_network(home):
    other = embedder_class()(model_name=home, layer="embedding", strand="invariant")
    one = embedder_class()(home)
    assert not np.array_equal(one("ACGTACGT"), other("ACGTACGT"))
    reverse = other("ACGTTCGA"[::-1].translate(str.maketrans("ACGT", "TGCA")))
    assert np.allclose(other("ACGTTCGA")[0], reverse[0, ::-1], atol=1e-6)


def test_where_bend_is_installed_it_is_one_of_its_own(home, monkeypatch):
    class BaseEmbedder:
        def __init__(self, *args, **kwargs):
            self.load_model(*args, **kwargs)

        def __call__(self, sequence, *args, **kwargs):
            return self.embed([sequence], *args, disable_tqdm=True, **kwargs)[0]

    module = types.ModuleType("bend.utils.embedders")
    module.BaseEmbedder = BaseEmbedder
    for name in ("bend", "bend.utils"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "bend.utils.embedders", module)
    made = embedder_class()
    assert issubclass(made, BaseEmbedder)
    assert made(home)("ACGT").shape == (1, 4, 8)
    sys.modules.pop("phylotools.api.bend")
