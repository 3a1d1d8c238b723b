"""Adapters and a head, trained together on labelled variants or regions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from phylotools.finetuning.features import SCORE_PENALTY, FeatureTable, Rows, Target
from phylotools.model.adapters import Adapter, adapters_of, add_adapters
from phylotools.model.tuned_head import LinearHead
from phylotools.scoring.layers import LAST, find_layer, is_equivariant, layer_forward

if TYPE_CHECKING:
    from phylotools.model.folder import Model
    from phylotools.model.site_model import SiteModel

#: Items of a step, and of a pass without gradients.
_BATCH, _LARGE_BATCH = 32, 128
_LEARNING_RATE, _WEIGHT_DECAY = 1e-3, 0.01
_LARGEST_GRADIENT = 1.0


@dataclass(frozen=True)
class LabelledWindows:
    """What adapters are trained on.

    Attributes
    ----------
    windows : uint8 array [N, V, receptive_field + W - 1]
        Of a variant two, with REF and with ALT, for one position (W = 1); of a region one.
    widths : int64 array [N]
        How many of the W positions, from the first on, belong to each: their mean is taken.
    table : FeatureTable
        Of the model without adapters; its scores are taken from there.
    target : Target
    """

    windows: NDArray[np.uint8]
    widths: NDArray[np.int64]
    table: FeatureTable
    target: Target


class AdaptedNetwork:
    """A network with adapters and a linear head over it, which begins as a head that was fitted.

    Parameters
    ----------
    model : Model
        Its network is not changed.
    data : LabelledWindows
    start : LinearHead
    rank : int
    seed : int
        Of the first adapters.
    """

    def __init__(
        self, model: Model, data: LabelledWindows, start: LinearHead, rank: int, seed: int
    ) -> None:
        self._data = data
        self._start = start
        self._device = model.device
        self._site_model: SiteModel = model.trainable_site_model()
        self._mirrors = is_equivariant(model.spec)
        layer = find_layer(LAST, model.spec)
        self._forward = layer_forward(layer, with_reverse=not self._mirrors)
        self._adapters = add_adapters(self._site_model.network, rank, seed)
        self._centre, self._scale = (self._tensor(values) for values in (start.centre, start.scale))
        self._weights = nn.Parameter(self._tensor(start.weights))
        self._bias = nn.Parameter(self._tensor(np.array(start.bias)))

    def _tensor(self, values: NDArray[np.floating]) -> Tensor:
        return torch.from_numpy(np.array(values, dtype=np.float32)).to(self._device)

    def train(
        self,
        rows: Rows,
        n_epochs: int,
        penalty: float,
        seed: int,
        on_epoch: Callable[[int], None] = lambda epoch: None,
    ) -> None:
        """Train on some rows; `on_epoch` is called after each epoch with its number, from 1.

        The same rows, epochs and seed give the same network, whatever else is asked between.
        """
        groups = [
            {"params": self._adapters, "weight_decay": _WEIGHT_DECAY},
            {"params": [self._weights, self._bias], "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=_LEARNING_RATE)
        n_scores = self._data.table.n_scores
        costs = torch.full_like(self._weights, penalty)
        costs[:n_scores] = SCORE_PENALTY
        target = self._data.target
        unit = 1.0 if target.has_classes else float(target.labels[rows].var()) or 1.0
        row_weights = np.zeros(len(target.labels))
        row_weights[rows] = target.weights(rows) * len(rows)
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        for epoch in range(1, n_epochs + 1):
            order = np.random.default_rng([seed, epoch]).permutation(rows)
            for begin in range(0, len(order), _BATCH):
                chosen = order[begin : begin + _BATCH]
                weights = self._tensor(row_weights[chosen])
                losses = self._losses(self._scores(chosen), chosen)
                loss = (weights * losses).mean() / unit
                loss = loss + 0.5 * (costs * self._weights**2).sum() / unit
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, _LARGEST_GRADIENT)
                optimiser.step()
            on_epoch(epoch)

    def scores(self, rows: Rows) -> NDArray[np.float64]:
        """What it says now of some rows."""
        found = np.empty(len(rows))
        with torch.no_grad():
            for begin in range(0, len(rows), _LARGE_BATCH):
                part = slice(begin, begin + _LARGE_BATCH)
                found[part] = self._scores(rows[part]).cpu().numpy()
        return found

    def adapters(self) -> dict[str, Adapter]:
        """The adapters as they are now."""
        return adapters_of(self._site_model.network)

    def head(self) -> LinearHead:
        """The head as it is now."""
        weights = self._weights.detach().cpu().double().numpy()
        return LinearHead(weights, self._bias.item(), self._start.centre, self._start.scale)

    def _scores(self, rows: Rows) -> Tensor:
        tokens = torch.from_numpy(np.array(self._data.windows[rows])).to(self._device).long()
        with parametrize.cached():
            values = self._forward(self._site_model, tokens.flatten(0, 1), None)
        widths = torch.from_numpy(self._data.widths[rows]).to(self._device)
        each = widths.repeat_interleave(tokens.shape[1])[:, None]
        is_own = torch.arange(values.shape[1], device=self._device) < each
        pooled = (values * is_own[:, :, None]).sum(dim=1) / each
        of_windows = self._invariant(pooled).unflatten(0, tokens.shape[:2])
        first = of_windows[:, 0]
        # Of a variant, what ALT changes.
        changes = [other - first for other in of_windows.unbind(1)[1:]]
        own = self._tensor(self._data.table.values[rows, : self._data.table.n_scores])
        features = torch.cat([own, first, *changes], dim=1)
        return ((features - self._centre) / self._scale) @ self._weights + self._bias

    def _invariant(self, values: Tensor) -> Tensor:
        """`strand_invariant` with gradients."""
        if self._mirrors:
            forward, reverse = values, values.flip(1)
        else:
            forward, reverse = values.chunk(2, dim=1)
        half = forward.shape[1] // 2
        a, b = forward[:, :half], reverse[:, :half]
        return torch.cat([(a + b) / 2, (a - b).abs() / 2], dim=1)

    def _losses(self, scores: Tensor, rows: Rows) -> Tensor:
        labels = self._tensor(self._data.target.labels[rows])
        if not self._data.target.has_classes:
            return 0.5 * (labels - scores) ** 2
        return F.binary_cross_entropy_with_logits(scores, labels, reduction="none")
