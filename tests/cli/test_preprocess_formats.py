"""The same alignment in every format and packing gives the same store."""

from __future__ import annotations

import gzip
import lzma
import subprocess
import sys
from pathlib import Path

import pytest
from slow_projection import blocks_by_lines
from taf_writer import write_taf

from phylotools.cli.main import run
from phylotools.store.read import open_store

DATA = Path(__file__).parents[1] / "data"
MAF = DATA / "real_alignments" / "multiz46way.chrY.maf.xz"
TREE = DATA / "real_alignments" / "multiz46way.nh"


@pytest.fixture(scope="module")
def formats(tmp_path_factory):
    """A real MAF, the same as TAF with and without runs, and the store of the MAF."""
    folder = tmp_path_factory.mktemp("formats")
    text = lzma.decompress(MAF.read_bytes())
    blocks = list(blocks_by_lines(text.decode()))
    (folder / "a.maf").write_bytes(text)
    for name, run_length in (("plain.taf", False), ("run_length.taf", True)):
        (folder / name).write_text(write_taf(blocks, run_length=run_length))
    with gzip.open(folder / "run_length.taf.gz", "wb") as handle:
        handle.write((folder / "run_length.taf").read_bytes())
    arguments = ["preprocess", str(folder / "a.maf"), "--tree", str(TREE), "-q"]
    assert run([*arguments, "-o", str(folder / "maf.store")]) == 0
    return folder


@pytest.mark.parametrize("name", ["plain.taf", "run_length.taf", "run_length.taf.gz"])
def test_taf_gives_the_store_of_the_maf(formats, name, tmp_path):
    output = tmp_path / "s"
    assert run(["preprocess", str(formats / name), "--tree", str(TREE), "-o", str(output)]) == 0
    assert open_store(output).fingerprint == open_store(formats / "maf.store").fingerprint


def test_taf_and_maf_through_a_pipe(formats, tmp_path):
    for name in ("a.maf", "run_length.taf.gz"):
        command = f"cat {formats / name} | {sys.executable} -m phylotools preprocess - -q"
        output = tmp_path / name
        subprocess.run(f"{command} --tree {TREE} -o {output}", shell=True, check=True)
        assert open_store(output).fingerprint == open_store(formats / "maf.store").fingerprint


def test_maf_and_taf_named_together(formats, tmp_path):
    arguments = ["preprocess", str(formats / "a.maf"), str(formats / "plain.taf"), "-q"]
    assert run([*arguments, "--tree", str(TREE), "-o", str(tmp_path / "s")]) == 0
    store = open_store(tmp_path / "s")
    assert store.fingerprint == open_store(formats / "maf.store").fingerprint
    statistics = store.attributes["statistics"]
    assert statistics["overlapping_positions"] == statistics["covered_positions"]


def test_aligned_fasta(tmp_path):
    (tmp_path / "t.nh").write_text("(A:1,(B:1,C.1:2):1);")
    (tmp_path / "a.fa").write_text(">A.chr1 first\nACgT-\nA\n>C.1|x\nNN\n--AC\n>B\nAC\nCC-a\n")
    (tmp_path / "a.maf").write_text(
        "a\ns A.chr1 0 5 + 5 ACgT-A\ns C.1 0 4 + 4 NN--AC\ns B 0 5 + 5 ACCC-a\n"
    )
    for name in ("a.fa", "a.maf"):
        arguments = ["preprocess", str(tmp_path / name), "--tree", str(tmp_path / "t.nh"), "-q"]
        assert run([*arguments, "-o", str(tmp_path / f"{name}.store")]) == 0
    fasta, maf = (open_store(tmp_path / f"{name}.store") for name in ("a.fa", "a.maf"))
    assert fasta.contigs == {"chr1": 5}
    assert fasta.fingerprint == maf.fingerprint


def test_a_hal_file_says_what_to_do(tmp_path, capsys):
    (tmp_path / "a.hal").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    arguments = ["preprocess", str(tmp_path / "a.hal"), "--tree", str(TREE)]
    assert run([*arguments, "-o", str(tmp_path / "s")]) == 1
    assert "hal2maf" in capsys.readouterr().err
