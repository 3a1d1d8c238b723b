"""Embeddings judged: labels, frozen embeddings and what stands beside them, heads, figures."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from phylotools.finetuning.features import FeatureTable
from phylotools.io.genome import ReferenceGenome
from phylotools.probing.heads import HeadTrainer, HeadTraining
from phylotools.probing.inputs import (
    HeadInput,
    OneHotBases,
    embedded_bases,
    gc_fraction,
    untrained,
    word_counts,
)
from phylotools.probing.judging import Groups, Verdict, groups_of, judge_classes, judge_labels
from phylotools.probing.linear import cell_means, fit_label_heads, label_scores
from phylotools.probing.preparation import Prepared, prepare
from phylotools.probing.question import (
    GC,
    KMERS,
    ONE_HOT,
    UNTRAINED,
    WINDOW,
    ProbeQuestion,
    ProbeSettings,
)
from phylotools.probing.samples import TEST, TRAIN, Samples
from phylotools.probing.tasks import Task

if TYPE_CHECKING:
    from phylotools.model.folder import Model

logger = logging.getLogger("phylotools")

EMBEDDING, MAJORITY = "embedding", "majority"


@dataclass(frozen=True)
class HeadRecord:
    """How a head came about.

    Attributes
    ----------
    head : str
        ``cnn``, ``linear``, or ``linear, Newton``.
    width : int
        Numbers of a base that it reads.
    losses : list of (float, float)
        Of each epoch; empty of heads that are solved.
    best_epoch : int
        0 of these.
    penalties : list of float
        Of each label, of these.
    """

    head: str
    width: int
    losses: list[tuple[float, float]]
    best_epoch: int
    penalties: list[float]


@dataclass(frozen=True)
class Predictions:
    """What a kind of input led to, of the judged cells.

    Attributes
    ----------
    said : int16 array [C] or None
        Of classes.
    scores : float32 array [C, T] or None
        Of labels.
    """

    said: NDArray[np.int16] | None
    scores: NDArray[np.float32] | None


@dataclass(frozen=True)
class Judgement:
    """Embeddings judged by a task.

    Attributes
    ----------
    prepared : Prepared
    cells : int64 array [C]
        Those that are judged.
    groups : Groups
    predictions : dict of str to Predictions
        By input; the embedding first.
    heads : dict of str to HeadRecord
    verdicts : list of Verdict
        In the same order, what always says the same last.
    reference : str
    """

    prepared: Prepared
    cells: NDArray[np.int64]
    groups: Groups
    predictions: dict[str, Predictions]
    heads: dict[str, HeadRecord]
    verdicts: list[Verdict]
    reference: str


def judge_embeddings(
    model: Model,
    question: ProbeQuestion,
    settings: ProbeSettings,
    on_sample: Callable[[int], None] = lambda n_samples: None,
) -> Judgement:
    """Train heads on frozen embeddings and on what stands beside them, and judge them.

    Parameters
    ----------
    model : Model
    question : ProbeQuestion
    settings : ProbeSettings
    on_sample : callable
        Gets the number of samples embedded since its last call.

    Raises
    ------
    InputError, UsageError, OutputError
    """
    reference = model.choose_reference(settings.fasta)
    with ReferenceGenome.open(reference) as genome:
        prepared = prepare(
            question, genome,
            reach=model.receptive_field // 2, strand=settings.strand, seed=settings.seed,
        )  # fmt: skip
        samples = prepared.samples
        cells = samples.known_cells(TEST)
        sample_of = samples.sample_of[cells]
        groups = groups_of(samples.regions.contig[sample_of].astype(np.int64), sample_of)
        predictions: dict[str, Predictions] = {}
        heads: dict[str, HeadRecord] = {}
        for name, source in _inputs(model, prepared, genome, settings, on_sample):
            learner = _Learner(samples, question.task, settings, model.device, cells)
            predictions[name], heads[name] = learner.learn(name, source)
            logger.info("%s: %s", name, _told(heads[name]))
    predictions[MAJORITY] = _constant(samples, cells)
    verdicts = _verdicts(samples, cells, predictions, groups, question, settings)
    return Judgement(prepared, cells, groups, predictions, heads, verdicts, reference)


def _inputs(
    model: Model,
    prepared: Prepared,
    genome: ReferenceGenome,
    settings: ProbeSettings,
    on_sample: Callable[[int], None],
) -> Iterator[tuple[str, HeadInput]]:
    """The embedding, then the baselines that are wanted; one at a time is on disk."""
    samples, sequences = prepared.samples, prepared.sequences
    with embedded_bases(model, samples, genome, settings, on_sample) as source:
        yield EMBEDDING, source
    if UNTRAINED in settings.baselines:
        fresh = untrained(model, settings.seed)
        with embedded_bases(fresh, samples, genome, settings, on_sample) as source:
            yield UNTRAINED, source
    plain: dict[str, Callable[[], HeadInput]] = {
        ONE_HOT: lambda: OneHotBases(sequences),
        WINDOW: lambda: OneHotBases(sequences, sequences.flank),
        KMERS: lambda: word_counts(sequences, samples),
        GC: lambda: gc_fraction(sequences, samples),
    }
    for name, make in plain.items():
        # Over a whole region a window's weights at fixed places mean nothing.
        if name in settings.baselines and not (name == WINDOW and samples.cell == "region"):
            yield name, make()


@dataclass(frozen=True)
class _Learner:
    """Fits heads, and has them say what the judged cells are."""

    samples: Samples
    task: Task
    settings: ProbeSettings
    device: torch.device
    cells: NDArray[np.int64]

    def learn(self, name: str, source: HeadInput) -> tuple[Predictions, HeadRecord]:
        """What a head on an input says; plain counts and windows have a linear one."""
        is_linear = self.settings.head == "linear" or name in (WINDOW, KMERS, GC)
        if is_linear and self.task.kind == "labels" and not source.flank:
            return self._solve(source)
        return self._train(source, is_linear)

    def _solve(self, source: HeadInput) -> tuple[Predictions, HeadRecord]:
        with contextlib.closing(cell_means(source, self.samples, self.settings)) as file:
            table = FeatureTable(file.rows(), 0)
            found = fit_label_heads(table, self.samples)
            scores = label_scores(found, table, self.cells)
        record = HeadRecord("linear, Newton", source.width, [], 0, found.penalties)
        return Predictions(None, scores), record

    def _train(self, source: HeadInput, is_linear: bool) -> tuple[Predictions, HeadRecord]:
        settings = self.settings
        hidden = 0 if is_linear else self.task.hidden
        training = HeadTraining(
            hidden, settings.epochs, settings.patience, settings.seed, self.device
        )
        trainer = HeadTrainer(self.samples, self.task, source, training)
        trained = trainer.train()
        kind = "linear" if is_linear else "cnn"
        record = HeadRecord(kind, source.width, trained.losses, trained.best_epoch, [])
        rows = self.samples.rows(TEST)
        wanted = _within(self.samples, rows, self.cells)
        found = trainer.scores(trained, rows)
        if self.task.kind == "labels":
            return Predictions(None, np.concatenate(list(found))[wanted]), record
        said = np.concatenate([each.argmax(axis=1).astype(np.int16) for each in found])
        return Predictions(said[wanted], None), record


def _within(
    samples: Samples, rows: NDArray[np.int64], cells: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Places of cells among those of some samples, all of which they belong to."""
    counts = samples.n_cells[rows]
    offset = np.zeros(len(samples), dtype=np.int64)
    offset[rows] = np.cumsum(counts) - counts
    owners = samples.sample_of[cells]
    places: NDArray[np.int64] = offset[owners] + cells - samples.first_cell[owners]
    return places


def _constant(samples: Samples, cells: NDArray[np.int64]) -> Predictions:
    """What always says the same: the class, or the share of each label, that is learned from."""
    if samples.labels.ndim == 1:
        counts = np.bincount(samples.labels[samples.known_cells(TRAIN)])
        return Predictions(np.full(len(cells), counts.argmax(), dtype=np.int16), None)
    return Predictions(None, np.zeros((len(cells), len(samples.names)), dtype=np.float32))


def _verdicts(
    samples: Samples,
    cells: NDArray[np.int64],
    predictions: dict[str, Predictions],
    groups: Groups,
    question: ProbeQuestion,
    settings: ProbeSettings,
) -> list[Verdict]:
    labels = samples.labels[cells]
    drawing = {"replicates": settings.replicates, "seed": settings.seed}
    if question.task.kind == "classes":
        said = {name: each.said for name, each in predictions.items() if each.said is not None}
        return judge_classes(labels, said, samples.names, groups, **drawing)
    scores = {name: each.scores for name, each in predictions.items() if each.scores is not None}
    return judge_labels(
        labels.astype(np.int8), scores, samples.names, groups,
        by_precision=question.task.metric == "auprc", **drawing,
    )  # fmt: skip


def _told(record: HeadRecord) -> str:
    if not record.losses:
        return f"{record.head} heads on {record.width:,} numbers"
    learned, held = record.losses[record.best_epoch - 1]
    return (
        f"{record.head} head on {record.width:,} numbers, best after epoch {record.best_epoch} of "
        f"{len(record.losses)} (loss {learned:.4f}, held out {held:.4f})"
    )
