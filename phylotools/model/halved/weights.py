"""Stored weights to the blocks of `layout`, and gradients with respect to blocks back."""

from __future__ import annotations

from phylotools.model.halved.layout import Stage
from phylotools.phylogeny.kernels.cpu.families import jit


@jit
def halve(stage, stored, weights, transposed):
    """Fill a stage's part of `weights`; of `transposed` the blocks [columns, taps * half]."""
    half, outputs, columns = stage.half, stage.outputs, stage.columns
    taps, weight_at, bias_at = _inside(stage)
    for i in range(half):
        mirror = 2 * half - 1 - i
        for part in range(2):
            place = stage.stored + part * 2 * half
            to = stage.weights + 2 * taps * half * columns + columns + part * half
            weights[to + i] = 0.5 * (stored[place + i] + stored[place + mirror])
    long = taps * half
    for o in range(outputs):
        first = stage.weights + 2 * long * columns
        mirror = 2 * outputs - 1 - o
        weights[first + o] = 0.5 * (stored[bias_at + o] + stored[bias_at + mirror])
        for i in range(half):
            for j in range(taps):
                ours, theirs, crossed, back = _quarters(stage, weight_at, o, i, j)
                top = stored[ours] + stored[theirs]
                bottom = stored[crossed] + stored[back]
                k = j * half + i
                for part in range(2):
                    value = 0.25 * (top + bottom if part == 0 else top - bottom)
                    block = stage.weights + part * long * columns
                    weights[block + k * columns + o] = value
                    transposed[block + o * long + k] = value


@jit
def join(stage, gradient, stored):
    """Fill a stage's part of the gradient with respect to stored weights, from that of blocks."""
    half, outputs, columns = stage.half, stage.outputs, stage.columns
    taps, weight_at, bias_at = _inside(stage)
    long = taps * half
    for i in range(half):
        mirror = 2 * half - 1 - i
        for part in range(2):
            place = stage.stored + part * 2 * half
            value = 0.5 * gradient[stage.weights + 2 * long * columns + columns + part * half + i]
            stored[place + i] = value
            stored[place + mirror] = value
    for o in range(outputs):
        value = 0.5 * gradient[stage.weights + 2 * long * columns + o]
        stored[bias_at + o] = value
        stored[bias_at + 2 * outputs - 1 - o] = value
        for i in range(half):
            for j in range(taps):
                place = stage.weights + (j * half + i) * columns + o
                s, a = gradient[place], gradient[place + long * columns]
                ours, theirs, crossed, back = _quarters(stage, weight_at, o, i, j)
                stored[ours] = stored[theirs] = 0.25 * (s + a)
                stored[crossed] = stored[back] = 0.25 * (s - a)


@jit
def _inside(stage):
    """Taps, and where weight and bias begin among the stored ones."""
    weight_at = stage.stored + 4 * stage.half
    size = 4 * stage.outputs * stage.half * stage.taps
    return stage.taps, weight_at, weight_at + size


@jit
def _quarters(stage, weight_at, o, i, j):
    """Places of the four weights that make an entry of the two blocks.

    Those of A_j and its mirror image, those of B_{-j} and its mirror image.
    """
    inputs, taps = 2 * stage.half, stage.taps
    o_mirror, i_mirror, j_mirror = 2 * stage.outputs - 1 - o, inputs - 1 - i, taps - 1 - j
    return (
        weight_at + (o * inputs + i) * taps + j,
        weight_at + (o_mirror * inputs + i_mirror) * taps + j_mirror,
        weight_at + (o * inputs + i_mirror) * taps + j_mirror,
        weight_at + (o_mirror * inputs + i) * taps + j,
    )


@jit
def stage_of(stages, number):
    """Row `number` of `Layout.stages` by its names."""
    row = stages[number]
    return Stage(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9], row[10],
        row[11], row[12], row[13], row[14], row[15], row[16],
    )  # fmt: skip
