from __future__ import annotations

import numpy as np
import pyBigWig
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.errors import OutputError
from phylotools.io.signal import BigWigWriter, open_bigwig

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


def test_an_unfinished_file_is_an_error(tmp_path, monkeypatch):
    """libBigWig does not say when the end of a file could not be written."""
    check = BigWigWriter.check

    def check_cut(writer) -> None:
        data = writer._temporary.read_bytes()
        writer._temporary.write_bytes(data[:-4])
        check(writer)

    monkeypatch.setattr(BigWigWriter, "check", check_cut)
    path = tmp_path / "out.bw"
    with pytest.raises(OutputError, match="full"), open_bigwig(str(path), CONTIGS) as writer:
        writer.add("chr1", np.array([2]), np.ones(1))
    assert not list(tmp_path.iterdir())


def test_a_nearly_full_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("phylotools.io.signal._LEAST_FREE", 1 << 80)
    with (
        pytest.raises(OutputError, match="nearly full"),
        open_bigwig(str(tmp_path / "out.bw"), CONTIGS) as writer,
    ):
        writer.add("chr1", np.array([2]), np.ones(1))
    assert not list(tmp_path.iterdir())
