"""One partition: regions through the network into a piece of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.embedding.cutting import OrderedRegions
from phylotools.embedding.plan import Plan
from phylotools.embedding.source import EmbeddingSource
from phylotools.embedding.sweep import sweep
from phylotools.io.genome import ReferenceGenome
from phylotools.jobs.job import Partition
from phylotools.jobs.piece import Piece
from phylotools.jobs.work_folder import WorkFolder

#: Where some rows begin: their numbers (int64), then their vectors (float32); how many.
ENTRY = np.dtype([("offset", "<i8"), ("n_rows", "<i8")])


@dataclass(frozen=True)
class PartitionRunner:
    """Runs partitions of a plan.

    Attributes
    ----------
    work : WorkFolder
    plan : Plan
    regions : OrderedRegions
        All of the plan.
    source : EmbeddingSource
    genome : ReferenceGenome
    on_regions : callable
        Gets the number of regions finished since its last call.
    """

    work: WorkFolder[Plan]
    plan: Plan
    regions: OrderedRegions
    source: EmbeddingSource
    genome: ReferenceGenome
    on_regions: Callable[[int], None]

    def __call__(self, partition: Partition) -> None:
        """Make the piece of a partition; nothing is done if it is there."""
        if self.work.is_done(partition.index):
            return
        pool = self.plan.settings.pool
        own = self.regions.part(partition.extent)
        n_tiles = self.source.n_tiles_computed
        with self.work.writing(partition, ENTRY) as writer:

            def emit(rows: NDArray[np.int64], values: NDArray[np.float32]) -> None:
                if len(rows):
                    vectors = np.ascontiguousarray(values, dtype="<f4")
                    numbers = rows.astype("<i8")
                    writer.add(numbers.tobytes(), vectors.tobytes(), n_rows=len(rows))

            sweep(
                self.source, own.table, self.genome, own.emitting(emit, pool),
                pool=pool, strand=self.plan.settings.strand, on_done=self.on_regions,
            )  # fmt: skip
            writer.finish({"tiles": self.source.n_tiles_computed - n_tiles})


def read_rows(piece: Piece, width: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Numbers of rows, int64 [K], and their vectors, float32 [K, width], some at a time."""
    for entry in piece.index:
        offset, n_rows = int(entry["offset"]), int(entry["n_rows"])
        data = piece.read(offset, n_rows * (8 + 4 * width))
        rows = np.frombuffer(data, dtype="<i8", count=n_rows)
        yield rows, np.frombuffer(data, dtype="<f4", offset=8 * n_rows).reshape(n_rows, width)
