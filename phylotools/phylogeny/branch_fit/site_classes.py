"""How sites evolve that are not told apart: one substitution model at a few rates."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from phylotools.phylogeny.kernels.cpu.mixture_dispatch import ColumnPatterns
from phylotools.phylogeny.kernels.plan import PruningPlan
from phylotools.phylogeny.site_fit.fit import theta_of_frequencies
from phylotools.phylogeny.substitution import MutationSelection, SubstitutionModel

#: Where the search for the rates starts: about those of a gamma distribution of shape 0.5, whose
#: quarters have 0.03, 0.28, 0.92 and 2.77.
_FIRST_SLOPE = 3.0


class SiteClasses(nn.Module):
    """Equally many sites in each of K classes; a class has a rate, all have one rate matrix.

    Parameters
    ----------
    model : SubstitutionModel
        Copied; its shared parameters are learned unless `learn_shared` is false. Of mutation and
        selection only the neutral mutation matrix is left, since no site is told apart.
    background : sequence of float, length 4
        Equilibrium frequencies of A, C, G and T.
    n_classes : int
    learn_shared : bool
    """

    model: SubstitutionModel
    log_frequencies: Tensor
    log_rates: nn.Parameter

    def __init__(
        self,
        model: SubstitutionModel,
        background: Sequence[float],
        n_classes: int,
        *,
        learn_shared: bool = True,
    ) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).double()
        for parameter in self.model.parameters():
            parameter.requires_grad_(learn_shared)
        if isinstance(self.model, MutationSelection):
            # The background, which sites without selection have.
            self.model.log_frequencies.requires_grad_(False)
        frequencies = torch.tensor(background, dtype=torch.float64)
        self.register_buffer("log_frequencies", torch.log(frequencies / frequencies.sum()))
        steps = torch.linspace(-0.5, 0.5, n_classes) if n_classes > 1 else torch.zeros(1)
        self.log_rates = nn.Parameter(_FIRST_SLOPE * steps.double(), requires_grad=n_classes > 1)

    @property
    def rates(self) -> Tensor:
        """Rates of the classes, shape (K,); their mean is 1."""
        return torch.softmax(self.log_rates, dim=0) * len(self.log_rates)

    def rate_matrix(self) -> Tensor:
        """Q at the mean rate, shape (A, A): one substitution per unit of branch length."""
        theta = theta_of_frequencies(self.log_frequencies, self.model)
        matrix = self.model.rate_matrix(theta)
        return matrix / -(self.log_frequencies.exp() @ torch.diagonal(matrix))

    def log_likelihood(
        self, patterns: ColumnPatterns, plan: PruningPlan, branch_length: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Log-likelihood of columns.

        Parameters
        ----------
        patterns : ColumnPatterns
        plan : PruningPlan
            Of the tree; its own branch lengths are not used.
        branch_length : Tensor of float64, shape (N,)
            By node of the tree.

        Returns
        -------
        total : Tensor, shape ()
            Differentiable in everything.
        by_column : Tensor, shape (C,)
        """
        side = torch.from_numpy(plan.side_of_node)
        has_branch = side >= 0
        length = branch_length.new_zeros(2 * len(plan.child))
        length = length.index_add(0, side[has_branch], branch_length[has_branch])
        transition = transition_probabilities(
            self.rate_matrix(), self.log_frequencies, self.rates.unsqueeze(1) * length
        )
        return patterns.log_likelihood(plan, transition, self.log_frequencies.exp())


def transition_probabilities(matrix: Tensor, log_frequencies: Tensor, length: Tensor) -> Tensor:
    """exp(Q t) of one reversible Q and many t, float64.

    Parameters
    ----------
    matrix : Tensor, shape (A, A)
        Q.
    log_frequencies : Tensor, shape (A,)
        log pi, with which it is reversible.
    length : Tensor, shape (...,)

    Returns
    -------
    Tensor, shape (..., A, A)
        Differentiable in `matrix` and `length`.
    """
    root = torch.exp(log_frequencies / 2)
    symmetric = root.unsqueeze(1) * matrix / root
    exponential = _SymmetricExponential.apply((symmetric + symmetric.T) / 2, length)
    return exponential * (root / root.unsqueeze(1))


class _SymmetricExponential(torch.autograd.Function):
    """exp(S t) of one symmetric S: one eigendecomposition, where a series takes one for each t.

    The derivative in S is that of Daleckii and Krein, which equal eigenvalues do not disturb.
    """

    @staticmethod
    def forward(ctx, symmetric: Tensor, length: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        values, vectors = torch.linalg.eigh(symmetric)
        exponential = torch.exp(values * length.unsqueeze(-1))
        ctx.save_for_backward(values, vectors, exponential, length)
        return (vectors * exponential.unsqueeze(-2)) @ vectors.T

    @staticmethod
    def backward(ctx, outer: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
        values, vectors, exponential, length = ctx.saved_tensors
        turned = vectors.T @ outer @ vectors
        to_length = (torch.diagonal(turned, dim1=-2, dim2=-1) * values * exponential).sum(dim=-1)
        gap = values.unsqueeze(1) - values
        # (exp(a) - exp(b)) / (a - b) = exp(b) (exp(a - b) - 1) / (a - b)
        at = gap * length[..., None, None]
        is_near = at.abs() < 1e-9
        slope = torch.where(is_near, 1.0, torch.expm1(at) / torch.where(is_near, 1.0, at))
        weight = slope * exponential.unsqueeze(-2) * length[..., None, None]
        middle = (turned * weight).flatten(0, -3).sum(dim=0)
        return vectors @ middle @ vectors.T, to_length
