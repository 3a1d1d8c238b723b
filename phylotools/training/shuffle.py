"""Tables of the columns of stores, and the order in which an epoch reads them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.threads import map_in_threads
from phylotools.training.column_weights import taken
from phylotools.training.segments import SegmentReader
from phylotools.training.windows import (
    N_PHASES,
    count_windows,
    join_touching,
    n_columns,
    regular_phase,
)

#: Segments that share a buffer: so many places of the genome meet in its batches.
SEGMENTS_PER_BUFFER = 64
#: Segments scanned between two looks at how much there is.
_SCANNED = 256

_NO_RUNS = np.empty((0, 3), dtype=np.int64)


@dataclass(frozen=True)
class ColumnTable:
    """The training or the held-out columns of one store: where they lie, not what they are.

    Attributes
    ----------
    place : int64 array [G, 3]
        Contig, start and end of every segment that has such columns.
    columns : int64 array [G]
    windows : int32 array [G, P]
        Number of windows of a segment in each of its phases.
    runs : int64 array [K, 3] or None
        All columns, of a store that is held in memory as one; see `windows`.
    """

    place: NDArray[np.int64]
    columns: NDArray[np.int64]
    windows: NDArray[np.int32]
    runs: NDArray[np.int64] | None

    @property
    def n_columns(self) -> int:
        """Columns in all segments."""
        return int(self.columns.sum())


def scan(
    reader: SegmentReader, width: int, segment_columns: int, most_columns: int
) -> tuple[ColumnTable, ColumnTable]:
    """Count training and held-out columns of a store, segment by segment.

    Only the number of species at each position is read, not the species.

    Parameters
    ----------
    reader : SegmentReader
    width : int
        Length of a window.
    segment_columns : int
        About so many columns in a segment.
    most_columns : int
        The tables of no more columns than these come with their runs.
    """
    parts = reader.segments(segment_columns)
    makers = (_TableMaker(width, N_PHASES, most_columns), _TableMaker(width, 1, most_columns))
    while block := list(itertools.islice(parts, _SCANNED)):
        found: list[tuple[NDArray[np.int64], ...]] = [(_NO_RUNS, _NO_RUNS)] * len(block)

        def read(
            index: int,
            block: list[tuple[int, int, int]] = block,
            found: list[tuple[NDArray[np.int64], ...]] = found,
        ) -> None:
            found[index] = reader.runs(*block[index])

        map_in_threads(read, range(len(block)))
        for place, kinds in zip(block, found, strict=True):
            for maker, runs in zip(makers, kinds, strict=True):
                maker.add(place, runs)
    training, held_out = (maker.table() for maker in makers)
    return training, held_out


class _TableMaker:
    """A `ColumnTable` from the runs of one segment after the other."""

    def __init__(self, width: int, n_phases: int, most_columns: int) -> None:
        self._width = width
        self._phases = [regular_phase(number, width) for number in range(n_phases)]
        self._most = most_columns
        self._places: list[tuple[int, int, int]] = []
        self._columns: list[int] = []
        self._windows: list[list[int]] = []
        self._runs: list[NDArray[np.int64]] = []
        self._total = 0

    def add(self, place: tuple[int, int, int], runs: NDArray[np.int64]) -> None:
        if not len(runs):
            return
        self._places.append(place)
        self._columns.append(n_columns(runs))
        self._windows.append(
            [count_windows(runs, np.full(len(runs), phase), self._width) for phase in self._phases]
        )
        self._total += self._columns[-1]
        if self._total <= self._most:
            self._runs.append(runs)
        else:
            self._runs.clear()

    def table(self) -> ColumnTable:
        runs = join_touching(np.concatenate([_NO_RUNS, *self._runs]))
        return ColumnTable(
            np.array(self._places, dtype=np.int64).reshape(-1, 3),
            np.array(self._columns, dtype=np.int64),
            np.array(self._windows, dtype=np.int32).reshape(-1, len(self._phases)),
            runs if self._total <= self._most else None,
        )


@dataclass(frozen=True)
class Group:
    """Segments whose windows are shuffled together.

    Attributes
    ----------
    epoch, number : int
        The number is the group's within the epoch.
    source : int array [G]
        The store of each segment, rising; empty if all stores are held in memory.
    segment : int array [G]
        Its row in the store's `ColumnTable`.
    phase : int array [G]
        Which of the `N_PHASES` phases it is cut with.
    first_batch : int
        Batches of the epoch before this group.
    skipped : int
        Batches of this group to leave out.
    part : int or None
        Of several, the part of every batch that is cut from it; None if whole batches are.
    """

    epoch: int
    number: int
    source: NDArray[np.int64]
    segment: NDArray[np.int64]
    phase: NDArray[np.int64]
    first_batch: int = 0
    skipped: int = 0
    part: int | None = None

    def generator(self, seed: int) -> np.random.Generator:
        """Random generator of the group's shuffle; of an epoch's first group by (seed, epoch)."""
        if self.part is not None:
            return np.random.default_rng((seed, self.epoch, self.number, _OF_PART + self.part))
        place = (self.epoch, self.number) if self.number else (self.epoch,)
        return np.random.default_rng((seed, *place))


_NONE = np.empty(0, dtype=np.int64)
#: Of a sum of weights that should be whole.
_ROUNDING = 1e-6
#: The last of the four numbers that a part's generators begin with; lower ones have other uses.
_OF_PART = 16


class EpochOrder:
    """The groups of every epoch, by arithmetic alone.

    Every batch has so many parts. Where all stores are held in memory, the windows of a whole batch
    are shared out. Else the segments of an epoch are dealt to the parts, each of which has its own
    groups, cut into its own share of the windows of a batch: it never needs another's segments.

    Parameters
    ----------
    tables : sequence of ColumnTable
        The training columns of each store; either all of them have runs or none.
    n_species : sequence of int
        Of each store: bytes of a column.
    contig_weights : sequence of float64 array
        Of each store: how often an epoch takes the windows of each contig.
    weights : sequence of float
        Of each store: the share of its batches that an epoch takes.
    per_batch : int
        Windows in a batch.
    group_bytes : int
        Of the columns of the groups of all parts, unless a single segment has more.
    seed : int
    parts : int
        A divisor of `per_batch`.

    Raises
    ------
    InputError
        If there are fewer segments than parts, or contigs weigh so little that nothing is left.
    """

    def __init__(
        self,
        tables: Sequence[ColumnTable],
        n_species: Sequence[int],
        contig_weights: Sequence[NDArray[np.float64]],
        weights: Sequence[float],
        per_batch: int,
        group_bytes: int,
        seed: int,
        parts: int = 1,
    ) -> None:
        self.is_one_group = all(table.runs is not None for table in tables)
        # Of what is cut from one group: whole batches, or a part of each.
        self._parts = 1 if self.is_one_group else parts
        self._per_batch = per_batch // self._parts
        self._group_bytes = group_bytes // self._parts
        self._seed = seed
        self._weights = np.array(weights)
        sizes = [len(table.columns) for table in tables]
        self._source = np.repeat(np.arange(len(tables)), sizes)
        self._segment = np.concatenate([np.arange(size) for size in sizes])
        self._windows = np.concatenate([table.windows for table in tables])
        self._bytes = np.concatenate(
            [table.columns * n for table, n in zip(tables, n_species, strict=True)]
        )
        self._contig_weights = contig_weights
        self._contig = np.concatenate([table.place[:, 0] for table in tables])
        self._contig += np.repeat(np.cumsum([0, *map(len, contig_weights[:-1])]), sizes)
        self._contig_weight = np.concatenate([*contig_weights])[self._contig]
        self._is_weighted = bool((self._contig_weight != 1).any())
        self._refuse_too_little(parts)

    def _refuse_too_little(self, parts: int) -> None:
        """Raise `InputError` where an epoch would be without windows, or one of its parts."""
        counted = self._windows.mean(axis=1) if self.is_one_group else np.ones(len(self._source))
        least = int((counted * self._contig_weight).sum() + _ROUNDING)
        what = "windows" if self.is_one_group else "segments of columns"
        if not least:
            raise InputError(
                f"an epoch has less than one of the {what}, by data.contig_weights",
                remedy="raise the weights, or give data.buffer_bytes as much as all columns take",
            )
        if least < self._parts:
            raise InputError(
                f"an epoch has {least} segments of columns for {parts} optimiser.parts",
                remedy="lower optimiser.parts, or raise data.buffer_bytes to hold them in memory",
            )

    @property
    def largest_group(self) -> int:
        """No group has more bytes of columns."""
        return max(self._group_bytes, int(self._bytes.max(initial=0)))

    @property
    def usual_steps(self) -> int:
        """Batches of an epoch, by the mean over the phases that cut its windows."""
        windows = self._windows.mean(axis=1) * self._contig_weight
        return -(-self._count(self._source, windows) // self._parts)

    def windows_taken(self, epoch: int, store: int, contig: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of a store's windows an epoch takes, where all stores are held in memory.

        Parameters
        ----------
        contig : int64 array [N]
            Of each window.

        Returns
        -------
        int64 array
            Indices of windows; some may be there more than once, or not.
        """
        if not self._is_weighted:
            return np.arange(len(contig))
        rng = np.random.default_rng((self._seed, epoch, store, 4))
        return taken(self._contig_weights[store][contig], contig, rng)

    def groups(self, epoch: int, first_batch: int = 0, part: int = 0) -> Iterator[Group]:
        """The groups of an epoch, without those whose batches all lie before one."""
        if self.is_one_group:
            yield Group(epoch, 0, _NONE, _NONE, _NONE, 0, first_batch)
            return
        for group, n_batches in self._groups(epoch, part):
            skipped = max(first_batch - group.first_batch, 0)
            if skipped < n_batches:
                yield dataclasses.replace(group, skipped=skipped)

    def length(self, epoch: int, part: int = 0) -> int:
        """Batches of an epoch, where not all stores are held in memory."""
        return sum(n_batches for _, n_batches in self._groups(epoch, part))

    def _groups(self, epoch: int, part: int) -> Iterator[tuple[Group, int]]:
        """Each group of an epoch with its number of batches."""
        entries = np.arange(len(self._source))
        if self._is_weighted:
            weighing = np.random.default_rng((self._seed, epoch, 0, 4))
            entries = taken(self._contig_weight, self._contig, weighing)
        # Apart from the groups' own random numbers.
        rng = np.random.default_rng((self._seed, epoch, 0, 1))
        order = rng.permutation(len(entries))
        phases = rng.integers(N_PHASES, size=len(order))
        begin, stop = (len(order) * number // self._parts for number in (part, part + 1))
        order = order[begin:stop]
        ends = np.cumsum(self._bytes[entries[order]])
        first = before = number = 0
        while first < len(order):
            limit = (ends[first - 1] if first else 0) + self._group_bytes
            last = max(int(np.searchsorted(ends, limit, side="right")), first + 1)
            # By store, and in the order of its columns.
            chosen = np.sort(order[first:last])
            phase, chosen = phases[chosen], entries[chosen]
            n_batches = self._count(self._source[chosen], self._windows[chosen, phase])
            group = Group(
                epoch,
                number,
                self._source[chosen],
                self._segment[chosen],
                phase,
                before,
                part=part if self._parts > 1 else None,
            )
            yield group, n_batches
            before += n_batches
            first, number = last, number + 1

    def n_batches(
        self, store: int | NDArray[np.int64], windows: int | NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Batches that are taken of so many windows of a store, or of each of several."""
        whole = np.ceil(np.asarray(windows) / self._per_batch)
        return np.ceil(whole * self._weights[store]).astype(np.int64)

    def _count(
        self, source: NDArray[np.int64], windows: NDArray[np.int32] | NDArray[np.float64]
    ) -> int:
        totals = np.bincount(source, windows, minlength=len(self._weights))
        return int(self.n_batches(np.arange(len(totals)), totals).sum())
