"""Windows read through another species' row of the alignment than the reference's.

A store holds columns at positions of the reference, so the row of a species is its sequence without
what is inserted relative to the reference. Gaps are cut out of it; where the species has no block,
or a column was not read (held out, too few species, weight 0, another segment), stands an N; beyond
the ends of a contig stands what stands there for the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.compiling import compiled
from phylotools.model.presets import PAD_TOKEN
from phylotools.store.schema import GAP_IN_BLOCK, N
from phylotools.training.segments import Segment
from phylotools.training.windows import Windows

#: Where no row is: the window is read through the reference.
REFERENCE = -1
#: A species is read if it has bases in this share of a window's columns, for the columns in which
#: it has none are lost to the loss.
_SHARE_OF_COLUMNS = 0.5


@dataclass(frozen=True)
class RowChoice:
    """Which species each window is read through.

    Attributes
    ----------
    weight : float
        Probability that a window is read through another species than the reference, if any other
        has bases enough.
    species : int64 array
        Those that may be read: neither the reference nor one that is held out.
    """

    weight: float
    species: NDArray[np.int64]

    def draw(
        self, picked: Sequence[tuple[Segment, Windows, int]], rng: np.random.Generator
    ) -> list[int]:
        """A species for each window, or `REFERENCE`."""
        chosen = []
        is_other = rng.random(len(picked)) < self.weight
        for other, (segment, windows, index) in zip(is_other.tolist(), picked, strict=True):
            row = REFERENCE
            if other:
                first, last = windows.first_column[index : index + 2].tolist()
                n_bases = count_bases(segment.bases[first:last])[self.species]
                able = self.species[n_bases >= max(_SHARE_OF_COLUMNS * (last - first), 1)]
                if len(able):
                    row = int(able[rng.integers(len(able))])
            chosen.append(row)
        return chosen


@compiled
def count_bases(bases):  # type: ignore[no-untyped-def]
    """Columns of `bases` [C, S] in which each species has A, C, G or T; int64 [S]."""
    n = np.zeros(bases.shape[1], dtype=np.int64)
    for c in range(bases.shape[0]):
        for s in range(bases.shape[1]):
            n[s] += bases[c, s] < N
    return n


def read_row(
    segment: Segment, windows: Windows, index: int, species: int, tokens: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Read a window as one species has it.

    Parameters
    ----------
    species : int
        Index in the columns.
    tokens : uint8 array [width + 2 * half_window]
        Filled with the sequence. The window begins with what the species has at its first position
        or, past a gap, after it.

    Returns
    -------
    site : int64 array [C]
        Offsets in the window of the species' bases that are the window's.
    column : int64 array [C]
        Indices in the segment of the columns in which they stand.
    """
    half = (len(tokens) - windows.width) // 2
    run, start = int(windows.run[index]), int(windows.start[index])
    first, last = windows.first_column[index : index + 2].tolist()
    row = segment.bases[:, species]
    around = row, segment.runs, segment.reference, segment.origin
    column = np.full(len(tokens), -1, dtype=np.int64)
    _walk(*around, run, start, first, 1, half, tokens, column)
    _walk(*around, run, start - 1, first - 1, -1, half - 1, tokens, column)
    here = np.flatnonzero((first <= column) & (column < last) & (tokens < N))
    return here - half, column[here]


@compiled
def _walk(  # type: ignore[no-untyped-def]
    row, runs, reference, origin, run, position, c, step, filled, tokens, column
):
    """Fill `tokens` from entry `filled` to its end (`step` 1) or start (-1), and their columns.

    Column `c` is that of `position`, or the first one on the way. A position in no run is at most
    a window and its context from the run passed last, `near`: so far the segment knows where the
    contig ends.
    """
    near = run
    while 0 <= filled < len(tokens):
        is_past = position >= runs[run, 2] if step > 0 else position < runs[run, 1]
        following = run + step
        if is_past and 0 <= following < len(runs) and runs[following, 0] == runs[run, 0]:
            run = following
        if runs[run, 1] <= position < runs[run, 2]:
            near = run
            if row[c] != GAP_IN_BLOCK:
                tokens[filled] = min(row[c], N)
                column[filled] = c
                filled += step
            c += step
        else:
            is_outside = reference[position + origin[near]] == PAD_TOKEN
            tokens[filled] = PAD_TOKEN if is_outside else N
            filled += step
        position += step
