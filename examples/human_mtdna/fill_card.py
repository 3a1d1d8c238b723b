"""Put the results of `phylotools evaluate` into card.md and metrics.json.

python fill_card.py EVALUATION/metrics.json
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
#: First cell of a row of the card's table -> class of the evaluation.
CLASSES = {
    "all": "all",
    "complex I (ND)": "complex_I",
    "complex III (CYB)": "complex_III",
    "complex IV (CO)": "complex_IV",
    "complex V (ATP)": "complex_V",
}


def text(row: dict[str, Any], name: str) -> str:
    return f"{row[name]:.3f} [{row[name + '_low']:.3f}, {row[name + '_high']:.3f}]"


def main() -> None:
    measured = json.loads(Path(sys.argv[1]).read_text())["metrics"]
    found = {(row["class"], row["score"]): row for row in measured}
    lines = []
    for line in (HERE / "card.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in CLASSES and len(cells) == 8:
            own = found[CLASSES[cells[0]], "PHYLOGPN_LLR"]
            phylop = found[CLASSES[cells[0]], "PHYLOP"]
            cells[2:4] = [text(own, "auroc"), text(phylop, "auroc")]
            cells[6:8] = [text(own, "auprc"), text(phylop, "auprc")]
            line = "| " + " | ".join(cells) + " |"
        lines.append(line)
    (HERE / "card.md").write_text("\n".join(lines) + "\n")

    metrics = json.loads((HERE / "metrics.json").read_text())
    metrics["rows"] = [
        {
            "class": row["class"],
            "score": row["score"],
            "positives": row["n_positive"],
            "negatives": row["n_negative"],
            "auroc": [round(row["auroc" + part], 3) for part in ("", "_low", "_high")],
            "auprc": [round(row["auprc" + part], 3) for part in ("", "_low", "_high")],
        }
        for row in measured
    ]
    written = json.dumps(metrics, indent=1)
    written = re.sub(r"\[\s+([-\d.,\s]+?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", written)
    (HERE / "metrics.json").write_text(written + "\n")


if __name__ == "__main__":
    main()
