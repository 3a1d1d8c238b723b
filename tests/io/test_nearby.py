"""Lines near positions, by the index of a bgzip file."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pysam
import pytest

from phylotools.errors import InputError
from phylotools.io import nearby
from phylotools.io.nearby import lines_near

N = 30_000


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(nearby, "SMALLEST_FILE", 0)
    monkeypatch.setattr(nearby, "_GAP", 0)


def rows(seed: int = 1) -> list[str]:
    draw = random.Random(seed)
    return [
        f"{contig}\t{position}\tA\tC\t{draw.random():.3f}\n"
        for contig in ("1", "2")
        for position in sorted(draw.sample(range(1, 3_000_000), N))
    ]


def indexed(path: Path, text: str, **options) -> str:
    plain = path.with_suffix(".txt")
    plain.write_text(text)
    pysam.tabix_compress(str(plain), str(path), force=True)
    settings = {"seq_col": 0, "start_col": 1, "end_col": 1, "zerobased": False} | options
    pysam.tabix_index(str(path), force=True, **settings)
    return str(path)


def found(path: str, wanted: dict[str, list[int]]) -> set[tuple[str, int]] | None:
    blocks = lines_near(path, lambda: {k: np.array(v, dtype=np.int64) for k, v in wanted.items()})
    if blocks is None:
        return None
    lines = b"".join(block.text for block in blocks).decode().splitlines()
    cells = [line.split("\t") for line in lines]
    return {(contig, int(position) - 1) for contig, position, *_ in cells}


@pytest.mark.parametrize(
    ("header", "options"),
    [("", {}), ("## CADD\n#Chrom\tPos\tRef\tAlt\ts\n", {}), ("c\tp\tr\ta\ts\n", {"line_skip": 1})],
)
def test_every_line_at_the_positions_comes_and_few_others(tmp_path, header, options):
    lines = rows()
    path = indexed(tmp_path / "t.tsv.gz", header + "".join(lines), **options)
    every = {(line.split("\t")[0], int(line.split("\t")[1]) - 1) for line in lines}
    draw = random.Random(2)
    wanted = {"chr1": sorted(draw.sample(range(3_000_000), 8)), "chr2": [5, 2_999_000], "chr9": [7]}
    got = found(path, wanted)
    assert got is not None
    assert got <= every
    here = {(contig.removeprefix("chr"), p) for contig, ps in wanted.items() for p in ps}
    assert here & every <= got
    assert len(got) < N / 5


def test_of_many_rows_only_the_blocks_with_wanted_ones_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(nearby, "_LARGEST_SHARE", 10)
    draw = random.Random(4)
    lines = [
        f"17\t{position}\tA\t{alt}\t{draw.random()}\n"
        for position in range(40_000_001, 40_040_001)
        for alt in "CGT"
    ]
    path = indexed(tmp_path / "t.tsv.gz", "".join(lines))
    for n in (1, 2, 7, 40):
        wanted = sorted(draw.sample(range(40_000_000, 40_040_000), n))
        blocks = lines_near(path, lambda wanted=wanted: {"17": np.array(wanted, dtype=np.int64)})
        got = b"".join(block.text for block in blocks).decode().splitlines(keepends=True)
        assert set(got) <= set(lines)
        assert len(got) == len(set(got))
        here = {line for line in lines if int(line.split("\t")[1]) - 1 in set(wanted)}
        assert here <= set(got)
        if n < 3:
            assert len(got) < len(lines) / 6


def test_everything_is_read_from_the_beginning(tmp_path):
    path = indexed(tmp_path / "t.tsv.gz", "".join(rows()))
    positions = list(range(0, 3_000_000, 1000))
    assert found(path, {"1": positions, "2": positions}) is None


def test_small_files_and_files_without_an_index_too(tmp_path, monkeypatch, caplog):
    path = indexed(tmp_path / "t.tsv.gz", "".join(rows()))
    Path(path + ".tbi").unlink()
    assert found(path, {"1": [5]}) is None
    monkeypatch.setattr(nearby, "SMALLEST_FILE", 1 << 30)
    assert found(path, {"1": [5]}) is None
    assert found("-", {"1": [5]}) is None


def test_the_index_of_another_file_is_not_used(tmp_path):
    path = indexed(tmp_path / "t.tsv.gz", "".join(rows()))
    other = indexed(tmp_path / "o.tsv.gz", "".join(rows(3)[: N // 2]))
    shutil.copy(other + ".tbi", path + ".tbi")
    assert found(path, {"1": [5]}) is None
    Path(path + ".tbi").write_bytes(b"TBI\1 no index")
    assert found(path, {"1": [5]}) is None


def test_a_file_that_is_cut_off_is_an_error(tmp_path):
    path = indexed(tmp_path / "t.tsv.gz", "".join(rows()))
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="truncated"):
        found(path, {"1": [5]})
