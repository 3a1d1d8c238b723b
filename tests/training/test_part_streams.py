"""Batches in parts, each of which reads a share of the stores."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import pytest
from column_oracle import digest, expected_columns, seen_in
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import SMALL, tables

from phylotools.errors import InputError
from phylotools.training.config_file import parse_config
from phylotools.training.dataset import TrainingData

pytestmark = pytest.mark.usefixtures("one_thread")

#: Large enough for all columns of the tests' stores.
LARGE = 1 << 30


def data_of(stores, parts: int, buffer: int, per_batch: int = 8, **data) -> TrainingData:
    values = tables(
        stores[0],
        data={"stores": [str(store) for store in stores], "buffer_bytes": buffer, **data},
        optimiser={"windows_per_batch": per_batch},
    )
    config, errors = parse_config(values, stores[0].parent)
    assert config is not None, errors
    return TrainingData(config, parts)


def steps_of(data: TrainingData, n: int, first: int = 0, parts=None) -> list:
    """The batches of some steps, a list for each."""
    stream = data.stream(first, parts)
    found = list(islice(stream, n))
    stream.close()
    return found


def epoch_of_parts(data: TrainingData, epoch: int) -> list:
    """All batches of an epoch of every part."""
    streams, found = data._streams, []
    for part in range(data.parts):
        first = sum(streams._length(before, part) for before in range(epoch))
        wanted = steps_of(data, streams._length(epoch, part), first, [part])
        found += [batch for (batch,) in wanted]
    return found


@pytest.fixture(scope="module")
def columns_of_both(many_segments, mammals_store) -> list:
    """Straight from the stores."""
    return sorted(expected_columns(data_of([many_segments, mammals_store], 1, LARGE), False))


@pytest.mark.parametrize("parts", [1, 2, 4])
@pytest.mark.parametrize("buffer", [SMALL, LARGE])
def test_the_parts_of_an_epoch_are_its_columns(
    many_segments, mammals_store, columns_of_both, buffer, parts
):
    """Every training column once, whichever part it falls to."""
    data = data_of([many_segments, mammals_store], parts, buffer)
    assert data._order.is_one_group == (buffer == LARGE)
    for epoch in (0, 2):
        batches = epoch_of_parts(data, epoch)
        assert sorted(seen_in(data, batches, 48)) == columns_of_both
        most = 8 // parts
        assert Counter(len(batch.tokens) for batch in batches)[most] > 0.8 * len(batches)
        assert max(len(batch.tokens) for batch in batches) == most


@given(
    parts=st.sampled_from([1, 2, 4]),
    first=st.integers(0, 260),
    steps=st.integers(1, 12),
    cuts=st.lists(st.integers(1, 3), max_size=3),
    buffer=st.sampled_from([SMALL, LARGE]),
)
@settings(max_examples=15, deadline=None)
def test_no_step_depends_on_workers_or_on_where_a_run_began(
    many_segments, parts, first, steps, cuts, buffer
):
    """Whoever asks for some of the parts, from any step on, gets what one worker would."""
    data = data_of([many_segments], parts, buffer, any_row_weight=0.5)
    whole = steps_of(data, first + steps)[first:]
    edges = sorted({0, parts, *(cut for cut in cuts if cut < parts)})
    for begin, end in pairwise(edges):
        own = steps_of(data, steps, first, range(begin, end))
        for batches, all_parts in zip(own, whole, strict=True):
            assert [digest([batch]) for batch in batches] == [
                digest([batch]) for batch in all_parts[begin:end]
            ]


def test_parts_of_stores_in_memory_are_those_of_the_whole_batch(many_segments):
    """The same windows, in the same order, cut once more."""
    alone, divided = (data_of([many_segments], parts, LARGE) for parts in (1, 4))
    for (whole,), parts in zip(steps_of(alone, 90), steps_of(divided, 90), strict=True):
        for name in ("tokens", "states", "weight"):
            joined = [row.tolist() for part in parts for row in getattr(part, name)]
            assert joined == getattr(whole, name).tolist()
    assert alone.steps_per_epoch == divided.steps_per_epoch


def test_a_batch_of_few_windows_leaves_parts_empty(mammals_store):
    """Its last one of an epoch: shapes stay, and there is nothing in it."""
    data = data_of([mammals_store], 8, LARGE, per_batch=8)
    n = data._streams._length(0, 0)
    sizes = [[len(part.tokens) for part in parts] for parts in steps_of(data, n)]
    assert sizes.count([1] * 8) == n - 1
    (short,) = [own for own in sizes if own != [1] * 8]
    assert set(short) == {0, 1}
    empty = next(p for parts in steps_of(data, n) for p in parts if not len(p.tokens))
    assert empty.states.shape == (0, len(data.stores[0].store.species))
    assert empty.tokens.shape[1] == 48 + 2 * data.stores[0].maker.half_window
    assert len(empty.site) == len(empty.weight) == 0


def test_a_worker_reads_no_others_segments(many_segments, monkeypatch):
    """Of an epoch each segment is read by one part; entering later reads nothing of before."""
    data = data_of([many_segments], 4, SMALL)
    reader = type(data.stores[0].reader)
    original = reader.load_part
    read: list[tuple] = []

    def watched(self, part, out=None):
        read.append(tuple(part[1:4]))
        return original(self, part, out)

    monkeypatch.setattr(reader, "load_part", watched)
    every = {tuple(place) for place in data.stores[0].training.place.tolist()}
    by_part = []
    for part in range(4):
        groups = list(data._order.groups(0, 0, part))
        read.clear()
        n = data._streams._length(0, part)
        steps_of(data, n, 0, [part])
        own = [tuple(data.stores[0].training.place[s].tolist()) for g in groups for s in g.segment]
        assert set(own) <= set(read)
        by_part += own
        # From its last batch on: the last group, and what is read ahead.
        read.clear()
        steps_of(data, 1, n - 1, [part])
        assert not set(own[: -len(groups[-1].segment)]) & set(read[: len(groups[-1].segment)])
    assert sorted(by_part) == sorted(every)


def test_streams_of_parts_drift_little(many_segments):
    """Each goes through epochs of its own, of nearly the same length."""
    data = data_of([many_segments], 4, SMALL)
    lengths = [[data._streams._length(epoch, part) for epoch in range(6)] for part in range(4)]
    for own in lengths:
        assert abs(sum(own) / 6 / data.steps_per_epoch - 1) < 0.15


@pytest.mark.parametrize("parts", [1, 4])
def test_processes_that_read_give_the_same(many_segments, birds_store, parts):
    stores = [many_segments, birds_store]
    alone, helped = (data_of(stores, parts, SMALL, workers=number) for number in (0, 2))
    wanted, found = (
        [batch for batches in steps_of(data, 60, 7, range(parts)) for batch in batches]
        for data in (alone, helped)
    )
    assert digest(found) == digest(wanted)


def test_parts_share_the_buffer(many_segments):
    """Groups of all parts together take no more than those of one."""
    whole, divided = (data_of([many_segments], parts, 2 * SMALL) for parts in (1, 2))
    assert divided._order.largest_group == whole._order.largest_group // 2 == SMALL // 2
    columns = divided.stores[0].training.columns
    groups = [group for part in range(2) for group in divided._order.groups(1, 0, part)]
    assert all(columns[group.segment].sum() * 5 <= SMALL // 2 for group in groups)
    assert len(groups) < len(columns)


def test_what_cannot_be_shared_out(many_segments, mammals_store):
    with pytest.raises(InputError, match=r"windows_per_batch is 8, which 3 parts .* multiple of 3"):
        data_of([many_segments], 3, SMALL)
    with pytest.raises(InputError, match=r"has 1 segments of columns for 2 optimiser"):
        data_of([mammals_store], 2, 20_000)


def _cut_files(store: Path) -> None:
    for path in (store / "bases").glob("c*"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_store_that_is_cut_in_an_epoch(many_segments, tmp_path):
    """One error, whichever part meets it, and no thread is left."""
    store = Path(shutil.copytree(many_segments, tmp_path / "store"))
    stream = data_of([store], 4, SMALL).stream(3)
    next(stream)
    _cut_files(store)
    with pytest.raises(InputError, match=r"store: .*array bases"):
        for _ in islice(stream, 1000):
            pass
    names = ("batches", "reading")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(names)]
