"""Scores of changes against rate matrices that are made entry by entry, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from slow_substitution import frequencies, rate_matrix
from test_substitution import CASES, every_model, made, tensor, thetas

from phylotools.errors import UsageError
from phylotools.phylogeny.change_scores import (
    MutationProcess,
    SiteTerms,
    log_relative_fixation,
)
from phylotools.phylogeny.score_meaning import (
    CALIBRATED,
    DEFAULT_SCORES,
    MASKED,
    SCORE_NAMES,
    score_key,
    score_meaning,
    written_scores,
)
from phylotools.phylogeny.substitution import SUBSTITUTION_MODELS

OFF_DIAGONAL = ~np.eye(4, dtype=bool)
COMPUTED = [score for score in SCORE_NAMES if score != CALIBRATED]


def neutral_theta(name, given_settings):
    """A site with the frequencies of mutation alone that substitutes once per unit."""
    background = np.array(given_settings.get("background", [0.25] * 4))
    return np.zeros(4) if name == "mutation-selection" else np.log(background / 0.75)


def scores_of(name, given_settings, theta, score):
    return made(name, given_settings).change_scores(tensor(theta), score).numpy()


@every_model
@given(theta=thetas)
def test_llr_is_the_log_ratio_of_equilibrium_frequencies(name, given_settings, theta):
    log_pi = np.log(frequencies(name, given_settings, theta))
    found = scores_of(name, given_settings, theta, "llr")
    np.testing.assert_allclose(found, log_pi[None, :] - log_pi[:, None], atol=1e-6)


@every_model
@given(theta=thetas)
def test_llr_is_the_log_ratio_of_the_rates_there_and_back(name, given_settings, theta):
    """Reversibility: pi_a Q_ab = pi_b Q_ba, up to the exchangeability, which is symmetric."""
    q = rate_matrix(name, given_settings, theta)
    found = scores_of(name, given_settings, theta, "llr")
    wanted = np.log(q[OFF_DIAGONAL] / q.T[OFF_DIAGONAL])
    np.testing.assert_allclose(found[OFF_DIAGONAL], wanted, atol=1e-5)


@every_model
@given(theta=thetas)
def test_fitness_is_the_llr_less_that_of_a_neutral_site(name, given_settings, theta):
    neutral = scores_of(name, given_settings, neutral_theta(name, given_settings), "llr")
    wanted = scores_of(name, given_settings, theta, "llr") - neutral
    np.testing.assert_allclose(scores_of(name, given_settings, theta, "fitness"), wanted, atol=1e-6)


@every_model
@given(theta=thetas)
def test_fixation_is_the_rate_of_substitution_over_that_of_mutation(name, given_settings, theta):
    q = rate_matrix(name, given_settings, theta)
    neutral = rate_matrix(name, given_settings, neutral_theta(name, given_settings))
    found = scores_of(name, given_settings, theta, "fixation")
    wanted = np.log(q[OFF_DIAGONAL] / neutral[OFF_DIAGONAL])
    np.testing.assert_allclose(found[OFF_DIAGONAL], wanted, atol=1e-5)


@every_model
@given(theta=thetas)
def test_rate_to_alt_is_that_of_the_rate_matrix_less_what_sites_share(name, given_settings, theta):
    q = rate_matrix(name, given_settings, theta)
    found = scores_of(name, given_settings, theta, "rate-to-alt")
    if name == "mutation-selection":
        weights = np.array(given_settings["mutation_frequencies"])
        np.testing.assert_allclose(found, np.tile(theta + np.log(weights), (4, 1)), atol=1e-6)
        return
    shared = made(name, given_settings).exchangeabilities().detach().numpy()[OFF_DIAGONAL]
    wanted = np.log(q[OFF_DIAGONAL])
    np.testing.assert_allclose(found[OFF_DIAGONAL] + np.log(shared), wanted, atol=1e-5)


@every_model
@given(theta=thetas)
def test_site_rate_is_the_flow_at_equilibrium(name, given_settings, theta):
    flow = frequencies(name, given_settings, theta) @ -np.diag(
        rate_matrix(name, given_settings, theta)
    )
    found = scores_of(name, given_settings, theta, "site-rate")
    np.testing.assert_allclose(found, np.full((4, 4), np.log(flow)), atol=1e-5)


@every_model
@given(theta=thetas)
def test_log_rate_is_found_again_from_frequencies_and_the_expected_rate(
    name, given_settings, theta
):
    model = made(name, given_settings)
    log_pi = model.log_equilibrium_frequencies(tensor([theta])).detach().numpy()
    site_rate = model.site_rate(tensor([theta])).detach().numpy()
    found = model.mutation_process().log_rate(log_pi, site_rate)
    np.testing.assert_allclose(found, model.log_rate(tensor([theta])).detach(), atol=1e-5)


@every_model
def test_nothing_is_better_or_worse_at_a_neutral_site(name, given_settings):
    theta = neutral_theta(name, given_settings)
    for score in ("fitness", "fixation", "site-rate"):
        found = scores_of(name, given_settings, theta, score)
        np.testing.assert_allclose(found[OFF_DIAGONAL], 0, atol=1e-6)


@every_model
@pytest.mark.parametrize("score", COMPUTED)
def test_scores_stay_finite_whatever_theta(name, given_settings, score):
    theta = [[80.0, -80, -80, -80], [-80, -80, -80, -80], [80, 80, 80, 80], [-40, 5, 5, -40]]
    found = scores_of(name, given_settings, theta, score)
    assert found.shape == (4, 4, 4)
    assert np.isfinite(found).all()


@given(selection=st.floats(-700, 700))
def test_relative_fixation_is_kimuras(selection):
    wanted = 0.0 if abs(selection) < 1e-9 else np.log(selection / -np.expm1(-selection))
    assert log_relative_fixation(np.array([selection]))[0] == pytest.approx(wanted, abs=1e-8)


def process(name: str) -> MutationProcess:
    return made(name, dict(CASES)[name]).mutation_process()


@pytest.mark.parametrize("name", SUBSTITUTION_MODELS)
def test_changes_of_several_sites(name):
    """Sums of log ratios; one fixation of the whole change, at the mean of the log rates."""
    found = process(name)
    chance = np.random.default_rng(5)
    theta = torch.from_numpy(chance.normal(0, 2, (3, 4)))
    model = made(name, dict(CASES)[name])
    log_pi = model.log_equilibrium_frequencies(theta).detach().numpy()
    log_rate = model.log_rate(theta).detach().numpy()
    site_rate = model.site_rate(theta).detach().numpy()
    owners, sites = np.array([0, 0, 1]), np.array([0, 1, 2])
    refs, alts = np.array([0, 1, 2], dtype=np.uint8), np.array([3, 0, 1], dtype=np.uint8)
    terms = SiteTerms(owners, sites, refs, alts, 2)
    alone = SiteTerms(np.arange(3), sites, refs, alts, 3)
    numbers = (log_pi, log_rate, site_rate)

    def both(score):
        return found.scores(score, *numbers, terms), found.scores(score, *numbers, alone)

    for score in COMPUTED:
        whole, single = both(score)
        assert whole[1] == pytest.approx(single[2], abs=1e-12), score
    for score in ("llr", "fitness"):
        whole, single = both(score)
        assert whole[0] == pytest.approx(single[:2].sum())
    whole, single = both("site-rate")
    assert whole[0] == pytest.approx(single[:2].mean())
    assert np.isnan(both("rate-to-alt")[0][0])
    whole, single = both("fixation")
    if name == "mutation-selection":
        selection = both("fitness")[0][0]
        kimura = np.log(selection / -np.expm1(-selection))
        assert whole[0] == pytest.approx(log_rate[:2].mean() + kimura)
    else:
        assert whole[0] == pytest.approx(single[:2].sum() - (log_rate[:2] - np.log(4 / 3)).mean())


def test_terms_are_rounded_before_they_are_added_but_not_alone():
    one = np.zeros(3, dtype=np.uint8)
    terms = SiteTerms(np.array([0, 0, 1]), np.arange(3), one, one, 2, decimals=1)
    np.testing.assert_array_equal(terms.total(np.array([0.14, 0.14, 0.14])), [0.2, 0.14])


def test_weights_of_terms():
    one = np.zeros(3, dtype=np.uint8)
    terms = SiteTerms(np.array([0, 0, 1]), np.arange(3), one, one, 3, weight=0.5)
    np.testing.assert_array_equal(terms.total(np.array([1.0, 2.0, 4.0])), [1.5, 2.0, 0.0])
    np.testing.assert_array_equal(terms.mean(np.array([1.0, 2.0, 4.0])), [1.5, 4.0, np.nan])


def test_every_model_has_a_default_and_every_score_a_meaning():
    assert set(DEFAULT_SCORES) == {*SUBSTITUTION_MODELS, MASKED}
    assert set(DEFAULT_SCORES.values()) <= set(SCORE_NAMES) - {CALIBRATED}
    for name in DEFAULT_SCORES:
        texts = {score: score_meaning(name, score) for score in SCORE_NAMES}
        assert len(set(texts.values())) == len(SCORE_NAMES)
        for text in texts.values():
            assert text.isascii()
            assert not set(text) & set('"<>\\')


@pytest.mark.parametrize("name", DEFAULT_SCORES)
def test_the_llr_the_default_and_what_is_asked_for_are_written(name):
    default = DEFAULT_SCORES[name]
    assert set(written_scores(name, [])) == {"llr", default}
    asked = written_scores(name, ["Rate_To_Alt", "fitness", "fitness"])
    assert set(asked) == {"llr", default, "rate-to-alt", "fitness"}
    assert list(asked) == sorted(asked, key=SCORE_NAMES.index)
    assert len(asked) == len(set(asked))
    assert score_key("rate-to-alt") == "rate_to_alt"


def test_a_score_that_does_not_exist():
    with pytest.raises(UsageError, match="no score 'phylop'; there are llr, fitness, rate-to-alt"):
        written_scores("f81", ["phylop"])
