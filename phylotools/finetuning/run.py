"""Labels and a model to a tuned model: features, nested evaluation, the final fit, a folder."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from phylotools.evaluate.comparison import Evaluation
from phylotools.finetuning.agreement import Agreement, agreements
from phylotools.finetuning.features import Target
from phylotools.finetuning.folds import (
    Clusters,
    Fold,
    draw_folds,
    join_groups,
    n_with_near_neighbours,
    split_by_user,
)
from phylotools.finetuning.items import LabelledItems, LabelQuestion
from phylotools.finetuning.judging import HEAD_ALONE, TUNED, compare_classes
from phylotools.finetuning.nested import (
    Fit,
    FitSettings,
    Fitter,
    HeldOutScores,
    evaluate_nested,
)
from phylotools.finetuning.reading import read_labels
from phylotools.finetuning.regions import region_features
from phylotools.finetuning.variants import ItemFeatures, NetworkSettings, variant_features

if TYPE_CHECKING:
    from phylotools.model.folder import Model

logger = logging.getLogger("phylotools")


@dataclass(frozen=True)
class TuningSettings:
    """What `finetune` may be told.

    Attributes
    ----------
    fit : FitSettings
    network : NetworkSettings
    types : str, optional
        As for `evaluate`.
    replicates : int
        Of the bootstrap.
    """

    fit: FitSettings = field(default_factory=FitSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    types: str | None = None
    replicates: int = 2000


@dataclass(frozen=True)
class Tuning:
    """What fine-tuning made.

    Attributes
    ----------
    items : LabelledItems
        Those with features.
    clusters : Clusters
    zero_shot : dict of str to float64 array [N]
    held_out : HeldOutScores
    worth : Evaluation or list of Agreement
        Of the held-out scores: of classes, or of numbers.
    final : Fit
        To all labels, or to those that the user did not hold out.
    n_fitted : int
        Items that the final fit saw.
    n_near : int
        Items that see sequence which something in another fold sees too.
    are_regions, in_transcripts : bool
    reference : str
    """

    items: LabelledItems
    clusters: Clusters
    zero_shot: dict[str, np.ndarray]
    held_out: HeldOutScores
    worth: Evaluation | list[Agreement]
    final: Fit
    n_fitted: int
    n_near: int
    are_regions: bool
    in_transcripts: bool
    reference: str


@contextlib.contextmanager
def _features(
    model: Model,
    items: LabelledItems,
    question: LabelQuestion,
    settings: TuningSettings,
    are_regions: bool,
    on_item: Callable[[int], None],
) -> Any:
    if are_regions:
        with region_features(
            model, items, question.path, settings.network,
            keeps_windows=settings.fit.rank > 0, on_done=on_item,
        ) as found:  # fmt: skip
            yield found
        return
    with variant_features(
        model, items, question.path, settings.network,
        keeps_windows=settings.fit.rank > 0, on_done=on_item,
    ) as found:  # fmt: skip
        yield found


def tune(
    model: Model,
    question: LabelQuestion,
    settings: TuningSettings,
    *,
    are_regions: bool,
    on_item: Callable[[int], None] = lambda n_items: None,
    on_fold: Callable[[int], None] = lambda n_folds: None,
) -> Tuning:
    """Fit a head, and adapters, to labels, and judge them on groups never seen.

    Parameters
    ----------
    model : Model
    question : LabelQuestion
    settings : TuningSettings
    are_regions : bool
        Whether the labels are of the regions of a BED.
    on_item, on_fold : callable
        Get the number of items read, and of folds done, since their last calls.

    Raises
    ------
    InputError, UsageError
        Also where the labels leak, or are of too few groups.
    """
    items = read_labels(question, are_regions=are_regions)
    # Whether there are enough groups is said before the network is run.
    _outer_folds(items, join_groups(items), question, settings.fit)
    with _features(model, items, question, settings, are_regions, on_item) as found:
        return _tuned(model, found, question, settings, are_regions, on_fold)


def _outer_folds(
    items: LabelledItems, clusters: Clusters, question: LabelQuestion, fit: FitSettings
) -> list[Fold]:
    """The outer folds; inner ones must be possible within each."""
    labels = items.labels if question.has_classes else None
    if question.held_out is not None:
        folds = [split_by_user(items, clusters, question)]
    else:
        folds = draw_folds(np.arange(len(items)), clusters, labels, fit.n_folds, fit.seed)
    for fold in folds:
        draw_folds(fold.train, clusters, labels, fit.n_inner, fit.seed)
    return folds


def _tuned(
    model: Model,
    found: ItemFeatures,
    question: LabelQuestion,
    settings: TuningSettings,
    are_regions: bool,
    on_fold: Callable[[int], None],
) -> Tuning:
    items, fit = found.items, settings.fit
    clusters = join_groups(items)
    if clusters.n_joined:
        logger.info(
            "%d groups share positions and are kept together as %d",
            clusters.n_joined, sum("+" in name for name in clusters.names),
        )  # fmt: skip
    folds = _outer_folds(items, clusters, question, fit)
    target = Target(items.labels, question.has_classes)
    widths = items.end - items.start
    fitter = Fitter(model, found.table, target, clusters, found.windows, widths, fit)
    held_out = evaluate_nested(fitter, folds, len(items), on_fold)
    n_near = _near(items, held_out, model)
    own = np.arange(len(items)) if question.held_out is None else folds[0].train
    final = fitter.fit(own)
    on_fold(1)
    return Tuning(
        items,
        clusters,
        found.zero_shot,
        held_out,
        _worth(found, clusters, held_out, question, settings),
        final,
        len(own),
        n_near,
        are_regions,
        found.in_transcripts,
        found.reference,
    )


def _near(items: LabelledItems, held_out: HeldOutScores, model: Model) -> int:
    n_near = n_with_near_neighbours(items, held_out.fold, model.receptive_field // 2)
    if n_near:
        logger.warning(
            "%s of %s labelled items lie so near to some of another fold that their windows of "
            "%d bases overlap: what is held out is not wholly new",
            f"{n_near:,}", f"{len(items):,}", model.receptive_field,
        )  # fmt: skip
    return n_near


def _worth(
    found: ItemFeatures,
    clusters: Clusters,
    held_out: HeldOutScores,
    question: LabelQuestion,
    settings: TuningSettings,
) -> Evaluation | list[Agreement]:
    judged = np.flatnonzero(held_out.fold)
    items, own = found.items.chosen(judged), clusters.of[judged]
    zero_shot = {name: values[judged] for name, values in found.zero_shot.items()}
    scores = {TUNED: held_out.tuned[judged]}
    if settings.fit.rank:
        scores = {HEAD_ALONE: held_out.plain[judged], **scores}
    common: dict[str, int] = {"replicates": settings.replicates, "seed": settings.fit.seed}
    if question.has_classes:
        return compare_classes(zero_shot, scores, items, own, types=settings.types, **common)
    return agreements(
        {**zero_shot, **scores}, items.labels, own, items.class_of, items.classes, **common
    )
