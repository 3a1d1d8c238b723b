"""Every substitution model against plain entry-by-entry oracles, and what a model must be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from slow_substitution import frequencies, rate_matrix

from phylotools.errors import InputError
from phylotools.phylogeny.substitution import (
    NEUTRAL_LOG_RATE,
    SUBSTITUTION_MODELS,
    SubstitutionModel,
    make_substitution_model,
)

CASES: list[tuple[str, dict[str, Any]]] = [
    ("f81", {}),
    ("hky", {"kappa": 7.0, "background": [0.3, 0.2, 0.1, 0.4]}),
    ("gtr", {"exchangeabilities": [1.0, 5.0, 0.3, 0.7, 9.0, 2.0],
             "background": [0.1, 0.4, 0.3, 0.2]}),
    ("mutation-selection", {"exchangeabilities": [0.8, 6.0, 0.5, 0.2, 11.0, 1.5],
                            "mutation_frequencies": [0.35, 0.15, 0.1, 0.4]}),
]  # fmt: skip
every_model = pytest.mark.parametrize(("name", "given_settings"), CASES, ids=[c[0] for c in CASES])
thetas = st.lists(st.floats(-6, 3), min_size=4, max_size=4)


def made(name: str, values: dict[str, Any]) -> SubstitutionModel:
    return make_substitution_model(name, **values).double()


def tensor(theta) -> torch.Tensor:
    return torch.tensor(theta, dtype=torch.float64)


@every_model
@settings(deadline=None)
@given(theta=thetas)
def test_rate_matrix_is_the_formula(name, given_settings, theta):
    found = made(name, given_settings).rate_matrix(tensor(theta)).detach()
    wanted = rate_matrix(name, given_settings, theta)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-12)


@every_model
@settings(deadline=None)
@given(theta=thetas, length=st.floats(0, 20))
def test_transition_probabilities_are_the_matrix_exponential(name, given_settings, theta, length):
    found = made(name, given_settings).transition_probabilities(tensor(theta), length).detach()
    q = rate_matrix(name, given_settings, theta)
    np.testing.assert_allclose(found, expm(q * length), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.sum(dim=-1), 1, rtol=1e-9)


@every_model
@settings(deadline=None)
@given(theta=thetas)
def test_frequencies_are_the_equilibrium_of_a_reversible_process(name, given_settings, theta):
    model, q = made(name, given_settings), rate_matrix(name, given_settings, theta)
    pi = model.log_equilibrium_frequencies(tensor(theta)).exp().detach().numpy()
    np.testing.assert_allclose(pi, frequencies(name, given_settings, theta), rtol=1e-6)
    flow = pi[:, None] * q
    np.testing.assert_allclose(flow, flow.T, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(pi @ q, 0, atol=1e-6 * np.abs(q).max())
    entropy, rate = model.entropy(tensor(theta)).item(), model.site_rate(tensor(theta)).item()
    assert entropy == pytest.approx(-(pi * np.log(pi)).sum())
    # flow out of equilibrium: - sum_a pi_a Q_aa
    assert rate == pytest.approx(-(pi * np.diag(q)).sum(), rel=1e-5)


@every_model
def test_a_neutral_site_has_rate_one(name, given_settings):
    """At the frequencies that mutation alone gives, and at the neutral log rate."""
    model = made(name, given_settings)
    background = given_settings.get("background", [0.25] * 4)
    theta = torch.zeros(4).double() if name == "mutation-selection" else tensor(background).log()
    theta = model.with_log_rate(theta, model.neutral_log_rate)
    assert model.site_rate(theta).item() == pytest.approx(1, rel=1e-6)
    assert model.log_rate(theta).item() == pytest.approx(model.neutral_log_rate, abs=1e-6)
    scores = model.allele_scores(theta)
    torch.testing.assert_close(scores, scores.mean().expand(4), rtol=0, atol=1e-6)


@every_model
@settings(deadline=None)
@given(theta=thetas, log_rate=st.floats(-5, 5))
def test_with_log_rate_changes_the_rate_alone(name, given_settings, theta, log_rate):
    model, before = made(name, given_settings), tensor([theta])
    for wanted in (log_rate, tensor([log_rate])):
        after = model.with_log_rate(before, wanted)
        np.testing.assert_allclose(model.log_rate(after).detach(), [log_rate], atol=1e-9)
        change = (log_rate - model.log_rate(before)).exp().detach()
        np.testing.assert_allclose(
            model.rate_matrix(after).detach(),
            change[:, None, None] * model.rate_matrix(before).detach(),
            rtol=1e-9, atol=1e-12,
        )  # fmt: skip
        np.testing.assert_allclose(
            model.log_equilibrium_frequencies(after).detach(),
            model.log_equilibrium_frequencies(before).detach(), atol=1e-9,
        )  # fmt: skip


@every_model
def test_allele_scores_leave_mutation_out(name, given_settings):
    """Differences: log pi less the log of what mutation alone gives, whichever the model."""
    theta = tensor([0.3, -1.0, 2.0, 0.0])
    model = made(name, given_settings)
    scores = model.allele_scores(theta).detach().numpy()
    neutral = given_settings.get("background", given_settings.get("mutation_frequencies", [1] * 4))
    wanted = np.log(frequencies(name, given_settings, theta)) - np.log(neutral)
    np.testing.assert_allclose(scores - scores[0], wanted - wanted[0], atol=1e-6)


@every_model
def test_extreme_theta_stays_finite(name, given_settings):
    theta = torch.tensor([[80.0, -80, -80, -80], [-80, -80, -80, -80], [80, 80, 80, 80]])
    model = make_substitution_model(name, **given_settings)
    for score in (model.entropy, model.site_rate, model.log_rate, model.allele_scores):
        assert torch.isfinite(score(theta)).all()
    assert model.entropy(theta)[0].item() == pytest.approx(0, abs=1e-6)


@every_model
def test_settings_make_the_same_model_again(name, given_settings):
    model = make_substitution_model(name, **given_settings)
    again = make_substitution_model(name, **model.settings())
    theta = torch.tensor([0.3, -1.0, 2.0, 0.0])
    torch.testing.assert_close(again.rate_matrix(theta), model.rate_matrix(theta))
    assert again.settings().keys() == model.settings().keys()


def test_hky_is_gtr_and_f81_is_hky():
    theta = tensor([0.3, -1.0, 0.5, 0.0])
    background = [0.3, 0.2, 0.1, 0.4]
    hky = made("hky", {"kappa": 3.0, "background": background})
    gtr = made("gtr", {"exchangeabilities": [2.0, 6, 2, 2, 6, 2], "background": background})
    torch.testing.assert_close(hky.rate_matrix(theta), gtr.rate_matrix(theta))
    plain = made("hky", {"kappa": 1.0})
    torch.testing.assert_close(plain.rate_matrix(theta), made("f81", {}).rate_matrix(theta))


@pytest.mark.parametrize("name", ["gtr", "mutation-selection"])
def test_strand_symmetric_models_commute_with_the_complement(name):
    """Q of the complemented site is the complemented Q, whatever was learned; else it is not."""
    theta = tensor([0.3, -1.0, 2.0, 0.0])
    torch.manual_seed(1)
    differences = []
    for symmetric in (True, False):
        model = made(name, {"strand_symmetric": symmetric})
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        mirrored = model.rate_matrix(theta.flip(0)).flip(0, 1)
        differences.append((mirrored - model.rate_matrix(theta)).abs().max().item())
    assert differences[0] < 1e-9
    assert differences[1] > 0.1


@pytest.mark.parametrize("name", [n for n in SUBSTITUTION_MODELS if n != "f81"])
def test_shared_parameters_that_ran_away_are_bounded(name):
    model = make_substitution_model(name)
    theta = torch.tensor([0.3, -1.0, 2.0, 0.0])
    for value in (1e4, -1e4):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(0)
                parameter.view(-1)[0] = value
        assert torch.isfinite(model.rate_matrix(theta)).all()
        assert torch.isfinite(model.site_rate(theta))
        make_substitution_model(name, **model.settings())


def test_gradients_of_shared_parameters_are_differences():
    theta = tensor([[0.3, -1.0, 0.5, 0.0], [-2.0, 0.0, 0.1, -0.5]])
    for name, values in CASES[1:]:
        model = made(name, values)

        def scores(*parameters: torch.Tensor, model=model) -> torch.Tensor:
            names = [n for n, _ in model.named_parameters()]
            return torch.func.functional_call(
                _Scores(model), {f"model.{n}": p for n, p in zip(names, parameters, strict=True)},
                (theta,),
            )  # fmt: skip

        assert torch.autograd.gradcheck(scores, tuple(model.parameters()))


class _Scores(torch.nn.Module):
    def __init__(self, model: SubstitutionModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        return self.model.transition_probabilities(theta, 0.3).flatten() + self.model.site_rate(
            theta
        ).repeat(16)


def test_the_neutral_log_rate_of_f81_is_four_thirds():
    assert pytest.approx(math.log(4 / 3)) == NEUTRAL_LOG_RATE
    assert make_substitution_model("mutation-selection").neutral_log_rate == 0


@pytest.mark.parametrize(
    ("name", "values", "problem"),
    [
        ("jc69", {}, "no substitution model is called 'jc69'"),
        ("f81", {"kappa": 2.0}, "kappa is no parameter of f81, which has none"),
        ("hky", {"kapa": 2.0}, "kapa is no parameter of hky, which has kappa, background"),
        ("hky", {"kappa": 0.0}, "kappa must be positive and finite"),
        ("gtr", {"background": [1e308] * 4}, "background must be positive and finite, from 1e-30"),
        ("gtr", {"background": [1e-320] * 4}, "background must be positive and finite, from 1e-30"),
        ("hky", {"kappa": math.nan}, "kappa must be positive and finite"),
        ("hky", {"kappa": 10**400}, "kappa"),
        ("hky", {"kappa": 1e-9}, "beyond what can be told apart"),
        ("hky", {"kappa": [1.0]}, "kappa must be a number"),
        ("hky", {"kappa": True}, "kappa must be positive"),
        ("hky", {"background": [1.0] * 3}, "background must be 4 numbers"),
        ("gtr", {"exchangeabilities": 3}, "exchangeabilities must be 6 numbers"),
        ("gtr", {"exchangeabilities": [1.0] * 5 + [-1]}, "positive and finite"),
        ("gtr", {"exchangeabilities": [1.0] * 5 + [1e9]}, "a ratio above 22,026"),
        ("gtr", {"strand_symmetric": 1}, "strand_symmetric must be true or false"),
        ("gtr", {"strand_symmetric": True, "exchangeabilities": [1.0, 2, 1, 1, 3, 1]},
         "exchangeabilities differ between the strands"),
        ("mutation-selection", {"strand_symmetric": True, "mutation_frequencies": [1.0, 2, 3, 4]},
         "mutation_frequencies differ between the strands"),
    ],
)  # fmt: skip
def test_bad_settings(name, values, problem):
    with pytest.raises(InputError, match=problem):
        make_substitution_model(name, **values)


def test_all_problems_are_listed_at_once():
    with pytest.raises(InputError) as caught:
        make_substitution_model("hky", kappa=-1, background=[1, 2], x=3)
    for expected in ("kappa must be", "background must be 4", "x is no parameter"):
        assert expected in str(caught.value)
