"""In-silico mutagenesis and influence against brute force, by their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from brute_force import LETTERS

from phylotools.api.sites import predict_sites
from phylotools.errors import UsageError
from phylotools.interpret.influence import influence_blocks
from phylotools.interpret.mutagenesis import EFFECTS, site_effects
from phylotools.io.regions import Region

pytestmark = pytest.mark.usefixtures("one_thread")
REACH = 12


def slow_effects(brute_force, position: int, base: str, within: int = REACH) -> dict[str, float]:
    """What docs/interpret.md says, written down once more."""
    before, after = brute_force.log_probability(LETTERS), brute_force.substituted(position, base)
    changed = LETTERS[:position] + base + LETTERS[position + 1 :]
    sites = range(max(0, position - within), min(len(LETTERS), position + within + 1))

    def stands(log_probability: np.ndarray, text: str, j: int) -> float:
        code = "ACGTN".index(text[j].upper())
        return 0.0 if code == 4 else float(log_probability[j, code])

    def odds(log_probability: np.ndarray, j: int) -> np.ndarray:
        p = np.exp(log_probability[j])
        return np.log(p / (1 - p))

    own = stands(after, changed, position) - stands(before, LETTERS, position)
    others = [j for j in sites if j != position]
    around = sum(stands(after, changed, j) - stands(before, LETTERS, j) for j in others)
    entropy = [-(np.exp(p) * p).sum(axis=1) for p in (before, after)]
    reference = "ACGT".index(LETTERS[position].upper())
    shifts = [np.abs(odds(after, j) - odds(before, j)).max() for j in others]
    return {
        "log_likelihood": own + around,
        "neighbours": around,
        "entropy": sum(entropy[1][j] - entropy[0][j] for j in sites),
        "influence": float(np.mean(shifts)) if shifts else 0.0,
        "llr": float(before[position, "ACGT".index(base)] - before[position, reference]),
    }


@pytest.mark.parametrize("within", [None, 3, 0])
def test_effects_are_those_of_brute_force(scorer, brute_force, within) -> None:
    region = Region("one", 0, len(LETTERS))
    sites = list(site_effects(scorer, [region], within=within))
    known = [k for k, letter in enumerate(LETTERS) if letter != "N"]
    assert [site.position for site in sites] == known
    for site in sites[::9]:
        letter = LETTERS[site.position].upper()
        assert (site.values["ACGT".index(letter)] == 0).all()
        for base in set("ACGT") - {letter}:
            reach = REACH if within is None else within
            expected = slow_effects(brute_force, site.position, base, reach)
            found = dict(zip(EFFECTS, site.values["ACGT".index(base)].tolist(), strict=True))
            for name, value in expected.items():
                assert found[name] == pytest.approx(value, abs=1e-5), name


def test_the_rate_is_that_of_the_substitution_model(scorer, toy) -> None:
    position, base = 30, 2
    site = next(iter(site_effects(scorer, [Region("one", position, position + 1)])))
    sums = []
    for text in (LETTERS, LETTERS[:position] + "G" + LETTERS[position + 1 :]):
        rate = predict_sites(toy, text, threads=1).rate
        sums.append(np.log(rate[position - REACH : position + REACH + 1]).sum())
    assert site.values[base, EFFECTS.index("log_rate")] == pytest.approx(
        sums[1] - sums[0], abs=1e-4
    )
    assert torch.get_num_threads() == 1


def test_influence_is_the_mean_of_the_largest_changes(scorer, brute_force) -> None:
    region = Region("one", 10, 60)
    blocks = list(influence_blocks(scorer, [region]))
    positions = np.concatenate([block[1] for block in blocks])
    scores = np.concatenate([block[2] for block in blocks])
    assert positions.tolist() == [k for k in range(10, 60) if LETTERS[k] != "N"]
    before = np.exp(brute_force.log_probability(LETTERS))
    for row in range(0, len(positions), 11):
        i = int(positions[row])
        largest = np.zeros(len(LETTERS))
        for base in set("ACGT") - {LETTERS[i].upper()}:
            after = np.exp(brute_force.substituted(i, base))
            change = np.log(after / (1 - after)) - np.log(before / (1 - before))
            largest = np.maximum(largest, np.abs(change).max(axis=1))
        sites = [j for j in range(max(0, i - REACH), min(len(LETTERS), i + REACH + 1)) if j != i]
        assert scores[row] == pytest.approx(largest[sites].mean(), abs=1e-5)


def test_blocks_of_influence_do_not_show(scorer, monkeypatch) -> None:
    region = Region("one", 0, len(LETTERS))
    whole = np.concatenate([scores for _, _, scores in influence_blocks(scorer, [region])])
    monkeypatch.setattr("phylotools.interpret.influence._BLOCK", 7)
    parts = list(influence_blocks(scorer, [region]))
    assert {len(scores) for _, _, scores in parts[:-1]} == {7}
    np.testing.assert_array_equal(np.concatenate([scores for _, _, scores in parts]), whole)


def test_within_must_be_a_distance(scorer) -> None:
    with pytest.raises(UsageError, match="0 or more"):
        next(iter(site_effects(scorer, [Region("one", 0, 5)], within=-1)))
