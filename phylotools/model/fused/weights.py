"""A network's weights in the basis of half sums and half differences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from phylotools.model.network import ByteNet, EquivariantConv, PositionNorm, ResidualBlock


@dataclass(frozen=True)
class Product:
    """A convolution.

    Attributes
    ----------
    blocks : Tensor, shape (2, taps * half in, half out)
        For s and a.
    bias : Tensor of float32, shape (half out,)
        Of s.
    """

    blocks: Tensor
    bias: Tensor

    def cast(self, kind: torch.dtype) -> Product:
        return replace(self, blocks=self.blocks.to(kind))


@dataclass(frozen=True)
class BlockWeights:
    """A residual block; norms are float32 (4, half): scale of t and b, shift of t and b."""

    norm_in: Tensor
    conv_in: Product
    norm_mid: Tensor
    conv_mid: Product
    norm_out: Tensor
    conv_out: Product
    crop: int
    dilation: int

    def cast(self, kind: torch.dtype) -> BlockWeights:
        return replace(
            self,
            conv_in=self.conv_in.cast(kind),
            conv_mid=self.conv_mid.cast(kind),
            conv_out=self.conv_out.cast(kind),
        )


@dataclass(frozen=True)
class HalvedWeights:
    """All of a network.

    Attributes
    ----------
    embedding : Tensor of float32, shape (2, tokens, half)
    blocks : tuple of BlockWeights
    norm : Tensor of float32, shape (4, half)
    output : Product
    """

    embedding: Tensor
    blocks: tuple[BlockWeights, ...]
    norm: Tensor
    output: Product

    def cast(self, kind: torch.dtype) -> HalvedWeights:
        """The same with the blocks' products in another type.

        That of the output stays float32: four numbers a position cost nothing, and theta is not
        rounded to what a narrow type holds of it.
        """
        return replace(self, blocks=tuple(block.cast(kind) for block in self.blocks))


def halved(network: ByteNet) -> HalvedWeights:
    """The symmetrised weights of a network in that basis, in float32."""
    with torch.no_grad(), torch.inference_mode(False):
        (table,) = network.embedding.effective()
        top, low = _halves(table)
        return HalvedWeights(
            torch.stack([top + low, top - low]) / 2,
            tuple(_block(block) for block in network.blocks),  # type: ignore[arg-type]
            _norm(network.norm),
            _product(network.output),
        )


def _block(block: ResidualBlock) -> BlockWeights:
    return BlockWeights(
        _norm(block.norm_in),
        _product(block.conv_in),
        _norm(block.norm_mid),
        _product(block.conv_mid),
        _norm(block.norm_out),
        _product(block.conv_out),
        block.crop,
        block.conv_mid.dilation,
    )


def _norm(norm: PositionNorm) -> Tensor:
    scale, shift = norm.effective()
    return torch.stack([*_halves(scale), *_halves(shift)]).contiguous()


def _product(conv: EquivariantConv) -> Product:
    matrix, bias = conv.effective()
    outputs, inputs, taps = conv.weight.shape
    # Of the upper half of the outputs: from t at each tap, and from b at the opposite one.
    top, low = _halves(matrix.view(outputs, taps, inputs)[: outputs // 2].double())
    low = low.flip(1)
    blocks = torch.stack([top + low, top - low]) / 2
    blocks = blocks.permute(0, 2, 3, 1).reshape(2, taps * (inputs // 2), outputs // 2)
    return Product(blocks.float().contiguous(), bias[: outputs // 2].contiguous())


def _halves(values: Tensor) -> tuple[Tensor, Tensor]:
    """Of the last axis, the first half and the last one reversed."""
    half = values.shape[-1] // 2
    return values[..., :half], values[..., half:].flip(-1)
