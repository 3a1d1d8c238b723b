"""Dependency maps against brute force: every substitution scored as a sequence of its own."""

from __future__ import annotations

import numpy as np
import pytest
from brute_force import LETTERS

from phylotools.errors import InputError, UsageError
from phylotools.interpret.changes import log_odds
from phylotools.interpret.dependencies import dependency_map
from phylotools.io.regions import Region

pytestmark = pytest.mark.usefixtures("one_thread")
REGION = Region("one", 8, 60)
REACH = 12


def slow_jacobian(brute_force, measure: str) -> np.ndarray:
    """J of `REGION`, [L, 4, L, 4], without any shortcut."""

    def numbers(log_probability: np.ndarray) -> np.ndarray:
        if measure == "log-probability":
            return log_probability
        probability = np.exp(log_probability)
        return np.log(probability / (1 - probability))

    here = slice(REGION.start, REGION.end)
    before = numbers(brute_force.log_probability(LETTERS))[here]
    found = np.zeros((len(REGION), 4, len(REGION), 4))
    for i in range(len(REGION)):
        for a, base in enumerate("ACGT"):
            if base != LETTERS[REGION.start + i].upper():
                changed = numbers(brute_force.substituted(REGION.start + i, base))
                found[i, a] = changed[here] - before
    return found


@pytest.mark.parametrize("measure", ["log-probability", "log-odds"])
def test_map_and_jacobian_are_those_of_brute_force(scorer, brute_force, measure: str) -> None:
    expected = slow_jacobian(brute_force, measure)
    found = dependency_map(scorer, REGION, measure=measure, keeps_jacobian=True)
    unknown = np.array([letter == "N" for letter in LETTERS[REGION.start : REGION.end]])
    assert found.n_unknown == unknown.sum() == 3
    known = ~unknown
    assert np.isnan(found.values[unknown]).all()
    assert np.isnan(found.values[:, unknown]).all()
    jacobian = found.jacobian[known][:, :, known]
    np.testing.assert_allclose(jacobian, expected[known][:, :, known], rtol=0, atol=2e-6)
    largest = np.abs(expected).max(axis=(1, 3))
    np.fill_diagonal(largest, 0)
    values = found.values[known][:, known]
    np.testing.assert_allclose(values, largest[known][:, known], rtol=0, atol=2e-6)
    assert (np.diag(values) == 0).all()
    # Beyond the reach nothing depends, to the last bit, in what is scored whole too.
    places = np.arange(len(REGION))
    far = np.abs(places[:, None] - places) > REACH
    assert (expected.transpose(0, 2, 1, 3)[far] == 0).all()
    assert (np.nan_to_num(found.values)[far] == 0).all()
    assert found.reach == REACH


def test_a_symmetric_map_is_the_mean_of_both_directions(scorer) -> None:
    plain = dependency_map(scorer, REGION).values
    found = dependency_map(scorer, REGION, is_symmetric=True)
    np.testing.assert_array_equal(found.values, (plain + plain.T) / 2)
    pairs = found.pairs()
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert len({tuple(pair) for pair in pairs.tolist()}) == len(pairs)
    one_way = dependency_map(scorer, REGION).pairs()
    assert len(one_way) == 2 * len(pairs)


def test_a_base_is_read_in_its_place(scorer) -> None:
    """A part of a region has the numbers of the whole: what lies beside it is context."""
    whole = dependency_map(scorer, REGION).values
    part = dependency_map(scorer, Region("one", 20, 40)).values
    np.testing.assert_array_equal(part, whole[12:32, 12:32])


def test_log_odds_do_not_lose_what_is_nearly_certain() -> None:
    tiny = 1e-20
    probability = np.array([[1 - 3 * tiny, tiny, tiny, tiny], [0.25] * 4])
    found = log_odds(np.log(np.array([[1.0, tiny, tiny, tiny], [0.25] * 4])))
    np.testing.assert_allclose(found[0, 0], -np.log(3 * tiny))
    np.testing.assert_allclose(found[1], np.log(0.25 / 0.75))
    np.testing.assert_allclose(found[0, 1:], np.log(probability[0, 1:]))


def test_regions_that_cannot_be_mapped(scorer) -> None:
    with pytest.raises(UsageError, match="5,000 bases; a dependency map is of at most 4,000"):
        dependency_map(scorer, Region("one", 0, 5000))
    with pytest.raises(UsageError, match="the whole Jacobian is of at most 1,000"):
        dependency_map(scorer, Region("one", 0, 1001), keeps_jacobian=True)
    with pytest.raises(InputError, match="has no A, C, G or T"):
        dependency_map(scorer, Region("unknown", 0, 8))
