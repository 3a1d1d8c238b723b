"""The interface of objectives, and what they have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from phylotools.model.site_model import SiteModel
from phylotools.training.batch import Batch

#: A batch without weight is divided by it: zero, and no gradient.
_LEAST_WEIGHT = 1e-12


@dataclass(frozen=True)
class LossTerms:
    """Means over the columns of a batch.

    Attributes
    ----------
    log_likelihood : Tensor, scalar
        Nats a column; of what, the objective says.
    penalty : Tensor, scalar
        Minus the log densities of the priors, up to a constant.
    """

    log_likelihood: Tensor
    penalty: Tensor

    @property
    def loss(self) -> Tensor:
        return self.penalty - self.log_likelihood


@dataclass(frozen=True)
class LossSums:
    """Weighted sums over the columns of a batch, or of a part of one.

    Attributes
    ----------
    log_likelihood, penalty : Tensor, scalar
        As those of `LossTerms`.
    weight : Tensor, scalar
        Sum of the columns' weights.
    """

    log_likelihood: Tensor
    penalty: Tensor
    weight: Tensor

    def over(self, weight: float) -> LossTerms:
        """Divided by a weight, that of all parts of a batch: what the parts' terms add up to."""
        return LossTerms(self.log_likelihood / weight, self.penalty / weight)


class Figures(NamedTuple):
    """Log-likelihoods of single columns, in nats; what an evaluation takes the means of.

    Attributes
    ----------
    shown : Tensor, shape (C,)
        Of what the objective predicts at each column.
    held_out : Tensor, shape (C,), or None
        Of the held-out species given the others: 0 where there is none. None where the objective
        predicts no species.
    """

    shown: Tensor
    held_out: Tensor | None


class Objective(ABC):
    """What training maximises, and how a model is judged meanwhile.

    Attributes
    ----------
    n_passes : int
        Passes through the network for each batch that is evaluated.
    predicts_species : bool
        Whether held-out species are something that it predicts.
    """

    n_passes = 1
    predicts_species = True

    def prepared(self, batch: Batch, rng: np.random.Generator, first_window: int = 0) -> Batch:
        """A batch as the network is to see it; unchanged unless an objective hides something.

        It runs in the thread that cuts batches, on the CPU.

        Parameters
        ----------
        batch : Batch
            Or some of the windows of one, in a row.
        rng : Generator
            Of the whole batch, as new: from the seed, the epoch and the batch's number.
        first_window : int
            Windows of the whole batch before these. What is drawn of a window does not depend on
            which others are at hand.
        """
        return batch

    def weight(self, batch: Batch) -> float:
        """What `sums` are divided by; of a batch in parts, the sum of the parts' weights."""
        return max(batch.weight.sum().item(), _LEAST_WEIGHT)

    @abstractmethod
    def sums(self, model: SiteModel, batch: Batch) -> LossSums:
        """The loss of a batch that was `prepared`, as weighted sums over its columns."""

    @abstractmethod
    def evaluate(self, model: SiteModel, batch: Batch) -> Figures:
        """Log-likelihoods of the columns of a batch that was not `prepared`, without gradient."""

    def terms(self, model: SiteModel, batch: Batch) -> LossTerms:
        """The loss of a whole batch that was `prepared`, as means."""
        return self.sums(model, batch).over(self.weight(batch))


def column_theta(model: SiteModel, batch: Batch) -> Tensor:
    """Theta at every column of a batch, shape (C, A)."""
    theta: Tensor = model(batch.tokens, spans_of_columns(batch, model.receptive_field))
    return theta.flatten(0, 1)[batch.site]


def spans_of_columns(batch: Batch, receptive_field: int) -> Tensor:
    """Position of each window's first column, and the one after its last: int64, shape (B, 2).

    Both are 0 where a window has none.
    """
    windows, length = batch.tokens.shape
    width = length - receptive_field + 1
    window, position = batch.site // width, batch.site % width
    first, last = batch.site.new_zeros(windows), batch.site.new_full((windows,), -1)
    first.scatter_reduce_(0, window, position, "amin", include_self=False)
    last.scatter_reduce_(0, window, position, "amax", include_self=False)
    return torch.stack([first, last + 1], dim=1)
