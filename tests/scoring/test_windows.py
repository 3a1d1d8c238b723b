"""Spans and windows, against a count of products and a walk over positions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylotools.io.regions import Region
from phylotools.model.presets import PRESETS, ModelSpec
from phylotools.scoring.windows import context_cost, cost, joined, spans_of


def products(spec: ModelSpec, n_positions: int) -> int:
    """Multiplications of a window, block by block."""
    rows, found = n_positions + spec.receptive_field - 1, 0
    for dilation in spec.dilations:
        found += rows * spec.channels * spec.bottleneck
        rows -= dilation * (spec.kernel_size - 1)
        found += rows * spec.bottleneck * (spec.kernel_size * spec.bottleneck + spec.channels)
    assert rows == n_positions
    return found


@pytest.mark.parametrize("name", PRESETS)
def test_a_context_costs_what_so_many_positions_do(name: str) -> None:
    spec = PRESETS[name]
    position = products(spec, 2) - products(spec, 1)
    context = products(spec, 1) - position
    assert context_cost(spec) == pytest.approx(context / position, abs=0.5)


rising = st.lists(st.integers(0, 400), min_size=1, max_size=9, unique=True).map(sorted)


@given(rising, st.integers(0, 80))
def test_no_other_spans_cost_less(positions: list[int], context: int) -> None:
    found = spans_of(np.array(positions), context)
    assert [p for start, end in found for p in positions if start <= p < end] == positions
    best = min(
        sum(part[-1] + 1 - part[0] + context for part in parts) for parts in partitions(positions)
    )
    assert cost(found, context) == best


def partitions(positions: list[int]) -> list[list[list[int]]]:
    """Every way to cut a list into runs."""
    found = []
    for cuts in itertools.product([False, True], repeat=len(positions) - 1):
        parts = [[positions[0]]]
        for is_cut, position in zip(cuts, positions[1:], strict=True):
            if is_cut:
                parts.append([])
            parts[-1].append(position)
        found.append(parts)
    return found


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 300), st.integers(1, 60)), min_size=1),
    st.integers(0, 50),
    st.integers(1, 200),
)
def test_windows_cover_their_parts_once(spans, context: int, longest: int) -> None:
    parts, end, contig = [], 0, ""
    for name, gap, length in sorted(spans, key=lambda span: span[0]):
        start = gap + (end if name == contig else 0)
        contig, end = name, start + length
        parts.append(Region(contig, start, end))
    windows = joined(parts, context, longest)
    for one, other in itertools.pairwise(windows):
        assert (one.contig, one.end) <= (other.contig, other.start)
    assert max(map(len, windows)) <= longest
    covered = {(w.contig, p) for w in windows for p in range(w.start, w.end)}
    wanted = {(part.contig, p) for part in parts for p in range(part.start, part.end)}
    assert wanted <= covered
    gaps = [b.start - a.end for a, b in itertools.pairwise(parts) if a.contig == b.contig]
    assert len(covered - wanted) == sum(gap for gap in gaps if gap < context)
