"""The stores of a configuration: training and held-out columns in batches that a seed decides."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import math
import operator
from collections.abc import Generator, Iterator, Sequence

from phylotools.errors import InputError
from phylotools.io.regions import RegionSet
from phylotools.training.batch import Batch
from phylotools.training.column_weights import column_weights, describe_weights
from phylotools.training.config import DataConfig, TrainingConfig
from phylotools.training.held_out_draw import held_out_columns
from phylotools.training.loader import Loader
from phylotools.training.objectives import make_objective
from phylotools.training.shuffle import EpochOrder
from phylotools.training.store_windows import StoreWindows
from phylotools.training.streams import Streams
from phylotools.training.trees import open_training_stores

logger = logging.getLogger("phylotools")


class TrainingData:
    """Every store of a configuration.

    Parameters
    ----------
    config : TrainingConfig
    parts : int
        Equal parts that every batch has: ``optimiser.parts``.

    Raises
    ------
    InputError
        If no column is left to train on, something held out does not exist, or the windows of a
        batch or the segments of the stores cannot be shared out to the parts.
    """

    def __init__(self, config: TrainingConfig, parts: int = 1) -> None:
        self.parts = parts
        self._per_batch = config.optimiser.windows_per_batch
        if self._per_batch % parts:
            raise InputError(
                f"optimiser.windows_per_batch is {self._per_batch}, which {parts} parts "
                "(optimiser.parts, or the workers) cannot share equally",
                remedy=f"make it a multiple of {parts}",
            )
        stores = open_training_stores(config)
        weights = column_weights(config, stores)
        #: For checkpoints, see `column_weights.describe_weights`.
        self.weight_facts = describe_weights(config)
        held_out = held_out_columns(config, stores, weights)
        #: What is held out of any store, by the stores' names of contigs.
        self.held_out = functools.reduce(
            operator.or_, (held_out.within(store.contigs) for store in stores), RegionSet({})
        )
        self.stores = [
            StoreWindows(store, config, held_out.within(store.contigs), own)
            for store, own in zip(stores, weights, strict=True)
        ]
        self._seed = config.run.seed
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
            [own.contigs for own in weights],
            config.data.weights,
            self._per_batch,
            config.data.buffer // 2,
            self._seed,
            self.parts,
        )
        readers = [source.reader for source in self.stores]
        loader = Loader(readers, config.data.workers or 0, self._order.largest_group)
        self._streams = Streams(
            self.stores,
            self._order,
            loader,
            make_objective(config),
            self._per_batch,
            self.parts,
            self._seed,
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
        """Steps of an epoch; single epochs have a few more or less."""
        return self._order.usual_steps

    def epoch(self, number: int, first_batch: int = 0) -> Iterator[Batch]:
        """Batches of one pass of the first part over its training columns; of all, if it is alone.

        Parameters
        ----------
        number : int
            Each epoch has its own random state: any epoch can be entered without its forerunners.
        first_batch : int
            Batches to leave out; they are not read.
        """
        with contextlib.closing(self._streams.epoch(number, first_batch)) as found:
            yield from found

    def stream(
        self,
        first_step: int = 0,
        parts: Sequence[int] | None = None,
        *,
        any_row_steps: float = math.inf,
    ) -> Generator[list[Batch]]:
        """The batches of one step after the other, without end; see `streams`.

        Parameters
        ----------
        first_step : int
            Steps before it are not read.
        parts : sequence of int, optional
            Those of the ``optimiser.parts`` parts that are wanted: all unless given.
        any_row_steps : float
            Steps before this one may be read through any species; later ones are the reference's.

        Returns
        -------
        generator of list of Batch
            One for each of `parts`, in their order. A part of an epoch's last batch may have no
            window.
        """
        wanted = range(self.parts) if parts is None else parts
        return self._streams.steps(first_step, wanted, any_row_steps)

    def evaluation(self, held_out: bool, limit: int) -> Iterator[Batch]:
        """A fixed sample of about `limit` training or held-out columns, the same at every call."""
        share = max(limit // len(self.stores), 1)
        for source in self.stores:
            if source.table(held_out).n_columns:
                yield from source.sample(share, self._seed, self._per_batch, held_out=held_out)


def _check_held_out_species(stores: list[StoreWindows], data: DataConfig) -> None:
    species = {name for source in stores for name in source.store.species}
    for name in data.held_out_species:
        if name not in species:
            raise InputError(f"data.held_out_species: no store has a species '{name}'")
        if any(name == source.store.reference_species for source in stores):
            raise InputError(f"data.held_out_species: '{name}' is the reference; keep it")
