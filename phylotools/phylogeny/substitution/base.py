"""What every model of substitution can do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from phylotools.phylogeny.change_scores import PAIRS, MutationProcess, all_changes

#: Where the complement of each base, and of each pair of bases, stands.
COMPLEMENT_BASE, COMPLEMENT_PAIR = (3, 2, 1, 0), (5, 4, 2, 3, 1, 0)
#: Log of the largest ratio of two shared parameters of a kind: e^10 = 22,026. Columns without a
#: single transversion, say, would otherwise send kappa off for ever.
LARGEST_LOG_RATIO = 10.0

#: Log of a probability of zero: finite, so that no gradient becomes NaN, and within float32
#: whatever is added to it.
NEVER = -1e30
_LARGEST_LOG_ODDS, _LARGEST_LOG_RATE = 60.0, 30.0
#: Largest rate times branch length: beyond it nothing changes any more.
_SATURATED = 1e4
#: 1 / 19! is beyond float64, for matrices whose rows sum to at most 1.
_TAYLOR_TERMS = 18

#: Carries log partial likelihoods over branches: ``log(P(t) L)``.
LogPropagator = Callable[[Tensor, Tensor], Tensor]


class SubstitutionModel(nn.Module):
    """A reversible model with four numbers theta for each site and a few shared by all.

    Theta of shape (..., A) is what a network gives at a site, in the order A, C, G, T. The shared
    numbers are the module's parameters: learned with a network, or given (`requires_grad` false).

    Attributes
    ----------
    name : str
        As in configuration files.
    neutral_log_rate : float
        Log rate of a neutral site, at which one substitution is expected per unit of branch length.
    """

    name: ClassVar[str]
    neutral_log_rate: ClassVar[float]

    def log_rate(self, theta: Tensor) -> Tensor:
        """log R, shape (...,): the part of theta that its differences say nothing of."""
        raise NotImplementedError

    def with_log_rate(self, theta: Tensor, log_rate: float | Tensor) -> Tensor:
        """The same site at another log R (a number, or of shape (...,)), shape (..., A)."""
        shift = log_rate - self.log_rate(theta)
        return theta + shift.unsqueeze(-1)

    def log_equilibrium_frequencies(self, theta: Tensor) -> Tensor:
        """log pi, shape (..., A)."""
        raise NotImplementedError

    def allele_scores(self, theta: Tensor) -> Tensor:
        """Scaled fitness of each base, shape (..., A): log pi less what mutation makes of it.

        Only differences of two mean something: `change_scores` of the name ``fitness``.
        """
        raise NotImplementedError

    def rate_matrix(self, theta: Tensor) -> Tensor:
        """Q, shape (..., A, A): row = from, column = to; rows sum to 0."""
        raise NotImplementedError

    def exchangeabilities(self) -> Tensor:
        """What makes rates of substitution symmetric, shape (A, A), scaled; 0 on the diagonal."""
        raise NotImplementedError

    def mutation_process(self) -> MutationProcess:
        """Mutation as the model has it, without torch: what scores of changes are relative to."""
        return MutationProcess.of({"model": self.name, **self.settings()})

    def change_scores(self, theta: Tensor, score: str) -> Tensor:
        """A score of every change of one base, float64, shape (..., A, A): from row to column.

        The diagonal says what the formula gives of a base that stays: 0 of ``llr`` and
        ``fitness``, nothing of interest of the others. Without gradients.

        Parameters
        ----------
        theta : Tensor, shape (..., A)
        score : str
            A name of `phylotools.phylogeny.score_meaning`; not ``calibrated``, which needs more
            than theta.
        """
        with torch.no_grad():
            sites = theta.detach().cpu().double().reshape(-1, 4)
            found = self.mutation_process().scores(
                score,
                self.log_equilibrium_frequencies(sites).numpy(),
                self.log_rate(sites).numpy(),
                self.site_rate(sites).numpy(),
                all_changes(len(sites)),
            )
        return torch.from_numpy(found).reshape(*theta.shape, 4)

    def bounded(self, theta: Tensor) -> Tensor:
        """Theta as the likelihood takes it: within what exponentials of matrices can resolve.

        Bases less than exp(-60) as frequent as the first count as that rare, and rates above
        exp(30) as that fast: far outside of what data say anything about.
        """
        with torch.no_grad():
            top = theta.amax(dim=-1)
            # log R is at most this much above the largest of theta.
            is_slow = bool((top <= _LARGEST_LOG_RATE - math.log(4)).all())
            if is_slow and bool((top - theta.amin(dim=-1) <= _LARGEST_LOG_ODDS).all()):
                return theta
        theta = torch.maximum(theta, theta.amax(dim=-1, keepdim=True) - _LARGEST_LOG_ODDS)
        excess = (self.log_rate(theta) - _LARGEST_LOG_RATE).clamp(min=0)
        return theta - excess.unsqueeze(-1)

    def settings(self) -> dict[str, float | bool | list[float]]:
        """The shared parameters as plain numbers, as `make_substitution_model` takes them."""
        return {}

    def entropy(self, theta: Tensor) -> Tensor:
        """Entropy of the equilibrium frequencies in nats, shape (...,); at most log 4."""
        log_pi = self.log_equilibrium_frequencies(theta)
        return -(log_pi.exp() * log_pi).sum(dim=-1)

    def site_rate(self, theta: Tensor) -> Tensor:
        """Expected substitutions per unit of branch length at equilibrium, shape (...,).

        ``-sum_a pi_a Q[a, a]``: 1 at a neutral site. Unlike R it stays meaningful where a conserved
        column leaves R itself undetermined: see the identifiability chapter of the method page.
        """
        pi = self.log_equilibrium_frequencies(theta).exp()
        off_diagonal = self.rate_matrix(theta) * (1 - torch.eye(4).to(theta))
        return (pi.unsqueeze(-1) * off_diagonal).sum(dim=(-1, -2))

    def transition_probabilities(self, theta: Tensor, branch_length: float | Tensor) -> Tensor:
        """P(t) = exp(Q t), shape (..., A, A): row = ancestor, column = descendant.

        Parameters
        ----------
        theta : Tensor, shape (..., A)
        branch_length : float or Tensor that broadcasts to (...,)
        """
        if theta.device.type == "mps":  # which has no float64
            return self._transition_probabilities(theta, branch_length)
        return self._transition_probabilities(theta.double(), branch_length).to(theta.dtype)

    def _transition_probabilities(self, theta: Tensor, branch_length: float | Tensor) -> Tensor:
        length = torch.as_tensor(branch_length).to(theta)[..., None, None]
        exponent = self.rate_matrix(theta) * length
        fastest = -torch.diagonal(exponent.detach(), dim1=-2, dim2=-1).amin(dim=-1)[..., None, None]
        return exponential(exponent * (_SATURATED / fastest.clamp(min=_SATURATED)))

    def log_propagator(self, theta: Tensor) -> LogPropagator:
        """How log partial likelihoods at these sites pass over branches, in plain torch.

        Parameters
        ----------
        theta : Tensor, shape (C, A)

        Returns
        -------
        callable
            From log partials (C, M, A) and branch lengths (M,) to log partials (C, M, A), with
            `NEVER` for the log of 0.
        """

        # Logarithms of what float32 may not hold.
        precise = theta if theta.device.type == "mps" else theta.double()

        def carry(log_partial: Tensor, length: Tensor) -> Tensor:
            log_p = safe_log(self._transition_probabilities(precise.unsqueeze(-2), length))
            log_p = log_p.to(log_partial.dtype)
            return torch.logsumexp(log_p + log_partial.unsqueeze(-2), dim=-1)

        return carry


def exponential(generator: Tensor) -> Tensor:
    """exp of matrices (..., A, A) whose rows sum to zero, off-diagonal entries not negative.

    ``exp(G) = exp(-m) exp(G + m)`` with -m the least entry of the diagonal: a Taylor series and
    squarings of matrices without a negative entry. Unlike the general algorithm that keeps the
    digits of the rarest transitions, in the value and in the gradient.
    """
    shift = -torch.diagonal(generator, dim1=-2, dim2=-1).amin(dim=-1)[..., None, None]
    largest = float(shift.detach().amax()) if shift.numel() else 0.0
    squarings = max(0, math.ceil(math.log2(largest))) if largest > 0 else 0
    identity = torch.eye(4).to(generator)
    shift = shift / 2**squarings
    positive = generator / 2**squarings + shift * identity
    result = identity.expand_as(positive)
    for term in range(_TAYLOR_TERMS, 0, -1):
        result = identity + positive @ result / term
    result = result * torch.exp(-shift)
    for _ in range(squarings):
        result = result @ result
    return result


def safe_log(values: Tensor) -> Tensor:
    """Logarithm, `NEVER` with gradient 0 where there is none."""
    positive = values > 0
    return torch.where(
        positive,
        torch.where(positive, values, torch.ones_like(values)).log(),
        torch.full_like(values, NEVER),
    )


def with_zero_row_sums(off_diagonal: Tensor) -> Tensor:
    """Fill the diagonal of (..., A, A) so that rows sum to zero."""
    off_diagonal = off_diagonal * (1 - torch.eye(4).to(off_diagonal))
    return off_diagonal - torch.diag_embed(off_diagonal.sum(dim=-1))


def symmetric_matrix(pairs: Tensor) -> Tensor:
    """Symmetric (A, A) with zero diagonal from the six numbers of `PAIRS`."""
    first, second = (torch.tensor(side, device=pairs.device) for side in zip(*PAIRS, strict=True))
    matrix = pairs.new_zeros(4, 4).index_put((first, second), pairs)
    return matrix + matrix.T


def bounded_logs(logs: Tensor, strand_symmetric: bool = False) -> Tensor:
    """Logs of shared parameters, by base (4) or by pair of bases (6), about their middle.

    Their factor in common means nothing. No two are further apart than `LARGEST_LOG_RATIO`; with
    `strand_symmetric` each is the mean with that of the complement.
    """
    if strand_symmetric:
        logs = (logs + logs[list(COMPLEMENT_BASE if len(logs) == 4 else COMPLEMENT_PAIR)]) / 2
    middle = (logs.detach().max() + logs.detach().min()) / 2
    return (logs - middle).clamp(-LARGEST_LOG_RATIO / 2, LARGEST_LOG_RATIO / 2)
