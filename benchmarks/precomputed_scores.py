"""Records a second of `annotate` with scores computed, looked up in the table, and in bigWigs.

python benchmarks/precomputed_scores.py [--records 100000] [--runs 3]

The model that ships with phylotools, on variants without indels, every eighth base; threads as the
command chooses them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

# As the command does before torch is loaded, see cli/main.py.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
from make_variants import make_variants
from paired import compare

from phylotools.annotate.run import AnnotationSettings, annotate_file
from phylotools.io.score_table import TABLE_NAME
from phylotools.model.registry import load_model
from phylotools.tracks.plan import TrackSettings
from phylotools.tracks.stages import make_tracks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    model = load_model(None, "cpu")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, fasta = make_variants(folder, given.records, indels=0)
        table, bigwigs = folder / "table", folder / "bigwigs"
        make_tracks(model, str(table), TrackSettings(), fasta=str(fasta))
        shutil.copytree(table, bigwigs, ignore=shutil.ignore_patterns(f"{TABLE_NAME}*"))
        output = str(folder / "out.vcf.gz")

        def annotate(scores: Path | None) -> Callable[[], object]:
            settings = AnnotationSettings(
                fasta=str(fasta),
                scores=None if scores is None else str(scores),
                force=True,
            )
            return lambda: annotate_file(model, str(path), output, settings)

        ways = {
            "computed": annotate(None),
            "looked up in the table": annotate(table),
            "looked up in bigWigs": annotate(bigwigs),
        }
        compare(ways, work=given.records, unit="records/s", runs=given.runs)


if __name__ == "__main__":
    main()
