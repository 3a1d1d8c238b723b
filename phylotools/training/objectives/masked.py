"""Masked language modelling: the base that stands where the network was shown a mask."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from phylotools.model.site_model import SiteModel
from phylotools.phylogeny.likelihood import log_reference_frequency
from phylotools.training.batch import Batch
from phylotools.training.objectives.base import Figures, LossSums, Objective, column_theta
from phylotools.training.objectives.masks import can_be_masked, draw_mask, hidden

#: Masks in which an evaluation hides every column once, a seventh of them in each, whatever is
#: masked in training: figures of different fractions are on one scale. No multiple of a codon.
N_MASKS = 7


class MaskedObjective(Objective):
    """The log-likelihood of masked bases: minus the cross-entropy, in nats a masked base.

    The base to be predicted is that of the row that was read: of the reference, or of any species
    where ``data.any_row_weight`` says so. Masked is always by the mask's token: a model is only
    ever asked about positions that are masked.

    Parameters
    ----------
    width : int
        Predicted positions of a window.
    fraction : float
        Of the columns of each window, those that are masked in training.
    """

    n_passes = N_MASKS
    predicts_species = False

    def __init__(self, width: int, fraction: float) -> None:
        self._width, self._fraction = width, fraction

    def prepared(self, batch: Batch, rng: np.random.Generator, first_window: int = 0) -> Batch:
        """The masked columns alone, and windows in which these are hidden."""
        mask = draw_mask(batch, self._width, self._fraction, rng, first_window)
        chosen = batch.columns(mask)
        tokens = hidden(batch.tokens, chosen.site, self._width)
        return dataclasses.replace(
            chosen, tokens=tokens, masked=torch.ones(len(chosen.site), dtype=torch.bool)
        )

    def sums(self, model: SiteModel, batch: Batch) -> LossSums:
        assert batch.masked is not None, "a batch that was not prepared shows what is asked for"
        theta = column_theta(model, batch)
        found = log_reference_frequency(batch.reference, theta, model.substitution)
        total = (found * batch.weight).sum()
        return LossSums(total, torch.zeros_like(total), batch.weight.sum())

    @torch.no_grad()
    def evaluate(self, model: SiteModel, batch: Batch) -> Figures:
        """Of the base of each column whose base is known, masked; in `N_MASKS` passes."""
        able = can_be_masked(batch)
        found = batch.weight.new_zeros(len(batch.site))
        for number in range(N_MASKS):
            mask = able & (batch.site % N_MASKS == number)
            chosen = batch.columns(mask)
            tokens = hidden(batch.tokens, chosen.site, self._width)
            theta = column_theta(model, dataclasses.replace(chosen, tokens=tokens))
            found[mask] = log_reference_frequency(chosen.reference, theta, model.substitution)
        return Figures(found[able], None)
