"""Mutation and selection apart: one neutral mutation matrix for all sites, four fitnesses each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from phylotools.phylogeny.change_scores import PAIRS
from phylotools.phylogeny.substitution.base import (
    SubstitutionModel,
    bounded_logs,
    symmetric_matrix,
    with_zero_row_sums,
)


class MutationSelection(SubstitutionModel):
    """Halpern and Bruno, Mol. Biol. Evol. 15:910 (1998).

    ``Q[a, b] = R mu_ab S / (1 - exp(-S))`` with ``S = F_b - F_a``: the rate at which mutations
    arise times their chance of fixation relative to a neutral one (Kimura, Genetics 47:713, 1962).
    ``mu_ab = s_ab m_b`` is reversible, scaled to one mutation per unit of branch length at
    equilibrium; ``pi_b ~ m_b exp(F_b)``.

    Theta is F up to a constant. The constant is log R, measured as
    ``log sum_b m_b exp(theta_b)``: 0 where every site mutates at the one neutral rate (the model
    proper, treatment ``fixed`` of the rate), free or under a prior where mutation rates vary.

    Parameters
    ----------
    exchangeabilities : sequence of float, length 6
        Of the mutation matrix, in the order AC, AG, AT, CG, CT, GT, up to a factor.
    mutation_frequencies : sequence of float, length 4
        m: frequencies of A, C, G, T under mutation alone.
    strand_symmetric : bool
        Give a mutation and its complement the same rate, as where the two strands do not differ.
    """

    name = "mutation-selection"
    neutral_log_rate = 0.0

    def __init__(
        self,
        exchangeabilities: Sequence[float] = (1.0, 2.0, 1.0, 1.0, 2.0, 1.0),
        mutation_frequencies: Sequence[float] = (0.25, 0.25, 0.25, 0.25),
        strand_symmetric: bool = False,
    ) -> None:
        super().__init__()
        self.strand_symmetric = strand_symmetric
        self.log_exchangeabilities = nn.Parameter(torch.tensor(exchangeabilities).log())
        self.log_frequencies = nn.Parameter(torch.tensor(mutation_frequencies).log())

    def settings(self) -> dict[str, float | bool | list[float]]:
        s = self.exchangeabilities()
        return {
            "exchangeabilities": [s[a, b].item() for a, b in PAIRS],
            "mutation_frequencies": self.log_mutation_frequencies().exp().tolist(),
            "strand_symmetric": self.strand_symmetric,
        }

    def log_mutation_frequencies(self) -> Tensor:
        """log m, shape (A,)."""
        return torch.log_softmax(bounded_logs(self.log_frequencies, self.strand_symmetric), dim=-1)

    def mutation_matrix(self) -> Tensor:
        """mu, shape (A, A), zero on the diagonal; one mutation per unit at equilibrium."""
        m = self.log_mutation_frequencies().exp()
        return self.exchangeabilities() * m

    def exchangeabilities(self) -> Tensor:
        """s, shape (A, A), scaled; zero on the diagonal."""
        s = symmetric_matrix(bounded_logs(self.log_exchangeabilities, self.strand_symmetric).exp())
        m = self.log_mutation_frequencies().exp()
        return s / (m @ s @ m)

    def log_rate(self, theta: Tensor) -> Tensor:
        return torch.logsumexp(theta + self.log_mutation_frequencies().to(theta), dim=-1)

    def log_equilibrium_frequencies(self, theta: Tensor) -> Tensor:
        return torch.log_softmax(theta + self.log_mutation_frequencies().to(theta), dim=-1)

    def allele_scores(self, theta: Tensor) -> Tensor:
        return theta - theta.mean(dim=-1, keepdim=True)

    def rate_matrix(self, theta: Tensor) -> Tensor:
        selection = theta.unsqueeze(-2) - theta.unsqueeze(-1)
        rate = self.log_rate(theta).clamp(max=60.0)[..., None, None]
        fixation = (log_relative_fixation(selection) + rate).exp()
        return with_zero_row_sums(self.mutation_matrix().to(theta) * fixation)


def log_relative_fixation(selection: Tensor) -> Tensor:
    """``log(S / (1 - exp(-S)))``, smooth at S = 0 and without overflow.

    ``= S/2 - log(sinh(x) / x)``, ``x = |S| / 2``.
    """
    x = selection.abs() / 2
    small = x < 0.05
    away = torch.where(small, torch.ones_like(x), x)
    log_ratio = away + torch.log1p(-torch.exp(-2 * away)) - torch.log(2 * away)
    square = torch.where(small, x * x, torch.zeros_like(x))
    series = square / 6 - square.square() / 180
    return selection / 2 - torch.where(small, series, log_ratio)
