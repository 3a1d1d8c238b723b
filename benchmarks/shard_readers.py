"""Our reader of shards against tensorstore, zarr with the pipeline of zarrs, and zarr alone.

python benchmarks/shard_readers.py STORE [RUNS]

All on one core, of the same store: runs of 8,192 columns in order, as the loader reads a shard;
random windows of 512 columns; random windows of 1,500 bases of the reference. Before that the same
values, and what each does with a store that is damaged. The peers are not among the dependencies:
pip install tensorstore zarrs. What is not installed is left out.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from paired import compare

from phylotools.errors import PhylotoolsError
from phylotools.io.regions import Region
from phylotools.store import schema
from phylotools.store.read import open_store

Read = Callable[[int, int], np.ndarray]
RUN, WINDOW, SEQUENCE = 4 * schema.CHUNK_LENGTH, 512, 1500


def ours(folder: Path, array: str) -> Read:
    store = open_store(folder)
    (contig,) = store.contigs
    method = store.bases if array == schema.BASES else store.reference
    return lambda start, end: method(Region(contig, start, end))


def by_tensorstore(folder: Path, array: str, **settings: Any) -> Read:
    import tensorstore

    one = {"data_copy_concurrency": {"limit": 1}, "file_io_concurrency": {"limit": 1}}
    opened = tensorstore.open(
        {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": f"{folder / array}/"},
            "context": {**one, "cache_pool": {"total_bytes_limit": 0}},
            **settings,
        },
        open=True,
    ).result()
    return lambda start, end: opened[start:end].read(order="C").result()


def by_zarr(folder: Path, array: str, pipeline: str = "") -> Read:
    import zarr

    usual = "zarr.core.codec_pipeline.BatchedCodecPipeline"
    settings = {"codec_pipeline.path": pipeline or usual, "threading.max_workers": 1}
    with zarr.config.set(settings):
        opened = zarr.open_array(folder / array, mode="r")

    def read(start: int, end: int) -> np.ndarray:
        with zarr.config.set(settings):
            return np.ascontiguousarray(opened[start:end])

    return read


READERS: dict[str, tuple[str, Callable[[Path, str], Read]]] = {
    "phylotools": ("phylotools", ours),
    "tensorstore": ("tensorstore", by_tensorstore),
    "tensorstore, missing is an error": (
        "tensorstore",
        lambda folder, array: by_tensorstore(folder, array, fill_missing_data_reads=False),
    ),
    "zarr with zarrs": (
        "zarrs",
        lambda folder, array: by_zarr(folder, array, "zarrs.ZarrsCodecPipeline"),
    ),
    "zarr": ("zarr", by_zarr),
}


def main() -> None:
    folder = Path(sys.argv[1])
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    found = {
        name: reader
        for name, (module, reader) in READERS.items()
        if importlib.util.find_spec(module) is not None
    }
    with tempfile.TemporaryDirectory() as place:
        for name, reader in found.items():
            for kind, told in damages(reader, folder, Path(place)):
                print(f"{name}: {kind}: {told}")
    bases = {name: reader(folder, schema.BASES) for name, reader in found.items()}
    reference = {name: reader(folder, schema.REFERENCE) for name, reader in found.items()}
    length = sum(open_store(folder).contigs.values())
    expected = bases["phylotools"](length - 3000, length)
    assert all((read(length - 3000, length) == expected).all() for read in bases.values())
    order = [(start, min(start + RUN, length)) for start in range(0, length, RUN)]
    print(f"\nIn order, {RUN} columns at a time")
    timed(bases, order, runs)
    random = np.random.default_rng(1).integers(0, length - SEQUENCE, 200).tolist()
    print(f"\nWindows of {WINDOW} columns")
    timed(bases, [(start, start + WINDOW) for start in random], runs)
    print(f"\nWindows of {SEQUENCE} bases of the reference")
    timed(reference, [(start, start + SEQUENCE) for start in random], runs)


def timed(readers: dict[str, Read], spans: list[tuple[int, int]], runs: int) -> None:
    ways = {name: lambda read=read: [read(*span) for span in spans] for name, read in
            readers.items()}  # fmt: skip
    compare(ways, work=sum(end - start for start, end in spans), unit="columns/s", runs=runs)


def damages(reader: Callable[[Path, str], Read], folder: Path, place: Path):
    """What a reader says of the last shard of `bases` when it is missing, cut or changed."""

    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 16
        path.write_bytes(data)

    changes = {
        "missing file": Path.unlink,
        "file cut by 1,000 bytes": lambda path: os.truncate(path, path.stat().st_size - 1000),
        "empty file": lambda path: os.truncate(path, 0),
        "a flipped bit": flip,
    }
    for kind, change in changes.items():
        copy = Path(shutil.copytree(folder, place / "store"))
        shard = sorted(copy.glob("bases/c.*"), key=lambda path: int(path.name.split(".")[1]))[-1]
        rows = [int(part) for part in shard.name.split(".")[1:2]]
        change(shard)
        try:
            store_shape = open_store(folder)
            start = rows[0] * store_shape.shard_length
            end = min(start + store_shape.shard_length, sum(store_shape.contigs.values()))
            values = reader(copy, schema.BASES)(start, end)
            is_fill = bool((values == schema.NO_BLOCK).all())
            yield kind, "fill values" if is_fill else "wrong values"
        except PhylotoolsError as error:
            yield kind, str(error).replace(str(copy), "STORE")
        except Exception as error:
            text = " ".join(str(error).split()).replace(str(copy), "STORE")
            yield kind, f"{type(error).__name__}: {text[:160]}"
        finally:
            shutil.rmtree(copy)


if __name__ == "__main__":
    main()
