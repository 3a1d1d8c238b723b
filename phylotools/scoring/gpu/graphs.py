"""Passes recorded as graphs, by shape."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from phylotools.scoring.gpu.device import Device, Work

logger = logging.getLogger("phylotools")

#: Tokens of a batch, uint8 (B, T), to its numbers, float32 (B, L, C); both on the device.
Compute = Callable[[Tensor], Tensor]
#: Shapes for which graphs and memory are kept: tiles, lone windows, and some of sequences.
N_SHAPES = 4


@dataclass
class _Recorded:
    tokens: Tensor
    values: Tensor
    replay: Work


class Graphs:
    """Computes batches, by a graph from the second of a shape on.

    The first compiles and allocates what it needs, which no graph can record. Where recording
    fails, passes go on as they were.

    Parameters
    ----------
    device : Device
    compute : callable
        See `Compute`.
    is_used : bool
        Whether graphs are recorded at all.
    """

    def __init__(self, device: Device, compute: Compute, *, is_used: bool = True) -> None:
        self._device, self._compute = device, compute
        self._is_used = is_used
        self._seen: set[tuple[int, ...]] = set()
        self._recorded: OrderedDict[tuple[int, ...], _Recorded] = OrderedDict()

    def __len__(self) -> int:
        """Graphs that are kept."""
        return len(self._recorded)

    def clear(self) -> None:
        """Forget all graphs, and give their memory back."""
        self._recorded.clear()
        self._seen.clear()

    def is_due(self, shape: tuple[int, ...]) -> bool:
        """Whether a batch of this shape is the second, whose graph is to be recorded."""
        return self._is_used and shape in self._seen and shape not in self._recorded

    def record(self, shape: tuple[int, ...], numbers: tuple[int, ...]) -> None:
        """Record the graph of a shape; nothing may be in flight.

        Parameters
        ----------
        shape, numbers : tuple of int
            Of the tokens and of the numbers.
        """
        while len(self._recorded) >= N_SHAPES:
            self._recorded.popitem(last=False)
        try:
            tokens = self._device.memory(shape, torch.uint8)
            values = self._device.memory(numbers, torch.float32)
            replay = self._device.graph(lambda: copy(self._compute(tokens), values))
        except (RuntimeError, self._device.out_of_memory) as error:
            self._is_used = False
            self._recorded.clear()
            self._device.release()
            reason = str(error).partition("\n")[0]
            logger.info("passes are not recorded as CUDA graphs: %s", reason)
        else:
            self._recorded[shape] = _Recorded(tokens, values, replay)

    def run(self, tokens: Tensor, values: Tensor) -> None:
        """Compute a batch; to be called as the work of a stream.

        Parameters
        ----------
        tokens : uint8 Tensor (B, T)
        values : float32 Tensor (B, L, C)
            Gets the numbers.
        """
        shape = tuple(tokens.shape)
        recorded = self._recorded.get(shape)
        if recorded is None:
            copy(self._compute(tokens), values)
            self._seen.add(shape)
            return
        self._recorded.move_to_end(shape)
        copy(tokens, recorded.tokens)
        recorded.replay()
        copy(recorded.values, values)


def copy(source: Tensor, to: Tensor) -> None:
    """Copy without waiting for it."""
    to.copy_(source, non_blocking=True)
