"""Loops that are compiled the first time say so, once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from phylotools.compiling import compile_entries

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


def test_the_cache_knows_every_file_that_is_compiled_in(tmp_path: Path) -> None:
    """Numba itself looks at the entry's own file only."""
    sources = [tmp_path / "a.py", tmp_path / "b.py"]

    def names(text: str) -> list[str]:
        def one(x):  # type: ignore[no-untyped-def]
            return x

        def other(x):  # type: ignore[no-untyped-def]
            return x

        sources[0].write_text("pass")
        sources[1].write_text(text)
        entries = compile_entries(reversed(sources), one, other)
        return [entry._cache._impl.filename_base.rpartition("-")[0] for entry in entries]

    before, same, changed = (names(text) for text in ("x = 1", "x = 1", "x = 2"))
    assert before == same
    assert not set(before) & set(changed)
    assert before[0] != before[1]
