"""The likelihood of alignment columns: one entry, differentiable in theta."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from phylotools.errors import PhylotoolsError
from phylotools.phylogeny.kernels import cpu, reference
from phylotools.phylogeny.kernels.plan import PruningPlan, make_plan
from phylotools.phylogeny.substitution import log_equilibrium_frequencies
from phylotools.phylogeny.tree import Tree

__all__ = ["PruningPlan", "column_log_likelihood", "log_reference_frequency", "make_plan"]


class _CpuColumnLogLikelihood(torch.autograd.Function):
    """The fused kernel computes the gradient with the value; backward only scales it."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, theta: Tensor, plan: PruningPlan) -> Tensor:
        value, gradient = cpu.f81_log_likelihood_and_gradient(
            states.numpy(), theta.detach().numpy(), plan
        )
        ctx.save_for_backward(torch.from_numpy(gradient))
        return torch.from_numpy(value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[None, Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return None, gradient * outer[0].unsqueeze(-1), None


def column_log_likelihood(
    states: Tensor, theta: Tensor, tree: Tree | PruningPlan, *, kernel: str = "auto"
) -> Tensor:
    """log P(column | theta, tree) under F81, summed over the bases of all ancestors.

    Felsenstein's pruning (J. Mol. Evol. 17:368, 1981). Tips without A, C, G or T are missing
    data; the model is reversible, so the place of the root does not matter.

    Parameters
    ----------
    states : Tensor of uint8, shape (C, S)
        Base codes in tip order: 0..3 are A, C, G, T; anything else is missing.
    theta : Tensor of float32 or float64, shape (C, A)
        Log rates of each column's site.
    tree : Tree or PruningPlan
        A plan, made once by `make_plan`, saves laying out the tree at each call.
    kernel : {'auto', 'reference', 'cpu'}
        ``auto`` is the compiled kernel on a CPU and plain torch elsewhere.

    Returns
    -------
    Tensor, shape (C,)
        Natural logarithms. Exactly 0 for a column without any species; -inf, with gradient 0,
        where branches of length zero join different bases.

    Raises
    ------
    PhylotoolsError
        If shapes disagree or theta is not finite.
    """
    plan = make_plan(tree) if isinstance(tree, Tree) else tree
    if states.dtype != torch.uint8 or states.dim() != 2 or theta.shape != (len(states), 4):
        raise PhylotoolsError(
            f"states must be uint8 (C, S) and theta (C, 4), not {tuple(states.shape)} "
            f"{states.dtype} and {tuple(theta.shape)}"
        )
    if states.shape[1] != plan.n_tips:
        raise PhylotoolsError(
            f"{states.shape[1]} species in the columns, {plan.n_tips} in the tree"
        )
    if theta.dtype not in (torch.float32, torch.float64):
        raise PhylotoolsError(f"theta must be float32 or float64, not {theta.dtype}")
    if not bool(torch.isfinite(theta).all()):
        raise PhylotoolsError("theta holds NaN or infinite log rates; the training diverged")
    if plan.n_tips == 1:
        return log_reference_frequency(states[:, 0], theta)
    if kernel == "auto":
        kernel = "cpu" if theta.device.type == "cpu" else "reference"
    if kernel == "cpu":
        value = _CpuColumnLogLikelihood.apply(states, theta, plan)
    elif kernel == "reference":
        value = reference.f81_log_likelihood(states, theta, plan)
    else:
        raise PhylotoolsError(f"no likelihood kernel is called {kernel!r}")
    # A column without any species has probability 1, not 1 give or take a rounding error.
    return torch.where((states < 4).any(dim=1), value, torch.zeros_like(value))


def log_reference_frequency(state: Tensor, theta: Tensor) -> Tensor:
    """log pi of each site's reference base; 0 where it is not A, C, G or T.

    Subtracted from the column's log-likelihood it leaves that of the other species given the
    reference base (PhyloGPN, Albors et al. 2025, Eq. 4): the network reads that base, so
    predicting it earns nothing.

    Parameters
    ----------
    state : Tensor of uint8, shape (C,)
    theta : Tensor, shape (C, A)

    Returns
    -------
    Tensor, shape (C,)
    """
    known = state < 4
    index = torch.where(known, state, torch.zeros_like(state)).long().unsqueeze(-1)
    value = log_equilibrium_frequencies(theta).gather(-1, index).squeeze(-1)
    return torch.where(known, value, torch.zeros_like(value))
