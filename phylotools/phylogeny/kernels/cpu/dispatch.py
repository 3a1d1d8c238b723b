"""The compiled kernel for the CPU: which family of models, and columns shared out to threads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from phylotools.compiling import compile_entries
from phylotools.phylogeny.kernels.cpu.f81 import F81Family
from phylotools.phylogeny.kernels.cpu.hky import HKYFamily
from phylotools.phylogeny.kernels.cpu.lanes import n_lanes
from phylotools.phylogeny.kernels.cpu.pruning import (
    Columns,
    Limits,
    Merges,
    fill_species_keys,
    prune_share,
)
from phylotools.phylogeny.kernels.cpu.reversible import ReversibleFamily
from phylotools.phylogeny.kernels.plan import ColumnPlans, PruningPlan
from phylotools.phylogeny.substitution import F81, HKY, PAIRS, MutationSelection, SubstitutionModel
from phylotools.phylogeny.substitution.exchangeability import MAX_LOG_RATE
from phylotools.threads import get_threads, map_in_threads

#: The smallest normal numbers are 1e-38 and 2e-308; one merge multiplies two
#: partials, each at least the first limit times the probability of one substitution.
_LIMITS = {
    torch.float32: Limits(1e-10, 1e-36, 1e-9),
    torch.float64: Limits(1e-100, 1e-290, 1e-9),
}
#: Below this difference of exponents the series of Phi is exact to rounding: its next term is
#: x^6 / 322560.
_NEAR = {torch.float32: 0.5, torch.float64: 0.03}
#: Rarest base of a site. Against the reference, on trees where rare bases replace each other, the
#: error of a log-likelihood grows from 8e-7 to 2e-5 below 1e-5 in float32, and from 1e-8 to 5e-6
#: below 1e-11 in float64.
_RAREST = {torch.float32: 1e-5, torch.float64: 1e-11}
#: Merges of blocks that a thread takes at a time: about half a millisecond, against some 30
#: microseconds for handing them out.
_MERGES_PER_SHARE = 20_000
#: Pairs of bases.
_FIRST, _SECOND = (list(side) for side in zip(*PAIRS, strict=True))


def log_likelihood(
    states: Tensor, theta: Tensor, plan: PruningPlan | ColumnPlans, model: SubstitutionModel
) -> Tensor:
    """Log-likelihood of each column, NaN where numbers left their range.

    Parameters are those of `reference.log_likelihood`; each column may have a plan of its own, of
    two tips at least. Differentiable in theta and the model's
    parameters; the gradient is 0 where the value is NaN.
    """
    if isinstance(model, F81):
        return _Pruning.apply(states, plan, F81Family(MAX_LOG_RATE), theta, theta.new_zeros(0))
    if isinstance(model, HKY):
        shared = model.transversion_and_transition()
        transversion, transition = shared.detach().double().tolist()
        if transversion <= transition:
            family = HKYFamily(transversion, transition, MAX_LOG_RATE)
            return _Pruning.apply(states, plan, family, theta, shared)
        # The closed form would subtract numbers that grow with the length of the branch.
    reversible, shared = _reversible(model, theta.dtype)
    return _Pruning.apply(states, plan, reversible, theta, shared)


def _reversible(model: SubstitutionModel, kind: torch.dtype) -> tuple[ReversibleFamily, Tensor]:
    """The family of any model, and its shared parameters."""
    shared = model.exchangeabilities()[_FIRST, _SECOND]
    log_mutation: tuple[float, ...] = (0.0,) * 4
    if isinstance(model, MutationSelection):
        shared = torch.cat([shared, model.log_mutation_frequencies()])
        log_mutation = tuple(shared[6:].detach().double().tolist())
    exchangeabilities = tuple(shared[:6].detach().double().tolist())
    selection = isinstance(model, MutationSelection)
    near, rarest = _NEAR[kind], _RAREST[kind]
    return ReversibleFamily(exchangeabilities, log_mutation, selection, near, rarest), shared


class _Pruning(torch.autograd.Function):
    """The compiled pass gives the gradient with the value; backward only scales it.

    Its gradient has a number for each input of a column, then one for each shared parameter.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, plan: PruningPlan | ColumnPlans, family: Any, inputs: Tensor,
        shared: Tensor,
    ) -> Tensor:  # fmt: skip
        n_shared = len(shared) if ctx.needs_input_grad[4] else 0
        arrays = (
            np.ascontiguousarray(inputs.detach().numpy()),
            np.ascontiguousarray(states.numpy()),
        )
        if isinstance(plan, PruningPlan):
            value, gradient = _prune(family, *arrays, plan, 4 + n_shared)
        else:
            value, gradient = _prune_each(family, *arrays, plan, 4 + n_shared)
        ctx.save_for_backward(torch.from_numpy(gradient))
        ctx.shared_type = shared.dtype
        return torch.from_numpy(value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[None, None, None, Tensor, Tensor | None]:
        (gradient,) = ctx.saved_tensors
        to_inputs = gradient[:, :4] * outer[0].unsqueeze(-1)
        to_shared = None
        if ctx.needs_input_grad[4]:
            to_shared = (outer[0] @ gradient[:, 4:]).to(ctx.shared_type)
        return None, None, None, to_inputs, to_shared


def _prune(
    family: Any, inputs: np.ndarray, states: np.ndarray, plan: PruningPlan, n_gradient: int
) -> tuple[np.ndarray, np.ndarray]:
    """Log-likelihoods (C,) and gradients (C, n_gradient) in the type of the inputs."""
    kind = inputs.dtype
    value = np.empty(len(inputs), dtype=kind)
    gradient = np.empty((len(inputs), n_gradient), dtype=kind)
    keys = np.empty(len(states), dtype=np.uint64)
    _compiled_keys(states, keys)
    # Columns with the same species side by side, so that a block's tree is pruned the most.
    columns = Columns(inputs, states, np.argsort(keys, kind="stable"), value, gradient)
    merges = Merges(plan.child, plan.branch_length.astype(kind))
    limits = _LIMITS[torch.float32 if kind == np.float32 else torch.float64]
    blocks = -(-len(inputs) // n_lanes(kind))
    step = max(1, min(_MERGES_PER_SHARE // len(plan.child), -(-blocks // get_threads())))

    def share(first: int) -> None:
        _compiled_prune(family, columns, merges, limits, first, min(first + step, blocks))

    # Blocks do not know of each other: the same bits with any number of threads.
    map_in_threads(share, range(0, blocks, step))
    lost = ~(np.isfinite(value) & np.isfinite(gradient).all(axis=1))
    value[lost], gradient[lost] = np.nan, 0.0
    # A column without any species has probability 1, not 1 give or take a rounding error.
    value[keys == 0], gradient[keys == 0] = 0.0, 0.0
    return value, gradient


def _prune_each(
    family: Any, inputs: np.ndarray, states: np.ndarray, plans: ColumnPlans, n_gradient: int
) -> tuple[np.ndarray, np.ndarray]:
    """As `_prune`, of columns with a plan each: those of one plan together."""
    groups, order = plans.groups
    if order is not None:
        inputs, states = inputs[order], states[order]
    value = np.empty(len(inputs), dtype=inputs.dtype)
    gradient = np.empty((len(inputs), n_gradient), dtype=inputs.dtype)
    start = 0
    for plan, count in groups:
        here = slice(start, start + count)
        own = states[here] if plan.species is None else states[here][:, plan.species]
        value[here], gradient[here] = _prune(
            family, inputs[here], np.ascontiguousarray(own), plan, n_gradient
        )
        start += count
    if order is None:
        return value, gradient
    back = np.argsort(order)
    return value[back], gradient[back]


def _prune_columns(family, columns, merges, limits, first, last):
    prune_share(family, columns, merges, limits, first, last)


def _find_keys(states, result):
    fill_species_keys(states, result)


_compiled_prune, _compiled_keys = compile_entries(
    Path(__file__).parent.glob("*.py"), _prune_columns, _find_keys
)
