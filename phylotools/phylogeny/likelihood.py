"""The likelihood of alignment columns: one entry, differentiable in theta."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from phylotools.errors import PhylotoolsError
from phylotools.phylogeny.kernels import cpu, gpu, reference
from phylotools.phylogeny.kernels.plan import ColumnPlans, PruningPlan, make_plan
from phylotools.phylogeny.substitution import F81, SubstitutionModel
from phylotools.phylogeny.tree import Tree

__all__ = [
    "ColumnPlans",
    "Plan",
    "PruningPlan",
    "column_log_likelihood",
    "joined_plans",
    "log_reference_frequency",
    "make_plan",
    "plan_of",
]

#: One for all columns, or one for each.
Plan = PruningPlan | ColumnPlans


def column_log_likelihood(
    states: Tensor,
    theta: Tensor,
    tree: Tree | Plan,
    model: SubstitutionModel | None = None,
    *,
    kernel: str = "auto",
) -> Tensor:
    """log P(column | theta, tree), summed over the bases of all ancestors.

    Felsenstein's pruning (J. Mol. Evol. 17:368, 1981). Tips without A, C, G or T are missing
    data; the models are reversible, so the place of the root does not matter. Differentiable in
    theta and in the parameters of the model.

    Parameters
    ----------
    states : Tensor of uint8, shape (C, S)
        Base codes in tip order, or in that of the species a plan was made for: 0..3 are A, C, G,
        T; anything else is missing.
    theta : Tensor of float32 or float64, shape (C, A)
        Of each column's site, as the model reads it.
    tree : Tree, PruningPlan or ColumnPlans
        A plan, made once by `make_plan`, saves laying out the tree at each call. Several are one
        for each column.
    model : SubstitutionModel, optional
        F81 unless given.
    kernel : {'auto', 'cpu', 'gpu', 'reference'}
        ``auto`` is the compiled kernel on a CPU and, with Triton, on an NVIDIA GPU; plain torch
        elsewhere.

    Returns
    -------
    Tensor, shape (C,)
        Natural logarithms. Exactly 0 for a column without any species; -inf, with gradient 0,
        where branches of length zero join different bases.

    Raises
    ------
    PhylotoolsError
        If shapes, types or devices disagree, or a number of theta or the model is not finite.
    """
    plan = make_plan(tree) if isinstance(tree, Tree) else tree
    model = model or F81()
    if states.dtype != torch.uint8 or states.dim() != 2 or theta.shape != (len(states), 4):
        raise PhylotoolsError(
            f"states must be uint8 (C, S) and theta (C, 4), not {tuple(states.shape)} "
            f"{states.dtype} and {tuple(theta.shape)}"
        )
    _check_columns(states, plan)
    if theta.dtype not in (torch.float32, torch.float64):
        raise PhylotoolsError(f"theta must be float32 or float64, not {theta.dtype}")
    if not bool(torch.isfinite(theta).all()):
        raise PhylotoolsError("theta holds NaN or infinite log rates; the training diverged")
    if states.device != theta.device:
        raise PhylotoolsError(f"states are on {states.device}, theta on {theta.device}")
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise PhylotoolsError(f"{name} of {model.name} is not finite; the training diverged")
    theta = model.bounded(theta)
    if kernel == "auto":
        kernel = _fastest_kernel(theta.device)
    if kernel not in _KERNELS:
        raise PhylotoolsError(f"no likelihood kernel is called {kernel!r}")
    return _computed(kernel, states, theta, plan, model)


def plan_of(plan: Plan, columns: Tensor | slice) -> Plan:
    """The plan of some of the columns, given by a slice, a mask or their indices."""
    if isinstance(plan, PruningPlan):
        return plan
    chosen = columns if isinstance(columns, slice) else columns.cpu().numpy()
    return ColumnPlans(plan.plans, plan.of_column[chosen])


def joined_plans(plans: Sequence[Plan]) -> Plan:
    """The plan of the columns of several batches of one store, one batch after the other."""
    first = plans[0]
    if isinstance(first, PruningPlan):
        return first
    several = [plan for plan in plans if isinstance(plan, ColumnPlans)]
    return ColumnPlans(first.plans, np.concatenate([plan.of_column for plan in several]))


def _check_columns(states: Tensor, plan: Plan) -> None:
    """Raise `PhylotoolsError` unless columns are those of a plan."""
    if isinstance(plan, ColumnPlans):
        if len(states) != len(plan.of_column):
            raise PhylotoolsError(f"{len(states)} columns, but trees of {len(plan.of_column)}")
        used = [own for own, _ in plan.groups[0]]
    else:
        used = [plan]
    for own in used:
        n_species = own.n_tips if own.species is None else states.shape[1]
        if states.shape[1] != n_species:
            raise PhylotoolsError(
                f"{states.shape[1]} species in the columns, {own.n_tips} in the tree"
            )


_KERNELS = {
    "cpu": cpu.log_likelihood,
    "gpu": gpu.log_likelihood,
    "reference": reference.log_likelihood,
}


def _computed(
    kernel: str, states: Tensor, theta: Tensor, plan: Plan, model: SubstitutionModel
) -> Tensor:
    """By a kernel; again in float64, then by the reference, where numbers leave their range."""
    value = _pruned(kernel, states, theta, plan, model)
    lost = value.detach().isnan().nonzero().squeeze(1)
    if not len(lost) or kernel == "reference":
        return value
    plan = plan_of(plan, lost)
    if theta.dtype == torch.float32:
        again = _computed(kernel, states[lost], theta[lost].double(), plan, model)
    else:
        again = _computed("reference", states[lost], theta[lost], plan, model)
    return value.index_put((lost,), again.to(value.dtype))


def _pruned(
    kernel: str, states: Tensor, theta: Tensor, plan: Plan, model: SubstitutionModel
) -> Tensor:
    """By a kernel; NaN where numbers leave their range."""
    if isinstance(plan, ColumnPlans):
        groups, _ = plan.groups
        if len(groups) == 1:
            return _pruned(kernel, states, theta, groups[0][0], model)
        # What the model has to say is worked out once for all trees.
        if kernel == "cpu" and all(own.n_tips > 1 for own, _ in groups):
            return cpu.log_likelihood(states, theta, plan, model)
        return _by_tree(kernel, states, theta, plan, model)
    if plan.species is not None:
        states = states[:, torch.from_numpy(plan.species).to(states.device)]
    if plan.n_tips == 1:
        return log_reference_frequency(states[:, 0], theta, model)
    return _KERNELS[kernel](states, theta, plan, model)


def _by_tree(
    kernel: str, states: Tensor, theta: Tensor, plans: ColumnPlans, model: SubstitutionModel
) -> Tensor:
    """The columns of one tree after those of the other."""
    groups, order = plans.groups
    if not groups:
        return theta.new_zeros(0)
    index = None if order is None else torch.from_numpy(order).to(states.device)
    if index is not None:
        states, theta = states[index], theta[index]
    sizes = [count for _, count in groups]
    parts = zip(states.split(sizes), theta.split(sizes), groups, strict=True)
    value = torch.cat([
        _pruned(kernel, own, site, plan, model) for own, site, (plan, _) in parts
    ])  # fmt: skip
    return value if index is None else value[torch.argsort(index)]


def _fastest_kernel(device: torch.device) -> str:
    if device.type == "cpu":
        return "cpu"
    return "gpu" if gpu.available(device) else "reference"


def log_reference_frequency(
    state: Tensor, theta: Tensor, model: SubstitutionModel | None = None
) -> Tensor:
    """log pi of each site's reference base; 0 where it is not A, C, G or T.

    Subtracted from the column's log-likelihood it leaves that of the other species given the
    reference base (PhyloGPN, Albors et al. 2025, Eq. 4): the network reads that base, so
    predicting it earns nothing.

    Parameters
    ----------
    state : Tensor of uint8, shape (C,)
    theta : Tensor, shape (C, A)
    model : SubstitutionModel, optional
        F81 unless given.

    Returns
    -------
    Tensor, shape (C,)
    """
    model = model or F81()
    known = state < 4
    index = torch.where(known, state, torch.zeros_like(state)).long().unsqueeze(-1)
    log_pi = model.log_equilibrium_frequencies(model.bounded(theta))
    value = log_pi.gather(-1, index).squeeze(-1)
    return torch.where(known, value, torch.zeros_like(value))
