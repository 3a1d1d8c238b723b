"""Our reader of bigWigs against what was written, against another reader, and on damaged files."""

from __future__ import annotations

import os
import random
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pyBigWig
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.io.bigwig.reader import BigWigReader
from phylotools.io.bigwig.writer import open_bigwig

CONTIGS = {"chr1": 5000, "chr10": 300, "chr2": 1000}


@given(
    st.dictionaries(
        st.sampled_from(sorted(CONTIGS)),
        st.dictionaries(st.integers(0, 299), st.floats(-1e6, 1e6, width=32), min_size=1),
    ),
    st.sets(st.integers(0, 5100)),
)
@settings(max_examples=50, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, values, wanted):
    path = tmp_path_factory.mktemp("bw") / "out.bw"
    with open_bigwig(str(path), CONTIGS) as writer:
        for contig in sorted(values):
            positions = sorted(values[contig])
            numbers = np.array([values[contig][where] for where in positions])
            writer.add(contig, np.array(positions), numbers)
    with BigWigReader(path) as reader:
        assert reader.contigs == CONTIGS
        for contig in CONTIGS:
            for positions in (sorted(wanted), list(range(300))):
                found = reader.values(contig, np.array(positions, dtype=np.int64))
                here = values.get(contig, {})
                expected = [here.get(where, np.nan) for where in positions]
                np.testing.assert_array_equal(found, np.array(expected, dtype=np.float32))


def test_many_contigs_and_blocks(tmp_path):
    contigs = {f"scaffold{number:05d}": 40 for number in range(2000)} | {"x": 3_000_000}
    chance = np.random.default_rng(1)
    many = chance.normal(size=1_500_000)
    path = tmp_path / "out.bw"
    with open_bigwig(str(path), contigs) as writer:
        for number, contig in enumerate(list(contigs)[:-1]):
            writer.add(contig, np.array([3, number % 30 + 5]), np.array([number, -1.0]))
        writer.add("x", np.arange(0, 3_000_000, 2), many)
    with BigWigReader(path) as reader:
        assert reader.contigs == contigs
        for number in (0, 255, 256, 1999):
            found = reader.values(f"scaffold{number:05d}", np.arange(40))
            assert found[3] == number
            assert np.flatnonzero(np.isfinite(found)).tolist() == [3, number % 30 + 5]
        wanted = np.unique(chance.integers(0, 3_000_000, 5000))
        odd = wanted % 2 == 1
        found = reader.values("x", wanted)
        assert np.isnan(found[odd]).all()
        np.testing.assert_array_equal(found[~odd], many[wanted[~odd] // 2].astype(np.float32))
        assert len(reader.values("x", np.array([], dtype=np.int64))) == 0


def others_file(path: Path) -> None:
    """All three kinds of blocks, as another library writes them."""
    chance = np.random.default_rng(3)
    with pyBigWig.open(str(path), "w") as track:
        track.addHeader([("a", 200_000), ("b", 50_000), ("c", 50_000)])
        starts = np.cumsum(chance.integers(5, 20, 9000))
        ends = starts + chance.integers(1, 6, 9000)
        values = chance.normal(size=9000)
        track.addEntries(["a"] * 9000, starts.tolist(), ends.tolist(), values.tolist())
        track.addEntries(
            "b", np.arange(7, 40_000, 11).tolist(), values=chance.normal(size=3636).tolist(), span=4
        )
        track.addEntries("c", 100, values=chance.normal(size=7000).tolist(), span=3, step=5)


def test_files_of_others(tmp_path):
    path = tmp_path / "other.bw"
    others_file(path)
    with BigWigReader(path) as reader, pyBigWig.open(str(path)) as other:
        assert reader.contigs == other.chroms()
        for contig, length in reader.contigs.items():
            expected = np.array(other.values(contig, 0, length), dtype=np.float32)
            assert 1000 < np.isfinite(expected).sum() < length
            np.testing.assert_array_equal(reader.values(contig, np.arange(length)), expected)
            some = np.unique(np.random.default_rng(4).integers(0, length, 300))
            np.testing.assert_array_equal(reader.values(contig, some), expected[some])


def read_all(path: Path) -> None:
    with BigWigReader(path) as reader:
        for contig in list(reader.contigs)[:5]:
            reader.values(contig, np.arange(0, 200_000, 3))


@pytest.mark.parametrize("seed", range(6))
def test_damaged_files_are_read_or_refused(tmp_path, seed):
    """Never another error, much memory or a hang: the libraries that read bigWigs die of these."""
    path = tmp_path / "in.bw"
    if seed % 2:
        others_file(path)
    else:
        with open_bigwig(str(path), CONTIGS) as writer:
            writer.add("chr1", np.arange(4000), np.arange(4000) / 7)
            writer.add("chr2", np.arange(0, 1000, 9), np.ones(112))
    whole = path.read_bytes()
    chance = random.Random(seed)
    index_at = struct.unpack_from("<Q", whole, 24)[0]
    n_refused = 0
    start = time.monotonic()
    for _ in range(150):
        data = bytearray(whole)
        if chance.random() < 0.2:
            del data[chance.randrange(len(data)) :]
        else:
            for _ in range(chance.choice([1, 1, 3, 20])):
                where = chance.choice(
                    [
                        chance.randrange(400),
                        chance.randrange(len(data)),
                        index_at + chance.randrange(len(data) - index_at),
                    ]
                )
                data[where] = chance.choice([0, 255, chance.randrange(256)])
        (tmp_path / "damaged.bw").write_bytes(data)
        try:
            read_all(tmp_path / "damaged.bw")
        except InputError as error:
            n_refused += 1
            assert str(error).startswith(f"{tmp_path}/damaged.bw: ")  # noqa: PT017
    assert n_refused > 30
    assert time.monotonic() - start < 600


def test_what_is_no_bigwig(tmp_path):
    path = tmp_path / "in.bw"
    for data, problem in (
        (b"", "is no bigWig"),
        (b"##fileformat=VCFv4.2\n" * 9, "is no bigWig"),
        (b"\x88\x8f\xfc\x26" + bytes(100), "of the other byte order"),
        (b"\x26\xfc\x8f\x88", "is a truncated bigWig"),
        (b"\x26\xfc\x8f\x88" + bytes(100), "is damaged or truncated"),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=problem):
            BigWigReader(path)
    with pytest.raises(InputError, match="cannot read: No such file"):
        BigWigReader(tmp_path / "none.bw")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(InputError, match="is no regular file"):
            BigWigReader(tmp_path / name)


def test_a_block_that_swells_is_refused(tmp_path):
    """The header may promise small blocks that inflate without end."""
    path = tmp_path / "in.bw"
    with open_bigwig(str(path), {"c": 10}) as writer:
        writer.add("c", np.arange(10), np.arange(10.0))
    data = bytearray(path.read_bytes())
    index_at = struct.unpack_from("<Q", data, 24)[0]
    bomb = zlib.compress(bytes(50_000_000))
    struct.pack_into("<QQ", data, index_at + 48 + 4 + 16, len(data), len(bomb))
    path.write_bytes(bytes(data) + bomb)
    with BigWigReader(path) as reader, pytest.raises(InputError, match="is damaged"):
        reader.values("c", np.arange(10))
