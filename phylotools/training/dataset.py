"""The stores of a configuration: training and held-out columns in batches that a seed decides."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import itertools
import logging
import math
import operator
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence

import numpy as np

from phylotools.errors import InputError
from phylotools.io.regions import Region, RegionSet
from phylotools.model.presets import PAD_TOKEN
from phylotools.store.read import ColumnStore
from phylotools.store.tree_scale import warn_of_scale
from phylotools.store.view import StorePlans
from phylotools.training.any_row import RowChoice
from phylotools.training.batch import Batch, BatchMaker
from phylotools.training.config import DataConfig, TrainingConfig
from phylotools.training.held_out_draw import held_out_columns
from phylotools.training.loader import Loader, in_background
from phylotools.training.segments import Part, Segment, SegmentReader
from phylotools.training.shuffle import (
    SEGMENTS_PER_BUFFER,
    ColumnTable,
    EpochOrder,
    Group,
    scan,
)
from phylotools.training.trees import open_training_stores
from phylotools.training.windows import Windows, regular_phase, tile

logger = logging.getLogger("phylotools")

#: Epoch of a batch, and its number in it.
Place = tuple[int, int]
_Tiled = tuple[Segment, Windows]


class StoreWindows:
    """One store's training and held-out columns, cut into windows.

    Attributes
    ----------
    store : ColumnStore
    plans : StorePlans
        Of its trees, with the shortest branches lengthened.
    tree : Tree
    plan : PruningPlan
        The store's own of them.
    training, held_out : ColumnTable
    held_out_species : int64 array
        Indices of the species that the loss does not see.
    rows : RowChoice
        Which species' sequence a training window is.
    """

    def __init__(self, store: ColumnStore, config: TrainingConfig, held_out: RegionSet) -> None:
        data = config.data
        self.store = store
        warn_of_scale(self.store)
        self.plans = StorePlans(self.store, data.minimum_branch_length)
        self.tree, self.plan = self.plans.tree, self.plans.own
        self.held_out_species = _held_out_species(self.store, config)
        self.width = config.optimiser.window_length
        half_window = config.model_spec().receptive_field // 2
        self.maker = BatchMaker(
            self.width,
            half_window,
            data.soft_mask_weight,
            self.held_out_species,
            self.plans,
            len(self.store.species),
        )
        others = np.delete(np.arange(len(self.store.species)), self.store.reference_index)
        self.rows = RowChoice(data.any_row_weight, np.setdiff1d(others, self.held_out_species))
        self.reader = SegmentReader(
            self.store,
            data.minimum_species,
            data.soft_mask_weight,
            held_out,
            self.width + half_window,
            PAD_TOKEN,
        )
        n_species = len(self.store.species)
        segment_bytes = data.buffer // 2 // SEGMENTS_PER_BUFFER
        self.training, self.held_out = scan(
            self.reader,
            self.width,
            max(segment_bytes // n_species, self.store.chunk_length),
            data.buffer // n_species,
        )
        self._resident: dict[bool, Segment] = {}

    def table(self, held_out: bool) -> ColumnTable:
        """The training or the held-out columns."""
        return self.held_out if held_out else self.training

    def regions(self, *, held_out: bool = False) -> Iterator[Region]:
        """The training or held-out columns, in order, as intervals as long as possible."""
        contigs = self.reader.contigs
        own = self.table(held_out)
        parts = (own.runs,) if own.runs is not None else self._runs_of(own, held_out)
        last = None
        for contig, start, end in itertools.chain.from_iterable(part.tolist() for part in parts):
            if last is not None and (last.contig, last.end) == (contigs[contig], start):
                start = last.start
            elif last is not None:
                yield last
            last = Region(contigs[contig], start, end)
        if last is not None:
            yield last

    def _runs_of(self, table: ColumnTable, held_out: bool) -> Iterator[np.ndarray]:
        for place in table.place.tolist():
            yield self.reader.runs(*place)[held_out]

    def resident(self, held_out: bool = False) -> Segment:
        """All columns of a table that fits into memory, where they stay."""
        runs = self.table(held_out).runs
        assert runs is not None
        if held_out not in self._resident:
            self._resident[held_out] = self.reader.load(runs)
        return self._resident[held_out]

    def sample(
        self, limit: int, seed: int, per_batch: int, *, held_out: bool = False
    ) -> Iterator[Batch]:
        """Batches of about `limit` training or held-out columns that the seed decides."""
        rng = np.random.default_rng(seed)
        in_memory = self.table(held_out).runs is not None
        windows = (self._sample_memory if in_memory else self._sample_store)(rng, limit, held_out)
        columns = 0
        while columns < limit and (picked := list(itertools.islice(windows, per_batch))):
            batch = self.maker.make(picked)
            columns += len(batch.site)
            yield batch

    def _sample_memory(
        self, rng: np.random.Generator, limit: int, held_out: bool
    ) -> Iterator[tuple[Segment, Windows, int]]:
        segment = self.resident(held_out)
        windows = tile(segment.runs, 0, self.width)
        for index in rng.permutation(len(windows)).tolist():
            yield segment, windows, index

    def _sample_store(
        self, rng: np.random.Generator, limit: int, held_out: bool
    ) -> Iterator[tuple[Segment, Windows, int]]:
        """Windows at random, each read by itself: at most `limit`, for each has a column."""
        table = self.table(held_out)
        ends = np.cumsum(table.windows[:, 0])
        for rank in rng.choice(ends[-1], size=min(limit, int(ends[-1])), replace=False).tolist():
            row = int(np.searchsorted(ends, rank, side="right"))
            runs = self.reader.runs(*table.place[row].tolist())[held_out]
            windows = tile(runs, 0, self.width)
            index = rank - int(ends[row]) + len(windows)
            here = runs[int(windows.run[index]) :].copy()
            start = int(windows.start[index])
            here[:, 1:] = here[:, 1:].clip(start, start + self.width)
            segment = self.reader.load(here[here[:, 1] < here[:, 2]])
            yield segment, tile(segment.runs, 0, self.width), 0


class TrainingData:
    """Every store of a configuration.

    Raises
    ------
    InputError
        If no column is left to train on, or something held out does not exist.
    """

    def __init__(self, config: TrainingConfig) -> None:
        stores = open_training_stores(config)
        held_out = held_out_columns(config, stores)
        #: What is held out of any store, by the stores' names of contigs.
        self.held_out = functools.reduce(
            operator.or_, (held_out.within(store.contigs) for store in stores), RegionSet({})
        )
        self.stores = [
            StoreWindows(store, config, held_out.within(store.contigs)) for store in stores
        ]
        self._per_batch = config.optimiser.windows_per_batch
        self._seed = config.run.seed
        self._n_parts = config.optimiser.parts or 1
        if config.data.names_columns:
            held_out.check([(source.store.contigs, source.reader.covers) for source in self.stores])
        _check_held_out_species(self.stores, config.data)
        for source in self.stores:
            if not source.training.n_columns:
                raise InputError(
                    "no column is left to train on",
                    path=source.store.path,
                    remedy="hold out less, or lower data.minimum_species",
                )
        if config.data.drawn_fraction and not any(s.held_out.n_columns for s in self.stores):
            logger.warning("too few columns to hold any out: the last weights will be kept")
        self._share_buffer(config.data.buffer)
        self._order = EpochOrder(
            [source.training for source in self.stores],
            [len(source.store.species) for source in self.stores],
            config.data.weights,
            self._per_batch,
            config.data.buffer // 2,
            self._seed,
        )
        self._loader = Loader(
            [source.reader for source in self.stores],
            config.data.workers or 0,
            self._order.largest_group,
        )
        logger.info(
            "stores: %d; training columns: %d; held out: %d columns, %d species",
            len(self.stores),
            sum(source.training.n_columns for source in self.stores),
            sum(source.held_out.n_columns for source in self.stores),
            sum(len(source.held_out_species) for source in self.stores),
        )

    def _share_buffer(self, buffer: int) -> None:
        """Hold in memory what fits for all stores together."""
        for name in ("training", "held_out"):
            tables = [getattr(source, name) for source in self.stores]
            sizes = [
                table.n_columns * len(source.store.species)
                for source, table in zip(self.stores, tables, strict=True)
            ]
            if sum(sizes) > buffer:
                for source, table in zip(self.stores, tables, strict=True):
                    setattr(source, name, dataclasses.replace(table, runs=None))

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch; single epochs have a few more or less."""
        return self._order.usual_batches

    def epoch(self, number: int, first_batch: int = 0) -> Iterator[Batch]:
        """Batches of one pass over the training columns, in an order the seed decides.

        Parameters
        ----------
        number : int
            Each epoch has its own random state: any epoch can be entered without its forerunners.
        first_batch : int
            Batches to leave out, when a run resumes within an epoch; they are not read.
        """
        with contextlib.closing(self._batches(self._order.groups(number, first_batch))) as found:
            for _, (batch,) in found:
                yield batch

    def in_parts(self, parts: int) -> TrainingData:
        """The same data, whose batches come in so many parts."""
        other = copy.copy(self)
        other._n_parts = parts
        return other

    def stream(
        self,
        epoch: int,
        first_batch: int = 0,
        parts: Sequence[int] | None = None,
        *,
        any_row_batches: float = math.inf,
    ) -> Generator[tuple[Place, list[Batch]]]:
        """The batches of one epoch after the other, without end, from one batch on.

        The next epoch is read while one ends.

        Parameters
        ----------
        parts : sequence of int, optional
            Those of the ``optimiser.parts`` parts of each batch that are wanted; the whole batch
            unless given.
        any_row_batches : int
            So many of them may be read through any species; the others are the reference's.
        """
        first = self._order.groups(epoch, first_batch)
        later = (self._order.groups(number) for number in itertools.count(epoch + 1))
        groups = itertools.chain(first, itertools.chain.from_iterable(later))
        return self._batches(groups, any_row_batches, parts)

    def _batches(
        self,
        groups: Iterable[Group],
        any_row_batches: float = math.inf,
        parts: Sequence[int] | None = None,
    ) -> Generator[tuple[Place, list[Batch]]]:
        def make(stopped: threading.Event) -> Generator[tuple[Place, list[Batch]]]:
            planned = ((group, self._parts(group)) for group in groups)
            numbers = itertools.count()
            with contextlib.closing(self._loader.read(planned, stopped)) as found:
                for group, segments in found:
                    yield from self._cut(group, segments, numbers, any_row_batches, parts)
                    del segments  # before the next ones come

        return in_background(make)

    def _parts(self, group: Group) -> list[Part]:
        """The parts of stores that a group is read from."""
        parts = []
        for source, row in zip(group.source.tolist(), group.segment.tolist(), strict=True):
            table = self.stores[source].training
            contig, start, end = table.place[row].tolist()
            parts.append(Part(source, contig, start, end, int(table.columns[row])))
        return parts

    def _cut(
        self,
        group: Group,
        segments: list[Segment],
        numbers: Iterator[int],
        any_row_batches: float,
        parts: Sequence[int] | None,
    ) -> Iterator[tuple[Place, list[Batch]]]:
        """Shuffle the windows of a group, and the batches cut from them."""
        rng = group.generator(self._seed)
        batches: list[tuple[int, np.ndarray]] = []
        tiled: list[list[_Tiled]] = []
        for number in range(len(self.stores)):
            tiled.append(self._tile(group, segments, number, rng))
            n_windows = sum(len(windows) for _, windows in tiled[-1])
            order = rng.permutation(n_windows)
            for index in range(int(self._order.n_batches(number, n_windows))):
                start = index * self._per_batch
                batches.append((number, order[start : start + self._per_batch]))
        shuffled = rng.permutation(len(batches))
        for index in range(group.skipped, len(batches)):
            number, chosen = batches[shuffled[index]]
            picked = _pick(tiled[number], chosen)
            place = group.epoch, group.first_batch + index
            source, rows = self.stores[number], None
            if next(numbers) < any_row_batches and source.rows.weight:
                # Each batch's own, and apart from the groups' random numbers.
                rows = source.rows.draw(picked, np.random.default_rng((self._seed, *place, 2)))
            shares = [slice(None)] if parts is None else self._shares(len(picked), parts)
            yield (
                place,
                [
                    source.maker.make(picked[share], None if rows is None else rows[share])
                    for share in shares
                ],
            )

    def _shares(self, n_windows: int, parts: Sequence[int]) -> list[slice]:
        """The windows of each part of a batch."""
        n = self._n_parts
        return [slice(n_windows * part // n, n_windows * (part + 1) // n) for part in parts]

    def _tile(
        self, group: Group, segments: Sequence[Segment], number: int, rng: np.random.Generator
    ) -> list[_Tiled]:
        """The windows of one store in a group."""
        source = self.stores[number]
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

    def evaluation(self, held_out: bool, limit: int) -> Iterator[Batch]:
        """A fixed sample of about `limit` training or held-out columns, the same at every call."""
        share = max(limit // len(self.stores), 1)
        for source in self.stores:
            if source.table(held_out).n_columns:
                yield from source.sample(share, self._seed, self._per_batch, held_out=held_out)


def _pick(tiled: Sequence[_Tiled], chosen: np.ndarray) -> list[tuple[Segment, Windows, int]]:
    """Windows by their index, which runs through all segments."""
    firsts = np.cumsum([0, *(len(windows) for _, windows in tiled)])
    rows = np.searchsorted(firsts, chosen, side="right") - 1
    places = zip(rows.tolist(), (chosen - firsts[rows]).tolist(), strict=True)
    return [(*tiled[row], index) for row, index in places]


def _held_out_species(store: ColumnStore, config: TrainingConfig) -> np.ndarray:
    """Indices of the species that the loss does not see; never the reference's."""
    named = [
        index
        for index, species in enumerate(store.species)
        if species in config.data.held_out_species
    ]
    others = [i for i in range(len(store.species)) if i != store.reference_index and i not in named]
    # Its own stream: the draw must not change with the number of epochs or stores.
    rng = np.random.default_rng((config.run.seed, len(store.species)))
    drawn = rng.choice(
        others, size=round(config.data.held_out_species_fraction * len(others)), replace=False
    )
    return np.sort(np.concatenate([np.array(named, dtype=np.int64), drawn.astype(np.int64)]))


def _check_held_out_species(stores: list[StoreWindows], data: DataConfig) -> None:
    species = {name for source in stores for name in source.store.species}
    for name in data.held_out_species:
        if name not in species:
            raise InputError(f"data.held_out_species: no store has a species '{name}'")
        if any(name == source.store.reference_species for source in stores):
            raise InputError(f"data.held_out_species: '{name}' is the reference; keep it")
