"""Evaluation within evaluation: outer folds judge, inner folds choose, groups are never torn."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phylotools.finetuning.adapting import AdaptedNetwork, LabelledWindows
from phylotools.finetuning.features import PENALTIES, FeatureTable, Rows, Target, fit_heads
from phylotools.finetuning.folds import Clusters, Fold, draw_folds
from phylotools.model.adapters import Adapter
from phylotools.model.tuned_head import LinearHead

if TYPE_CHECKING:
    from phylotools.model.folder import Model

logger = logging.getLogger("phylotools")


@dataclass(frozen=True)
class FitSettings:
    """What is fitted, and among what inner folds choose.

    Attributes
    ----------
    n_folds, n_inner : int
    rank : int
        Of the adapters; 0 for a head alone.
    most_epochs : int
        Of the adapters.
    seed : int
    """

    n_folds: int = 5
    n_inner: int = 4
    rank: int = 0
    most_epochs: int = 5
    seed: int = 1


@dataclass(frozen=True)
class Choice:
    """What the inner folds chose.

    Attributes
    ----------
    penalty : float
        Of the embeddings' weights; infinity where the head reads the model's scores alone.
    adapter_penalty : float
        That with which adapters are trained.
    epochs : int
        Of the adapters; 0 for none.
    loss : float
        On the inner folds, of what was chosen of heads.
    """

    penalty: float
    adapter_penalty: float
    epochs: int
    loss: float


@dataclass(frozen=True)
class Fit:
    """A head, and adapters where they were chosen; beside them the best head without."""

    choice: Choice
    head: LinearHead
    plain: LinearHead
    adapters: dict[str, Adapter] = field(default_factory=dict)
    network: AdaptedNetwork | None = None


class Fitter:
    """Chooses and fits on any rows of one set of labelled items.

    Parameters
    ----------
    model : Model
    table : FeatureTable
    target : Target
    clusters : Clusters
    windows, widths : array, optional
        As in `LabelledWindows`; needed for adapters.
    settings : FitSettings
    """

    def __init__(
        self,
        model: Model,
        table: FeatureTable,
        target: Target,
        clusters: Clusters,
        windows: NDArray[np.uint8] | None,
        widths: NDArray[np.int64],
        settings: FitSettings,
    ) -> None:
        self._model, self._table, self._target = model, table, target
        self._clusters, self._settings = clusters, settings
        self._data = None if windows is None else LabelledWindows(windows, widths, table, target)

    def folds(self, rows: Rows, n_folds: int) -> list[Fold]:
        """Folds of some rows by cluster, balanced."""
        labels = self._target.labels if self._target.has_classes else None
        return draw_folds(rows, self._clusters, labels, n_folds, self._settings.seed)

    def fit(self, rows: Rows) -> Fit:
        """Choose by inner folds of some rows, then fit to all of them."""
        inner = self.folds(rows, self._settings.n_inner)
        choice = self._choose(rows, inner)
        penalties = _down_to(min(choice.penalty, choice.adapter_penalty))
        heads = dict(
            zip(penalties, fit_heads(self._table, self._target, rows, penalties), strict=True)
        )
        plain = heads[choice.penalty]
        if not choice.epochs:
            return Fit(choice, plain, plain)
        network = self._adapted(heads[choice.adapter_penalty])
        network.train(rows, choice.epochs, choice.adapter_penalty, self._settings.seed)
        return Fit(choice, network.head(), plain, network.adapters(), network)

    def scores(self, fit: Fit, rows: Rows) -> NDArray[np.float64]:
        """What a fit says of some rows."""
        if fit.network is not None:
            return fit.network.scores(rows)
        return self._table.scores(fit.head, rows)

    def plain_scores(self, fit: Fit, rows: Rows) -> NDArray[np.float64]:
        """What its head without adapters says."""
        return self._table.scores(fit.plain, rows)

    def _choose(self, rows: Rows, inner: Sequence[Fold]) -> Choice:
        held = np.concatenate([fold.test for fold in inner])
        fitted = [fit_heads(self._table, self._target, fold.train) for fold in inner]
        found = [
            np.concatenate(
                [
                    self._table.scores(heads[k], fold.test)
                    for heads, fold in zip(fitted, inner, strict=True)
                ]
            )
            for k in range(len(PENALTIES))
        ]
        losses = [self._target.loss(scores, held) for scores in found]
        best = int(np.argmin(losses))
        with_embeddings = 1 + int(np.argmin(losses[1:]))
        epochs = 0
        if self._data is not None:
            # Of the first fold alone: training adapters is what takes the time.
            first = inner[0]
            plain = self._target.loss(self._table.scores(fitted[0][best], first.test), first.test)
            epochs = self._chosen_epochs(first, fitted[0][with_embeddings], with_embeddings, plain)
        return Choice(PENALTIES[best], PENALTIES[with_embeddings], epochs, losses[best])

    def _chosen_epochs(self, fold: Fold, start: LinearHead, number: int, to_beat: float) -> int:
        """After how many epochs adapters have the lowest loss; 0 where a head alone has it."""
        network = self._adapted(start)
        losses = [to_beat]

        def judge(epoch: int) -> None:
            losses.append(self._target.loss(network.scores(fold.test), fold.test))
            logger.debug("adapters after epoch %d: loss %.4f", epoch, losses[-1])

        settings = self._settings
        network.train(fold.train, settings.most_epochs, PENALTIES[number], settings.seed, judge)
        return int(np.argmin(losses))

    def _adapted(self, start: LinearHead) -> AdaptedNetwork:
        assert self._data is not None
        settings = self._settings
        return AdaptedNetwork(self._model, self._data, start, settings.rank, settings.seed)


def _down_to(penalty: float) -> tuple[float, ...]:
    """The penalties from the strongest to this one: each fit begins where the last one ended."""
    return tuple(each for each in PENALTIES if each >= penalty)


@dataclass(frozen=True)
class HeldOutScores:
    """What was said of items by fits that never saw their groups.

    Attributes
    ----------
    tuned, plain : float64 array [N]
        Of what inner folds chose, and of the best head without adapters; NaN of what was in no
        outer fold.
    fold : int64 array [N]
        1 for the first; 0 for none.
    choices : list of Choice
        Of each fold.
    """

    tuned: NDArray[np.float64]
    plain: NDArray[np.float64]
    fold: NDArray[np.int64]
    choices: list[Choice]


def evaluate_nested(
    fitter: Fitter,
    folds: Sequence[Fold],
    n_items: int,
    on_fold: Callable[[int], None] = lambda n_folds: None,
) -> HeldOutScores:
    """Fit without each fold in turn, and score it."""
    tuned, plain = np.full(n_items, math.nan), np.full(n_items, math.nan)
    number = np.zeros(n_items, dtype=np.int64)
    choices = []
    for k, fold in enumerate(folds, start=1):
        fit = fitter.fit(fold.train)
        tuned[fold.test] = fitter.scores(fit, fold.test)
        plain[fold.test] = fitter.plain_scores(fit, fold.test)
        number[fold.test] = k
        choices.append(fit.choice)
        on_fold(1)
    return HeldOutScores(tuned, plain, number, choices)
