"""The training loader against a memory map of the same columns, in windows of the same length.

python benchmarks/store_reading.py STORE [RUNS]

The buffer is an eighth of the store, so that every epoch decodes all of it. The map is what has
the columns ready, uncompressed and in the page cache, and does nothing but copy them. The loader's
batches hold sequence, weights and sites besides; each call takes an epoch of them from a stream
that goes on, as in training. Last, decompression by itself.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from paired import compare

from phylotools.io.regions import Region
from phylotools.store import schema
from phylotools.store.read import ColumnStore, open_store
from phylotools.threads import set_threads
from phylotools.training import store_windows
from phylotools.training.config import (
    DEFAULT_BUFFER,
    DataConfig,
    OptimiserConfig,
    TrainingConfig,
)
from phylotools.training.dataset import TrainingData

#: Groups of segments in an epoch. What is read ahead of a timed call is at most one of them.
GROUPS = 16
#: Bytes of a segment by default.
SEGMENT = DEFAULT_BUFFER // 2 // store_windows.SEGMENTS_PER_BUFFER
PER_BATCH = 8


def main() -> None:
    path = Path(sys.argv[1])
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    store = open_store(path)
    data = TrainingData(configuration(path, 1 << 40))
    columns, n_species = data.stores[0].training.n_columns, len(store.species)
    buffer = columns * n_species // GROUPS * 2
    # Segments as long as by default, though of a smaller buffer: fewer share it.
    store_windows.SEGMENTS_PER_BUFFER = max(buffer // 2 // SEGMENT, 1)
    print(f"{columns} columns of {n_species} species, {sum(store.contigs.values())} positions")
    with tempfile.TemporaryDirectory() as folder:
        mapped = memory_map(data, Path(folder) / "columns.u8")
        width = data.stores[0].width
        ways: dict[str, Callable[[], object]] = {"memory map": lambda: of_map(mapped, width)}
        ways["held in memory"] = epoch_of(configuration(path, 1 << 40), 1)
        for workers, threads in ((0, 1), (0, 2), (1, 1), (2, 1)):
            kind = f"{workers} processes" if workers else f"{threads} threads"
            ways[f"loader, {kind}"] = epoch_of(configuration(path, buffer, workers), threads)
        whole = [Region(name, 0, length) for name, length in store.contigs.items()]
        ways["decoding alone"] = lambda: decode(store, whole)
        compare(ways, work=columns, unit="columns/s", runs=runs)


def configuration(path: Path, buffer: int, workers: int = 0) -> TrainingConfig:
    data = DataConfig([str(path.absolute())], buffer_bytes=buffer, workers=workers)
    config = TrainingConfig(data, optimiser=OptimiserConfig(windows_per_batch=PER_BATCH))
    return config.with_defaults()


def epoch_of(config: TrainingConfig, threads: int) -> Callable[[], None]:
    """Take as many batches as an epoch has, as a network that needs no time would."""
    data = TrainingData(config)
    set_threads(threads)
    n_batches = sum(1 for _ in data.epoch(0))
    stream = data.stream()
    next(stream)

    def run() -> None:
        for (batch,) in itertools.islice(stream, n_batches):
            assert len(batch.states)

    return run


def memory_map(data: TrainingData, path: Path) -> np.ndarray:
    """The training columns, one after the other, in a file."""
    bases = data.stores[0].resident().bases
    np.save(path.with_suffix(".npy"), bases)
    return np.load(path.with_suffix(".npy"), mmap_mode="r")


def of_map(mapped: np.ndarray, width: int) -> None:
    """Random windows of a map, copied into batches."""
    starts = np.random.default_rng(0).permutation(len(mapped) // width) * width
    for first in range(0, len(starts), PER_BATCH):
        chosen = starts[first : first + PER_BATCH]
        torch.from_numpy(np.concatenate([mapped[start : start + width] for start in chosen]))


def decode(store: ColumnStore, regions: list[Region]) -> None:
    size = 8 * schema.CHUNK_LENGTH
    for region in regions:
        for start in range(region.start, region.end, size):
            store.bases(Region(region.contig, start, min(start + size, region.end)))


if __name__ == "__main__":
    main()
