"""The study of indel scores, small, says what docs/indels.md says."""

from __future__ import annotations

import csv
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

STUDY = Path(__file__).parents[2] / "examples" / "indel_validation"


@pytest.fixture(scope="module")
def simulated() -> list[dict[str, str]]:
    found = subprocess.run(
        [sys.executable, STUDY / "simulated.py", "--elements", "60"],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return list(csv.DictReader(found.stdout.splitlines(), delimiter="\t"))


@pytest.mark.parametrize("change", ["deletion", "insertion"])
@pytest.mark.parametrize("length", ["1", "2", "3", "6", "12"])
def test_constraint_is_told_from_neutrality(simulated, change: str, length: str) -> None:
    rows = {
        row["definition"]: {key: float(row[key]) for key in list(row)[3:]}
        for row in simulated
        if (row["change"], row["length"]) == (change, length)
    }
    chosen = rows["context 5"]
    assert chosen["AUROC"] > 0.95
    assert chosen["constrained_mean"] < -4
    assert abs(chosen["far_mean"]) < 0.5
    # It is the network that tells them apart, not how many bases change.
    assert rows["changed sites"]["AUROC"] < 0.65
    if int(length) <= 3:
        assert rows["own bases"]["AUROC"] < chosen["AUROC"]


@pytest.fixture(scope="module")
def mtdna() -> ModuleType:
    sys.path.insert(0, str(STUDY))
    try:
        spec = importlib.util.spec_from_file_location("indel_mtdna", STUDY / "mtdna.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(STUDY))
    return module


def test_ranks_within_strata_by_hand(mtdna: ModuleType) -> None:
    scores = np.array([3.0, 1, 2, 4, 5, 6, 10, 0, 7, 7])
    tolerated = np.array([True] + [False] * 5 + [True, False, True, False])
    strata = np.array([0] * 6 + [1, 1, 2, 2])
    found = mtdna.stratified(scores, tolerated, strata)
    assert found[0] == 2 / 5
    # Too few others in the other strata.
    assert np.isnan(found[1:]).all()


def test_species_that_lack_a_base_are_counted(mtdna: ModuleType) -> None:
    lacking, present = mtdna.gaps()
    assert int((present > 0).sum()) == 11317
    assert int(present.max()) == 670
    assert (lacking <= present).all()
    assert int((lacking > 0).sum()) == 627


def test_runs_and_loci(mtdna: ModuleType) -> None:
    assert mtdna.run_length(b"ACCCG", 1, b"C") == 3
    assert mtdna.run_length(b"ACCCG", 0, b"C") == 0
    kinds = mtdna.locus_kinds()
    assert (kinds[0], kinds[3230], kinds[1000]) == ("control", "tRNA", "rRNA")
    assert 5000 not in kinds
