from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from small_stores import build_store

from phylotools.errors import InputError
from phylotools.io.regions import Region, RegionSet
from phylotools.store import columns as module
from phylotools.store.columns import Columns, columns_in_order, covered, sample_columns
from phylotools.store.read import ColumnStore, open_store

Column = tuple[int, bytes]


def plainly(store: ColumnStore) -> dict[tuple[str, int], Column]:
    """Every column with another species: (contig, position) -> reference base, bases."""
    found = {}
    for contig, length in store.contigs.items():
        whole = Region(contig, 0, length)
        reference, bases = store.reference(whole) & 7, store.bases(whole) & 7
        others = np.delete(bases, store.reference_index, axis=1)
        for position in np.flatnonzero((others < 4).any(axis=1)).tolist():
            found[contig, position] = int(reference[position]), bases[position].tobytes()
    return found


def collected(batches) -> dict[tuple[str, int], Column]:
    found: dict[tuple[str, int], Column] = {}
    for batch in batches:
        assert isinstance(batch, Columns)
        for where, base, states in zip(
            batch.position.tolist(), batch.reference, batch.states, strict=True
        ):
            assert (batch.contig, where) not in found
            found[batch.contig, where] = int(base), states.tobytes()
    return found


@pytest.mark.parametrize(
    ("name", "batch", "read"),
    [
        ("mammals_store", 8192, 8192),
        ("mammals_store", 50, 300),
        ("birds_store", 5000, 4096),
        ("odd_store", 8192, 8192),
        ("odd_store", 3, 2),
        ("odd_store", 1, 7),
    ],
)
def test_every_column_once_and_in_order(request, monkeypatch, name, batch, read):
    monkeypatch.setattr(module, "BATCH_COLUMNS", batch)
    monkeypatch.setattr(module, "_READ", read)
    store = open_store(request.getfixturevalue(name))
    found = collected(chain.from_iterable(columns_in_order(store)))
    assert found == plainly(store)
    assert list(found) == sorted(found)


def test_small_contigs_share_a_batch(odd_store):
    (batch,) = columns_in_order(open_store(odd_store))
    assert [columns.contig for columns in batch] == ["a", "b"]


def test_the_odd_columns(odd_store):
    found = collected(chain.from_iterable(columns_in_order(open_store(odd_store))))
    assert list(found) == [
        ("a", 0), ("a", 1),
        ("b", 2), ("b", 3), ("b", 4), ("b", 5), ("b", 10), ("b", 11), ("b", 12), ("b", 13),
    ]  # fmt: skip
    assert found["b", 3] == (1, bytes([1, 1, 1]))
    assert found["b", 4] == (4, bytes([4, 5, 0]))


def test_regions_choose_columns(birds_store, monkeypatch):
    monkeypatch.setattr(module, "_READ", 1000)
    store = open_store(birds_store)
    everything = plainly(store)
    first, second = sorted(store.contigs)
    inside = [position for contig, position in everything if contig == second]
    middle = inside[len(inside) // 2]
    spans = [(inside[0] + 5, inside[0] + 6), (middle, middle + 333)]
    regions = RegionSet.of(Region(second, *span) for span in spans)
    found = collected(chain.from_iterable(columns_in_order(store, regions)))
    assert found == {
        (contig, position): column
        for (contig, position), column in everything.items()
        if any(r.contig == contig and r.start <= position < r.end for r in regions)
    }
    assert not len(covered(store, first, regions))


@pytest.mark.parametrize("name", ["mammals_store", "birds_store", "odd_store"])
def test_a_sample_is_of_the_store_and_of_the_seed(request, name):
    store = open_store(request.getfixturevalue(name))
    everything = plainly(store)
    assert collected(sample_columns(store, 10**6, 1)) == everything
    if len(everything) < 300:
        return
    samples = [collected(sample_columns(store, 200, seed)) for seed in (1, 1, 2)]
    assert samples[0] == samples[1] != samples[2]
    for sample in samples:
        assert 200 <= len(sample) <= 200 + 64
        assert sample.items() <= everything.items()
        assert list(sample) == sorted(sample)


def test_a_store_of_the_reference_alone_is_refused(tmp_path):
    (tmp_path / "a.maf").write_text("a\ns A.1 2 4 + 10 CGTA\ns B.1 0 4 + 4 NNNN\n\n")
    (tmp_path / "t.nh").write_text("(A:1,B:1,C:2);")
    build_store(tmp_path / "a.maf", tmp_path / "t.nh", tmp_path / "s")
    store = open_store(tmp_path / "s")
    assert not list(columns_in_order(store))
    with pytest.raises(InputError, match="beside the reference"):
        sample_columns(store, 10, 1)
