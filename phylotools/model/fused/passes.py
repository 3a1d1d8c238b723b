"""A batch of windows through the network in the basis of half sums and half differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from phylotools.model.fused import steps
from phylotools.model.fused.steps import Pending, Planes, activated, packed_taps
from phylotools.model.fused.weights import BlockWeights, HalvedWeights, Product

if TYPE_CHECKING:
    from phylotools.model.presets import ModelSpec


class Walk:
    """Passes of one network in one precision.

    Parameters
    ----------
    spec : ModelSpec
    weights : HalvedWeights
    kind : dtype
        Of the products and of what goes into them; the residual stream is float32.
    """

    def __init__(self, spec: ModelSpec, weights: HalvedWeights, kind: torch.dtype) -> None:
        self._weights, self._kind = weights, kind
        self._taps = spec.kernel_size
        self._over_positions = spec.norm == "group"

    def theta(self, tokens: Tensor) -> Tensor:
        """Theta, float32 (B, L, 4), of tokens, int64 (B, L + receptive_field - 1)."""
        around, pending = self._through(tokens, len(self._weights.blocks))
        _, hidden = activated(
            around,
            pending,
            self._weights.norm,
            torch.float32,
            is_summed=True,
            over_positions=self._over_positions,
        )
        last = self._times(hidden, self._weights.output)
        s, a = last.product.values.unbind(0)
        return _joined(s + last.bias, a).view(len(tokens), -1, 4)

    def hidden(self, tokens: Tensor, n_blocks: int, is_normed: bool) -> Tensor:
        """What so many blocks give, float32 (B, positions left, H).

        What follows the blocks, the output norm too, is torch's: it is done once a pass.
        """
        around, pending = self._through(tokens, n_blocks)
        s, a = around.values.unflatten(1, (len(tokens), around.rows)).unbind(0)
        if pending is not None:
            crop = (around.rows - pending.product.rows) // 2
            inner = slice(crop, around.rows - crop)
            by_window = (len(tokens), pending.product.rows)
            to_s, to_a = pending.product.values.unflatten(1, by_window).unbind(0)
            s, a = s[:, inner] + to_s + pending.bias, a[:, inner] + to_a
        values = _joined(s, a)
        if not is_normed:
            return values
        top_scale, low_scale, top_shift, low_shift = self._weights.norm.unbind(0)
        scale = torch.cat([top_scale, low_scale.flip(0)])
        shift = torch.cat([top_shift, low_shift.flip(0)])
        shape = values.shape[1:] if self._over_positions else values.shape[2:]
        return F.layer_norm(values, shape) * scale + shift

    def _through(self, tokens: Tensor, n_blocks: int) -> tuple[Planes, Pending | None]:
        """Residual stream before the last block, and what that adds."""
        table = self._weights.embedding
        around = Planes(table.index_select(1, tokens.flatten()), tokens.shape[1])
        pending = None
        for block in self._weights.blocks[:n_blocks]:
            around, pending = self._block(block, around, pending)
        return around, pending

    def _block(
        self, block: BlockWeights, around: Planes, pending: Pending | None
    ) -> tuple[Planes, Pending]:
        around, hidden = self._activated(around, pending, block.norm_in, is_summed=True)
        pending = self._times(hidden, block.conv_in)
        _, hidden = self._activated(None, pending, block.norm_mid, is_summed=False)
        pending = self._dilated(hidden, block)
        _, hidden = self._activated(None, pending, block.norm_out, is_summed=True)
        return around, self._times(hidden, block.conv_out)

    def _activated(
        self, around: Planes | None, pending: Pending | None, norm: Tensor, *, is_summed: bool
    ) -> tuple[Planes, Planes]:
        return activated(
            around,
            pending,
            norm,
            self._kind,
            is_summed=is_summed,
            over_positions=self._over_positions,
        )

    def _dilated(self, hidden: Planes, block: BlockWeights) -> Pending:
        if steps.IS_GATHERED and self._kind != torch.float32:
            by = block.conv_mid
            product = steps.dilated_product(hidden, by.blocks, self._taps, block.dilation)
            return Pending(product, by.bias)
        return self._times(packed_taps(hidden, self._taps, block.dilation), block.conv_mid)

    @staticmethod
    def _times(hidden: Planes, by: Product) -> Pending:
        # Autocast would look at every product, and has nothing to change.
        with torch.autocast(hidden.values.device.type, enabled=False):
            return Pending(Planes(torch.bmm(hidden.values, by.blocks), hidden.rows), by.bias)


def _joined(s: Tensor, a: Tensor) -> Tensor:
    """Channels in their own order, from half sums and half differences."""
    return torch.cat([s + a, (s - a).flip(-1)], dim=-1)
