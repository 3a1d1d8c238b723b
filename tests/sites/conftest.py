from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_stores import build_store

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


@pytest.fixture
def odd_store(tmp_path: Path) -> Path:
    """Two contigs, gaps, an N, lower case, and columns of the reference alone.

    contig b (positions 1-based): 3 A, 4 c, 5 N, 6 T, 7 and 8 of the reference alone, 11 to 14;
    contig a: 1 to 2.
    """
    blocks = [
        ("b", 2, "AcNT", "Ac-T", "GcAN"),
        ("b", 6, "GG", "--", "NN"),
        ("b", 10, "TTAC", "TTAC", "TAAC"),
        ("a", 0, "CA", "CA", "TA"),
    ]
    text = ["##maf version=1\n"]
    for contig, start, *rows in blocks:
        size = {"a": 5, "b": 20}[contig]
        text.append("a\n")
        for species, row in zip("XYZ", rows, strict=True):
            n_bases = len(row) - row.count("-")
            name = f"X.{contig}" if species == "X" else f"{species}.chr"
            length = size if species == "X" else 1000
            text.append(f"s {name} {start} {n_bases} + {length} {row}\n")
        text.append("\n")
    (tmp_path / "odd.maf").write_text("".join(text))
    (tmp_path / "odd.nh").write_text("((X:0.3,Y:0.2):0.1,Z:0.5);")
    build_store(tmp_path / "odd.maf", tmp_path / "odd.nh", tmp_path / "odd.store")
    return tmp_path / "odd.store"
