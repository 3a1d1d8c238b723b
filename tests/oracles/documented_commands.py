"""Commands of the documentation, run in a shell as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path


def shell_blocks(page: Path) -> list[str]:
    """The blocks of shell commands of a page."""
    return re.findall(r"```sh\n(.*?)```", page.read_text(), flags=re.DOTALL)


def install_program(folder: Path) -> None:
    """Put `phylotools` as a program into a folder's ``bin``."""
    write_program(folder, "phylotools", f'exec {sys.executable} -m phylotools "$@"')


def write_program(folder: Path, name: str, commands: str) -> None:
    """Put a shell script into a folder's ``bin``."""
    program = folder / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{commands}\n")
    program.chmod(0o755)


def shell(command: str, folder: Path, *, timeout: float = 120) -> subprocess.CompletedProcess[str]:
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
