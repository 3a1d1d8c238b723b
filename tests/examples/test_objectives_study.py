"""The study of objectives, on what is quick in it."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from Bio.Seq import Seq

from phylotools.drawing import picture_style, save_picture
from phylotools.io.regions import Region
from phylotools.store.read import open_store

EXAMPLES = Path(__file__).parents[2] / "examples"
STUDY = EXAMPLES / "objectives_study"
SMALL = Path(__file__).parents[1] / "data" / "mammals671"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES / "models_study"))
    monkeypatch.syspath_prepend(str(STUDY))


@pytest.fixture
def tiny_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Three genes of 671 mammals, of which ND4L is hidden, as a split and a set of the study."""
    splits, sets = import_module("splits"), import_module("sets")
    (maf,), (tree,) = SMALL.glob("*.maf*"), SMALL.glob("*.nh")
    test, genes = tmp_path / "test.bed", tmp_path / "genes.bed"
    rows = (splits.MTDNA / "genes.bed").read_text().splitlines()
    known = {row.split("\t")[3]: row for row in rows}
    test.write_text(known["ND4L"] + "\n")
    genes.write_text("".join(known[name] + "\n" for name in ("ATP8", "ND4L", "ND6")))
    alignment = splits.Alignment("tiny", maf, tree, splits.MTDNA / "chrM.fa")
    split = splits.Split("mtdna-tiny", "mtdna-tiny", (alignment,), test, 6, genes=genes)
    monkeypatch.setitem(splits.SPLITS, split.name, split)
    given = sets.StudySet("mtdna-tiny", sets._MTDNA, stretch=50)
    monkeypatch.setitem(sets.SETS, given.name, given)
    return split


def test_distances_of_amino_acids_are_granthams() -> None:
    codons = import_module("codons")
    published = {"SR": 110, "LI": 5, "CW": 215, "GW": 184, "DE": 45, "FY": 22, "KR": 26, "AV": 64}
    for (one, other), distance in published.items():
        assert codons.grantham_distance(one, other) == pytest.approx(distance, abs=1.5)
        assert codons.grantham_distance(one, other) == codons.grantham_distance(other, one)


def test_only_missense_changes_have_a_distance() -> None:
    codons = import_module("codons")
    bases = np.random.default_rng(1).integers(5, size=3 * 30 + 1).astype(np.uint8)
    found = codons.missense_distances(bases, 1)
    for position, base in np.ndindex(found.shape):
        start = position - (position - 1) % 3
        changed = bases.copy()
        changed[position] = base
        before, after = (
            str(Seq("".join("ACGTN"[b] for b in x[start : start + 3])).translate())
            if start >= 0 and 4 not in bases[start : start + 3]
            else "*"
            for x in (bases, changed)
        )
        if before == after or "*" in (before, after):
            assert np.isnan(found[position, base])
        else:
            assert found[position, base] == codons.grantham_distance(before, after)


def test_an_arm_is_trained_on_what_is_not_hidden(tiny_split: Any, tmp_path: Path) -> None:
    grid, predictions_file = import_module("grid"), import_module("predictions_file")
    job = grid.Job(tiny_split, "f81-fixed", 2)
    grid.run(job, tmp_path, preset="tiny")
    trained = (tmp_path / "runs/mtdna-tiny/f81-fixed-seed2/training_regions.bed").read_text()
    spans = [tuple(map(int, line.split("\t")[1:3])) for line in trained.splitlines()]
    assert spans
    assert all(end <= 10469 or start >= 10759 for start, end in spans)
    # A result that is there is not made again.
    written = job.path(tmp_path).stat().st_mtime_ns
    grid.run(job, tmp_path, preset="tiny")
    assert job.path(tmp_path).stat().st_mtime_ns == written
    found = predictions_file.read_predictions(job.path(tmp_path))
    assert found.facts["steps"] == 6
    assert found.regions == (Region("chrM", 10469, 10759),)
    theta = found.at(np.array(["chrM"] * 2), np.array([10470, 5000]))
    np.testing.assert_array_equal(theta[0], found.theta[0][1])
    assert np.isnan(theta[1]).all()


def test_models_without_a_network_are_measured(tiny_split: Any, tmp_path: Path) -> None:
    grid, measure, likelihood = map(import_module, ("grid", "measure_arms", "likelihood_arms"))
    given = import_module("sets").SETS["mtdna-tiny"]
    for arm in ("site-fits", "table"):
        grid.run(grid.Job(tiny_split, arm, 0), tmp_path)
    found = {
        (row[1], row[2], row[3]): [float(cell) for cell in row[6:9]]
        for table, row in measure.rows(given, tmp_path, 20)
        if table == "areas"
    }
    # A fit to the column itself knows what is in it, and the code knows what is missense.
    assert found["unseen missense", "all", "column log-frequency"][0] > 0.999
    assert found["unseen missense", "all", "site-fits fixation"][0] > 0.95
    assert found["missense", "all", "class alone"] == [1, 1, 1]
    assert found["missense", "within types", "table rate-to-alt"][0] > 0.6
    assert found["site: codon place", "all", "site-fits site-rate"][0] > 0.8
    (row,) = likelihood.rows(given, tmp_path)
    assert row[:3] == ["mtdna-tiny", "table", "290"]
    assert -400 < float(row[3]) < -50


def test_intervals_are_over_draws_and_seeds() -> None:
    measure = import_module("measure_arms")
    rng = np.random.default_rng(1)
    of_draws = rng.normal(size=2001)
    one = {1: of_draws + 1, 2: of_draws + 2, 3: of_draws + 3}
    found = measure.over_seeds(one)
    assert found[0] == pytest.approx(of_draws[0] + 2)
    # The seeds are drawn for every replicate: their variance is that of a mean of three.
    assert np.std(found[1:] - of_draws[1:]) == pytest.approx(np.sqrt(2 / 3 / 3), rel=0.1)
    less = measure.difference(one, {seed: values - 0.5 for seed, values in one.items()})
    np.testing.assert_allclose(measure.over_seeds(less), 0.5)
    # Only common seeds are compared, and what has none stands against each.
    assert list(measure.difference(one, {2: of_draws})) == [2]
    assert list(measure.difference(one, {0: of_draws})) == [1, 2, 3]


def test_birds_are_labelled_by_their_transcripts(tmp_path: Path) -> None:
    labels = import_module("bird_labels")
    sequence = "TTACATGCCGTAAGTAGGCTTAAGGTTTCCCTCACATGGGTTT"
    maf = tmp_path / "x.maf"
    row = "s {}.chr1 0 {} + {} {}\n".format
    length = len(sequence)
    maf.write_text(
        "##maf version=1\n\na\n" + row("a", length, length, sequence)
        + row("b", length, length, sequence)
    )  # fmt: skip
    (tmp_path / "x.nh").write_text("(a:0.1,b:0.1);")
    store = tmp_path / "x.store"
    command = ["-m", "phylotools", "preprocess", maf, "--tree", tmp_path / "x.nh", "-o", store]
    subprocess.run([sys.executable, *command, "-q"], check=True)
    transcripts = tmp_path / "x.gff3"
    # Two exons of a gene on the other strand, and what is not translated beyond them.
    parts = [("exon", 1, 10), ("exon", 17, 36), ("CDS", 5, 10), ("CDS", 17, 31)]
    lines = [f"chr1\tx\t{kind}\t{a}\t{b}\t.\t-\t0\tParent=t\n" for kind, a, b in parts]
    transcripts.write_text("##gff-version 3\n" + "".join(lines))
    found = labels.Annotation(str(transcripts), open_store(store), "chr1")
    assert set(found.place[[0, 3, 31, 35]]) == {"."}
    assert set(found.place[10:16]) == {"intron"}
    assert set(found.place[36:]) == {"intergenic"}
    coding = np.r_[4:10, 16:31]
    assert set(found.place[coding]) == {"coding"}
    read = Seq("".join(sequence[k] for k in coding)).reverse_complement()
    for offset, base in np.ndindex(len(coding), 4):
        changed = list(str(read))
        place = len(coding) - 1 - offset
        changed[place] = "TGCA"[base]
        before, after = (Seq("".join(x)).translate()[place // 3] for x in (str(read), changed))
        kind = found.kinds[coding[offset], base]
        if changed[place] == read[place] or before == "*":
            assert kind == -1
        else:
            assert kind == (0 if before == after else 2 if after == "*" else 1)
        assert found.codon_place[coding[offset]] == place % 3 + 1


def test_pages_are_made_of_the_tables(tmp_path: Path) -> None:
    pages, drawing = import_module("page_tables"), import_module("draw_arms")
    common = {"set": "dengue", "comparison": "missense", "subset": "within types"}
    common |= {"positives": "5", "negatives": "6"}
    pair = "mutsel fixation - mlm llr"
    less = common | {"score": pair, "value": "0.1", "low": "0.05", "high": "0.2"}
    lines = list(pages.table([less], "dengue", [pair], sign="+"))
    assert (
        "| mutation-selection: `fixation` less masked: LLR | **+0.100 [0.050, 0.200]** |"
        in (lines[2])
    )
    assert lines[-1] == "missense, within types 5 against 6."
    picture = tmp_path / "differences.png"
    with picture_style():
        labels = {name: style[2] for name, style in drawing.PAIRS.items()}
        save_picture(drawing.draw([less], drawing.PAIRS, labels, "AUROC, less"), picture, "png")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_table_with_the_stores_tree_is_the_stores_tree(tiny_split: Any, tmp_path: Path) -> None:
    grid, trees = import_module("grid"), import_module("gene_trees")
    found = grid.site_fits(tiny_split, tmp_path)
    halves = trees.second_halves(tiny_split, tmp_path)
    (store,) = tiny_split.stores(tmp_path)
    table = tmp_path / "trees.tsv"
    newick = store.tree.to_newick()
    table.write_text(f"chrM\t{newick}\n")
    own = trees.sums(found, halves, None, {})
    given = trees.sums(found, halves, trees.plans(table), trees.tips([table]))
    np.testing.assert_allclose(given, own, rtol=1e-6)
    # Fewer species are predicted with more certainty.
    pruned = store.tree.prune([store.reference_species, *store.species[-3:]])
    table.write_text(f"contig\tnewick\nchrM\t{pruned.to_newick()}\n")
    fewer = trees.sums(found, halves, trees.plans(table), trees.tips([table]))
    assert own[0] < fewer[0] < 0


def test_trees_are_fitted_to_half_of_a_tested_gene(tiny_split: Any, tmp_path: Path) -> None:
    trees = import_module("gene_trees")
    (store,) = tiny_split.stores(tmp_path)
    assert list(trees.shown_columns(store, tiny_split)) == [("chrM", 0, 16569 // 2)]
