"""Windows of sequence with the alignment columns that lie in them, sampled with a seed."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from phylotools.errors import InputError
from phylotools.io.regions import Region
from phylotools.model.presets import PAD_TOKEN
from phylotools.phylogeny.likelihood import PruningPlan, make_plan
from phylotools.phylogeny.tree import Tree
from phylotools.store import schema
from phylotools.store.read import ColumnStore, open_store
from phylotools.training.config import DataConfig, TrainingConfig
from phylotools.training.held_out import HeldOutColumns, RegionIndex, subtract

logger = logging.getLogger("phylotools")

#: The columns of a store stay in memory if they are together smaller than this.
_CACHE_BYTES = 1 << 30


@dataclass(frozen=True)
class Batch:
    """Windows of one store and their columns.

    Attributes
    ----------
    tokens : Tensor of int64, shape (B, W + receptive_field - 1)
    site : Tensor of int64, shape (C,)
        Index of each column's position among the B * W predicted ones.
    states : Tensor of uint8, shape (C, S)
        0..3, anything else missing; held-out species are missing.
    held_out_states : Tensor of uint8, shape (C, S)
        The same columns with nothing held out.
    reference : Tensor of uint8, shape (C,)
    weight : Tensor of float32, shape (C,)
    plan : PruningPlan
    """

    tokens: Tensor
    site: Tensor
    states: Tensor
    held_out_states: Tensor
    reference: Tensor
    weight: Tensor
    plan: PruningPlan

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        names = ("tokens", "site", "states", "held_out_states", "reference", "weight")
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in names}
        return dataclasses.replace(self, **moved)


class StoreWindows:
    """One store's training and held-out columns, cut into windows.

    Parameters
    ----------
    path : Path
    config : TrainingConfig
    """

    def __init__(self, path: Path, config: TrainingConfig) -> None:
        self.store: ColumnStore = open_store(path)
        self.tree: Tree = self.store.tree.with_minimum_branch_length(
            config.data.minimum_branch_length
        )
        self.plan = make_plan(self.tree)
        self._data = config.data
        self._half = config.model_spec().receptive_field // 2
        self._width = config.optimiser.window_length
        covered = self.store.covered_regions(min_species=config.data.minimum_species)
        held_out = HeldOutColumns.read(config).within(self.store.contigs)
        self.training = subtract(covered, held_out)
        self.held_out = subtract(covered, self.training)
        self._parts = {False: RegionIndex(self.training), True: RegionIndex(self.held_out)}
        self.held_out_species = _held_out_species(self.store, config)
        self.covered = RegionIndex(covered)
        size = sum(len(region) for region in covered) * len(self.store.species)
        self._cache: dict[Region, np.ndarray] | None = {} if size <= _CACHE_BYTES else None

    def windows(self, regions: list[Region], rng: np.random.Generator | None) -> list[Region]:
        """Tile regions with windows of one length; every position falls into exactly one.

        Parameters
        ----------
        regions : list of Region
            Sorted by position within each contig.
        rng : Generator or None
            Moves each region's first window by a random phase, so that a position meets other
            neighbours in every epoch.
        """
        windows = []
        contig, reached = None, 0
        for region in regions:
            if region.contig != contig:
                contig, reached = region.contig, -self._width
            phase = 0 if rng is None else int(rng.integers(self._width))
            first = max(reached, region.start - phase)
            for start in range(first, region.end, self._width):
                windows.append(Region(region.contig, start, start + self._width))
                reached = start + self._width
        return windows

    def batch(self, windows: list[Region], *, held_out: bool = False) -> Batch:
        """The training or held-out columns that lie in `windows`, and the sequence around them."""
        tokens = np.full((len(windows), self._width + 2 * self._half), PAD_TOKEN, dtype=np.int64)
        pieces: list[tuple[np.ndarray, ...]] = []
        for row, window in enumerate(windows):
            length = self.store.contigs[window.contig]
            start = window.start - self._half
            span = Region(window.contig, max(start, 0), min(window.end + self._half, length))
            reference = self.store.reference(span)
            tokens[row, span.start - start : span.end - start] = reference & schema.CODE_MASK
            for part in self._parts[held_out].overlaps(window):
                site = np.arange(part.start, part.end) - window.start + row * self._width
                bases = self._bases(part)
                own = reference[part.start - span.start : part.end - span.start]
                pieces.append((site, bases, own))
        site, bases, own = (np.concatenate(column) for column in zip(*pieces, strict=True))
        bases = bases & schema.CODE_MASK
        shown = bases.copy()
        shown[:, self.held_out_species] = schema.NO_BLOCK
        masked = (own & schema.SOFT_MASK) != 0
        weight = np.where(masked, self._data.soft_mask_weight, 1.0).astype(np.float32)
        return Batch(
            torch.from_numpy(tokens),
            torch.from_numpy(site),
            torch.from_numpy(shown),
            torch.from_numpy(bases),
            torch.from_numpy(own & schema.CODE_MASK),
            torch.from_numpy(weight),
            self.plan,
        )

    def sample(
        self, limit: int, seed: int, per_batch: int, *, held_out: bool = False
    ) -> Iterator[Batch]:
        """Batches of about `limit` training or held-out columns that the seed decides."""
        windows = self.windows(self.held_out if held_out else self.training, None)
        order = np.random.default_rng(seed).permutation(len(windows))
        columns = 0
        for start in range(0, len(windows), per_batch):
            if columns >= limit:
                break
            chosen = order[start : start + per_batch]
            batch = self.batch([windows[index] for index in chosen], held_out=held_out)
            columns += len(batch.site)
            yield batch

    def _bases(self, region: Region) -> np.ndarray:
        if self._cache is None:
            return self.store.bases(region)
        whole = self.covered.around(region)
        if whole not in self._cache:
            self._cache[whole] = self.store.bases(whole)
        return self._cache[whole][region.start - whole.start : region.end - whole.start]


class TrainingData:
    """Every store of a configuration.

    Parameters
    ----------
    config : TrainingConfig

    Raises
    ------
    InputError
        If no column is left to train on, or something held out does not exist.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.stores = [StoreWindows(path, config) for path in config.store_paths()]
        self._per_batch = config.optimiser.windows_per_batch
        self._seed = config.run.seed
        HeldOutColumns.read(config).check(
            [(source.store.contigs, source.covered) for source in self.stores]
        )
        _check_held_out_species(self.stores, config.data)
        for source in self.stores:
            if not source.training:
                raise InputError(
                    "no column is left to train on",
                    path=source.store.path,
                    remedy="hold out less, or lower data.minimum_species",
                )
        logger.info(
            "training on %d columns of %d store(s); %d columns and %d species held out",
            sum(len(region) for source in self.stores for region in source.training),
            len(self.stores),
            sum(len(region) for source in self.stores for region in source.held_out),
            sum(len(source.held_out_species) for source in self.stores),
        )

    def epoch(self, number: int, first_batch: int = 0) -> Iterator[Batch]:
        """Batches of one pass over the training columns, in an order the seed decides.

        Parameters
        ----------
        number : int
            Each epoch has its own random state: any epoch can be entered without its forerunners.
        first_batch : int
            Batches to leave out, when a run resumes within an epoch.
        """
        rng = np.random.default_rng((self._seed, number))
        batches: list[tuple[StoreWindows, list[Region]]] = []
        for source in self.stores:
            windows = source.windows(source.training, rng)
            order = rng.permutation(len(windows))
            for start in range(0, len(windows), self._per_batch):
                chosen = order[start : start + self._per_batch]
                batches.append((source, [windows[index] for index in chosen]))
        for index in rng.permutation(len(batches))[first_batch:]:
            source, windows = batches[index]
            yield source.batch(windows)

    def evaluation(self, held_out: bool, limit: int) -> Iterator[Batch]:
        """A fixed sample of about `limit` training or held-out columns, the same at every call."""
        share = max(limit // len(self.stores), 1)
        for source in self.stores:
            yield from source.sample(share, self._seed, self._per_batch, held_out=held_out)


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
