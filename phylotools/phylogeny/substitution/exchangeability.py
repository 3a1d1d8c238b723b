"""Models that multiply a site's rates by exchangeabilities shared by all sites: F81, HKY, GTR.

A site's four numbers are log rates: ``Q[a, b] = s_ab exp(theta_b)`` for a != b, so that
``pi = softmax(theta)`` and ``R = sum_b exp(theta_b)``. The symmetric s are 1 in Felsenstein's 1981
model (J. Mol. Evol. 17:368); two values, by transition and transversion, in that of Hasegawa,
Kishino and Yano (J. Mol. Evol. 22:160, 1985); six in the general time-reversible model (Tavare,
Lect. Math. Life Sci. 17:57, 1986). They are scaled so that a site with the background's
frequencies and ``R = 4/3`` has the mean rate that such a site has under F81 with uniform
frequencies: one substitution per unit of branch length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from phylotools.phylogeny.change_scores import NEUTRAL_LOG_RATE, PAIRS
from phylotools.phylogeny.substitution.base import (
    LARGEST_LOG_RATIO,
    LogPropagator,
    SubstitutionModel,
    bounded_logs,
    safe_log,
    symmetric_matrix,
    with_zero_row_sums,
)

#: Beyond this log R every branch is saturated; the bound keeps R * 0 from becoming inf * 0.
MAX_LOG_RATE = 60.0
_UNIFORM = (0.25, 0.25, 0.25, 0.25)


class _ExchangeabilityModel(SubstitutionModel):
    neutral_log_rate = NEUTRAL_LOG_RATE

    def log_rate(self, theta: Tensor) -> Tensor:
        return torch.logsumexp(theta, dim=-1)

    def log_equilibrium_frequencies(self, theta: Tensor) -> Tensor:
        return torch.log_softmax(theta, dim=-1)

    def exchangeabilities(self) -> Tensor:
        """s, shape (A, A), scaled; zero on the diagonal."""
        raise NotImplementedError

    def rate_matrix(self, theta: Tensor) -> Tensor:
        rate = theta.clamp(max=MAX_LOG_RATE).exp()
        return with_zero_row_sums(self.exchangeabilities().to(theta) * rate.unsqueeze(-2))


class F81(_ExchangeabilityModel):
    """Felsenstein 1981: every base is replaced at the same rates.

    ``P[a, b](t) = exp(-R t) [a = b] + (1 - exp(-R t)) pi_b``. Nothing is shared between sites.
    Mutation is taken to be uniform, so that the fitness of a base is log pi.
    """

    name = "f81"

    def allele_scores(self, theta: Tensor) -> Tensor:
        return self.log_equilibrium_frequencies(theta)

    def bounded(self, theta: Tensor) -> Tensor:
        return theta  # its closed form needs no bound

    def exchangeabilities(self) -> Tensor:
        return torch.ones(4, 4) - torch.eye(4)

    def site_rate(self, theta: Tensor) -> Tensor:
        log_pi = self.log_equilibrium_frequencies(theta)
        return self.log_rate(theta).exp() * (log_pi.exp() * -torch.expm1(log_pi)).sum(dim=-1)

    def transition_probabilities(self, theta: Tensor, branch_length: float | Tensor) -> Tensor:
        length = torch.as_tensor(branch_length).to(theta)
        exponent = (-self._bounded_rate(theta) * length)[..., None, None]
        pi = self.log_equilibrium_frequencies(theta).exp().unsqueeze(-2)
        return exponent.exp() * torch.eye(4).to(theta) - torch.expm1(exponent) * pi

    def log_propagator(self, theta: Tensor) -> LogPropagator:
        log_pi = self.log_equilibrium_frequencies(theta).unsqueeze(-2)
        rate = self._bounded_rate(theta).unsqueeze(-1)

        def carry(log_partial: Tensor, length: Tensor) -> Tensor:
            log_keep = (-rate * length).unsqueeze(-1)
            log_loss = safe_log(-torch.expm1(log_keep))
            log_mean = torch.logsumexp(log_pi + log_partial, dim=-1, keepdim=True)
            return torch.logaddexp(log_loss + log_mean, log_keep + log_partial)

        return carry

    def _bounded_rate(self, theta: Tensor) -> Tensor:
        return self.log_rate(theta).clamp(max=MAX_LOG_RATE).exp()


class _WithBackground(_ExchangeabilityModel):
    """Knows the frequencies that mutation alone is taken to give, the background.

    The fitness of a base is ``log pi_b - log background_b``; log pi if that is uniform.
    """

    log_background: Tensor

    def __init__(self, background: Sequence[float]) -> None:
        super().__init__()
        frequencies = torch.tensor(background)
        self.register_buffer("log_background", torch.log(frequencies / frequencies.sum()))

    def allele_scores(self, theta: Tensor) -> Tensor:
        return self.log_equilibrium_frequencies(theta) - self.log_background.to(theta)

    def relative_exchangeabilities(self) -> Tensor:
        """s up to a factor, shape (A, A)."""
        raise NotImplementedError

    def exchangeabilities(self) -> Tensor:
        relative = self.relative_exchangeabilities()
        background = self.log_background.exp().to(relative)
        return relative * 0.75 / (background @ relative @ background)


class HKY(_WithBackground):
    """Hasegawa, Kishino and Yano 1985: transitions are kappa times as fast as transversions.

    Parameters
    ----------
    kappa : float
        Given, or where learning starts.
    background : sequence of float, length 4
        Frequencies of A, C, G, T that mutation alone is taken to give.
    """

    name = "hky"

    def __init__(self, kappa: float = 2.0, background: Sequence[float] = _UNIFORM) -> None:
        super().__init__(background)
        self.log_kappa = nn.Parameter(torch.tensor(math.log(kappa)))

    def settings(self) -> dict[str, float | bool | list[float]]:
        return {
            "kappa": self._kappa().item(),
            "background": self.log_background.exp().tolist(),
        }

    def relative_exchangeabilities(self) -> Tensor:
        kappa = self._kappa()
        one = torch.ones_like(kappa)
        return symmetric_matrix(torch.stack([one, kappa, one, one, kappa, one]))

    def _kappa(self) -> Tensor:
        return self.log_kappa.clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO).exp()

    def transversion_and_transition(self) -> Tensor:
        """The two exchangeabilities, shape (2,)."""
        s = self.exchangeabilities()
        return torch.stack([s[0, 1], s[0, 2]])


class GTR(_WithBackground):
    """The general time-reversible model.

    Parameters
    ----------
    exchangeabilities : sequence of float, length 6
        In the order AC, AG, AT, CG, CT, GT, up to a factor.
    background : sequence of float, length 4
    strand_symmetric : bool
        Give a substitution and its complement the same exchangeability.
    """

    name = "gtr"

    def __init__(
        self,
        exchangeabilities: Sequence[float] = (1.0,) * 6,
        background: Sequence[float] = _UNIFORM,
        strand_symmetric: bool = False,
    ) -> None:
        super().__init__(background)
        self.strand_symmetric = strand_symmetric
        self.log_exchangeabilities = nn.Parameter(torch.tensor(exchangeabilities).log())

    def settings(self) -> dict[str, float | bool | list[float]]:
        s = self.exchangeabilities()
        return {
            "exchangeabilities": [s[a, b].item() for a, b in PAIRS],
            "background": self.log_background.exp().tolist(),
            "strand_symmetric": self.strand_symmetric,
        }

    def relative_exchangeabilities(self) -> Tensor:
        return symmetric_matrix(
            bounded_logs(self.log_exchangeabilities, self.strand_symmetric).exp()
        )
