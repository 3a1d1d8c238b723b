"""Variants judged without a head: by how far ALT moves the embedding of its position."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import UsageError
from phylotools.evaluate.comparison import Evaluation
from phylotools.evaluate.report import REPORT, write_report
from phylotools.finetuning.items import LabelledItems, LabelQuestion
from phylotools.finetuning.judging import class_names, compare_classes
from phylotools.finetuning.reading import is_bed, read_labels
from phylotools.finetuning.variants import NetworkSettings, variant_features
from phylotools.io.delimited import tsv_lines
from phylotools.io.files import atomic_folder
from phylotools.provenance import RunRecord
from phylotools.scoring.change_features import ChangeFeatures
from phylotools.scoring.context import open_context

if TYPE_CHECKING:
    from phylotools.model.folder import Model

#: What the distance is called in tables; high where ALT changes much.
DISTANCE = "cosine distance"
PREDICTIONS = "predictions.tsv"
FILES = (*REPORT, PREDICTIONS)
_BATCH = 2048


@dataclass(frozen=True)
class VariantJudgement:
    """Variants, their scores and what these are worth.

    Attributes
    ----------
    items : LabelledItems
    scores : dict of str to float64 array [N]
        The distance, and the model's own scores.
    worth : Evaluation
    reference : str
    """

    items: LabelledItems
    scores: dict[str, NDArray[np.float64]]
    worth: Evaluation
    reference: str


def judge_variants(
    model: Model,
    question: LabelQuestion,
    network: NetworkSettings,
    *,
    replicates: int,
    seed: int,
    on_done: Callable[[int], None] = lambda n_variants: None,
) -> VariantJudgement:
    """Compare the distance between the embeddings of REF and ALT with labels.

    Parameters
    ----------
    model : Model
    question : LabelQuestion
    network : NetworkSettings
    replicates, seed : int
        Of the intervals; positions are resampled.
    on_done : callable
        Gets the number of variants read since its last call.

    Raises
    ------
    InputError, UsageError
    """
    if not question.has_classes:
        raise UsageError("--task variants needs two classes: --positive and --negative")
    if is_bed(question.path):
        raise UsageError("--task variants needs variants (VCF, BCF, TSV, CSV or Parquet), not BED")
    items = read_labels(question, are_regions=False)
    with variant_features(
        model, items, question.path, network, keeps_windows=True, on_done=on_done
    ) as found:
        assert found.windows is not None
        with open_context(model, network.fasta, network.transcripts) as genome:
            changes = ChangeFeatures(model, genome, **network.options)
            parts = [
                changes.distances(*np.moveaxis(np.asarray(found.windows[k : k + _BATCH]), 1, 0))
                for k in range(0, len(found.items), _BATCH)
            ]
        distance = np.concatenate(parts)
        items, own = found.items, dict(found.zero_shot)
        reference = found.reference
    places = np.stack([items.contig.astype(np.int64), items.start], axis=1)
    sites = np.unique(places, axis=0, return_inverse=True)[1].ravel().astype(np.int64)
    worth = compare_classes(
        own, {DISTANCE: distance}, items, sites, types=None, replicates=replicates, seed=seed
    )
    worth = replace(worth, resampled="positions, within strata of their labels")
    return VariantJudgement(items, {DISTANCE: distance, **own}, worth, reference)


def write_variants(found: VariantJudgement, record: RunRecord, path: str, *, force: bool) -> None:
    """Write the folder, whole or not at all."""
    with atomic_folder(path, force=force, contents=FILES) as folder:
        write_report(folder, found.worth, record)
        with (folder / PREDICTIONS).open("w", encoding="utf-8", errors="replace") as handle:
            handle.writelines(prediction_lines(found))


def prediction_lines(found: VariantJudgement) -> Iterator[str]:
    """Every variant with its label and scores."""
    items = found.items
    assert items.refs is not None
    assert items.alts is not None
    names = class_names(items)
    rows = (
        [
            items.contigs[items.contig[row]], int(items.start[row]) + 1,
            chr(items.refs[row]), chr(items.alts[row]), int(items.labels[row]), names[row],
            *(float(values[row]) for values in found.scores.values()),
        ]
        for row in range(len(items))
    )  # fmt: skip
    yield from tsv_lines(["contig", "pos", "ref", "alt", "label", "class", *found.scores], rows)
