"""`benchmarks/kills.py`, which kills fifty times, with fewer kills and steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kills.py"


def killed(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=1000)


@pytest.mark.parametrize("seed", [1])
def test_killed_runs_end_in_the_same_bits(mammals_store, seed):
    done = killed(mammals_store, "--kills", 8, "--steps", 40, "--seed", seed)
    assert done.returncode == 0, done.stdout + done.stderr
    *errors, last = done.stdout.splitlines()
    # Whether there is such a line depends on the moment: before the first step nothing is said.
    assert all(" x error: stopped by SIGTERM after step N" in line for line in errors)
    assert last.startswith("8 kills (")
    assert last.endswith("all ended in the same bits")
