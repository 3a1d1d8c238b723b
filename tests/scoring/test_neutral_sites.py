"""LLRs of neutral sites by pentanucleotide, against a walk over single positions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy_scoring import SEQUENCE

from phylotools.errors import InputError
from phylotools.io.regions import Region, RegionSet
from phylotools.model.calibration import N_CONTEXTS, context_index
from phylotools.scoring.neutral_sites import contexts_at, survey_neutral_sites
from phylotools.scoring.reference import ReferenceLetters
from phylotools.scoring.scorer import Scorer

LETTERS = SEQUENCE.upper()


def context(position: int) -> int:
    padded = f"NN{LETTERS}NN"[position : position + 5]
    codes = np.array([["ACGTN".index(base) for base in padded]], dtype=np.uint8)
    return int(context_index(codes)[0])


def test_contexts_are_the_letters_around(genome) -> None:
    positions = np.random.default_rng(2).permutation(len(LETTERS))
    found = contexts_at(ReferenceLetters(genome), "chr1", positions)
    assert found.tolist() == [context(position) for position in positions.tolist()]


@pytest.mark.parametrize("span", [3, 1 << 16])
def test_llrs_are_summed_up_by_context(toy_model, genome, monkeypatch, span: int) -> None:
    monkeypatch.setattr("phylotools.scoring.neutral_sites._SPAN", span)
    scorer = Scorer(toy_model, genome, threads=1)
    regions = RegionSet.of([Region("chr1", 0, 20), Region("chr1", 25, 35)])
    seen: list[int] = []
    found = survey_neutral_sites(scorer, regions, seen.append)
    assert sum(seen) == 30
    theta = torch.from_numpy(scorer.theta(Region("chr1", 0, len(LETTERS)))).double()
    counts, sums = np.zeros(N_CONTEXTS, dtype=int), np.zeros((N_CONTEXTS, 4))
    for position in (*range(20), *range(25, 35)):
        if LETTERS[position] == "N":
            continue
        changes = toy_model.substitution.change_scores(theta[position], "llr").numpy()
        counts[context(position)] += 1
        sums[context(position)] += changes["ACGT".index(LETTERS[position])]
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_allclose(found.sums, sums, atol=1e-9)
    assert found.n_sites == 29


def test_nothing_to_learn_from(toy_model, genome) -> None:
    scorer = Scorer(toy_model, genome, threads=1)
    with pytest.raises(InputError, match="no position of the neutral regions"):
        survey_neutral_sites(scorer, RegionSet.of([Region("chr1", 8, 9)]))
