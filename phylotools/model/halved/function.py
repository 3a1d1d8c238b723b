"""The halved network as torch sees it: tokens and parameters to theta, with a gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from phylotools.compiling import compile_entries
from phylotools.model.halved.layout import LANES, Layout, Stage, make_layout
from phylotools.model.halved.passes import backward, forward
from phylotools.model.halved.weights import halve, join, stage_of
from phylotools.model.presets import N_TOKENS, ModelSpec
from phylotools.phylogeny.kernels.cpu import lanes
from phylotools.threads import map_in_threads

if TYPE_CHECKING:
    from phylotools.model.network import ByteNet


def suits(spec: ModelSpec) -> bool:
    """Whether a network of this shape can be computed so.

    Halves of channels must be whole vectors, norms tied and of one position.
    """
    whole = 2 * LANES
    return (
        spec.channels % whole == spec.bottleneck % whole == 0
        and spec.norm == "layer"
        and spec.tied_norm
    )


def halved_theta(network: ByteNet, tokens: Tensor) -> Tensor:
    """What the network gives for tokens on the CPU, in float32; shape (B, L, A)."""
    # s and a of each token, of which the upper half of an effective vector is the sum.
    vectors = network.embedding.effective()[0]
    half = vectors.shape[1] // 2
    upper, lower = vectors[:, :half], vectors.flip(1)[:, :half]
    table = torch.cat([upper + lower, upper - lower], dim=1) / 2
    stored = [p for name, p in network.named_parameters() if not name.startswith("embedding.")]
    theta: Tensor = _HalvedNetwork.apply(tokens, network.spec, table, *stored)
    return theta


class _HalvedNetwork(torch.autograd.Function):
    """All of a pass but the embedding's vectors."""

    @staticmethod
    def forward(
        ctx: Any, tokens: Tensor, spec: ModelSpec, table: Tensor, *stored: Tensor
    ) -> Tensor:
        keep = any(ctx.needs_input_grad)
        layout = make_layout(spec, tokens.shape[1], keep)
        flat = torch.cat([parameter.detach().flatten() for parameter in stored]).numpy()
        codes = np.ascontiguousarray(tokens.numpy())
        if codes.size and not 0 <= codes.min() <= codes.max() < N_TOKENS:
            raise IndexError(f"a token is not below {N_TOKENS}")
        ctx.run = _Pass(layout, codes, table.detach().numpy(), flat)
        ctx.shapes = [parameter.shape for parameter in stored]
        return torch.from_numpy(ctx.run.forward())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        to_table, to_stored = (torch.from_numpy(g) for g in ctx.run.backward(outer[0].numpy()))
        parts = to_stored.split([shape.numel() for shape in ctx.shapes])
        to_parameters = (g.view(shape) for g, shape in zip(parts, ctx.shapes, strict=True))
        return None, None, to_table, *to_parameters


class _Pass:
    """A batch on its way through the network.

    Parameters
    ----------
    layout : Layout
    tokens : int64 array [B, L]
    table : float32 array [N_TOKENS, H]
    stored : float32 array [n_stored]
    """

    def __init__(
        self,
        layout: Layout,
        tokens: NDArray[np.int64],
        table: NDArray[np.float32],
        stored: NDArray[np.float32],
    ) -> None:
        self._layout, self._tokens, self._table = layout, tokens, table
        # Filled-up columns of the last stage stay zero.
        self._weights, self._transposed = _zeros(layout.n_weights), _zeros(layout.n_weights)
        _halve(layout.stages, stored, self._weights, self._transposed)
        self._kept: NDArray[np.float32] | None = _take(len(tokens), layout.n_activations)
        self._moments = _empty(len(tokens), layout.n_moments, 2)
        self._last: Stage = stage_of.py_func(layout.stages, -1)
        # A window each at a time, so that a thread's numbers stay in its cache.
        self._shares = np.array_split(np.arange(len(tokens)), max(1, torch.get_num_threads()))

    def forward(self) -> NDArray[np.float32]:
        """Theta, float32 [B, L', A]."""
        layout, activations = self._layout, self._kept
        assert activations is not None

        def share(number: int) -> None:
            hidden, packed = _empty(layout.n_hidden), _empty(layout.n_chunk)
            for window in self._shares[number]:
                _forward(
                    layout.stages, self._tokens[window], self._table, self._weights,
                    activations[window], self._moments[window], hidden, packed,
                )  # fmt: skip

        self._in_threads(share)
        last = self._last
        output = activations[:, last.target : last.target + last.rows * 2 * last.columns]
        sums = output.reshape(len(output), last.rows, 2, last.columns)[..., : last.outputs]
        s, a = sums[:, :, 0], sums[:, :, 1]
        return np.concatenate([s + a, (s - a)[..., ::-1]], axis=-1)

    def backward(self, outer: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Gradients with respect to `table` and `stored`, from that with respect to theta.

        Raises
        ------
        RuntimeError
            At the second call: the activations belong to the next batch.
        """
        layout, last, activations = self._layout, self._last, self._kept
        if activations is None:
            raise RuntimeError("the gradient of a batch can be taken once")
        half = last.outputs
        t, b = outer[..., :half], outer[..., : -half - 1 : -1]
        to_output = _zeros(*outer.shape[:2], 2, last.columns)
        to_output[:, :, 0, :half], to_output[:, :, 1, :half] = t + b, t - b
        to_table = [_zeros(*self._table.shape) for _ in self._shares]
        to_weights = [_zeros(layout.n_weights) for _ in self._shares]

        def share(number: int) -> None:
            hidden, slopes, to_hidden = (_empty(layout.n_hidden) for _ in range(3))
            packed, to_packed = _empty(layout.n_chunk), _empty(layout.n_chunk)
            means, slots = _empty(layout.n_rows, 2), _empty(layout.n_gradients)
            # The last window's activations were written last, and may lie in a cache still.
            for window in reversed(self._shares[number]):
                begin = to_output[window].ravel()
                slots[last.target_slot : last.target_slot + len(begin)] = begin
                _backward(
                    layout.stages, self._tokens[window], to_table[number], self._weights,
                    self._transposed, activations[window], self._moments[window], hidden, slopes,
                    packed, to_hidden, to_packed, means, slots, to_weights[number],
                )  # fmt: skip

        self._in_threads(share)
        self._kept = None
        _give(activations)
        to_stored = _empty(layout.n_stored)
        _join(layout.stages, _sum(to_weights), to_stored)
        return _sum(to_table), to_stored

    def _in_threads(self, share: Callable[[int], None]) -> None:
        map_in_threads(share, range(len(self._shares)), len(self._shares))


#: Activations of the last batch, kept for the next: fresh memory would come page by page.
_spare: list[NDArray[np.float32]] = []


def _take(*shape: int) -> NDArray[np.float32]:
    try:
        kept = _spare.pop()
    except IndexError:
        return _empty(*shape)
    if kept.shape == shape:
        return kept
    _give(kept)
    return _empty(*shape)


def _give(array: NDArray[np.float32]) -> None:
    _spare[:] = [array]


def _empty(*shape: int) -> NDArray[np.float32]:
    """An array that begins where a vector may: one across two lines of the cache takes longer."""
    size = math.prod(shape)
    space = np.empty(size + LANES - 1, dtype=np.float32)
    first = -(space.ctypes.data // space.itemsize) % LANES
    return space[first : first + size].reshape(shape)


def _zeros(*shape: int) -> NDArray[np.float32]:
    array = _empty(*shape)
    array[...] = 0.0
    return array


def _sum(arrays: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    first, *others = arrays
    for other in others:
        first += other
    return first


def _halve_all(stages, stored, weights, transposed):  # type: ignore[no-untyped-def]
    for number in range(len(stages)):
        halve(stage_of(stages, number), stored, weights, transposed)


def _join_all(stages, gradient, stored):  # type: ignore[no-untyped-def]
    for number in range(len(stages)):
        join(stage_of(stages, number), gradient, stored)


def _forward_window(  # type: ignore[no-untyped-def]
    stages, tokens, table, weights, activations, moments, hidden, packed
):
    forward(stages, tokens, table, weights, activations, moments, hidden, packed)


def _backward_window(  # type: ignore[no-untyped-def]
    stages, tokens, to_table, weights, transposed, activations, moments, hidden, slopes, packed,
    outer, outer_packed, means, slots, gradient,
):  # fmt: skip
    backward(
        stages, tokens, to_table, weights, transposed, activations, moments, hidden, slopes, packed,
        outer, outer_packed, means, slots, gradient,
    )  # fmt: skip


_SOURCES = [*Path(__file__).parent.glob("*.py"), *Path(lanes.__file__).parent.glob("*.py")]
_halve, _join, _forward, _backward = compile_entries(
    _SOURCES, _halve_all, _join_all, _forward_window, _backward_window
)
