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
#: and m.8860A>G, which nearly every human but the reference carries. LLR and fixation of each.
GOLDEN = {
    (3460, "G", "A"): (-6.1120, -5.5846),
    (8860, "A", "G"): (-1.0320, -0.2262),
    (8993, "T", "C"): (-6.2930, -5.2872),
    (8993, "T", "G"): (-1.9700, -1.9773),
    (11778, "G", "A"): (-5.9750, -5.6672),
    (14484, "T", "C"): (-4.3060, -2.4330),
}


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    path = tmp_path_factory.mktemp("shipped") / "scored.vcf"
    arguments = ["annotate", str(DATA / "labelled_snvs.vcf.gz"), "-o", str(path), "-q"]
    assert run(arguments) == 0
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
    assert model.receptive_field == 217
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
    found = [float(scored[variant][f"PHYLOGPN_{name}"]) for name in ("LLR", "FIXATION")]
    assert found == pytest.approx(expected, abs=2e-3)
    assert scored[variant]["PHYLOGPN_STATUS"] == "ok"


def test_card_figures_are_what_evaluate_measures(tmp_path):
    report, scored = tmp_path / "report", tmp_path / "scored.vcf"
    arguments = [
        *("evaluate", str(scored), "-q", "--bootstrap", "0", "-o", str(report)),
        *("--label-column", "LABEL", "--positive", "pathogenic", "--negative", "common"),
        *("--score", "PHYLOGPN_LLR", "--score", "PHYLOGPN_FIXATION"),
        *("-R", str(DATA / "genes.bed")),
    ]
    assert run(["annotate", str(DATA / "labelled_snvs.vcf.gz"), "-o", str(scored), "-q"]) == 0
    assert run(arguments) == 0
    measured = {
        row["score"].removeprefix("PHYLOGPN_").lower(): row["auroc"]
        for row in json.loads((report / "metrics.json").read_text())["metrics"]
        if row["class"] == "all" and row["score"].startswith("PHYLOGPN_")
    }
    on_card = {
        row["score"]: row["auroc"][0]
        for row in load_model().manifest["metrics"]["rows"]
        if (row["comparison"], row["subset"]) == ("pathogenic", "all")
    }
    assert len(measured) == 2
    for score, auroc in measured.items():
        assert auroc == pytest.approx(on_card[score], abs=1e-3)
