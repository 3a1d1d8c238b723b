"""Writing tracks: bases a second of one bigWig, and positions a second of the whole command.

python benchmarks/tracks.py [--bases 20000000] [--positions 2000000] [--threads 2] [--runs 3]

1. One bigWig from arrays, beside pyBigWig (where it can be imported); the size of both.
2. The whole command without the network: numbers at random in its place, all tracks and the table.
3. The same with the model that ships with phylotools, on an eighth of the positions.
4. Peak memory of the second for a quarter of the positions and for all.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from paired import compare

from phylotools.io.bigwig.writer import open_bigwig
from phylotools.model.registry import load_model
from phylotools.scoring.tiled_network import TILE_LENGTH
from phylotools.tracks import stages
from phylotools.tracks.plan import TrackSettings
from phylotools.tracks.values import rounded

_BATCH = 1 << 20


class Random:
    """Stands in for the network: numbers at random, the same for every tile."""

    tile_length = TILE_LENGTH
    device = torch.device("cpu")
    precision = "float32"

    def __init__(self, *arguments: object, **options: object) -> None:
        self._theta = np.random.default_rng(1).normal(0, 2, (1 << 16, 4)).astype(np.float32)

    def theta_at(self, contig: str, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._theta[positions & 0xFFFF]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bases", type=int, default=20_000_000)
    parser.add_argument("--positions", type=int, default=2_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory:
        print(peak_memory(given.positions, given.threads))
        return
    with tempfile.TemporaryDirectory() as place:
        one_bigwig(given.bases, given.runs, Path(place))
        for name, n_positions in (("stand-in", given.positions), ("shipped", given.positions // 8)):
            rates = [whole_command(name, n_positions, given.threads, Path(place))[0]
                     for _ in range(given.runs)]  # fmt: skip
            print(
                f"whole command, {name} network, {n_positions:,} positions, 12 bigWigs and table, "
                f"{given.threads} threads: {np.median(rates):,.0f} positions/s"
            )
        sizes = whole_command("stand-in", given.positions, given.threads, Path(place))[1]
        print("bytes a position: " + ", ".join(f"{k} {v:.2f}" for k, v in sizes.items()))
    for n_positions in (given.positions // 4, given.positions):
        arguments = ["--memory", "--positions", str(n_positions), "--threads", str(given.threads)]
        done = subprocess.run(
            [sys.executable, __file__, *arguments], check=True, capture_output=True, text=True
        )
        print(f"peak memory, {n_positions:,} positions: {int(done.stdout.split()[-1]):,} MB")


def one_bigwig(n_bases: int, runs: int, place: Path) -> None:
    values = rounded(np.random.default_rng(1).normal(-3, 2, n_bases))
    contigs = {"chr1": n_bases}

    def ours() -> None:
        with open_bigwig(str(place / "ours.bw"), contigs, force=True) as track:
            for first in range(0, n_bases, _BATCH):
                part = values[first : first + _BATCH]
                track.add("chr1", np.arange(first, first + len(part)), part)

    def theirs() -> None:
        with pyBigWig.open(str(place / "theirs.bw"), "w") as track:
            track.addHeader(list(contigs.items()))
            for first in range(0, n_bases, _BATCH):
                part = values[first : first + _BATCH]
                track.addEntries("chr1", first, values=part, span=1, step=1)

    try:
        import pyBigWig
    except ImportError:
        start = time.perf_counter()
        ours()
        print(f"one bigWig: {n_bases / (time.perf_counter() - start) / 1e6:.1f} million bases/s")
        return
    compare({"phylotools": ours, "pyBigWig": theirs}, work=n_bases, unit="bases/s", runs=runs)
    for name in ("ours", "theirs"):
        print(f"{name}: {(place / f'{name}.bw').stat().st_size / n_bases:.2f} bytes a base")


def whole_command(
    network: str, n_positions: int, threads: int, place: Path
) -> tuple[float, dict[str, float]]:
    """Positions a second, and bytes a position of every file."""
    fasta = place / f"{n_positions}.fa"
    if not fasta.exists():
        letters = np.random.default_rng(2).choice(np.frombuffer(b"ACGT", np.uint8), n_positions)
        fasta.write_bytes(b">chr1\n" + letters.tobytes() + b"\n")
    model = dataclasses.replace(load_model(None, "cpu"), training_regions=None)
    scorer = stages.Scorer
    if network == "stand-in":
        stages.Scorer = Random  # type: ignore[assignment, misc]
    start = time.perf_counter()
    try:
        stages.make_tracks(
            model,
            place / "out",
            TrackSettings(),
            fasta=str(fasta),
            resources=stages.Resources(threads),
            force=True,
        )
    finally:
        stages.Scorer = scorer  # type: ignore[misc]
    rate = n_positions / (time.perf_counter() - start)
    files = {
        path.name: path.stat().st_size / n_positions
        for path in sorted((place / "out").iterdir())
        if path.suffix in (".bw", ".gz")
    }
    return rate, files


def peak_memory(n_positions: int, threads: int) -> int:
    """Megabytes."""
    with tempfile.TemporaryDirectory() as place:
        whole_command("stand-in", n_positions, threads, Path(place))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


if __name__ == "__main__":
    main()
