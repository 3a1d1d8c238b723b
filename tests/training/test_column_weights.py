"""How often contigs are taken, and weights of regions."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from column_oracle import digest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import CONTIGS, CPU, SMALL, resumes_to_the_same

from phylotools.errors import InputError
from phylotools.io.regions import Region
from phylotools.model.presets import PAD_TOKEN
from phylotools.training.column_weights import taken
from phylotools.training.dataset import TrainingData
from phylotools.training.loop import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

LARGE = 1 << 30


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 0.25, 0.75, 1, 1.5, 3]), st.integers(1, 30)), max_size=5
    ),
    st.integers(0, 2**70),
)
@settings(max_examples=50, deadline=None)
def test_items_are_taken_as_often_as_they_weigh(contigs, seed):
    """Each its floor or ceiling, those of a contig together as often as their weights add up to."""
    weight = np.repeat([w for w, _ in contigs], [n for _, n in contigs]).astype(float)
    contig = np.repeat(np.arange(len(contigs)), [n for _, n in contigs])
    found = taken(weight, contig, np.random.default_rng(seed))
    times = np.bincount(found, minlength=len(weight))
    assert (np.diff(found) >= 0).all()
    assert ((times == np.floor(weight)) | (times == np.ceil(weight))).all()
    for number, (w, n) in enumerate(contigs):
        assert abs(times[contig == number].sum() - w * n) < 1


def test_the_mean_is_the_weight():
    """Of every single item: none is preferred."""
    weight, contig = np.repeat([0.25, 1.5], [6, 5]), np.repeat([0, 1], [6, 5])
    draws = 2000
    times = sum(
        np.bincount(taken(weight, contig, np.random.default_rng(seed)), minlength=11)
        for seed in range(draws)
    )
    # Six standard deviations of a Bernoulli mean.
    assert (np.abs(times / draws - weight) < 6 * np.sqrt(0.25 / draws)).all()


def contigs_of(data: TrainingData) -> dict[bytes, str]:
    """The contig of a column, told by what stands in and around it."""
    (source,) = data.stores
    half, found = source.maker.half_window, {}
    for contig, length in source.store.contigs.items():
        region = Region(contig, 0, length)
        codes, bases = source.store.reference(region) & 7, source.store.bases(region) & 7
        padded = np.pad(codes.astype(np.int64), half, constant_values=PAD_TOKEN)
        for position in range(length):
            around = padded[position : position + 2 * half + 1]
            found[around.tobytes() + bases[position].tobytes()] = contig
    return found


def seen_by_contig(data: TrainingData, epochs: int) -> Counter:
    """Columns of each contig; those of a window are of one."""
    half, names, seen = data.stores[0].maker.half_window, contigs_of(data), Counter()
    for epoch in range(epochs):
        for batch in data.epoch(epoch):
            rows, first, count = np.unique(batch.site // 48, return_index=True, return_counts=True)
            for row, column, n in zip(rows, first, count, strict=True):
                offset = int(batch.site[column]) % 48
                around = batch.tokens[row, offset : offset + 2 * half + 1].numpy().tobytes()
                seen[names[around + batch.states[column].numpy().tobytes()]] += int(n)
    return seen


@pytest.mark.parametrize("buffer", [SMALL, LARGE])
def test_contigs_in_an_epoch(config_of, many_segments, buffer):
    """Names are matched as everywhere; a contig of weight 0 is not there at all."""
    weights = {"chrone": 0.5, "three": 2, "two": 0, "*": 1}
    changes = {"buffer_bytes": buffer, "contig_weights": weights}
    data = TrainingData(config_of(many_segments, data=changes))
    plain = TrainingData(config_of(many_segments, data={"buffer_bytes": buffer}))
    assert data._order.is_one_group == (buffer == LARGE)
    epochs = 4
    wanted, found = seen_by_contig(plain, 1), seen_by_contig(data, epochs)
    assert set(wanted) == {name for name, _ in CONTIGS}
    assert found["two"] == 0
    assert found["three"] == 2 * epochs * wanted["three"]
    assert found["tiny"] == epochs * wanted["tiny"]
    assert found["one"] / epochs / wanted["one"] == pytest.approx(0.5, abs=0.15)
    assert {region.contig for region in data.stores[0].regions()} == {"one", "tiny", "three"}
    whole = plain.stores[0].training.n_columns
    assert data.stores[0].training.n_columns == whole - wanted["two"]
    n_batches = sum(1 for epoch in range(epochs) for _ in data.epoch(epoch))
    assert data.steps_per_epoch == pytest.approx(n_batches / epochs, rel=0.1)
    assert digest(data.epoch(3)) == digest(data.epoch(3)) != digest(data.epoch(4))


@pytest.mark.parametrize("buffer", [SMALL, LARGE])
def test_weights_of_one_change_nothing(config_of, many_segments, buffer):
    plain, given_ = (
        TrainingData(config_of(many_segments, data={"buffer_bytes": buffer} | more))
        for more in ({}, {"contig_weights": {"one": 1, "*": 1.0}})
    )
    assert digest(plain.epoch(2)) == digest(given_.epoch(2))
    assert plain.steps_per_epoch == given_.steps_per_epoch


@pytest.mark.parametrize("buffer", [SMALL, LARGE])
def test_contig_and_store_weights(config_of, many_segments, mammals_store, buffer):
    """Of the windows that the contigs leave, an epoch takes the store's share of batches."""
    stores = {"stores": [str(many_segments), str(mammals_store)], "buffer_bytes": buffer}
    more = {"contig_weights": {"one": 0.5, "three": 0.5}, "store_weights": [0.5, 1]}
    data = TrainingData(config_of(many_segments, data=stores | more))
    windows = Counter()
    for epoch in range(6):
        for batch in data.epoch(epoch):
            windows[batch.states.shape[1]] += len(batch.tokens)
    counts = [source.training.windows.mean(axis=1) for source in data.stores]
    contig = data.stores[0].training.place[:, 0]
    expected = 0.5 * (counts[0] * np.array([0.5, 1, 1, 0.5])[contig]).sum()
    assert windows[5] / 6 == pytest.approx(expected, rel=0.2)
    assert windows[30] / 6 == pytest.approx(counts[1].sum(), rel=0.1)


def test_a_weighted_run_resumes(config_of, many_segments, tmp_path):
    config = config_of(
        many_segments,
        data={"buffer_bytes": SMALL, "contig_weights": {"three": 0.4}, "held_out_fraction": 0.1},
        run={"evaluation_columns": 300},
    )
    resumes_to_the_same(config, tmp_path, [7, 13])


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ({"chr7": 0.5}, r"data\.contig_weights: no store has a contig 'chr7'"),
        ({"*": 0}, "no column is left"),
        ({"chrM": 0.5, "MT": 2}, "'MT' and another name are of one contig; give the contig one"),
        ({"chrM": 1e-300}, r"an epoch has less than one of the windows, by data\.contig_weights"),
    ],
    ids=str,
)
def test_contigs_that_are_not_there(config_of, mammals_store, weights, match):
    with pytest.raises(InputError, match=match):
        TrainingData(config_of(mammals_store, data={"contig_weights": weights}))


def test_a_small_store_in_memory_may_be_taken_by_halves(config_of, mammals_store):
    """It is a single segment, of which a half cannot be taken: its windows can."""
    plain, halved = (
        TrainingData(config_of(mammals_store, data={"contig_weights": {"chrM": weight}}))
        for weight in (1, 0.5)
    )
    assert len(halved.stores[0].training.columns) == 1
    assert halved.steps_per_epoch == -(-plain.steps_per_epoch // 2)
    n_columns = [
        sum(len(batch.site) for epoch in range(4) for batch in data.epoch(epoch))
        for data in (plain, halved)
    ]
    assert n_columns[0] == 4 * plain.stores[0].training.n_columns
    assert n_columns[1] == pytest.approx(n_columns[0] / 2, rel=0.05)


def test_segments_that_weigh_too_little(config_of, mammals_store):
    changes = {"buffer_bytes": 10_000, "contig_weights": {"chrM": 1e-9}}
    with pytest.raises(InputError, match="less than one of the segments of columns"):
        TrainingData(config_of(mammals_store, data=changes))


def bed_of(tmp_path, text: str) -> str:
    path = tmp_path / "weights.bed"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("buffer", [SMALL, LARGE])
def test_weights_of_regions(config_of, weighted_segments, tmp_path, buffer):
    """They multiply the store's and the soft mask's; a column of weight 0 is not there."""
    bed = bed_of(tmp_path, "chrone\t100\t2000\t0.5\nthree\t0\t9000\t0\nthree\t9000\t9010\t3\n")
    changes = {"region_weights_file": bed, "soft_mask_weight": 0.5, "buffer_bytes": buffer}
    data = TrainingData(config_of(weighted_segments, data=changes))
    (source,) = data.stores
    own = {name: np.ones(length, np.float32) for name, length in source.store.contigs.items()}
    own["one"][100:2000] = 0.5
    own["three"][:9000] = 0
    own["three"][9000:9010] = 3
    wanted = []
    for contig, length in source.store.contigs.items():
        region = Region(contig, 0, length)
        soft = np.where(source.store.reference(region) & 8, np.float32(0.5), np.float32(1))
        weight = soft * source.store.weight(region) * own[contig]
        kept = (source.store.depth(region) >= 2) & (weight > 0)
        bases = source.store.bases(region)[kept] & 7
        wanted += [(float(w), b.tobytes()) for w, b in zip(weight[kept], bases, strict=True)]
    found = [
        (weight, states.numpy().tobytes())
        for batch in data.epoch(0)
        for weight, states in zip(batch.weight.tolist(), batch.states, strict=True)
    ]
    assert sorted(found) == sorted(wanted)
    held = TrainingData(
        config_of(weighted_segments, data=changes | {"held_out_regions": ["three:8,900-9,100"]})
    )
    assert min(region.start for region in held.stores[0].regions(held_out=True)) >= 9000


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("one\t1\t5\n", r"weights\.bed:1: the fourth column is no weight"),
        ("one\t1\t5\t-1\n", "the fourth column is no weight"),
        ("one\t1\t5\tnan\n", "the fourth column is no weight"),
        ("one\t1\t5\t1e39\n", "the fourth column is no weight"),
        ("one\t1\t5\t1\none\t4\t9\t2\n", "one:5-9 overlaps the interval before it"),
        ("chr7\t1\t5\t2\n", "no store has any of its contigs"),
        ("", "holds no interval"),
        ("one\t5\t1\t1\n", "end 1 lies before start 5"),
    ],
    ids=str,
)
def test_files_that_give_no_weights(config_of, many_segments, tmp_path, text, match):
    config = config_of(many_segments, data={"region_weights_file": bed_of(tmp_path, text)})
    with pytest.raises(InputError, match=match):
        TrainingData(config)


def test_a_file_of_which_some_contigs_are_there(config_of, many_segments, tmp_path, caplog):
    bed = bed_of(tmp_path, "one\t1\t5\t2\nchr7\t1\t5\t2\n")
    with caplog.at_level("WARNING", logger="phylotools"):
        TrainingData(config_of(many_segments, data={"region_weights_file": bed}))
    assert "1 of its 2 contigs are in no store and weigh nothing (first: chr7)" in caplog.text


def test_a_run_does_not_go_on_with_other_weights(config_of, many_segments, tmp_path):
    bed = bed_of(tmp_path, "one\t1\t5\t2\n")
    config = config_of(many_segments, data={"region_weights_file": bed}, optimiser={"steps": 2})
    Trainer(config, tmp_path / "run", CPU).run()
    bed_of(tmp_path, "one\t1\t5\t3\n")
    with pytest.raises(InputError, match="region_weights_file has changed"):
        Trainer(config, tmp_path / "run", CPU, resume=True)
