"""The study of duplicate rows says what docs/duplicates.md says, of what the program does."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from phylotools.io.regions import Region
from phylotools.store.read import open_store

STUDY = Path(__file__).parents[2] / "examples" / "duplicate_rows"
LETTERS = np.frombuffer(b"ACGTN-", dtype=np.uint8)

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the table and the figure of one quick run."""
    out = tmp_path_factory.mktemp("study")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(
        ["bash", STUDY / "run.sh", out, "--quick"],
        check=True,
        env=os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"},
    )
    return out


def number(study: Path, key: str, **wanted: str) -> float:
    with (study / "duplicates.tsv").open() as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    (row,) = [row for row in rows if all(row[k] == value for k, value in wanted.items())]
    return float(row[key])


def test_the_figure_is_drawn(study):
    assert (study / "duplicates.png").read_bytes().startswith(b"\x89PNG")


def test_drop_loses_all_and_changes_nothing_else(study):
    case = {"kind": "old", "block": "10", "policy": "drop"}
    assert number(study, "lost", **case) == 1
    assert number(study, "wrong", **case) == number(study, "surprise", **case) == 0


def test_identity_finds_the_orthologue_in_long_blocks_not_in_short_ones(study):
    short, long = (
        number(study, "wrong", kind="old", block=block, policy="best-identity")
        for block in ("10", "1000")
    )
    assert long < 0.01 < short < number(study, "wrong", kind="old", block="10", policy="first")


def test_consensus_makes_recent_copies_look_conserved(study):
    rate = number(study, "rate_neutral", kind="recent", block="1000", policy="consensus")
    assert rate < 0.985
    assert number(study, "rate_neutral", kind="recent", block="1000", policy="drop") > 0.985


def test_consensus_keeps_rows_that_come_in_two_pieces(study):
    assert number(study, "lost", kind="pieces", block="10", policy="consensus") == 0
    assert 0.2 < number(study, "lost", kind="pieces", block="10", policy="best-identity") < 0.5


class FileOrder:
    """In place of the random order of rows."""

    def random(self, shape: tuple[int, int]) -> np.ndarray:
        return np.broadcast_to(np.arange(shape[0])[:, None] / shape[0], shape)


@pytest.mark.parametrize("policy", ["drop", "best-identity", "first", "consensus"])
def test_the_study_measures_what_preprocess_does(policy, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY))
    from copies import Copy
    from policies import keep_one

    rng = np.random.default_rng(1)
    length, starts = 400, np.array([0, 3, 40, 41, 200])
    rows = rng.integers(0, 4, (5, length)).astype(np.uint8)
    rows[1:][rng.random((4, length)) < 0.1] = 5
    rows[:, starts] %= 4
    copies = []
    for species in (1, 2, 2, 4):
        codes = np.where(rng.random(length) < 0.3, rng.integers(0, 6, length), rows[species])
        codes[starts[-1] :] = 6  # no further row in the last block
        codes[starts[:-1]] %= 4  # rows of gaps alone are not what the study is about
        copies.append(Copy(species, codes.astype(np.uint8)))
    expected = keep_one(policy, rows, copies, rows[0], starts, FileOrder())
    alignment, tree = tmp_path / "a.maf", tmp_path / "a.nh"
    alignment.write_bytes(as_maf(rows, copies, starts))
    tree.write_text("((s0:1,s1:1):1,(s2:1,s3:1):1,s4:1);")
    subprocess.run(
        [sys.executable, "-m", "phylotools", "preprocess", alignment, "--tree", tree,
         "-o", tmp_path / "out", "--duplicates", policy, "-q"],
        check=True,
    )  # fmt: skip
    found = open_store(tmp_path / "out").bases(Region("c", 0, length)).T
    assert np.array_equal(found, expected)


def as_maf(rows: np.ndarray, copies: list, starts: np.ndarray) -> bytes:
    """Blocks of all rows, the further ones of a species behind the first ones."""
    text = b""
    for start, end in zip(starts, [*starts[1:], rows.shape[1]], strict=True):
        text += b"a\n"
        for species, codes in [*enumerate(rows), *((c.species, c.codes) for c in copies)]:
            part = codes[start:end]
            if (part > 5).any():
                continue
            size, letters = int((part < 5).sum()), LETTERS[part].tobytes()
            place = start if species == 0 else 0
            text += b"s s%d.c %d %d + 400 %s\n" % (species, place, size, letters)
        text += b"\n"
    return text
