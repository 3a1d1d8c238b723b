"""What is held out where a configuration says only how much."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
from small_runs import random_store

from phylotools.io.bed import read_bed
from phylotools.io.regions import Region, RegionSet
from phylotools.phylogeny.tree import parse_newick
from phylotools.provenance import RunRecord
from phylotools.store import schema
from phylotools.store.assemble import assemble_store
from phylotools.store.chunks import StoredChunk, chunk_digest, encode_values
from phylotools.store.read import open_store
from phylotools.training.dataset import TrainingData
from phylotools.training.loop import Trainer
from phylotools.training.run_folder import HELD_OUT_REGIONS


def genes_store(folder, lengths):
    """A store of so many genes, every position of which has three species."""
    contigs = [(f"gene{number}", length) for number, length in enumerate(lengths)]

    def chunks():
        for contig, length in enumerate(lengths):
            bases = np.full((3, schema.CHUNK_LENGTH), schema.NO_BLOCK, dtype=np.uint8)
            bases[:, :length] = np.arange(length) % 4
            depth = ((bases & schema.CODE_MASK) < schema.N).sum(axis=0).astype(np.uint16)
            yield StoredChunk(contig, 0, encode_values(bases), chunk_digest(bases), bases[0], depth)

    assemble_store(
        folder,
        tree=parse_newick("(a:0.1,b:0.2,c:0.3);"),
        reference_species="a",
        contigs=contigs,
        chunks=chunks(),
        weights=None,
        statistics={},
        run=RunRecord(inputs={"alignment": None}),
    )
    return folder


@pytest.fixture
def drawn(config_of):
    """The data of a store with a tenth, or another part, held out."""

    def make(store, fraction=0.1, seed=5, **changes):
        data = {"held_out_fraction": fraction} | changes
        return TrainingData(config_of(store, data=data, run={"seed": seed}))

    return make


def columns(data):
    return [(source.training.n_columns, source.held_out.n_columns) for source in data.stores]


@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.5, 0.9])
def test_stretches_have_exactly_the_fraction(drawn, many_segments, fraction):
    (whole,) = columns(drawn(many_segments, 0))
    data = drawn(many_segments, fraction)
    ((training, held_out),) = columns(data)
    assert held_out == round(fraction * whole[0])
    assert training + held_out == whole[0]


def test_stretches_are_long_and_spread(drawn, many_segments):
    data = drawn(many_segments)
    (source,) = data.stores
    regions = list(data.held_out)
    # Of at least 300 columns; a stretch over the end of a contig is two regions.
    n_stretches = source.held_out.n_columns // 300
    assert n_stretches == 7
    assert n_stretches <= len(regions) <= n_stretches + 3
    assert sum(len(region) >= 300 for region in regions) >= n_stretches - 3
    # One in each seventh of the columns: no gap between neighbours is as large as two of them.
    total = source.training.n_columns + source.held_out.n_columns
    places = []
    before = 0
    for contig, length in source.store.contigs.items():
        places += [before + region.start for region in regions if region.contig == contig]
        before += length
    share = before / total
    assert np.diff(places).max() < 2.2 * share * total / n_stretches


def test_the_seed_decides(drawn, many_segments):
    assert drawn(many_segments).held_out == drawn(many_segments).held_out
    assert drawn(many_segments).held_out != drawn(many_segments, seed=6).held_out


def test_whole_genes_where_there_are_many(drawn, tmp_path):
    rng = np.random.default_rng(3)
    lengths = rng.integers(50, 500, 60).tolist()
    data = drawn(genes_store(tmp_path / "genes", lengths))
    ((training, held_out),) = columns(data)
    assert training + held_out == sum(lengths)
    contigs = data.stores[0].store.contigs
    regions = list(data.held_out)
    assert all(region == Region(region.contig, 0, contigs[region.contig]) for region in regions)
    assert len(regions) >= 4
    assert 0.09 * sum(lengths) < held_out <= round(0.1 * sum(lengths))


def test_stretches_where_few_contigs_hold_most(drawn, tmp_path):
    """A genome with a hundred scraps is no sample of many genes."""
    data = drawn(genes_store(tmp_path / "genome", [2000, 2000, 2000, *[20] * 100]))
    ((training, held_out),) = columns(data)
    assert held_out == 800
    assert training == 7200


@pytest.mark.parametrize("length", [1, 4, 5, 30])
def test_the_smallest_stores(drawn, tmp_path, length, caplog):
    data = drawn(genes_store(tmp_path / "tiny", [length]))
    assert columns(data) == [(length - round(0.1 * length), round(0.1 * length))]
    assert ("too few columns to hold any out" in caplog.text) == (length < 6)


def test_what_two_stores_share_is_held_out_of_both(drawn, config_of, many_segments, tmp_path):
    other = random_store(tmp_path / "other", 7)
    config = config_of(many_segments, data={"held_out_fraction": 0.1})
    both = dataclasses.replace(
        config, data=dataclasses.replace(config.data, stores=[str(many_segments), str(other)])
    )
    data = TrainingData(both)
    trained, held = (
        [RegionSet.of(source.regions(held_out=flag)) for source in data.stores]
        for flag in (False, True)
    )
    assert not trained[0] & held[1]
    assert not trained[1] & held[0]
    # More of a store than a tenth, where it has columns between those drawn from the other.
    for training, held_out in columns(data):
        assert 0.0999 < held_out / (training + held_out) < 0.16


def test_what_is_named_is_held_out_alone(config_of, many_segments):
    data = TrainingData(config_of(many_segments, data={"held_out_regions": ["one:101-200"]}))
    assert data.held_out == RegionSet.of([Region("one", 100, 200)])


def test_the_bed_of_a_run_holds_out_the_same(config_of, many_segments, tmp_path):
    import torch

    config = config_of(many_segments, data={"held_out_fraction": 0.1}, optimiser={"steps": 1})
    trainer = Trainer(config, tmp_path / "run", torch.device("cpu"))
    path = tmp_path / "run" / HELD_OUT_REGIONS
    assert read_bed(path) == trainer.data.held_out
    shutil.copy(path, many_segments.parent / "held_out.bed")
    again = config_of(many_segments, data={"held_out_regions_file": "held_out.bed"})
    assert TrainingData(again).held_out == trainer.data.held_out


def test_columns_that_are_not_trained_on_are_not_drawn(drawn, weighted_segments):
    """Neither those of weight 0 nor those with too few species count."""
    (whole,) = columns(drawn(weighted_segments, 0, minimum_species=4))
    data = drawn(weighted_segments, 0.1, minimum_species=4)
    assert columns(data)[0][1] == round(0.1 * whole[0])
    store = open_store(weighted_segments)
    assert sum(store.contigs.values()) > 1.5 * whole[0]
