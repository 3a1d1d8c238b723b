from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from phylotools.embedding.regions import RegionRows
from phylotools.io.genome import ReferenceGenome
from phylotools.probing.heads import Head, HeadTrainer, HeadTraining, pooled
from phylotools.probing.inputs import (
    GcFraction,
    OneHotBases,
    WordCounts,
    read_sequences,
    words_of,
)
from phylotools.probing.samples import TEST, TRAIN, VALID, Samples
from phylotools.probing.tasks import BIN, TASKS

pytestmark = pytest.mark.usefixtures("one_thread")


class Numbers:
    """Made-up numbers of bases."""

    flank = 0
    is_scaled = True

    def __init__(self, values):
        self._values = [np.asarray(each, dtype=np.float32) for each in values]
        self.width = self._values[0].shape[1]

    def of(self, sample):
        return self._values[sample]


def samples_of(lengths, labels, cell, names, split=None):
    genome = ReferenceGenome.from_sequences({"c": b"A" * 10_000})
    rows = RegionRows()
    start = 0
    for length in lengths:
        rows.append("c", start, start + length)
        start += length
    n = len(lengths)
    default = np.array([TRAIN, VALID, TEST] * n, dtype=np.int8)[:n]
    return Samples(rows.table(genome), default if split is None else split, cell, names, labels)


def training(**more):
    how = {"hidden": 8, "epochs": 40, "patience": 5, "seed": 1, "device": torch.device("cpu")}
    return HeadTraining(**{**how, **more})


def test_the_head_is_that_of_bend():
    """Two convolutions of 3 with GELU, a mean over bins, a linear layer."""
    torch.manual_seed(3)
    head = Head(5, 2, 8)
    x = torch.randn(2, 5, 2 * BIN)
    conv1, conv2, out = *head.convolutions, head.output
    theirs = nn.Sequential(conv1, nn.GELU(), conv2, nn.GELU(), nn.AvgPool1d(BIN, BIN))
    expected = nn.functional.linear(theirs(x).transpose(1, 2), out.weight[:, :, 0], out.bias)
    torch.testing.assert_close(head(x, torch.ones(2, 1, 2 * BIN), "bin"), expected)


@pytest.mark.parametrize("cell", ["base", "bin", "region"])
@pytest.mark.parametrize("hidden", [0, 8])
def test_what_stands_beside_a_sample_in_its_batch_changes_nothing(cell, hidden):
    torch.manual_seed(4)
    head = Head(3, 2, hidden)
    short, long = torch.randn(1, 3, 150), torch.randn(1, 3, 300)
    both = torch.zeros(2, 3, 300)
    both[0, :, :150], both[1] = short[0], long[0]
    mask = torch.zeros(2, 1, 300)
    mask[0, :, :150], mask[1] = 1, 1
    alone = head(short, torch.ones(1, 1, 150), cell)
    torch.testing.assert_close(head(both, mask, cell)[:1, : alone.shape[1]], alone)


def test_means_of_bins_are_over_their_own_bases():
    values = torch.arange(200.0).reshape(1, 1, 200)
    found = pooled(values, torch.ones(1, 1, 200), "bin")
    assert found.flatten().tolist() == [63.5, (128 + 199) / 2]
    assert pooled(values, torch.ones(1, 1, 200), "region").flatten().tolist() == [99.5]


def planted(separable: bool):
    """Classes that the sign of one number tells, or that nothing tells."""
    random = np.random.default_rng(5)
    lengths = random.integers(20, 60, 60)
    values = [random.normal(size=(n, 4)) * 50 + 1000 for n in lengths]
    labels = np.concatenate([each[:, 2] > 1000 for each in values])
    if not separable:
        labels = random.permutation(labels)
    samples = samples_of(lengths, labels.astype(np.int16), "base", ("low", "high"))
    return samples, Numbers(values)


@pytest.mark.parametrize("hidden", [0, 8])
def test_what_can_be_told_is_told_and_nothing_else(hidden):
    for separable in (True, False):
        samples, source = planted(separable)
        task = dataclasses.replace(TASKS["bases"], learning_rate=0.02)
        trainer = HeadTrainer(samples, task, source, training(hidden=hidden))
        trained = trainer.train()
        rows = samples.rows(TEST)
        said = np.concatenate([each.argmax(axis=1) for each in trainer.scores(trained, rows)])
        right = (said == samples.labels[samples.known_cells(TEST)]).mean()
        assert right > 0.9 if separable else abs(right - 0.5) < 0.1
        assert trained.losses[trained.best_epoch - 1][1] == min(loss for _, loss in trained.losses)


def test_the_same_seed_gives_the_same_head():
    samples, source = planted(True)
    found = [
        HeadTrainer(samples, TASKS["bases"], source, training(epochs=3, seed=seed)).train()
        for seed in (1, 1, 2)
    ]
    weights = [each.head.output.weight for each in found]
    assert found[0].losses == found[1].losses
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_cells_without_a_label_teach_nothing():
    samples, source = planted(True)
    known = samples.labels.copy()
    known[::2] = -1
    one = samples.with_labels(known)
    trained = HeadTrainer(one, TASKS["bases"], source, training(epochs=2)).train()
    other = samples.labels.copy()
    other[::2] = 1 - other[::2]
    other[::2] = -1
    same = HeadTrainer(samples.with_labels(other), TASKS["bases"], source, training(epochs=2))
    assert same.train().losses == trained.losses


def test_words_and_windows_by_hand():
    genome = ReferenceGenome.from_sequences({"c": b"ACGTNACG"})
    rows = RegionRows()
    rows.append("c", 2, 5, "", "-")
    table = rows.table(genome)
    sequences = read_sequences(table, genome, 3, by_strand=False)
    # Base 4 is none; before the contig there is nothing.
    assert sequences.codes.tolist() == [4, 0, 1, 2, 3, 4, 0, 1, 2]
    assert sequences.of(0, 0).tolist() == [2, 3, 4]
    assert sequences.bases().tolist() == [2, 3, 4]
    assert words_of(np.array([0, 1, 2, 4, 3], dtype=np.uint8), 2).tolist() == [1, 6, 16, 16, 16]
    counts = WordCounts(sequences, 2, 0).of(0)
    assert counts.shape == (3, 16)
    assert counts.sum(axis=1).tolist() == [1, 0, 0]
    assert counts[0, 4 * 2 + 3] == 1
    windowed = WordCounts(sequences, 1, 1).of(0)
    assert windowed[0] * 3 == pytest.approx([0, 1, 1, 1])
    assert (GcFraction(sequences, 1).of(0)[:, 0] * 3).round().tolist() == [2, 1, 0]
    assert OneHotBases(sequences, 1).of(0).sum(axis=1).tolist() == [1, 1, 1, 0, 1]
    turned = read_sequences(table, genome, 1, by_strand=True)
    assert turned.codes.tolist() == [3, 4, 0, 1, 2]
