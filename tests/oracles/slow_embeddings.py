"""Embeddings the plain way: a contig in one pass, and every region by itself."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from phylotools.model.folder import Model

_COMPLEMENT = bytes.maketrans(b"ACGTNacgtn", b"TGCANtgcan")


def reverse_complement(letters: bytes) -> bytes:
    return letters.translate(_COMPLEMENT)[::-1]


def contig_embeddings(model: Model, letters: bytes) -> NDArray[np.float32]:
    """float32 [L, H] of every base, by the network's own method."""
    half = (model.receptive_field - 1) // 2
    codes = np.array([b"ACGT".find(letter) for letter in letters.upper()])
    tokens = np.pad(np.where(codes < 0, 4, codes), half, constant_values=5)
    with torch.inference_mode():
        return model.network.embed(torch.from_numpy(tokens)[None])[0].numpy()


def with_context(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """PhyloGPN-X as its authors' embedder computes it: avg_pool1d, then a seeded linear layer."""
    width = values.shape[1]
    linear = torch.nn.Linear(width, width, bias=False)
    state = torch.get_rng_state()
    torch.manual_seed(42)
    with torch.no_grad():
        linear.weight.normal_(mean=0.0, std=1.0)
        pooled = torch.nn.functional.avg_pool1d(
            torch.from_numpy(values).T[None], kernel_size=5521, stride=1, padding=2760
        )
        added = linear(pooled[0].T)
    torch.set_rng_state(state)
    return values + added.numpy()


def pooled(values: NDArray[np.float32], start: int, end: int, pool: str) -> NDArray[np.float64]:
    rows = values[start:end].astype(np.float64)
    if pool == "mean":
        return rows.mean(axis=0)
    if pool == "max":
        return rows.max(axis=0)
    middle = len(rows) // 2
    return rows[middle] if len(rows) % 2 else (rows[middle - 1] + rows[middle]) / 2
