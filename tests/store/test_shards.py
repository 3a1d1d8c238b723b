"""What is written is what zarr-python writes; what zarr-python writes is read."""

from __future__ import annotations

import dataclasses
import json
import pickle
import struct
from concurrent.futures import ThreadPoolExecutor

import google_crc32c
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import TransposeCodec, ZstdCodec

from phylotools.store import schema
from phylotools.store.chunks import DamagedError, columns_of, encode_values
from phylotools.store.opening import read_layout
from phylotools.store.schema import ArrayLayout
from phylotools.store.shards import ShardReader, ShardWriter, ValueWriter

C = schema.CHUNK_LENGTH
BASES = dataclasses.replace(schema.bases_layout(11 * C, 13), shard_length=4 * C)
SMALL_LINES = ArrayLayout("depth", 1000, (), "uint16", 0, 64, 256)
LAYOUTS = [
    BASES,
    schema.bases_layout(3 * C, 1),
    schema.line_layout(schema.REFERENCE, 5 * C),
    schema.line_layout(schema.DEPTH, 40 * C),
    schema.line_layout(schema.WEIGHT, C),
    schema.intervals_layout(20_000),
    schema.intervals_layout(0),
]


def zarr_array(folder, layout):
    """The array as zarr-python makes it."""
    return zarr.create_group(folder, overwrite=True).create_array(
        layout.name,
        shape=(layout.length, *layout.row),
        dtype=layout.dtype,
        chunks=(layout.chunk_length, *layout.row),
        shards=(layout.shard_length, *layout.row),
        filters=[TransposeCodec(order=(1, 0))] if layout.is_transposed else None,
        compressors=ZstdCodec(level=schema.ZSTD_LEVEL, checksum=True),
        fill_value=layout.fill_value,
        chunk_key_encoding={"name": "default", "separator": "."},
    )


def random_values(layout, seed=1):
    """Values of which some chunks are missing."""
    rng = np.random.default_rng(seed)
    shape = (layout.length, *layout.row)
    values = np.full(shape, layout.fill_value, dtype=layout.dtype)
    for start in range(0, layout.length, layout.chunk_length):
        if rng.random() < 0.6:
            part = values[start : start + layout.chunk_length]
            part[...] = rng.integers(0, 200, part.shape)
    return values


def write(folder, layout, values):
    if not layout.is_transposed:
        with ValueWriter(folder, layout) as writer:
            writer.put(0, values)
        return
    with ShardWriter(folder, layout) as writer:
        for chunk in range(layout.length // C):
            part = values[chunk * C : (chunk + 1) * C]
            if (part != layout.fill_value).any():
                writer.append(chunk, encode_values(np.ascontiguousarray(part.T)))


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.name}-{layout.length}")
def test_same_as_zarr(tmp_path, layout):
    values = random_values(layout)
    (tmp_path / "ours").mkdir()
    write(tmp_path / "ours", layout, values)
    theirs = zarr_array(tmp_path / "zarr", layout)
    if layout.length:
        theirs[:] = values
    # Their metadata, their values of our files, and ours of theirs.
    ours, made = (tmp_path / name / layout.name for name in ("ours", "zarr"))
    assert json.loads((ours / "zarr.json").read_text()) == json.loads(
        (made / "zarr.json").read_text()
    )
    np.testing.assert_array_equal(zarr.open_array(ours, mode="r")[:], values)
    found = read_layout(tmp_path / "zarr", dataclasses.replace(layout, shard_length=1))
    assert found == layout
    for folder in (tmp_path / "ours", tmp_path / "zarr"):
        np.testing.assert_array_equal(ShardReader(folder, layout).read(0, layout.length), values)
    # A file whose chunks are all absent is not there.
    assert {p.name for p in ours.iterdir()} == {p.name for p in made.iterdir()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with `bases` and `depth`, and their values."""
    folder = tmp_path_factory.mktemp("store")
    values = {layout.name: random_values(layout, 4) for layout in (BASES, SMALL_LINES)}
    for layout in (BASES, SMALL_LINES):
        write(folder, layout, values[layout.name])
    return folder, values


@settings(deadline=None)
@given(st.data())
def test_any_slice(written, data):
    folder, values = written
    layout = data.draw(st.sampled_from([BASES, SMALL_LINES]))
    start = data.draw(st.integers(0, layout.length))
    end = data.draw(st.integers(start, layout.length))
    threads = data.draw(st.integers(1, 3))
    found = ShardReader(folder, layout).read(start, end, threads=threads)
    np.testing.assert_array_equal(found, values[layout.name][start:end])
    assert found.dtype == values[layout.name].dtype


@pytest.mark.parametrize("n_species", [1, 7, 8, 9, 64, 131])
def test_columns_of_a_chunk(n_species):
    chunk = np.random.default_rng(1).integers(0, 256, (n_species, C)).astype(np.uint8)
    for start, end in [(0, C), (0, 0), (3, 4), (7, 9), (5, 300), (127, 129), (C - 1, C)]:
        out = np.empty((end - start, n_species), dtype=np.uint8)
        columns_of(chunk, start, out)
        np.testing.assert_array_equal(out, chunk.T[start:end])


def test_many_threads_with_few_open_files(written, monkeypatch):
    from phylotools.store import shards

    monkeypatch.setattr(shards, "_OPEN_SHARDS", 1)
    folder, values = written
    reader = ShardReader(folder, BASES)
    starts = np.random.default_rng(2).integers(0, BASES.length - 700, 300).tolist()
    with ThreadPoolExecutor(8) as pool:
        for start, found in zip(
            starts, pool.map(lambda s: reader.read(s, s + 700), starts), strict=True
        ):
            np.testing.assert_array_equal(found, values["bases"][start : start + 700])


def test_files_are_closed(written):
    import os

    folder, _ = written
    before = len(os.listdir("/proc/self/fd"))
    reader = ShardReader(folder, BASES)
    reader.read(0, BASES.length)
    assert len(os.listdir("/proc/self/fd")) > before
    del reader
    assert len(os.listdir("/proc/self/fd")) == before


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 150)), max_size=8))
@settings(deadline=None)
def test_values_put_with_holes(tmp_path_factory, pieces):
    folder = tmp_path_factory.mktemp("store")
    expected = np.zeros(2000, dtype=np.uint16)
    reached = 0
    with ValueWriter(folder, dataclasses.replace(SMALL_LINES, length=2000)) as writer:
        for hole, size in pieces:
            reached += hole
            expected[reached : reached + size] = np.arange(size) + reached
            writer.put(reached, expected[reached : reached + size])
            reached += size
    layout = read_layout(folder, dataclasses.replace(SMALL_LINES, length=-1))
    np.testing.assert_array_equal(ShardReader(folder, layout).read(0, 2000), expected)


def damaged_index(change):
    """A shard file with a changed index and the checksum that fits it."""

    def damage(data):
        index = np.frombuffer(data[-68:-4], dtype="<u8").reshape(4, 2).copy()
        change(index, len(data))
        text = index.tobytes()
        return data[:-68] + text + struct.pack("<I", google_crc32c.value(text))

    return damage


def set_entry(column, value):
    def change(index, size):
        index[0, column] = value(size)

    return damaged_index(change)


DAMAGES = {
    "empty": lambda data: b"",
    "cut": lambda data: data[:-1],
    "only an index": lambda data: data[-68:],
    "short": lambda data: data[:30],
    "checksum": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "index": lambda data: data[:-68] + bytes([data[-68] ^ 1]) + data[-67:],
    "text": lambda data: b"\0" * 100 + data[100:],
    "offset beyond": set_entry(0, lambda size: size),
    "offset wraps": set_entry(0, lambda size: 2**64 - 16),
    "size beyond": set_entry(1, lambda size: size),
    "size wraps": set_entry(1, lambda size: 2**64 - 2),
    "half absent": set_entry(0, lambda size: 2**64 - 1),
    "size of nothing": set_entry(1, lambda size: 0),
    "size too small": set_entry(1, lambda size: 100),
    "in the index": set_entry(0, lambda size: size - 80),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_files(tmp_path, damage):
    layout = dataclasses.replace(BASES, length=4 * C)
    values = np.random.default_rng(1).integers(0, 6, (4 * C, 13)).astype(np.uint8)
    write(tmp_path, layout, values)
    path = tmp_path / layout.shard_file(0)
    ShardReader(tmp_path, layout).read(0, 10)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedError):
        ShardReader(tmp_path, layout).read(0, 10)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255), st.booleans())
def test_any_changed_byte_is_noticed(tmp_path_factory, place, difference, is_bases):
    folder = tmp_path_factory.mktemp("store")
    layout = dataclasses.replace(BASES, length=3 * C) if is_bases else SMALL_LINES
    values = np.random.default_rng(1).integers(0, 6, (layout.length, *layout.row))
    values = values.astype(layout.dtype)
    write(folder, layout, values)
    path = folder / layout.shard_file(0)
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= difference
    path.write_bytes(data)
    try:
        found = ShardReader(folder, layout).read(0, layout.length)
    except DamagedError:
        return
    np.testing.assert_array_equal(found, values)  # a bit of a frame that decides nothing


def test_entries_are_not_read_from_elsewhere(tmp_path):
    """Another chunk of the same file, by a changed index, is what only `verify` can notice."""
    layout = dataclasses.replace(BASES, length=4 * C)
    values = np.random.default_rng(1).integers(0, 6, (4 * C, 13)).astype(np.uint8)
    write(tmp_path, layout, values)
    path = tmp_path / layout.shard_file(0)

    def swap(index, size):
        index[[0, 1]] = index[[1, 0]]

    path.write_bytes(damaged_index(swap)(path.read_bytes()))
    np.testing.assert_array_equal(ShardReader(tmp_path, layout).read(0, C), values[C : 2 * C])


def changed(keys, value):
    def change(metadata):
        for key in keys[:-1]:
            metadata = metadata[key]
        if value is None:
            del metadata[keys[-1]]
        else:
            metadata[keys[-1]] = value

    return change


INNER = ("codecs", 0, "configuration")
WRONG_METADATA = [
    changed(("shape",), [11 * C, 12]),
    changed(("shape",), None),
    changed(("shape",), 7),
    changed(("data_type",), "int8"),
    changed(("fill_value",), 0),
    changed(("zarr_format",), 2),
    changed(("node_type",), "group"),
    changed(("codecs",), []),
    changed(("codecs",), ["bytes"]),
    changed(("codecs", 0, "name"), "bytes"),
    changed((*INNER, "codecs"), [{"name": "bytes"}]),
    changed((*INNER, "codecs", 0, "configuration", "order"), [0, 1]),
    changed((*INNER, "codecs", 2, "name"), "gzip"),
    changed((*INNER, "chunk_shape"), [C, 12]),
    changed((*INNER, "index_location"), "start"),
    changed((*INNER, "index_codecs"), []),
    changed(("chunk_key_encoding", "configuration", "separator"), "/"),
    changed(("chunk_grid", "configuration", "chunk_shape"), [4 * C, 12]),
    changed(("chunk_grid", "configuration", "chunk_shape"), [4 * C + 1, 13]),
    changed(("chunk_grid", "configuration", "chunk_shape"), [0, 13]),
    changed(("chunk_grid", "configuration", "chunk_shape"), [-C, 13]),
    changed(("chunk_grid", "configuration", "chunk_shape"), ["a", 13]),
    changed(("chunk_grid", "configuration", "chunk_shape"), [C << 30, 13]),
    changed(("chunk_grid",), []),
]


@pytest.mark.parametrize("change", WRONG_METADATA)
def test_other_metadata_is_not_read(change):
    metadata = BASES.metadata()
    change(metadata)
    assert read_from(metadata) is None


def test_how_hard_chunks_are_compressed_does_not_matter():
    metadata = BASES.metadata()
    metadata["codecs"][0]["configuration"]["codecs"][2]["configuration"]["level"] = 9
    assert read_from(metadata) == BASES


def read_from(metadata):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bases").mkdir()
        (folder / "bases" / "zarr.json").write_text(json.dumps(metadata))
        return read_layout(folder, BASES)


@pytest.mark.parametrize("n_species", [1, 2, 4, 53, 447, 671, 10_000, 65_535])
@pytest.mark.parametrize("length", [0, C, 100 * C, 1 << 31, schema.MOST_POSITIONS])
def test_sizes_of_shards(n_species, length):
    layout = schema.bases_layout(length, n_species)
    assert layout.shard_length % C == 0
    assert layout.shard_length & (layout.shard_length - 1) == 0
    assert layout.chunks_per_shard <= schema.MOST_CHUNKS_PER_SHARD
    assert layout.shard_length <= max(C, 2 * length)
    raw = layout.shard_length * n_species
    assert raw <= 1.5 * schema.SHARD_BYTES
    if length >= schema.MOST_POSITIONS:
        assert raw >= 0.7 * schema.SHARD_BYTES


def test_a_genome_is_few_files():
    for layout in (
        schema.line_layout(schema.REFERENCE, 3_100_000_000),
        schema.line_layout(schema.DEPTH, 3_100_000_000),
    ):
        assert 50 < layout.length / layout.shard_length < 500


def test_layouts_are_plain_data():
    assert pickle.loads(pickle.dumps(BASES)) == BASES
