from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "review_figure" / "figure_2d.py"


def test_the_panel_is_drawn_with_its_figures(tmp_path):
    subprocess.run([sys.executable, str(SCRIPT), str(tmp_path / "o"), "--quick"], check=True)
    names = {path.name for path in (tmp_path / "o").iterdir()}
    assert names == {"figure_2d.svg", "figure_2d.png", "summary.tsv"}
    with (tmp_path / "o" / "summary.tsv").open() as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    found = {(row["model"], row["label"], row["figure"]): row for row in rows}
    own = found["mammals-coding", "all", "purity"]
    # What embeddings of codon positions are worth is no matter of a picture.
    assert float(own["value"]) > float(own["high"])
    assert ("mammals671-mtdna", "tRNA", "purity") in found
