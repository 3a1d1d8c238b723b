"""Adapters in training: the fitted head at first, and the same numbers once they are merged."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from toy_models import CHRM, write_toy_model

from phylotools.finetuning.adapting import AdaptedNetwork, LabelledWindows
from phylotools.finetuning.features import Target, fit_heads
from phylotools.finetuning.items import ItemRows
from phylotools.finetuning.regions import region_features
from phylotools.finetuning.variants import NetworkSettings, variant_features
from phylotools.model.folder import write_changed
from phylotools.model.registry import load_model
from phylotools.model.tuned_head import TunedHead

pytestmark = pytest.mark.usefixtures("one_thread")

SEQUENCE = "".join(CHRM.read_text().split("\n")[1:]).upper()
N = 60


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(write_toy_model(tmp_path_factory.mktemp("toy") / "toy")))


def items_of(kind: str):
    rng = np.random.default_rng(2)
    rows = ItemRows()
    for start in np.sort(rng.choice(np.arange(100, 3000), N, replace=False)).tolist():
        ref = SEQUENCE[start]
        alt = "ACGT"["ACGT".index(ref) - 1]
        length = 1 if kind == "variants" else int(rng.integers(1, 40))
        rows.append(("chrM", start, start + length), 0.0, "g", ".", False, (ord(ref), ord(alt)))
    items = rows.items(are_variants=kind == "variants")
    return replace(items, labels=rng.permutation([0.0, 1.0] * (N // 2)))


@contextmanager
def features(model, kind: str, tmp_path, *, keeps: bool = True, adapted=None):
    settings = NetworkSettings(threads=1, output=str(tmp_path / "o"))
    items = items_of(kind)
    if kind == "variants":
        own = adapted or model
        with variant_features(own, items, "x", settings, keeps_windows=keeps) as found:
            yield found
    else:
        with region_features(
            model, items, "x", settings, adapted=adapted, keeps_windows=keeps
        ) as found:
            yield found


@pytest.mark.parametrize("kind", ["variants", "regions"])
def test_adapters_begin_as_the_head_and_stay_themselves_when_merged(model, kind, tmp_path):
    everything = np.arange(N)
    with features(model, kind, tmp_path) as found:
        target = Target(found.items.labels, True)
        widths = found.items.end - found.items.start
        data = LabelledWindows(found.windows, widths, found.table, target)
        start = fit_heads(found.table, target, everything, (0.1,))[0]
        network = AdaptedNetwork(model, data, start, 2, 1)
        assert network.scores(everything) == pytest.approx(
            start.score(found.table.values), abs=2e-4
        )
        before = target.loss(network.scores(everything), everything)
        losses = []
        network.train(
            everything, 8, 0.1, 1,
            lambda _: losses.append(target.loss(network.scores(everything), everything)),
        )  # fmt: skip
        assert losses[-1] < min(before, losses[0])
        again = AdaptedNetwork(model, data, start, 2, 1)
        again.train(everything, 8, 0.1, 1)
        trained = network.scores(everything)
        assert (again.scores(everything) == trained).all()
    tuned = TunedHead(
        network.head(), kind, "classes", model.sha256, False, "A test", 2, network.adapters()
    )
    folder = tmp_path / "tuned"
    folder.mkdir()
    write_changed(folder, model, tuned.files(), {})
    kept = load_model(str(folder))
    assert kept.sha256 == model.sha256
    with features(model, kind, tmp_path, keeps=False) as plain:
        own_scores = plain.table.values[:, : plain.table.n_scores].copy()
    adapted = kept.tuned.adapted_model(kept)
    with features(model, kind, tmp_path, keeps=False, adapted=adapted) as found:
        values = found.table.values.copy()
    # The model's own scores are those of the network without adapters.
    values[:, : own_scores.shape[1]] = own_scores
    assert kept.tuned.head.score(values) == pytest.approx(trained, abs=5e-4)
