"""`phylotools evaluate embeddings`: planted labels on a toy network, bad input, the folder."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics
from toy_models import write_toy_model

import phylotools
from phylotools.cli import evaluate_embeddings
from phylotools.cli.main import run
from phylotools.probing.question import BASELINES
from phylotools.probing.tasks import TASKS

N_CONTIGS, LENGTH = 12, 600
FEW = ["--bootstrap", "40", "-@", "1", "-q"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, one_thread) -> Path:
    """A toy model, a genome of twelve contigs and labels that one of its channels decides."""
    place = tmp_path_factory.mktemp("judged")
    random = np.random.default_rng(3)
    names = [f"s{k}" for k in range(N_CONTIGS)]
    with (place / "genome.fa").open("w") as handle:
        for name in names:
            handle.write(f">{name}\n{''.join(random.choice([*'ACGT'], LENGTH))}\n")
    write_toy_model(place / "toy", reference=place / "genome.fa")
    model = phylotools.load_model(str(place / "toy"))
    vectors = phylotools.embed(model, regions=names, pool="none", threads=1)
    middle = np.median([each[:, 1] for each in vectors])
    with (place / "bases.bed").open("w") as bases:
        for name, values in zip(names, vectors, strict=True):
            high = values[:, 1] > middle
            for k in range(LENGTH):
                bases.write(f"{name}\t{k}\t{k + 1}\t{'high' if high[k] else 'low'}\n")
    regions = [(name, start) for name in names for start in range(0, LENGTH, 30)]
    means = np.concatenate([each.reshape(-1, 30, 8).mean(axis=1) for each in vectors])
    signs = means[:, :3] > np.median(means[:, :3], axis=0)
    with (place / "samples.bed").open("w") as several, (place / "kinds.bed").open("w") as kinds:
        several.write("chromosome\tstart\tend\tsplit\tlabel\n")
        for (name, start), labels in zip(regions, signs.tolist(), strict=True):
            part = {"s0": "valid", "s1": "valid", "s2": "valid"}.get(name, "train")
            part = "test" if name in ("s3", "s4", "s5", "s6", "s7") else part
            listed = ",".join(str(t) for t, label in enumerate(labels) if label)
            several.write(f"{name}\t{start}\t{start + 30}\t{part}\t{listed}\n")
            kind = "up" if labels[0] else "down"
            kinds.write(f"{name}\t{start}\t{start + 30}\t{kind}\n")
    return place


def judge(folder: Path, labels: str, *more: str) -> int:
    arguments = ["evaluate", "embeddings", str(folder / labels), "-m", str(folder / "toy"), *FEW]
    return run([*arguments, *more])


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def value_of(folder: Path, name: str) -> float:
    rows = table(folder / "metrics.tsv")
    (row,) = (row for row in rows if row["level"] == "overall" and row["input"] == name)
    return float(row["value"])


@pytest.fixture(scope="module")
def bases(folder) -> Path:
    output = folder / "of_bases"
    more = ["--task", "bases", "--window", "128", "--epochs", "12", "-o", str(output)]
    assert judge(folder, "bases.bed", *more, "--summary-json", str(folder / "s.json")) == 0
    return output


def test_planted_classes_of_bases_are_found(folder, bases):
    assert value_of(bases, "embedding") > 0.85
    assert value_of(bases, "majority") == 0
    assert value_of(bases, "gc") < 0.4
    files = {path.name for path in bases.iterdir()}
    assert files == {"metrics.tsv", "metrics.json", "predictions.tsv", "report.md", "judged.png",
                     "judged.svg"}  # fmt: skip
    report = (bases / "report.md").read_text()
    assert "contigs drawn by --seed; never random positions" in report
    assert "no position is in two parts" in report
    document = json.loads((bases / "metrics.json").read_text())
    contigs = [set(part["contigs"]) for part in document["parts"].values()]
    assert len(set.union(*contigs)) == sum(map(len, contigs)) == N_CONTIGS
    assert document["heads"]["window"]["head"] == "linear"
    summary = json.loads((folder / "s.json").read_text())
    assert summary["values"]["embedding"] == pytest.approx(value_of(bases, "embedding"), abs=1e-5)
    assert list(summary["values"]) == ["embedding", *BASELINES, "majority"]


def test_the_figures_are_those_of_the_predictions(bases):
    rows = table(bases / "predictions.tsv")
    lengths = [int(row["end"]) - int(row["start"]) for row in rows]
    for name in ("embedding", "untrained", "window"):
        expected = metrics.matthews_corrcoef(
            np.repeat([row["label"] for row in rows], lengths),
            np.repeat([row[name] for row in rows], lengths),
        )
        assert value_of(bases, name) == pytest.approx(expected, abs=1e-5)


def test_the_same_command_gives_the_same_numbers(folder, bases):
    output = folder / "again"
    more = ["--task", "bases", "--window", "128", "--epochs", "12", "-o", str(output)]
    assert judge(folder, "bases.bed", *more) == 0
    for name in ("metrics.tsv", "predictions.tsv", "report.md"):
        assert (output / name).read_bytes() == (bases / name).read_bytes()


@pytest.mark.parametrize("head", ["cnn", "linear"])
def test_planted_labels_of_regions(folder, head):
    output = folder / f"labels_{head}"
    more = ["--task", "chromatin", "--head", head, "--baselines", "gc", "--epochs", "15"]
    assert judge(folder, "samples.bed", *more, "-o", str(output)) == 0
    assert value_of(output, "embedding") > 0.9
    assert value_of(output, "majority") == 0.5
    rows = table(output / "predictions.tsv")
    assert len(rows) == 5 * LENGTH // 30
    expected = np.mean(
        [
            metrics.roc_auc_score(
                [int(row[f"label_{t}"]) for row in rows], [float(row[f"score_{t}"]) for row in rows]
            )
            for t in range(3)
        ]
    )
    assert value_of(output, "embedding") == pytest.approx(expected, abs=1e-4)
    assert "column split" in (output / "report.md").read_text()


def test_kinds_of_regions_and_marked_bins(folder):
    output = folder / "kinds"
    more = ["--task", "regions", "--head", "linear", "--baselines", "none", "--epochs", "100"]
    assert judge(folder, "kinds.bed", *more, "-o", str(output)) == 0
    assert value_of(output, "embedding") > 0.7
    output = folder / "bins"
    lines = "".join(f"s{k}\t{128 * (k % 4)}\t{128 * (k % 4) + 100}\tx\n" for k in range(N_CONTIGS))
    (folder / "enhancers.bed").write_text(lines)
    more = ["--task", "enhancer", "--baselines", "gc", "--epochs", "2", "-o", str(output)]
    assert judge(folder, "enhancers.bed", *more) == 0
    rows = table(output / "predictions.tsv")
    assert {int(row["end"]) - int(row["start"]) for row in rows} == {128, LENGTH % 128}
    assert sum(int(row["label_enhancer"]) for row in rows) == len({row["contig"] for row in rows})


def test_variants_are_judged_by_distance(folder, tmp_path):
    genome = dict(each.split("\n", 1) for each in (folder / "genome.fa").read_text().split(">")[1:])
    random = np.random.default_rng(8)
    lines = []
    for name, sequence in genome.items():
        for position in np.sort(random.choice(LENGTH, 12, replace=False)).tolist():
            ref = sequence[position]
            alt = str(random.choice([b for b in "ACGT" if b != ref]))
            label = "bad" if random.random() < 0.5 else "good"
            lines.append(f"{name}\t{position + 1}\t.\t{ref}\t{alt}\t.\t.\tL={label}\n")
    header = '##fileformat=VCFv4.2\n##INFO=<ID=L,Number=1,Type=String,Description="x">\n'
    header += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (folder / "v.vcf").write_text(header + "".join(lines))
    output = tmp_path / "v"
    asked = ["--task", "variants", "--label-column", "L", "--positive", "bad", "--negative", "good"]
    assert judge(folder, "v.vcf", *asked, "-o", str(output)) == 0
    rows = table(output / "predictions.tsv")
    (row,) = (
        row
        for row in table(output / "metrics.tsv")
        if row["score"] == "cosine distance" and row["level"] == "overall"
    )
    distances = [float(each["cosine distance"]) for each in rows]
    expected = metrics.roc_auc_score([int(each["label"]) for each in rows], distances)
    assert float(row["auroc"]) == pytest.approx(expected, abs=1e-4)
    # The distance of one of them, through the Python API.
    first = rows[0]
    model = phylotools.load_model(str(folder / "toy"))
    place = int(first["pos"]) - 1
    sequence = genome[first["contig"]].strip()
    changed = sequence[:place] + first["alt"] + sequence[place + 1 :]
    one, other = (phylotools.embed(model, each, pool="none")[place] for each in (sequence, changed))
    cosine = 1 - one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert distances[0] == pytest.approx(cosine, abs=1e-4)


@pytest.mark.parametrize(
    ("labels", "more", "code", "message"),
    [
        ("none.bed", ["--task", "regions"], 1, "none.bed"),
        ("bases.bed", ["--task", "bases", "--baselines", "luck"], 2, "'luck' is none of"),
        ("bases.bed", ["--task", "bases", "--test", "s1"], 2, "both --valid and --test"),
        ("bases.bed", ["--task", "bases", "--positive", "x"], 2, "--positive is for"),
        ("bases.bed", ["--task", "bases", "-r", "nowhere"], 1, "none of the regions asked for"),
        ("bases.bed", ["--task", "bases", "--strand", "bed"], 2, "for tasks of regions"),
        ("bases.bed", ["--task", "enhancer", "--window", "200"], 2, "multiple of 128"),
        ("bases.bed", ["--task", "bases", "--layer", "block.99"], 2, "block.99"),
        ("kinds.bed", ["--task", "regions", "--test", "s1", "--valid", "s99"], 1, "is valid"),
        ("kinds.bed", ["--task", "variants", "--head", "linear"], 2, "leave out --head"),
        ("kinds.bed", ["--task", "variants"], 2, "needs --label-column"),
        ("-", ["--task", "regions"], 2, "not stdin"),
        ("genome.fa", ["--task", "regions"], 1, "BED"),
    ],
)  # fmt: skip
def test_bad_questions_are_one_line(folder, tmp_path, capsys, labels, more, code, message):
    output = tmp_path / "o"
    name = labels if labels == "-" else str(folder / labels)
    arguments = ["evaluate", "embeddings", name, "-m", str(folder / "toy"), "-q", *more]
    assert run([*arguments, "-o", str(output)]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_kept_without_force(folder, tmp_path, capsys):
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "mine").write_text("x")
    assert judge(folder, "kinds.bed", "--task", "regions", "-o", str(tmp_path / "o")) == 1
    assert "already" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["mine"]


def test_in_a_process_of_its_own(folder, tmp_path):
    """The model is chosen by what the labels lie on; no training of the network, no prompt."""
    command = [
        *(sys.executable, "-m", "phylotools", "evaluate", "embeddings", str(folder / "kinds.bed")),
        *("--task", "regions", "--head", "linear", "--epochs", "2", "--baselines", "gc", "-@", "1"),
        *("-m", str(folder / "toy"), "-o", "o"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("input")
    assert "judged embeddings of toy on" in done.stderr
    assert (tmp_path / "o" / "report.md").exists()


def test_names_of_the_help_are_those_of_the_package():
    assert set(evaluate_embeddings.TASK_NAMES) == set(TASKS)
    assert evaluate_embeddings.BASELINE_NAMES == BASELINES
