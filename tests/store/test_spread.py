from __future__ import annotations

import numpy as np

from phylotools.io.regions import RegionSet
from phylotools.store.read import open_store
from phylotools.store.spread import spread_chunks


def test_few_chunks_are_spread_over_all_contigs(birds_store):
    store = open_store(birds_store)
    regions = list(spread_chunks(store, 4))
    assert len(regions) <= 4
    assert {region.contig for region in regions} == set(store.contigs)


def test_many_chunks_are_the_whole_store_once(birds_store):
    store = open_store(birds_store)
    regions = list(spread_chunks(store, 100_000))
    assert len(set(regions)) == len(regions)
    found = RegionSet.of(regions)
    assert found.n_positions == sum(map(len, regions))
    assert not RegionSet.of(store.covered_regions(0)) - found
    for region in regions:
        covered = store.intervals(region.contig)
        assert ((covered[:, 0] < region.end) & (covered[:, 1] > region.start)).any()
    assert np.all([region.start % store.chunk_length == 0 for region in regions])
