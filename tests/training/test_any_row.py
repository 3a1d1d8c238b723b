"""Training windows that are read through another species' row."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from column_oracle import digest
from small_runs import HOLDS_OUT, resumes_to_the_same
from small_stores import Block, build_store, write_store

from phylotools.io.regions import Region
from phylotools.model.presets import PAD_TOKEN
from phylotools.phylogeny.tree import parse_newick
from phylotools.store import schema
from phylotools.training.any_row import REFERENCE, RowChoice
from phylotools.training.dataset import TrainingData
from phylotools.training.windows import N_PHASES, join_touching, regular_phase, tile

pytestmark = pytest.mark.usefixtures("one_thread")

ANY = {"any_row_weight": 1.0}


def letters(tokens) -> list[str]:
    return ["".join("ACGTN-"[code] for code in row) for row in tokens.tolist()]


def hand_built(folder: Path) -> Path:
    """Blocks at positions 3 to 12 of a contig of fourteen; position 11 has the reference alone."""
    (folder / "hand.nh").write_text("((ref:0.1,two:0.2):0.1,few:0.3);")
    (folder / "hand.maf").write_text(
        "##maf version=1\n\na\n"
        "s ref.c 3 6 + 14 ACGtAC\n"
        "s two.x 0 4 + 90 AG--TT\n"
        "s few.y 0 5 + 90 ACGTN-\n\n"
        "a\ns ref.c 9 4 + 14 GGCC\ns two.z 40 4 + 90 GaNC\n\n"
    )
    build_store(folder / "hand.maf", folder / "hand.nh", folder / "hand.store")
    return folder / "hand.store"


def test_a_window_by_hand(tmp_path, config_of):
    store = hand_built(tmp_path)
    config = config_of(
        store,
        network={"dilations": [1]},
        optimiser={"window_length": 8},
        data={"soft_mask_weight": 0.5},
    )
    (source,) = TrainingData(config).stores
    segment = source.resident()
    windows = tile(segment.runs, 0, 8)
    assert windows.start.tolist() == [3, 12]
    two, few = (source.store.species.index(name) for name in ("two", "few"))
    picked = [(segment, windows, 0), (segment, windows, 1)]

    batch = source.maker.make(picked, [two, two])
    # From position 3 on: AG, two gaps, TT, Ga, no column; C, no block, the end of the contig.
    assert letters(batch.tokens) == ["NNAGTTGANCN-", "ANCN--------"]
    assert batch.site.tolist() == [0, 1, 2, 3, 4, 5, 8]
    assert letters(batch.reference[None]) == ["AGTTGAC"]
    assert letters(batch.states[:, two][None]) == ["AGTTGAC"]
    assert letters(batch.states[:, source.store.reference_index][None]) == ["ACACGGC"]
    assert batch.weight.tolist() == [1] * 7

    batch = source.maker.make(picked, [few, REFERENCE])
    # ACGTN, a gap, no block. The mask is the reference's.
    assert letters(batch.tokens) == ["NNACGTNNNNNN", "GCCN--------"]
    assert batch.site.tolist() == [0, 1, 2, 3, 8]
    assert batch.weight.tolist() == [1, 1, 1, 0.5, 1]


def window_by_letters(source, segment, start: int, contig: int, species: int):
    """Tokens, offsets and codes of a window, one position of the contig after the other."""
    length = list(source.store.contigs.values())[contig]
    column = {}
    for run, first, last in segment.runs.tolist():
        for position in range(first, last):
            column[run, position] = len(column)
    half, width = source.maker.half_window, source.width
    before, after = [], []
    for position in range(start - 4 * width, start + 6 * width):
        code, site = schema.N, None
        if not 0 <= position < length:
            code = PAD_TOKEN
        elif (contig, position) in column:
            site = column[contig, position]
            code = int(segment.bases[site, species])
            if code == schema.GAP_IN_BLOCK:
                continue
            code = min(code, schema.N)
        is_site = code < schema.N and site is not None and start <= position < start + width
        (before if position < start else after).append((code, site if is_site else None))
    around = before[-half:] + after[: width + half]
    sites = [(offset - half, site) for offset, (_, site) in enumerate(around) if site is not None]
    return [code for code, _ in around], sites


@pytest.mark.parametrize("part", [None, 3])
def test_windows_of_every_species_position_by_position(small, many_segments, part):
    """Also of a segment that is a part of a contig, and beside columns that are held out."""
    data = {"held_out_regions": ["one:3,000-3,020", "three:1000-1001"], "minimum_species": 3}
    (source,) = TrainingData(small(many_segments, **data)).stores
    runs = [source.reader.runs(*place)[0] for place in source.training.place.tolist()]
    segment = source.reader.load(
        join_touching(np.concatenate(runs)) if part is None else runs[part]
    )
    rng = np.random.default_rng(4)
    for number in range(0, N_PHASES, 3):
        windows = tile(segment.runs, regular_phase(number, source.width), source.width)
        ends = {0, 1, len(windows) - 1} | set(rng.integers(len(windows), size=40).tolist())
        for index in ends:
            contig, start = segment.runs[windows.run[index], 0], int(windows.start[index])
            for species in (1, 4):
                tokens, sites = window_by_letters(source, segment, start, contig, species)
                batch = source.maker.make([(segment, windows, index)], [species])
                assert batch.tokens[0].tolist() == tokens
                assert batch.site.tolist() == [offset for offset, _ in sites]
                columns = segment.bases[[column for _, column in sites]]
                assert np.array_equal(batch.states.numpy(), columns)
                assert np.array_equal(batch.reference.numpy(), columns[:, species])


def twins(folder: Path) -> Path:
    """A store of two species that are the same at every position."""
    rng = np.random.default_rng(0)
    sequences = {name: rng.integers(0, 4, n) for name, n in [("a", 3000), ("b", 5), ("c", 250)]}
    blocks = [
        Block(Region(name, 0, len(bases)), ("one", "two"), np.stack([bases] * 2), len(bases))
        for name, bases in sequences.items()
    ]
    write_store(folder / "twins", parse_newick("(one:0.1,two:0.1);"), "one", blocks)
    return folder / "twins"


@pytest.mark.parametrize("buffer", [1000, 1 << 20])
def test_a_row_like_the_reference_gives_its_batches(tmp_path, config_of, buffer):
    store = twins(tmp_path)
    plain, through = (
        TrainingData(config_of(store, data={"buffer_bytes": buffer} | changes))
        for changes in ({}, ANY)
    )
    assert through._order.is_one_group == (buffer > 10_000)
    for epoch in (0, 3):
        assert digest(plain.epoch(epoch)) == digest(through.epoch(epoch))


def read_species(batch, row: int, source) -> set[int]:
    """Species of which a window may be: their base is the one in the sequence everywhere."""
    here = (batch.site // source.width) == row
    own = batch.held_out_states[here] == batch.reference[here][:, None]
    return set(np.flatnonzero(own.numpy().all(axis=0)).tolist())


def test_no_window_is_of_a_held_out_species(config_of, mammals_store):
    data = TrainingData(
        config_of(
            mammals_store,
            data=ANY | {"held_out_species_fraction": 0.6},
            optimiser={"window_length": 200},
        )
    )
    (source,) = data.stores
    hidden = set(source.held_out_species.tolist())
    seen = set()
    for epoch in range(5):
        for batch in data.epoch(epoch):
            half = source.maker.half_window
            row, offset = batch.site // 200, batch.site % 200
            assert (batch.tokens[row, offset + half] == batch.reference).all()
            for number in row.unique().tolist():
                found = read_species(batch, number, source)
                if len(found) == 1:
                    seen |= found
    assert len(seen) > 8
    assert not seen & hidden
    assert source.store.reference_index not in seen


def test_the_weight_is_the_share_of_windows(config_of, mammals_store):
    segment, windows = _whole(config_of(mammals_store, optimiser={"window_length": 8}))
    picked = [(segment, windows, index) for index in range(len(windows))] * 20
    n_species = segment.bases.shape[1]
    for weight in (0.0, 0.3, 1.0):
        rows = RowChoice(weight, np.arange(1, n_species)).draw(picked, np.random.default_rng(1))
        share = np.mean(np.array(rows) != REFERENCE)
        assert abs(share - weight) < 4 * np.sqrt(weight * (1 - weight) / len(picked)) + 1e-9
    counts = np.bincount(rows, minlength=n_species)
    assert counts[0] == 0
    assert (counts[1:] > 0).all()


def test_a_species_with_few_bases_is_not_read(config_of, many_segments):
    """Nobody but the reference has half of what there is: it is read, whatever the weight."""
    segment, windows = _whole(config_of(many_segments))
    bases = segment.bases.copy()
    first, last = windows.first_column[:2].tolist()
    half = (last - first + 1) // 2
    bases[first + half - 1 : last, 1:] = schema.GAP_IN_BLOCK
    bases[first : first + half, 1:3] = 2
    picked = [(segment.__class__(**vars(segment) | {"bases": bases}), windows, 0)]
    rng = np.random.default_rng(0)
    found = {RowChoice(1.0, np.arange(1, 5)).draw(picked, rng)[0] for _ in range(50)}
    assert found == {1, 2}
    assert RowChoice(1.0, np.array([3, 4])).draw(picked, rng) == [REFERENCE]
    assert RowChoice(1.0, np.array([], dtype=np.int64)).draw(picked, rng) == [REFERENCE]


def _whole(config):
    (source,) = TrainingData(config).stores
    return source.resident(), tile(source.resident().runs, 0, source.width)


@pytest.mark.parametrize("buffer", [1 << 30, 40_000])
def test_a_batch_follows_from_its_place(config_of, many_segments, buffer):
    changes = {"any_row_weight": 0.5, "buffer_bytes": buffer}
    data = TrainingData(config_of(many_segments, data=changes))
    batches = list(data.epoch(2))
    assert digest(batches) != digest(data.epoch(3))
    for skip in (1, len(batches) // 2, len(batches) - 1):
        assert digest(data.epoch(2, skip)) == digest(batches[skip:])
    assert digest(batches) == digest(TrainingData(config_of(many_segments, data=changes)).epoch(2))


def test_from_a_batch_on_the_reference_alone_is_read(config_of, mammals_store):
    plain, through = (TrainingData(config_of(mammals_store, data=changes)) for changes in ({}, ANY))
    n = len(list(plain.epoch(0))) + 2
    found = [batch for (batch,) in islice(through.stream(any_row_steps=n), n + 4)]
    wanted = [batch for (batch,) in islice(plain.stream(), n + 4)]
    alike = [digest([a]) == digest([b]) for a, b in zip(found, wanted, strict=True)]
    assert alike == [False] * n + [True] * 4


def test_evaluation_reads_the_reference(config_of, mammals_store):
    plain, through = (
        TrainingData(config_of(mammals_store, data=HOLDS_OUT["data"] | changes))
        for changes in ({}, ANY)
    )
    for held_out in (False, True):
        assert digest(plain.evaluation(held_out, 500)) == digest(through.evaluation(held_out, 500))


@pytest.mark.parametrize("until", [1.0, 0.7])
def test_a_run_that_was_killed_repeats_its_losses(config_of, mammals_store, tmp_path, until):
    data = HOLDS_OUT["data"] | {"any_row_weight": 0.5, "any_row_until": until}
    config = config_of(mammals_store, **HOLDS_OUT | {"data": data})
    resumes_to_the_same(config, tmp_path, [8, 15])
