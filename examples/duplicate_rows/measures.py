"""What duplicate rows do to an alignment once a policy has left one row a species."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from alignments import ABSENT, Alignment, Codes
from numpy.typing import NDArray

from phylotools.phylogeny.likelihood import column_log_likelihood, make_plan
from phylotools.phylogeny.site_fit import SitePrior, fit_sites

#: Factors that the search for the most likely rate looks at, and about how many columns.
_WIDEST = 8.0
_MOST_COLUMNS = 5_000
#: An alternative allele is called tolerated above this LLR, in nats.
TOLERATED = -1.0


@dataclass(frozen=True)
class Damage:
    """Of the cells that had several rows, and of all columns.

    Attributes
    ----------
    lost : float
        Share of the orthologue's bases, where a species has several rows, with no base kept.
    wrong : float
        Share of the bases kept there that differ from the orthologue's.
    rate_neutral, rate_conserved : float
        Most likely factor on all rates of such sites, divided by that from the orthologues alone:
        below 1, sites look more conserved than they are.
    surprise : float
        log-likelihood of what was kept at the true sites minus that of the orthologues' bases in
        the same cells, nats a column: negative, less likely.
    llr_error_neutral, llr_error_conserved : float
        Root of the mean squared difference of the LLRs of such sites from those of the orthologues
        alone, nats.
    tolerated : float
        Share of alternatives at conserved sites whose LLR rises above `TOLERATED` or falls below
        it.
    learned_llr : float
        LLR of one site fitted to all conserved columns together, as a network would learn it, minus
        that from the orthologues alone, nats.
    """

    lost: float
    wrong: float
    rate_neutral: float
    rate_conserved: float
    surprise: float
    llr_error_neutral: float
    llr_error_conserved: float
    tolerated: float
    learned_llr: float


class Measures:
    """Compares kept rows with the orthologues of one alignment."""

    def __init__(self, truth: Alignment, fitted: int) -> None:
        self._truth, self._model = truth, truth.model
        self._plan = make_plan(truth.tree)
        places = [np.flatnonzero(truth.is_conserved == kind) for kind in (False, True)]
        self._fitted = [at[:: max(1, len(at) // fitted)][:fitted] for at in places]
        self._rate = [self._most_likely_rate(truth.rows, kind) for kind in (False, True)]
        self._favoured = truth.theta.argmax(dim=1).numpy()
        self._learned = self._learn(truth.rows)
        self._llr = [self._alternatives(truth.rows, at) for at in self._fitted]

    def of(self, kept: Codes, duplicated: NDArray[np.bool_]) -> Damage:
        """The damage in rows that a policy kept.

        Parameters
        ----------
        kept : uint8[S, C]
        duplicated : bool[S, C]
            Cells in which a species had several rows.
        """
        truth = self._truth.rows
        at_stake = duplicated & (truth < 4)
        is_kept = at_stake & (kept < 4)
        rates = [self._most_likely_rate(kept, kind) for kind in (False, True)]
        masked = np.where(kept < 4, truth, ABSENT).astype(np.uint8)
        llr = [self._alternatives(kept, at) for at in self._fitted]
        errors = [
            float(np.sqrt(np.mean((a - b) ** 2))) for a, b in zip(llr, self._llr, strict=True)
        ]
        tolerated = [x[1] > TOLERATED for x in (llr, self._llr)]
        return Damage(
            lost=1 - is_kept.sum() / max(1, at_stake.sum()),
            wrong=float((kept != truth)[is_kept].sum() / max(1, is_kept.sum())),
            rate_neutral=rates[0] / self._rate[0],
            rate_conserved=rates[1] / self._rate[1],
            surprise=float((self._likelihood(kept) - self._likelihood(masked)).mean()),
            llr_error_neutral=errors[0],
            llr_error_conserved=errors[1],
            learned_llr=self._learn(kept) - self._learned,
            tolerated=float(np.mean(tolerated[0] != tolerated[1])),
        )

    def _likelihood(
        self, rows: Codes, part: slice | NDArray[np.int64] = slice(None), log_factor: float = 0.0
    ) -> NDArray[np.float64]:
        """Of columns at their true sites, all rates multiplied by a factor."""
        with torch.no_grad():
            theta = self._truth.theta[part]
            theta = self._model.with_log_rate(theta, self._model.log_rate(theta) + log_factor)
            states = _states(rows[:, part])
            return column_log_likelihood(states, theta, self._plan, self._model).numpy()

    def _most_likely_rate(self, rows: Codes, is_conserved: bool) -> float:
        """By golden section on the logarithm of the factor."""
        part = np.flatnonzero(self._truth.is_conserved == is_conserved)
        part = part[:: max(1, len(part) // _MOST_COLUMNS)]
        low, high = -math.log(_WIDEST), math.log(_WIDEST)
        golden = (math.sqrt(5) - 1) / 2

        def value(x: float) -> float:
            return float(self._likelihood(rows, part, x).sum())

        left, right = high - golden * (high - low), low + golden * (high - low)
        at_left, at_right = value(left), value(right)
        while high - low > 2e-3:
            if at_left > at_right:
                high, right, at_right = right, left, at_left
                left = high - golden * (high - low)
                at_left = value(left)
            else:
                low, left, at_left = left, right, at_right
                right = low + golden * (high - low)
                at_right = value(right)
        return math.exp((low + high) / 2)

    def _learn(self, rows: Codes) -> float:
        """Mean LLR of alternatives at a site shared by all conserved columns of one base."""
        llr = []
        for base in range(4):
            at = np.flatnonzero(self._truth.is_conserved & (self._favoured == base))
            states = _states(rows[:, at])
            theta = self._truth.theta[at].mean(dim=0).clone().requires_grad_()
            self._maximise(states, theta)
            with torch.no_grad():
                score = self._model.allele_scores(theta)
                llr.append(float((score.sum() - score[base]) / 3 - score[base]))
        return float(np.mean(llr))

    def _maximise(self, states: torch.Tensor, theta: torch.Tensor) -> None:
        search = torch.optim.LBFGS([theta], max_iter=60, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            search.zero_grad()
            sites = theta.expand(len(states), 4)
            value = -column_log_likelihood(states, sites, self._plan, self._model).mean()
            value.backward()
            return value

        search.step(loss)

    def _alternatives(self, rows: Codes, at: NDArray[np.int64]) -> NDArray[np.float64]:
        """LLRs of alternatives at some sites, as `fit-sites` gives them; float64[., 3]."""
        states = _states(rows[:, at])
        reference = states[:, self._truth.reference]
        theta = fit_sites(states, reference, self._plan, SitePrior(), self._model)
        with torch.no_grad():
            score = self._model.allele_scores(theta.double()).numpy()
        known = np.flatnonzero(reference.numpy() < 4)
        own = reference.numpy().astype(np.int64)[known, None]
        score = score[known]
        return np.take_along_axis(score, (own + np.arange(1, 4)) % 4, 1) - np.take_along_axis(
            score, own, 1
        )


def _states(rows: Codes) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(rows.T))
