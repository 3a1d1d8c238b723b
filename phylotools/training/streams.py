"""Batches cut from segments, step by step, for one or more of the parts of every batch.

A step's batch is a pure function of seed and step. Its parts are those of a training run, whoever
computes them: a process reads and cuts its own ones alone, and enters at any step by arithmetic.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from phylotools.training.batch import Batch
from phylotools.training.loader import Loader, Reading, in_background
from phylotools.training.objectives.base import Objective
from phylotools.training.segments import Part, Segment
from phylotools.training.shuffle import EpochOrder, Group
from phylotools.training.store_windows import StoreWindows
from phylotools.training.windows import Windows, regular_phase, tile

#: Epoch of a batch, and its number in it.
Place = tuple[int, int]
_Tiled = tuple[Segment, Windows]
_Picked = list[tuple[Segment, Windows, int]]


class Streams:
    """The batches of all epochs.

    Where the stores fit into memory, a batch's windows are shared out to its parts. Where they do
    not, each part goes through its own segments in its own epochs, which end within a few steps of
    each other.

    Parameters
    ----------
    stores : sequence of StoreWindows
    order : EpochOrder
    loader : Loader
        Of the stores' readers.
    objective : Objective
        It prepares what is cut.
    per_batch, parts : int
        Windows in a batch, and parts that it has.
    seed : int
    """

    def __init__(
        self,
        stores: Sequence[StoreWindows],
        order: EpochOrder,
        loader: Loader,
        objective: Objective,
        per_batch: int,
        parts: int,
        seed: int,
    ) -> None:
        self._stores, self._order, self._loader = stores, order, loader
        self._objective, self._parts, self._seed = objective, parts, seed
        self._per_cut = per_batch if order.is_one_group else per_batch // parts

    def epoch(self, number: int, first_batch: int = 0) -> Generator[Batch]:
        """Batches of one epoch, or the first part's."""

        def make(stopped: threading.Event) -> Generator[Batch]:
            groups = self._order.groups(number, first_batch)
            with self._loader.start(1, stopped) as reading:
                for (batch,) in self._cut_groups(groups, reading, 0, [0], itertools.repeat(True)):
                    yield batch

        return in_background(make)

    def steps(
        self, first_step: int, parts: Sequence[int], any_row_steps: float
    ) -> Generator[list[Batch]]:
        """The batches of some parts, one step after the other, without end.

        The next groups are read while those at hand are used.
        """
        # Whole batches are cut once, whichever of their parts are wanted.
        shares = [list(parts)] if self._order.is_one_group else [[part] for part in parts]

        def make(stopped: threading.Event) -> Generator[list[Batch]]:
            with self._loader.start(len(shares), stopped) as reading:
                found = [
                    self._cut_groups(
                        self._groups_from(first_step, share[0]),
                        reading,
                        number,
                        share,
                        (step < any_row_steps for step in itertools.count(first_step)),
                    )
                    for number, share in enumerate(shares)
                ]
                with contextlib.ExitStack() as stack:
                    for batches in found:
                        stack.enter_context(contextlib.closing(batches))
                    for together in zip(*found, strict=False):
                        yield list(itertools.chain.from_iterable(together))

        return in_background(make)

    def place(self, step: int, part: int) -> Place:
        """Epoch of a step, counted from 0, and the number of its batch in that; nothing is read."""
        for epoch in itertools.count():
            length = self._length(epoch, part)
            if step < length:
                return epoch, step
            step -= length
        raise AssertionError

    def _length(self, epoch: int, part: int) -> int:
        """Batches of an epoch."""
        if not self._order.is_one_group:
            return self._order.length(epoch, part)
        (group,) = self._order.groups(epoch)
        rng = group.generator(self._seed)
        orders = (self._ordered(group, [], number, rng)[1] for number in range(len(self._stores)))
        return sum(
            int(self._order.n_batches(number, len(order))) for number, order in enumerate(orders)
        )

    def _groups_from(self, step: int, part: int) -> Iterator[Group]:
        """The groups of a part, without end, from that of a step on."""
        epoch, first_batch = self.place(step, part)
        yield from self._order.groups(epoch, first_batch, part)
        for later in itertools.count(epoch + 1):
            yield from self._order.groups(later, 0, part)

    def _cut_groups(
        self,
        groups: Iterable[Group],
        reading: Reading,
        number: int,
        parts: Sequence[int],
        any_row: Iterator[bool],
    ) -> Generator[list[Batch]]:
        """The parts of the batches of groups; `any_row` says of each whether it may be other rows.

        Parameters
        ----------
        number : int
            Of the stream of groups, among those that are read together.
        """
        planned = ((group, self._segments_of(group)) for group in groups)
        with contextlib.closing(reading.segments(planned, number)) as found:
            for group, segments in found:
                yield from self._cut(group, segments, parts, any_row)
                del segments  # before the next ones come

    def _segments_of(self, group: Group) -> list[Part]:
        """The parts of stores that a group is read from."""
        parts = []
        for source, row in zip(group.source.tolist(), group.segment.tolist(), strict=True):
            table = self._stores[source].training
            contig, start, end = table.place[row].tolist()
            parts.append(Part(source, contig, start, end, int(table.columns[row])))
        return parts

    def _cut(
        self,
        group: Group,
        segments: list[Segment],
        parts: Sequence[int],
        any_row: Iterator[bool],
    ) -> Iterator[list[Batch]]:
        """The parts of a group's batches."""
        tiled, batches = self._shuffled(group, segments)
        for index in range(group.skipped, len(batches)):
            store, chosen = batches[index]
            picked = _pick(tiled[store], chosen)
            place = group.epoch, group.first_batch + index
            may_be_other = next(any_row)
            yield [self._made(store, picked, place, part, any_row=may_be_other) for part in parts]

    def _made(
        self, store: int, picked: _Picked, place: Place, part: int, *, any_row: bool
    ) -> Batch:
        """A part of a batch, or what was cut as one."""
        source, rows, first = self._stores[store], None, 0
        if self._order.is_one_group:
            # As many in each part but for an epoch's last batches.
            first, last = (len(picked) * edge // self._parts for edge in (part, part + 1))
            picked = picked[first:last]
        if any_row and source.rows.weight:
            rows = source.rows.draw(picked, self._generator(place, 2, part))
        batch = source.maker.make(picked, rows)
        # A whole batch's own: what is drawn of a window does not depend on the number of parts.
        rng = self._generator(place, 3, 0 if self._order.is_one_group else part)
        return self._objective.prepared(batch, rng, first)

    def _generator(self, place: Place, use: int, part: int) -> np.random.Generator:
        """Each batch's own, for each use, and apart from the groups' random numbers."""
        own = () if part == 0 else (part,)
        return np.random.default_rng((self._seed, *place, use, *own))

    def _shuffled(
        self, group: Group, segments: Sequence[Segment]
    ) -> tuple[list[list[_Tiled]], list[tuple[int, NDArray[np.int64]]]]:
        """The tiled segments of each store, and the batches: store, and which of its windows."""
        rng = group.generator(self._seed)
        tiled: list[list[_Tiled]] = []
        batches: list[tuple[int, NDArray[np.int64]]] = []
        for number in range(len(self._stores)):
            own, order = self._ordered(group, segments, number, rng)
            tiled.append(own)
            for index in range(int(self._order.n_batches(number, len(order)))):
                start = index * self._per_cut
                batches.append((number, order[start : start + self._per_cut]))
        return tiled, [batches[index] for index in rng.permutation(len(batches)).tolist()]

    def _ordered(
        self, group: Group, segments: Sequence[Segment], number: int, rng: np.random.Generator
    ) -> tuple[list[_Tiled], NDArray[np.int64]]:
        """The tiled segments of one store, and the order in which their windows are taken."""
        tiled = self._tile(group, segments, number, rng)
        if not self._order.is_one_group:
            return tiled, rng.permutation(sum(len(windows) for _, windows in tiled))
        ((segment, windows),) = tiled
        chosen = self._order.windows_taken(group.epoch, number, segment.runs[windows.run, 0])
        return tiled, chosen[rng.permutation(len(chosen))]

    def _tile(
        self, group: Group, segments: Sequence[Segment], number: int, rng: np.random.Generator
    ) -> list[_Tiled]:
        """The windows of one store in a group."""
        source = self._stores[number]
        if self._order.is_one_group:
            whole = source.resident()
            phases = rng.integers(source.width, size=len(whole.runs))
            return [(whole, tile(whole.runs, phases, source.width))]
        found = []
        for row in np.flatnonzero(group.source == number).tolist():
            segment, phase = segments[row], int(group.phase[row])
            windows = tile(segment.runs, regular_phase(phase, source.width), source.width)
            assert len(windows) == source.training.windows[group.segment[row], phase]
            found.append((segment, windows))
        return found


def _pick(tiled: Sequence[_Tiled], chosen: NDArray[np.int64]) -> _Picked:
    """Windows by their index, which runs through all segments."""
    firsts = np.cumsum([0, *(len(windows) for _, windows in tiled)])
    rows = np.searchsorted(firsts, chosen, side="right") - 1
    places = zip(rows.tolist(), (chosen - firsts[rows]).tolist(), strict=True)
    return [(*tiled[row], index) for row, index in places]
