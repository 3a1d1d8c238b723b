"""Passes of tokens through a network: in which shape, with how many threads, and what is refused.

Beside `scorer`, which imports it when the first pass is due: torch takes half a second, and a run
that looks every score up has no use for it.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phylotools.errors import InputError, UsageError
from phylotools.model.device import arithmetic, automatic_batch_size, fastest_thread_count

if TYPE_CHECKING:
    from phylotools.model.registry import Model

logger = logging.getLogger("phylotools")

#: From the model, tokens, int64 (B, T), and the positions that are wanted of each row, int64 (B, 2)
#: on the CPU as for `ByteNet` (None: all), to floats (B, T - receptive_field + 1, C).
Forward = Callable[[Any, Tensor, Tensor | None], Tensor]

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
    """Passes of a network, at most so many rows each; for one thread at a time.

    On a CPU rows go through the network one by one: a pass over several is no faster and its
    matrix products may round differently, so that a score would depend on its neighbours. On an
    accelerator every pass has as many rows, the last one filled up with copies.

    Parameters
    ----------
    model : Model
    forward : callable
        See `Forward`.
    n_channels : int
        C.
    largest_value : float
        Numbers beyond it, of either sign, are refused.
    threads, batch_size, precision
        As for `TiledNetwork`; `precision` is resolved.
    """

    def __init__(
        self,
        model: Model,
        forward: Forward,
        n_channels: int,
        *,
        largest_value: float,
        threads: int | None,
        batch_size: int | None,
        precision: str,
    ) -> None:
        self._model = model
        self._forward = forward
        self._n_channels = n_channels
        self._largest_value = largest_value
        self._device = torch.device(model.device)
        self._is_cpu = self._device.type == "cpu"
        self._precision = precision
        self._threads = threads
        self._must_choose_threads = threads is None and self._is_cpu
        self._batch_size = 1 if self._is_cpu else batch_size

    def choose_threads(self, tokens: NDArray[np.uint8]) -> None:
        """Find out by a trial, once, whether one thread or all cores are faster.

        Parameters
        ----------
        tokens : uint8 array [1, T]
        """
        if not self._must_choose_threads or _is_forked_child:
            return
        self._must_choose_threads = False
        self._threads = fastest_thread_count(lambda: self.run(tokens, 1))
        logger.debug("network threads: %d", self._threads)

    def batch_size(self, tokens: Callable[[], NDArray[np.uint8]]) -> int:
        """Rows of a pass.

        Parameters
        ----------
        tokens : callable
            Gives a row for a trial, uint8 [1, T].
        """
        if self._batch_size is None:
            row = tokens()
            self._batch_size = automatic_batch_size(lambda: self.run(row, 1), self._device)
            logger.debug("batch size %d", self._batch_size)
        return self._batch_size

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
            Finite; what it holds where nothing was wanted is left open.

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
        name, receptive_field = self._model.name, self._model.receptive_field
        n_positions = tokens.shape[1] - receptive_field + 1
        n_copies = n_together - len(tokens)
        if n_copies:
            tokens = np.concatenate([tokens, np.repeat(tokens[-1:], n_copies, axis=0)])
            if wanted is not None:
                wanted = np.concatenate([wanted, np.repeat(wanted[-1:], n_copies, axis=0)])
        values = self._pass(tokens, wanted)[: n_together - n_copies]
        if values.shape[1:] != (n_positions, self._n_channels):
            raise InputError(
                f"the network of model {name} gave {values.shape[1]} positions for "
                f"{n_positions}: its receptive field is not {receptive_field}",
                remedy="correct receptive_field in its manifest, or export it anew",
            )
        # Also false for what is no number.
        if not np.abs(values).max(initial=0) <= self._largest_value:
            is_finite = np.isfinite(values).all()
            problem = f"beyond {self._largest_value:g}" if is_finite else "that are not finite"
            remedy = "its weights are damaged: run `phylotools model verify`"
            if self._precision != "float32":
                remedy = "use precision float32"
            raise InputError(f"model {name} gives numbers {problem}{place}", remedy=remedy)
        return values

    def _pass(
        self, tokens: NDArray[np.uint8], wanted: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:
        chosen = None if wanted is None else torch.from_numpy(wanted)
        try:
            with torch.inference_mode(), arithmetic(self._precision, self._device):
                on_device = torch.from_numpy(tokens).to(self._device).long()
                values = self._forward(self._model.site_model, on_device, chosen)
                numbers = values.float().cpu().numpy()
        except torch.cuda.OutOfMemoryError:
            raise UsageError(
                f"a pass of {tokens.shape[0]} x {tokens.shape[1]} positions does not fit into the "
                "memory of the GPU; choose a smaller --batch-size"
            ) from None
        return np.asarray(numbers, dtype=np.float32)
