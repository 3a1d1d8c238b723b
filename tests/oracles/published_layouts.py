"""The small published checkpoints of the tests, and what the authors' code gives for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from phylotools.model.presets import VOCABULARY
from phylotools.model.published.importing import ImportRequest, import_published

DATA = Path(__file__).parents[1] / "data" / "published_layouts"
EXPECTED = json.loads((DATA / "expected.json").read_text())
#: Folder -> the norm of the network.
LAYOUTS = {
    "huggingface_layernorm": "layer",
    "huggingface_groupnorm": "group",
    "github_groupnorm": "group",
}


def imported(layout: str, folder: Path, **changes) -> Path:
    """The model folder that a layout becomes."""
    request = ImportRequest(**{"name": layout} | changes)
    return import_published(DATA / layout, folder, request).folder


def tokens_of(sequence: str) -> np.ndarray:
    return np.array([[VOCABULARY.index(base) for base in sequence]], dtype=np.uint8)


#: One for each layout and sequence: what the authors' code gives.
EXPECTED_CASES = [
    pytest.param(layout, sequence, wanted, id=f"{layout}-{number}")
    for layout, norm in LAYOUTS.items()
    for number, (sequence, wanted) in enumerate(
        zip(EXPECTED["sequences"], EXPECTED["layouts"][norm], strict=True)
    )
]
