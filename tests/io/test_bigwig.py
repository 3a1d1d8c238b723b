from __future__ import annotations

import random

import numpy as np
import pybigtools
import pyBigWig
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.errors import OutputError
from phylotools.io.bigwig.writer import open_bigwig

CONTIGS = {"chr1": 5000, "chr10": 300, "chr2": 1000}


def read_back(path) -> dict[str, dict[int, float]]:
    """Contig -> position -> value, from a bigWig."""
    with pyBigWig.open(str(path)) as track:
        return {
            contig: {start: value for start, _, value in track.intervals(contig) or ()}
            for contig in track.chroms()
        }


@given(
    st.dictionaries(
        st.sampled_from(sorted(CONTIGS)),
        st.dictionaries(st.integers(0, 299), st.floats(-1e6, 1e6, width=32), min_size=1),
        min_size=1,
    ),
    st.integers(1, 50),
)
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, values, batch):
    path = tmp_path_factory.mktemp("bw") / "out.bw"
    with open_bigwig(str(path), CONTIGS) as writer:
        for contig in sorted(values):
            positions = np.array(sorted(values[contig]))
            numbers = np.array([values[contig][where] for where in positions.tolist()])
            for first in range(0, len(positions), batch):
                part = slice(first, first + batch)
                writer.add(contig, positions[part], numbers[part])
    found = read_back(path)
    assert {contig: here for contig, here in found.items() if here} == values
    assert writer.n_positions == sum(map(len, values.values()))


def test_runs_and_single_positions_are_both_kept(tmp_path):
    path = tmp_path / "out.bw"
    with open_bigwig(str(path), CONTIGS) as writer:
        writer.add("chr1", np.arange(100, 200), np.arange(100.0))
        writer.add("chr1", np.arange(300, 400, 3), np.ones(34))
        writer.add("chr2", np.arange(1000), np.arange(1000) / 8)
    found = read_back(path)
    assert found["chr1"][150] == 50
    assert sorted(found["chr1"]) == [*range(100, 200), *range(300, 400, 3)]
    assert found["chr2"] == {where: where / 8 for where in range(1000)}
    with pyBigWig.open(str(path)) as track:
        assert track.header()["nLevels"] > 0
        assert list(track.chroms()) == sorted(CONTIGS)


def test_missing_values_are_left_out(tmp_path):
    path = tmp_path / "out.bw"
    with open_bigwig(str(path), CONTIGS) as writer:
        writer.add("chr1", np.arange(4), np.array([1.0, np.nan, np.inf, 2.0]))
        writer.add("chr1", np.arange(4, 6), np.array([np.nan, np.nan]))
    assert read_back(path)["chr1"] == {0: 1.0, 3: 2.0}


@pytest.mark.parametrize(
    ("contig", "positions"), [("chr1", [5, 4]), ("chr1", [4, 4]), ("chr1", [2]), ("chr1", [1])]
)
def test_disorder_is_refused(tmp_path, contig, positions):
    def write() -> None:
        with open_bigwig(str(tmp_path / "out.bw"), CONTIGS) as writer:
            writer.add("chr1", np.array([2]), np.ones(1))
            writer.add(contig, np.array(positions), np.ones(len(positions)))

    with pytest.raises(ValueError, match="order"):
        write()
    assert not list(tmp_path.iterdir())


def test_failure_leaves_nothing_and_existing_files_stay(tmp_path):
    path = tmp_path / "out.bw"
    with pytest.raises(KeyError), open_bigwig(str(path), CONTIGS) as writer:
        writer.add("nowhere", np.array([2]), np.ones(1))
    assert not list(tmp_path.iterdir())
    path.write_text("mine")
    with pytest.raises(OutputError, match="--force"), open_bigwig(str(path), CONTIGS):
        pass
    assert path.read_text() == "mine"
    with open_bigwig(str(path), CONTIGS, force=True) as writer:
        writer.add("chr1", np.array([2]), np.ones(1))
    assert read_back(path)["chr1"] == {2: 1.0}
    with (
        pytest.raises(OutputError, match="does not exist"),
        open_bigwig(str(tmp_path / "none/out.bw"), CONTIGS),
    ):
        pass


def test_a_full_disk_leaves_nothing(tmp_path, file_size_limit):
    def write() -> None:
        with open_bigwig(str(tmp_path / "out.bw"), {"c": 200_000}) as writer:
            writer.add("c", np.arange(100_000), np.random.default_rng(1).normal(size=100_000))

    with file_size_limit(50_000), pytest.raises(OutputError, match="cannot write: File too large"):
        write()
    assert not list(tmp_path.iterdir())
    write()
    assert len(read_back(tmp_path / "out.bw")["c"]) == 100_000


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.sets(st.integers(0, 70_000), min_size=1, max_size=60),
        min_size=1,
    ),
    st.integers(0, 60_000),
    st.integers(0, 9_000),
    st.integers(1, 20_000),
    st.integers(0, 99),
)
@settings(max_examples=15, deadline=None)
def test_summaries_are_those_of_the_values(tmp_path_factory, single, start, length, batch, seed):
    """What two other readers find: every value, the zoom levels, the total."""
    path = str(tmp_path_factory.mktemp("bw") / "out.bw")
    single["b"] = single.get("b", set()) | set(range(start, start + length))
    chance = random.Random(seed)
    contigs = {"a": 70_001, "b": 70_001, "c": 70_001}
    wanted = {c: {at: float(np.float32(chance.gauss(0, 3))) for at in sorted(places)}
              for c, places in sorted(single.items()) if places}  # fmt: skip
    with open_bigwig(path, contigs) as writer:
        for contig, values in wanted.items():
            positions, numbers = np.array(list(values)), np.array(list(values.values()))
            for first in range(0, len(positions), batch):
                part = slice(first, first + batch)
                writer.add(contig, positions[part], numbers[part])
    assert {c: here for c, here in read_back(path).items() if here} == wanted
    everything = [value for values in wanted.values() for value in values.values()]
    with pybigtools.open(path) as track:
        total = track.info()["summary"]
        assert total["basesCovered"] == len(everything)
        assert total["sum"] == pytest.approx(sum(everything), abs=1e-3)
        assert total["min"] == pytest.approx(min(everything))
        assert total["max"] == pytest.approx(max(everything))
        levels = track.info()["zoomLevels"]
        assert levels >= 1
        for width in [32 * 4**level for level in range(10)]:
            try:
                track.zoom_records(width, "b")
            except KeyError:
                continue
            levels -= 1
            for contig, values in wanted.items():
                summaries = list(track.zoom_records(width, contig))
                assert sum(cell[2]["bases_covered"] for cell in summaries) == len(values)
                for begin, end, cell in summaries:
                    inside = [value for at, value in values.items() if begin <= at < end]
                    assert begin // width == (end - 1) // width
                    assert cell["bases_covered"] == len(inside)
                    assert cell["sum"] == pytest.approx(sum(inside), rel=1e-4, abs=1e-3)
                    assert cell["min_val"] == pytest.approx(min(inside))
                    assert cell["max_val"] == pytest.approx(max(inside))
        assert levels == 0
    with pyBigWig.open(path) as track:
        for contig, values in wanted.items():
            (mean,) = track.stats(contig, 0, 70_001, exact=True)
            assert mean == pytest.approx(np.mean(list(values.values())), abs=1e-3)


@pytest.mark.parametrize("n_contigs", [1, 2, 256, 257, 70_000])
def test_many_contigs(tmp_path, n_contigs):
    path = tmp_path / "out.bw"
    contigs = {f"c{number:05d}é": 10 + number % 3 for number in range(n_contigs)}
    with open_bigwig(str(path), contigs) as writer:
        for contig in list(contigs)[:: max(1, n_contigs // 600)]:
            writer.add(contig, np.array([3, 4]), np.array([1.0, int(contig[1:6])]))
    with pyBigWig.open(str(path)) as track:
        assert track.chroms() == contigs
        for contig in list(contigs)[:: max(1, n_contigs // 600)]:
            assert track.values(contig, 3, 5) == [1, int(contig[1:6])]
    with pybigtools.open(str(path)) as other:
        assert other.chroms() == contigs
        last = list(contigs)[:: max(1, n_contigs // 600)][-1]
        assert list(other.records(last)) == [(3, 4, 1.0), (4, 5, float(last[1:6]))]


def test_a_track_without_values_can_be_opened(tmp_path):
    path = tmp_path / "out.bw"
    with open_bigwig(str(path), CONTIGS):
        pass
    assert not any(read_back(path).values())
    with pybigtools.open(str(path)) as track:
        assert list(track.records("chr1")) == []


def test_contigs_beyond_the_format_are_refused(tmp_path):
    with (
        pytest.raises(OutputError, match="contig long has 4294967296 bases"),
        open_bigwig(str(tmp_path / "out.bw"), {"long": 1 << 32}),
    ):
        pass
    path = tmp_path / "out.bw"
    with open_bigwig(str(path), {"long": (1 << 32) - 1}) as writer:
        writer.add("long", np.array([(1 << 32) - 2]), np.ones(1))
    # pyBigWig gives positions from 2^31 on as negative ones.
    with pybigtools.open(str(path)) as track:
        assert list(track.records("long")) == [((1 << 32) - 2, (1 << 32) - 1, 1.0)]


def test_huge_values_have_finite_summaries(tmp_path):
    path = tmp_path / "out.bw"
    with open_bigwig(str(path), CONTIGS) as writer:
        writer.add("chr1", np.arange(5000), np.full(5000, 3e38))
    with pybigtools.open(str(path)) as track:
        assert [cell[2]["sum_squares"] < np.inf for cell in track.zoom_records(2048, "chr1")]
