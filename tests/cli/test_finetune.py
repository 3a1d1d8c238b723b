"""`phylotools finetune`: planted signals, leaks, hostile labels, and the score in annotate."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from toy_models import CHRM, write_toy_model

from phylotools.cli.main import run
from phylotools.finetuning.items import LabelQuestion
from phylotools.finetuning.reading import read_labels
from phylotools.finetuning.variants import NetworkSettings, variant_features
from phylotools.model.registry import load_model

GENES = 8
HEADER = (
    '##fileformat=VCFv4.2\n##INFO=<ID=L,Number=A,Type=String,Description="x">\n'
    '##INFO=<ID=G,Number=1,Type=String,Description="x">\n'
    '##INFO=<ID=C,Number=1,Type=String,Description="x">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
)
CLASSES = ["--label-column", "L", "--positive", "bad", "--negative", "good"]
BY_GENE = [*CLASSES, "--group-by", "G", "--bootstrap", "50", "-@", "1", "-q"]
SEQUENCE = "".join(CHRM.read_text().split("\n")[1:]).upper()


@pytest.fixture(scope="module")
def model(tmp_path_factory, one_thread) -> str:
    return str(write_toy_model(tmp_path_factory.mktemp("toy") / "toy"))


def variants(n: int, seed: int = 1) -> list[tuple[int, str, str]]:
    """Changes of single bases in the genes' regions, 1-based, in order."""
    rng = np.random.default_rng(seed)
    places = [p for p in range(600, 600 + 400 * GENES) if SEQUENCE[p - 1] != "N"]
    found = []
    for position in np.sort(rng.choice(places, n, replace=False)).tolist():
        ref = SEQUENCE[position - 1]
        found.append((position, ref, str(rng.choice([b for b in "ACGT" if b != ref]))))
    return found


def gene_of(position: int) -> str:
    return f"g{(position - 600) // 400}"


def vcf_of(rows, labels, path: Path, genes=gene_of) -> Path:
    lines = [
        f"chrM\t{pos}\t.\t{ref}\t{alt}\t.\t.\tL={label};G={genes(pos)};C=c{pos % 2}\n"
        for (pos, ref, alt), label in zip(rows, labels, strict=True)
    ]
    path.write_text(HEADER + "".join(lines))
    return path


@pytest.fixture(scope="module")
def planted(model, tmp_path_factory) -> Path:
    """Labels that are the sign of a random direction among the embeddings."""
    folder = tmp_path_factory.mktemp("planted")
    rows = variants(500)
    path = vcf_of(rows, ["bad", "good"] * (len(rows) // 2) + ["bad"] * (len(rows) % 2),
                  folder / "draft.vcf")  # fmt: skip
    question = LabelQuestion(str(path), "L", frozenset(["bad"]), frozenset(["good"]), group_by="G")
    items = read_labels(question, are_regions=False)
    settings = NetworkSettings(threads=1, output=str(folder / "o"))
    with variant_features(
        load_model(model), items, str(path), settings, keeps_windows=False
    ) as found:
        values = found.table.values[:, found.table.n_scores :]
        units = (values - values.mean(0)) / np.where(values.std(0) > 0, values.std(0), 1)
    signal = units @ np.random.default_rng(9).normal(size=units.shape[1])
    labels = np.where(signal > np.median(signal), "bad", "good")
    return vcf_of(rows, labels, folder / "planted.vcf")


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def auroc(folder: Path) -> float:
    rows = [row for row in table(folder / "predictions.tsv") if row["tuned"] != "NA"]
    return roc_auc_score([float(r["label"]) for r in rows], [float(r["tuned"]) for r in rows])


@pytest.fixture(scope="module")
def tuned(model, planted, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("tuned") / "tuned"
    arguments = ["finetune", str(planted), "-m", model, *BY_GENE, "--class-column", "C"]
    assert run([*arguments, "-o", str(output), "--types", "two"]) == 0
    return output


def test_a_planted_signal_is_found_on_genes_never_seen(tuned):
    rows = table(tuned / "predictions.tsv")
    assert auroc(tuned) > 0.93
    by_fold = {}
    for row in rows:
        by_fold.setdefault(row["group"], set()).add(row["fold"])
    assert len(by_fold) == GENES
    assert all(len(folds) == 1 for folds in by_fold.values())
    metrics = {
        (row["level"], row["class"], row["score"]): row for row in table(tuned / "metrics.tsv")
    }
    overall = metrics["overall", "all", "tuned"]
    assert float(overall["auroc"]) == pytest.approx(auroc(tuned), abs=1e-6)
    assert overall["n_positive_sites"] == str(GENES)
    assert float(overall["auroc_difference_low"]) > 0
    assert {("within", "within classes", "tuned"), ("class", "c0", "tuned")} <= metrics.keys()
    assert ("overall", "all", "(mutation type alone)") in metrics
    text = json.loads((tuned / "metrics.json").read_text())
    assert text["bootstrap"]["resampled"].startswith("groups")
    assert "all fitted" in (tuned / "report.md").read_text()


def test_shuffled_labels_are_not_learned(model, planted, tmp_path):
    """Where fits saw what they are judged by, this would be far from one half."""
    rows = variants(500)
    found = []
    for seed in range(3):
        labels = np.random.default_rng(seed).permutation(["bad", "good"] * 250)[: len(rows)]
        path = vcf_of(rows, labels, tmp_path / f"{seed}.vcf")
        output = tmp_path / f"out{seed}"
        arguments = ["finetune", str(path), "-m", model, *BY_GENE, "-o", str(output)]
        assert run([*arguments, "--bootstrap", "0", "--folds", "4"]) == 0
        found.append(auroc(output))
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


def test_annotate_writes_what_the_head_says(tuned, planted, tmp_path):
    output = tmp_path / "out.vcf"
    extra = "chrM\t700\t.\t{0}\t{0}A\t.\t.\tL=good;G=g0\n".format(SEQUENCE[699])
    (tmp_path / "in.vcf").write_text(planted.read_text() + extra)
    arguments = ["annotate", str(tmp_path / "in.vcf"), "-o", str(output), "-@", "1", "-q"]
    assert run([*arguments, "-m", str(tuned)]) == 0
    lines = output.read_text().splitlines()
    (declared,) = [line for line in lines if "ID=PHYLOGPN_TUNED" in line]
    assert "Number=A,Type=Float" in declared
    assert "Log odds of L bad against good" in declared
    assert any(line.startswith("##phylotools_annotate") and "Tuned=" in line for line in lines)
    info = [
        dict(entry.split("=") for entry in line.split("\t")[7].split(";"))
        for line in lines
        if line[0] != "#"
    ]
    assert info[-1]["PHYLOGPN_TUNED"] == "."  # an insertion
    # The final fit has seen them, so it separates them better than the honest scores do.
    scores = [float(row["PHYLOGPN_TUNED"]) for row in info[:-1]]
    labels = [row["L"] == "bad" for row in info[:-1]]
    assert roc_auc_score(labels, scores) >= auroc(tuned)
    question = LabelQuestion(
        str(planted), "L", frozenset(["bad"]), frozenset(["good"]), group_by="G"
    )
    items = read_labels(question, are_regions=False)
    own = load_model(str(tuned))
    with variant_features(
        own, items, str(planted), NetworkSettings(threads=1, output=str(tmp_path / "o")),
        keeps_windows=False,
    ) as found:  # fmt: skip
        expected = own.tuned.head.score(found.table.values)
    assert scores == pytest.approx(expected, abs=6e-5)
    # The scores of the model are those that it gives without a head, digit by digit.
    plain = tmp_path / "plain.vcf"
    base = Path(load_model(str(tuned)).folder)
    assert base == tuned
    for name in ("head.safetensors", "tuning.toml"):
        assert (tuned / name).is_file()
    toy = str(write_toy_model(tmp_path / "toy"))
    assert run(["annotate", str(tmp_path / "in.vcf"), "-o", str(plain), "-m", toy, "-q"]) == 0
    for line in plain.read_text().splitlines():
        if line[0] != "#":
            assert any(tuned_line.startswith(line) for tuned_line in lines)


def test_adapters_are_merged_and_said(model, planted, tmp_path):
    output = tmp_path / "adapted"
    arguments = ["finetune", str(planted), "-m", model, *BY_GENE, "-o", str(output)]
    summary = tmp_path / "summary.json"
    few = ["--folds", "2", "--inner-folds", "2", "--adapters", "2", "--epochs", "2"]
    assert run([*arguments, *few, "--summary-json", str(summary)]) == 0
    found = json.loads(summary.read_text())
    assert set(found["held_out"]) == {"fixation", "llr", "head", "tuned"}
    assert found["held_out"]["tuned"] > 0.8
    own = load_model(str(output))
    assert (own.tuned.rank, bool(own.tuned.adapters)) in ((2, True), (0, False))
    assert own.tuned.facts["epochs"] == found["epochs"]
    scored = tmp_path / "out.vcf"
    assert run(["annotate", str(planted), "-m", str(output), "-o", str(scored), "-q"]) == 0
    assert scored.read_text().count("PHYLOGPN_TUNED=") == len(variants(500))


def test_numbers_and_a_held_out_gene(model, planted, tmp_path, capsys):
    rows = variants(500)
    labels = [f"{SEQUENCE[pos - 2] in 'CG'}".replace("True", "3.5").replace("False", "-1")
              for pos, _, _ in rows]  # fmt: skip
    path = vcf_of(rows, labels, tmp_path / "numbers.vcf")
    output = tmp_path / "numbers"
    arguments = ["finetune", str(path), "-m", model, "--label-column", "L", "--group-by", "G"]
    arguments += ["--bootstrap", "50", "-o", str(output), "-q"]
    assert run([*arguments, "--held-out", "G=g3,g5"]) == 0
    assert "Spearman" in capsys.readouterr().out
    found = table(output / "predictions.tsv")
    assert {row["group"] for row in found if row["tuned"] != "NA"} == {"g3", "g5"}
    held = sum(row["group"] in ("g3", "g5") for row in found)
    # What is held out stays so: the final fit has not seen it.
    assert load_model(str(output)).tuned.facts["fitted_to"] == len(found) - held


def test_regions(model, tmp_path):
    rng = np.random.default_rng(1)
    lines, starts = [], np.sort(rng.choice(np.arange(600, 3800, 8), 240, replace=False))
    for start in starts.tolist():
        n_gc = sum(base in "CG" for base in SEQUENCE[start : start + 6])
        gene = gene_of(start)
        lines.append(f"chrM\t{start}\t{start + 6}\t{gene}\t{'gc' if n_gc > 2 else 'at'}\n")
    path = tmp_path / "regions.bed"
    path.write_text("".join(lines))
    output = tmp_path / "regions"
    arguments = ["finetune", str(path), "-m", model, "--label-column", "5", "--positive", "gc"]
    arguments += ["--negative", "at", "--group-by", "name", "--bootstrap", "20", "-q"]
    assert run([*arguments, "-o", str(output)]) == 0
    assert auroc(output) > 0.75
    metrics = table(output / "metrics.tsv")
    assert {row["score"] for row in metrics} == {"log_rate", "tuned"}
    scores = tmp_path / "scores.tsv"
    assert run(["finetune", "--apply", str(output), str(path), "-o", str(scores), "-q"]) == 0
    found = table(scores)
    assert [row["name"] for row in found] == [gene_of(start) for start in starts]
    # The final fit has seen these regions.
    labels = [line.strip().endswith("gc") for line in lines]
    assert roc_auc_score(labels, [float(row["tuned"]) for row in found]) > auroc(output) - 0.01
    # annotate has no use for a head of regions.
    vcf = vcf_of(variants(3), ["bad"] * 3, tmp_path / "in.vcf")
    assert run(["annotate", str(vcf), "-m", str(output), "-o", str(tmp_path / "o.vcf"), "-q"]) == 0
    assert "TUNED" not in (tmp_path / "o.vcf").read_text()


def test_adapters_of_regions(model, tmp_path, capsys):
    lines = [
        f"chrM\t{start}\t{start + 3}\t{gene_of(start)}\t{start % 7}\n"
        for start in range(600, 3600, 25)
    ]
    path = tmp_path / "regions.bed"
    path.write_text("".join(lines))
    arguments = ["finetune", str(path), "-m", model, "--label-column", "score", "--group-by", "4"]
    arguments += ["--bootstrap", "0", "--adapters", "1", "--epochs", "1", "-q"]
    few = ["--folds", "2", "--inner-folds", "2", "-o", str(tmp_path / "o")]
    assert run([*arguments, *few]) == 0
    assert {row["score"] for row in table(tmp_path / "o" / "metrics.tsv")} == {
        *("log_rate", "head", "tuned")
    }
    path.write_text("".join([*lines, "chrM\t5000\t6500\tlong\t3\n"]))
    assert run([*arguments, "-o", str(tmp_path / "p")]) == 2
    assert "regions may have 1024 bases, the longest here has 1,500" in capsys.readouterr().err


def test_apply_needs_a_head_for_regions(model, tuned, tmp_path, capsys):
    bed = tmp_path / "in.bed"
    bed.write_text("chrM\t700\t710\n")
    for folder, message in ((model, "has no head"), (str(tuned), "has a head for variants")):
        output = str(tmp_path / "o.tsv")
        assert run(["finetune", "--apply", folder, str(bed), "-o", output, "-q"]) == 2
        assert message in capsys.readouterr().err
    arguments = ["finetune", "--apply", str(tuned), str(bed), "-o", str(tmp_path / "o.tsv"), "-q"]
    assert run([*arguments, "--label-column", "L"]) == 2
    assert "--apply fits nothing: leave out --label-column" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--label-column", "Q"], "there is no column 'Q'"),
        (["--positive", "ugly"], "nothing that can be used has the positive value ugly"),
        (["--group-by", "contig"], "too few groups: chrM would be on both sides"),
        (["--held-out", "chrM:700-2000"], "the labels leak: 2 groups on both sides"),
        (["--held-out", "chr9"], "nothing is held out"),
        (["--held-out", "chrM:1010-1100"], "the labels leak: 1 group on both sides"),
        (["--groups", "genes.bed"], "give --group-by or --groups"),
    ],
)
def test_bad_usage_is_one_line(model, planted, tmp_path, capsys, change, message):
    output = tmp_path / "none"
    arguments = {"--label-column": "L", "--positive": "bad", "--negative": "good"}
    arguments |= {"--group-by": "G", change[0]: change[1]}
    options = [text for pair in arguments.items() for text in pair]
    assert run(["finetune", str(planted), "-m", model, *options, "-o", str(output), "-q"]) in (1, 2)
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_one_class_alone_is_refused(model, planted, tmp_path, capsys):
    arguments = ["finetune", str(planted), "-m", model, "-o", str(tmp_path / "o"), "-q"]
    arguments += ["--label-column", "L", "--positive", "bad", "--group-by", "G"]
    assert run(arguments) == 2
    assert "give both --positive and --negative" in capsys.readouterr().err
    # Words are no numbers.
    assert run([*arguments[:-4], "--group-by", "G"]) == 1
    assert "label 'bad' in column 'L' is not a number" in capsys.readouterr().err.replace(
        "good", "bad"
    )


def test_a_variant_on_both_sides_is_refused(model, tmp_path, capsys):
    rows = variants(60)
    path = vcf_of([*rows, rows[5]], ["bad", "good"] * 30 + ["good"], tmp_path / "twice.vcf")
    lines = path.read_text().splitlines()
    lines[-1] = lines[-1].replace("C=c", "C=test")
    path.write_text("\n".join(lines) + "\n")
    arguments = ["finetune", str(path), "-m", model, *BY_GENE, "-o", str(tmp_path / "o")]
    assert run([*arguments, "--held-out", f"C=test{rows[5][0] % 2}"]) == 1
    assert "the labels leak: 1 item of --held-out" in capsys.readouterr().err


def test_wrong_reference_bases_are_refused_and_nothing_is_left(model, tmp_path, capsys):
    other = str.maketrans("ACGT", "CATG")
    rows = [(pos, ref.translate(other), ref) for pos, ref, _ in variants(200)]
    path = vcf_of(rows, ["bad", "good"] * 100, tmp_path / "wrong.vcf")
    output = tmp_path / "o"
    assert run(["finetune", str(path), "-m", model, *BY_GENE, "-o", str(output)]) == 1
    assert "REF" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == [path]


def test_what_cannot_be_used_is_left_out_and_counted(model, tmp_path, capsys):
    rows = variants(200)
    labels = ["bad", "good"] * 100
    path = vcf_of(rows, labels, tmp_path / "odd.vcf")
    (p, r, a), (q, s, b), (t, u, _) = rows[0], rows[1], rows[2]
    extra = [
        f"chrM\t{p}\t.\t{r}\t{a}\t.\t.\tL=good;G=g0\n",  # the other label
        f"chrM\t{q}\t.\t{s}\t{b}\t.\t.\tL=good;G=g0\n",  # once more
        f"chrM\t{t}\t.\t{u}\t{u}T\t.\t.\tL=good;G=g0\n",  # an insertion
        f"chrM\t16000\t.\t{SEQUENCE[15999]}\tN\t.\t.\tL=nothing;G=g0\n",
        "chrM\t9000\t.\tA\tC,G\t.\t.\tL=bad,.;G=.\n",  # no gene
    ]
    path.write_text(path.read_text() + "".join(extra))
    question = LabelQuestion(str(path), "L", frozenset(["bad"]), frozenset(["good"]), "G")
    items = read_labels(question, are_regions=False)
    assert len(items) == len(rows) - 1
    assert rows[0][0] - 1 not in items.start


def test_an_existing_folder_is_kept_without_force(model, planted, tmp_path, capsys):
    output = tmp_path / "mine"
    output.mkdir()
    arguments = ["finetune", str(planted), "-m", model, *BY_GENE, "-o", str(output)]
    assert run(arguments) == 1
    assert "exists" in capsys.readouterr().err
    (output / "notes.txt").write_text("mine")
    assert run([*arguments, "--force"]) == 1
    assert (output / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["head.safetensors", "tuning.toml"])
def test_a_damaged_head_is_refused(tuned, tmp_path, capsys, name):
    import shutil

    damaged = tmp_path / "damaged"
    shutil.copytree(tuned, damaged)
    (damaged / name).unlink()
    assert run(["model", "info", str(damaged)]) == 1
    assert f"{name}: the file is missing" in capsys.readouterr().err


def test_scores_that_the_head_was_not_fitted_beside_are_refused(tuned, planted, tmp_path, capsys):
    import shutil

    other = tmp_path / "other"
    shutil.copytree(tuned, other)
    text = (
        (other / "tuning.toml")
        .read_text()
        .replace("in_transcripts = false", "in_transcripts = true")
    )
    (other / "tuning.toml").write_text(text)
    manifest = json.loads((other / "manifest.json").read_text())
    from phylotools.provenance import sha256_file

    manifest["sha256"]["tuning.toml"] = sha256_file(other / "tuning.toml")
    (other / "manifest.json").write_text(json.dumps(manifest))
    arguments = ["annotate", str(planted), "-m", str(other), "-o", str(tmp_path / "o.vcf"), "-q"]
    assert run(arguments) == 2
    assert "was fitted to scores in transcripts" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_leaves_nothing(
    model, planted, tmp_path, capsys, file_size_limit
):
    arguments = ["finetune", str(planted), "-m", model, *BY_GENE, "-o", str(tmp_path / "o")]
    with file_size_limit(8000):
        assert run(arguments) == 1
    error = capsys.readouterr().err
    assert f"{tmp_path}/o: cannot write" in error
    assert len(error.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_stopped_leaves_nothing(model, planted, tmp_path, monkeypatch):
    from phylotools.finetuning import outputs

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(outputs, "write_worth", stop)
    arguments = ["finetune", str(planted), "-m", model, *BY_GENE, "-o", str(tmp_path / "o")]
    assert run(arguments) == 130
    assert not list(tmp_path.iterdir())


def test_the_same_labels_in_another_order_give_the_same_scores(model, planted, tuned, tmp_path):
    lines = planted.read_text().splitlines(keepends=True)
    header = [line for line in lines if line[0] == "#"]
    rows = [line for line in lines if line[0] != "#"]
    order = np.random.default_rng(1).permutation(len(rows))
    path = tmp_path / "shuffled.vcf"
    path.write_text("".join([*header, *(rows[k] for k in order)]))
    output = tmp_path / "again"
    assert run(["finetune", str(path), "-m", model, *BY_GENE, "-o", str(output)]) == 0

    def scores(folder: Path) -> dict:
        found = table(folder / "predictions.tsv")
        return {(r["pos"], r["alt"]): (r["fold"], float(r["tuned"])) for r in found}

    before, after = scores(tuned), scores(output)
    assert before.keys() == after.keys()
    assert all(before[key][0] == after[key][0] for key in before)
    assert all(before[key][1] == pytest.approx(after[key][1], abs=1e-4) for key in before)


def test_groups_of_a_bed_that_overlap_are_one(model, planted, tmp_path):
    genes = tmp_path / "genes.bed"
    lines = [f"MT\t{599 + 400 * k}\t{999 + 400 * k}\tgene{k}\n" for k in range(GENES)]
    lines.append("MT\t1000\t1500\tacross\n")
    genes.write_text("".join(lines))
    question = LabelQuestion(
        str(planted), "L", frozenset(["bad"]), frozenset(["good"]), groups=str(genes)
    )
    items = read_labels(question, are_regions=False)
    from phylotools.finetuning.folds import join_groups

    clusters = join_groups(items)
    # `across` lies in genes 1 and 2; whoever was first named has its variants.
    assert set(clusters.names) == {"gene0", "gene1+gene2"} | {f"gene{k}" for k in range(3, GENES)}
