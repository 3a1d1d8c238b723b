"""The halved network as torch sees it: tokens and parameters to theta, with a gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

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
    from phylotools.model.network import ByteNet, EquivariantConv, PositionNorm, ResidualBlock


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


def halved_theta(network: ByteNet, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
    """What the network gives for tokens on the CPU, in float32; shape (B, L, A).

    Parameters
    ----------
    network : ByteNet
    tokens : Tensor of int64, shape (B, L + receptive_field - 1)
    wanted : Tensor of int64, shape (B, 2), optional
        The first position of each window whose theta is wanted, and the first beyond the last:
        the others are not computed, and 0. All of them unless given.
    """
    table, stored = token_table(network), stored_parameters(network)
    if wanted is None:
        length = tokens.shape[1] - network.spec.receptive_field + 1
        wanted = torch.tensor([0, length]).expand(len(tokens), 2)
    theta: Tensor = _HalvedNetwork.apply(tokens, wanted, network.spec, table, *stored)
    return theta


def token_table(network: ByteNet) -> Tensor:
    """s and a of each token, of which the upper half of an effective vector is the sum.

    Shape (N_TOKENS, H), with the embedding's gradient.
    """
    vectors = network.embedding.effective()[0]
    half = vectors.shape[1] // 2
    upper, lower = vectors[:, :half], vectors.flip(1)[:, :half]
    return torch.cat([upper + lower, upper - lower], dim=1) / 2


def stored_parameters(network: ByteNet) -> list[Tensor]:
    """All but the embedding's, in the order of `Layout`."""
    # Not by a walk through all modules, which takes ten times as long: 1 ms for `small`.
    parts: list[PositionNorm | EquivariantConv] = []
    for block in cast("Iterable[ResidualBlock]", network.blocks):
        parts += [block.norm_in, block.conv_in, block.norm_mid, block.conv_mid]
        parts += [block.norm_out, block.conv_out]
    parts += [network.norm, network.output]
    return [parameter for part in parts for parameter in (part.weight, part.bias)]


def flatten(stored: Sequence[Tensor]) -> NDArray[np.float32]:
    """Parameters in one flat array."""
    return torch.cat([parameter.detach().flatten() for parameter in stored]).numpy()


def read_tokens(tokens: Tensor) -> NDArray[np.int64]:
    """Tokens for compiled code, which does not look where it reads.

    Raises
    ------
    IndexError
        If one is no token.
    """
    codes = np.ascontiguousarray(tokens.numpy())
    if codes.size and not 0 <= codes.min() <= codes.max() < N_TOKENS:
        raise IndexError(f"a token is not below {N_TOKENS}")
    return codes


class _HalvedNetwork(torch.autograd.Function):
    """All of a pass but the embedding's vectors."""

    @staticmethod
    def forward(
        ctx: Any,
        tokens: Tensor,
        wanted: Tensor,
        spec: ModelSpec,
        table: Tensor,
        *stored: Tensor,
    ) -> Tensor:
        codes, flat = read_tokens(tokens), flatten(stored)
        keep = any(ctx.needs_input_grad)
        ctx.run = _Pass(spec, codes, wanted.tolist(), table.detach().numpy(), flat, keep)
        ctx.shapes = [parameter.shape for parameter in stored]
        return torch.from_numpy(ctx.run.forward())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        to_table, to_stored = (torch.from_numpy(g) for g in ctx.run.backward(outer[0].numpy()))
        parts = to_stored.split([shape.numel() for shape in ctx.shapes])
        to_parameters = (g.view(shape) for g, shape in zip(parts, ctx.shapes, strict=True))
        return None, None, None, to_table, *to_parameters


@dataclass(frozen=True)
class _Window:
    """What is computed of a window.

    Attributes
    ----------
    row : int
        Its number in the batch.
    wanted : slice
        Positions.
    tokens : int64 array
        Those that the positions read.
    layout : Layout
    activations : slice
        Its part of the batch's.
    moments : slice
        Likewise.
    """

    row: int
    wanted: slice
    tokens: NDArray[np.int64]
    layout: Layout
    activations: slice
    moments: slice


def _windows(
    spec: ModelSpec, tokens: NDArray[np.int64], wanted: list[list[int]], keep: bool
) -> list[_Window]:
    """Those of which anything is wanted."""
    found: list[_Window] = []
    place = row_of_moments = 0
    for row, (start, end) in enumerate(wanted):
        if start >= end:
            continue
        own = tokens[row, start : end + spec.receptive_field - 1]
        layout = make_layout(spec, len(own), keep)
        activations = slice(place, place + layout.n_activations)
        moments = slice(row_of_moments, row_of_moments + layout.n_moments)
        found.append(_Window(row, slice(start, end), own, layout, activations, moments))
        place, row_of_moments = activations.stop, moments.stop
    return found


class _Pass:
    """A batch on its way through the network.

    Parameters
    ----------
    spec : ModelSpec
    tokens : int64 array [B, L]
    wanted : list of [int, int]
    table : float32 array [N_TOKENS, H]
    stored : float32 array [n_stored]
    keep : bool
        A gradient will be asked for.
    """

    def __init__(
        self,
        spec: ModelSpec,
        tokens: NDArray[np.int64],
        wanted: list[list[int]],
        table: NDArray[np.float32],
        stored: NDArray[np.float32],
        keep: bool,
    ) -> None:
        self._table, self._keep = table, keep
        self._shape = (*tokens.shape[:1], tokens.shape[1] - spec.receptive_field + 1)
        # Of a window of any length: weights lie alike in all.
        self._any = make_layout(spec, spec.receptive_field, keep)
        # Filled-up columns of the last stage stay zero.
        self._weights, self._transposed = (zeros(self._any.n_weights) for _ in range(2))
        compiled_halve(self._any.stages, stored, self._weights, self._transposed)
        windows = _windows(spec, tokens, wanted, keep)
        size, rows = (windows[-1].activations.stop, windows[-1].moments.stop) if windows else (0, 0)
        self._kept: NDArray[np.float32] | None = _take(size)
        self._moments = empty(rows, 2)
        # A window each at a time, so that a thread's numbers stay in its cache.
        threads = max(1, min(torch.get_num_threads(), len(windows)))
        self._shares = [
            [windows[i] for i in part] for part in np.array_split(np.arange(len(windows)), threads)
        ]

    def forward(self) -> NDArray[np.float32]:
        """Theta, float32 [B, L', A]."""
        assert self._kept is not None
        activations = self._kept
        last: Stage = stage_of.py_func(self._any.stages, -1)
        theta = np.zeros((*self._shape, 2 * last.outputs), dtype=np.float32)

        def share(number: int) -> None:
            hidden, packed = self._scratch(number, "n_hidden"), empty(self._any.n_chunk)
            for window in self._shares[number]:
                own = activations[window.activations]
                _forward(
                    window.layout.stages, window.tokens, self._table, self._weights, own,
                    self._moments[window.moments], hidden, packed,
                )  # fmt: skip
                theta[window.row, window.wanted] = read_output(window.layout, own)

        self._in_threads(share)
        if not self._keep:
            _give(activations)
        return theta

    def backward(self, outer: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Gradients with respect to `table` and `stored`, from that with respect to theta.

        Raises
        ------
        RuntimeError
            At the second call: the activations belong to the next batch.
        """
        if self._kept is None:
            raise RuntimeError("the gradient of a batch can be taken once")
        activations, self._kept = self._kept, None
        to_table = [zeros(*self._table.shape) for _ in self._shares]
        to_weights = [zeros(self._any.n_weights) for _ in self._shares]

        def share(number: int) -> None:
            hidden, slopes, to_hidden = (self._scratch(number, "n_hidden") for _ in range(3))
            packed, to_packed = empty(self._any.n_chunk), empty(self._any.n_chunk)
            means, slots = self._scratch(number, "n_rows", 2), self._scratch(number, "n_gradients")
            # The last window's activations were written last, and may lie in a cache still.
            for window in reversed(self._shares[number]):
                _begin_gradient(window.layout, outer[window.row, window.wanted], slots)
                _backward(
                    window.layout.stages, window.tokens, to_table[number], self._weights,
                    self._transposed, activations[window.activations],
                    self._moments[window.moments], hidden, slopes, packed, to_hidden, to_packed,
                    means, slots, to_weights[number],
                )  # fmt: skip

        self._in_threads(share)
        _give(activations)
        to_stored = empty(self._any.n_stored)
        _join(self._any.stages, _sum(to_weights), to_stored)
        return _sum(to_table), to_stored

    def _scratch(self, share: int, size: str, *more: int) -> NDArray[np.float32]:
        """Room for any window of a share; `size` is an attribute of `Layout`."""
        most = max((getattr(window.layout, size) for window in self._shares[share]), default=0)
        return empty(most, *more)

    def _in_threads(self, share: Callable[[int], None]) -> None:
        map_in_threads(share, range(len(self._shares)), len(self._shares))


def read_output(layout: Layout, activations: NDArray[np.float32]) -> NDArray[np.float32]:
    """Theta of a window, from s and a of the last stage."""
    last: Stage = stage_of.py_func(layout.stages, -1)
    found = activations[last.target : last.target + last.rows * 2 * last.columns]
    s, a = found.reshape(last.rows, 2, last.columns)[..., : last.outputs].swapaxes(0, 1)
    return np.concatenate([s + a, (s - a)[:, ::-1]], axis=-1)


def _begin_gradient(layout: Layout, outer: NDArray[np.float32], slots: NDArray[np.float32]) -> None:
    """Inverse of `read_output` for gradients; what fills the columns up has none."""
    last: Stage = stage_of.py_func(layout.stages, -1)
    t, b = outer[:, : last.outputs], outer[:, : -last.outputs - 1 : -1]
    place = slots[last.target_slot : last.target_slot + last.rows * 2 * last.columns]
    place[:] = 0.0
    s, a = place.reshape(last.rows, 2, last.columns)[..., : last.outputs].swapaxes(0, 1)
    s[:], a[:] = t + b, t - b


#: Activations of the last batch, kept for the next: fresh memory would come page by page.
_spare: list[NDArray[np.float32]] = []


def _take(size: int) -> NDArray[np.float32]:
    try:
        kept = _spare.pop()
    except IndexError:
        return empty(size)
    if len(kept) >= size:
        return kept
    return empty(size)


def _give(array: NDArray[np.float32]) -> None:
    _spare[:] = [array]


def empty(*shape: int) -> NDArray[np.float32]:
    """An array that begins where a vector may: one across two lines of the cache takes longer."""
    size = math.prod(shape)
    space = np.empty(size + LANES - 1, dtype=np.float32)
    first = -(space.ctypes.data // space.itemsize) % LANES
    return space[first : first + size].reshape(shape)


def zeros(*shape: int) -> NDArray[np.float32]:
    array = empty(*shape)
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
compiled_halve, _join, _forward, _backward = compile_entries(
    _SOURCES, _halve_all, _join_all, _forward_window, _backward_window
)
