"""Loops that are compiled the first time say so, once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import logging, sys
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
from loops import once_more, one_more
print(one_more(1), once_more(1))
"""
LOOPS = """
from phylotools.compiling import compiled

@compiled
def one_more(number):
    return number + 1

@compiled
def once_more(number):
    return number + 2
"""


def test_compiling_is_announced_once(tmp_path: Path) -> None:
    (tmp_path / "loops.py").write_text(LOOPS)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    environment["PYTHONPATH"] = str(tmp_path)
    outputs = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, check=True, capture_output=True
        ).stdout.decode()
        for _ in range(2)
    ]
    said = "compiling loops that are new here: some seconds, once for each verb\n"
    assert outputs == [said + "2 3\n", "2 3\n"]
