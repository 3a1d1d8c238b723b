"""The small published checkpoints of the tests, and what the authors' code gives for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from phylotools.model.presets import VOCABULARY
from phylotools.model.published.golden import GoldenSet
from phylotools.model.published.importing import ImportRequest, import_published

DATA = Path(__file__).parents[1] / "data" / "published_layouts"
EXPECTED = json.loads((DATA / "expected.json").read_text())
#: Folder -> the norm of the network.
LAYOUTS = {
    "huggingface_layernorm": "layer",
    "huggingface_groupnorm": "group",
    "github_groupnorm": "group",
}
#: Shape of their networks.
SMALL = {"channels": 32, "bottleneck": 16, "kernel_size": 5, "dilations": [1, 5] * 3}


def imported(layout: str, folder: Path, **changes) -> Path:
    """The model folder that a layout becomes."""
    request = ImportRequest(**{"name": layout} | changes)
    return import_published(DATA / layout, folder, request).folder


def golden_set(norm: str, number: int, **changes) -> GoldenSet:
    """What the authors' code gives for a sequence, as if they had printed it."""
    wanted = EXPECTED["layouts"][norm][number]["log_rates"][:4]
    values = {
        "id": f"small_{norm}", "title": "small", "source": "tests", "norm": norm,
        "tolerance": 1e-5, "window": EXPECTED["sequences"][number],
        "log_rates": wanted, "rates": np.exp(wanted).tolist(),
        "probabilities": (np.exp(wanted) / np.exp(wanted).sum(1, keepdims=True)).tolist(),
        "llr": {"position": 2, "ref": "C", "alt": "T", "value": wanted[2][3] - wanted[2][1]},
    }  # fmt: skip
    return GoldenSet(**values | changes)


def tile_windows(text: str, half_window: int) -> list[str]:
    """The windows in which docs/published.md has a contig computed: tiles of 512 from its start."""
    tiles = range(0, len(text), 512)
    padded = "-" * half_window + text.ljust(512 * len(tiles), "-") + "-" * half_window
    return [padded[start : start + 512 + 2 * half_window] for start in tiles]


def dense_values(network, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Theta and embeddings of a contig's positions, by the network's plain products."""
    blocks, theta, vectors = len(network.blocks), [], []
    for window in tile_windows(text, network.spec.receptive_field // 2):
        tokens = torch.from_numpy(tokens_of(window).astype(np.int64))
        with torch.inference_mode():
            theta.append(network.dense(tokens)[0].numpy())
            vectors.append(network.dense_hidden(tokens, blocks, True)[0].numpy())
    return np.concatenate(theta)[: len(text)], np.concatenate(vectors)[: len(text)]


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
