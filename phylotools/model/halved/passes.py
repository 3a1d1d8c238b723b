"""One window through the network, forward and backward."""

from __future__ import annotations

from phylotools.model.halved.activation import (
    activate,
    activate_again,
    back_to_norm,
    back_to_position,
    measure,
)
from phylotools.model.halved.layout import CHUNK, LANES
from phylotools.model.halved.products import add_product, set_product
from phylotools.model.halved.weights import stage_of
from phylotools.phylogeny.kernels.cpu.families import jit
from phylotools.phylogeny.kernels.cpu.lanes import load, spread, store


@jit
def forward(stages, tokens, table, weights, activations, moments, hidden, packed):
    """Fill a window's activations, the last stage's output among them.

    Parameters
    ----------
    stages : int64 array, `Layout.stages`
    tokens : int64 array [L]
    table : float32 array [N_TOKENS, H]
        Vectors of tokens in the basis.
    weights : float32 array, from `halve`
    activations, moments : float32 arrays [n], [n, 2], filled
    hidden : float32 array [n_rows * H]
    packed : float32 array [2 * (CHUNK + SPARE_ROWS) * n_packed]
    """
    first = stage_of(stages, 0)
    width = 2 * first.half // LANES
    for position in range(len(tokens)):
        for v in range(width):
            place = first.source // LANES + position * width + v
            store(activations, place, load(table, tokens[position] * width + v))
    for number in range(len(stages)):
        stage = stage_of(stages, number)
        _activate_rows(stage, weights, activations, moments, hidden)
        _begin_output(stage, weights, activations)
        rows = stage.rows - stage.reach
        for start in range(0, rows, CHUNK):
            count = min(CHUNK, rows - start)
            if stage.taps > 1:
                _pack(stage, hidden, packed, start, count)
            for part in range(2):
                left, left_at, left_row = _operand(stage, part, hidden, packed, start)
                add_product(
                    left, left_at, left_row, 1,
                    weights, _block(stage, part), stage.columns,
                    activations,
                    stage.target + start * 2 * stage.columns + part * stage.columns,
                    2 * stage.columns, count, stage.columns, stage.taps * stage.half,
                )  # fmt: skip


@jit
def _operand(stage, part, hidden, packed, start):
    """Array, beginning and length of a row of what a block is multiplied with."""
    if stage.taps > 1:
        return packed, part * (len(packed) // 2), stage.taps * stage.half
    return hidden, (start * 2 + part) * stage.half, 2 * stage.half


@jit
def _block(stage, part):
    return stage.weights + part * stage.taps * stage.half * stage.columns


@jit
def _scale(stage):
    """Vector at which a stage's norm scale begins."""
    end = stage.weights + 2 * stage.taps * stage.half * stage.columns + stage.columns
    return end // LANES


@jit
def _activate_rows(stage, weights, activations, moments, hidden):
    n, scale = stage.half // LANES, _scale(stage)
    first = stage.source // LANES
    # Apart, since no row waits for the sums of another.
    for row in range(stage.rows):
        measure(activations, first + row * 2 * n, n, moments, stage.moments + row)
    for row in range(stage.rows):
        activate(
            activations, first + row * 2 * n, n, weights, scale, moments, stage.moments + row,
            hidden, row * 2 * n, stage.taps == 1,
        )  # fmt: skip


@jit
def _begin_output(stage, weights, activations):
    """The output without its product: the bias, and the block's input where that is added."""
    n = stage.columns // LANES
    bias = _scale(stage) - n
    zero = spread(load(weights, bias), 0.0)
    for row in range(stage.rows - stage.reach):
        to = stage.target // LANES + row * 2 * n
        added = stage.residual // LANES + row * 2 * n
        for v in range(n):
            s, a = load(weights, bias + v), zero
            if stage.residual >= 0:
                s = s + load(activations, added + v)
                a = load(activations, added + n + v)
            store(activations, to + v, s)
            store(activations, to + n + v, a)


@jit
def _pack(stage, hidden, packed, start, count):
    """Taps side by side: t of a tap with b of the opposite one, their sums and differences."""
    n = stage.half // LANES
    apart = len(packed) // 2 // LANES
    for row in range(count):
        for tap in range(stage.taps):
            ahead = (start + row + tap * stage.dilation) * 2 * n
            behind = (start + row + (stage.taps - 1 - tap) * stage.dilation) * 2 * n + n
            to = (row * stage.taps + tap) * n
            for v in range(n):
                t, b = load(hidden, ahead + v), load(hidden, behind + v)
                store(packed, to + v, t + b)
                store(packed, apart + to + v, t - b)


@jit
def backward(
    stages, tokens, to_table, weights, transposed, activations, moments, hidden, slopes, packed,
    outer, outer_packed, means, slots, gradient,
):  # fmt: skip
    """Add a window's part to the gradients with respect to blocks and to the table of tokens.

    Parameters
    ----------
    to_table : float32 array [N_TOKENS, H], added to
    activations, moments : float32 arrays
        As `forward` left them.
    slopes, outer : float32 arrays of the size of `hidden`
    outer_packed : float32 array of the size of `packed`
    means : float32 array [most rows, 2]
    slots : float32 array [n_gradients]
        Holds the gradient with respect to the last stage's output at its `target_slot`.
    gradient : float32 array of the size of `weights`, added to
    """
    for number in range(len(stages) - 1, -1, -1):
        stage = stage_of(stages, number)
        _activate_rows_again(stage, weights, activations, moments, hidden, slopes)
        _add_to_bias(stage, slots, gradient)
        rows, long = stage.rows - stage.reach, stage.taps * stage.half
        if stage.taps > 1:
            outer[: stage.rows * 2 * stage.half] = 0.0
        for start in range(0, rows, CHUNK):
            count = min(CHUNK, rows - start)
            if stage.taps > 1:
                _pack(stage, hidden, packed, start, count)
            for part in range(2):
                at = stage.target_slot + (start * 2 + part) * stage.columns
                left, left_at, left_row = _operand(stage, part, hidden, packed, start)
                add_product(
                    left, left_at, 1, left_row,
                    slots, at, 2 * stage.columns,
                    gradient, _block(stage, part), stage.columns,
                    long, stage.columns, count,
                )  # fmt: skip
                to, to_at, to_row = _operand(stage, part, outer, outer_packed, start)
                set_product(
                    slots, at, 2 * stage.columns, 1,
                    transposed, _block(stage, part), long,
                    to, to_at, to_row, count, long, stage.columns,
                )  # fmt: skip
            if stage.taps > 1:
                _unpack(stage, outer_packed, outer, start, count)
        _back_rows(stage, weights, activations, moments, slopes, outer, means, slots, gradient)
    first = stage_of(stages, 0)
    width = 2 * first.half // LANES
    for position in range(len(tokens)):
        for v in range(width):
            place = tokens[position] * width + v
            gained = load(slots, first.source_slot // LANES + position * width + v)
            store(to_table, place, load(to_table, place) + gained)


@jit
def _activate_rows_again(stage, weights, activations, moments, hidden, slopes):
    n, scale = stage.half // LANES, _scale(stage)
    for row in range(stage.rows):
        activate_again(
            activations, stage.source // LANES + row * 2 * n, n, weights, scale, moments,
            stage.moments + row, hidden, slopes, row * 2 * n, stage.taps == 1,
        )  # fmt: skip


@jit
def _add_to_bias(stage, slots, gradient):
    n = stage.columns // LANES
    bias = _scale(stage) - n
    for v in range(n):
        gained = load(gradient, bias + v)
        for row in range(stage.rows - stage.reach):
            gained = gained + load(slots, stage.target_slot // LANES + row * 2 * n + v)
        store(gradient, bias + v, gained)


@jit
def _unpack(stage, outer_packed, outer, start, count):
    """Add gradients with respect to packed taps to those with respect to t and b."""
    n = stage.half // LANES
    apart = len(outer_packed) // 2 // LANES
    for row in range(count):
        for tap in range(stage.taps):
            ahead = (start + row + tap * stage.dilation) * 2 * n
            behind = (start + row + (stage.taps - 1 - tap) * stage.dilation) * 2 * n + n
            place = (row * stage.taps + tap) * n
            for v in range(n):
                p, q = load(outer_packed, place + v), load(outer_packed, apart + place + v)
                store(outer, ahead + v, load(outer, ahead + v) + (p + q))
                store(outer, behind + v, load(outer, behind + v) + (p - q))


@jit
def _back_rows(stage, weights, activations, moments, slopes, outer, means, slots, gradient):
    n, scale, first = stage.half // LANES, _scale(stage), stage.source // LANES
    for row in range(stage.rows):
        back_to_norm(
            activations, first + row * 2 * n, n, weights, scale, moments, stage.moments + row,
            slopes, outer, row * 2 * n, stage.taps == 1, gradient, means, row,
        )  # fmt: skip
    for row in range(stage.rows):
        to = stage.source_slot // LANES + row * 2 * n
        back_to_position(
            activations, first + row * 2 * n, n, moments, stage.moments + row, outer, row * 2 * n,
            means, row, slots, to,
        )  # fmt: skip
        past = row - stage.crop
        if stage.residual_slot >= 0 and 0 <= past < stage.rows - 2 * stage.crop:
            around = stage.residual_slot // LANES + past * 2 * n
            for v in range(2 * n):
                store(slots, to + v, load(slots, to + v) + load(slots, around + v))
