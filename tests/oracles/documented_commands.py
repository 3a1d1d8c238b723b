"""Commands of the documentation, run in a shell as a reader would.

From a shell: ``python documented_commands.py PAGE FOLDER [N]`` runs the blocks of a page in a
folder, but for the first N, and compares what they print with what the page shows.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Seconds for a block, which may train: less than pytest has for a test.
_PATIENCE = 1000
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
_NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Block:
    """Commands of a page, and what it says that they print (None if it does not say)."""

    language: str
    text: str
    shown: str | None


def blocks_of(page: Path) -> list[Block]:
    """The blocks in ``sh`` and ``python``; what a block prints is the ``text`` behind it."""
    fenced = [*_FENCED.findall(page.read_text()), ("", "")]
    return [
        Block(language, text, following if behind == "text" else None)
        for (language, text), (behind, following) in itertools.pairwise(fenced)
        if language in ("sh", "python")
    ]


def shell_blocks(page: Path) -> list[str]:
    """The blocks of shell commands of a page."""
    return [block.text for block in blocks_of(page) if block.language == "sh"]


def run_page(page: Path, folder: Path, *, skipped: int = 0) -> None:
    """Run the blocks of a page in turn in one folder, those in Python in one namespace.

    Raises
    ------
    AssertionError
        If one fails, or does not print what the page shows.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks_of(page)[skipped:]:
        if block.language == "python":
            printed = _run_python(block.text, folder, names)
        else:
            done = shell(block.text, folder)
            if done.returncode:
                raise AssertionError(f"{page.name}: {block.text}\nfailed: {done.stderr}")
            printed = done.stdout
        if block.shown is not None and (difference := differs(printed, block.shown)):
            raise AssertionError(f"{page.name}: {block.text}\nprints\n{printed}\n{difference}")


def _run_python(text: str, folder: Path, names: dict[str, Any]) -> str:
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(text, "<page>", "exec"), names)
    return printed.getvalue()


def differs(printed: str, shown: str) -> str | None:
    """Where what was printed is not what a page shows, if anywhere.

    A number with decimals may differ by one in the last that is shown, for processors round
    differently; white space may differ, and a line ``...`` stands for any lines.
    """
    pattern, rows = [line.split() for line in shown.splitlines()], printed.splitlines()
    at = 0
    for index, wanted in enumerate(pattern):
        if wanted == ["..."]:
            left = len(pattern) - index - 1
            at = max(at, len(rows) - left)
            continue
        if at >= len(rows):
            return f"nothing is printed for the line {' '.join(wanted)!r}"
        if not _same_line(" ".join(rows[at].split()), " ".join(wanted)):
            return f"{rows[at]!r} where the page shows {' '.join(wanted)!r}"
        at += 1
    return f"{rows[at]!r} is not on the page" if at < len(rows) else None


def _same_line(printed: str, shown: str) -> bool:
    if _NUMBER.split(printed) != _NUMBER.split(shown):
        return False
    pairs = zip(_NUMBER.findall(printed), _NUMBER.findall(shown), strict=True)
    return all(_same_number(ours, theirs) for ours, theirs in pairs)


def _same_number(printed: str, shown: str) -> bool:
    if printed == shown:
        return True
    mantissa, _, exponent = shown.partition("e")
    decimals = len(mantissa.partition(".")[2])
    if not decimals:
        return False
    unit = 10.0 ** (int(exponent or 0) - decimals)
    ours, theirs = (float(text.replace(",", "")) for text in (printed, shown))
    return abs(ours - theirs) <= 1.01 * unit


def install_program(folder: Path) -> None:
    """Put `phylotools` as a program into a folder's ``bin``."""
    write_program(folder, "phylotools", f'exec {sys.executable} -m phylotools "$@"')


def write_program(folder: Path, name: str, commands: str) -> None:
    """Put a shell script into a folder's ``bin``."""
    program = folder / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{commands}\n")
    program.chmod(0o755)


def shell(
    command: str, folder: Path, *, timeout: float = _PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Run commands in a folder, with the programs of its ``bin``, until one fails."""
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        },
        check=False,
    )


if __name__ == "__main__":
    run_page(Path(sys.argv[1]), Path(sys.argv[2]), skipped=int((sys.argv[3:] or ["0"])[0]))
