"""Columns, trees, models and values that the likelihood's tests share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from slow_likelihood import pruning
from slow_substitution import frequencies, rate_matrix

from phylotools.phylogeny.likelihood import column_log_likelihood
from phylotools.phylogeny.substitution import SubstitutionModel, make_substitution_model
from phylotools.phylogeny.tree import Tree

KERNELS = ["cpu", "reference"]
BASES = "ACGT"

_S, _FREQUENCIES = [1.2, 4.0, 0.7, 0.8, 5.0, 1.1], [0.3, 0.22, 0.18, 0.3]

#: Name of a case -> model and shared parameters.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "f81": ("f81", {}),
    "hky": ("hky", {"kappa": 3.5, "background": _FREQUENCIES}),
    # Transversions faster than transitions: not for the closed form, one step of which would grow.
    "hky-slow-transitions": ("hky", {"kappa": 0.4}),
    "gtr": ("gtr", {"exchangeabilities": _S, "background": _FREQUENCIES}),
    # As in F81, three eigenvalues are one.
    "gtr-degenerate": ("gtr", {"exchangeabilities": [1.0] * 6}),
    "mutation-selection": (
        "mutation-selection", {"exchangeabilities": _S, "mutation_frequencies": _FREQUENCIES}
    ),
}  # fmt: skip


def make_model(name: str) -> SubstitutionModel:
    """A model whose shared parameters are float64, as they are in the oracle."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return make_substitution_model(MODELS[name][0], **MODELS[name][1])
    finally:
        torch.set_default_dtype(default)


def rate_matrix_and_frequencies(name: str, theta) -> tuple[np.ndarray, np.ndarray]:
    return rate_matrix(*MODELS[name], theta), frequencies(*MODELS[name], theta)


def states_of(rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.uint8).reshape(len(rows), -1)


def value_and_gradient(states, theta, tree, kernel="auto", model="f81"):
    """Log-likelihoods, and the gradients with respect to theta."""
    model = make_model(model) if isinstance(model, str) else model
    theta = theta.clone().requires_grad_()
    value = column_log_likelihood(states, theta, tree, model, kernel=kernel)
    (gradient,) = torch.autograd.grad(value.sum(), theta)
    return value.detach(), gradient


def oracle(tree: Tree, column, theta, model: str = "f81") -> float:
    """The plain pruning of the oracles folder on a parsed tree."""
    states = {int(node): int(state) for node, state in zip(tree.tip_nodes, column, strict=True)}
    return pruning(
        tree.parent.tolist(), tree.branch_length.tolist(), states,
        *rate_matrix_and_frequencies(model, theta),
    )  # fmt: skip


def oracle_values(tree: Tree, states, theta, model: str = "f81") -> list[float]:
    return [
        oracle(tree, column, site, model)
        for column, site in zip(states, theta.numpy(), strict=True)
    ]


def random_columns(rng, columns: int, tree: Tree, missing: float = 0.2) -> torch.Tensor:
    """Columns with some agreement between species, and with every missing code."""
    own = rng.integers(0, 4, (columns, 1))
    states = np.where(rng.random((columns, tree.n_tips)) < 0.7, own, rng.integers(0, 4))
    codes = rng.integers(4, 8, states.shape)
    return torch.from_numpy(
        np.where(rng.random(states.shape) < missing, codes, states).astype(np.uint8)
    )
