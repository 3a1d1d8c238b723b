"""Stores larger than the buffer, which are read by segments."""

from __future__ import annotations

import math
import threading
from itertools import count, islice, pairwise

import numpy as np
import pytest
from column_oracle import digest, expected_columns, seen_in
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import SMALL, random_store, resumes_to_the_same

from phylotools.errors import InputError
from phylotools.io.regions import Region
from phylotools.store import schema
from phylotools.training import loader
from phylotools.training.dataset import TrainingData
from phylotools.training.shuffle import ColumnTable, EpochOrder
from phylotools.training.windows import count_windows, join_touching, n_columns, tile

pytestmark = pytest.mark.usefixtures("one_thread")


def groups_of(data: TrainingData, epoch: int, first: int = 0):
    return list(data._order.groups(epoch, first))


def same(a, b) -> bool:
    return digest([a]) == digest([b])


def test_each_column_once_whatever_the_buffer(small, config_of, many_segments):
    held_out = {"held_out_regions": ["one:3,000-3,500", "three:1-2,222", "three:15000-15001"]}
    data = TrainingData(small(many_segments, **held_out))
    assert not data._order.is_one_group
    assert len(groups_of(data, 0)) > 5
    wanted = sorted(expected_columns(data, held_out=False))
    for epoch in (0, 3):
        assert sorted(seen_in(data, data.epoch(epoch), 48)) == wanted
    whole = TrainingData(config_of(many_segments, data=held_out))
    assert whole._order.is_one_group
    assert list(whole.stores[0].regions()) == list(data.stores[0].regions())
    assert sorted(seen_in(whole, whole.epoch(0), 48)) == wanted
    assert whole.stores[0].training.n_columns == len(wanted)


def test_epochs_and_seeds_decide_the_order(small, many_segments, config_of):
    data = TrainingData(small(many_segments))
    assert digest(data.epoch(1)) == digest(data.epoch(1))
    assert digest(data.epoch(1)) != digest(data.epoch(2))
    other = config_of(many_segments, data={"buffer_bytes": SMALL}, run={"seed": 6})
    assert digest(data.epoch(1)) != digest(TrainingData(other).epoch(1))
    first, second = (np.concatenate([g.segment for g in groups_of(data, e)]) for e in (1, 2))
    assert sorted(first) == sorted(second)
    assert list(first) != list(second)


def test_groups_do_not_outgrow_the_buffer(small, many_segments):
    data = TrainingData(small(many_segments))
    columns = data.stores[0].training.columns
    for group in groups_of(data, 0):
        assert columns[group.segment].sum() * 5 <= SMALL // 2 or len(group.segment) == 1


def test_an_epoch_is_entered_without_reading_what_lies_before(small, many_segments, monkeypatch):
    data = TrainingData(small(many_segments))
    batches = list(data.epoch(2))
    ends = [group.first_batch for group in groups_of(data, 2)]
    assert ends[0] == 0
    for first in (0, 1, ends[3] - 1, ends[3], ends[3] + 1, len(batches) - 1, len(batches)):
        groups = groups_of(data, 2, first)
        read = []
        original = type(data.stores[0].reader).load_part

        def watched(self, part, read=read, original=original):
            read.append((part.contig, part.start, part.end))
            return original(self, part)

        with monkeypatch.context() as patch:
            patch.setattr(type(data.stores[0].reader), "load_part", watched)
            rest = list(data.epoch(2, first))
        assert len(rest) == len(batches) - first
        assert all(same(a, b) for a, b in zip(rest, batches[first:], strict=True))
        wanted = [data.stores[0].training.place[s] for g in groups for s in g.segment]
        assert sorted(read) == sorted(tuple(place.tolist()) for place in wanted)
        assert len(read) == len(set(read))


def test_the_stream_goes_from_epoch_to_epoch(small, config_of, many_segments):
    for config in (small(many_segments), config_of(many_segments)):
        data = TrainingData(config)
        epochs = [list(data.epoch(number)) for number in (0, 1, 2)]
        wanted = [batch for batches in epochs for batch in batches]
        for first in (0, len(epochs[0]) - 2, len(epochs[0]) + 3):
            steps = min(len(epochs[1]) + 5, len(wanted) - first)
            found = list(islice(data.stream(first), steps))
            assert all(len(batches) == 1 for batches in found)
            assert digest(b for (b,) in found) == digest(wanted[first : first + steps])


@pytest.mark.parametrize("columns", [1, 3000, 10**6])
def test_segments_are_parts_of_files(tmp_path, monkeypatch, config_of, columns):
    """Every covered chunk lies in one segment, every segment in one file of the store."""
    monkeypatch.setattr(schema, "SHARD_BYTES", 4 * schema.CHUNK_LENGTH * 5)
    reader = TrainingData(config_of(random_store(tmp_path / "store", 3))).stores[0].reader
    shards = [
        (reader.contigs.index(r.contig), r.start, r.end) for r in reader.store.shard_regions()
    ]
    assert len(shards) > len(reader.contigs)
    segments = list(reader.segments(columns))
    chunks = sum(-(-end // schema.CHUNK_LENGTH) for end in reader.store.contigs.values())
    assert len(shards) < chunks
    fewest, most = {1: (chunks, chunks), 3000: (len(shards) + 1, chunks - 1)}.get(
        columns, (len(shards), len(shards))
    )
    assert fewest <= len(segments) <= most
    for contig, start, end in segments:
        assert start % schema.CHUNK_LENGTH == 0
        assert any(c == contig and a <= start < end <= b for c, a, b in shards)
    found = np.concatenate([reader.runs(*segment)[0] for segment in segments])
    wanted = reader.store.covered_regions(2)
    joined = join_touching(found).tolist()
    assert joined == [[reader.contigs.index(r.contig), r.start, r.end] for r in wanted]


some_tables = st.lists(
    st.lists(st.tuples(st.integers(1, 900), st.integers(1, 30)), min_size=1, max_size=9),
    min_size=1,
    max_size=3,
)


@given(
    some_tables,
    st.integers(1, 7),
    st.integers(1, 3000),
    st.integers(0, 2**70),
    st.tuples(*[st.sampled_from([1.0, 0.5, 0.01]) | st.floats(0.001, 1)] * 3),
)
@settings(max_examples=50, deadline=None)
def test_groups_are_arithmetic(counts, per_batch, group_bytes, seed, weights):
    """Each segment once; from any batch on, the groups are the end of the epoch's."""
    tables = [
        ColumnTable(
            np.zeros((len(rows), 3), dtype=np.int64),
            np.array([columns for columns, _ in rows]),
            np.array([[windows + p for p in range(8)] for _, windows in rows], dtype=np.int32),
            None,
        )
        for rows in counts
    ]
    n_species = [2 + number for number in range(len(tables))]
    weights = weights[: len(tables)]
    once = [np.ones(1)] * len(tables)
    order = EpochOrder(tables, n_species, once, weights, per_batch, group_bytes, seed)
    groups = list(order.groups(3))
    places = [place for g in groups for place in zip(g.source, g.segment, strict=True)]
    assert sorted(places) == [(s, i) for s, rows in enumerate(counts) for i in range(len(rows))]
    reached, batches = 0, []
    for group in groups:
        assert (group.first_batch, group.skipped) == (reached, 0)
        own = zip(group.source.tolist(), group.segment.tolist(), group.phase.tolist(), strict=True)
        windows, size = [0] * len(tables), 0
        for source, segment, phase in own:
            windows[source] += counts[source][segment][1] + phase
            size += counts[source][segment][0] * n_species[source]
        assert size <= group_bytes or len(group.source) == 1
        assert size <= order.largest_group
        n_batches = sum(
            math.ceil(-(-n // per_batch) * weight)
            for n, weight in zip(windows, weights, strict=True)
        )
        batches += [(group.number, reached, index) for index in range(n_batches)]
        reached += n_batches
    for first in {0, 1, reached // 2, reached - 1, reached}:
        rest = list(order.groups(3, first))
        if first == reached:
            assert rest == []
        else:
            number, before, skipped = batches[first]
            assert (rest[0].number, rest[0].first_batch, rest[0].skipped) == (
                number, before, skipped,
            )  # fmt: skip
            assert [g.number for g in rest] == list(range(number, len(groups)))
            assert all(
                np.array_equal(a.segment, b.segment) and np.array_equal(a.phase, b.phase)
                for a, b in zip(rest, groups[number:], strict=True)
            )


def test_stores_share_the_buffer(config_of, many_segments, weighted_segments):
    """Each fits by itself, both do not."""
    stores = [str(many_segments), str(weighted_segments)]
    sizes = [
        TrainingData(config_of(store)).stores[0].training.n_columns * 5
        for store in (many_segments, weighted_segments)
    ]
    for spare, is_one_group in ((0, True), (-1, False)):
        changes = {"stores": stores, "buffer_bytes": sum(sizes) + spare}
        data = TrainingData(config_of(many_segments, data=changes))
        assert data._order.is_one_group is is_one_group
        assert sum(len(batch.site) for batch in data.epoch(0)) == sum(sizes) // 5
    assert {store for group in groups_of(data, 0) for store in group.source.tolist()} == {0, 1}


def test_a_killed_run_goes_on_in_the_same_segments(config_of, many_segments, tmp_path):
    config = config_of(
        many_segments,
        data={"buffer_bytes": SMALL, "held_out_species_fraction": 0.5},
        run={"select_by": "held_out_species", "evaluation_columns": 300},
    )
    resumes_to_the_same(config, tmp_path, [7, 13])


def test_a_store_that_changes_is_noticed(small, many_segments, weighted_segments):
    data = TrainingData(small(many_segments))
    (source,) = data.stores
    other = TrainingData(small(weighted_segments)).stores[0]
    object.__setattr__(source.reader, "store", other.store)
    with pytest.raises(InputError, match="changed while it was read"):
        list(data.epoch(0))


def test_weights_and_columns_without(small, config_of, weighted_segments):
    """Straight from the store; what a column weighs does not depend on the buffer."""
    soft = {"soft_mask_weight": 0.5}
    for config in (small(weighted_segments, **soft), config_of(weighted_segments, data=soft)):
        data = TrainingData(config)
        (source,) = data.stores
        wanted = []
        for contig, length in source.store.contigs.items():
            region = Region(contig, 0, length)
            weight = source.store.weight(region)
            reference = source.store.reference(region)
            weight = weight * np.where(reference & 8, np.float32(0.5), np.float32(1))
            deep = source.store.depth(region) >= 2
            bases = source.store.bases(region) & 7
            wanted += [
                (float(weight[i]), bases[i].tobytes()) for i in np.flatnonzero(deep & (weight > 0))
            ]
        found = [
            (weight, states.numpy().tobytes())
            for batch in data.epoch(0)
            for weight, states in zip(batch.weight.tolist(), batch.states, strict=True)
        ]
        assert sorted(found) == sorted(wanted)
        assert all(len(batch.site) for batch in data.epoch(0))
    masked = TrainingData(small(weighted_segments, soft_mask_weight=0.0))
    assert all((batch.weight > 0).all() for batch in masked.epoch(0))


def test_samples_are_drawn_from_segments(small, config_of, many_segments):
    changes = {"held_out_regions": ["three:1-9000", "one:10000-11000"]}
    data = TrainingData(small(many_segments, **changes))
    for held_out in (False, True):
        wanted = expected_columns(data, held_out=held_out)
        everything = seen_in(data, data.evaluation(held_out, 10**6), 48)
        assert sorted(everything) == sorted(wanted)
        some = [seen_in(data, data.evaluation(held_out, 700), 48) for _ in range(2)]
        assert some[0] == some[1]
        assert 700 <= len(some[0]) < 700 + 4 * 48
        assert len(set(some[0])) == len(some[0]) or len(set(wanted)) < len(wanted)
        assert set(some[0]) <= set(wanted)


def test_the_background_stops_at_an_error():
    def items(stopped):
        yield 1
        raise ValueError("no more")

    found = loader.in_background(items)
    assert next(found) == 1
    with pytest.raises(ValueError, match="no more"):
        next(found)


def test_groups_without_end_are_left_when_no_more_is_wanted():
    """A run that ended at the wrong moment once went through them until memory was full."""
    stopped = threading.Event()
    begun = []

    def groups():
        for number in count():
            assert number < 100, "goes on and on"
            begun.append(number)
            yield number, []

    with loader.Loader([], 0, 0).start(1, stopped) as reading:
        found = reading.segments(groups())
        assert next(found) == (0, [])
        stopped.set()
        assert list(found) == []
    assert len(begun) <= 3


def test_workers_may_change_but_not_the_buffer(small, many_segments):
    a, b = (small(many_segments, workers=number).to_dict() for number in (0, 3))
    assert a == b
    assert a["data"]["buffer_bytes"] == SMALL


some_runs = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 90), st.integers(1, 40)), min_size=1, max_size=8
)


@given(some_runs, st.integers(1, 20), st.integers(0, 10**6))
@settings(max_examples=75, deadline=None)
def test_windows_are_those_of_a_plain_loop(found, width, seed):
    places = sorted({(c, p) for c, start, n in found for p in range(start, start + n)})
    runs = join_touching(np.array([(c, p, p + 1) for c, p in places], dtype=np.int64))
    assert n_columns(runs) == len(places)
    phases = np.random.default_rng(seed).integers(width, size=len(runs))
    windows = tile(runs, phases, width)
    expected, contig, reached = [], None, 0
    for (own, start, end), phase in zip(runs.tolist(), phases.tolist(), strict=True):
        if own != contig:
            contig, reached = own, -width
        for begin in range(max(reached, start - phase), end, width):
            expected.append((own, begin))
            reached = begin + width
    starts = list(zip(runs[windows.run, 0].tolist(), windows.start.tolist(), strict=True))
    assert starts == expected
    assert count_windows(runs, phases, width) == len(windows)
    columns = []
    for (own, begin), (first, last) in zip(
        starts, pairwise(windows.first_column.tolist()), strict=True
    ):
        here = [(c, p) for c, p in places if c == own and begin <= p < begin + width]
        assert len(here) == last - first > 0
        columns += here
    assert columns == places
