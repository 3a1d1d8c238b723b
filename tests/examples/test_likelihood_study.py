"""The likelihood study at a tiny size says what docs/study.md says."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

STUDY = Path(__file__).parents[2] / "examples" / "likelihood_study"
FIGURES = ("recovery", "shared", "confound", "sites", "misordering", "misfit")

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the tables and figures of one quick run."""
    out = tmp_path_factory.mktemp("study")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(
        ["bash", STUDY / "run.sh", out, "--quick", "-@", "1"],
        check=True,
        env=os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"},
    )
    return out


def read(study: Path, name: str, **wanted: str) -> Rows:
    with (study / f"{name}.tsv").open() as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    chosen = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert chosen
    return chosen


def number(rows: Rows, key: str) -> float:
    (row,) = rows
    return float(row[key])


def test_every_figure_is_drawn(study):
    for name in FIGURES:
        assert (study / f"study_{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("quantity", ["llr", "log_site_rate"])
def test_errors_shrink_as_species_are_added(study, quantity):
    rows = read(study, "recovery", quantity=quantity, **{"class": "all"})
    for model in {row["model"] for row in rows}:
        few, many = (
            float(row["rmse"])
            for species in ("8", "64")
            for row in rows
            if row["model"] == model and row["species"] == species
        )
        assert many < 0.85 * few


@pytest.mark.parametrize("model", ["f81", "mutation-selection"])
def test_a_free_rate_loses_the_order_of_alleles_and_a_prior_or_a_fixed_rate_keeps_it(study, model):
    free, prior, fixed = (
        read(study, "rate", model=model, rate=rate) for rate in ("free", "prior", "fixed")
    )
    assert number(free, "misordered") > 0.35
    assert number(free, "auroc") < 0.75
    # R near 0 takes the place of selection: conserved alleles look as viable as any.
    assert number(free, "log_rate_conserved_50%") < -5
    for kept in (prior, fixed):
        assert number(kept, "misordered") < 0.2
        assert number(kept, "auroc") > 0.9


def test_f81_takes_common_mutations_for_tolerated_ones(study):
    truth = "mutation-selection, one rate"

    def gap(fit: str) -> float:
        row = read(study, "misfit", truth=truth, fit=fit)
        return number(row, "neutral_bias_transition") - number(row, "neutral_bias_transversion")

    assert gap("F81") > 0.7
    assert abs(gap("HKY")) < 0.4
    assert abs(gap("mutation-selection, R = 1")) < 0.4


def test_the_true_model_predicts_hidden_species_best(study):
    rows = read(study, "misfit", truth="mutation-selection, one rate")
    best = max(rows, key=lambda row: float(row["held_out_nats"]))
    assert best["fit"].startswith("mutation-selection")
