from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm
from slow_likelihood import equilibrium, f81_rate_matrix

from phylotools.phylogeny import substitution as f81

thetas = st.lists(st.floats(-6, 3), min_size=4, max_size=4)


@given(thetas, st.floats(0, 20))
def test_transition_probabilities_are_the_matrix_exponential(theta, length):
    found = f81.transition_probabilities(torch.tensor(theta, dtype=torch.float64), length)
    np.testing.assert_allclose(found, expm(f81_rate_matrix(theta) * length), atol=1e-12)


@given(thetas)
def test_frequencies_entropy_and_rates(theta):
    tensor = torch.tensor(theta, dtype=torch.float64)
    pi, q = equilibrium(theta), f81_rate_matrix(theta)
    np.testing.assert_allclose(f81.log_equilibrium_frequencies(tensor).exp(), pi)
    np.testing.assert_allclose(pi @ q, 0, atol=1e-12)
    assert f81.log_total_rate(tensor).item() == pytest.approx(math.log(np.exp(theta).sum()))
    assert f81.entropy(tensor).item() == pytest.approx(-(pi * np.log(pi)).sum())
    # flow out of equilibrium: - sum_a pi_a Q_aa
    assert f81.site_rate(tensor).item() == pytest.approx(-(pi * np.diag(q)).sum())


def test_neutral_site_has_rate_one_and_log_four_entropy():
    theta = torch.full((4,), f81.NEUTRAL_LOG_RATE - math.log(4), dtype=torch.float64)
    assert f81.site_rate(theta).item() == pytest.approx(1)
    assert f81.entropy(theta).item() == pytest.approx(math.log(4))
    assert f81.log_total_rate(theta).item() == pytest.approx(f81.NEUTRAL_LOG_RATE)


@given(thetas, st.floats(-5, 5))
def test_with_log_rate_changes_the_rate_alone(theta, log_rate):
    tensor = torch.tensor([theta], dtype=torch.float64)
    for wanted in (log_rate, torch.tensor([log_rate], dtype=torch.float64)):
        moved = f81.with_log_rate(tensor, wanted)
        np.testing.assert_allclose(f81.log_total_rate(moved), [log_rate], atol=1e-12)
        np.testing.assert_allclose(
            f81.log_equilibrium_frequencies(moved),
            f81.log_equilibrium_frequencies(tensor),
            atol=1e-12,
        )


def test_differences_of_theta_are_log_likelihood_ratios():
    theta = torch.tensor([0.3, -1.0, 2.0, 0.0])
    log_pi = f81.log_equilibrium_frequencies(theta)
    torch.testing.assert_close(log_pi - log_pi[0], theta - theta[0])


def test_extreme_theta_stays_finite():
    theta = torch.tensor([[80.0, -80, -80, -80], [-80, -80, -80, -80], [80, 80, 80, 80]])
    for score in (f81.entropy, f81.site_rate, f81.log_total_rate):
        assert torch.isfinite(score(theta)).all()
    assert f81.entropy(theta)[0] == 0
