"""`annotate` in parts: the same bytes as in one go, and what a second worker of this machine gains.

python benchmarks/annotate_parts.py [--records 1000000] [--runs 3] [--parts 4]

1. The file annotated by one process and in parts: output and index, byte for byte.
2. `phylotools annotate --on local:2` against `local:1`; see two_workers.py.

Both with the model that ships with phylotools, on a made-up genome (`make_variants.py`).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from make_variants import make_variants
from two_workers import compare_workers

from phylotools.annotate.run import AnnotationSettings, annotate_file
from phylotools.annotate.stages import annotate_in_parts
from phylotools.io.vcf.reader import open_variants
from phylotools.jobs.stages import Resources
from phylotools.model.folder import read_model
from phylotools.model.registry import find_model

MODEL = "mammals671-mtdna"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--parts", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        variants, fasta = make_variants(Path(folder), options.records)
        size = variants.stat().st_size
        print(f"{options.records} records, {size / 1e6:.0f} MB bgzip")
        same_bytes(variants, fasta, options.parts)
        compare_workers(
            lambda output: [
                "annotate", str(variants), "-m", MODEL, "-f", str(fasta), "-o", f"{output}.vcf.gz",
            ],
            Path(folder),
            options.runs,
            work=options.records / 1000,
            unit="thousand records/s",
        )  # fmt: skip


def same_bytes(variants: Path, fasta: Path, n_parts: int) -> None:
    """Annotate at once and in parts, in this process, and compare what comes out."""
    model = read_model(find_model(MODEL), "cpu")
    settings = AnnotationSettings(fasta=str(fasta), threads=1)
    one, parts = variants.parent / "one.vcf.gz", variants.parent / "parts.vcf.gz"
    start = time.process_time()
    annotate_file(model, str(variants), str(one), settings)
    middle = time.process_time()
    with open_variants(str(variants)) as source:
        annotate_in_parts(
            model,
            source,
            str(parts),
            variants.parent / "work",
            settings,
            resources=Resources(threads=1),
            partition_bytes=-(-variants.stat().st_size // n_parts),
        )
    end = time.process_time()
    for suffix in ("", ".tbi"):
        a, b = (Path(f"{path}{suffix}").read_bytes() for path in (one, parts))
        print(f"in {n_parts} parts {one.name}{suffix}: {'the same' if a == b else 'OTHER'} bytes")
    print(f"processor time: {middle - start:.1f} s at once, {end - middle:.1f} s in parts")


if __name__ == "__main__":
    main()
