from __future__ import annotations

import itertools
import subprocess

import numpy as np
from field_tools import require
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.io.intervals import (
    as_intervals,
    contains,
    covers,
    cut_intervals,
    flags_of,
    intersect_intervals,
    membership,
    merge_intervals,
    overlaps,
    positions_before,
    runs_of,
    subtract_intervals,
    windows_of,
    within,
)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10)), max_size=20))
def test_merged_intervals_are_the_union(pairs):
    intervals = np.array([(s, s + n) for s, n in pairs], dtype=np.int64).reshape(-1, 2)
    merged = merge_intervals(intervals).tolist()
    positions = {p for s, n in pairs for p in range(s, s + n)}
    assert {p for s, e in merged for p in range(s, e)} == positions
    assert all(a[1] < b[0] for a, b in itertools.pairwise(merged))


def test_windows_cover_intervals_once():
    intervals = np.array([[5, 9], [10, 101], [300, 302]])
    assert list(windows_of(intervals, 302, 100)) == [(0, 100), (100, 200), (300, 302)]


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10)), max_size=10),
    st.sets(st.integers(0, 60), max_size=10),
)
def test_cut_intervals(pairs, at):
    whole = merge_intervals(np.array([(s, s + n) for s, n in pairs], dtype=np.int64).reshape(-1, 2))
    cut = cut_intervals(whole, np.array(sorted(at), dtype=np.int64)).tolist()
    assert [p for s, e in cut for p in range(s, e)] == [
        p for s, e in whole.tolist() for p in range(s, e)
    ]
    assert all(not (s < p < e) for s, e in cut for p in at)
    assert {s for s, _ in cut} <= {s for s, _ in whole.tolist()} | at


@given(st.lists(st.booleans(), max_size=12), st.integers(0, 100))
def test_runs(flags, start):
    runs = runs_of(np.array(flags, dtype=bool), start).tolist()
    found = [p for a, b in runs for p in range(a, b)]
    assert found == [start + i for i, flag in enumerate(flags) if flag]
    assert all(a[1] < b[0] for a, b in itertools.pairwise(runs))


def positions(intervals) -> set[int]:
    return {p for start, end in intervals.tolist() for p in range(start, end)}


#: In any order, overlapping, some of them empty.
ANY = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 10)), max_size=12).map(
    lambda pairs: as_intervals([(start, start + length) for start, length in pairs])
)
SORTED = ANY.map(merge_intervals)
SPANS = st.lists(st.tuples(st.integers(-5, 60), st.integers(1, 12)), max_size=12).map(
    lambda pairs: as_intervals([(start, start + length) for start, length in pairs])
)


@given(SORTED, SORTED)
@settings(max_examples=75, deadline=None)
def test_algebra_is_that_of_sets(one, other):
    shared, left = intersect_intervals(one, other), subtract_intervals(one, other)
    assert positions(shared) == positions(one) & positions(other)
    assert positions(left) == positions(one) - positions(other)
    for found in (shared, left):
        assert found.dtype == np.int64
        assert (np.diff(found.ravel()) >= 0).all()
        assert (found[:, 0] < found[:, 1]).all()


@given(SORTED, SPANS)
@settings(max_examples=75, deadline=None)
def test_questions_are_answered_as_position_by_position(intervals, spans):
    held = positions(intervals)
    each = [set(range(start, end)) for start, end in spans.tolist()]
    assert overlaps(intervals, *spans.T).tolist() == [bool(span & held) for span in each]
    assert covers(intervals, *spans.T).tolist() == [span <= held for span in each]
    is_held = [p in held for p in spans[:, 0].tolist()]
    assert contains(intervals, spans[:, 0]).tolist() == is_held
    assert [*map(membership(intervals), spans[:, 0].tolist())] == is_held
    before = [sum(p < at for p in held) for at in spans[:, 0].tolist()]
    assert positions_before(intervals, spans[:, 0]).tolist() == before
    for (start, end), span in zip(spans.tolist(), each, strict=True):
        here = within(intervals, start, end)
        assert positions(here) == held & span
        assert runs_of(flags_of(intervals, start, end), start).tolist() == here.tolist()


def bedtools(folder, verb: str, *sets) -> list[list[int]]:
    """What bedtools makes of sets of intervals."""
    paths = []
    for number, intervals in enumerate(sets):
        paths.append(folder / f"{number}.bed")
        rows = sorted(row for row in intervals.tolist() if row[0] < row[1])
        paths[-1].write_text("".join(f"c\t{start}\t{end}\n" for start, end in rows))
    flags = ["-i"] if len(paths) == 1 else ["-a", "-b"]
    inputs = [word for pair in zip(flags, map(str, paths), strict=True) for word in pair]
    done = subprocess.run(["bedtools", verb, *inputs], capture_output=True, text=True, check=True)
    return [[int(field) for field in line.split("\t")[1:]] for line in done.stdout.splitlines()]


def test_as_bedtools_has_it(tmp_path):
    require("bedtools")
    random = np.random.default_rng(5)
    for n in (0, 1, 30, 300):
        drawn = []
        for _ in range(2):
            start = random.integers(0, 3000, n)
            drawn.append(np.stack([start, start + random.integers(1, 40, n)], axis=1))
        one, other = map(merge_intervals, drawn)
        shared, left = intersect_intervals(one, other), subtract_intervals(one, other)
        assert bedtools(tmp_path, "merge", drawn[0]) == one.tolist()
        assert bedtools(tmp_path, "intersect", one, other) == shared.tolist()
        assert bedtools(tmp_path, "subtract", one, other) == left.tolist()
