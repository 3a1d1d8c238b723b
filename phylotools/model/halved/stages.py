"""The frozen network as a sequence of stages, with weights as its products read them.

Formulas are those of `layout`. Here halves of channels may be of any length: they are filled up to
whole vectors with zeros, which stay zeros through norm and GELU.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from phylotools.model.halved.function import empty
from phylotools.model.halved.layout import LANES
from phylotools.model.halved.products import TILE_VECTORS

if TYPE_CHECKING:
    from phylotools.model.network import ByteNet, EquivariantConv, PositionNorm, ResidualBlock

#: What a stage reads and writes: the first 1x1 convolution of a block from the residual stream to
#: y, the dilated one from y to z, the last from z onto the stream; the output from stream to y.
ENTER, DILATE, LEAVE, OUTPUT = range(4)


class FrozenStage(NamedTuple):
    """One norm, GELU and convolution; lengths and offsets in float32, unless they say otherwise.

    Attributes
    ----------
    kind : int
    half : int
        h of what goes in, filled up.
    n_channels : int
        H of what goes in, not filled up.
    columns : int
        h of what comes out, filled up.
    taps, dilation : int
    lost, lost_after : int
        Positions that a window has lost on its way here, and behind it.
    block : int
        Where the block for s begins among the weights: panels of `TILE_VECTORS` vectors of columns
        (the last may be narrower), each with all k in order. That for a follows.
    bias : int
        Of s [columns]; then as many zeros, that of a.
    norm : int
        Scale and shift of t, then of b [half] each, and the mask of the last vector [LANES].
    """

    kind: int
    half: int
    n_channels: int
    columns: int
    taps: int
    dilation: int
    lost: int
    lost_after: int
    block: int
    bias: int
    norm: int


def frozen_stages(network: ByteNet) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Stages of a network, one a row with the fields of `FrozenStage`, and all their weights."""
    layers = list(_layers(network))
    stages: list[FrozenStage] = []
    place = 0
    for kind, lost, norm, convolution in layers:
        outputs, _, taps = convolution.weight.shape
        half, columns = (filled_up(n // 2) for n in (len(norm.weight), outputs))
        bias = place + 2 * taps * half * columns
        after = lost + (taps - 1) * convolution.dilation
        stages.append(
            FrozenStage(
                kind, half, len(norm.weight), columns, taps, convolution.dilation, lost, after,
                place, bias, bias + 2 * columns,
            )
        )  # fmt: skip
        place = bias + 2 * columns + 4 * half + LANES
    # A stage at a time: large networks have their weights in memory once more, not twice.
    weights = empty(place)
    for stage, (_, _, norm, convolution) in zip(stages, layers, strict=True):
        blocks, bias_of_both = _blocks(convolution)
        place = stage.block
        for part in (*_panels(blocks), bias_of_both, _norm_vectors(norm)):
            weights[place : place + part.size] = part
            place += part.size
    return np.array(stages, dtype=np.int64), weights


def _layers(network: ByteNet) -> Iterator[tuple[int, int, PositionNorm, EquivariantConv]]:
    """Kind, positions lost before it, norm and convolution of every stage."""
    lost = 0
    for block in cast("Iterable[ResidualBlock]", network.blocks):
        yield ENTER, lost, block.norm_in, block.conv_in
        yield DILATE, lost, block.norm_mid, block.conv_mid
        lost += 2 * block.crop
        yield LEAVE, lost, block.norm_out, block.conv_out
    yield OUTPUT, lost, network.norm, network.output


def _norm_vectors(norm: PositionNorm) -> NDArray[np.float32]:
    scale, shift = (values.detach().numpy() for values in norm.effective())
    half = len(scale) // 2
    filled = np.zeros((4, filled_up(half)), dtype=np.float32)
    for row, values in enumerate((scale, shift)):
        filled[row, :half], filled[2 + row, :half] = values[:half], values[: half - 1 : -1]
    mask = np.arange(filled_up(half) - LANES, filled_up(half)) < half
    return np.concatenate([filled.ravel(), mask.astype(np.float32)])


def _blocks(convolution: EquivariantConv) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Blocks of s and a [2, taps, half, columns] and bias [2 * columns], filled up."""
    weight, bias = (p.detach().numpy() for p in (convolution.weight, convolution.bias))
    outputs, half, taps = weight.shape[0] // 2, weight.shape[1] // 2, weight.shape[2]
    upper = (weight + weight[::-1, ::-1, ::-1])[:outputs, :half]
    lower = (weight[:, ::-1, ::-1] + weight[::-1])[:outputs, :half]
    columns = filled_up(outputs)
    blocks = np.zeros((2, taps, filled_up(half), columns), dtype=np.float32)
    for part, sums in enumerate((upper + lower, upper - lower)):
        blocks[part, :, :half, :outputs] = np.float32(0.25) * sums.transpose(2, 1, 0)
    both = np.zeros(2 * columns, dtype=np.float32)
    both[:outputs] = np.float32(0.5) * (bias + bias[::-1])[:outputs]
    return blocks, both


def _panels(blocks: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Flat panels of both blocks, in order."""
    width = TILE_VECTORS * LANES
    for block in blocks.reshape(2, -1, blocks.shape[3]):
        for start in range(0, block.shape[1], width):
            yield block[:, start : start + width].ravel()


def filled_up(half: int) -> int:
    """Length of so many float32 in whole vectors."""
    return -(-half // LANES) * LANES
