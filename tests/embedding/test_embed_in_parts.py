"""Vectors in parts: the same as in one go, whatever the cut, and after a kill."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import held, wait_until

from phylotools.cli.main import run
from phylotools.embedding.cutting import Span, cut_on_tiles, in_genome_order, n_tiles_of
from phylotools.embedding.regions import RegionRows
from phylotools.embedding.sweep import row_starts
from phylotools.io.vector_reading import read_vectors

pytestmark = pytest.mark.usefixtures("one_thread")

BED = """chrM\t9000\t9900\tCOX3\t0\t+
MT_unplaced\t1\t2
chrM\t3306\t4262\tND1\t0\t+
chrM\t14148\t14673\tND6\t0\t-
chrM\t3306\t4262\tagain\t0\t-
chrM\t0\t1
chrM\t16568\t16569\tlast
chrM\t100\t4000\tlong\t0\t-
"""
PYTHON = [sys.executable, "-m", "phylotools"]


def keep(emitted: list, rows: np.ndarray, values: np.ndarray) -> None:
    emitted.append((rows, values))


class SmallGenome:
    path, contigs = "small.fa", {"b": 60, "a": 100}


REGIONS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 50), st.integers(1, 10), st.sampled_from("+-")),
    min_size=1,
    max_size=12,
)


@given(REGIONS, st.integers(1, 16), st.integers(1, 4), st.sampled_from(["mean", "none"]),
       st.sampled_from(["forward", "bed"]))  # fmt: skip
@settings(max_examples=120, deadline=None)
def test_every_row_is_in_one_part_and_few_tiles_in_two(regions, tile, n_tiles, pool, strand):
    rows = RegionRows()
    for contig, start, length, sign in regions:
        rows.append(contig, start, start + length, strand=sign)
    table, genome = rows.table(SmallGenome), SmallGenome  # type: ignore[arg-type]
    longest = tile * n_tiles
    ordered = in_genome_order(table, genome, pool=pool, strand=strand, longest=longest)
    spans = cut_on_tiles(ordered, tile, n_tiles)
    bounds = [0, *(span.last for span in spans)]
    assert [span.first for span in spans] == bounds[:-1]
    assert bounds[-1] == len(ordered)
    found: dict[int, tuple[str, int]] = {}
    touched = []
    for span in spans:
        part = ordered.part(span)
        emitted: list[tuple[np.ndarray, np.ndarray]] = []
        emit = part.emitting(functools.partial(keep, emitted), pool)
        own = part.table
        starts = row_starts(own, pool)
        for index in range(len(own)):
            contig, begin = own.contigs[own.contig[index]], int(own.start[index])
            places = np.arange(begin, int(own.end[index]))
            if pool == "none" and strand == "bed" and own.strand[index] == ord("-"):
                places = places[::-1]
            chosen = np.arange(starts[index], starts[index + 1])
            emit(chosen, places[: len(chosen)])
            for row, place in zip(*map(np.ndarray.tolist, emitted.pop()), strict=True):
                assert row not in found
                found[row] = (contig, place)
        tiles = {
            (own.contigs[k], at)
            for k, low, high in zip(own.contig, own.start, own.end, strict=True)
            for at in range(int(low) // tile, (int(high) - 1) // tile + 1)
        }
        assert n_tiles_of(part, tile) == len(tiles)
        longest_region = max((own.end - 1) // tile - own.start // tile) + 1
        assert len(tiles) <= max(2 * n_tiles, int(longest_region))
        touched.append(tiles)
    expected = {}
    first = row_starts(table, pool)
    for index, (contig, start, length, sign) in enumerate(regions):
        places = list(range(start, start + length))
        if pool == "none" and strand == "bed" and sign == "-":
            places.reverse()
        for row in range(int(first[index]), int(first[index + 1])):
            expected[row] = (contig, places[row - int(first[index])])
    assert found == expected
    # Where a cut was free to be made, no tile is computed twice.
    if pool == "none":
        assert sum(map(len, touched)) <= len(set().union(*touched)) + len(spans) * n_tiles


@pytest.fixture
def bed(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "r.bed"
    path.write_text(BED)
    return path


def same_vectors(one: str, other: str) -> None:
    """Compare two npz files but for the command in their metadata."""
    with np.load(one) as a, np.load(other) as b:
        assert set(a) == set(b)
        for name in set(a) - {"metadata"}:
            assert a[name].tobytes() == b[name].tobytes(), name
        told = [json.loads(str(found["metadata"])) for found in (a, b)]
        assert {key for key in told[0] if told[0][key] != told[1][key]} <= {"command"}


@pytest.mark.parametrize(
    "chosen",
    [["--strand", "bed", "--pool", "none"], ["--pool", "max", "--strand", "invariant"],
     ["--context-pooling", "--layer", "1"]],
    ids=["bases", "largest", "context"],
)  # fmt: skip
def test_the_same_whatever_the_cut(bed, chosen):
    options = ["r.bed", "--on-outside", "skip", *chosen, "-q"]
    table = ["--dtype", "float16", "--pca", "{}.bed.gz", "--components", "4",
             "--summary-json", "{}.json", "-o", "{}.npz"]  # fmt: skip
    assert run(["embed", *options, *(text.format("whole") for text in table)]) == 0
    assert run(["embed-init", *options, "--work", "w", "--partition-size", "1500"]) == 0
    extents = json.loads(Path("w/plan.json").read_text())["extents"]
    assert len(extents) > 3
    for index in reversed(range(len(extents))):
        assert run(["embed-partition", "w", str(index), "-q"]) == 0
    assert run(["embed-finalise", "w", "-q", *(text.format("parts") for text in table)]) == 0
    same_vectors("whole.npz", "parts.npz")
    for name in ("bed.gz", "bed.gz.tbi"):
        assert Path(f"whole.{name}").read_bytes() == Path(f"parts.{name}").read_bytes()
    told = [json.loads(Path(f"{name}.json").read_text()) for name in ("whole", "parts")]
    differing = {key for key in told[0] if told[0][key] != told[1][key]}
    named = {"verb", "input", "output", "outputs", "components", "seconds", "warnings"}
    # A long region shares tiles with others, and context is read around each part.
    assert differing <= named | (set() if "none" in chosen else {"tiles_computed", "counts"})


def test_every_format_and_what_is_refused(bed, capsys):
    assert run(["embed-init", "-r", "chrM:1-3000", "-r", "MT:16000", "--pool", "none", "--work",
                "w", "--partition-size", "1024", "-q"]) == 0  # fmt: skip
    n = int(capsys.readouterr().out)
    assert n == 4
    assert run(["embed-partition", "w", *map(str, range(1, n)), "-q"]) == 0
    assert run(["embed-finalise", "w", "-o", "v.npz"]) == 1
    assert "1 of 4 partitions are missing: 0; run" in capsys.readouterr().err
    assert run(["embed-partition", "w", "0", "-q"]) == 0
    whole = ["embed", "-r", "chrM:1-3000", "-r", "MT:16000", "--pool", "none", "-o", "whole.npz"]
    assert run([*whole, "-q"]) == 0
    other = read_vectors("whole.npz").rows
    for name in ("v.npz", "v.parquet", "v.zarr", "v.tsv.gz"):
        assert run(["embed-finalise", "w", "-o", name, "-q"]) == 0
        one = read_vectors(name).rows
        assert one.name == other.name
        assert one.start.tobytes() == other.start.tobytes()
        if name != "v.tsv.gz":
            assert one.vector.tobytes() == other.vector.tobytes()
        else:
            np.testing.assert_allclose(one.vector, other.vector, rtol=1e-5)
    assert run(["embed-init", "-", "--work", "w2"]) == 2
    assert "every part reads the BED: give a file, not a stream" in capsys.readouterr().err
    assert run(["embed", "r.bed", "--on", "local:2", "-o", "-", "--format", "tsv"]) == 2
    assert "name a file with -o" in capsys.readouterr().err
    assert not Path("w2").exists()
    assert run(["embed-init", "r.bed", "--on-outside", "skip", "--work", "w3", "-q"]) == 0
    bed.write_text(BED + "chrM\t1\t2\n")
    capsys.readouterr()
    assert run(["embed-partition", "w3", "0"]) == 1
    assert "r.bed: has changed since the plan was made" in capsys.readouterr().err


def test_killed_and_gone_on_with_through_the_shell(bed):
    bed.write_text("chrM\t0\t16569\tall\n" * 2 + "chrM\t30\t2000\tsome\t0\t-\n")
    options = ["embed", "r.bed", "--pool", "none", "--strand", "bed", "--pca", "{}.bed.gz"]
    table = ["-o", "{}.npz", "-q"]
    command = [text.format("parts") for text in [*options, *table, "--on", "local:2"]]
    pieces = Path("parts.npz.work/pieces")
    with subprocess.Popen(
        [*held("parts.npz", "parts.bed.gz"), *command], stderr=subprocess.DEVNULL
    ) as process:
        wait_until(lambda: list(pieces.glob("[0-9]*")), process, 0.002)
        process.kill()
        assert process.wait() == -9
    assert not Path("parts.npz").exists()
    assert pieces.is_dir()
    done = subprocess.run([*PYTHON, *command], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    assert run([text.format("whole") for text in [*options, *table]]) == 0
    same_vectors("whole.npz", "parts.npz")
    assert Path("whole.bed.gz").read_bytes() == Path("parts.bed.gz").read_bytes()
    names = {path.name for path in Path().iterdir()}
    assert names == {"r.bed", *(f"{n}.{e}" for n in ("whole", "parts") for e in
                                ("npz", "bed.gz", "bed.gz.tbi"))}  # fmt: skip


def test_names_of_contigs_are_found_once(bed):
    """The table of aliases is the init's: partitions do not have it."""
    bed.write_text("mito\t100\t160\tx\n")
    Path("alias.txt").write_text("chrM\tmito\n")
    init = ["embed-init", "r.bed", "-m", "mammals671-mtdna", "--contig-aliases", "alias.txt"]
    assert run([*init, "--work", "w", "-q"]) == 0
    assert run(["embed-partition", "w", "0", "-q"]) == 0
    assert run(["embed-finalise", "w", "-o", "v.npz", "-q"]) == 0
    assert run(["embed", "-r", "chrM:101-160", "-o", "named.npz", "-q"]) == 0
    one, other = (read_vectors(name).rows for name in ("v.npz", "named.npz"))
    assert list(one.contig) == ["mito"]
    assert one.vector.tobytes() == other.vector.tobytes()


def test_a_span_is_some_of_the_regions():
    rows = RegionRows()
    for start in (50, 10, 30):
        rows.append("a", start, start + 5)
    ordered = in_genome_order(
        rows.table(SmallGenome),  # type: ignore[arg-type]
        SmallGenome,  # type: ignore[arg-type]
        pool="mean",
        strand="forward",
        longest=99,
    )
    part = ordered.part(Span(1, 3))
    assert part.table.start.tolist() == [30, 50]
    assert part.row.tolist() == [2, 0]
