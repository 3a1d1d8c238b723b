from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from toy_models import CHRM, write_toy_model

from phylotools.cli.main import run
from phylotools.errors import InputError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region, RegionSet
from phylotools.plots.labels import LabelFile, labels_of
from phylotools.plots.windows import draw_windows

GENES = Path(CHRM).parent / "genes.bed"
COLUMNS = {"contig": ["c"] * 4, "start": [0, 8, 30, 90], "end": [10, 18, 40, 100]}


def test_labels_must_cover_half_of_a_region(tmp_path):
    path = tmp_path / "l.bed"
    path.write_text("c\t0\t5\ta\nc\t5\t12\tb\nc\t34\t90\tc\n")
    # 5 of a and 5 of b: the shorter interval; 4 of b; 6 of c; nothing.
    assert labels_of(COLUMNS, LabelFile(str(path))) == ["a", "none", "c", "none"]
    assert labels_of(COLUMNS, LabelFile(str(path), overlap=0.3))[1] == "b"


def test_types_label_a_gff(tmp_path):
    path = tmp_path / "l.gff3"
    rows = [("gene", 1, 100), ("CDS", 1, 10), ("tRNA", 31, 40)]
    path.write_text(
        "".join(f"c\tx\t{kind}\t{s}\t{e}\t.\t+\t.\tID={kind}1\n" for kind, s, e in rows)
    )
    kinds = frozenset(["CDS", "tRNA"])
    found = labels_of(COLUMNS, LabelFile(str(path), kinds))
    assert found == ["CDS", "none", "tRNA", "none"]
    with pytest.raises(InputError, match="no row of type rRNA"):
        labels_of(COLUMNS, LabelFile(str(path), frozenset(["rRNA"])))
    path.write_text("z\tx\tCDS\t1\t10\t.\t+\t.\tID=1\n")
    with pytest.raises(InputError, match="covers enough"):
        labels_of(COLUMNS, LabelFile(str(path)))


def test_windows_are_drawn_evenly_and_avoid_unknown_sequence():
    genome = ReferenceGenome.from_sequences({"a": b"A" * 300, "b": b"N" * 300, "c": b"C" * 50})
    found = draw_windows(genome, None, 100, 60, 1)
    assert len(found) == 100
    assert {each.contig for each in found} == {"a"}
    assert found == sorted(set(found))
    assert min(each.start for each in found) < 40
    assert max(each.end for each in found) > 260
    inside = RegionSet.of([Region("a", 100, 170)])
    assert len(draw_windows(genome, inside, 500, 60, 1)) <= 11
    with pytest.raises(InputError, match="no window of 400 bases fits"):
        draw_windows(genome, None, 10, 400, 1)
    with pytest.raises(InputError, match="no known base"):
        draw_windows(genome, RegionSet.of([Region("b", 0, 300)]), 10, 60, 1)


@pytest.fixture(scope="module")
def model(tmp_path_factory, one_thread) -> str:
    return str(write_toy_model(tmp_path_factory.mktemp("toy") / "toy"))


def test_drawn_windows_with_labels(model, tmp_path):
    arguments = ["plot", "embedding", "--draw", "120", "--window", "60", "-m", model, "-@", "1"]
    arguments += ["--labels", str(GENES), "-o", str(tmp_path / "drawn"), "-q"]
    assert run([*arguments, "--summary-json", str(tmp_path / "s.json")]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"drawn.svg", "drawn.png", "drawn.tsv", "s.json"}
    lines = (tmp_path / "drawn.tsv").read_text().splitlines()
    assert "Purity=" in lines[0]
    rows = [line.split("\t") for line in lines[2:]]
    assert len(rows) == 120
    assert {int(row[2]) - int(row[1]) for row in rows} == {60}
    classes = np.array([row[5] for row in rows])
    assert {"ND5", "none"} <= set(classes)
    summary = json.loads((tmp_path / "s.json").read_text())
    assert "classes moved" in summary["Silhouette"]
    assert "the same class" in (tmp_path / "drawn.svg").read_text()


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        ([], 2, "give EMBEDDINGS, or --draw"),
        (["--draw", "9"], 2, "--draw needs the --model"),
        (["x.parquet", "--label-type", "CDS"], 2, "among the rows of --labels"),
        (["x.parquet", "--labels", "a.bed", "--colour", "name"], 2, "not both"),
        (["x.parquet", "--draw", "9", "-m", "m"], 2, "give EMBEDDINGS, or --draw"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, capsys, monkeypatch, more, code, message):
    monkeypatch.chdir(tmp_path)
    assert run(["plot", "embedding", *more, "-o", "o", "-q"]) == code
    error = capsys.readouterr().err
    assert message in error
    assert list(tmp_path.iterdir()) == []
