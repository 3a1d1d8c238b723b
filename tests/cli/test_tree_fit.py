from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from only_error import only_error

from phylotools.cli.main import run
from phylotools.phylogeny.tree import parse_newick
from phylotools.store.read import open_store

pytestmark = pytest.mark.usefixtures("one_thread")

TRUTH = "(((A:0.1,B:0.2):0.1,(C:0.05,D:0.3):0.2):0.05,(E:0.4,F:0.1):0.1,G:0.2);"


@pytest.fixture(scope="module")
def clock(tmp_path_factory) -> Path:
    """A folder with `s`: 6,000 columns of `TRUTH`, with a tree in million years; `truth.nh`."""
    place = tmp_path_factory.mktemp("clock")
    (place / "truth.nh").write_text(TRUTH)
    (place / "years.nh").write_text("(((A:20,B:20):20,(C:30,D:30):10):20,(E:50,F:50):10,G:60);")
    simulate = [
        "simulate", str(place / "truth.nh"), "--length", "6000", "--substitution", "hky",
        "--kappa", "3", "--missing", "none", "--conserved-fraction", "0", "--frequency-sd", "0.01",
        "--site-rate-mean", "0", "--site-rate-sd", "0.01", "-o", str(place / "a.maf"), "-q",
    ]  # fmt: skip
    assert run(simulate) == 0
    for name, tree in (("s", "years.nh"), ("right", "truth.nh")):
        build = ["preprocess", str(place / "a.maf"), "--tree", str(place / tree)]
        assert run([*build, "-o", str(place / name), "-q"]) == 0
    return place


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lengths_of(path: str | Path) -> dict[str, float]:
    tree = parse_newick(Path(path).read_text())
    return {tree.names[node]: float(tree.branch_length[node]) for node in tree.tip_nodes}


def fit(clock: Path, *arguments: str) -> list[str]:
    return ["tree", "fit", str(clock / "s"), "-@", "1", "--rate-classes", "2", *arguments]


def test_everything_at_once(workplace, clock, capsys):
    arguments = fit(
        clock, "-o", "o.nh", "--branches", "o.tsv", "--into", "o.store", "--substitution", "hky",
        "--summary-json", "o.json",
    )  # fmt: skip
    assert run(arguments) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert " columns not used for the fit, nats a column: given tree -" in captured.err
    assert "warning: the given lengths times 0.00" in captured.err
    assert "times or of another unit" in captured.err
    assert "o.nh: 11 branches fitted to 6000 columns in " in captured.err.splitlines()[-1]
    found, truth = lengths_of("o.nh"), lengths_of(clock / "truth.nh")
    for name, length in truth.items():
        assert found[name] == pytest.approx(length, rel=0.2), name
    summary = json.loads(Path("o.json").read_text())
    assert summary["mode"] == "lengths"
    assert summary["columns"] == 6000
    held_out = summary["held_out_log_likelihood"]
    assert held_out["lengths"]["mean"] > held_out["factor"]["mean"] > held_out["given"]["mean"]
    assert held_out["lengths"]["gain"] > 3 * held_out["lengths"]["gain_sd"]
    assert summary["substitution"]["kappa"] == pytest.approx(3, rel=0.1)
    total = summary["tree_length"]["fitted"]
    assert total == pytest.approx(parse_newick(TRUTH).total_length, rel=0.05)
    header, *rows = (line.split("\t") for line in Path("o.tsv").read_text().splitlines())
    assert header[:5] == ["branch", "n_tips", "given", "fitted", "ratio"]
    table = {row[0]: row for row in rows}
    assert len(table) == 11
    assert table["A"][1:3] == ["1", "20"]
    assert float(table["A"][3]) == found["A"]
    assert table["MRCA(A,D)"][1] == "4"
    store, before = open_store("o.store"), open_store(clock / "s")
    store.verify()
    assert store.tree.to_newick() == parse_newick(Path("o.nh").read_text()).to_newick()
    assert store.fingerprint != before.fingerprint
    (region,) = store.covered_regions()
    np.testing.assert_array_equal(store.bases(region), before.bases(region))


def test_a_store_into_which_a_tree_went_is_that_of_preprocess(workplace, clock, capsys):
    assert run(fit(clock, "-o", "o.nh", "--into", "o.store", "-q")) == 0
    build = ["preprocess", str(clock / "a.maf"), "--tree", "o.nh", "-o", "again", "-q"]
    assert run(build) == 0
    # Nothing says any more that the branch lengths are not those of the columns.
    assert "branches of the tree" not in capsys.readouterr().err
    assert open_store("o.store").fingerprint == open_store("again").fingerprint


def test_one_factor(workplace, clock):
    assert run(fit(clock, "--scale", "-o", "o.nh", "--summary-json", "o.json", "-q")) == 0
    summary = json.loads(Path("o.json").read_text())
    found, given = lengths_of("o.nh"), lengths_of(clock / "years.nh")
    for name, length in given.items():
        assert found[name] / length == pytest.approx(summary["factor"], rel=1e-5)
    assert "lengths" not in summary["held_out_log_likelihood"]


def test_the_tree_goes_to_stdout(workplace, clock):
    command = [sys.executable, "-m", "phylotools", *fit(clock, "--scale", "-q")]
    shown = subprocess.run(command, capture_output=True, check=True, text=True)
    assert set(parse_newick(shown.stdout).tips) == set("ABCDEFG")
    assert shown.stderr.count("\n") == 1  # the warning of the unit


@pytest.mark.parametrize("threads", ["1", "2", "5"])
def test_same_seed_same_tree(workplace, clock, threads):
    arguments = ["--sample", "1000", "-q", "--seed", "3", "-o"]
    assert run(fit(clock, *arguments, "one.nh")) == 0
    assert run([*fit(clock, *arguments, "two.nh"), "-@", threads]) == 0
    assert Path("one.nh").read_bytes() == Path("two.nh").read_bytes()


def test_another_tree_without_lengths_and_in_another_order(workplace, clock):
    Path("t.nh").write_text("(G,(F,E),((D,C),(B,A)));")
    arguments = ["--tree", "t.nh", "-o", "o.nh", "-q", "--substitution", "hky"]
    assert run(fit(clock, *arguments)) == 0
    truth = lengths_of(clock / "truth.nh")
    for name, length in lengths_of("o.nh").items():
        assert length == pytest.approx(truth[name], rel=0.2), name


def test_a_tree_that_was_right_stays(workplace, clock, capsys):
    arguments = ["tree", "fit", str(clock / "right"), "-o", "o.nh", "--summary-json", "o.json"]
    assert run([*arguments, "--rate-classes", "1"]) == 0
    summary = json.loads(Path("o.json").read_text())
    assert summary["factor"] == pytest.approx(1, rel=0.03)
    assert summary["ratio_quantiles"]["0.5"] == pytest.approx(1, rel=0.1)


def test_regions(workplace, clock):
    arguments = ["-r", "chr1:1-700", "-o", "o.nh", "--summary-json", "o.json", "-q"]
    assert run(fit(clock, *arguments)) == 0
    assert json.loads(Path("o.json").read_text())["columns"] == 700


def test_the_fastest_class_as_the_unit(workplace, clock):
    for unit in ("mean", "fastest"):
        arguments = ["--unit", unit, "-o", f"{unit}.nh", "--summary-json", f"{unit}.json", "-q"]
        assert run(fit(clock, "--scale", *arguments)) == 0
    fastest = json.loads(Path("mean.json").read_text())["rates"][-1]
    slow, fast = lengths_of("mean.nh"), lengths_of("fastest.nh")
    assert fast["E"] / slow["E"] == pytest.approx(fastest, rel=1e-5)


def test_existing_outputs_are_kept_unless_forced(workplace, clock, capsys):
    for name in ("o.nh", "o.tsv"):
        Path(name).write_text("mine")
        option = "-o" if name == "o.nh" else "--branches"
        assert run(fit(clock, option, name, "-q")) == 1
        assert "already exists" in only_error(*capsys.readouterr())
        assert Path(name).read_text() == "mine"
    Path("o.store").mkdir()
    Path("o.store/mine").write_text("mine")
    assert run(fit(clock, "--into", "o.store", "--force", "-q")) == 1
    assert "o.store" in only_error(*capsys.readouterr())
    assert run(fit(clock, "--scale", "-o", "o.nh", "--force", "-q")) == 0
    assert "A:" in Path("o.nh").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--branches", "-"], 2, "--branches needs the name of a file"),
        (["--seed", "-1"], 2, "--seed must not be negative"),
        (["--background", "1,1,1"], 2, "--background must be four positive numbers"),
        (["--background", "1,1,0,1"], 2, "--background must be four positive numbers"),
        (["--kappa", "3"], 1, "kappa is no parameter of gtr"),
        (["--tree", "few.nh"], 1, "the tree lacks G, the store has it"),
        (["--tree", "more.nh"], 1, "the tree has H, the store has not"),
        (["--tree", "negative.nh"], 1, "negative.nh:1: Newick: branch length -1"),
        (["--tree", "other_order.nh", "--into", "x"], 2, "--into keeps the store's columns"),
        (["-r", "chr9:1-10"], 1, "chr9"),
        (["--rate-classes", "0"], 2, "--rate-classes"),
    ],
)
def test_what_is_refused(workplace, clock, capsys, arguments, code, message):
    Path("few.nh").write_text("(((A:1,B:1):1,(C:1,D:1):1):1,(E:1,F:1):1);")
    Path("more.nh").write_text("(((A:1,B:1):1,(C:1,D:1):1):1,(E:1,F:1):1,(G:1,H:1):1);")
    Path("negative.nh").write_text("(((A:-1,B:1):1,(C:1,D:1):1):1,(E:1,F:1):1,G:1);")
    Path("other_order.nh").write_text("(G:1,(F:1,E:1):1,((D:1,C:1):1,(B:1,A:1):1):1);")
    before = set(os.listdir())
    assert run(fit(clock, *arguments, "-q")) == code
    assert message in only_error(*capsys.readouterr())
    assert set(os.listdir()) == before


def test_two_species_and_few_columns(workplace, capsys):
    Path("t.nh").write_text("(A:90,B:90);")
    Path("a.maf").write_text("a\ns A.1 0 6 + 10 CGTAAC\ns B.1 0 6 + 6 CGTTAC\n\n")
    assert run(["preprocess", "a.maf", "--tree", "t.nh", "-o", "s", "-q"]) == 0
    assert run(["tree", "fit", "s", "-o", "o.nh"]) == 0
    assert "fitted to 6 columns only: lengths are rough" in capsys.readouterr().err
    assert 0 < lengths_of("o.nh")["A"] < 1


def test_a_store_without_another_species(workplace, capsys):
    Path("t.nh").write_text("(A:90,B:90);")
    Path("a.maf").write_text("a\ns A.1 0 6 + 10 CGTAAC\ns B.1 0 6 + 6 NNNNNN\n\n")
    assert run(["preprocess", "a.maf", "--tree", "t.nh", "-o", "s", "-q"]) == 0
    capsys.readouterr()
    assert run(["tree", "fit", "s", "-o", "o.nh", "-q"]) == 1
    assert "no column has a species beside the reference" in only_error(*capsys.readouterr())
