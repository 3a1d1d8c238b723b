"""The phylogenetic likelihood and masked language modelling in one pass."""

from __future__ import annotations

import dataclasses

import numpy as np

from phylotools.model.site_model import SiteModel
from phylotools.phylogeny.likelihood import log_reference_frequency
from phylotools.training.batch import Batch
from phylotools.training.objectives.base import LossSums, column_theta
from phylotools.training.objectives.masks import draw_mask, hidden
from phylotools.training.objectives.phylogenetic import PhylogeneticObjective, conditional_sums


class BothObjective(PhylogeneticObjective):
    """The phylogenetic objective on windows that are masked in part, and the masked bases.

    Every column counts as it does for the phylogenetic objective, given the base that was read.
    Where that base is masked, its own logarithm of pi is added: with a weight of 1 that makes the
    log-likelihood of the whole column, ``log P(column) = log pi_base + log P(others | base)``. So
    one pass serves both, and no column is lost. It is evaluated, and scores, unmasked.

    Parameters
    ----------
    width : int
        Predicted positions of a window.
    fraction : float
        Of the columns of each window, those that are masked in training.
    masked_weight : float
        Of a masked base, in columns.
    """

    def __init__(self, width: int, fraction: float, masked_weight: float) -> None:
        self._width, self._fraction, self._masked_weight = width, fraction, masked_weight

    def prepared(self, batch: Batch, rng: np.random.Generator, first_window: int = 0) -> Batch:
        """All columns, and windows in which those of a mask are hidden."""
        mask = draw_mask(batch, self._width, self._fraction, rng, first_window)
        tokens = hidden(batch.tokens, batch.site[mask], self._width)
        return dataclasses.replace(batch, tokens=tokens, masked=mask)

    def sums(self, model: SiteModel, batch: Batch) -> LossSums:
        assert batch.masked is not None, "a batch that was not prepared shows what is asked for"
        theta = column_theta(model, batch)
        columns = conditional_sums(model, batch, theta)
        own = log_reference_frequency(batch.reference, theta, model.substitution)
        bases = (own * batch.weight * batch.masked).sum()
        return dataclasses.replace(
            columns, log_likelihood=columns.log_likelihood + self._masked_weight * bases
        )
