"""Killed anywhere, cut anyhow, packed anyway: one alignment gives one store, byte for byte."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from maf_projection import assert_store_equals, star_tree, store_of, unpacked
from slow_projection import bgzip, blocks_by_lines, project
from waiting import held, wait_until

from phylotools.cli.main import run
from phylotools.errors import OutputError
from phylotools.preprocess import stages
from phylotools.store.read import open_store

DATA = Path(__file__).parents[1] / "data"
REAL = DATA / "real_alignments"
BIRDS_TREE = DATA / "birds53" / "53birds.nh"

#: Builds a store, says when it begins, and takes its partitions small.
BUILD = """
import sys
from phylotools.jobs.stages import Resources
from phylotools.preprocess.stages import build_store
print("go", flush=True)
build_store([sys.argv[1]], sys.argv[2], sys.argv[3], resources=Resources(int(sys.argv[4])),
            partition_bytes=int(sys.argv[5]))
"""


def contents(store: Path, *, same_input: bool = True) -> dict[str, object]:
    """Every file of a store; of its attributes, all but who made it when (and from which file)."""
    found: dict[str, object] = {}
    for path in sorted(store.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(store))] = path.read_bytes()
    attributes = json.loads(found.pop("zarr.json"))["attributes"]
    del attributes["run"]
    if not same_input:
        del attributes["inputs"]
    found["attributes"] = attributes
    return found


def birds_cut() -> bytes:
    return gzip.decompress((DATA / "birds53" / "galGal6_cut.maf.gz").read_bytes())


def parts_done(work: Path) -> int:
    """Finished partitions of a work folder."""
    pieces = work / "pieces"
    return sum(path.name.isdigit() for path in pieces.iterdir()) if pieces.is_dir() else 0


def started(arguments: list[str], folder: Path, *names: str) -> subprocess.Popen:
    """Begin to build a store; nothing gets any of these names (`held`)."""
    process = subprocess.Popen(
        [*held(*names, program=BUILD), *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout.readline() == b"go\n"
    return process


def test_killed_at_random_points_and_resumed(tmp_path):
    plain, _ = unpacked(REAL / "birds53.galGal6.maf.xz", tmp_path)
    store_of(plain, BIRDS_TREE, tmp_path / "whole", partition_bytes=1 << 20)
    arguments = [str(plain), str(BIRDS_TREE), "out", "2", str(1 << 20)]
    chance = random.Random(4)
    out, work = tmp_path / "out", tmp_path / "out.work"
    # Ever later: before the plan, among the partitions, while the store is put together.
    for wanted in (0, 1, 3, 6, 10, 14, 17, 18, 18):
        process = started(arguments, tmp_path, "out")
        wait_until(lambda wanted=wanted: parts_done(work) >= wanted, process, 0.001)
        if wanted == 18:
            wait_until(lambda: list(tmp_path.glob(".out.*.part/*")), process, 0.0005)
        time.sleep(chance.random() * 0.02)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not out.exists()
        assert parts_done(work) >= wanted
    process = started(arguments, tmp_path)
    process.communicate()
    assert process.returncode == 0
    assert not work.exists()
    assert contents(out) == contents(tmp_path / "whole")
    open_store(out).verify()


def watched(rmtree, pieces: Path, seen: list[tuple[str, int]]):
    """`shutil.rmtree` that notes the age of all pieces before it deletes them."""

    def noting(path, **options):
        if path == pieces:
            whole = [part for part in pieces.iterdir() if part.name.isdigit()]
            seen.extend((part.name, int((part / "data.bin").stat().st_mtime)) for part in whole)
        rmtree(path, **options)

    return noting


def test_finished_partitions_are_kept_and_other_work_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.maf"
    path.write_bytes(birds_cut())
    modified = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    store_of(path, BIRDS_TREE, tmp_path / "whole")
    arguments = [str(path), str(BIRDS_TREE), "out", "1", "20000"]
    process = started(arguments, tmp_path, "out")
    work = tmp_path / "out.work"
    wait_until(lambda: parts_done(work) >= 5, process, 0.0005)
    process.kill()
    process.communicate()
    kept = [part.name for part in (work / "pieces").iterdir() if part.name.isdigit()]
    assert len(kept) >= 5
    # The work folder takes no other work.
    with pytest.raises(OutputError, match="another run"):
        store_of(path, BIRDS_TREE, tmp_path / "out", reference="melGal5")
    os.utime(path)
    with pytest.raises(OutputError, match="another run"):
        store_of(path, BIRDS_TREE, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    # A finished part is not made again, but for one that is damaged.
    os.utime(path, ns=modified)
    damaged, *good = [work / "pieces" / name for name in sorted(kept)]
    data = (damaged / "data.bin").read_bytes()
    (damaged / "data.bin").write_bytes(data[:-1])
    for part in good:
        os.utime(part / "data.bin", (1, 1))
    seen = []
    monkeypatch.setattr("shutil.rmtree", watched(shutil.rmtree, work / "pieces", seen))
    store_of(path, BIRDS_TREE, tmp_path / "out")
    assert all((part.name, 1) in seen for part in good)
    assert (damaged.name, 1) not in seen
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not work.exists()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("packing", ["plain", "gzip", "bgzip", "stdin", "gzip stdin"])
def test_packing_partitions_and_threads_change_nothing(packing, threads, tmp_path, monkeypatch):
    text = birds_cut()
    (tmp_path / "plain.maf").write_bytes(text)
    store_of(tmp_path / "plain.maf", BIRDS_TREE, tmp_path / "whole")
    expected = contents(tmp_path / "whole", same_input=False)
    path: Path | str = tmp_path / "a.maf"
    data = {"plain": text, "bgzip": bgzip(text, 3000)}.get(packing, gzip.compress(text))
    path.write_bytes(data)
    for partition_bytes in (1 << 30, 100_000, 7_000):
        if "stdin" in packing:
            path = "-"
            raw = io.BytesIO(text if packing == "stdin" else data)
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(raw)))
        store = store_of(
            path, BIRDS_TREE, tmp_path / "s", force=True, threads=threads,
            partition_bytes=partition_bytes,
        )  # fmt: skip
        assert contents(tmp_path / "s", same_input=False) == expected
        store.verify()


def test_several_files_are_one_alignment(tmp_path):
    text = birds_cut()
    store_of_one = tmp_path / "one.maf"
    store_of_one.write_bytes(text)
    store_of(store_of_one, BIRDS_TREE, tmp_path / "whole")
    cuts = [0]
    for share in (0.3, 0.6, 0.61):
        cuts.append(text.index(b"\na ", int(share * len(text))) + 1)
    paths = []
    for number, (start, end) in enumerate(zip(cuts, [*cuts[1:], len(text)], strict=True)):
        path = tmp_path / f"{number}.maf"
        part = text[start:end]
        path.write_bytes(gzip.compress(part) if number == 1 else part)
        paths.append(path)
    store_of(paths, BIRDS_TREE, tmp_path / "parts", reference="galGal6", partition_bytes=30_000)
    expected = contents(tmp_path / "whole", same_input=False)
    assert contents(tmp_path / "parts", same_input=False) == expected


@pytest.mark.parametrize("partition_bytes", [1 << 30, 40_000])
def test_where_files_overlap_the_first_counts(partition_bytes, tmp_path):
    _, text = unpacked(REAL / "phast.chr22.hg17.maf.xz", tmp_path)
    tree = star_tree(text, tmp_path / "t.nh")
    blocks = text.split("\n\n")
    halves = ["\n\n".join(blocks[first::2]) + "\n" for first in (0, 1)]
    paths = [tmp_path / "0.maf", tmp_path / "1.maf"]
    for path, half in zip(paths, halves, strict=True):
        path.write_text(half)
    for order in ([0, 1], [1, 0]):
        store = store_of(
            [paths[i] for i in order], tree, tmp_path / "s", force=True, reference="galGal2",
            partition_bytes=partition_bytes, threads=2,
        )  # fmt: skip
        joined = "\n".join(halves[i] for i in order)
        assert_store_equals(store, project(blocks_by_lines(joined), store.species, "galGal2"))
    joined, turned = "\n".join(halves), joined
    assert project(blocks_by_lines(joined), store.species, "galGal2") != project(
        blocks_by_lines(turned), store.species, "galGal2"
    )


def test_stages_in_any_order_killed_and_repeated(tmp_path, capsys):
    plain, _ = unpacked(REAL / "birds53.galGal6.maf.xz", tmp_path)
    store_of(plain, BIRDS_TREE, tmp_path / "whole")
    work, out = tmp_path / "work", tmp_path / "out"
    init = ["preprocess-init", str(plain), "--tree", str(BIRDS_TREE), "--work", str(work)]
    assert run([*init, "--partition-size", "3", "-q"]) == 0
    n_parts = int(capsys.readouterr().out)
    assert n_parts == 7
    chance = random.Random(1)
    order = [*range(n_parts)]
    chance.shuffle(order)
    for index in order[:2]:
        process = subprocess.Popen(
            [*held("pieces/[0-9]*"), "preprocess-partition", str(work), str(index), "-q"]
        )
        wait_until(lambda: list(work.glob("pieces/.*/*")), process, 0.0005)
        process.kill()
        process.wait()
    assert run(["preprocess-finalise", str(work), "-o", str(out), "-q"]) == 1
    assert "partitions are missing" in capsys.readouterr().err
    assert not out.exists()
    # The same partition twice at once, and once more.
    command = [sys.executable, "-m", "phylotools", "preprocess-partition", str(work)]
    for process in [subprocess.Popen([*command, str(order[0]), "-q"]) for _ in range(2)]:
        assert process.wait() == 0
    assert run(["preprocess-partition", str(work), *map(str, order), "-q"]) == 0
    assert run(["preprocess-finalise", str(work), "-o", str(out), "-q"]) == 0
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize("threads", [1, 2])
def test_blocks_in_random_order_with_hardly_any_memory(threads, tmp_path, monkeypatch):
    """Chunks are closed and met again all the time; in overlaps the first block still counts."""
    _, text = unpacked(REAL / "phast.chr22.hg17.maf.xz", tmp_path)
    tree = star_tree(text, tmp_path / "t.nh")
    header, *blocks = text.split("\na score")
    random.Random(2).shuffle(blocks)
    text = header + "".join(f"\na score{block}" for block in blocks)
    (tmp_path / "a.maf").write_text(text)
    whole = store_of(tmp_path / "a.maf", tree, tmp_path / "whole", reference="hg17")
    assert_store_equals(whole, project(blocks_by_lines(text), whole.species, "hg17"))
    monkeypatch.setattr(stages, "BUFFER_BYTES", 1)
    store_of(tmp_path / "a.maf", tree, tmp_path / "small", reference="hg17", threads=threads)
    assert contents(tmp_path / "small") == contents(tmp_path / "whole")
