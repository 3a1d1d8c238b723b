"""Which windows are computed for wanted positions: whole tiles, or what is wanted of a tile alone.

A window costs its own positions and its context, the rows that a network computes beside them. A
lone position of the published network costs 241 rows, a tile of 512 positions 752: so one or two
are computed alone, and where many lie together the tile is, which is kept for those who ask next.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.io.regions import Region
from phylotools.model.presets import ModelSpec


class WindowRule(enum.Enum):
    """What windows may be chosen among, by how a position's numbers depend on theirs."""

    #: They are the same bits in every window.
    ANY = "any"
    #: They agree to rounding: whole tiles, and windows of one position. Of a position the file has
    #: near others the last digit may differ from that of the same position alone.
    LONE = "lone"
    #: They depend on the window: whole tiles of the grid.
    GRID = "grid"


class Span(NamedTuple):
    """Positions of a contig, 0-based, half-open."""

    start: int
    end: int


def context_cost(spec: ModelSpec) -> int:
    """How many positions cost as much as the context of a window.

    Both are counted in products. Measured on a CPU, time goes with them to 2 % for `phylogpn`; a
    lone position costs 1.17 times as much for `small` and `medium`. Early blocks compute most of
    the receptive field's rows beside a window's own, the last ones nearly none: of `phylogpn` it is
    half the receptive field, of `medium`, whose wide dilations come first, a quarter.
    """
    wide, narrow = spec.channels * spec.bottleneck, spec.bottleneck**2 * spec.kernel_size
    rows, context = spec.receptive_field - 1, 0
    for dilation in spec.dilations:
        context += rows * wide
        rows -= dilation * (spec.kernel_size - 1)
        context += rows * (narrow + wide)
    return round(context / (len(spec.dilations) * (2 * wide + narrow)))


def longest_window(context: int) -> int:
    """Positions of the longest window worth making, by `context_cost`: context is 6 % of it.

    Measured with one CPU thread: to be 2,048 and not 512 positions long saves `small` 10 % and
    `medium` 18 %, but 4,096 are 4 to 6 % slower than that, out of the cache; `phylogpn`, which is
    anyway, saves 25 % and, with 4,096, another 6.
    """
    return max(2048, 16 * context)


def spans_of(positions: NDArray[np.int64], context: int) -> list[Span]:
    """Rising positions in spans; two share one where what lies between costs less than a context.

    Parameters
    ----------
    positions : int64 array [K]
    context : int
        See `context_cost`.
    """
    cuts = np.flatnonzero(np.diff(positions) - 1 >= context) + 1
    bounds = zip([0, *cuts.tolist()], [*cuts.tolist(), len(positions)], strict=True)
    return [Span(int(positions[first]), int(positions[last - 1]) + 1) for first, last in bounds]


def cost(spans: Iterable[Span], context: int) -> int:
    """Positions that cost as much as spans computed one by one."""
    return sum(span.end - span.start + context for span in spans)


def joined(windows: Iterable[Region], context: int, longest: int) -> list[Region]:
    """Windows in order of contig and position, those near each other joined, long ones cut.

    Parameters
    ----------
    windows : iterable of Region
        Apart from each other.
    context : int
        As for `spans_of`.
    longest : int
        Positions of a window that is made.
    """
    found: list[Region] = []
    for window in windows:
        last = found[-1] if found else None
        if last and last.contig == window.contig and window.start - last.end < context:
            found[-1] = Region(window.contig, last.start, window.end)
        else:
            found.append(window)
    return [part for window in found for part in _cut(window, longest)]


def _cut(window: Region, longest: int) -> list[Region]:
    """The window in as few parts as may be, of nearly one length."""
    n_parts = -(-len(window) // longest)
    edges = [window.start + len(window) * k // n_parts for k in range(n_parts + 1)]
    return [Region(window.contig, *edge) for edge in itertools.pairwise(edges)]
