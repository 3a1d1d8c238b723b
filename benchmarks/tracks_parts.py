"""`tracks` with two local workers against one, a thread each; see two_workers.py.

python benchmarks/tracks_parts.py [--positions 4000000] [--runs 5]

All bigWigs and the table of a random genome, by the model that ships with phylotools: a small one,
so that what is put together at the end weighs more than with any other.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from two_workers import compare_workers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--positions", type=int, default=4_000_000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, n = Path(name), arguments.positions
        letters = np.random.default_rng(1).choice(np.frombuffer(b"ACGT", np.uint8), n).tobytes()
        (folder / "genome.fa").write_bytes(b">chr1\n" + letters + b"\n")
        print(f"tracks: {n} positions")
        compare_workers(
            lambda output: [
                "tracks", "-m", "mammals671-mtdna", "-f", str(folder / "genome.fa"),
                "-o", str(output), "--device", "cpu",
            ],
            folder,
            arguments.runs,
            work=n / 1000,
            unit="thousand positions/s",
        )  # fmt: skip


if __name__ == "__main__":
    main()
