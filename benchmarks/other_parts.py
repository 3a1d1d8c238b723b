"""`embed`, `fit-sites` or `simulate` with two local workers against one, a thread each.

python benchmarks/other_parts.py embed|fit-sites|simulate [--size POSITIONS] [--runs 5]

See two_workers.py. The genome is random, the alignment simulated along the tree of 53 birds.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from two_workers import compare_workers

from phylotools.cli.main import run

TREE = Path(__file__).parents[1] / "tests/data/birds53/53birds.nh"
MODEL = "mammals671-mtdna"
REGION = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("verb", choices=["embed", "fit-sites", "simulate"])
    parser.add_argument("--size", type=int, help="Positions.")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    prepare, size = {
        "embed": (embedding, 1_000_000),
        "fit-sites": (fits, 500_000),
        "simulate": (simulation, 4_000_000),
    }[options.verb]
    size = options.size or size
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{options.verb}: {size} positions")
        command = prepare(folder, size)
        compare_workers(
            lambda output: _in_folder(output, command),
            folder,
            options.runs,
            work=size / 1000,
            unit="thousand positions/s",
        )


def _in_folder(output: Path, command: Callable[[Path], list[str]]) -> list[str]:
    output.mkdir()
    return command(output)


def embedding(folder: Path, size: int) -> Callable[[Path], list[str]]:
    """Means of neighbouring regions that cover a random contig."""
    letters = np.random.default_rng(1).choice(list(b"ACGT"), size=size).astype(np.uint8).tobytes()
    (folder / "genome.fa").write_bytes(b">c\n" + letters + b"\n")
    bounds = range(0, size - REGION + 1, REGION)
    (folder / "r.bed").write_text("".join(f"c\t{at}\t{at + REGION}\n" for at in bounds))
    inputs = [str(folder / "r.bed"), "-m", MODEL, "-f", str(folder / "genome.fa")]
    return lambda output: ["embed", *inputs, "-o", str(output / "v.parquet")]


def fits(folder: Path, size: int) -> Callable[[Path], list[str]]:
    """Table and tracks of all columns."""
    maf, store = str(folder / "a.maf.gz"), str(folder / "a.store")
    made = run(["simulate", str(TREE), "--length", str(size), "-o", maf, "-q"])
    if made or run(["preprocess", maf, "--tree", str(TREE), "-o", store, "-q"]):
        raise SystemExit("the store could not be made")
    return lambda output: [
        "fit-sites", store, "-o", str(output / "t.tsv.gz"), "--bigwig", str(output / "t")
    ]  # fmt: skip


def simulation(folder: Path, size: int) -> Callable[[Path], list[str]]:
    """Alignment and truth of random sites."""
    return lambda output: [
        "simulate", str(TREE), "--length", str(size), "-o", str(output / "a.maf.gz"),
        "--truth", str(output / "t.tsv.gz"),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
