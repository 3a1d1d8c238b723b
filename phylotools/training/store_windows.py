"""One store's training and held-out columns, cut into windows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from phylotools.io.regions import Region, RegionSet
from phylotools.model.presets import PAD_TOKEN
from phylotools.store.read import ColumnStore
from phylotools.store.tree_scale import warn_of_scale
from phylotools.store.view import StorePlans
from phylotools.training.any_row import RowChoice
from phylotools.training.batch import Batch, BatchMaker
from phylotools.training.column_weights import ColumnWeights
from phylotools.training.config import TrainingConfig
from phylotools.training.segments import Segment, SegmentReader
from phylotools.training.shuffle import SEGMENTS_PER_BUFFER, ColumnTable, scan
from phylotools.training.windows import Windows, tile


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

    def __init__(
        self,
        store: ColumnStore,
        config: TrainingConfig,
        held_out: RegionSet,
        weights: ColumnWeights,
    ) -> None:
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
            weights,
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
