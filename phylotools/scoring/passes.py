"""Passes of tokens through a network: in which shape, with how many threads, and what is refused.

Beside `scorer`, which imports it when the first pass is due: torch takes half a second, and a run
that looks every score up has no use for it.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phylotools.errors import InputError
from phylotools.model.device import arithmetic, automatic_batch_size
from phylotools.model.presets import PAD_TOKEN
from phylotools.scoring.gpu.device import CudaDevice
from phylotools.scoring.gpu.passes import GpuPasses, no_room_for
from phylotools.scoring.windows import WindowRule
from phylotools.threads import n_cores

if TYPE_CHECKING:
    from phylotools.model.registry import Model

logger = logging.getLogger("phylotools")

#: From the model, tokens, int64 (B, T), and the positions that are wanted of each row, int64 (B, 2)
#: on the CPU as for `ByteNet` (None: all), to floats (B, T - receptive_field + 1, C).
Forward = Callable[[Any, Tensor, Tensor | None], Tensor]

#: Tokens that each thread gets in a pass, if it gets more than one window: for them the largest
#: networks take some seconds, after which a run can be ended, and small ones a tenth of a second,
#: beside which a pass costs nothing.
TOKENS_A_THREAD = 8192

_is_forked_child = False


def _compute_with_one_thread() -> None:
    """Give up the threads that a fork left behind in the parent: OpenMP would wait for them."""
    global _is_forked_child
    _is_forked_child = True
    torch.set_num_threads(1)


def _was_forked() -> bool:
    """Whether this is a worker that `multiprocessing` forked before this module was imported.

    Other libraries may have computed in its parent meanwhile. Workers that are spawned, or forked
    from a server that computes nothing, say so in their command line.
    """
    command = " ".join(sys.orig_argv)
    is_fresh = "--multiprocessing-fork" in command or "multiprocessing.forkserver" in command
    return multiprocessing.parent_process() is not None and not is_fresh


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_compute_with_one_thread)
    if _was_forked():
        _compute_with_one_thread()


class NetworkPasses:
    """Passes of windows through a network; for one thread at a time.

    On a CPU a pass has windows of any length, which are shared out over threads and computed apart
    from each other. The products of an accelerator may round differently by the number of rows, so
    every pass of windows of one length has as many, the last one filled up with copies; on a GPU of
    NVIDIA's see `scoring/gpu`.

    Parameters
    ----------
    model : Model
    forward : callable
        See `Forward`.
    n_channels : int
        C.
    tile_tokens : int
        T of a tile's window.
    most_together : int
        Tiles that are asked for at once, at most.
    largest_value : float
        Numbers beyond it, of either sign, are refused.
    threads, batch_size, precision
        As for `TiledNetwork`; `precision` is resolved.

    Attributes
    ----------
    rule : WindowRule
        Which windows may be chosen among.
    threads : int
        That share the windows of a pass.
    """

    def __init__(
        self,
        model: Model,
        forward: Forward,
        n_channels: int,
        tile_tokens: int,
        *,
        most_together: int,
        largest_value: float,
        threads: int | None,
        batch_size: int | None,
        precision: str,
    ) -> None:
        self._model = model
        self._forward = forward
        self._n_channels = n_channels
        self._tile_tokens = tile_tokens
        self._most_together = most_together
        self._largest_value = largest_value
        self._device = torch.device(model.device)
        self._is_cpu = self._device.type == "cpu"
        self._precision = precision
        self._threads = n_cores() if threads is None and self._is_cpu else threads
        self._batch_size = batch_size
        self._gpu: GpuPasses | None = None
        self.rule = WindowRule.ANY if self._is_cpu else WindowRule.LONE
        if model.spec.norm == "group":
            self.rule = WindowRule.GRID

    @property
    def threads(self) -> int:
        return 1 if _is_forked_child or not self._is_cpu else self._threads or 1

    def values(
        self, windows: Sequence[NDArray[np.uint8]], place: Callable[[int], str] = lambda _: ""
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the numbers of windows in order, each as soon as its pass is done.

        Parameters
        ----------
        windows : sequence of uint8 arrays [T]
            Tokens; of one length, unless a CPU computes.
        place : callable
            Where a window is from, by its number, for messages.

        Yields
        ------
        float32 array [T - receptive_field + 1, C]

        Raises
        ------
        InputError, UsageError
            As for `run`.
        """
        if self._device.type == "cuda" and len(windows):
            yield from self._by_gpu(windows, place)
            return
        first = 0
        while first < len(windows):
            if self._is_cpu:
                last = self._end_of_shared(windows, first)
                yield from self._ragged(windows[first:last], place(first))
            else:
                n_together = self._n_alike(windows[0])
                last = first + n_together
                yield from self.run(np.stack(windows[first:last]), n_together, place(first))
            first = last

    def _by_gpu(
        self, windows: Sequence[NDArray[np.uint8]], place: Callable[[int], str]
    ) -> Iterator[NDArray[np.float32]]:
        n_together = self._n_alike(windows[0])
        if self._gpu is None:
            self._gpu = GpuPasses(
                CudaDevice(self._device),
                self._on_device,
                self._model.receptive_field,
                self._n_channels,
            )
        for number, values in enumerate(self._gpu.values(windows, n_together)):
            self._require_sane(values, place(number))
            yield values

    def _ragged(
        self, windows: Sequence[NDArray[np.uint8]], place: str
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the numbers of windows of any length, by one pass."""
        lengths = np.array([len(window) for window in windows])
        # Threads take turns: the long ones first, so that they end together.
        order = np.argsort(-lengths, kind="stable")
        tokens = np.full((len(windows), lengths.max()), PAD_TOKEN, dtype=np.uint8)
        for row, number in enumerate(order.tolist()):
            tokens[row, : lengths[number]] = windows[number]
        ends = lengths - self._model.receptive_field + 1
        wanted = np.stack([np.zeros_like(ends), ends[order]], axis=1)
        found = self.run(tokens, len(tokens), place, wanted=wanted)
        for row, end in zip(np.argsort(order).tolist(), ends.tolist(), strict=True):
            yield found[row, :end]

    def _end_of_shared(self, windows: Sequence[NDArray[np.uint8]], first: int) -> int:
        """Up to which window, from the first on, one pass shares them out over the threads."""
        room = TOKENS_A_THREAD * self.threads - len(windows[first])
        last = first + 1
        while last < len(windows) and len(windows[last]) <= room:
            room -= len(windows[last])
            last += 1
        # As many for every thread, if there are more to come.
        excess = (last - first) % self.threads if last < len(windows) else 0
        return last - excess if last - first > self.threads else last

    def _n_alike(self, window: NDArray[np.uint8]) -> int:
        """Rows of a pass over windows of one length: as many tokens as a pass over tiles has."""
        if self._batch_size is None:
            row = np.resize(window, (1, self._tile_tokens))
            fitting = automatic_batch_size(
                lambda: self.run(row, 1), self._tile_tokens, self._device
            )
            # Two passes at least, so that one's numbers come while the other is computed.
            self._batch_size = max(1, min(fitting, self._most_together // 2))
            logger.debug("batch size %d", self._batch_size)
        return max(1, self._batch_size * self._tile_tokens // len(window))

    def run(
        self,
        tokens: NDArray[np.uint8],
        n_together: int,
        place: str = "",
        *,
        wanted: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """Numbers of at most `n_together` rows, by one pass of exactly so many.

        Parameters
        ----------
        tokens : uint8 array [B, T]
        n_together : int
        place : str
            Where they are from, for messages.
        wanted : int64 array [B, 2], optional
            First and last + 1 of the positions of each row that are wanted; all of them unless
            given.

        Returns
        -------
        float32 array [B, T - receptive_field + 1, C]
            What it holds where nothing was wanted is left open.

        Raises
        ------
        InputError
            If the network gives numbers that are not finite or absurdly large, or not as many as
            its receptive field says.
        UsageError
            If the memory of the accelerator is too small.
        """
        threads = 1 if _is_forked_child else self._threads
        if threads is not None and torch.get_num_threads() != threads:
            # The setting belongs to the thread that computes, which need not be ours.
            torch.set_num_threads(threads)
        n_copies = n_together - len(tokens)
        if n_copies:
            tokens = np.concatenate([tokens, np.repeat(tokens[-1:], n_copies, axis=0)])
            if wanted is not None:
                wanted = np.concatenate([wanted, np.repeat(wanted[-1:], n_copies, axis=0)])
        values = self._pass(tokens, wanted)[: n_together - n_copies]
        asked = values
        if wanted is not None:
            asked = np.concatenate([v[i:j] for v, (i, j) in zip(values, wanted, strict=False)])
        self._require_sane(asked, place)
        return values

    def _pass(
        self, tokens: NDArray[np.uint8], wanted: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:
        chosen = None if wanted is None else torch.from_numpy(wanted)
        try:
            numbers = self._on_device(torch.from_numpy(tokens).to(self._device), chosen)
        except torch.cuda.OutOfMemoryError:
            # On a GPU only the trial of one window comes here.
            raise no_room_for(tokens.shape[1]) from None
        return np.asarray(numbers.cpu().numpy(), dtype=np.float32)

    def _on_device(self, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Numbers, float32 (B, L, C), of tokens, uint8 (B, T), without leaving the device."""
        name, receptive_field = self._model.name, self._model.receptive_field
        n_positions = tokens.shape[1] - receptive_field + 1
        with torch.inference_mode(), arithmetic(self._precision, self._device):
            values = self._forward(self._model.site_model, tokens.long(), wanted).float()
        if values.shape[1:] != (n_positions, self._n_channels):
            raise InputError(
                f"the network of model {name} gave {values.shape[1]} positions for "
                f"{n_positions}: its receptive field is not {receptive_field}",
                remedy="correct receptive_field in its manifest, or export it anew",
            )
        return values

    def _require_sane(self, values: NDArray[np.float32], place: str) -> None:
        # Also false for what is no number.
        if np.abs(values).max(initial=0) <= self._largest_value:
            return
        is_finite = np.isfinite(values).all()
        problem = f"beyond {self._largest_value:g}" if is_finite else "that are not finite"
        remedy = "its weights are damaged: run `phylotools model verify`"
        if self._precision != "float32":
            remedy = "use precision float32"
        raise InputError(f"model {self._model.name} gives numbers {problem}{place}", remedy=remedy)
