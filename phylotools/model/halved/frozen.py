"""The halved network for inference: its blocks are made once, and nothing is kept of a pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phylotools.compiling import compile_entries
from phylotools.model.halved.activation import measure, normalise
from phylotools.model.halved.function import (
    compiled_halve,
    empty,
    flatten,
    read_output,
    read_tokens,
    stored_parameters,
    token_table,
    zeros,
)
from phylotools.model.halved.layout import LANES, Layout, Stage, make_layout
from phylotools.model.halved.passes import forward
from phylotools.model.halved.weights import stage_of
from phylotools.model.presets import ModelSpec
from phylotools.phylogeny.kernels.cpu import lanes
from phylotools.phylogeny.kernels.cpu.lanes import load, store
from phylotools.threads import map_in_threads

if TYPE_CHECKING:
    from phylotools.model.network import ByteNet


class FrozenHalves:
    """The halves of a network's weights, for any number of passes.

    The numbers of a position are the same bits whatever window, batch or thread they are computed
    in: every sum runs over its terms in one order, and no row knows of another but through them.

    Parameters
    ----------
    network : ByteNet
        Of a shape that `suits`, on the CPU, in float32; later changes of it are not seen.
    """

    def __init__(self, network: ByteNet) -> None:
        self._spec = network.spec
        layout = make_layout(self._spec, self._spec.receptive_field, False)
        self._table = token_table(network).detach().numpy()
        # Filled-up columns of the last stage stay zero.
        self._weights, transposed = zeros(layout.n_weights), empty(layout.n_weights)
        compiled_halve(
            layout.stages, flatten(stored_parameters(network)), self._weights, transposed
        )
        last: Stage = stage_of.py_func(layout.stages, -1)
        self._output_norm = last.weights + 2 * last.half * last.columns + last.columns

    def theta(self, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Theta of every position, or of those that are wanted: see `ByteNet.forward`."""
        reach = self._spec.receptive_field - 1
        rows = read_tokens(tokens)
        theta = np.zeros((len(rows), rows.shape[1] - reach, 4), dtype=np.float32)

        def fill(row: int, start: int, end: int) -> None:
            layout, activations = self._run(self._spec, rows[row, start : end + reach])
            theta[row, start:end] = read_output(layout, activations)

        _for_each_window(theta, wanted, fill)
        return torch.from_numpy(theta)

    def hidden(
        self, tokens: Tensor, n_blocks: int, is_normed: bool, wanted: Tensor | None = None
    ) -> Tensor:
        """Values of a layer at every position, or at those wanted: see `ByteNet.hidden`."""
        reach = self._spec.receptive_field - 1
        # The layout of a network that ends there; its weights lie where they do in the whole.
        spec = replace(self._spec, dilations=self._spec.dilations[: max(n_blocks, 1)])
        own_reach = spec.receptive_field - 1 if n_blocks else 0
        crop = (reach - own_reach) // 2
        rows = read_tokens(tokens)
        shape = len(rows), rows.shape[1] - reach, 2, self._spec.channels // 2
        values = np.zeros(shape, dtype=np.float32)

        def fill(row: int, start: int, end: int) -> None:
            own = rows[row, start + crop : end + crop + own_reach]
            found = values[row, start:end]
            if n_blocks:
                layout, activations = self._run(spec, own)
                first = stage_of.py_func(layout.stages, -1).source
                rows_of_s_and_a = activations[first : first + found.size].reshape(found.shape)
            else:
                rows_of_s_and_a = self._table[own].reshape(found.shape)
            _layer(np.ascontiguousarray(rows_of_s_and_a), self._weights, self._output_norm,
                   is_normed, found)  # fmt: skip

        _for_each_window(values, wanted, fill)
        upper, lower = torch.from_numpy(values).unbind(2)
        return torch.cat([upper, lower.flip(2)], dim=2)

    def _run(
        self, spec: ModelSpec, tokens: NDArray[np.int64]
    ) -> tuple[Layout, NDArray[np.float32]]:
        """Activations of one window."""
        layout = make_layout(spec, len(tokens), False)
        activations = empty(layout.n_activations)
        _forward(
            layout.stages, tokens, self._table, self._weights, activations,
            empty(layout.n_moments, 2), empty(layout.n_hidden), empty(layout.n_chunk),
        )  # fmt: skip
        return layout, activations


def _for_each_window(
    values: NDArray[np.float32], wanted: Tensor | None, fill: Callable[[int, int, int], None]
) -> None:
    """Call `fill` with row, first position and end of each window of which anything is wanted."""
    n_windows, length = values.shape[:2]
    spans = [[0, length]] * n_windows if wanted is None else wanted.tolist()
    rows = [row for row, (start, end) in enumerate(spans) if start < end]

    def share(number: int) -> None:
        for row in rows[number::threads]:
            fill(row, *spans[row])

    # A window each at a time, so that a thread's numbers stay in its cache.
    threads = max(1, min(torch.get_num_threads(), len(rows)))
    map_in_threads(share, range(threads), threads)


def _forward_window(  # type: ignore[no-untyped-def]
    stages, tokens, table, weights, activations, moments, hidden, packed
):
    forward(stages, tokens, table, weights, activations, moments, hidden, packed)


def _values_of_layer(rows, weights, scale, is_normed, out):  # type: ignore[no-untyped-def]
    """t and b of positions [rows, 2, half] from s and a, after a norm or without."""
    n = rows.shape[2] // LANES
    moments = np.empty((1, 2), dtype=np.float32)
    for row in range(len(rows)):
        if is_normed:
            measure(rows, row * 2 * n, n, moments, 0)
            normalise(rows, row * 2 * n, n, weights, scale // LANES, moments, 0, out, row * 2 * n)
        else:
            for v in range(n):
                s, a = load(rows, row * 2 * n + v), load(rows, row * 2 * n + n + v)
                store(out, row * 2 * n + v, s + a)
                store(out, row * 2 * n + n + v, s - a)


_SOURCES = [*Path(__file__).parent.glob("*.py"), *Path(lanes.__file__).parent.glob("*.py")]
_forward, _layer = compile_entries(_SOURCES, _forward_window, _values_of_layer)
