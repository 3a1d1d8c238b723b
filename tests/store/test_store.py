from __future__ import annotations

import errno
import json
import os
import pickle
import shutil

import numpy as np
import pytest
from small_stores import Block, change_attributes, write_store

from phylotools.errors import InputError
from phylotools.io.regions import Region
from phylotools.phylogeny.tree import parse_newick
from phylotools.store import schema, shards
from phylotools.store.read import open_store

TREE = parse_newick("(a:1,b:1,(c:1,d:2):1);")


def random_blocks(n_blocks, length, seed=1):
    rng = np.random.default_rng(seed)
    blocks = []
    for _ in range(n_blocks):
        size = int(rng.integers(1, 700))
        start = int(rng.integers(0, length - size))
        others = [name for name in "acd" if rng.random() < 0.6]
        bases = rng.integers(0, 6, (1 + len(others), size)).astype(np.uint8)
        bases[0] %= 5
        names = ("b", *others)
        blocks.append(Block(Region("x", start, start + size), names, bases, length))
    return blocks


def written(folder, blocks):
    return write_store(folder, TREE, "b", blocks)


def test_covered_regions_of_every_depth(tmp_path):
    length = 70_001
    store = written(tmp_path, random_blocks(150, length))
    whole = store.bases(Region("x", 0, length))
    depth = ((whole & 7) < 4).sum(axis=1)
    np.testing.assert_array_equal(store.depth(Region("x", 0, length)), depth)
    store.verify()
    for minimum in (0, 1, 3):
        covered = np.zeros(length, dtype=bool)
        regions = store.covered_regions(minimum)
        for region in regions:
            assert not covered[max(region.start - 1, 0) : region.end + 1].any()
            covered[region.start : region.end] = True
        deep = whole[:, 1] != schema.NO_BLOCK if minimum == 0 else depth >= minimum
        np.testing.assert_array_equal(covered, deep)


def test_a_window_reads_as_a_slice(tmp_path):
    blocks = random_blocks(40, 10_000)
    store = written(tmp_path, blocks)
    whole = store.bases(Region("x", 0, 10_000))
    for start in (0, 2040, 2048, 9_500):
        region = Region("x", start, start + 500)
        np.testing.assert_array_equal(store.bases(region), whole[start : start + 500])
    assert store.bases(Region("x", 7, 7)).shape == (0, 4)


@pytest.mark.parametrize(
    "region", [Region("y", 0, 1), Region("x", 0, 10_001), Region("x", -1, 1), Region("x", 5, 4)]
)
def test_regions_outside_are_refused(tmp_path, region):
    store = written(tmp_path, random_blocks(3, 10_000))
    with pytest.raises(InputError):
        store.bases(region)


def test_pickled_store_reads_the_same(tmp_path):
    store = written(tmp_path, random_blocks(3, 10_000))
    again = pickle.loads(pickle.dumps(store))
    assert again.fingerprint == store.fingerprint
    assert again.tree.to_newick() == TREE.to_newick()


@pytest.fixture
def folder(tmp_path):
    written(tmp_path / "store", random_blocks(5, 10_000))
    return tmp_path / "store"


def change_root(folder, **attributes):
    change_attributes(folder, lambda found: found.update(attributes))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"format": "cooler"}, "is no column store"),
        ({"format_version": 1}, "format version 1.*make it again"),
        ({"format_version": 3}, "format version 3"),
        ({"species": ["a", "b", "d", "c"]}, "do not agree"),
        ({"reference_species": "q"}, "do not agree"),
        ({"tree": 5}, "attribute tree"),
        ({"tree": "((("}, "Newick"),
        ({"contigs": [{"name": "x"}]}, "contig 0 is not described"),
        ({"contigs": [{"name": "x", "length": 5, "offset": 0}]}, "wrong shape"),
        ({"contigs": [{"name": "x", "length": 10_000, "offset": 2048}]}, "offsets are wrong"),
        ({"contigs": [{"name": "x", "length": 10_000, "offset": -1}]}, "offsets are wrong"),
        ({"contigs": [5]}, "contig 0 is not described"),
        ({"sha256": None}, "attribute sha256"),
    ],
)
def test_a_store_that_is_not_right_is_refused(folder, attributes, message):
    change_root(folder, **attributes)
    with pytest.raises(InputError, match=message):
        open_store(folder)


@pytest.mark.parametrize("name", ["bases", "reference", "depth", "intervals"])
def test_a_missing_array_is_noticed(folder, name):
    shutil.rmtree(folder / name)
    with pytest.raises(InputError, match=f"array {name}"):
        open_store(folder)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_other_folders_are_no_store(tmp_path, content):
    (tmp_path / "zarr.json").write_bytes(content)
    with pytest.raises(InputError, match="is no column store"):
        open_store(tmp_path)


def test_absent_store(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        open_store(tmp_path / "none")


def shard_files(folder, name):
    return sorted((folder / name).glob("c.*"))


def test_damaged_chunk_is_an_input_error(folder):
    shard = shard_files(folder, "bases")[0]
    data = bytearray(shard.read_bytes())
    data[:8] = b"garbage!"
    shard.write_bytes(data)
    store = open_store(folder)
    for read in (lambda: store.bases(Region("x", 0, 10_000)), store.verify):
        with pytest.raises(InputError, match="array bases of contig x cannot be read"):
            read()


@pytest.mark.parametrize("name", ["bases", "reference", "depth", "intervals"])
def test_verify_notices_a_lost_chunk(folder, name):
    open_store(folder).verify()
    shard_files(folder, name)[0].unlink()
    with pytest.raises(InputError, match=r"checksum|damaged"):
        open_store(folder).verify()


def overwrite(folder, name, change):
    import zarr

    array = zarr.open_array(folder / name, mode="r+")
    array[:] = change(array[:])


@pytest.mark.parametrize(
    "change",
    [
        lambda intervals: intervals[:, ::-1],
        lambda intervals: intervals - 10**6,
        lambda intervals: intervals + 10**9,
        lambda intervals: intervals * 0 + np.array([0, 2**62]),
    ],
)
def test_impossible_intervals_are_refused(folder, change):
    overwrite(folder, schema.INTERVALS, change)
    with pytest.raises(InputError, match="array intervals"):
        open_store(folder).covered_regions(min_species=0)


def test_a_reference_that_is_no_sequence_is_refused(folder):
    overwrite(folder, schema.REFERENCE, lambda codes: codes * 0 + 7)
    with pytest.raises(InputError, match="array reference of contig x"):
        open_store(folder).reference(Region("x", 0, 10))


@pytest.mark.parametrize("length", [-5, 0, True, 10**15])
def test_impossible_contig_lengths_are_refused(folder, length):
    root = json.loads((folder / "zarr.json").read_text())
    contigs = root["attributes"]["contigs"]
    contigs[0]["length"] = length
    change_root(folder, contigs=contigs)
    with pytest.raises(InputError, match="contig 0 is not described"):
        open_store(folder)


def test_two_contigs_of_one_name_are_refused(folder):
    entry = json.loads((folder / "zarr.json").read_text())["attributes"]["contigs"][0]
    change_root(folder, contigs=[entry, {**entry, "offset": 10_240}])
    with pytest.raises(InputError, match="two contigs have one name"):
        open_store(folder)


def test_a_number_of_intervals_that_fits_no_memory(folder):
    path = folder / "intervals" / "zarr.json"
    metadata = json.loads(path.read_text())
    metadata["shape"][0] = 1 << 45
    path.write_text(json.dumps(metadata))
    with pytest.raises(InputError, match="array intervals"):
        open_store(folder).covered_regions(min_species=0)


def test_a_pipe_for_a_shard_is_not_waited_for(folder):
    shard = shard_files(folder, "bases")[0]
    shard.unlink()
    os.mkfifo(shard)
    with pytest.raises(InputError, match="array bases"):
        open_store(folder)


def test_what_cannot_be_opened_is_no_damage(folder, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(shards, "open", fail, raising=False)
    with pytest.raises(InputError, match="cannot read array intervals: Too many open files"):
        open_store(folder)


@pytest.mark.parametrize("position", [0, 9_999])
def test_verify_notices_a_changed_value(folder, position):
    def change(bases):
        bases[position, 0] ^= 8
        return bases

    start, end = open_store(folder).intervals("x")[0].tolist()
    position = start if position == 0 else end - 1
    overwrite(folder, schema.BASES, change)
    with pytest.raises(InputError, match="checksum of array bases"):
        open_store(folder).verify(threads=2)


def test_a_store_of_version_1_may_be_replaced():
    assert "contigs" in schema.FOLDER
