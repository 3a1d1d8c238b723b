"""Columns, trees and values that the likelihood's tests share."""

from __future__ import annotations

import numpy as np
import torch
from slow_likelihood import equilibrium, f81_rate_matrix, pruning

from phylotools.phylogeny.likelihood import column_log_likelihood
from phylotools.phylogeny.tree import Tree

KERNELS = ["cpu", "reference"]
BASES = "ACGT"


def states_of(rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.uint8).reshape(len(rows), -1)


def value_and_gradient(states, theta, tree, kernel="auto"):
    theta = theta.clone().requires_grad_()
    value = column_log_likelihood(states, theta, tree, kernel=kernel)
    (gradient,) = torch.autograd.grad(value.sum(), theta)
    return value.detach(), gradient


def oracle(tree: Tree, column, theta) -> float:
    """The plain pruning of the oracles folder on a parsed tree."""
    states = {int(node): int(state) for node, state in zip(tree.tip_nodes, column, strict=True)}
    return pruning(
        tree.parent.tolist(), tree.branch_length.tolist(), states,
        f81_rate_matrix(theta), equilibrium(theta),
    )  # fmt: skip


def oracle_values(tree: Tree, states, theta) -> list[float]:
    return [oracle(tree, column, site) for column, site in zip(states, theta.numpy(), strict=True)]


def random_columns(rng, columns: int, tree: Tree, missing: float = 0.2) -> torch.Tensor:
    """Columns with some agreement between species, and with every missing code."""
    own = rng.integers(0, 4, (columns, 1))
    states = np.where(rng.random((columns, tree.n_tips)) < 0.7, own, rng.integers(0, 4))
    codes = rng.integers(4, 8, states.shape)
    return torch.from_numpy(
        np.where(rng.random(states.shape) < missing, codes, states).astype(np.uint8)
    )
