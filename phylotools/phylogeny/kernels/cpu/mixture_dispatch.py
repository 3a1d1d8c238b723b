"""The compiled pruning of a mixture of site classes: columns shared out to threads, gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from phylotools.compiling import compile_entries
from phylotools.phylogeny.kernels.cpu.mixture import (
    BLOCK_COLUMNS,
    Mixture,
    Patterns,
    mixture_share,
)
from phylotools.phylogeny.kernels.plan import PruningPlan
from phylotools.threads import get_threads, map_in_threads

#: Parts of the columns, each with a gradient of its own; these are added in order, so that the
#: number of threads changes no bit.
_PARTS = 8


class ColumnPatterns:
    """Distinct columns of a sample, each with the number of times it is met.

    Parameters
    ----------
    states : uint8 array (C, S)
        0..3 are A, C, G, T; anything else is missing.

    Attributes
    ----------
    of_column : int64 array (C,)
        The pattern of each column.
    n_columns : int
    """

    def __init__(self, states: NDArray[np.uint8]) -> None:
        states = np.where(states < 4, states, np.uint8(4))
        distinct, of_column, count = np.unique(
            states, axis=0, return_inverse=True, return_counts=True
        )
        self.of_column = of_column.reshape(-1).astype(np.int64)
        self.n_columns = len(states)
        # Columns with the same species side by side: branches without data cost less.
        present = np.packbits(distinct < 4, axis=1)
        order = np.lexsort(present.T[::-1])
        self._patterns = Patterns(
            np.ascontiguousarray(distinct), order.astype(np.int64), count.astype(np.float64)
        )

    def __len__(self) -> int:
        return len(self._patterns.weight)

    def log_likelihood(
        self, plan: PruningPlan, transition: Tensor, frequencies: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Log-likelihood under a mixture of equally frequent classes of sites.

        Parameters
        ----------
        plan : PruningPlan
            Its merges; lengths are in `transition`.
        transition : Tensor of float64, shape (K, 2M, A, A)
            P of each class and branch (``2 merge + side``), row = ancestor.
        frequencies : Tensor of float64, shape (A,)
            At the root.

        Returns
        -------
        total : Tensor, shape ()
            Sum over all columns, differentiable in `transition`, whose rows are taken to sum to 1.
        by_column : Tensor, shape (C,)
            Not differentiable; -inf where a column is impossible.
        """
        total, by_pattern = _MixturePruning.apply(transition, self._patterns, plan, frequencies)
        return total, by_pattern[torch.from_numpy(self.of_column)]


class _MixturePruning(torch.autograd.Function):
    """The compiled pass gives the gradient with the value; backward only scales it."""

    @staticmethod
    def forward(
        ctx: Any, transition: Tensor, patterns: Patterns, plan: PruningPlan, frequencies: Tensor
    ) -> tuple[Tensor, Tensor]:
        flat = np.ascontiguousarray(transition.detach().numpy()).reshape(*transition.shape[:2], 16)
        mixture = Mixture(plan.child, flat, frequencies.numpy())
        value, gradient = _prune(patterns, mixture, ctx.needs_input_grad[0])
        ctx.save_for_backward(torch.from_numpy(gradient).view(-1, *transition.shape[1:]))
        by_pattern = torch.from_numpy(value)
        ctx.mark_non_differentiable(by_pattern)
        return torch.from_numpy(patterns.weight) @ by_pattern, by_pattern

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor, _: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer, None, None, None


def _prune(
    patterns: Patterns, mixture: Mixture, with_gradient: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log-likelihoods (C,), and the gradient of their weighted sum (K, 2M, 16) or (0, 2M, 16)."""
    n_classes, n_branches, _ = mixture.transition.shape
    blocks = -(-len(patterns.order) // BLOCK_COLUMNS)
    bounds = np.linspace(0, blocks, min(_PARTS, blocks) + 1).astype(np.int64)
    value = np.empty(len(patterns.order))
    n_kept = n_classes if with_gradient else 0
    total = np.zeros((n_kept, n_branches, 16))
    gradients: dict[int, NDArray[np.float64]] = {}

    def share(part: int) -> None:
        first, last = bounds[part], bounds[part + 1]
        _compiled(patterns, mixture, first, last, value, gradients[part])

    n_parts, threads = len(bounds) - 1, get_threads()
    for first in range(0, n_parts, threads):
        parts = range(first, min(first + threads, n_parts))
        gradients.update((part, np.zeros_like(total)) for part in parts)
        map_in_threads(share, parts)
        for part in parts:
            total += gradients.pop(part)
    return value, total


def _prune_mixture(patterns, mixture, first, last, value, gradient):
    mixture_share(patterns, mixture, first, last, value, gradient)


(_compiled,) = compile_entries(Path(__file__).parent.glob("*.py"), _prune_mixture)
