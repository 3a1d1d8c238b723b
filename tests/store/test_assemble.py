"""Chunks -> store, against a plain projection of the same columns."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.io.intervals import runs_of
from phylotools.io.regions import Region
from phylotools.phylogeny.tree import parse_newick
from phylotools.provenance import RunRecord
from phylotools.store import schema
from phylotools.store.assemble import assemble_store
from phylotools.store.chunks import StoredChunk, chunk_digest, encode_values
from phylotools.store.read import open_store

C = schema.CHUNK_LENGTH
TREE = parse_newick("(a:1,b:1,(c:1,d:2):1);")
CONTIGS = [("one", C), ("tiny", 3), ("two", 3 * C + 5), ("bare", 700), ("last", 2 * C)]


def random_columns(seed=1, contigs=CONTIGS):
    """Contig -> codes [L, S]; NO_BLOCK in every species where no block lies."""
    rng = np.random.default_rng(seed)
    columns = {}
    for name, length in contigs:
        codes = rng.integers(0, 7, (length, 4)).astype(np.uint8)
        codes[:, 1] %= 5
        codes[codes < 4] |= rng.choice([0, 8], (codes < 4).sum()).astype(np.uint8)
        for _ in range(4):
            start = rng.integers(0, length)
            codes[start : start + rng.integers(1, 2500)] = schema.NO_BLOCK
        columns[name] = codes if name != "bare" else np.full_like(codes, schema.NO_BLOCK)
    # Two contigs that touch in the arrays: covered to the end, and from the start.
    columns[contigs[0][0]][-1], columns[contigs[1][0]][0] = 0, 1
    return columns


def stored_chunks(columns, contigs=CONTIGS):
    for number, (name, length) in enumerate(contigs):
        for index in range(-(-length // C)):
            part = columns[name][index * C : (index + 1) * C]
            bases = np.full((4, C), schema.NO_BLOCK, dtype=np.uint8)
            bases[:, : len(part)] = part.T
            if (bases != schema.NO_BLOCK).any():
                depth = ((bases & 7) < 4).sum(axis=0).astype(np.uint16)
                yield StoredChunk(
                    number, index, encode_values(bases), chunk_digest(bases), bases[1], depth
                )


def assembled(folder, columns, contigs=CONTIGS, **options):
    statistics = assemble_store(
        folder,
        tree=TREE,
        reference_species="b",
        contigs=contigs,
        chunks=stored_chunks(columns, contigs),
        statistics={"blocks": 7},
        run=RunRecord(inputs={"alignment": None}),
        **options,
    )
    return open_store(folder), statistics


def sequence(region):
    """A reference that is no alignment's: the position decides."""
    positions = np.arange(region.start, region.end) + len(region.contig)
    return (positions % 5 + 8 * (positions % 2)).astype(np.uint8)


def weight_of(region):
    return (np.arange(region.start, region.end) / 7).astype(np.float32)


@given(st.integers(0, 1000), st.booleans(), st.booleans(), st.sampled_from([C, 2 * C, 1 << 27]))
@settings(max_examples=12, deadline=None)
def test_every_array(tmp_path_factory, seed, has_fasta, has_weights, shard_bytes):
    folder = tmp_path_factory.mktemp("s") / "store"
    columns = random_columns(seed)
    patch = pytest.MonkeyPatch()
    with patch.context() as patched:
        patched.setattr(schema, "SHARD_BYTES", shard_bytes)
        store, statistics = assembled(
            folder,
            columns,
            reference=sequence if has_fasta else None,
            weights=weight_of if has_weights else None,
        )
    n_covered = n_bases = 0
    for name, length in CONTIGS:
        whole, codes = Region(name, 0, length), columns[name]
        np.testing.assert_array_equal(store.bases(whole), codes)
        np.testing.assert_array_equal(store.bases(whole, threads=2), codes)
        depth = ((codes & 7) < 4).sum(axis=1)
        np.testing.assert_array_equal(store.depth(whole), depth)
        is_covered = codes[:, 1] != schema.NO_BLOCK
        own = sequence(whole) if has_fasta else np.where(is_covered, codes[:, 1], schema.N)
        np.testing.assert_array_equal(store.reference(whole), own)
        flags = np.zeros(length, dtype=int)
        for start, end in store.intervals(name).tolist():
            flags[start:end] += 1
            assert not flags[max(start - 1, 0) : start].any()
        np.testing.assert_array_equal(flags, is_covered)
        if has_weights:
            found = store.weight(whole)
            np.testing.assert_array_equal(found[is_covered], weight_of(whole)[is_covered])
        else:
            assert store.weight(whole) is None
        for minimum in (1, 3):
            found = [r for r in store.covered_regions(minimum) if r.contig == name]
            deep = runs_of(depth >= minimum).tolist()
            assert found == [Region(name, start, end) for start, end in deep]
        n_covered += is_covered.sum()
        n_bases += depth.sum()
    assert statistics == store.attributes["statistics"]
    assert statistics["blocks"] == 7
    assert statistics["covered_positions"] == n_covered
    assert statistics["mean_species_per_column"] == pytest.approx(n_bases / n_covered)
    store.verify(threads=2)


def test_checksums_as_the_format_page_says(tmp_path):
    """Recomputed from what zarr-python reads, by the words of docs/store-format.md alone."""
    store, _ = assembled(tmp_path, random_columns(), reference=sequence, weights=weight_of)
    attributes = zarr.open_group(tmp_path, mode="r").attrs
    arrays = {name: zarr.open_array(tmp_path / name, mode="r")[:] for name in attributes["sha256"]}
    assert set(arrays) == {"bases", "reference", "depth", "weight", "intervals"}
    touched = {
        window
        for start, end in arrays["intervals"].tolist()
        for window in range(start // 2048, (end - 1) // 2048 + 1)
    }
    for name, values in arrays.items():
        whole = hashlib.sha256()
        if name == "intervals":
            whole.update(values.astype("<i8").tobytes())
        else:
            for window in range(len(values) // 2048):
                if name == "reference" or window in touched:
                    part = values[window * 2048 : (window + 1) * 2048]
                    data = (part.T if name == "bases" else part).tobytes()
                    whole.update(window.to_bytes(8, "little") + hashlib.sha256(data).digest())
        assert whole.hexdigest() == attributes["sha256"][name]
    keys = ("format_version", "reference_species", "species", "tree", "contigs", "sha256")
    text = json.dumps({key: attributes[key] for key in keys}, sort_keys=True)
    assert store.fingerprint == hashlib.sha256(text.encode()).hexdigest()


def test_the_fingerprint_is_that_of_the_content(tmp_path, monkeypatch):
    columns = random_columns()
    first, _ = assembled(tmp_path / "a", columns)
    monkeypatch.setattr(schema, "SHARD_BYTES", 4 * C)
    monkeypatch.setattr(schema, "LINE_SHARD_LENGTH", 1 << 14)
    second, _ = assembled(tmp_path / "b", columns)
    assert first.shard_length != second.shard_length
    assert first.fingerprint == second.fingerprint
    others = [{"weights": weight_of}, {"reference": sequence}]
    found = [assembled(tmp_path / str(i), columns, **o)[0] for i, o in enumerate(others)]
    columns["last"][5] = 3
    found.append(assembled(tmp_path / "c", columns)[0])
    assert len({store.fingerprint for store in (first, *found)}) == 4


def test_shard_regions_are_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "SHARD_BYTES", 4 * 2 * C)
    columns = random_columns(3)
    store, _ = assembled(tmp_path, columns)
    assert (store.chunk_length, store.shard_length) == (C, 2 * C)
    offsets, _ = schema.contig_offsets(length for _, length in CONTIGS)
    first = dict(zip(store.contigs, offsets, strict=True))
    shards, covered = [], {name: np.zeros(length, dtype=int) for name, length in CONTIGS}
    for region in store.shard_regions():
        start, end = region.start + first[region.contig], region.end + first[region.contig] - 1
        assert start // store.shard_length == end // store.shard_length
        shards.append(start // store.shard_length)
        covered[region.contig][region.start : region.end] += 1
    assert shards == sorted(shards)
    files = {int(path.name.split(".")[1]) for path in (tmp_path / "bases").glob("c.*")}
    assert set(shards) == files
    for name, count in covered.items():
        assert count.max(initial=0) <= 1
        assert (count[columns[name][:, 1] != schema.NO_BLOCK] == 1).all()


def test_many_contigs_are_few_files(tmp_path):
    contigs = [(f"scaffold{number}", 1 + number % 3) for number in range(3000)]
    columns = {
        name: np.full((length, 4), number % 4, dtype=np.uint8)
        for number, (name, length) in enumerate(contigs)
    }
    store, _ = assembled(tmp_path, columns, contigs)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) < 12
    assert store.covered_regions() == [Region(name, 0, length) for name, length in contigs]
    np.testing.assert_array_equal(store.bases(Region("scaffold2999", 0, 1)), [[3, 3, 3, 3]])


def test_chunks_without_blocks_are_left_out(tmp_path):
    columns = random_columns()
    chunk = next(stored_chunks(columns))
    empty = replace(chunk, reference=np.full(C, schema.NO_BLOCK, dtype=np.uint8))
    assemble_store(
        tmp_path, tree=TREE, reference_species="b", contigs=[("x", 5000)], chunks=[empty],
        statistics={}, run=RunRecord(),
    )  # fmt: skip
    store = open_store(tmp_path)
    assert store.covered_regions(0) == []
    assert store.shard_regions() == []
    assert (store.bases(Region("x", 0, 5000)) == schema.NO_BLOCK).all()
    store.verify()


def test_chunks_are_read_one_at_a_time(tmp_path):
    """Memory: a chunk is let go before the next one is asked for."""
    import gc
    import weakref

    seen = []

    def watched():
        for chunk in stored_chunks(random_columns()):
            gc.collect()
            assert sum(alive() is not None for alive in seen) <= 1
            seen.append(weakref.ref(chunk))
            yield chunk
            del chunk

    assemble_store(
        tmp_path, tree=TREE, reference_species="b", contigs=CONTIGS, chunks=watched(),
        statistics={}, run=RunRecord(),
    )  # fmt: skip
    assert len(seen) > 3


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_impossible_weights_are_refused(tmp_path, weight):
    store, _ = assembled(
        tmp_path, random_columns(), weights=lambda region: np.full(len(region), weight, "f4")
    )
    with pytest.raises(InputError, match="array weight of contig one"):
        store.weight(store.covered_regions(0)[0])


def test_contigs_that_no_store_can_hold(tmp_path):
    contigs = [(str(number), 1 << 40) for number in range(65)]
    with pytest.raises(InputError, match="2\\^46"):
        assembled(tmp_path / "s", {}, contigs)
    assert not (tmp_path / "s").exists()
