"""Seconds of `annotate` of one record: computed, looked up, with nothing compiled yet.

python benchmarks/start_up.py [--runs 10]

Beside it what importing torch alone takes, which no run that computes can go below. Each run is a
process of its own; wall and CPU seconds, in turn.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

VCF = (
    "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    "chrM\t3308\t.\tT\tC\t.\t.\t.\n"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "one.vcf").write_text(VCF)
        program = [sys.executable, "-m", "phylotools"]
        annotate = [*program, "annotate", "one.vcf", "-o", "out.vcf", "--force", "-q"]
        seconds([*program, "tracks", "-r", "chrM:3301-3400", "-o", "tracks", "-q"], folder)
        ways = {
            "computed": annotate,
            "looked up": [*annotate, "--scores", "tracks"],
            "import torch": [sys.executable, "-c", "import torch"],
        }
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(runs + 1):
            for way, command in ways.items():
                found[way].append(seconds(command, folder))
        # The first run of each may have had to compile, or to read from a slow disk.
        rows = {way: each[1:] for way, each in found.items()}
        rows["nothing compiled yet"] = [seconds(annotate, folder, "cold")]
    for way, each in rows.items():
        (wall, cpu), walls = np.median(each, axis=0), [row[0] for row in each]
        print(f"  {way:22s} {wall:.2f} s [{min(walls):.2f}, {max(walls):.2f}], CPU {cpu:.2f} s")


def seconds(command: list[str], folder: Path, cache: str | None = None) -> tuple[float, float]:
    """Wall and CPU seconds of a command."""
    environment = dict(os.environ)
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = str(folder / cache)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
