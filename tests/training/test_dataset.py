from __future__ import annotations

import pytest
import torch
from column_oracle import digest, expected_columns, seen_in

from phylotools.errors import InputError
from phylotools.store.read import open_store
from phylotools.training.dataset import TrainingData

pytestmark = pytest.mark.usefixtures("one_thread")


def positions(regions) -> set[tuple[str, int]]:
    return {(r.contig, p) for r in regions for p in range(r.start, r.end)}


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_each_training_column_once_an_epoch(config_of, mammals_store, seed):
    data = TrainingData(
        config_of(
            mammals_store,
            run={"seed": seed},
            data={"held_out_regions": ["chrM:8400-8420", "chrM:10500-10600", "chrM:10590-10605"]},
        )
    )
    wanted = sorted(expected_columns(data, held_out=False))
    assert len(wanted) == 973 - 21 - 106
    for epoch in (0, 1, 7):
        assert sorted(seen_in(data, data.epoch(epoch), 48)) == wanted


def test_two_contigs_many_blocks(config_of, birds_store):
    data = TrainingData(config_of(birds_store, optimiser={"window_length": 17}))
    regions = list(data.stores[0].regions())
    assert len({region.contig for region in regions}) == 2
    assert len(regions) > 2
    wanted = sorted(expected_columns(data, held_out=False))
    assert sorted(seen_in(data, data.epoch(3), 17)) == wanted


def test_seeds_and_epochs_decide_the_order(config_of, mammals_store):
    def first(seed: int, epoch: int) -> bytes:
        data = TrainingData(config_of(mammals_store, run={"seed": seed}))
        return next(iter(data.epoch(epoch))).tokens.numpy().tobytes()

    assert first(1, 0) == first(1, 0)
    assert first(1, 0) != first(2, 0)
    assert first(1, 0) != first(1, 1)


def test_an_epoch_can_be_entered_anywhere(config_of, mammals_store):
    data = TrainingData(config_of(mammals_store))
    batches = list(data.epoch(2))
    for skip in (0, 1, len(batches) - 1, len(batches)):
        rest = list(data.epoch(2, skip))
        assert len(rest) == len(batches) - skip
        for a, b in zip(rest, batches[skip:], strict=True):
            assert torch.equal(a.tokens, b.tokens)
            assert torch.equal(a.states, b.states)


def test_held_out_columns_and_only_they_are_evaluated(config_of, mammals_store):
    config = config_of(mammals_store, data={"held_out_regions": ["chrM:8400-8420"]})
    data = TrainingData(config)
    held_out = seen_in(data, data.evaluation(True, 10**6), 48)
    assert sorted(held_out) == sorted(expected_columns(data, held_out=True))
    assert len(held_out) == 21
    training = seen_in(data, data.evaluation(False, 10**6), 48)
    assert sorted(training) == sorted(expected_columns(data, held_out=False))


def test_evaluation_is_a_fixed_sample(config_of, mammals_store):
    data = TrainingData(config_of(mammals_store))
    samples = [[b.site.tolist() for b in data.evaluation(False, 200)] for _ in range(2)]
    assert samples[0] == samples[1]
    assert 200 <= sum(map(len, samples[0])) < 200 + 4 * 48


def test_held_out_contig(config_of, birds_store):
    contigs = list(open_store(birds_store).contigs)
    data = TrainingData(config_of(birds_store, data={"held_out_contigs": [contigs[1]]}))
    (source,) = data.stores
    assert {region.contig for region in source.regions()} == {contigs[0]}
    assert {region.contig for region in source.regions(held_out=True)} == {contigs[1]}


def test_held_out_regions_of_a_bed_file(config_of, mammals_store, tmp_path):
    (tmp_path / "out.bed").write_text("chrM\t8370\t8380\nchrM\t8375\t8390\nother\t0\t5\n")
    path = str(tmp_path / "out.bed")
    (source,) = TrainingData(config_of(mammals_store, data={"held_out_regions_file": path})).stores
    assert positions(source.regions(held_out=True)) == {("chrM", p) for p in range(8370, 8390)}
    assert not positions(source.regions()) & positions(source.regions(held_out=True))


def test_held_out_species_never_reach_the_loss(config_of, mammals_store):
    tips = open_store(mammals_store).species
    named = [tips[3], tips[17]]
    config = config_of(
        mammals_store, data={"held_out_species": named, "held_out_species_fraction": 0.2}
    )
    data = TrainingData(config)
    (source,) = data.stores
    hidden = source.held_out_species.tolist()
    assert {tips.index(name) for name in named} < set(hidden)
    assert len(hidden) == len(set(hidden)) == 2 + round(0.2 * (len(tips) - 3))
    assert source.store.reference_index not in hidden
    shown = [i for i in range(len(tips)) if i not in hidden]
    for batch in data.epoch(0):
        assert (batch.states[:, hidden] > 3).all()
        assert torch.equal(batch.states[:, shown], batch.held_out_states[:, shown])
    assert (batch.held_out_states[:, hidden] < 4).any()
    assert TrainingData(config).stores[0].held_out_species.tolist() == hidden


def test_reference_is_the_middle_token(config_of, birds_store):
    data = TrainingData(config_of(birds_store))
    half = data.stores[0].maker.half_window
    own = data.stores[0].store.reference_index
    for batch in data.epoch(1):
        row, offset = batch.site // 48, batch.site % 48
        assert torch.equal(batch.tokens[row, offset + half], batch.reference.long())
        known = batch.held_out_states[:, own] < 4
        assert known.any()
        assert torch.equal(batch.held_out_states[known, own], batch.reference[known])


def test_contig_edges_are_padded(tmp_path, config_of):
    """A contig shorter than the context: every token outside it is the padding."""
    store = tiny_store(tmp_path, "ACGTAC", "ACGTAG", size=6)
    data = TrainingData(config_of(store, optimiser={"window_length": 4}))
    half = data.stores[0].maker.half_window
    assert sorted(seen_in(data, data.epoch(0), 4)) == sorted(expected_columns(data, False))
    for batch in data.epoch(0):
        text = ["".join("ACGTN-"[t] for t in row) for row in batch.tokens.tolist()]
        assert all(row.strip("-") and row.strip("-") in "ACGTAC" for row in text)
        assert all(len(row) == 4 + 2 * half for row in text)


def tiny_store(folder, reference: str, other: str, size: int):
    from small_stores import build_store

    (folder / "tiny.nh").write_text("(ref:0.1,oth:0.2);")
    (folder / "tiny.maf").write_text(
        f"##maf version=1\n\na\ns ref.c1 0 {len(reference)} + {size} {reference}\n"
        f"s oth.x 0 {len(other)} + 90 {other}\n\n"
    )
    build_store(folder / "tiny.maf", folder / "tiny.nh", folder / "tiny.store")
    return folder / "tiny.store"


def test_soft_masked_positions_are_weighted(tmp_path, config_of):
    store = tiny_store(tmp_path, "acgtACGTNA", "ACGTACGTAA", size=40)
    config = config_of(store, data={"soft_mask_weight": 0.25, "minimum_species": 1})
    weights = {}
    for batch in TrainingData(config).epoch(0):
        for reference, weight in zip(batch.reference.tolist(), batch.weight.tolist(), strict=True):
            weights.setdefault(reference, []).append(weight)
        assert batch.held_out_states.max() <= 6
    assert sorted(weights[0]) == [0.25, 1, 1]
    assert sorted(weights[3]) == [0.25, 1]
    assert weights[4] == [1]


def test_minimum_species_and_branch_length(config_of, birds_store):
    store = open_store(birds_store)
    config = config_of(birds_store, data={"minimum_species": 10, "minimum_branch_length": 0.05})
    (source,) = TrainingData(config).stores
    assert all((store.depth(region) >= 10).all() for region in source.regions())
    assert sum(map(len, source.regions())) == sum(
        int((store.depth(region) >= 10).sum()) for region in store.covered_regions(1)
    )
    assert source.tree.branch_length[1:].min() >= 0.05


def test_two_stores_in_one_run(config_of, mammals_store, birds_store):
    config = config_of(mammals_store, data={"stores": [str(mammals_store), str(birds_store)]})
    data = TrainingData(config)
    widths = {batch.states.shape[1] for batch in data.epoch(0)}
    assert widths == {len(open_store(mammals_store).species), len(open_store(birds_store).species)}
    total = sum(len(batch.site) for batch in data.epoch(0))
    assert total == sum(len(r) for source in data.stores for r in source.regions())


@pytest.mark.parametrize("buffer", [1 << 30, 40_000])
def test_an_epoch_takes_a_share_of_a_store(config_of, mammals_store, many_segments, buffer):
    """Of each store all or a part, another one in each epoch, and a part of it when entered."""
    data = TrainingData(
        config_of(
            mammals_store,
            data={
                "stores": [str(mammals_store), str(many_segments)],
                "store_weights": [1, 0.25],
                "buffer_bytes": buffer,
            },
        )
    )
    assert data._order.is_one_group == (buffer > 40_000)
    n_species = [len(source.store.species) for source in data.stores]
    assert n_species[0] != n_species[1]
    seen = []
    for epoch in range(3):
        batches = list(data.epoch(epoch))
        assert 0.8 < len(batches) / data.steps_per_epoch < 1.25
        of_store = [[b for b in batches if b.states.shape[1] == n] for n in n_species]
        assert sum(len(batch.site) for batch in of_store[0]) == data.stores[0].training.n_columns
        windows = [sum(len(batch.tokens) for batch in own) for own in of_store]
        usual = data.stores[1].training.windows.mean(axis=1).sum()
        assert 0.2 < windows[1] / usual < 0.35
        seen.append(set(seen_in(data, of_store[1], 48)))
        assert digest(data.epoch(epoch, 7)) == digest(batches[7:])
    assert len(seen[0] | seen[1] | seen[2]) > 1.8 * max(map(len, seen))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"held_out_contigs": ["chr7"]}, "no store has a contig 'chr7'"),
        ({"held_out_species": ["Yeti"]}, "no store has a species 'Yeti'"),
        ({"held_out_species": ["Homo_sapiens"]}, "is the reference"),
        ({"held_out_regions": ["chr7:1-10"]}, "chr7:1-10 covers no column"),
        ({"held_out_regions": ["chrM:10500-10600", "chrM:1-10"]}, "chrM:1-10 covers no column"),
        ({"held_out_regions": ["nonsense"]}, "no region"),
        ({"held_out_regions_file": "absent.bed"}, r"absent\.bed: cannot read"),
        ({"held_out_contigs": ["chrM"]}, "no column is left"),
        ({"minimum_species": 1000}, "no column is left"),
    ],
    ids=str,
)
def test_what_cannot_be_held_out(config_of, mammals_store, changes, match):
    with pytest.raises(InputError, match=match):
        TrainingData(config_of(mammals_store, data=changes))


@pytest.mark.parametrize("name", ["chrM", "MT", "M"])
def test_held_out_names_may_be_spelled_differently(config_of, mammals_store, tmp_path, name):
    (tmp_path / "held.bed").write_text(f"{name}\t8399\t8420\n")
    changes = {
        "held_out_regions": [f"{name}:10500-10600"],
        "held_out_regions_file": str(tmp_path / "held.bed"),
    }
    (source,) = TrainingData(config_of(mammals_store, data=changes)).stores
    assert sum(map(len, source.regions(held_out=True))) == 21 + 101
    assert {region.contig for region in source.regions(held_out=True)} == {"chrM"}
    with pytest.raises(InputError, match="no column is left"):  # so the contig was found
        TrainingData(config_of(mammals_store, data={"held_out_contigs": [name]}))


def test_bed_regions_without_columns(config_of, mammals_store, tmp_path, caplog):
    bed = tmp_path / "held.bed"
    config = config_of(mammals_store, data={"held_out_regions_file": str(bed)})
    bed.write_text("chrM\t8399\t8420\nchrM\t0\t10\nchr7\t0\t10\n")
    with caplog.at_level("WARNING", logger="phylotools"):
        TrainingData(config)
    assert "2 of 3 regions cover no column of the stores (the first is chr7:1-10)" in caplog.text
    bed.write_text("chrM\t0\t10\nchr7\t0\t10\n")
    with pytest.raises(InputError, match=r"held\.bed: none of its regions covers"):
        TrainingData(config)
