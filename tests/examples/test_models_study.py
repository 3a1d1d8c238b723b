"""The study of the shipped models, on what is quick in it."""

from __future__ import annotations

import csv
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from Bio.Seq import Seq
from sklearn.metrics import roc_auc_score

import phylotools
from phylotools.io.regions import Region, RegionSet
from phylotools.store.read import ColumnStore, open_store

EXAMPLES = Path(__file__).parents[2] / "examples"
STUDY = EXAMPLES / "models_study"
MTDNA = EXAMPLES / "human_mtdna" / "data"
SMALL = Path(__file__).parents[1] / "data" / "mammals671"

pytestmark = pytest.mark.usefixtures("one_thread")
LETTERS = np.array(list("ACGTN"))


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(STUDY))


@pytest.fixture(scope="module")
def genes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BED of three short genes, one of them on the other strand."""
    path = tmp_path_factory.mktemp("genes") / "genes.bed"
    lines = (MTDNA / "genes.bed").read_text().splitlines()
    path.write_text("".join(f"{x}\n" for x in lines if x.split()[3] in ("ATP8", "ND4L", "ND6")))
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ColumnStore:
    """Their columns in 671 mammals."""
    path = tmp_path_factory.mktemp("store") / "small.store"
    (maf,) = SMALL.glob("*.maf*")
    (tree,) = SMALL.glob("*.nh")
    command = [sys.executable, "-m", "phylotools", "preprocess", maf, "--tree", tree, "-o", path]
    subprocess.run([*command, "-f", MTDNA / "chrM.fa"], check=True)
    return open_store(path)


@pytest.mark.parametrize(("name", "table"), [("STANDARD", 1), ("VERTEBRATE_MITOCHONDRIAL", 2)])
def test_consequences_are_those_of_biopython(name: str, table: int) -> None:
    codons = import_module("codons")
    rng = np.random.default_rng(1)
    bases = rng.choice(5, size=3 * 40 + 2, p=[0.24] * 4 + [0.04]).astype(np.uint8)
    found = codons.consequences(bases, 2, getattr(codons, name))
    for position, base in np.ndindex(found.shape):
        codon = slice(start := position - (position - 2) % 3, start + 3)
        changed = bases.copy()
        changed[position] = base
        before, after = (
            str(Seq("".join(LETTERS[x[codon]])).translate(table)) if start >= 0 else "X"
            for x in (bases, changed)
        )
        if base == bases[position] or "X" in (before, after) or before == "*" or 4 in bases[codon]:
            wanted = codons.NO_CONSEQUENCE
        else:
            wanted = 0 if before == after else 2 if after == "*" else 1
        assert found[position, base] == wanted


@pytest.mark.parametrize(
    ("sequence", "frame"),
    [
        ("ATGATGACTAGCCC", 0),
        ("GTGACCTAGCGC", 2),
        ("GTGACCTAGCGCTAA", 2),  # and a stop at the end of frame 0, which is closed
        ("ATGATGACTAGCTAA", 0),  # its own stop at the end
        ("ATGGCAGCAGCA", None),  # three are open
        ("ATGTAACTGACTAGCCC", None),  # none is
    ],
)
def test_a_reading_frame_is_the_one_without_stops(sequence: str, frame: int | None) -> None:
    codons = import_module("codons")
    bases = np.array(["ACGT".index(letter) for letter in sequence], np.uint8)
    assert codons.reading_frame(bases) == frame


def test_areas_are_those_of_scikit_learn_and_their_mean_within_types() -> None:
    areas = import_module("areas")
    rng = np.random.default_rng(1)
    positive = rng.random(400) < 0.3
    types = rng.choice(["C>T", "C>A"], size=400)
    score = rng.normal(size=400) - positive * np.where(types == "C>T", 2.0, 0.5)
    comparison = areas.Comparison("x", np.arange(400), positive)
    parts = list(areas.subsets(comparison, types, types == "C>T", np.zeros(400, bool)))
    draws = areas.Draws(np.arange(400) // 10, 200)
    found = {a.subset: a for a in areas.measure(comparison, {"s": score}, parts, draws)}
    assert found["all"].auroc.value == pytest.approx(roc_auc_score(positive, -score))
    within = [roc_auc_score(positive[own], -score[own]) for own in (types == "C>T", types == "C>A")]
    counts = [positive[types == "C>T"].sum(), positive[types == "C>A"].sum()]
    assert found["within types"].auroc.value == pytest.approx(np.average(within, weights=counts))
    assert found["all"].auroc.low < found["all"].auroc.value < found["all"].auroc.high
    # A replicate is what its genes, as often as they are drawn, would give.
    weights = draws.weights[7].astype(int)
    rows = np.concatenate(
        [
            np.flatnonzero(np.arange(400) // 10 == gene)
            for gene, n in enumerate(weights)
            for _ in range(n)
        ]
    )
    areas_drawn = draws.areas(score, np.arange(400), positive)
    assert areas_drawn[7] == pytest.approx(roc_auc_score(positive[rows], -score[rows]))
    # A subset of one type is that type.
    assert found["transitions"].auroc == found["C>T"].auroc


def test_theta_is_what_the_package_predicts(store: ColumnStore) -> None:
    predictions = import_module("predictions")
    model = phylotools.load_model()
    theta = predictions.theta_of_contig(model, store, "chrM")
    site = phylotools.predict_sites(model, regions=[("chrM", 2000, 9000)])[0]
    log_pi = model.substitution.log_equilibrium_frequencies(torch.from_numpy(theta[2000:9000]))
    np.testing.assert_allclose(log_pi.exp(), site.frequencies, atol=2e-5)
    # Where nothing was fitted to the column, the end of the context is felt half a field away.
    network = predictions.open_predictor("mammals671-mtdna:network")
    whole = predictions.theta_of_contig(network, store, "chrM")
    cut = predictions.theta_of_contig(network, store, "chrM", cuts=[5000])
    half = model.receptive_field // 2
    np.testing.assert_allclose(cut[: 5000 - half], whole[: 5000 - half], atol=2e-5)
    assert np.abs(cut[4999] - whole[4999]).max() > 0.01
    assert np.abs(theta[4999] - whole[4999]).max() > 0.01


def test_what_is_told_more_predicts_better(store: ColumnStore, genes: Path) -> None:
    nulls = import_module("null_models")
    held_out = RegionSet.of([Region("chrM", 10469, 10759)])  # ND4L
    samples = nulls.training_samples([store], str(genes), held_out)
    assert sum(len(columns.positions) for columns, _ in samples) == 161 + 522
    fitted = [nulls.fit(name, samples, "hky") for name in ("constants", "table")]
    columns, plan = samples[0]
    means = [null.log_likelihoods(columns, plan).mean() for null in fitted]
    plain = nulls.NullModel("tree", nulls.neutral(fitted[0].substitution, 1),
                            fitted[0].substitution)  # fmt: skip
    assert plain.log_likelihoods(columns, plan).mean() < means[0] < means[1]


def test_labels_are_measured_from_a_model(store: ColumnStore, genes: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.tsv"
    made = subprocess.run(
        [sys.executable, STUDY / "make_labels.py", "mtdna", genes,
         MTDNA / "chrM_all_snvs_labels.tsv.gz", store.path],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    labels.write_text(made.stdout)
    command = [sys.executable, STUDY / "measure.py", labels, store.path, "--stretch", "50"]
    table = tmp_path / "areas.tsv"
    subprocess.run(
        [*command, "--models", "own=mammals671-mtdna", "--replicates", "20", "-o", table],
        check=True,
    )
    with table.open() as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    found = {(r["comparison"], r["subset"], r["score"]): float(r["auroc"]) for r in rows}
    assert found["missense", "all", "class alone"] == 1
    assert found["missense", "within types", "type alone"] == 0.5
    assert found["missense", "all", "own fixation"] > 0.9
    # What differs by type of change alone is the same within a type.
    assert found["missense", "T>C", "own llr"] == found["missense", "T>C", "own fitness"]
