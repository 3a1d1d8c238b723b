"""A linear head for each label, on means over the bases of a cell, by Newton's method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.finetuning.features import PENALTIES, FeatureTable, RowFile, Target, fit_heads
from phylotools.model.tuned_head import LinearHead
from phylotools.probing.inputs import HeadInput
from phylotools.probing.question import ProbeSettings
from phylotools.probing.samples import TRAIN, VALID, Samples
from phylotools.probing.tasks import BIN

#: Without the first: every head here reads its input.
_PENALTIES = PENALTIES[1:]


@dataclass(frozen=True)
class LabelHeads:
    """One head a label.

    Attributes
    ----------
    heads : list of LinearHead or None
        None where what is learned from is all of one kind.
    penalties : list of float
        That was chosen for each; NaN without a head.
    """

    heads: list[LinearHead | None]
    penalties: list[float]


def cell_means(source: HeadInput, samples: Samples, settings: ProbeSettings) -> RowFile:
    """Mean numbers of each cell in a temporary file of rows, float32 [C, width]."""
    found = RowFile(settings.folder, (source.width,), np.float32, settings.output)
    for row in range(len(samples)):
        values = source.of(row).astype(np.float64)
        size = len(values) if samples.cell == "region" else BIN
        starts = np.arange(0, len(values), size)
        sums = np.add.reduceat(values, starts, axis=0)
        found.append(sums / np.diff(np.append(starts, len(values)))[:, None])
    return found


def fit_label_heads(
    table: FeatureTable,
    samples: Samples,
    on_label: Callable[[int], None] = lambda n_labels: None,
) -> LabelHeads:
    """Fit a head for each label; what stops learning elsewhere chooses its penalty here."""
    heads: list[LinearHead | None] = []
    penalties: list[float] = []
    split = samples.split[samples.sample_of]
    for label in range(len(samples.names)):
        own = samples.labels[:, label]
        learned, held = (np.flatnonzero((split == part) & (own >= 0)) for part in (TRAIN, VALID))
        target = Target(own.astype(np.float64), True)
        on_label(1)
        if len(np.unique(own[learned])) < 2:
            heads.append(None)
            penalties.append(float("nan"))
            continue
        fitted = fit_heads(table, target, learned, _PENALTIES)
        losses = [target.loss(table.scores(head, held), held) for head in fitted]
        best = int(np.argmin(losses))
        heads.append(fitted[best])
        penalties.append(_PENALTIES[best])
    return LabelHeads(heads, penalties)


def label_scores(
    found: LabelHeads, table: FeatureTable, cells: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Scores of cells, float32 [K, T]; zero of a label without a head."""
    scores = np.zeros((len(cells), len(found.heads)), dtype=np.float32)
    for label, head in enumerate(found.heads):
        if head is not None:
            scores[:, label] = table.scores(head, cells)
    return scores
