"""The halved network for inference: its blocks are made once, and nothing is kept of a pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phylotools.compiling import compile_entries
from phylotools.model.halved.frozen_passes import (
    ROWS,
    ROWS_AT_ONCE,
    Room,
    run_phase,
    stage_at,
    write_layer,
)
from phylotools.model.halved.function import empty, read_tokens, token_table
from phylotools.model.halved.layout import LANES, SPARE_ROWS
from phylotools.model.halved.stages import FrozenStage, filled_up, frozen_stages
from phylotools.phylogeny.kernels.cpu import lanes
from phylotools.threads import map_in_threads

if TYPE_CHECKING:
    from phylotools.model.network import ByteNet

#: Bytes of weights beyond which they do not stay in a core's cache from window to window.
_MANY_WEIGHTS = 1 << 20
#: Bytes of the residual stream of windows that go through the network together. With many weights,
#: so that each block's come from memory once for all of them; else no more than stay in a core's
#: cache, so that small windows do not wait for Python.
_GROUP_BYTES = {True: 8 << 20, False: 1 << 18}
#: Least operations of a window for its rows to be shared out over threads, which meet after every
#: stage.
_LONG_WINDOW = 4e9


class _Window(NamedTuple):
    """Row of the batch, positions that are wanted of it, and the tokens that they read."""

    row: int
    start: int
    end: int
    tokens: NDArray[np.int64]


class FrozenHalves:
    """The halves of a network's weights, for any number of passes.

    With norms of single positions the numbers of a position are the same bits whatever window,
    batch or thread they are computed in: every sum runs over its terms in one order, and no row
    knows of another but through them.

    Parameters
    ----------
    network : ByteNet
        On the CPU, in float32; later changes of it are not seen.
    """

    def __init__(self, network: ByteNet) -> None:
        self._spec = network.spec
        self._over_positions = network.spec.norm == "group"
        self._stages, self._weights = frozen_stages(network)
        self._half = filled_up(network.spec.channels // 2)
        self._narrow = max(LANES, filled_up(network.spec.bottleneck // 2))
        table = token_table(network).detach().numpy().reshape(-1, 2, network.spec.channels // 2)
        self._table = np.zeros((len(table), 2, self._half), dtype=np.float32)
        self._table[:, :, : table.shape[2]] = table

    def theta(self, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Theta of every position, or of those that are wanted: see `ByteNet.forward`."""
        reach = self._spec.receptive_field - 1
        theta = np.zeros((len(tokens), tokens.shape[1] - reach, 4), dtype=np.float32)

        def read(window: _Window, room: Room, first: int) -> None:
            rows = window.end - window.start
            found = room.y[first * 2 * LANES : (first + rows) * 2 * LANES]
            s, a = found.reshape(rows, 2, LANES)[..., :2].swapaxes(0, 1)
            theta[window.row, window.start : window.end, :2] = s + a
            theta[window.row, window.start : window.end, 2:] = (s - a)[:, ::-1]

        self._run(self._windows(tokens, wanted, reach), len(self._stages), read)
        return torch.from_numpy(theta)

    def hidden(
        self, tokens: Tensor, n_blocks: int, is_normed: bool, wanted: Tensor | None = None
    ) -> Tensor:
        """Values of a layer at every position, or at those wanted: see `ByteNet.hidden`."""
        n_stages, half = 3 * n_blocks, self._spec.channels // 2
        n_positions = tokens.shape[1] - self._spec.receptive_field + 1
        values = np.zeros((len(tokens), n_positions, 2, half), dtype=np.float32)
        own_reach = FrozenStage(*self._stages[n_stages]).lost

        def read(window: _Window, room: Room, first: int) -> None:
            rows = len(window.tokens) - own_reach
            found = np.empty((rows, 2, self._half), dtype=np.float32)
            _write_layer(
                self._stages, own_reach, first, is_normed, self._over_positions, self._weights,
                room, found.reshape(-1),
            )  # fmt: skip
            excess = (rows - (window.end - window.start)) // 2
            own = found[excess : rows - excess, :, :half]
            values[window.row, window.start : window.end] = own

        self._run(self._windows(tokens, wanted, own_reach), n_stages, read)
        upper, lower = torch.from_numpy(values).unbind(2)
        return torch.cat([upper, lower.flip(2)], dim=2)

    def _windows(self, tokens: Tensor, wanted: Tensor | None, own_reach: int) -> list[_Window]:
        """Those of which anything is wanted, with what stages of such a reach must read."""
        rows, reach = read_tokens(tokens), self._spec.receptive_field - 1
        crop, length = (reach - own_reach) // 2, rows.shape[1] - reach
        found = []
        spans = [[0, length]] * len(rows) if wanted is None else wanted.tolist()
        for row, (start, end) in enumerate(spans):
            if start >= end:
                continue
            if self._over_positions:
                # What a norm is taken over must not depend on what is asked for.
                found.append(_Window(row, 0, length, rows[row]))
            else:
                own = rows[row, start + crop : end + crop + own_reach]
                found.append(_Window(row, start, end, own))
        return found

    def _run(
        self, windows: list[_Window], n_stages: int, read: Callable[[_Window, Room, int], None]
    ) -> None:
        """Take windows through the first stages; `read` is given each and where its rows begin."""
        threads = torch.get_num_threads()
        phases = 1 + 2 * n_stages
        n_alone = 0
        if threads > 1:
            # Windows that would leave threads without work have their rows shared out.
            n_alone = len(windows) % threads if self._is_long(windows) else 0
        together, alone = windows[: len(windows) - n_alone], windows[len(windows) - n_alone :]
        shares = max(1, min(threads, len(together)))

        def share(number: int) -> None:
            for group in self._groups(together[number::shares]):
                self._pass(group, phases, 1, read)

        map_in_threads(share, range(shares), shares)
        for window in alone:
            self._pass([window], phases, threads, read)

    def _is_long(self, windows: list[_Window]) -> bool:
        most = max((len(window.tokens) for window in windows), default=0)
        return 2 * most * len(self._weights) > _LONG_WINDOW

    def _groups(self, windows: list[_Window]) -> Iterator[list[_Window]]:
        """Windows that go through the network together."""
        group: list[_Window] = []
        size, most = 0, _GROUP_BYTES[self._weights.nbytes > _MANY_WEIGHTS]
        for window in windows:
            own = len(window.tokens) * 2 * self._half * 4
            if group and size + own > most:
                yield group
                group, size = [], 0
            group.append(window)
            size += own
        if group:
            yield group

    def _pass(
        self,
        group: list[_Window],
        phases: int,
        parts: int,
        read: Callable[[_Window, Room, int], None],
    ) -> None:
        """Take a group through all phases, its rows in so many parts at once."""
        lengths = np.array([len(window.tokens) for window in group])
        firsts = np.concatenate([[0], np.cumsum(lengths + SPARE_ROWS)])
        table = np.stack([np.cumsum(lengths) - lengths, lengths, firsts[:-1]], axis=1)
        tokens = np.concatenate([window.tokens for window in group])
        rooms = self._rooms(firsts[-1], int(lengths.max()), parts)
        whole = self._over_positions

        def run(phase: int, end: int, part: int) -> None:
            _run_phases(
                phase, end, part, parts, whole, self._stages, self._weights,
                self._table.reshape(-1), tokens, table, rooms[part],
            )  # fmt: skip

        if parts == 1:
            run(0, phases, 0)
        for phase in range(phases if parts > 1 else 0):
            if whole or phase % 2 == 0:
                map_in_threads(partial(run, phase, phase + 1), range(parts), parts)
        for window, first in zip(group, firsts, strict=False):
            read(window, rooms[0], int(first))

    def _rooms(self, rows: int, longest: int, parts: int) -> list[Room]:
        """One for every part, alike but for what is a thread's own."""
        shared = (
            empty(rows * 2 * self._half),
            empty(rows * 2 * self._narrow),
            empty(rows * 2 * self._narrow),
            empty(rows if self._over_positions else 0, 2),
        )
        hidden = max(ROWS * self._half, (longest + SPARE_ROWS) * self._narrow) * 2
        return [
            Room(*shared, empty(hidden), empty(ROWS * 2 * self._narrow), empty(ROWS_AT_ONCE, 2))
            for _ in range(parts)
        ]


def _run_phases(  # type: ignore[no-untyped-def]
    first, end, part, parts, over_positions, stages, weights, table, tokens, windows, room
):
    for phase in range(first, end):
        run_phase(phase, part, parts, over_positions, stages, weights, table, tokens, windows, room)


def _write_layer(  # type: ignore[no-untyped-def]
    stages, lost, first, is_normed, over_positions, weights, room, values
):
    last = stage_at(stages, len(stages) - 1)
    write_layer(last, lost, first, is_normed, over_positions, weights, room, values)


_SOURCES = [*Path(__file__).parent.glob("*.py"), *Path(lanes.__file__).parent.glob("*.py")]
_run_phases, _write_layer = compile_entries(_SOURCES, _run_phases, _write_layer)
