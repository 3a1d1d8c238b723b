"""The model that ships: it is what its manifest says, and scores what it did when it was made."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from phylotools.cli.main import run
from phylotools.model.registry import DEFAULT_MODEL, list_models, load_model, verify_model

DATA = Path(__file__).parents[2] / "examples" / "human_mtdna" / "data"

#: Classic variants: Leber's optic neuropathy (m.3460G>A, m.11778G>A, m.14484T>C), NARP (m.8993T>G),
#: and m.8860A>G, which nearly every human but the reference carries. F_alt - F_ref of each.
GOLDEN = {
    (3460, "G", "A"): -9.1171,
    (8860, "A", "G"): 0.6009,
    (8993, "T", "C"): -8.6838,
    (8993, "T", "G"): -6.1756,
    (11778, "G", "A"): -7.3831,
    (14484, "T", "C"): -4.8855,
}


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    path = tmp_path_factory.mktemp("shipped") / "scored.vcf"
    arguments = ["annotate", str(DATA / "labelled_snvs.vcf.gz"), "-o", str(path), "-q"]
    assert run([*arguments, "--score", "fitness"]) == 0
    records = {}
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            fields = line.split("\t")
            info = dict(entry.split("=", 1) for entry in fields[7].split(";") if "=" in entry)
            records[int(fields[1]), fields[3], fields[4]] = info
    return records


def test_model_is_listed_and_verifies():
    assert DEFAULT_MODEL in [summary.name for summary in list_models()]
    model = load_model()
    assert verify_model(model) < 1e-4
    assert model.receptive_field == 97
    assert model.reference_fasta is not None
    assert model.training_regions.n_positions == 11317


def test_no_path_of_a_machine_ships():
    model = load_model()
    for name in ("config.toml", "manifest.json", "card.md"):
        text = (model.folder / name).read_text()
        assert not re.search(r"(^|[\s\"'`(=])/\w+/", text), "an absolute path"


@pytest.mark.parametrize(("variant", "expected"), GOLDEN.items(), ids=str)
def test_golden_scores(scored, variant, expected):
    # Another machine's arithmetic may differ in the last printed decimals.
    assert float(scored[variant]["PHYLOGPN_FITNESS"]) == pytest.approx(expected, abs=2e-3)
    mutation = dict(zip("ACGT", load_model().mutation_process.log_frequencies, strict=True))
    _, ref, alt = variant
    llr = expected + mutation[alt] - mutation[ref]
    assert float(scored[variant]["PHYLOGPN_LLR"]) == pytest.approx(llr, abs=2e-3)
    assert scored[variant]["PHYLOGPN_STATUS"] == "ok"


def test_card_figures_are_what_evaluate_measures(scored, tmp_path):
    report = tmp_path / "report"
    arguments = [
        *("evaluate", str(tmp_path / "scored.vcf"), "-q", "--bootstrap", "0", "-o", str(report)),
        *("--label-column", "LABEL", "--positive", "pathogenic", "--negative", "common"),
        *("--score", "PHYLOGPN_FITNESS", "--class-column", "CLASS", "-R", str(DATA / "genes.bed")),
    ]
    annotated = ["-o", arguments[1], "-q", "--score", "fitness"]
    assert run(["annotate", str(DATA / "labelled_snvs.vcf.gz"), *annotated]) == 0
    assert run(arguments) == 0
    measured = {
        row["class"]: (row["auroc"], row["auprc"])
        for row in json.loads((report / "metrics.json").read_text())["metrics"]
    }
    for row in load_model().manifest["metrics"]["rows"]:
        # Measured when the field of this name held F_alt - F_ref.
        if row["score"] == "PHYLOGPN_LLR":
            wanted = (row["auroc"][0], row["auprc"][0])
            assert measured[row["class"]] == pytest.approx(wanted, abs=2e-3)
