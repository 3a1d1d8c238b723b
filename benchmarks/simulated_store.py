"""(Makes the input) a column store of a simulated alignment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BIRDS = Path(__file__).parents[1] / "tests" / "data" / "birds53" / "53birds.nh"


def simulated_store(folder: Path, *, tree: Path = BIRDS, length: int = 40_000) -> Path:
    """Windows without holes: what a position costs, whatever of a real alignment is missing."""
    alignment, store = folder / "simulated.maf.gz", folder / "simulated.store"
    for arguments in (
        ("simulate", tree, "--length", length, "-o", alignment),
        ("preprocess", alignment, "--tree", tree, "-o", store),
    ):
        command = [sys.executable, "-m", "phylotools", *map(str, arguments), "-q"]
        subprocess.run(command, check=True)
    return store
