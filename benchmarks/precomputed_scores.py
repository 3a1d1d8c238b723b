"""Records a second of `annotate` with scores computed, looked up in bigWigs, and by bcftools.

python benchmarks/precomputed_scores.py [--records 400000] [--runs 3]

The model that ships with phylotools, on variants without indels, every eighth base; threads as the
command chooses them. `bcftools annotate -a` brings the four numbers over from an annotated file of
the same records: the least that looking them up can cost there. Each way is a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from make_variants import make_variants
from paired import compare

FIELDS = ",".join(f"INFO/PHYLOGPN_{name}" for name in ("LLR", "STATUS", "RATE", "ENTROPY"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=400_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    program = str(Path(sys.executable).with_name("phylotools"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, fasta = map(str, make_variants(folder, given.records, indels=0))
        tracks, output, known = (str(folder / x) for x in ("tracks", "out.vcf.gz", "known.vcf.gz"))

        def call(*command: str) -> Callable[[], object]:
            return lambda: subprocess.run(command, check=True, capture_output=True)

        call(program, "tracks", "-f", fasta, "-o", tracks, "--no-snv-table",
             "--tracks", "log_probability,rate,llr_mean")()  # fmt: skip
        # It needs an index, and so a bgzip file, on both sides.
        if not Path(source + ".tbi").exists():
            subprocess.run(["bcftools", "index", "--tbi", source], check=True)
        annotate = (program, "annotate", source, "-f", fasta, "--force")
        call(*annotate, "-o", known, "--write-index")()
        ways = {
            "bcftools annotate -a": call("bcftools", "annotate", "-a", known, "-c", FIELDS, source,
                                         "-O", "z", "-o", output),
            "looked up in bigWigs": call(*annotate, "-o", output, "--scores", tracks),
            "computed": call(*annotate, "-o", output),
        }  # fmt: skip
        compare(ways, work=given.records, unit="records/s", runs=given.runs)


if __name__ == "__main__":
    main()
