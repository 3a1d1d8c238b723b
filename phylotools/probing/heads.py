"""Heads on what bases have: a linear one, or the two convolutions of BEND; stopped early."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from phylotools.probing.inputs import HeadInput
from phylotools.probing.samples import TRAIN, UNLABELLED, VALID, Samples, cells_of
from phylotools.probing.tasks import BIN, Task

#: Bases of a batch: bounds its memory.
_BATCH_BASES = 1 << 17
#: A small set still has so many steps an epoch.
_FEWEST_STEPS = 30
_WEIGHT_DECAY = 0.01
_KERNEL = 3
#: Of positives against negatives.
_LARGEST_WEIGHT = 1000.0


class Head(nn.Module):
    """Numbers of bases to scores of cells.

    Parameters
    ----------
    width : int
        Of the input.
    n_outputs : int
    hidden : int
        Channels of BEND's two convolutions; 0 for a linear head.
    kernel : int
        Bases that a linear head reads at each.
    """

    def __init__(self, width: int, n_outputs: int, hidden: int, kernel: int = 1) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList()
        if hidden:
            self.convolutions.append(nn.Conv1d(width, hidden, _KERNEL, padding=1))
            self.convolutions.append(nn.Conv1d(hidden, hidden, _KERNEL, padding=1))
        self.output = nn.Conv1d(hidden or width, n_outputs, kernel)

    def forward(self, values: Tensor, mask: Tensor, cell: str) -> Tensor:
        """Scores of cells.

        Parameters
        ----------
        values : float tensor (B, H, L + kernel - 1)
            Zero beyond the end of a sample.
        mask : float tensor (B, 1, L)
            1 within the sample.
        cell : str

        Returns
        -------
        float tensor (B, cells, T)
        """
        for convolution in self.convolutions:
            # Nothing of what lies beyond a sample's end comes back into it.
            values = functional.gelu(convolution(values)) * mask
        if self.convolutions:
            return self.output(pooled(values, mask, cell)).transpose(1, 2)
        # A mean of sums is the sum of means: whichever comes first.
        return pooled(self.output(values) * mask, mask, cell).transpose(1, 2)


def pooled(values: Tensor, mask: Tensor, cell: str) -> Tensor:
    """Means over the bases of each cell: (B, C, L) -> (B, C, cells); zero beyond the samples."""
    if cell == "base":
        return values
    size = values.shape[2] if cell == "region" else BIN
    missing = -values.shape[2] % size
    values, mask = (functional.pad(each, (0, missing)) for each in (values, mask))
    sums, counts = (each.unflatten(2, (-1, size)).sum(dim=3) for each in (values, mask))
    means: Tensor = sums / counts.clamp(min=1.0)
    return means


@dataclass(frozen=True)
class Trained:
    """A head and how it was trained.

    Attributes
    ----------
    head : Head
        Its best state.
    centre, scale : float32 array [H]
        What is taken from the input, and what it is divided by.
    losses : list of (float, float)
        Of each epoch: of what was learned from, and of what stops the learning.
    best_epoch : int
        From 1.
    """

    head: Head
    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    losses: list[tuple[float, float]]
    best_epoch: int


@dataclass(frozen=True)
class HeadTraining:
    """How heads are trained.

    Attributes
    ----------
    hidden : int
        0 for linear.
    epochs, patience : int
    seed : int
    device : torch.device
    """

    hidden: int
    epochs: int
    patience: int
    seed: int
    device: torch.device


class HeadTrainer:
    """Trains a head on an input, and has it say its scores.

    Parameters
    ----------
    samples : Samples
    task : Task
    source : HeadInput
    training : HeadTraining
    """

    def __init__(
        self, samples: Samples, task: Task, source: HeadInput, training: HeadTraining
    ) -> None:
        self._samples, self._task, self._source = samples, task, source
        self._training = training
        self._first_cell, self._lengths = samples.first_cell, samples.lengths
        self._positive_weight = self._weights() if task.kind == "labels" else None

    def train(self, on_epoch: Callable[[int], None] = lambda n_epochs: None) -> Trained:
        """Train until what is held out for it has not improved for a while."""
        training, rows = self._training, self._samples.rows(TRAIN)
        centre, scale = self._standard_units(rows)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed)
            head = Head(
                self._source.width,
                len(self._samples.names),
                training.hidden,
                2 * self._source.flank + 1,
            )
        head.to(training.device)
        optimiser = torch.optim.AdamW(
            head.parameters(), lr=self._task.learning_rate, weight_decay=_WEIGHT_DECAY
        )
        trained = Trained(head, centre, scale, [], 0)
        random = np.random.default_rng(training.seed)
        best_loss, best_epoch = math.inf, 0
        best_state = {name: value.clone() for name, value in head.state_dict().items()}
        for epoch in range(1, training.epochs + 1):
            learned = self._epoch(trained, random.permutation(rows), optimiser)
            loss = self._loss_on(trained, self._samples.rows(VALID))
            trained.losses.append((learned, loss))
            on_epoch(1)
            if loss < best_loss:
                best_loss, best_epoch = loss, epoch
                best_state = {name: value.clone() for name, value in head.state_dict().items()}
            elif epoch - best_epoch >= training.patience:
                break
        head.load_state_dict(best_state)
        return Trained(head.eval(), centre, scale, trained.losses, best_epoch)

    def scores(self, trained: Trained, rows: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        """Scores of the cells of samples, one sample after the other, float32 [cells, T]."""
        for batch in self._batches(np.asarray(rows)):
            with torch.inference_mode():
                found = self._forward(trained, batch).float().cpu().numpy()
            for row, values in zip(batch.tolist(), found, strict=True):
                yield values[: self._first_cell[row + 1] - self._first_cell[row]]

    def _epoch(
        self, trained: Trained, rows: NDArray[np.int64], optimiser: torch.optim.Optimizer
    ) -> float:
        trained.head.train()
        total, weight = 0.0, 0
        for batch in self._batches(rows):
            loss, count = self._loss(trained, batch)
            if not count:
                continue
            optimiser.zero_grad()
            (loss / count).backward()
            optimiser.step()
            total, weight = total + loss.item(), weight + count
        return total / max(weight, 1)

    def _loss_on(self, trained: Trained, rows: NDArray[np.int64]) -> float:
        trained.head.eval()
        total, weight = 0.0, 0
        for batch in self._batches(rows):
            with torch.inference_mode():
                loss, count = self._loss(trained, batch)
            total, weight = total + loss.item(), weight + count
        return total / max(weight, 1)

    def _loss(self, trained: Trained, batch: NDArray[np.int64]) -> tuple[Tensor, int]:
        """Sum of the losses of labelled cells, and how many these are."""
        scores = self._forward(trained, batch)
        labels = self._labels(batch, scores.shape[1]).to(scores.device)
        known = labels != UNLABELLED
        count = int(known.sum())
        if self._task.kind == "classes":
            targets = labels.flatten().long()
            return functional.cross_entropy(
                scores.flatten(0, 1), targets, ignore_index=UNLABELLED, reduction="sum"
            ), count
        losses = functional.binary_cross_entropy_with_logits(
            scores, labels.float(), reduction="none", pos_weight=self._positive_weight
        )
        return torch.where(known, losses, 0.0).sum(), count

    def _forward(self, trained: Trained, batch: NDArray[np.int64]) -> Tensor:
        longest, flank = int(self._lengths[batch].max()), self._source.flank
        values = np.zeros((len(batch), self._source.width, longest + 2 * flank), dtype=np.float32)
        mask = np.zeros((len(batch), 1, longest), dtype=np.float32)
        for place, row in enumerate(batch.tolist()):
            own = (self._source.of(row) - trained.centre) / trained.scale
            values[place, :, : len(own)] = own.T
            mask[place, :, : self._lengths[row]] = 1.0
        tensors = (torch.from_numpy(each).to(self._training.device) for each in (values, mask))
        found: Tensor = trained.head(*tensors, self._samples.cell)
        return found

    def _labels(self, batch: NDArray[np.int64], n_cells: int) -> Tensor:
        own = self._samples.labels
        found = np.full((len(batch), n_cells, *own.shape[1:]), UNLABELLED, dtype=np.int16)
        for place, row in enumerate(batch.tolist()):
            cells = own[self._first_cell[row] : self._first_cell[row + 1]]
            found[place, : len(cells)] = cells
        return torch.from_numpy(found)

    def _batches(self, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        longest = int(self._lengths.max()) + 2 * self._source.flank
        most = min(self._task.batch_size, -(-len(self._samples.rows(TRAIN)) // _FEWEST_STEPS))
        size = max(1, min(most, _BATCH_BASES // longest))
        for begin in range(0, len(rows), size):
            yield rows[begin : begin + size]

    def _standard_units(
        self, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation of each number over the bases that are learned from."""
        width = self._source.width
        if not self._source.is_scaled:
            return np.zeros(width, dtype=np.float32), np.ones(width, dtype=np.float32)
        count, mean, squares = 0, np.zeros(width), np.zeros(width)
        for row in rows.tolist():
            # Chan, Golub and LeVeque 1979: no difference of large sums.
            values = self._source.of(row).astype(np.float64)
            own = values.mean(axis=0)
            shift, total = own - mean, count + len(values)
            squares += ((values - own) ** 2).sum(axis=0) + shift**2 * (count * len(values) / total)
            mean += shift * (len(values) / total)
            count = total
        scale = np.sqrt(squares / count)
        scale = np.where(scale > 1e-6 * np.maximum(np.abs(mean), 1e-3), scale, 1.0)
        return mean.astype(np.float32), scale.astype(np.float32)

    def _weights(self) -> Tensor | None:
        """How much a positive cell counts, so that both sides weigh the same; of bins alone.

        As in BEND, whose multi-label tasks have no weights.
        """
        if self._task.cell != "bin":
            return None
        known = self._samples.labels[self._samples.known_cells(TRAIN)]
        n_positive = np.maximum((known == 1).sum(axis=0), 1)
        weights = np.minimum((known == 0).sum(axis=0) / n_positive, _LARGEST_WEIGHT)
        return torch.tensor(weights, dtype=torch.float32, device=self._training.device)


def cells_in(samples: Samples, rows: NDArray[np.int64]) -> int:
    """Cells of some samples."""
    return int(cells_of(samples.lengths[rows], samples.cell).sum())
