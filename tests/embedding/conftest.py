from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from phylotools.io.genome import ReferenceGenome
from phylotools.model.folder import Model, ModelDraft, read_model, write_model
from phylotools.model.network import ByteNet
from phylotools.model.presets import ModelSpec
from phylotools.model.site_model import SiteModel

SPECS = {
    "own": ModelSpec(channels=12, bottleneck=6, dilations=(1, 5, 1)),
    "published": ModelSpec(
        channels=12, bottleneck=6, dilations=(1, 5, 1), norm="group", tied_norm=False
    ),
    "untied": ModelSpec(channels=12, bottleneck=6, dilations=(1, 5, 1), tied_norm=False),
}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> dict[str, Model]:
    """Networks whose every parameter, norms included, is random."""
    found = {}
    for name, spec in SPECS.items():
        torch.manual_seed(3)
        network = ByteNet(spec)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_(0, 0.5)
        folder = tmp_path_factory.mktemp("models") / name
        draft = ModelDraft(name, "1", SiteModel(network).freeze(), {}, {}, "# Random\n")
        write_model(draft, folder)
        found[name] = read_model(folder, torch.device("cpu"))
    return found


@pytest.fixture(scope="session")
def letters() -> dict[str, bytes]:
    rng = np.random.default_rng(4)
    return {
        name: "".join(rng.choice(list("ACGTNacgt"), size=size, p=[0.2] * 4 + [0.02] + [0.045] * 4))
        .encode()
        for name, size in (("chr1", 1700), ("chrM", 130))
    }  # fmt: skip


@pytest.fixture(scope="session")
def genome(letters: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> ReferenceGenome:
    path: Path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text("".join(f">{name}\n{text.decode()}\n" for name, text in letters.items()))
    return ReferenceGenome.open(path)
