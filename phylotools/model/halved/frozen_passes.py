"""Windows through the frozen network, phase by phase."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.model.halved.activation import EPSILON, distribution, total
from phylotools.model.halved.layout import LANES, SPARE_ROWS
from phylotools.model.halved.products import panel_product
from phylotools.model.halved.stages import DILATE, LEAVE, FrozenStage
from phylotools.phylogeny.kernels.cpu.families import jit
from phylotools.phylogeny.kernels.cpu.lanes import fma, load, spread, store

#: Rows of a stage that are worked on together, a multiple of the tile's.
ROWS = 96
#: Rows whose moments are taken before they are used: no row waits for the sums of another, and
#: all lie in the first cache meanwhile.
ROWS_AT_ONCE = 8


class Room(NamedTuple):
    """Arrays for the positions of windows.

    A window has the same rows in all of them, `SPARE_ROWS` more than positions: products write
    whole tiles.

    Attributes
    ----------
    x : float32 array [rows * 2 * half]
        Residual stream, s and a of a row side by side. A position keeps its row, and those at a
        window's ends go out of use.
    y, z : float32 arrays [rows * 2 * half]
        What the first and the second convolution of a block give, from a window's first row on.
    moments : float32 array [rows, 2]
        Of a norm over positions: mean and sum of squares of each row.
    hidden, packed, own_moments : float32 arrays
        A thread's own: GELU of rows; the sums and differences of a tap; mean and reciprocal
        deviation of the rows at once.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    z: NDArray[np.float32]
    moments: NDArray[np.float32]
    hidden: NDArray[np.float32]
    packed: NDArray[np.float32]
    own_moments: NDArray[np.float32]


@jit
def run_phase(phase, part, parts, over_positions, stages, weights, table, tokens, windows, room):
    """One phase of a pass, for a part of the rows of every window.

    Phase 0 looks tokens up; after it each stage has two, of which the first takes moments, where
    the norm is over positions. A phase needs all of the one before.

    Parameters
    ----------
    phase, part, parts : int
    over_positions : bool
    stages, weights : arrays of `frozen_stages`
    table : float32 array [N_TOKENS * 2 * half]
        s and a of tokens.
    tokens : int64 array
        Of all windows, one after another.
    windows : int64 array [W, 3]
        First token, number of tokens, first row.
    room : Room
    """
    stage = stage_at(stages, max(0, (phase - 1) // 2))
    for number in range(len(windows)):
        first_token, length, first = windows[number]
        if phase == 0:
            begin, end = share_of(length, part, parts)
            n = stage.half // LANES
            for row in range(begin, end):
                token = tokens[first_token + row]
                for v in range(2 * n):
                    store(room.x, (first + row) * 2 * n + v, load(table, token * 2 * n + v))
        elif phase % 2 == 0:
            begin, end = share_of(length - stage.lost_after, part, parts)
            run_rows(stage, weights, length, first, begin, end, over_positions, room)
        elif over_positions:
            begin, end = share_of(length - stage.lost, part, parts)
            measure_rows(stage, weights, first, begin, end, room)


@jit
def stage_at(stages, number):
    """Row `number` of the stages by its names."""
    row = stages[number]
    return FrozenStage(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9], row[10]
    )


@jit
def share_of(rows, part, parts):
    """First row and end of one of equal parts; they meet where tiles do."""
    begin, end = rows * part // parts, rows * (part + 1) // parts
    return begin // SPARE_ROWS * SPARE_ROWS, (
        rows if part + 1 == parts else end // SPARE_ROWS * SPARE_ROWS
    )


@jit
def source_of(stage, first, room):
    """Array that a stage reads, and its vector where the window's first valid row begins."""
    n = 2 * stage.half // LANES
    if stage.kind == DILATE:
        return room.y, first * n
    if stage.kind == LEAVE:
        return room.z, first * n
    return room.x, (first + stage.lost // 2) * n


@jit
def target_of(stage, first, room):
    """Array that a stage writes, and where in it the window's first valid row begins."""
    if stage.kind == DILATE:
        return room.z, first * 2 * stage.columns
    if stage.kind == LEAVE:
        return room.x, (first + stage.lost_after // 2) * 2 * stage.columns
    return room.y, first * 2 * stage.columns


@jit
def run_rows(stage, weights, length, first, begin, end, over_positions, room):
    """Rows `begin` to `end` of a stage's output, from the rows that they need."""
    source, source_at = source_of(stage, first, room)
    target, target_at = target_of(stage, first, room)
    if over_positions:
        rows = length - stage.lost
        mean, inverse = pool(room.moments[first : first + rows], stage.n_channels)
        room.own_moments[:, 0], room.own_moments[:, 1] = mean, inverse
    wide = 2 * stage.half // LANES
    ready = begin
    for start in range(begin, end, ROWS):
        count = min(ROWS, end - start)
        needed = start + count + (stage.taps - 1) * stage.dilation
        # Of taps rows stay from chunk to chunk; else each chunk begins anew.
        at = ready - begin if stage.taps > 1 else 0
        activate_rows(
            stage, weights, source, source_at + ready * wide, needed - ready, over_positions,
            room.own_moments, room.hidden, at * wide,
        )  # fmt: skip
        ready = needed
        for tap in range(stage.taps):
            left = room.hidden
            if stage.taps > 1:
                pack_tap(stage, tap, room.hidden, start - begin, count, room.packed)
                left = room.packed
            add_tap(stage, tap, weights, left, target, target_at + start * 2 * stage.columns, count)


@jit
def add_tap(stage, tap, weights, left, target, at, count):
    """What a tap adds to rows of the output; the first begins with what they are added to."""
    long = stage.taps * stage.half
    for part in range(2):
        to = at + part * stage.columns
        if tap == 0 and stage.kind != LEAVE:
            # Zeros, the bias of a, as every row of D.
            before, before_at, before_row = weights, stage.bias + stage.columns, 0
        else:
            before, before_at, before_row = target, to, 2 * stage.columns
        panel_product(
            left, part * stage.half, 2 * stage.half,
            weights, stage.block + part * long * stage.columns, long, tap * stage.half, stage.half,
            target, to, 2 * stage.columns, before, before_at, before_row,
            stage.bias + (part if tap == 0 else 1) * stage.columns, count, stage.columns,
        )  # fmt: skip


@jit
def activate_rows(stage, weights, source, place, count, is_measured, moments, hidden, to):
    """GELU of the norm of rows: t and b where taps follow, else their sums and differences.

    Rows begin at vector `place` of `source` and at vector `to` of `hidden`.
    """
    n, scale = stage.half // LANES, stage.norm // LANES
    for start in range(0, count, ROWS_AT_ONCE):
        some = min(ROWS_AT_ONCE, count - start)
        if not is_measured:
            for row in range(some):
                moments[row, 0], moments[row, 1] = measured(
                    stage, weights, source, place + (start + row) * 2 * n
                )
        for row in range(some):
            at, out = place + (start + row) * 2 * n, to + (start + row) * 2 * n
            mean = spread(load(source, at), moments[row, 0])
            inverse = spread(mean, moments[row, 1])
            for v in range(n):
                s, a = load(source, at + v), load(source, at + n + v)
                t, b = normalised(s, a, mean, inverse, weights, scale + v, n)
                t, b = t * distribution(t), b * distribution(b)
                if stage.taps == 1:
                    t, b = t + b, t - b
                store(hidden, out + v, t)
                store(hidden, out + n + v, b)


@jit
def normalised(s, a, mean, inverse, weights, scale, n):
    """Norm of a vector of channels of t, and of b; of t the scale is vector `scale`."""
    s, a = (s - mean) * inverse, a * inverse
    return (
        fma(s + a, load(weights, scale), load(weights, scale + n)),
        fma(s - a, load(weights, scale + 2 * n), load(weights, scale + 3 * n)),
    )


@jit
def measured(stage, weights, source, at):
    """Mean and reciprocal deviation of a row."""
    mean, squares = measure(stage, weights, source, at)
    return mean, 1.0 / math.sqrt(squares / stage.n_channels * 2 + EPSILON)


@jit
def measure(stage, weights, source, at):
    """Mean of a row, and the sum of squares about it of s and a."""
    n, mask = stage.half // LANES, stage.norm // LANES + 4 * (stage.half // LANES)
    whole = load(source, at)
    for v in range(1, n):
        whole = whole + load(source, at + v)
    mean = total(whole) / (stage.n_channels // 2)
    centre, squares_s = spread(whole, mean), spread(whole, 0.0)
    squares_a = squares_s
    for v in range(n):
        s, a = load(source, at + v) - centre, load(source, at + n + v)
        if v == n - 1:
            # What fills the last vector up is no channel.
            s = s * load(weights, mask)
        squares_s, squares_a = fma(s, s, squares_s), fma(a, a, squares_a)
    return mean, total(squares_s + squares_a)


@jit
def measure_rows(stage, weights, first, begin, end, room):
    """Mean and sum of squares of a stage's rows `begin` to `end`, for `pool`."""
    source, at = source_of(stage, first, room)
    for row in range(begin, end):
        mean, squares = measure(stage, weights, source, at + row * 2 * stage.half // LANES)
        room.moments[first + row, 0], room.moments[first + row, 1] = mean, squares


@jit
def pool(moments, n_channels):
    """Mean and reciprocal deviation of all rows together, from those of each."""
    rows, mean, squares = len(moments), 0.0, 0.0
    for row in range(rows):
        mean += moments[row, 0]
    mean /= rows
    for row in range(rows):
        apart = moments[row, 0] - mean
        squares += 2.0 * moments[row, 1] + n_channels * apart * apart
    return mean, 1.0 / math.sqrt(squares / (rows * n_channels) + EPSILON)


@jit
def pack_tap(stage, tap, hidden, start, count, packed):
    """t of a tap with b of the opposite one: their sums and differences."""
    n = stage.half // LANES
    for row in range(count):
        ahead = (start + row + tap * stage.dilation) * 2 * n
        behind = (start + row + (stage.taps - 1 - tap) * stage.dilation) * 2 * n + n
        to = row * 2 * n
        for v in range(n):
            t, b = load(hidden, ahead + v), load(hidden, behind + v)
            store(packed, to + v, t + b)
            store(packed, to + n + v, t - b)


@jit
def write_layer(stage, lost, first, is_normed, over_positions, weights, room, values):
    """t and b of the residual stream of a window, after the norm of a stage or without.

    Parameters
    ----------
    stage : FrozenStage
    lost : int
        Positions that the window has lost.
    values : float32 array [rows * 2 * half]
    """
    n = stage.half // LANES
    rows, at = len(values) // (2 * stage.half), (first + lost // 2) * 2 * n
    if is_normed and over_positions:
        for row in range(rows):
            own = measure(stage, weights, room.x, at + row * 2 * n)
            room.moments[first + row, 0], room.moments[first + row, 1] = own
        pooled = pool(room.moments[first : first + rows], stage.n_channels)
        room.own_moments[0, 0], room.own_moments[0, 1] = pooled
    for row in range(rows):
        if is_normed and not over_positions:
            room.own_moments[0, 0], room.own_moments[0, 1] = measured(
                stage, weights, room.x, at + row * 2 * n
            )
        centre = spread(load(room.x, at), room.own_moments[0, 0])
        inverse = spread(centre, room.own_moments[0, 1])
        for v in range(n):
            s, a = load(room.x, at + row * 2 * n + v), load(room.x, at + row * 2 * n + n + v)
            t, b = s + a, s - a
            if is_normed:
                t, b = normalised(s, a, centre, inverse, weights, stage.norm // LANES + v, n)
            store(values, row * 2 * n + v, t)
            store(values, row * 2 * n + n + v, b)
