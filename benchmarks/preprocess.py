"""End-to-end preprocessing of a 60-species MAF beside other tools' parsing of the same text.

python benchmarks/preprocess.py [--size 300MB] [--blocks birds|mammals] [--runs 5]

Parse, project, encode, compress and write, against reading alone by bx-python, Biopython and taffy
(those that are installed) and reading lines only. Slow readers get the first tenth of the file.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from make_alignment import bird_blocks, make_file, mammal_blocks, number_of_bytes

#: Python reader -> module to look for.
READERS = {"lines": "io", "bx-python": "bx.align", "Biopython": "Bio.AlignIO", "taffy": "taffy.lib"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=number_of_bytes, default=3e8)
    parser.add_argument("--blocks", choices=["birds", "mammals"], default="birds")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--only", nargs="*", help="names of the ways to measure")
    arguments = parser.parse_args()
    blocks = bird_blocks() if arguments.blocks == "birds" else mammal_blocks()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        maf, part, tree = folder / "a.maf", folder / "part.maf", folder / "tree.nh"
        make_file(blocks, arguments.size, maf)
        make_file(blocks, arguments.size / 10, part)
        tree.write_text(blocks.tree.to_newick())
        packed = folder / "a.maf.gz"
        compress(maf, packed)
        print(
            f"{arguments.blocks}: {blocks.tree.n_tips} species, {len(blocks.blocks)} blocks "
            f"repeated, {maf.stat().st_size / 1e6:.0f} MB, "
            f"bgzipped {packed.stat().st_size / 1e6:.0f} MB"
        )
        ways: dict[str, tuple[Callable[[], None], Path]] = {}
        for workers in arguments.workers:
            for kind, path in (("plain", maf), ("bgzip", packed)):
                call = partial(preprocess, path, tree, folder / "out.store", workers)
                ways[f"preprocess {kind} -@ {workers}"] = call, maf
        for reader, module in READERS.items():
            if importlib.util.find_spec(module.partition(".")[0]) is None:
                print(f"  {reader} is not installed")
                continue
            text = maf if reader == "lines" else part
            ways[f"{reader}, parsing alone"] = partial(_READ[reader], text), text
        if arguments.only:
            ways = {name: ways[name] for name in arguments.only}
        measure(ways, arguments.runs)


def measure(ways: dict[str, tuple[Callable[[], None], Path]], runs: int) -> None:
    """Time every way in turn; print MB of MAF text per second, per second of processor time."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for run in range(runs + 1):
        for name, (call, _) in ways.items():
            start, busy = time.perf_counter(), processor_seconds()
            call()
            if run:  # the first compiles and fills the page cache
                spent = time.perf_counter() - start, processor_seconds() - busy
                seconds[name].append(spent)
    speed = {
        name: ways[name][1].stat().st_size / 1e6 / np.array(spent)
        for name, spent in seconds.items()
    }
    first = next(iter(speed.values()))
    print(f"{platform.machine()}, {os.cpu_count()} cores, {runs} runs each; median [min, max]")
    print(f"  {'':28s} {'MB/s':>24s}   {'MB per CPU second':>18s}   ratio to the first, run by run")
    for name, both in speed.items():
        wall, ratio = both[:, 0], both[:, 0] / first[:, 0]
        print(
            f"  {name:28s} {np.median(wall):8,.1f} [{wall.min():,.1f}, {wall.max():,.1f}]"
            f" {np.median(both[:, 1]):12,.1f}"
            f" {np.median(ratio):14.2f} [{ratio.min():.2f}, {ratio.max():.2f}]"
        )


def processor_seconds() -> float:
    """User and system time of this process and of those it has waited for."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def preprocess(maf: Path, tree: Path, output: Path, workers: int) -> None:
    """The command as a user gives it."""
    shutil.rmtree(output, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-m", "phylotools", "preprocess", maf, "--tree", tree, "-o", output,
         "-@", str(workers), "-q"],
        check=True,
    )  # fmt: skip


def compress(path: Path, output: Path) -> None:
    """bgzip, at the level that the program of that name uses."""
    from phylotools.io.bgzf import BgzfWriter

    with path.open("rb") as source, output.open("wb") as raw:
        out = BgzfWriter(raw)
        shutil.copyfileobj(source, out, 1 << 20)
        out.finish()


def read_lines(path: Path) -> None:
    """Nothing but lines."""
    with path.open("rb") as handle:
        for _ in handle:
            pass


def read_bx(path: Path) -> None:
    """Blocks and components."""
    from bx.align import maf

    with path.open() as handle:
        for _ in maf.Reader(handle):
            pass


def read_biopython(path: Path) -> None:
    """Alignments."""
    from Bio import AlignIO

    with path.open() as handle:
        for _ in AlignIO.parse(handle, "maf"):
            pass


def read_taffy(path: Path) -> None:
    """Blocks and rows; its C library hands a row over when it is asked for."""
    from taffy.lib import AlignmentReader

    with AlignmentReader(str(path)) as reader:
        for block in reader:
            for row in block:
                row.sequence_name(), row.start(), row.bases()


_READ = {
    "lines": read_lines,
    "bx-python": read_bx,
    "Biopython": read_biopython,
    "taffy": read_taffy,
}

if __name__ == "__main__":
    main()
