"""`benchmarks/kills.py`, which kills fifty times, with fewer kills and steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kills.py"


def killed(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("seed", [1])
def test_killed_runs_end_in_the_same_bits(mammals_store, seed):
    done = killed(mammals_store, "--kills", 8, "--steps", 40, "--seed", seed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("8 kills (")
    assert "all ended in the same bits" in done.stdout
