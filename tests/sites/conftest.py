from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from phylotools.model.folder import ModelDraft, write_model
from phylotools.model.network import ByteNet
from phylotools.model.presets import ModelSpec
from phylotools.model.site_model import SiteModel
from phylotools.phylogeny.substitution import make_substitution_model

SPEC = ModelSpec(channels=8, bottleneck=4, dilations=(1, 2))


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Write a model folder with a random network of 13 bases."""

    def make(substitution: str = "f81", settings: dict[str, Any] | None = None, **facts) -> Path:
        torch.manual_seed(3)
        model = make_substitution_model(substitution, **(settings or {}))
        folder = tmp_path / f"model-{substitution}"
        site_model = SiteModel(ByteNet(SPEC), model).freeze()
        write_model(ModelDraft("toy", "7", site_model, {}, facts, "# Toy\n"), folder)
        return folder

    return make
