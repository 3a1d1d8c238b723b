"""Batches of windows through a network on a GPU, one on its way while another is computed."""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phylotools.errors import UsageError
from phylotools.scoring.gpu.device import COMPUTE, IN, OUT, Device
from phylotools.scoring.gpu.graphs import N_SHAPES, Compute, Graphs, copy

logger = logging.getLogger("phylotools")

#: Batches in flight: one that is computed, and one whose tokens or numbers travel.
_IN_FLIGHT = 2


@dataclass
class _Slot:
    """Memory of a batch in flight, for one shape of tokens (B, T) and numbers (B, L, C)."""

    tokens_host: Tensor
    tokens: Tensor
    values: Tensor
    values_host: Tensor

    @classmethod
    def make(cls, device: Device, tokens: tuple[int, int], values: tuple[int, int, int]) -> _Slot:
        return cls(
            device.host(tokens, torch.uint8),
            device.memory(tokens, torch.uint8),
            device.memory(values, torch.float32),
            device.host(values, torch.float32),
        )


@dataclass
class _InFlight:
    """A batch of so many windows, the event of its numbers' arrival, and where they arrive."""

    n_windows: int
    arrival: Any
    slot: _Slot


class GpuPasses:
    """Passes of windows of one length at a time; for one thread at a time.

    Parameters
    ----------
    device : Device
    compute : callable
        See `Compute`; may raise the device's `out_of_memory`.
    receptive_field : int
    n_channels : int
        C.
    has_graphs : bool
        Whether passes of a shape that comes again become CUDA graphs.

    Attributes
    ----------
    graphs : Graphs
    most_tokens : int or None
        Of a batch, where memory was too small for more.
    """

    def __init__(
        self,
        device: Device,
        compute: Compute,
        receptive_field: int,
        n_channels: int,
        *,
        has_graphs: bool = True,
    ) -> None:
        self._device = device
        self._reach = receptive_field - 1
        self._n_channels = n_channels
        self.graphs = Graphs(device, compute, is_used=has_graphs)
        self.most_tokens: int | None = None
        self._has_warned = False
        #: By shape of the tokens: memory of batches that have been taken home.
        self._idle: OrderedDict[tuple[int, int], list[_Slot]] = OrderedDict()

    def values(
        self, windows: Sequence[NDArray[np.uint8]], n_together: int
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the numbers of windows in order, while others are computed.

        Parameters
        ----------
        windows : sequence of uint8 arrays [T]
            Tokens, all of one length.
        n_together : int
            Windows of a pass; the last pass is filled up with copies. Fewer from the pass on for
            which the GPU's memory is too small.

        Yields
        ------
        float32 array [T - receptive_field + 1, C]

        Raises
        ------
        UsageError
            If memory is too small for one window.
        """
        first, in_flight = 0, deque[_InFlight]()
        try:
            while first < len(windows) or in_flight:
                if first == len(windows) or not self._has_room(in_flight, windows, n_together):
                    yield from self._taken_home(in_flight.popleft())
                    continue
                rows = self._n_rows(n_together, len(windows[first]))
                batch = windows[first : first + rows]
                try:
                    in_flight.append(self._begun(batch, rows))
                except self._device.out_of_memory:
                    while in_flight:
                        yield from self._taken_home(in_flight.popleft())
                    self._halve(rows, len(windows[first]))
                else:
                    first += len(batch)
        finally:
            # Nobody takes these home.
            for batch_in_flight in in_flight:
                self._device.wait(batch_in_flight.arrival)

    def _has_room(
        self,
        in_flight: deque[_InFlight],
        windows: Sequence[NDArray[np.uint8]],
        n_together: int,
    ) -> bool:
        """Whether the next batch can begin beside those in flight; a graph is recorded alone."""
        shape = self._n_rows(n_together, len(windows[0])), len(windows[0])
        return len(in_flight) < (1 if self.graphs.is_due(shape) else _IN_FLIGHT)

    def _n_rows(self, n_together: int, length: int) -> int:
        if self.most_tokens is None:
            return n_together
        return max(1, min(n_together, self.most_tokens // length))

    def _begun(self, batch: Sequence[NDArray[np.uint8]], rows: int) -> _InFlight:
        shape = rows, len(batch[0])
        numbers = rows, shape[1] - self._reach, self._n_channels
        if self.graphs.is_due(shape):
            self.graphs.record(shape, numbers)
        slot = self._free_slot(shape, numbers)
        host = slot.tokens_host.numpy()
        host[: len(batch)] = batch
        host[len(batch) :] = batch[-1]
        there = self._device.enqueue(IN, lambda: copy(slot.tokens_host, slot.tokens))
        done = self._device.enqueue(
            COMPUTE, lambda: self.graphs.run(slot.tokens, slot.values), [there]
        )
        back = self._device.enqueue(OUT, lambda: copy(slot.values, slot.values_host), [done])
        self._warn_if_halved()
        return _InFlight(len(batch), back, slot)

    def _free_slot(self, shape: tuple[int, int], numbers: tuple[int, int, int]) -> _Slot:
        """Memory that no batch uses."""
        slots = self._idle.setdefault(shape, [])
        self._idle.move_to_end(shape)
        if len(self._idle) > N_SHAPES:
            self._idle.popitem(last=False)
        return slots.pop() if slots else _Slot.make(self._device, shape, numbers)

    def _taken_home(self, batch: _InFlight) -> Iterator[NDArray[np.float32]]:
        """Yield the numbers of a batch as soon as they are there."""
        self._device.wait(batch.arrival)
        # A copy: the next batch's arrive in the same place.
        values = batch.slot.values_host.numpy()[: batch.n_windows].copy()
        rows, length = batch.slot.tokens.shape
        self._idle.setdefault((rows, length), []).append(batch.slot)
        yield from values

    def _halve(self, rows: int, length: int) -> None:
        """Have half as many windows in a batch from now on; nothing may be in flight."""
        self._idle.clear()
        self.graphs.clear()
        self._device.release()
        if rows == 1:
            raise no_room_for(length)
        self.most_tokens = rows // 2 * length

    def _warn_if_halved(self) -> None:
        """Say so once, when a size was found that fits."""
        if self.most_tokens is not None and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "the memory of the GPU is too small for larger passes: from now on they have at "
                "most %d positions",
                self.most_tokens,
            )


def no_room_for(length: int) -> UsageError:
    """The error of a GPU whose memory is too small for one window of so many positions."""
    return UsageError(
        f"a window of {length} positions does not fit into the memory of the GPU; "
        "choose --device cpu"
    )
