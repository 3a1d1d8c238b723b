"""How much likelier, or less likely, edits make a sequence under a model.

The log-likelihood with every base in sight of its own prediction is no measure of that: a network
mostly says that what stands there stays, whatever it is. Counted here is what Gibbs sampling goes
by: the log frequency of the new base over that of the old one, given all other positions. Of
several edits it is the sum over them, put in from left to right. Were the conditionals those of a
joint distribution, that were the log ratio of two sequences' probabilities, in whatever order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phylotools.design.conditionals import SiteConditionals
from phylotools.design.problem import Problem


class LogRatios:
    """Log ratios of sequences to their one start.

    Parameters
    ----------
    problem : Problem
        Of one start.
    conditionals : SiteConditionals
    """

    def __init__(self, problem: Problem, conditionals: SiteConditionals) -> None:
        self._problem, self._conditionals = problem, conditionals
        self._start = problem.codes[0]

    def of(self, codes: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Log ratios [B] of sequences [B, L], in nats."""
        which, places = np.nonzero(codes != self._start)
        found = np.zeros(len(codes))
        if not len(which):
            return found
        # Each edit's context: the edits to its left put in, those from it on not yet.
        is_left = np.arange(codes.shape[1]) < places[:, None]
        context = np.where(is_left, codes[which], self._start)
        terms = self._log_odds(context, np.arange(len(which)), places, codes[which, places])
        np.add.at(found, which, terms)
        return found

    def edited(
        self,
        codes: NDArray[np.uint8],
        rows: NDArray[np.int64],
        positions: NDArray[np.int64],
        bases: NDArray[np.uint8],
    ) -> NDArray[np.float64]:
        """What single edits add to the log ratios of sequences, as they stand; float64 [C].

        Parameters
        ----------
        codes : uint8 array [B, L]
        rows, positions : int64 arrays [C]
        bases : uint8 array [C]
        """
        return self._log_odds(codes, rows, positions, bases)

    def _log_odds(
        self,
        codes: NDArray[np.uint8],
        rows: NDArray[np.int64],
        positions: NDArray[np.int64],
        bases: NDArray[np.uint8],
    ) -> NDArray[np.float64]:
        # The bases of one position share what is asked of the network.
        places, number = np.unique(rows * codes.shape[1] + positions, return_inverse=True)
        own_rows, own_positions = np.divmod(places, codes.shape[1])
        tokens = self._problem.tokens(codes, np.zeros(len(codes), dtype=np.int64))
        logs = self._conditionals.log_frequencies(tokens, own_rows, own_positions)[number.ravel()]
        k = np.arange(len(rows))
        odds: NDArray[np.float64] = logs[k, bases] - logs[k, codes[rows, positions]]
        return odds
