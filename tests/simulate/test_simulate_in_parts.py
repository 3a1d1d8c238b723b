"""Simulations in parts: the same files as in one go, whatever the cut, and after a kill."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import held, wait_until

from phylotools.cli.main import run
from phylotools.simulate.pieces import PIECE

pytestmark = pytest.mark.usefixtures("one_thread")

PYTHON = [sys.executable, "-m", "phylotools"]
MTDNA = Path(__file__).parents[2] / "examples/human_mtdna/data"
TREE = "((A:0.1,B:0.2):0.1,(C:0.3,(D:0.1,E:0.05):0.1):0.2);"
FILES = ["-o", "{}.maf.gz", "--truth", "{}.tsv.gz", "--output-fasta", "{}.fa.gz",
         "--summary-json", "{}.json", "-q"]  # fmt: skip
OUTPUTS = ("maf.gz", "tsv.gz", "tsv.gz.tbi", "fa.gz")


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("t.nh").write_text(TREE)


def files(name: str) -> list[str]:
    return [text.format(name) for text in FILES]


def told(name: str) -> dict:
    """The summary but for what differs between a whole and its parts."""
    summary = json.loads(Path(f"{name}.json").read_text())
    return {key: summary[key] for key in summary.keys() - {"verb", "outputs", "seconds"}}


def same(one: str, other: str, *suffixes: str) -> None:
    for suffix in suffixes:
        assert Path(f"{one}.{suffix}").read_bytes() == Path(f"{other}.{suffix}").read_bytes()


@pytest.mark.parametrize("size", [1, 2 * PIECE, 1 << 30])
def test_the_same_bytes_whatever_the_cut(size, capsys):
    asked = ["t.nh", "--length", str(3 * PIECE + 77), "--contig", "new", "--substitution", "gtr",
             "--exchangeabilities", "1,2,1,1,3,1", "--reference", "D", "--seed", "5"]  # fmt: skip
    assert run(["simulate", *asked, *files("whole")]) == 0
    init = ["simulate-init", *asked, "--work", "w", "--partition-size", str(size), "-q"]
    assert run(init) == 0
    n = int(capsys.readouterr().out)
    assert n == {1: 4, 2 * PIECE: 2, 1 << 30: 1}[size]
    for index in (*range(1, n, 2), *range(0, n, 2)):
        assert run(["simulate-partition", "w", str(index), "-q", "-@", "2"]) == 0
    assert run(["simulate-finalise", "w", *files("parts")]) == 0
    same("whole", "parts", *OUTPUTS)
    assert told("whole") == told("parts")
    assert run(["simulate-finalise", "w", "-o", "p.maf", "--truth", "p.tsv", "-q"]) == 0
    assert Path("p.maf").read_bytes() == gzip.decompress(Path("whole.maf.gz").read_bytes())
    assert Path("p.tsv").read_bytes() == gzip.decompress(Path("whole.tsv.gz").read_bytes())


def test_sites_of_a_model(capsys):
    tree = MTDNA / "mammals671.nh"
    regions = ["-r", "chrM:16000-16569", "-r", f"chrM:101-{PIECE - 16200}", "-r", "chrM:3000"]
    regions = [*regions[:4], "-r", "chrM:3001-3300"]
    asked = [str(tree), "--model", "mammals671-mtdna", *regions, "--reference", "Homo_sapiens"]
    assert run(["simulate", *asked, "-o", "whole.maf.gz", "--truth", "whole.tsv.gz", "-q"]) == 0
    assert run(["simulate-init", *asked, "--work", "w", "--partition-size", "1", "-q"]) == 0
    assert capsys.readouterr().out == "2\n"
    assert run(["simulate-partition", "w", "1", "0", "-q"]) == 0
    assert run(["simulate-finalise", "w", "--output-fasta", "x.fa", "-o", "x.maf"]) == 2
    assert "no meaning where a model read the sequence" in capsys.readouterr().err
    assert run(["simulate-finalise", "w", "-o", "parts.maf.gz", "--truth", "parts.tsv.gz",
                "-q"]) == 0  # fmt: skip
    same("whole", "parts", "maf.gz", "tsv.gz", "tsv.gz.tbi")


def test_what_is_refused(capsys, monkeypatch):
    def refused(arguments: list[str], code: int, words: str) -> None:
        before = set(Path().rglob("*"))
        assert run(arguments) == code
        found = capsys.readouterr()
        assert words in found.err
        assert found.err.splitlines()[-1].startswith("error: ")
        assert not found.out
        assert set(Path().rglob("*")) == before

    length = ["--length", str(PIECE + 1)]
    refused(["simulate", "t.nh", *length, "--on", "local:2"], 2, "name a file with -o")
    refused(["simulate", "t.nh", *length, "--work", "w"], 2, "no meaning without --on")
    with open("t.nh") as handle:
        monkeypatch.setattr("sys.stdin", handle)
        refused(["simulate-init", "-", *length, "--work", "w"], 2, "every part reads the tree")
    assert run(["simulate-init", "t.nh", *length, "--work", "w", "--partition-size", "1",
                "--no-truth", "-q"]) == 0  # fmt: skip
    assert run(["simulate-partition", "w", "1", "-q"]) == 0
    capsys.readouterr()
    refused(["simulate-finalise", "w", "-o", "o.maf"], 1, "1 of 2 partitions are missing: 0; run")
    assert run(["simulate-partition", "w", "0", "1", "-q"]) == 0
    refused(["simulate-finalise", "w", "-o", "o.maf", "--truth", "t.tsv"], 2, "without the table")
    refused(["simulate-init", "t.nh", *length, "--work", "w"], 1, "already exists")
    piece = Path("w/pieces/000001/data.bin")
    piece.write_bytes(piece.read_bytes()[:-1] + b"x")
    refused(["simulate-finalise", "w", "-o", "o.maf"], 1, "piece 1 is damaged: run it again")
    assert run(["simulate-partition", "w", "1"]) == 0
    assert "piece 1 is damaged and is made again" in capsys.readouterr().err
    assert run(["simulate-finalise", "w", "-o", "o.maf", "-q"]) == 0
    refused(["embed-partition", "w", "0"], 1, "is no plan")
    Path("t.nh").write_text(TREE + "\n")
    refused(["simulate-partition", "w", "0"], 1, "t.nh: has changed since the plan was made")


def test_killed_and_gone_on_with_through_the_shell(capfd):
    asked = ["simulate", "t.nh", "--length", str(9 * PIECE), "--seed", "3"]
    line = [*asked, *files("parts"), "--on", "local:2", "-@", "1"]
    command = [*PYTHON, *line]
    pieces = Path("parts.maf.gz.work/pieces")
    with subprocess.Popen(
        [*held(*(f"parts.{each}" for each in (*OUTPUTS, "json"))), *line], stderr=subprocess.DEVNULL
    ) as process:
        wait_until(lambda: list(pieces.glob("[0-9]*")), process, 0.002)
        process.kill()
        assert process.wait() == -9
    assert not Path("parts.maf.gz").exists()
    assert pieces.is_dir()
    # Another job's folder is not taken over.
    other = [text.replace("parts", "other") if "work" not in text else text for text in command]
    other += ["--work", "parts.maf.gz.work", "--no-such"][:2]
    other[other.index("--seed") + 1] = "4"
    done = subprocess.run(other, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert "holds parts of another run" in done.stderr
    subprocess.run(command, check=True)
    assert run([*asked, *files("whole")]) == 0
    same("whole", "parts", *OUTPUTS)
    assert told("whole") == told("parts")
    assert not Path("parts.maf.gz.work").exists()
