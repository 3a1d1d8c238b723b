"""Peak memory of `annotate` for files of any size, sorted and in random order.

python benchmarks/annotate_memory.py [--sizes 10000 100000 1000000] [--threads 2]

Each run is a process of its own; its network says the same of every base (see annotate.py), so that
what is measured is everything else. Seconds include start-up. Of the shuffled file, tiles computed
for one of the sorted file are given too: how often distinct windows were computed again.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from make_variants import make_variants


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run_one(*arguments.one, arguments.threads)
        return
    with tempfile.TemporaryDirectory() as name:
        for size in arguments.sizes:
            tiles = {}
            for shuffled in (False, True):
                path, fasta = make_variants(Path(name), size, shuffled=shuffled)
                found = measured(path, fasta, Path(name, "out.vcf.gz"), arguments.threads)
                tiles[shuffled] = found["tiles"]
                print(
                    f"{size:10,} records, {'shuffled' if shuffled else 'sorted':8s}: "
                    f"{found['MiB']:5.0f} MiB, {found['seconds']:6.1f} s, "
                    f"{found['tiles'] / tiles[False]:.2f} times the tiles",
                    flush=True,
                )
                path.unlink()


def measured(path: Path, fasta: Path, output: Path, threads: int) -> dict[str, float]:
    """Peak memory of a run in another process, its seconds and tiles."""
    start = time.perf_counter()
    options = ["--one", str(path), str(fasta), str(output), "--threads", str(threads)]
    done = subprocess.run(
        [sys.executable, __file__, *options], check=True, capture_output=True, text=True
    )
    return {**json.loads(done.stdout), "seconds": time.perf_counter() - start}


def run_one(path: str, fasta: str, output: str, threads: int) -> None:
    from annotate import ConstantModel

    import phylotools.annotate.opening as annotate_module

    scorers = []

    class Counted(annotate_module.Scorer):
        def __init__(self, *given, **named) -> None:  # type: ignore[no-untyped-def]
            super().__init__(*given, **named)
            scorers.append(self)

    annotate_module.Scorer = Counted  # type: ignore[misc]
    settings = annotate_module.AnnotationSettings(force=True, threads=threads, score_indels=False)
    model = ConstantModel(Path(fasta))
    annotate_module.annotate_file(model, path, output, settings)  # type: ignore[arg-type]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"MiB": peak, "tiles": scorers[0].n_tiles_computed}))


if __name__ == "__main__":
    main()
