from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from only_error import only_error

from phylotools.cli.main import run
from phylotools.store.read import open_store

DATA = Path(__file__).parents[1] / "data"
MAF = DATA / "maf_edge_cases" / "birds_plain.maf"
TREE = DATA / "birds53" / "53birds.nh"


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.nh").write_text("(A:1,B:1,C:2);")
    (tmp_path / "a.maf").write_text("a\ns A.1 2 4 + 10 CGTA\ns B.1 0 3 + 3 A-GT\n\n")
    (tmp_path / "a.fa").write_text(">1\nTTCGTAGGNT\n")
    return tmp_path


def left_behind(folder, before):
    return {p.name for p in folder.iterdir()} - before


def test_store_summary_and_last_line(workplace, capsys):
    arguments = ["preprocess", str(MAF), "--tree", str(TREE), "-o", "out", "--summary-json", "s"]
    assert run(arguments) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "12 blocks, 443 columns, 15 of 53 species" in captured.err.splitlines()[-1]
    assert "38 of the tree's 53 tips have no row" in captured.err
    summary = json.loads(Path("s").read_text())
    assert summary["covered_positions"] == 443
    store = open_store("out")
    assert store.attributes["run"]["version"]
    assert set(store.attributes["inputs"]) == {"alignment", "tree"}
    assert all(len(digest) == 64 for digest in store.attributes["inputs"].values())


def test_stdin_gives_the_same_store(workplace):
    command = [sys.executable, "-m", "phylotools", "preprocess", "--tree", str(TREE), "-q"]
    data = gzip.compress(MAF.read_bytes())
    subprocess.run([*command, "-o", "piped"], input=data, check=True)
    subprocess.run([*command, str(MAF), "-o", "read"], check=True)
    piped = open_store("piped")
    assert piped.fingerprint == open_store("read").fingerprint
    assert piped.attributes["inputs"]["alignment"] is None


def test_existing_output_is_refused_without_force(workplace, capsys):
    arguments = ["preprocess", "a.maf", "--tree", "t.nh", "-o", "out"]
    assert run(arguments) == 0
    before = open_store("out").attributes["run"]["created"]
    assert run(arguments) == 1
    assert "--force" in capsys.readouterr().err
    assert open_store("out").attributes["run"]["created"] == before
    assert run([*arguments, "--force"]) == 0


BAD = {
    "unknown species": ({"a.maf": "a\ns A.1 0 1 + 5 A\ns Z.1 0 1 + 5 A\n"}, [], "a.maf:3"),
    "only the reference": ({"a.maf": "a\ns A.1 0 1 + 5 A\n"}, [], "only the reference A"),
    "tree without lengths": ({"t.nh": "(A,B,C);"}, [], "t.nh"),
    "tree that is no tree": ({"t.nh": "hello ("}, [], "t.nh"),
    "tree that is binary": ({"t.nh": b"\xff\xfe\x00"}, [], "t.nh"),
    "empty tree": ({"t.nh": ""}, [], "t.nh"),
    "reference that is no tip": ({}, ["--reference", "Z"], "t.nh"),
    "reference without rows": ({}, ["--reference", "C"], "no block has bases of the reference C"),
    "contradicting FASTA": ({"a.fa": ">1\nTTCCTAGGNT\n"}, ["-f", "a.fa"], "1:4 is G"),
    "FASTA without the contig": ({"a.fa": ">2\nTTCGTAGGNT\n"}, ["-f", "a.fa"], "a.fa"),
    "FASTA of another length": ({"a.fa": ">1\nTTCGTAGGN\n"}, ["-f", "a.fa"], "9 bases, but 10"),
    "empty FASTA": ({"a.fa": ""}, ["-f", "a.fa"], "a.fa"),
    "absent FASTA": ({}, ["-f", "none.fa"], "none.fa"),
    "truncated gzip": ({"a.maf": gzip.compress(MAF.read_bytes())[:1000]}, [], "truncated"),
    "binary alignment": ({"a.maf": bytes(range(256)) * 50}, [], "a.maf:1"),
    "empty alignment": ({"a.maf": ""}, [], "is empty"),
    "alignment without a block": ({"a.maf": "##maf version=1\n\n"}, [], "no alignment block"),
    "alignment with empty blocks": ({"a.maf": "a\n\na\n\n"}, [], "no alignment block"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gives_one_line_and_no_output(case, workplace, capsys):
    files, options, message = BAD[case]
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (workplace / name).write_bytes(data)
    before = {p.name for p in workplace.iterdir()}
    assert run(["preprocess", "a.maf", "--tree", "t.nh", "-o", "out", *options]) == 1
    only_error(*capsys.readouterr(), message)
    assert not left_behind(workplace, before)


def test_dropped_species_are_counted_once(workplace, capsys):
    block = "a\ns A.1 {} 1 + 50 A\ns B.1 0 1 + 5 A\ns Z.1 0 1 + 5 A\n\n"
    Path("a.maf").write_text("".join(block.format(start) for start in range(20)))
    arguments = ["preprocess", "a.maf", "--tree", "t.nh", "-o", "out", "--unknown-species", "drop"]
    assert run(arguments) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "dropped" in line]
    assert len(lines) == 1
    assert "20 rows" in lines[0]


def test_overlaps_are_counted(workplace, capsys):
    text = Path("a.maf").read_text()
    Path("a.maf").write_text(text + text.replace("2 4", "4 4"))
    assert run(["preprocess", "a.maf", "--tree", "t.nh", "-o", "out"]) == 0
    assert "2 reference positions lie in more than one block" in capsys.readouterr().err


def test_masked_ambiguous_and_renamed_fasta_agree(workplace):
    Path("a.fa").write_text(">chr1 a description\nTTcRTAGGNT\n")
    assert run(["preprocess", "a.maf", "--tree", "t.nh", "-f", "a.fa", "-o", "out"]) == 0
    assert set(open_store("out").attributes["inputs"]) == {"alignment", "tree", "fasta"}


def test_two_inputs_on_stdin_are_a_usage_error(workplace):
    assert run(["preprocess", "-", "--tree", "-", "-o", "out"]) == 2


@pytest.mark.parametrize("size", [16, 2000])
def test_full_disk_is_one_line(size, workplace, capsys, file_size_limit):
    before = {p.name for p in workplace.iterdir()}
    arguments = ["preprocess", str(MAF), "--tree", str(TREE), "-o", "out", "-q"]
    with file_size_limit(size):
        assert run(arguments) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(errors) == 1
    assert errors[0].endswith("cannot write: File too large")
    # What is finished is kept; nothing looks like a store.
    assert left_behind(workplace, before) <= {"out.work"}
    assert run(arguments) == 0
    assert left_behind(workplace, before) == {"out"}


def test_inspect_a_store(workplace, capsys):
    run(["preprocess", "a.maf", "--tree", "t.nh", "-f", "a.fa", "-o", "out", "-q"])
    capsys.readouterr()
    assert run(["inspect", "out", "--json", "--verify"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["kind"] == "column store"
    assert described["contigs"] == {"1": {"length": 10, "covered": 4}}
    assert described["mean_species_per_column"] == pytest.approx(7 / 4)
    assert described["tree_length"] == pytest.approx(4)
    assert described["reference_species"] == "A"
    assert run(["inspect", "out"]) == 0
    text = capsys.readouterr().out
    assert "covered positions: 4" in text
    assert "not verified" in text


def test_inspect_refuses_what_is_not_ours(workplace, capsys):
    for path in ("a.maf", ".", "none"):
        assert run(["inspect", path]) == 1
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_inspect_notices_damage(workplace, capsys):
    run(["preprocess", "a.maf", "--tree", "t.nh", "-o", "out", "-q"])
    (workplace / "out/depth/c.0").unlink()
    capsys.readouterr()
    assert run(["inspect", "out"]) == 1
    assert "array depth" in capsys.readouterr().err


def test_a_tree_with_other_names_lists_some_of_them(workplace, capsys):
    Path("common.nh").write_text("(Chicken:1,Turkey:1,Duck:1,'Zebra finch':2);")
    assert run(["preprocess", "a.maf", "--tree", "common.nh", "-o", "out"]) == 1
    message = capsys.readouterr().err
    assert "'Chicken', 'Duck', 'Turkey' and 1 more" in message
    assert "rename the tips" in message


def test_a_phast_model_says_how_to_get_its_tree(workplace, capsys):
    Path("m.mod").write_text("ALPHABET: A C G T \nORDER: 0\nSUBST_MOD: REV\nTREE: (a:0.1,b:0.2);\n")
    assert run(["preprocess", "a.maf", "--tree", "m.mod", "-o", "out"]) == 1
    assert "is a PHAST model" in capsys.readouterr().err


def test_force_keeps_what_is_not_a_store(workplace, capsys):
    Path("home").mkdir()
    Path("home/thesis.tex").write_text("years of work")
    assert run(["preprocess", "a.maf", "--tree", "t.nh", "-o", "home", "--force"]) == 1
    assert run(["preprocess", "a.maf", "--tree", "t.nh", "-o", "a.maf", "--force"]) == 1
    assert Path("home/thesis.tex").read_text() == "years of work"
    assert Path("a.maf").is_file()
    assert run(["preprocess", "a.maf", "--tree", "t.nh", "-o", "out"]) == 0
    assert run(["preprocess", "a.maf", "--tree", "t.nh", "-o", "out", "--force"]) == 0
