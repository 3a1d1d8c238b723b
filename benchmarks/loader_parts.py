"""A worker that reads its own part of every batch, against one that reads all and keeps its part.

python benchmarks/loader_parts.py STORE [RUNS [RUNS_BY_THE_CLOCK]]

The store is read from disk through a buffer of an eighth of its columns, in eight parts, one for
each of eight GPUs. Counted are the columns of one part, the ones that its GPU trains on. First by
the processor time of this process, all of its threads together: so many columns a core yields, also
where the machine is busy. Then, if asked for, by the clock, with more threads and processes.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

from paired import compare

from phylotools.threads import set_threads
from phylotools.training import store_windows
from phylotools.training.config import DEFAULT_BUFFER, DataConfig, OptimiserConfig, TrainingConfig
from phylotools.training.dataset import TrainingData

PARTS = 8
#: The columns are so many buffers.
BUFFERS = 8
PER_BATCH, WINDOW = 64, 256
#: Of PhyloGPN's 83 million parameters: a multiplication and an addition each, and twice that again
#: for the gradient.
FLOP = 6 * 83e6
#: An H200's rate in bfloat16, and the share of it that training is to reach.
RATE, SHARE = 800e12, 0.35


def main() -> None:
    path = Path(sys.argv[1])
    runs, by_clock = (int(number) for number in (sys.argv[2:] + ["5", "0"][len(sys.argv[2:]) :]))
    whole = data_of(path, 1 << 40)
    n_columns, n_species = whole.stores[0].training.n_columns, len(whole.stores[0].store.species)
    del whole
    buffer = n_columns * n_species // BUFFERS
    # Segments as long as by default, though of a smaller buffer: fewer share it.
    segment = DEFAULT_BUFFER // 2 // store_windows.SEGMENTS_PER_BUFFER
    store_windows.SEGMENTS_PER_BUFFER = max(buffer // 2 // segment, 1)
    data = data_of(path, buffer)
    steps = data.steps_per_epoch
    columns = steps * PER_BATCH // PARTS * WINDOW
    print(f"{n_columns} columns of {n_species} species; {columns} of one of {PARTS} parts")
    ways: dict[str, Callable[[], object]] = {
        "reads all, keeps its part": steps_of(data, steps, range(PARTS)),
        "reads its part": steps_of(data, steps, [0]),
    }
    set_threads(1)
    speeds = compare(
        ways, work=columns, unit="columns/s of a core", runs=runs, clock=time.process_time
    )
    eaten = RATE * SHARE / FLOP
    for name, speed in speeds.items():
        best = sorted(speed)[len(speed) // 2]
        print(
            f"  {name}: {best * n_species / 1e9:.2f} GB/s of bases; a GPU that eats {eaten:,.0f} "
            f"columns/s takes {eaten / best:.2f} cores"
        )
    if not by_clock:
        return
    timed: dict[str, Callable[[], object]] = {}
    for workers, threads in ((0, 1), (0, 2), (1, 1), (2, 1)):
        kind = f"{workers} processes" if workers else f"{threads} threads"
        read = data_of(path, buffer, workers)
        timed[f"all, {kind}"] = steps_of(read, steps, range(PARTS), threads)
        timed[f"part, {kind}"] = steps_of(read, steps, [0], threads)
    compare(timed, work=columns, unit="columns/s", runs=by_clock)


def data_of(path: Path, buffer: int, workers: int = 0) -> TrainingData:
    data = DataConfig([str(path.absolute())], buffer_bytes=buffer, workers=workers)
    optimiser = OptimiserConfig(windows_per_batch=PER_BATCH, window_length=WINDOW)
    return TrainingData(TrainingConfig(data, optimiser=optimiser).with_defaults(), PARTS)


def steps_of(
    data: TrainingData, steps: int, parts: range | list[int], threads: int = 1
) -> Callable[[], None]:
    """Take the batches of so many steps, for a GPU that needs no time.

    Each call is a stream of its own: what it reads ahead is in its own time, and in no other's.
    """

    def run() -> None:
        set_threads(threads)
        with contextlib.closing(data.stream(0, parts)) as stream:
            for batches in itertools.islice(stream, steps):
                assert len(batches[0].site)

    return run


if __name__ == "__main__":
    main()
