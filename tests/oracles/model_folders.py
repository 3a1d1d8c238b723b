"""Model folders for tests, and ways to tamper with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from phylotools.errors import InputError
from phylotools.model.folder import ModelDraft, read_model
from phylotools.model.network import ByteNet
from phylotools.model.presets import ModelSpec
from phylotools.model.site_model import SiteModel
from phylotools.provenance import sha256_file

SPEC = ModelSpec(channels=8, bottleneck=4, dilations=(1, 2))
CPU = torch.device("cpu")


def draft(**changes) -> ModelDraft:
    torch.manual_seed(3)
    values = {
        "name": "toy", "revision": "7", "site_model": SiteModel(ByteNet(SPEC)).freeze(),
        "training": {"data": {"stores": ["x.store"]}, "rate": {"sd": 1.0}},
        "facts": {"assembly": "hg38", "contigs": ["chrM"], "licence": "CC0"}, "card": "# Toy é\n",
    }  # fmt: skip
    return ModelDraft(**values | changes)


def rehash(folder: Path) -> None:
    """Make the manifest's checksums right again, as a hostile author would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"] = {
        path.name: sha256_file(path) for path in folder.iterdir() if path.name != "manifest.json"
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def refused(folder: Path, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        read_model(folder, CPU)
    assert str(folder) in str(caught.value)
