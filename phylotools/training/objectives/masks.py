"""Which bases of a batch are hidden from the network, and hiding them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phylotools.model.presets import MASK_TOKEN
from phylotools.training.batch import Batch


def can_be_masked(batch: Batch) -> Tensor:
    """Columns whose base is known and counts for something: bool, shape (C,)."""
    return (batch.reference < 4) & (batch.weight > 0)


def draw_mask(
    batch: Batch, width: int, fraction: float, rng: np.random.Generator, first_window: int = 0
) -> Tensor:
    """Draw the same fraction of the columns of every window, but one of a window at least.

    Parameters
    ----------
    batch : Batch
        On the CPU.
    width : int
        Predicted positions of a window.
    fraction : float
        Of the columns that `can_be_masked`.
    rng, first_window
        As for `Objective.prepared`.

    Returns
    -------
    Tensor of bool, shape (C,)
    """
    n_windows = len(batch.tokens)
    # A number for every position, with a column or not, so that those of other windows are known.
    assert isinstance(rng.bit_generator, np.random.PCG64)
    rng.bit_generator.advance(first_window * width)
    site = batch.site.numpy()
    able = can_be_masked(batch).numpy()
    draws = np.where(able, rng.random(n_windows * width)[site], np.inf)
    window = site // width
    n_able = np.bincount(window[able], minlength=n_windows)
    n_masked = np.where(n_able > 0, np.maximum(np.rint(fraction * n_able), 1), 0)
    return torch.from_numpy(_rank_in_window(window, draws) < n_masked[window])


def _rank_in_window(window: NDArray[np.int64], draws: NDArray[np.float64]) -> NDArray[np.int64]:
    """Place of each draw among those of its window, from the smallest on."""
    order = np.lexsort((draws, window))
    counts = np.bincount(window)
    first = np.cumsum(counts) - counts
    rank = np.empty(len(window), dtype=np.int64)
    rank[order] = np.arange(len(window)) - first[window[order]]
    return rank


def hidden(tokens: Tensor, site: Tensor, width: int) -> Tensor:
    """Tokens with those at some sites replaced by the mask.

    Parameters
    ----------
    tokens : Tensor of int64, shape (B, width + receptive_field - 1)
    site : Tensor of int64, shape (M,)
        As `Batch.site`.
    width : int
        Predicted positions of a window.
    """
    half_window = (tokens.shape[1] - width) // 2
    masked = tokens.clone()
    masked[site // width, half_window + site % width] = MASK_TOKEN
    return masked
