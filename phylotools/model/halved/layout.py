"""The network as a sequence of stages, and where their numbers lie in flat arrays.

**Basis.** Of H channels let t be the first half and b the last, reversed. Positions are kept as
s = (t + b) / 2 and a = (t - b) / 2, side by side. Of an equivariant weight E (H out, H in, taps)
let A_j = E[:h, :h, j] and B_j the rest of its upper rows, columns reversed; the lower rows are
their mirror image. A stage is norm, GELU and convolution. With g_t and g_b what its GELU gives,

    y_s(x) = sum_j 1/2 (A_j + B_{-j}) [g_t(x + o_j) + g_b(x - o_j)]
    y_a(x) = sum_j 1/2 (A_j - B_{-j}) [g_t(x + o_j) - g_b(x - o_j)]

where o_j is the offset of tap j and -j the opposite tap: two products of half the rows and half the
columns, for two of the dense one's four quarters. Biases are palindromes and go into s alone; of
the norm, mean = mean(s) and variance = mean((s - mean)^2 + a^2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.model.presets import ModelSpec
from phylotools.phylogeny.kernels.cpu.lanes import n_lanes

#: float32 in a vector; halves of channels are whole vectors.
LANES = n_lanes(np.float32)
#: Arrays of positions have so many rows more than they need: products write whole tiles.
SPARE_ROWS = 8
#: Rows whose taps lie side by side at a time; a multiple of the tile's. With 64 channels of 5 taps
#: both matrices take 120 KiB, an eighth of the cache that belongs to a core.
CHUNK = 96


class Stage(NamedTuple):
    """One norm, GELU and convolution; lengths and offsets in float32, unless they say otherwise.

    Attributes
    ----------
    half : int
        h of what goes in.
    outputs : int
        h of what comes out.
    columns : int
        The same, filled up to whole vectors.
    taps, dilation : int
    rows : int
        Positions that go in; ``rows - reach`` come out.
    reach : int
    stored : int
        Where its norm scale, norm shift, weight and bias begin among the stored ones.
    weights : int
        Where the blocks [taps * half, columns] for s and a, bias [columns], norm scale and shift
        [half] begin.
    source, target : int
        Where its input [rows, 2 * half] and output [rows - reach, 2 * columns] begin in a window's
        activations.
    moments : int
        Number of the first row of its means and reciprocal deviations.
    residual : int
        Where the first row to be added to its output lies; -1 for none.
    source_slot, target_slot : int
        Where gradients with respect to input and output begin.
    residual_slot : int
        Where the gradient that flows past the block lies; -1 but for the first of a block.
    crop : int
        Rows by which that begins later.
    """

    half: int
    outputs: int
    columns: int
    taps: int
    dilation: int
    rows: int
    reach: int
    stored: int
    weights: int
    source: int
    target: int
    moments: int
    residual: int
    source_slot: int
    target_slot: int
    residual_slot: int
    crop: int


@dataclass(frozen=True)
class Layout:
    """Stages of a network for windows of one length.

    Attributes
    ----------
    stages : int64 array [n_stages, fields of Stage]
    n_stored, n_weights, n_activations, n_moments, n_gradients : int
        Sizes of the flat arrays; moments in rows of two.
    n_rows : int
        Most positions that a stage reads.
    n_hidden : int
        Of the positions that a stage reads.
    n_chunk : int
        Of `CHUNK` positions' taps side by side, sums and differences.
    """

    stages: NDArray[np.int64]
    n_stored: int
    n_weights: int
    n_activations: int
    n_moments: int
    n_gradients: int
    n_rows: int
    n_hidden: int
    n_chunk: int


@lru_cache(maxsize=2048)  # one for each length of window, of some 10 kB
def make_layout(spec: ModelSpec, length: int, keep: bool) -> Layout:
    """Where the numbers of a pass lie.

    Parameters
    ----------
    spec : ModelSpec
    length : int
        Tokens of a window.
    keep : bool
        Keep every stage's input for the gradient; else activations take turns in four places.
    """
    wide, narrow = spec.channels // 2, spec.bottleneck // 2
    slots = _slots(length, wide, narrow)
    places = _Places(slots, keep)
    first = places.take("wide", 0, length, wide)
    stages: list[Stage] = []
    stored = weights = 0

    def add(half: int, outputs: int, taps: int, dilation: int, rows: int, **where: int) -> None:
        nonlocal stored, weights
        columns = -(-outputs // LANES) * LANES
        reach = dilation * (taps - 1)
        moments = sum(stage.rows for stage in stages) if keep else 0
        stages.append(
            Stage(
                half, outputs, columns, taps, dilation, rows, reach, stored, weights,
                moments=moments, **where,
            )
        )  # fmt: skip
        stored += 4 * half + 2 * outputs * (2 * half * taps + 1)
        weights += 2 * taps * half * columns + columns + 2 * half

    for number, dilation in enumerate(spec.dilations):
        reach = dilation * (spec.kernel_size - 1)
        crop, rest = reach // 2, length - reach
        before, after = slots["wide", number % 2], slots["wide", (number + 1) % 2]
        one, two = slots["narrow", 0], slots["narrow", 1]
        y = places.take("narrow", 0, length, narrow)
        z = places.take("narrow", 1, rest, narrow)
        last = places.take("wide", (number + 1) % 2, rest, wide)
        add(
            wide, narrow, 1, 1, length, source=first, target=y, residual=-1,
            source_slot=before, target_slot=one, residual_slot=after, crop=crop,
        )  # fmt: skip
        add(
            narrow, narrow, spec.kernel_size, dilation, length, source=y, target=z, residual=-1,
            source_slot=one, target_slot=two, residual_slot=-1, crop=0,
        )  # fmt: skip
        add(
            narrow, wide, 1, 1, rest, source=z, target=last, residual=first + crop * 2 * wide,
            source_slot=two, target_slot=after, residual_slot=-1, crop=0,
        )  # fmt: skip
        first, length = last, rest
    blocks = len(spec.dilations)
    add(
        wide, 2, 1, 1, length, source=first, target=places.take("narrow", 0, length, LANES),
        residual=-1, source_slot=slots["wide", blocks % 2], target_slot=slots["narrow", 0],
        residual_slot=-1, crop=0,
    )  # fmt: skip
    return Layout(
        np.array(stages, dtype=np.int64),
        stored,
        weights,
        places.used,
        sum(stage.rows for stage in stages) if keep else max(stage.rows for stage in stages),
        slots["end", 0],
        max(stage.rows for stage in stages),
        max((stage.rows + SPARE_ROWS) * 2 * stage.half for stage in stages),
        (CHUNK + SPARE_ROWS) * 2 * max(stage.taps * stage.half for stage in stages),
    )


def _slots(length: int, wide: int, narrow: int) -> dict[tuple[str, int], int]:
    """Four places for arrays of positions: two wide, two narrow; and their end."""
    rows, slots, at = length + SPARE_ROWS, {}, 0
    for name, half in (("wide", wide), ("narrow", max(narrow, LANES))):
        for number in range(2):
            slots[name, number] = at
            at += rows * 2 * half
    slots["end", 0] = at
    return slots


class _Places:
    """Gives places for activations: new ones, or the slots in turn."""

    def __init__(self, slots: dict[tuple[str, int], int], keep: bool) -> None:
        self._slots, self._keep = slots, keep
        self.used = 0 if keep else slots["end", 0]

    def take(self, name: str, number: int, rows: int, half: int) -> int:
        if not self._keep:
            return self._slots[name, number]
        place = self.used
        self.used += (rows + SPARE_ROWS) * 2 * half
        return place
