"""The compiled kernel for a GPU: which family of models, and how many programs."""

from __future__ import annotations

import importlib
import os
import weakref
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from phylotools.errors import PhylotoolsError
from phylotools.phylogeny.kernels.gpu.layout import traversal_layout
from phylotools.phylogeny.kernels.plan import PruningPlan
from phylotools.phylogeny.substitution import F81, HKY, SubstitutionModel

#: Columns per program: one warp, a column a thread, so that threads never wait for one another.
BLOCK = 32
#: Programs that share a multiprocessor. Each has its own memory, so more of them hide more latency
#: and keep less of it in the cache.
PROGRAMS_PER_MULTIPROCESSOR = 16
#: Tips or merges taken at once where a program makes its plan, and rows of states copied at once.
CHUNK, ROWS = 32, 8
#: Oldest architecture that Triton supports, and the oldest Triton that compiles this.
_CAPABILITY, _TRITON = (8, 0), (3, 4)


@dataclass(frozen=True)
class _Family:
    """Models that share compiled code.

    Attributes
    ----------
    name : str
        Of the file with the functions of the family; their names begin with it.
    registers : int or None
        Most that a thread may take, so that enough programs share a multiprocessor.
    """

    name: str
    registers: int | None = None

    def functions(self) -> dict[str, Any]:
        """As `pruning.prune` takes them."""
        module = importlib.import_module(f"phylotools.phylogeny.kernels.gpu.{self.name}")
        steps = ("site", "carry", "start", "back", "finish")
        return {step.upper(): getattr(module, f"{self.name}_{step}") for step in steps}


_F81 = _Family("f81")
_HKY = _Family("hky")
_REVERSIBLE = _Family("reversible", registers=128)


def available(device: torch.device) -> bool:
    """Whether the kernel runs on this device: an NVIDIA GPU, and Triton installed."""
    return (
        device.type == "cuda"
        and torch.version.hip is None
        and _has_triton()
        and torch.cuda.get_device_capability(device) >= _CAPABILITY
    )


def log_likelihood(
    states: Tensor, theta: Tensor, plan: PruningPlan, model: SubstitutionModel
) -> Tensor:
    """Log-likelihood of each column, NaN where numbers left their range.

    Parameters are those of `reference.log_likelihood`. Differentiable in theta and the model's
    parameters; the gradient is 0 where the value is NaN.

    Raises
    ------
    PhylotoolsError
        If the tensors are not on a GPU that Triton supports.
    """
    if not available(theta.device) and not _interpreted():
        raise PhylotoolsError(
            f"the gpu kernel cannot run on {theta.device}: it needs an NVIDIA GPU "
            "of compute capability 8.0 or newer, and Triton 3.4 or newer"
        )
    return _pruned(states, theta, plan, model)


@cache
def _has_triton() -> bool:
    try:
        major, minor = version("triton").split(".")[:2]
    except PackageNotFoundError:
        return False
    return (int(major), int(minor)) >= _TRITON


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1" and _has_triton()


def _pruned(states: Tensor, theta: Tensor, plan: PruningPlan, model: SubstitutionModel) -> Tensor:
    """As `log_likelihood`, but NaN, with gradient 0, where numbers left their range."""
    if isinstance(model, F81):
        return _Pruning.apply(states, plan, _F81, theta, theta.new_zeros(0))
    if isinstance(model, HKY):
        shared = model.transversion_and_transition().to(theta)
        transversion, transition = shared.detach().tolist()
        if transversion <= transition:
            return _Pruning.apply(states, plan, _HKY, theta, shared)
        # The closed form would subtract numbers that grow with the length of the branch.
    log_pi = model.log_equilibrium_frequencies(theta)
    return _Pruning.apply(states, plan, _REVERSIBLE, log_pi, model.rate_matrix(theta))


class _Pruning(torch.autograd.Function):
    """The kernel computes the gradient with the value; backward only scales it."""

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        plan: PruningPlan,
        family: _Family,
        site_input: Tensor,
        rate_input: Tensor,
    ) -> Tensor:
        value, site_gradient, rate_gradient = _launch(states, plan, family, site_input, rate_input)
        ctx.save_for_backward(site_gradient, rate_gradient)
        ctx.per_column = rate_input.dim() > 1
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[None, None, None, Tensor, Tensor]:
        site_gradient, rate_gradient = ctx.saved_tensors
        rate_gradient = rate_gradient * outer[0].reshape(-1, *[1] * (rate_gradient.dim() - 1))
        return (
            None,
            None,
            None,
            site_gradient * outer[0].unsqueeze(-1),
            rate_gradient if ctx.per_column else rate_gradient.sum(dim=0),
        )


def _launch(
    states: Tensor, plan: PruningPlan, family: _Family, site_input: Tensor, rate_input: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-likelihood (C,) and its gradients: with respect to `site_input`, and (C, ...)
    with respect to `rate_input`, also where all columns share that."""
    from phylotools.phylogeny.kernels.gpu.pruning import prune

    device, dtype = site_input.device, site_input.dtype
    states, site_input = states.contiguous(), site_input.detach().contiguous()
    rate_input = rate_input.detach().contiguous()
    n_columns, n_tips = states.shape
    value = site_input.new_empty(n_columns)
    site_gradient = torch.empty_like(site_input)
    shape = rate_input.shape if rate_input.dim() > 1 else (n_columns, *rate_input.shape)
    rate_gradient = site_input.new_empty(shape)
    blocks = -(-n_columns // BLOCK)
    programs = min(blocks, _resident_programs(device))
    if not programs:
        return value, site_gradient, rate_gradient
    workspace = (
        site_input.new_empty(programs, n_tips, BLOCK, 4),
        states.new_empty(programs, n_tips, BLOCK),
        torch.empty(programs, 4, n_tips + 1, dtype=torch.int32, device=device),
        torch.empty(programs, 2, n_tips + 1, dtype=torch.float64, device=device),
        torch.empty(programs, n_tips, 2, dtype=torch.int32, device=device),
        torch.empty(programs, n_tips, 2, dtype=dtype, device=device),
    )
    options = {} if family.registers is None else {"maxnreg": family.registers}
    with torch.cuda.device_of(site_input):
        prune[(programs,)](
            states, site_input, rate_input, value, site_gradient, rate_gradient,
            *_layout_on(plan, device), *workspace, n_columns, n_tips, blocks,
            **family.functions(), BLOCK=BLOCK, CHUNK=CHUNK, ROWS=ROWS, num_warps=1, **options,
        )  # fmt: skip
    return value, site_gradient, rate_gradient


def _resident_programs(device: torch.device) -> int:
    """Programs that run side by side; the memory they need does not grow with the columns."""
    if device.type != "cuda":
        return 2
    properties = torch.cuda.get_device_properties(device)
    return int(properties.multi_processor_count) * PROGRAMS_PER_MULTIPROCESSOR


#: Layouts by plan and device, as long as the plan lives.
_LAYOUTS: dict[tuple[int, torch.device], tuple[Tensor, ...]] = {}


def _layout_on(plan: PruningPlan, device: torch.device) -> tuple[Tensor, ...]:
    """The arrays of a plan's `TraversalLayout`, made and sent to a device once."""
    key = (id(plan), device)
    if key not in _LAYOUTS:
        layout = traversal_layout(plan)
        arrays = (
            layout.tip, layout.tip_depth, layout.clade, layout.first_merge, layout.merge_depth
        )  # fmt: skip
        _LAYOUTS[key] = tuple(torch.from_numpy(array).to(device) for array in arrays)
        weakref.finalize(plan, _LAYOUTS.pop, key, None)
    return _LAYOUTS[key]
